#!/usr/bin/env python3
"""mmsearch beside open_clip: milliseconds from a photo's file to its unit vector, taking turns.

    make bench-encode

Same libtorch version, threads, weights and files. open_clip runs in PyTorch with Pillow, in one process and with a
DataLoader whose workers decode; batches of 8 as in mmsearch, channels last where that is the faster layout (RN50).
"""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
os.environ["OMP_NUM_THREADS"] = str(THREADS)
# Threads that wait must not spin: the other process is having its turn.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import tarfile  # noqa: E402

import torch  # noqa: E402
from PIL import Image  # noqa: E402

import families  # noqa: E402

ROUNDS, BATCH = 5, 8


class Photos(torch.utils.data.Dataset):
    """A directory's photos, ready for the tower."""

    def __init__(self, directory, transform):
        self.files, self.transform = sorted(directory.iterdir()), transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return self.transform(Image.open(self.files[i]))


def main():
    bench, binary, tar, vocab, n = sys.argv[1:6]
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "photos").mkdir()
        files = tarfile.open(tar)
        for name in sorted(files.getnames())[: int(n)]:
            (scratch / "photos" / name).write_bytes(files.extractfile(name).read())
        for family in families.full(vocab, ["a dog"]):
            if family.name in ("ViT-B-32", "RN50"):
                compare(bench, binary, scratch, family)


def compare(bench, binary, scratch, family):
    family.save(scratch / family.name)
    environment = {**os.environ, "XDG_DATA_HOME": str(scratch / "data")}
    subprocess.run([binary, "model", "import", str(scratch / family.name)], check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    model = next((scratch / "data").rglob(f"{family.name}/model.json")).parent
    ours = subprocess.Popen([bench, str(model), str(scratch / "photos"), "--bench"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    network = family.model.eval()
    if family.name == "RN50":
        network = network.to(memory_format=torch.channels_last)
    photos = Photos(scratch / "photos", family.preprocess)

    def their_round(workers):
        began = time.perf_counter()
        with torch.no_grad():
            for pixels in torch.utils.data.DataLoader(photos, batch_size=BATCH, num_workers=workers):
                if family.name == "RN50":
                    pixels = pixels.contiguous(memory_format=torch.channels_last)
                network.encode_image(pixels, normalize=True)
        return (time.perf_counter() - began) * 1000 / len(photos)

    def our_round(line="go"):
        ours.stdin.write(line + "\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    runners = {
        "mmsearch": our_round,
        "open_clip, Pillow": lambda: their_round(0),
        "open_clip, DataLoader of 2": lambda: their_round(2),
    }
    times = {name: [] for name in runners}
    for _ in range(ROUNDS):
        for name, run in runners.items():
            times[name].append(run())
    own = statistics.median(times["mmsearch"])
    print(f"{family.name}, {len(photos)} photos from their files, {THREADS} threads, median of {ROUNDS} rounds")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"  {name:28} {median:7.2f} ms a photo   mmsearch is {median / own:4.2f} times as fast", flush=True)
    own, theirs = [], []
    tokens = family.tokenizer(["a dog runs through the water"])
    for _ in range(4 * ROUNDS):
        own.append(our_round("text"))
        began = time.perf_counter()
        with torch.no_grad():
            network.encode_text(tokens, normalize=True)
        theirs.append((time.perf_counter() - began) * 1000)
    own, theirs = statistics.median(own), statistics.median(theirs)
    print(f"  one text: open_clip {theirs:.1f} ms, mmsearch {own:.1f} ms, {theirs / own:.1f} times as fast", flush=True)
    ours.stdin.close()
    ours.wait()


if __name__ == "__main__":
    main()
