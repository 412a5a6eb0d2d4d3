#!/usr/bin/env python3
"""Draws docs/demo.png: what the program answers to the demo's queries. Needs pillow.

    .venv/bin/python scripts/picture.py target/release/mmsearch docs/demo.png
"""
import json
import subprocess
import sys
import tempfile

from PIL import Image, ImageDraw, ImageFont

QUERIES = [
    ["--text", "two red balls on a grey road"],
    ["--text", "a green tree in front of a brick wall"],
    ["--text", "a brown cat under a kite"],
    ["--image", "fixtures/scenes/scene-0003.png"],
]
SIDE, GAP, LINE = 128, 8, 20


def main():
    program, out = sys.argv[1:]
    with tempfile.TemporaryDirectory() as library:
        run = lambda *words: subprocess.run([program, "--library", library, *words], capture_output=True, text=True, check=True)
        run("index", "fixtures/scenes")
        answers = [(q, run("query", *q, "-k", "5", "--json").stdout.splitlines()) for q in QUERIES]
    height = SIDE + 2 * LINE + GAP
    sheet = Image.new("RGB", (5 * (SIDE + GAP) + GAP, height * len(answers) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (query, lines) in enumerate(answers):
        top = GAP + row * height
        draw.text((GAP, top), f'mmsearch query {query[0]} "{query[1]}"', "black", font)
        # The last line is the token of the next page.
        for column, hit in enumerate(hit for hit in map(json.loads, lines) if "path" in hit):
            left = GAP + column * (SIDE + GAP)
            picture = Image.open(hit["path"]).convert("RGB").resize((SIDE, SIDE))
            sheet.paste(picture, (left, top + LINE))
            draw.text((left, top + LINE + SIDE), f'{hit["score"]:.3f}', "dimgrey", font)
    sheet.quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    main()
