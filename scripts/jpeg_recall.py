#!/usr/bin/env python3
"""What scaled decoding of large JPEGs costs: `jpeg_recall.py PROGRAM MODEL TAR CAPTIONS CAMERA RUN`.

CAMERA holds the photos of TAR at a camera's size (scripts/camera_photos.py). They are indexed twice by the program itself, with
the model as it is and with one that decodes everything in full, and the two libraries are compared: the cosine of each photo's
two vectors, and how many of the photos' captions find their photo among the first ten (R@10).
"""
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tarfile

import numpy as np


def without_scaling(model, directory):
    """The same model, but for the field."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(model, directory)
    config = json.loads((directory / "model.json").read_text())
    config["preprocess"]["jpeg_scale"] = "none"
    (directory / "model.json").write_text(json.dumps(config))
    return directory


def described(tar, captions, camera, folder):
    """The photos with their captions beside them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    texts = {row["image"]: row["captions"] for row in map(json.loads, open(captions))}
    names = sorted(name for name in tarfile.open(tar).getnames() if name.endswith(".jpg"))
    lines = []
    for path in sorted(camera.glob("camera-*.jpg")):
        os.link(path, folder / path.name)
        own = texts[pathlib.PurePath(names[int(path.stem.split("-")[1]) % len(names)]).name]
        lines.append(json.dumps({"image": path.name, "captions": own}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def vectors(program, model, photos, library):
    shutil.rmtree(library, ignore_errors=True)
    subprocess.run([program, "--library", library, "--model", model, "index", photos], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = "SELECT i.id, i.container, i.image_id, e.vector FROM items i JOIN embeddings e ON e.modality = i.modality AND e.content_hash = i.content_hash WHERE i.modality = ?"
    catalog = sqlite3.connect(library / "catalog.db")
    images = sorted((path, id, np.frombuffer(vector, "<f4")) for id, path, _, vector in catalog.execute(rows, ("image",)))
    places = {id: place for place, (_, id, _) in enumerate(images)}
    texts = [(places[image], np.frombuffer(vector, "<f4")) for _, _, image, vector in catalog.execute(rows, ("text",))]
    return np.stack([vector for *_, vector in images]), texts


def recall(images, texts, k=10):
    scores = np.stack([vector for _, vector in texts]) @ images.T
    own = scores[np.arange(len(texts)), [place for place, _ in texts]]
    return ((scores > own[:, None]).sum(1) < k).mean()


def main():
    program, model, tar, captions, camera, run = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
    photos = described(tar, captions, camera, run / "photos")
    scaled, texts = vectors(program, model, photos, run / "scaled")
    full, _ = vectors(program, without_scaling(model, run / "model"), photos, run / "full")
    cosines = (scaled * full).sum(1)
    print(f"{len(scaled)} photos of 12 megapixels: cosine {cosines.min():.5f} at least, {cosines.mean():.5f} in the mean")
    print(f"R@10 of {len(texts)} captions: {recall(full, texts):.2%} decoded in full, {recall(scaled, texts):.2%} scaled")


if __name__ == "__main__":
    main()
