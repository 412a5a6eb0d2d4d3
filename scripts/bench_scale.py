#!/usr/bin/env python3
"""Libraries of 10,000, 100,000 and 1,000,000 drawn embeddings: times and sizes, and how they grow.

    scripts/bench_scale.py PROGRAM FOLDER [SIZES] [SVG]

PROGRAM is the example `scale`. Prints a table and the exponent of each figure (the slope of a line through the
logarithms), and draws docs/scale.svg when all three sizes ran.
"""
import json
import math
import pathlib
import subprocess
import sys

program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
sizes = [int(size) for size in (sys.argv[3] if len(sys.argv) > 3 else "10000,100000,1000000").split(",")]
folder.mkdir(parents=True, exist_ok=True)
FIGURES = {
    "fill_s": "fill, s", "link_s": "snapshot, s", "open_s": "open + first query, s", "query_s": "query, s",
    "exact_s": "exact query, s", "recall": "recall@10", "catalog_bytes": "catalog, bytes",
    "snapshot_bytes": "snapshot, bytes", "peak_bytes": "peak memory, bytes",
}
GROWING = [name for name in FIGURES if name != "recall"]

rows = []
for n in sizes:
    kept = folder / f"{n}.json"
    # What was filled once is not filled again: only opening and asking are measured anew.
    done = subprocess.run([program, str(folder / str(n)), str(n), "256"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    row = json.loads(done.stdout)
    if row["fill_s"] == 0 and kept.exists():
        row |= {name: value for name, value in json.loads(kept.read_text()).items() if name in ("fill_s", "link_s", "peak_bytes")}
    kept.write_text(json.dumps(row))
    rows.append(row)


def exponent(name):
    points = [(math.log(row["n"]), math.log(row[name])) for row in rows if row[name] > 0]
    if len(points) < 2:
        return float("nan")
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


print("| | " + " | ".join(f"{row['n']:,}" for row in rows) + " | grows with n to the power |")
print("|---|" + "---|" * (len(rows) + 1))
for name, title in FIGURES.items():
    values = [f"{row[name]:,.0f}" if name.endswith("bytes") else f"{row[name]:.4g}" for row in rows]
    print(f"| {title} | " + " | ".join(values) + f" | {exponent(name):.2f} |" if name in GROWING else f"| {title} | " + " | ".join(values) + " | |")


def svg():
    width, height, left, top = 640, 360, 70, 20
    colours = {"fill_s": "#4477aa", "link_s": "#ee6677", "open_s": "#228833", "query_s": "#ccbb44", "exact_s": "#aa3377"}
    values = [row[name] for row in rows for name in colours if row[name] > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])
    x = lambda n: left + (math.log10(n) - first) / (last - first) * (width - left - 170)
    y = lambda value: top + (high - math.log10(value)) / (high - low) * (height - top - 50)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">']
    lines.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for power in range(low, high + 1):
        at = y(10**power)
        lines.append(f'<line x1="{left}" x2="{width - 170}" y1="{at:.0f}" y2="{at:.0f}" stroke="#ddd"/>')
        lines.append(f'<text x="{left - 8}" y="{at + 4:.0f}" text-anchor="end">{10.0**power:g} s</text>')
    for n in sizes:
        lines.append(f'<text x="{x(n):.0f}" y="{height - 28}" text-anchor="middle">{n:,}</text>')
    lines.append(f'<text x="{(left + width - 170) / 2:.0f}" y="{height - 8}" text-anchor="middle">images</text>')
    for place, (name, colour) in enumerate(colours.items()):
        points = [(x(row["n"]), y(row[name])) for row in rows if row[name] > 0]
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="' + " ".join(f"{a:.0f},{b:.0f}" for a, b in points) + '"/>')
        lines.extend(f'<circle cx="{a:.0f}" cy="{b:.0f}" r="3" fill="{colour}"/>' for a, b in points)
        at = top + 14 + 20 * place
        lines.append(f'<text x="{width - 160}" y="{at}" fill="{colour}">{FIGURES[name][:-3]} (n^{exponent(name):.2f})</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


if len(rows) > 2 and len(sys.argv) > 4:
    pathlib.Path(sys.argv[4]).write_text(svg())
