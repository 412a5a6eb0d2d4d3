#!/usr/bin/env python3
"""Makes vectors like those of a dual encoder, for scripts/bench_search.py.

    scripts/bench_vectors.py OUT N_VECTORS DIM [LIBRARY]

Writes f32 files: `base` (images), `images` (held-out ones, to query with), `texts` (to query with), `samples` (texts to
build with). Without a library all are drawn: 2,000 clusters with Zipf weights, power-law spectra, and the gap between
modalities that CLIP has (mean cosine image-image .44, text-text .62, image-text .14, matched pair .32). With the
catalog.db of a library of Flickr8k, images and texts are its own embeddings, those of split `val` are the queries, and
what is missing to N_VECTORS is drawn around the images: one of them, moved by the difference of two of its neighbours.
"""
import pathlib
import sqlite3
import sys

import numpy as np

out, n, dim = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)
N_QUERIES = 1000


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def write(name, x):
    np.ascontiguousarray(x, dtype="<f4").tofile(out / f"{name}.f32")


def drawn():
    n_clusters, weights = 2000, 1 / np.arange(1, 2001) ** 0.7
    weights /= weights.sum()
    spectrum = np.arange(1, dim + 1) ** -0.45
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
    centres = unit(rng.standard_normal((n_clusters, dim)) * spectrum)
    inner = np.arange(1, dim + 1) ** -0.35

    def meanings(count):
        own = centres[rng.choice(n_clusters, count, p=weights)]
        noise = unit(rng.standard_normal((count, dim), dtype=np.float32) * inner[rng.permutation(dim)])
        return unit((own + 0.9 * noise).astype(np.float32) @ basis)

    means = unit(rng.standard_normal((2, dim)))
    image_mean, text_mean = means[0], unit((0.268 * means[0] + 0.963 * means[1])[None])[0]
    images = lambda m: unit(np.sqrt(0.44) * image_mean + np.sqrt(0.56) * m)
    base = np.concatenate([meanings(min(100_000, n - i)) for i in range(0, n, 100_000)])

    def texts(count):
        about = base[rng.integers(0, n, count)]
        return unit(np.sqrt(0.62) * text_mean + np.sqrt(0.38) * unit(0.39 * about + 0.92 * meanings(count)))

    write("texts", texts(N_QUERIES))
    write("samples", texts(max(20_000, n // 5)))
    write("images", images(meanings(N_QUERIES)))
    for i in range(0, n, 100_000):
        base[i : i + 100_000] = images(base[i : i + 100_000])
    write("base", base)


def from_library(catalog):
    rows = sqlite3.connect(catalog).execute(
        "SELECT e.modality, e.vector, i.container, i.member, i.image_id FROM embeddings e JOIN items i"
        " ON i.modality = e.modality AND i.content_hash = e.content_hash GROUP BY e.id"
    ).fetchall()
    vector = lambda row: np.frombuffer(row[1], "<f4")
    is_val = lambda row: b"val" in row[2] or b"val" in row[3]
    images = [row for row in rows if row[0] == "image"]
    texts = [row for row in rows if row[0] == "text"]
    base = unit(np.stack([vector(row) for row in images if not is_val(row)]))
    write("images", unit(np.stack([vector(row) for row in images if is_val(row)]))[:N_QUERIES])
    val = rng.permutation([i for i, row in enumerate(texts) if is_val(row)])[:N_QUERIES]
    write("texts", unit(np.stack([vector(texts[i]) for i in val])))
    write("samples", unit(np.stack([vector(row) for row in texts if not is_val(row)])))
    near = np.argsort(-(base @ base.T), axis=1)[:, 1:21]
    parts = [base]
    for i in range(len(base), n, 100_000):
        count = min(100_000, n - i)
        a = rng.integers(0, len(base), count)
        b, c = (near[a, rng.integers(0, 20, count)] for _ in range(2))
        parts.append(unit(base[a] + 0.7 * rng.random((count, 1)) * (base[b] - base[c]) + 0.3 * rng.random((count, 1)) * (base[c] - base[a])))
    write("base", np.concatenate(parts)[rng.permutation(sum(map(len, parts)))][:n])


drawn() if len(sys.argv) < 5 else from_library(sys.argv[4])
