#!/usr/bin/env python3
"""Measures how terms of a query are best put together, on real photos and captions: docs/retrieval.md.

    make retrieval

Works on the embeddings of a library (Flickr8k's val photos with their five captions, Caltech-101's test photos), so that
many ways of scoring can be compared in seconds; those marked * are what `mmsearch query` does. A photo has a thing if two
of its five captions name it, and lacks it if none does.
"""
import collections
import json
import math
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
    phrase_mean = np.frombuffer(flickr.execute("SELECT phrase_mean FROM backgrounds WHERE modality = 'image'").fetchone()[0], "<f4")
    unit = lambda vector: vector / np.linalg.norm(vector)
    measured = lambda vector: vector / (sample @ vector).std()
    ways = {
        "the photo alone": lambda photo, b: images @ images[photo],
        "the text alone": lambda photo, b: images @ words[b],
        "sum": lambda photo, b: images @ (images[photo] + words[b]),
        "sum, means of the modalities taken off": lambda photo, b: images @ (unit(images[photo] - image_mean) + unit(words[b] - text_mean)),
        "sum by spreads": lambda photo, b: images @ (measured(images[photo]) + measured(words[b])),
        "sum by spreads, means of photos and captions taken off": lambda photo, b: images @ (measured(images[photo] - image_mean) + measured(words[b] - text_mean)),
        "sum by spreads, means of photos and of everyday phrases taken off *": lambda photo, b: images @ (measured(images[photo] - image_mean) + measured(words[b] - phrase_mean)),
    }
    print(f"\n## A photo of A, and the text B: {len(asked)} queries\n\n| way | mean average precision | A with B among the first ten |\n|---|---|---|")
    for name, way in ways.items():
        rows = []
        for photo, a, b in asked:
            others = np.arange(len(images)) != photo
            score, relevant = way(photo, b), has[:, a] & has[:, b]
            rows.append((average_precision(score, relevant, others), of_first_ten(score, relevant, others)))
        print("| {} | {:.3f} | {:.1%} |".format(name, *np.mean(rows, axis=0)))


def fused(semantic, keyword, weight):
    """Reciprocal-rank fusion (Cormack et al. 2009): weight / (60 + rank), added up."""
    sums = collections.defaultdict(float)
    for rank, photo in enumerate(semantic):
        sums[photo] += 1 / (60 + rank + 1)
    for rank, (photo, coverage) in enumerate(keyword):
        sums[photo] += weight(coverage) / (60 + rank + 1)
    return sorted(sums, key=sums.get, reverse=True)


class Words:
    """What FTS5 knows of every other photo by some of its captions: a library is seldom described as a whole."""

    def __init__(self, by_photo, n_indexed):
        self.catalog = sqlite3.connect(":memory:")
        self.catalog.execute("CREATE VIRTUAL TABLE words USING fts5 (caption, tokenize = 'porter unicode61 remove_diacritics 2')")
        rows = [(photo + 1, " ".join(text for text, _ in by_photo[photo][:n_indexed])) for photo in by_photo if photo % 2 == 0]
        self.catalog.executemany("INSERT INTO words (rowid, caption) VALUES (?, ?)", rows)

    def find(self, text):
        """Photos by BM25, and the share of what the words of the text tell that those of the photo tell."""
        words, weights, of_photo = set(re.findall("[a-z]+", text.lower())), {}, collections.defaultdict(float)
        for word in words:
            has_it = [photo for photo, in self.catalog.execute("SELECT rowid - 1 FROM words WHERE words MATCH ?", (f'"{word}"',))]
            weights[word] = math.log(1 + (len(photos) - len(has_it) + 0.5) / (len(has_it) + 0.5))
            for photo in has_it:
                of_photo[photo] += weights[word]
        match = " OR ".join(f'"{word}"' for word in words)
        rows = self.catalog.execute("SELECT rowid - 1 FROM words WHERE words MATCH ? ORDER BY rank LIMIT 200", (match,)) if match else []
        return [(photo, of_photo[photo] / sum(weights.values())) for photo, in rows]


WAYS = {
    "semantic": lambda semantic, keyword: semantic,
    "keyword": lambda semantic, keyword: [photo for photo, _ in keyword],
    "fused, weight 0.25": lambda semantic, keyword: fused(semantic, keyword, lambda coverage: 0.25),
    "fused, weight 1": lambda semantic, keyword: fused(semantic, keyword, lambda coverage: 1.0),
    "fused, weight coverage": lambda semantic, keyword: fused(semantic, keyword, lambda coverage: coverage),
    "fused, weight coverage² *": lambda semantic, keyword: fused(semantic, keyword, lambda coverage: coverage**2),
    "fused, weight 2 coverage²": lambda semantic, keyword: fused(semantic, keyword, lambda coverage: 2 * coverage**2),
}


def keywords(n_indexed):
    """The fifth caption of every photo is asked for, and single words; some of the other four are what keywords know."""
    by_photo = collections.defaultdict(list)
    for _, _, text, image, vector in captions:
        by_photo[places[image]].append((text, vector))
    known = Words(by_photo, n_indexed)
    semantic = {photo: np.argsort(-(images @ own[4][1])).tolist() for photo, own in by_photo.items()}
    keyword = {photo: known.find(own[4][0]) for photo, own in by_photo.items()}
    asked = [k for k in range(len(THINGS)) if has[:, k].sum() >= 5]
    print(f"\n## {n_indexed} captions of every second photo are known: {len(semantic)} other captions and {len(asked)} single words as queries\n")
    print("| way | R@1 | R@10 | R@10 of photos with words | of those without | mean average precision of single words |\n|---|---|---|---|---|---|")
    for name, way in WAYS.items():
        found = {photo: way(semantic[photo], keyword[photo]) for photo in semantic}
        recall = lambda n, of: np.mean([photo in found[photo][:n] for photo in of])
        precision = []
        for k in asked:
            order = way(np.argsort(-scores[:, k]).tolist(), known.find(THINGS[k]))
            value = np.full(len(photos), -1.0)
            value[order] = -np.arange(len(order)) / len(photos)
            precision.append(average_precision(value, has[:, k], ~(may_have[:, k] & ~has[:, k])))
        with_words, without = [p for p in found if p % 2 == 0], [p for p in found if p % 2]
        print(f"| {name} | {recall(1, found):.1%} | {recall(10, found):.1%} | {recall(10, with_words):.1%} | {recall(10, without):.1%} | {np.mean(precision):.3f} |")


def cutoff():
    """Half of Caltech-101's classes are among Flickr8k's photos, the other half is asked for in vain; then the other way round.

    The background is the library's own, as the program has measured it.
    """
    labels = {row["image"]: row["label"] for row in map(json.loads, open(data / "caltech101/labels.jsonl"))}
    files = {path.name: path for path in (run / "caltech").rglob("*.jpg") if path.name in labels}
    names = sorted({labels[name] for name in files})
    asked = dict(zip(names, encoded(names)))
    lists = {threshold: [] for threshold in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)}
    raw = []
    for half in range(2):
        folder = run / f"half-{half}"
        if not folder.exists():
            folder.mkdir()
            for path in [*(run / "val").glob("*.jpg"), *(path for name, path in files.items() if names.index(labels[name]) % 2 == half)]:
                (folder / path.name).hardlink_to(path)
        catalog = index(run / f"half-{half}-library", folder)
        items = vectors(catalog, "image")
        vectors_, classes = np.stack([item[-1] for item in items]), np.array([labels.get(item[1], "") for item in items])
        best = np.frombuffer(catalog.execute("SELECT best_scores FROM backgrounds WHERE modality = 'image'").fetchone()[0], "<f4")
        for place, name in enumerate(names):
            score, relevant = vectors_ @ asked[name], classes == name
            raw.append((place % 2 == half, score, relevant))
            for threshold, rows in lists.items():
                shown = np.searchsorted(best, score) / len(best) >= threshold
                rows.append((place % 2 == half, shown.any(), f1(shown, relevant)))
    print(f"\n## Class names: {len(names)} present, {len(names)} absent\n\n| least probability | lists for what is absent | F1 of what is present | something is shown of it |\n|---|---|---|---|")
    for threshold, rows in lists.items():
        present, absent = [row for row in rows if row[0]], [row for row in rows if not row[0]]
        print(f"| {threshold} | {np.mean([shown for _, shown, _ in absent]):.0%} | {np.mean([f for *_, f in present]):.3f} | {np.mean([shown for _, shown, _ in present]):.0%} |")
    levels = np.quantile(np.concatenate([score for _, score, _ in raw]), np.linspace(0.9, 1, 400))
    best = max(levels, key=lambda level: np.mean([f1(score >= level, relevant) for present, score, relevant in raw if present]))
    print(f"The best single score for the F1: {np.mean([f1(score >= best, relevant) for present, score, relevant in raw if present]):.3f}, with lists for {np.mean([(score >= best).any() for present, score, _ in raw if not present]):.0%} of what is absent")


def f1(shown, relevant):
    return 2 * (shown & relevant).sum() / (shown.sum() + relevant.sum())


negation()
composition()
cutoff()
keywords(1)
keywords(4)
