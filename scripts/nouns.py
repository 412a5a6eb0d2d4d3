#!/usr/bin/env python3
"""Writes recipes/words: the nouns of WordNet 3.0 that ImageNet-21k has, with their synonyms and glosses.

    pip download --no-deps timm==1.0.31 -d DIR && scripts/nouns.py DIR/timm-1.0.31-py3-none-any.whl LABELS.jsonl

The wheel of `timm` carries WordNet's lemmas and definitions of those 21,844 synsets as two text files. A row of
`nouns.jsonl.gz` is a synset: `image` is its id, `captions` are its English names and what stands before the first
semicolon of its gloss. A row of `imagenet1k.jsonl` is one of LABELS, the sample images of ImageNet-1k, with the
synset's other names and its gloss as captions; a label that is there already gets its gloss. A row of `kin.jsonl.gz` has
the first names of three animals or plants that follow each other in WordNet, whose files of animals and plants are in
the order of their families: the ostrich, the cassowary, the emu.
"""
import gzip
import json
import pathlib
import re
import sys
import zipfile

wheel = zipfile.ZipFile(sys.argv[1])


def table(kind):
    text = wheel.read(f"timm/data/_info/imagenet_synset_to_{kind}.txt").decode()
    return dict(line.split("\t", 1) for line in text.splitlines())


def is_latin(name):
    return re.match(r"^[A-Z][a-z]+ [a-z]+$", name) or name.startswith("genus ")


lemmas, glosses = table("lemma"), table("definition")
rows, english_of, gloss_of = [], {}, {}
for synset in sorted(lemmas):
    names = []
    for name in map(str.strip, lemmas[synset].split(", ")):
        if name and name.lower() not in (known.lower() for known in names):
            names.append(name)
    english = [name for name in names if not is_latin(name)] or names
    english_of[synset] = english
    gloss = re.sub(r"\([^)]*\)", "", glosses[synset].split(";")[0].strip())
    gloss = re.sub(r"\s+", " ", gloss).strip()
    gloss_of[synset] = gloss
    captions = english[:6] + ([gloss] if gloss else [])
    if len(captions) > 1:
        rows.append(json.dumps({"image": synset, "captions": captions}, ensure_ascii=False) + "\n")
words = pathlib.Path(__file__).resolve().parent.parent / "recipes" / "words"


def write(name, rows):
    with gzip.GzipFile(words / name, "wb", 9, mtime=0) as file:
        file.write("".join(rows).encode())
    print(f"{len(rows)} rows in {name}")


write("nouns.jsonl.gz", rows)

ordered = [synset for synset in sorted(english_of) if "n01300000" < synset < "n02600000" or "n11500000" < synset < "n13150000"]
kin = []
for three in zip(ordered, ordered[1:], ordered[2:]):
    row = {"image": "kin-" + three[0], "captions": [english_of[synset][0] for synset in three]}
    kin.append(json.dumps(row, ensure_ascii=False) + "\n")
write("kin.jsonl.gz", kin)

classes, taken = [], set()
for line in pathlib.Path(sys.argv[2]).read_text().splitlines():
    row = json.loads(line)
    label = row["label"]
    if label in taken:
        # Two classes may share a name, as the bird and the machine do; the gloss tells them apart.
        label = f"{label}, {gloss_of[row['wnid']]}"
    taken.add(label)
    others = [name for name in english_of[row["wnid"]] if name.lower() != row["label"].lower()]
    # "a binocular" is asked for as often as "binoculars".
    others += [name[:-1] for name in [label, *others] if re.search(r"[a-z]{3}[^s]s$", name)]
    others.append(gloss_of[row["wnid"]])
    classes.append(json.dumps({"image": row["image"], "label": label, "captions": others}, ensure_ascii=False) + "\n")
(words / "imagenet1k.jsonl").write_text("".join(classes))
print(f"{len(classes)} classes")
