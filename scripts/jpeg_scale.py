#!/usr/bin/env python3
"""How far an embedding moves when a JPEG is decoded at a half, a quarter or an eighth: `jpeg_scale.py MODEL PHOTO…`.

For each factor every photo is brought to the sizes at which decoding at that scale is just allowed (the short side is
then `factor` times the model's input, the worst case), decoded in full and scaled down, resized by Pillow, and both are
encoded in PyTorch. Pillow's `draft` is the same libjpeg-turbo that mmsearch decodes with.
"""
import io
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image

from golden import head, mobilenet, weights_of

FACTORS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5)
BATCH = 16


def decoded(jpeg, scale):
    image = Image.open(io.BytesIO(jpeg))
    if scale > 1:
        image.draft("RGB", (image.width // scale, image.height // scale))
    return image.convert("RGB")


def at_threshold(photo, least, scale):
    """The photo as a JPEG whose short side is `least` at this scale; `None` if it is not as large."""
    short = int(np.ceil(least)) * scale
    if min(photo.size) < short:
        return None
    ratio = short / min(photo.size)
    size = [max(short, round(side * ratio)) for side in photo.size]
    buffer = io.BytesIO()
    photo.resize(size, Image.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Encoder:
    def __init__(self, directory):
        self.config, self.weights = json.loads((directory / "model.json").read_text()), weights_of(directory)
        self.size = self.config["preprocess"]["size"]
        self.mean, self.std = (torch.tensor(self.config["preprocess"][key]) for key in ("mean", "std"))

    def __call__(self, pictures):
        rows = []
        squares = [np.asarray(p.resize((self.size, self.size), Image.BILINEAR)) for p in pictures]
        for start in range(0, len(squares), BATCH):
            pixels = torch.from_numpy(np.stack(squares[start : start + BATCH])).float() / 255
            pixels = ((pixels - self.mean) / self.std).permute(0, 3, 1, 2)
            features = mobilenet(self.config["image_tower"], self.weights, pixels)
            rows.append(head(self.config["image_head"], self.weights, "image_head", features))
        return torch.cat(rows)


@torch.no_grad()
def main():
    encode = Encoder(pathlib.Path(sys.argv[1]))
    photos = [Image.open(path).convert("RGB") for path in sys.argv[2:]]
    print("factor  scale  photos  least cosine    mean")
    for factor in FACTORS:
        for scale in (2, 4, 8):
            jpegs = [at_threshold(photo, factor * encode.size, scale) for photo in photos]
            jpegs = [jpeg for jpeg in jpegs if jpeg]
            if jpegs:
                full, reduced = (encode([decoded(jpeg, s) for jpeg in jpegs]) for s in (1, scale))
                cosines = (full * reduced).sum(1)
                print(f"{factor:6}    1/{scale}  {len(jpegs):6}  {cosines.min():12.5f}  {cosines.mean():6.5f}", flush=True)


if __name__ == "__main__":
    main()
