#!/usr/bin/env python3
"""`mmsearch index` beside Python pipelines over the same network: photos a second from files to vectors, taking turns.

    make bench-index CAMERA=500 SMALL=2000

Two sets of photos: of a camera's size (made by `camera_photos.py`) and small ones. Two networks: `mini`, and ViT-B/32 with
random weights. The others are a plain PyTorch loop with Pillow and a DataLoader of two workers, and ONNX Runtime fed by the
same DataLoader where it is installed. mmsearch does more: it hashes, reads EXIF, and makes every batch durable.
Its own stages are told with each run; `alone` is what decoding with all processors, or the network, would give by itself.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from PIL import Image

import families
from bench_encode import ImageEncoder

BATCH, WORKERS = 32, 2


class Photos(torch.utils.data.Dataset):
    def __init__(self, files, transform):
        self.files, self.transform = files, transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return self.transform(Image.open(self.files[i]))


class Model:
    """A network in all its forms: a directory for mmsearch, a module, an ONNX session."""

    def __init__(self, name, directory, network, transform, example, scratch):
        self.name, self.directory, self.network, self.transform = name, directory, network.eval(), transform
        self.session = onnx_session(network, example, scratch / f"{name}.onnx")


class MiniTransform:
    """Pillow's resize to bytes `[size, size, 3]`; the network takes those."""

    def __init__(self, size):
        self.size = size

    def __call__(self, image):
        return torch.from_numpy(np.asarray(image.convert("RGB").resize((self.size, self.size), Image.BILINEAR)).copy())


def onnx_session(network, example, path):
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return None
    torch.onnx.export(network, (example,), path, input_names=["pixels"], dynamic_axes={"pixels": {0: "n"}}, dynamo=False)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


class Normalized(torch.nn.Module):
    def __init__(self, visual):
        super().__init__()
        self.visual = visual

    def forward(self, pixels):
        return torch.nn.functional.normalize(self.visual(pixels), dim=-1)


def mini(directory, scratch):
    network = ImageEncoder(directory)
    size = network.config["preprocess"]["size"]
    return Model("mini", directory, network, MiniTransform(size), torch.zeros(2, size, size, 3, dtype=torch.uint8), scratch)


def vit(binary, vocab, scratch):
    torch.manual_seed(1)
    family = next(family for family in families.full(vocab, ["a dog"]) if family.name == "ViT-B-32")
    family.save(scratch / family.name)
    environment = {**os.environ, "XDG_DATA_HOME": str(scratch / "data")}
    subprocess.run([binary, "model", "import", str(scratch / family.name)], check=True, env=environment, capture_output=True)
    directory = next((scratch / "data").rglob(f"{family.name}/model.json")).parent
    return Model(family.name, directory, Normalized(family.model.visual), family.preprocess, torch.zeros(2, 3, 224, 224), scratch)


def ours(binary, model, files, scratch):
    """Photos a second of a whole run, and where its time went."""
    library = scratch / "library"
    shutil.rmtree(library, ignore_errors=True)
    began = time.perf_counter()
    run = [binary, "--library", str(library), "--model", str(model.directory), "index", "--json", str(files[0].parent)]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["images"]["added"] == len(files), report
    return len(files) / seconds, report["busy"]


def theirs(model, files, encode):
    began = time.perf_counter()
    photos = torch.utils.data.DataLoader(Photos(files, model.transform), batch_size=BATCH, num_workers=WORKERS)
    n = sum(len(encode(pixels)) for pixels in photos)
    assert n == len(files)
    return n / (time.perf_counter() - began)


def runners(binary, model, files, scratch):
    def eager(pixels):
        with torch.no_grad():
            return model.network(pixels)

    busy = {}

    def index():
        speed, busy["last"] = ours(binary, model, files, scratch)
        return speed

    found = {"mmsearch index": index, "PyTorch, Pillow, DataLoader": lambda: theirs(model, files, eager)}
    if model.session:
        found["ONNX Runtime, Pillow, DataLoader"] = lambda: theirs(model, files, lambda pixels: model.session.run(None, {"pixels": pixels.numpy()})[0])
    return found, busy


def alone(bench, model, files):
    """Photos a second of reading, decoding and resizing with all processors, and of the network."""
    # What mmsearch says to the encoder that it starts (bin/mmsearch/worker.rs).
    environment = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30), **os.environ}
    process = subprocess.Popen([bench, str(model.directory), str(files[0].parent), "--bench"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(line):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return 1000 / float(process.stdout.readline())

    speeds = ask("prepare"), ask("squares")
    process.stdin.close()
    process.wait()
    return speeds


def compare(arguments, model, title, files, scratch):
    found, busy = runners(arguments.binary, model, files, scratch)
    speeds, shares = {name: [] for name in found}, []
    for path in files:
        # So that nobody has to wait for the disk, on which the first would pay for all.
        path.read_bytes()
    for _ in range(arguments.rounds):
        for name, run in found.items():
            speeds[name].append(run())
        prepare, network = alone(arguments.bench, model, files)
        shares.append((speeds["mmsearch index"][-1] / min(prepare, network), speeds["mmsearch index"][-1] * (1 / prepare + 1 / network)))
    own = speeds["mmsearch index"]
    print(f"\n{model.name}, {len(files)} {title} photos, median of {arguments.rounds} rounds")
    for name, values in speeds.items():
        ratio = statistics.median(o / v for o, v in zip(own, values))
        print(f"  {name:33} {statistics.median(values):8.1f} photos/s   mmsearch is {ratio:4.2f} times as fast", flush=True)
    print(f"  decoding alone {prepare:.1f}, network alone {network:.1f} photos/s; index reaches {100 * statistics.median(slower for slower, _ in shares):.0f} % of the slower,"
          f" {100 * statistics.median(both for _, both in shares):.0f} % of both one after the other")
    print(f"  the last run, in seconds: {json.dumps(busy['last'])}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("bench")
    parser.add_argument("vocab")
    parser.add_argument("camera", type=pathlib.Path)
    parser.add_argument("small", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default="mini,ViT-B-32")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        make = {"mini": lambda: mini(pathlib.Path("models/mini"), scratch), "ViT-B-32": lambda: vit(arguments.binary, arguments.vocab, scratch)}
        for name in arguments.models.split(","):
            model = make[name]()
            if not model.session:
                print("without ONNX Runtime: pip install onnxruntime onnx", file=sys.stderr)
            for title, directory in (("camera-sized", arguments.camera), ("small", arguments.small)):
                compare(arguments, model, title, sorted(directory.iterdir()), scratch)


if __name__ == "__main__":
    main()
