#!/usr/bin/env python3
"""How many components of a library's embeddings are 0: `scripts/zeros.py LIBRARY`.

What a final ReLU saves can be had only by a store that packs zeros; the second figure is the size of the embeddings
with one bit a component for "is it 0" and a byte for each that is not, as a share of a byte for every component.
"""
import array
import pathlib
import sqlite3
import sys

catalog = sqlite3.connect(f"file:{pathlib.Path(sys.argv[1]) / 'catalog.db'}?mode=ro", uri=True)
n = zeros = 0
for (blob,) in catalog.execute("SELECT vector FROM embeddings"):
    values = array.array("f", blob)
    n += len(values)
    zeros += sum(value == 0 for value in values)
print(f"{100 * zeros / n:.1f} % of {n} components are 0; packed they take {(n / 8 + n - zeros) / n:.2f} of the plain size")
