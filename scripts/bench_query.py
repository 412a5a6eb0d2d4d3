#!/usr/bin/env python3
"""A text query beside Python: from starting a process to its answer (cold), and in one that stays (warm), taking turns.

    make bench-query

The library has N pictures with drawn embeddings, and faiss has the same vectors in an HNSW index. open_clip's ViT-B/32 has
random weights, imported into mmsearch; `mini` is the model inside. Medians and ratios; only ratios travel.
"""
import os
import pathlib
import statistics
import subprocess
import sys
import time

THREADS = os.environ.setdefault("OMP_NUM_THREADS", "2")
# Threads that wait must not spin: the other process is having its turn.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

ROUNDS, NAME, K = 9, "ViT-B-32", 10
TEXTS = [f"a {colour} {thing} in the {place}" for colour in ("red", "small") for thing in ("dog", "ball", "house") for place in ("water", "snow", "street")]


class Python:
    """What a script with open_clip and faiss does."""

    def __init__(self, root):
        import faiss
        import open_clip
        import torch

        self.torch, self.model = torch, open_clip.create_model(NAME, pretrained=str(root / NAME / "open_clip_model.safetensors")).eval()
        self.tokenizer = open_clip.get_tokenizer(NAME)
        self.index = faiss.read_index(str(root / NAME / "faiss.index"))
        self.index.hnsw.efSearch = 64

    def query(self, text):
        with self.torch.no_grad():
            return self.index.search(self.model.encode_text(self.tokenizer([text]), normalize=True).numpy(), K)[1][0]


def make(binary, root, environment):
    """The checkpoint, and the model that is imported from it."""
    import open_clip
    import torch

    import families

    torch.manual_seed(1)
    if not (root / NAME / "open_clip_config.json").exists():
        vocab = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
        next(family for family in families.full(vocab, ["a dog"]) if family.name == NAME).save(root / NAME)
    if not list((root / "data").rglob(f"{NAME}/model.json")):
        subprocess.run([binary, "model", "import", str(root / NAME)], check=True, env=environment)
    return str(next((root / "data").rglob(f"{NAME}/model.json")).parent)


def make_index(root):
    import faiss
    import numpy as np

    if not (root / NAME / "faiss.index").exists():
        index = faiss.IndexHNSWFlat(512, 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
        index.add(np.fromfile(root / NAME / "vectors.f32", dtype=np.float32).reshape(-1, 512))
        faiss.write_index(index, str(root / NAME / "faiss.index"))


def turns(title, runners):
    """Prints the median of each runner, and how many times as long as the first it takes."""
    times = {name: [] for name in runners}
    for i in range(ROUNDS):
        for name, run in runners.items():
            times[name].append(run(TEXTS[i % len(TEXTS)]))
    print(f"{title}, {THREADS} threads, median of {ROUNDS}")
    own = statistics.median(next(iter(times.values())))
    for name, values in times.items():
        median = statistics.median(values)
        print(f"  {name:26} {median:9.1f} ms  {median / own:6.2f} ×", flush=True)


def main():
    bench, binary, root, n = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), sys.argv[4]
    environment = {**os.environ, "XDG_DATA_HOME": str(root / "data")}
    models = {NAME: make(binary, root, environment), "mini": "models/mini"}

    def warm_process(name):
        process = subprocess.Popen([bench, str(root / name), n, models[name], "--bench"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()

        def ask(text):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            return float(process.stdout.readline())
        return ask

    ours = {name: warm_process(name) for name in models}
    make_index(root)

    def cold(*command):
        def run(text):
            began = time.perf_counter()
            subprocess.run([*command, text], check=True, env=environment, stdout=subprocess.DEVNULL)
            return (time.perf_counter() - began) * 1000
        return run

    def mmsearch(name):
        model = ["--model", models[name]] if name != "mini" else []
        return cold(binary, "--library", str(root / name / "library"), *model, "query", "--text")

    turns(f"cold, {n} pictures", {
        "mmsearch, mini": mmsearch("mini"),
        f"mmsearch, {NAME}": mmsearch(NAME),
        f"Python, {NAME}": cold(sys.executable, __file__, "--cold", str(root)),
        "only loading libtorch": lambda _: cold(str(pathlib.Path(binary).parent / "mmsearch-encoder"))("--version"),
        "mmsearch --help": lambda _: cold(binary)("--help"),
    })
    python = Python(root)

    def python_warm(text):
        began = time.perf_counter()
        python.query(text)
        return (time.perf_counter() - began) * 1000

    turns(f"warm, {n} pictures", {"mmsearch, mini": ours["mini"], f"mmsearch, {NAME}": ours[NAME], f"Python, {NAME}": python_warm})


if __name__ == "__main__":
    if sys.argv[1] == "--cold":
        print(*Python(pathlib.Path(sys.argv[2])).query(sys.argv[3]))
    else:
        main()
