#!/usr/bin/env python3
"""Measures how terms of a query are best put together, on real photos and captions: docs/retrieval.md.

    make retrieval

Works on the embeddings of a library (Flickr8k's val photos with their five captions, Caltech-101's test photos), so that
many ways of scoring can be compared in seconds; those marked * are what `mmsearch query` does. A photo has a thing if two
of its five captions name it, and lacks it if none does.
"""
import collections
import json
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys

import numpy as np

program, data, run = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
THINGS = (
    "dog man woman boy girl child people water snow ball grass beach street bike car horse mountain rock pool tree sand ocean field"
    " park camera hat shirt helmet bicycle skateboard jacket sunglasses fence frisbee road river lake wall crowd soccer tennis baby"
    " dress building boat hill swing stick rope city"
).split()
rng = np.random.default_rng(0)


def index(library, *paths):
    if not (library / "catalog.db").exists():
        subprocess.run([program, "--library", str(library), "index", *map(str, paths)], check=True, stdout=subprocess.DEVNULL)
    return sqlite3.connect(library / "catalog.db")


def vectors(catalog, modality):
    """Name, text, image and vector of every item."""
    rows = catalog.execute(
        "SELECT i.id, i.container, i.member, i.text, i.image_id, e.vector FROM items i JOIN embeddings e"
        " ON e.modality = i.modality AND e.content_hash = i.content_hash WHERE i.modality = ? ORDER BY i.id", (modality,)
    ).fetchall()
    return [(id, pathlib.PurePath((member or container).decode()).name, text, image, np.frombuffer(vector, "<f4")) for id, container, member, text, image, vector in rows]


def encoded(texts):
    """The embeddings of some texts: captions of a photo in a library of their own."""
    folder = run / "words"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    photo = next((run / "val").glob("*.jpg"))
    shutil.copy(photo, folder / photo.name)
    lines = [json.dumps({"image": photo.name, "captions": texts[i : i + 50]}) for i in range(0, len(texts), 50)]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")
    found = {text: vector for _, _, text, _, vector in vectors(index(folder / "library", folder), "text")}
    return np.stack([found[text] for text in texts])


def unpack(tar, folder):
    if not folder.exists():
        folder.mkdir(parents=True)
        subprocess.run(["tar", "xf", str(tar), "-C", str(folder)], check=True)


unpack(data / "flickr8k/val.tar", run / "val")
(run / "val/captions.jsonl").write_text("".join(line for line in open(data / "flickr8k/captions.jsonl") if '"split": "val"' in line))
unpack(data / "caltech101/test.tar", run / "caltech")
flickr = index(run / "flickr", run / "val")
photos, captions = vectors(flickr, "image"), vectors(flickr, "text")
places = {id: place for place, (id, *_) in enumerate(photos)}
images, texts = np.stack([photo[-1] for photo in photos]), np.stack([caption[-1] for caption in captions])
counts = [collections.Counter() for _ in photos]
for _, _, text, image, _ in captions:
    counts[places[image]].update(set(re.findall("[a-z]+", text.lower())))
has = np.array([[count[thing] >= 2 for thing in THINGS] for count in counts])
may_have = np.array([[count[thing] >= 1 for thing in THINGS] for count in counts])
words = encoded(THINGS)
sample = images[:: max(1, len(images) // 1000)]
scores, of_sample = images @ words.T, sample @ words.T
mean, spread = of_sample.mean(0), of_sample.std(0)


def average_precision(score, relevant, asked):
    order = np.argsort(-np.where(asked, score, -9))[: asked.sum()]
    hit = relevant[order]
    return (np.cumsum(hit) / np.arange(1, len(hit) + 1))[hit].mean()


def of_first_ten(score, relevant, asked):
    return relevant[np.argsort(-np.where(asked, score, -9))[:10]].mean()


def negation():
    asked = [(a, b) for a in range(len(THINGS)) for b in range(len(THINGS)) if a != b and (has[:, a] & may_have[:, b]).sum() >= 10 and (has[:, a] & ~may_have[:, b]).sum() >= 10]
    ways = {"the wanted alone": lambda a, b: scores[:, a]}
    for weight in (0.5, 1.0):
        ways[f"vectors subtracted, weight {weight}"] = lambda a, b, w=weight: scores[:, a] / spread[a] - w * scores[:, b] / spread[b]
    for weight in (0.5, 1.0, 1.5):
        for margin in (0.0, 0.5, 1.0):
            star = " *" if (weight, margin) == (1.0, 0.5) else ""
            ways[f"margin of {margin} spreads, weight {weight}{star}"] = lambda a, b, w=weight, m=margin: scores[:, a] / spread[a] - w * np.maximum(0, (scores[:, b] - mean[b]) / spread[b] - m)
    print(f"\n## A but not B: {len(asked)} queries\n\n| way | mean average precision | A without B among the first ten | B among the first ten |\n|---|---|---|---|")
    for name, way in ways.items():
        rows = []
        for a, b in asked:
            score, clear = way(a, b), ~(may_have[:, a] & ~has[:, a])
            relevant = has[:, a] & ~may_have[:, b]
            rows.append((average_precision(score, relevant, clear), of_first_ten(score, relevant, clear), of_first_ten(score, may_have[:, b], clear)))
        print("| {} | {:.3f} | {:.1%} | {:.1%} |".format(name, *np.mean(rows, axis=0)))


def composition():
    asked = []
    for a in range(len(THINGS)):
        for b in range(len(THINGS)):
            shown = np.flatnonzero(has[:, a] & ~may_have[:, b])
            if a != b and (has[:, a] & has[:, b]).sum() >= 8 and len(shown) >= 10:
                asked += [(photo, a, b) for photo in rng.choice(shown, 5, replace=False)]
    image_mean, text_mean = images.mean(0), texts.mean(0)
    unit = lambda vector: vector / np.linalg.norm(vector)
    measured = lambda vector: vector / (sample @ vector).std()
    ways = {
        "the photo alone": lambda photo, b: images @ images[photo],
        "the text alone": lambda photo, b: images @ words[b],
        "sum": lambda photo, b: images @ (images[photo] + words[b]),
        "sum, means of the modalities taken off": lambda photo, b: images @ (unit(images[photo] - image_mean) + unit(words[b] - text_mean)),
        "sum by spreads *": lambda photo, b: images @ (measured(images[photo]) + measured(words[b])),
        "sum by spreads, means taken off": lambda photo, b: images @ (measured(images[photo] - image_mean) + measured(words[b] - text_mean)),
    }
    print(f"\n## A photo of A, and the text B: {len(asked)} queries\n\n| way | mean average precision | A with B among the first ten |\n|---|---|---|")
    for name, way in ways.items():
        rows = []
        for photo, a, b in asked:
            others = np.arange(len(images)) != photo
            score, relevant = way(photo, b), has[:, a] & has[:, b]
            rows.append((average_precision(score, relevant, others), of_first_ten(score, relevant, others)))
        print("| {} | {:.3f} | {:.1%} |".format(name, *np.mean(rows, axis=0)))


def fused(rankings, k=60):
    """Reciprocal-rank fusion (Cormack et al. 2009): weight / (k + rank), added up."""
    sums = collections.defaultdict(float)
    for weight, ranking in rankings:
        for rank, photo in enumerate(ranking):
            sums[photo] += weight / (k + rank + 1)
    return sorted(sums, key=sums.get, reverse=True)


def keywords(n_indexed):
    """The fifth caption of every photo is asked for; some of the other four are what keywords know of it."""
    by_photo = collections.defaultdict(list)
    for _, _, text, image, vector in captions:
        by_photo[places[image]].append((text, vector))
    words = sqlite3.connect(":memory:")
    words.execute("CREATE VIRTUAL TABLE words USING fts5 (caption, tokenize = 'unicode61 remove_diacritics 2')")
    # Every other photo has captions: a library is seldom described as a whole.
    described = [photo for photo in by_photo if photo % 2 == 0]
    words.executemany("INSERT INTO words (rowid, caption) VALUES (?, ?)", [(photo + 1, " ".join(text for text, _ in by_photo[photo][:n_indexed])) for photo in described])
    semantic, keyword = {}, {}
    for photo, own in by_photo.items():
        text, vector = own[4]
        semantic[photo] = np.argsort(-(images @ vector))[:200].tolist()
        match = " OR ".join(f'"{word}"' for word in set(re.findall("[a-z]+", text.lower())))
        rows = words.execute("SELECT rowid - 1 FROM words WHERE words MATCH ? ORDER BY bm25(words) LIMIT 200", (match,)) if match else []
        keyword[photo] = [photo for photo, in rows]
    print(f"\n## Captions as queries; {n_indexed} other captions of every second photo are known: {len(semantic)} queries\n\n| way | R@1 | R@10 | R@10 of photos without words |\n|---|---|---|---|")
    ways = {"semantic": lambda p: semantic[p], "keyword": lambda p: keyword[p]}
    for weight in (0.25, 0.5, 1.0, 2.0):
        ways[f"fused, keywords with weight {weight}"] = lambda p, w=weight: fused([(1.0, semantic[p]), (w, keyword[p])])
    for name, way in ways.items():
        found = {photo: way(photo) for photo in semantic}
        recall = lambda n, of: np.mean([photo in found[photo][:n] for photo in of])
        print(f"| {name} | {recall(1, found):.1%} | {recall(10, found):.1%} | {recall(10, [p for p in found if p % 2]):.1%} |")


negation()
composition()
keywords(1)
keywords(4)
