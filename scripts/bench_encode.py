#!/usr/bin/env python3
"""mmsearch beside PyTorch: milliseconds that a picture takes in the same network, taking turns.

    make bench-encode

Same libtorch version, same number of threads, same weights, batches of 8 from bytes to unit vectors. PyTorch runs
eagerly with channels-last tensors, and as a frozen trace through `torch.jit.optimize_for_inference`. Medians of the
rounds and the ratios are printed; only the ratios travel to another machine.
"""
import os
import pathlib
import statistics
import subprocess
import sys
import time

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
os.environ["OMP_NUM_THREADS"] = str(THREADS)
# Threads that wait must not spin: the other process is having its turn.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import json  # noqa: E402
import warnings  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from golden import head, mobilenet, weights_of  # noqa: E402

ROUNDS, BATCH, REPEAT = 15, 8, 6


class ImageEncoder(torch.nn.Module):
    """Bytes `[n, size, size, 3]` to unit vectors, channels last throughout."""

    def __init__(self, directory):
        super().__init__()
        self.config = json.loads((directory / "model.json").read_text())
        weights = weights_of(directory)
        layout = lambda t: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
        self.names = [name for name in weights if name.startswith("image_")]
        for name in self.names:
            self.register_buffer(name.replace(".", "_"), layout(weights[name]))
        self.register_buffer("mean", torch.tensor(self.config["preprocess"]["mean"]))
        self.register_buffer("std", torch.tensor(self.config["preprocess"]["std"]))

    def forward(self, pixels):
        w = {name: getattr(self, name.replace(".", "_")) for name in self.names}
        x = ((pixels.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)
        return head(self.config["image_head"], w, "image_head", mobilenet(self.config["image_tower"], w, x))


def main():
    bench, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    torch.set_num_threads(THREADS)
    eager = ImageEncoder(directory).eval()
    size = eager.config["preprocess"]["size"]
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8))
    # The trace is of this one shape, which is the only one there is.
    warnings.simplefilter("ignore", torch.jit.TracerWarning)
    with torch.no_grad():
        optimized = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(eager, pixels)))
        for _ in range(5):
            eager(pixels), optimized(pixels)
    ours = subprocess.Popen([bench, str(directory), "--bench"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def torch_round(model):
        began = time.perf_counter()
        with torch.no_grad():
            for _ in range(REPEAT):
                model(pixels)
        return (time.perf_counter() - began) * 1000 / (REPEAT * BATCH)

    def our_round():
        ours.stdin.write("go\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    runners = {
        "mmsearch": our_round,
        "PyTorch eager, channels last": lambda: torch_round(eager),
        "PyTorch optimize_for_inference": lambda: torch_round(optimized),
    }
    times = {name: [] for name in runners}
    for _ in range(ROUNDS):
        for name, run in runners.items():
            times[name].append(run())
    own = statistics.median(times["mmsearch"])
    print(f"{directory.name}, {size} px, batches of {BATCH}, {THREADS} threads, median of {ROUNDS} rounds")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:32} {median:7.2f} ms a picture   mmsearch is {median / own:4.2f} times as fast")
    ours.stdin.close()
    ours.wait()


if __name__ == "__main__":
    main()
