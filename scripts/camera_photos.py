#!/usr/bin/env python3
"""Makes photos of a camera's size out of small ones: `camera_photos.py TAR COUNT DIRECTORY`.

A small photo is enlarged to 12 megapixels, and a texture of three scales is laid over it, so that the file is as
large and as slow to decode as a camera's (about 4 MB). Files that are there already are kept. Every tenth is
progressive, every other one upright by its EXIF orientation alone.
"""
import io
import pathlib
import sys
import tarfile

import numpy as np
from PIL import Image

SIZE = (4032, 3024)


def textures(n=6):
    """Noise of three scales, in units of grey levels; made once, since 12 million random numbers take their time."""
    random, made = np.random.default_rng(7), []
    for _ in range(n):
        total = np.zeros(SIZE[::-1], np.float32)
        for scale, strength in ((1, 6), (4, 7), (16, 8)):
            noise = random.standard_normal((SIZE[1] // scale, SIZE[0] // scale)).astype(np.float32) * strength
            total += np.asarray(Image.fromarray(noise).resize(SIZE, Image.BICUBIC)) if scale > 1 else noise
        made.append(total.astype(np.int16))
    return made


def enlarged(photo, texture):
    """The photo in a camera's size; the texture is the same in all channels, as grain and bark and grass are."""
    large = np.asarray(photo.convert("RGB").resize(SIZE, Image.BICUBIC), np.int16)
    return Image.fromarray(np.clip(large + texture[..., None], 0, 255).astype(np.uint8))


def main():
    tar, count, directory = tarfile.open(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    directory.mkdir(parents=True, exist_ok=True)
    names = sorted(name for name in tar.getnames() if name.endswith(".jpg"))
    missing = [i for i in range(count) if not (directory / f"camera-{i:04}.jpg").exists()]
    grain = textures() if missing else []
    for i in missing:
        photo = Image.open(io.BytesIO(tar.extractfile(names[i % len(names)]).read()))
        exif = Image.Exif()
        exif[0x0112] = 6 if i % 2 else 1
        target = directory / f"camera-{i:04}.jpg"
        part = target.with_suffix(".part")
        enlarged(photo, grain[i % len(grain)]).save(part, "JPEG", quality=90, progressive=i % 10 == 9, exif=exif)
        part.rename(target)
    for extra in sorted(directory.glob("camera-*.jpg"))[count:]:
        extra.unlink()


if __name__ == "__main__":
    main()
