#!/usr/bin/env python3
"""Searches the same vectors with mmsearch, hnswlib, faiss and usearch, one thread, in one interleaved run.

    scripts/bench_search.py PROGRAM VECTORS DIM [--rounds N] [--only mmsearch] [--keep DIR] [--json FILE]

PROGRAM is the example search_bench; VECTORS a folder of scripts/bench_vectors.py. Builds every index with two threads,
then sweeps the width of the beam, and prints queries/s where recall@10 reaches 0.95 and 0.99 (interpolated), for
image queries and for text queries, and the ratio of mmsearch to the best peer. Of several rounds the fastest counts.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import time

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("vectors", type=pathlib.Path)
parser.add_argument("dim", type=int)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--only", default="mmsearch,hnswlib,faiss,usearch-i8,usearch-f32")
parser.add_argument("--keep", type=pathlib.Path, help="a folder for indexes, which are not built again")
parser.add_argument("--json", type=pathlib.Path)
parser.add_argument("--build", default="{}", help="build options of mmsearch, as JSON")
parser.add_argument("--queries", type=int, default=1000)
args = parser.parse_args()
args.keep = args.keep or args.vectors
args.keep.mkdir(parents=True, exist_ok=True)
BEAMS = [10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896, 1280, 1792]
SLOW = 8.0


def load(name):
    return np.fromfile(args.vectors / f"{name}.f32", dtype="<f4").reshape(-1, args.dim)


base = load("base")
queries = {"images": load("images")[: args.queries], "texts": load("texts")[: args.queries]}


def exact():
    """The ten nearest of each query, by blocks so that memory stays small."""
    kept = args.keep / "exact.json"
    if kept.exists():
        return {kind: [set(ids) for ids in rows] for kind, rows in json.loads(kept.read_text()).items()}
    answers = {}
    for kind, vectors in queries.items():
        scores, ids = np.full((len(vectors), 0), 0, np.float32), np.zeros((len(vectors), 0), np.int64)
        for start in range(0, len(base), 100_000):
            block = vectors @ base[start : start + 100_000].T
            top = np.argpartition(-block, 10, axis=1)[:, :10]
            scores = np.hstack([scores, np.take_along_axis(block, top, 1)])
            ids = np.hstack([ids, top + start])
            best = np.argsort(-scores, axis=1)[:, :10]
            scores, ids = np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)
        answers[kind] = ids.tolist()
    kept.write_text(json.dumps(answers))
    return {kind: [set(ids) for ids in rows] for kind, rows in answers.items()}


def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(engine):
    """Of all threads of the process that the engine runs in."""
    if not isinstance(engine, Mmsearch):
        return time.process_time()
    fields = open(f"/proc/{engine.child.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Mmsearch:
    def __init__(self):
        self.child = subprocess.Popen([args.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.path = str(args.keep / "mmsearch.mms")
        self.asked = None

    def ask(self, **request):
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def build(self):
        files = {"vectors": str(args.vectors / "base.f32"), "samples": str(args.vectors / "samples.f32")}
        done = self.ask(do="build", dim=args.dim, path=self.path, n_threads=2, **files, **json.loads(args.build))
        print("mmsearch:", done["tuning"], done["orphans"], "nodes that a walk does not find")
        return done["seconds"], done["bytes"]

    def load(self):
        self.ask(do="open", path=self.path)

    def search(self, kind, vectors, ef):
        if self.asked != kind:
            name = args.keep / f"asked-{kind}.f32"
            vectors.tofile(name)
            self.ask(do="queries", path=str(name))
            self.asked = kind
        done = self.ask(do="search", ef=ef, foreign=kind == "texts")
        return done["seconds"], done["ids"]


class Hnswlib:
    def build(self):
        import hnswlib

        started, before = time.time(), rss()
        self.index = hnswlib.Index(space="ip", dim=args.dim)
        self.index.init_index(max_elements=len(base), M=16, ef_construction=200, random_seed=1)
        self.index.add_items(base, num_threads=2)
        seconds, size = time.time() - started, rss() - before
        self.index.save_index(str(args.keep / "hnswlib.bin"))
        return seconds, size

    def load(self):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=args.dim)
        self.index.load_index(str(args.keep / "hnswlib.bin"))

    def search(self, kind, vectors, ef):
        self.index.set_ef(ef)
        started = time.time()
        found = [self.index.knn_query(vectors[i : i + 1], k=10, num_threads=1)[0][0] for i in range(len(vectors))]
        return time.time() - started, found


class Faiss:
    def build(self):
        import faiss

        faiss.omp_set_num_threads(2)
        started, before = time.time(), rss()
        self.index = faiss.IndexHNSWFlat(args.dim, 16, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = 200
        self.index.add(base)
        seconds, size = time.time() - started, rss() - before
        faiss.write_index(self.index, str(args.keep / "faiss.bin"))
        return seconds, size

    def load(self):
        import faiss

        self.index = faiss.read_index(str(args.keep / "faiss.bin"))

    def search(self, kind, vectors, ef):
        import faiss

        faiss.omp_set_num_threads(1)
        self.index.hnsw.efSearch = ef
        started = time.time()
        found = [self.index.search(vectors[i : i + 1], 10)[1][0] for i in range(len(vectors))]
        return time.time() - started, found


class Usearch:
    """With int8, the best 3 k are scored again from the f32 vectors, which the peer leaves to its user."""

    def __init__(self, dtype):
        self.dtype = dtype

    def make(self):
        from usearch.index import Index

        return Index(ndim=args.dim, metric="ip", dtype=self.dtype, connectivity=16, expansion_add=200)

    def build(self):
        started, before = time.time(), rss()
        self.index = self.make()
        self.index.add(np.arange(len(base)), base, threads=2)
        seconds, size = time.time() - started, rss() - before
        self.index.save(str(args.keep / f"usearch-{self.dtype}.bin"))
        return seconds, size

    def load(self):
        self.index = self.make()
        self.index.load(str(args.keep / f"usearch-{self.dtype}.bin"))

    def search(self, kind, vectors, ef):
        self.index.expansion_search = ef
        started = time.time()
        found = []
        for query in vectors:
            if self.dtype == "f32":
                found.append(self.index.search(query, 10, threads=1).keys)
                continue
            keys = self.index.search(query, min(30, max(ef, 10)), threads=1).keys.astype(np.int64)
            found.append(keys[np.argsort(-(base[keys] @ query))[:10]])
        return time.time() - started, found


engines = {"mmsearch": Mmsearch, "hnswlib": Hnswlib, "faiss": Faiss}
engines |= {"usearch-i8": lambda: Usearch("i8"), "usearch-f32": lambda: Usearch("f32")}
files = {"mmsearch": "mmsearch.mms", "hnswlib": "hnswlib.bin", "faiss": "faiss.bin"}
engines = {name: engines[name]() for name in args.only.split(",")}
built_file = args.keep / "built.json"
built = json.loads(built_file.read_text()) if built_file.exists() else {}
for name, engine in engines.items():
    if not (args.keep / files.get(name, f"{name}.bin")).exists() or name not in built:
        before = cpu_seconds(engine)
        seconds, size = engine.build()
        built[name] = {"seconds": seconds, "cpu_seconds": cpu_seconds(engine) - before, "bytes": size}
        built_file.write_text(json.dumps(built))
    engine.load()
    of = built[name]
    print(f"{name}: built in {of['seconds']:.0f} s ({of['cpu_seconds']:.0f} of the processor), {of['bytes'] / len(base):.0f} bytes a vector", flush=True)

truth = exact()
best = {}
for _ in range(args.rounds):
    for kind, vectors in queries.items():
        finished = set()
        for ef in BEAMS:
            for name, engine in engines.items():
                if (name, kind) in finished:
                    continue
                seconds, found = engine.search(kind, vectors, ef)
                recall = np.mean([len(want & set(map(int, got))) for want, got in zip(truth[kind], found)]) / 10
                key = (name, kind, ef)
                best[key] = (recall, max(len(vectors) / seconds, best.get(key, (0, 0))[1]))
                if recall > 0.993 or seconds > SLOW * len(vectors) / 1000:
                    finished.add((name, kind))


def rate_at(name, kind, target):
    """Queries/s where recall reaches the target, interpolated between two beams; None if it never does."""
    points = sorted((ef, *best[n, k, ef]) for n, k, ef in best if (n, k) == (name, kind))
    for (_, r0, q0), (_, r1, q1) in zip([(0, 0, points[0][2])] + points, points):
        if r1 >= target:
            share = (target - r0) / max(r1 - r0, 1e-9) if r0 > 0 else 1
            return math.exp(math.log(q0) + max(0, min(1, share)) * (math.log(q1) - math.log(q0)))
    return None


result = {"n": len(base), "dim": args.dim, "built": built, "points": [[*key, *value] for key, value in best.items()]}
if "--points" in os.environ.get("BENCH", ""):
    for (name, kind, ef), (recall, rate) in sorted(best.items()):
        print(f"{name:12} {kind:7} ef {ef:5} recall {recall:.4f} {rate:8.0f}/s")
print(f"\n{len(base)} vectors of {args.dim} dimensions, one thread, queries/s at recall@10")
print(f"{'':12}" + "".join(f"{kind[:-1] + ' ' + str(target):>14}" for kind in queries for target in (0.95, 0.99)))
for name in engines:
    rates = [rate_at(name, kind, target) for kind in queries for target in (0.95, 0.99)]
    print(f"{name:12}" + "".join(f"{'-' if rate is None else f'{rate:.0f}':>14}" for rate in rates))
if "mmsearch" in engines and len(engines) > 1:
    ratios = []
    for kind in queries:
        for target in (0.95, 0.99):
            own = rate_at("mmsearch", kind, target)
            peers = [rate for rate in (rate_at(name, kind, target) for name in engines if name != "mmsearch") if rate]
            ratios.append("-" if own is None else f"{own / max(peers):.1f}×" if peers else "no peer")
    print(f"{'× best peer':12}" + "".join(f"{ratio:>14}" for ratio in ratios))


def filtered(engine):
    """Random filters: what the planner chooses beside the scan of what is allowed, taking turns."""
    print(f"\n{'filter':>8} {'asked by':>8} {'plan':>22} {'recall@10':>10} {'queries/s':>10} {'× scan':>7}")
    rng = np.random.default_rng(3)
    for share in (0.5, 0.1, 0.01, 0.001):
        only = args.keep / "only.u64"
        np.sort(rng.choice(len(base), int(len(base) * share), replace=False)).astype("<u8").tofile(only)
        for kind, vectors in queries.items():
            engine.search(kind, vectors, 10)
            ask = lambda **how: engine.ask(do="search", foreign=kind == "texts", only=str(only), **how)
            truth = ask(exact=True)["ids"]
            planned, scanned = [], []
            for _ in range(args.rounds):
                planned.append(ask())
                scanned.append(ask(ef=10**9)["seconds"])
            seconds = min(answer["seconds"] for answer in planned)
            ids = planned[0]["ids"]
            assert all(len(found) == 10 for found in ids), "k come back"
            recall = np.mean([len(set(want) & set(found)) for want, found in zip(truth, ids)]) / 10
            print(f"{share:8.1%} {kind:>8} {planned[0]['plan']:>22} {recall:10.4f} {len(vectors) / seconds:10.0f} {min(scanned) / seconds:7.2f}")
            result["filtered"].append([share, kind, recall, len(vectors) / seconds, min(scanned) / seconds])


result["filtered"] = []
if "mmsearch" in engines:
    filtered(engines["mmsearch"])
if args.json:
    args.json.write_text(json.dumps(result))
