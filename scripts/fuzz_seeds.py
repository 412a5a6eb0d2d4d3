#!/usr/bin/env python3
"""Writes what the fuzz targets begin with: a few small files for each, right ones and nearly right ones.

    scripts/fuzz_seeds.py OUT
"""
import gzip
import io
import pathlib
import struct
import sys
import tarfile
import zlib

OUT = pathlib.Path(sys.argv[1])
SCENES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "scenes"


def seed(target, name, content):
    (OUT / target).mkdir(parents=True, exist_ok=True)
    (OUT / target / name).write_bytes(content)


def png(colour_type, depth, pixels, palette=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 2, depth, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + (chunk(b"PLTE", palette) if palette else b"")
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def tiff():
    """2x2 grey, one strip."""
    tags = [(256, 2), (257, 2), (258, 8), (259, 1), (262, 1), (273, 122), (277, 1), (278, 2), (279, 4)]
    body = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + body + bytes(4) + b"\x10\x50\x90\xd0"


def pictures():
    seed("picture", "rgb.png", png(2, 8, (b"\0" + b"\xff\0\0" * 2) * 2))
    seed("picture", "grey-alpha.png", png(4, 16, (b"\0" + b"\1\2\3\4" * 2) * 2))
    seed("picture", "palette.png", png(3, 8, b"\0\0\1\0\1\0", b"\xff\0\0\0\xff\0"))
    seed("picture", "grey.tiff", tiff())
    seed("picture", "p3.ppm", b"P3 2 1 255 255 0 0 0 255 0\n")
    seed("picture", "p6.ppm", b"P6 2 1 255\n\xff\0\0\0\xff\0")
    seed("picture", "p4.pbm", b"P4 8 2\n\xaa\x55")
    seed("picture", "two.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 62, 0, 0, 54, 40, 2, 1, 1, 24, 0, 8, 0, 0, 0, 0) + b"\0\0\xff\0\xff\0\0\0")
    seed("picture", "two.qoi", b"qoif" + struct.pack(">II", 2, 1) + b"\3\0" + b"\xfe\xff\0\0\xfe\0\xff\0" + bytes(7) + b"\1")
    seed("picture", "one.gif", b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\xff\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;")
    for end in ["jpg", "webp"]:
        smallest = min(SCENES.glob("*." + end), key=lambda path: path.stat().st_size, default=None)
        if smallest:
            seed("picture", "scene." + end, smallest.read_bytes())


def tars():
    for name, form in [("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for member in ["a.png", "d/" + "b" * (60 if form == tarfile.USTAR_FORMAT else 120) + ".jpg", "text.txt"]:
                info = tarfile.TarInfo(member)
                info.size, info.mtime = 8, 1000
                tar.addfile(info, io.BytesIO(b"not much"))
        # Two blocks of zeros end an archive; the rest of a record is of no use.
        seed("tar", name, out.getvalue().rstrip(b"\0") + bytes(1536))


def manifests():
    rows = b'{"image":"a.png","caption":"a dog","split":"train"}\n{"image":"b.png","captions":["x","y"],"label":"cat","n":1.5}\n'
    seed("manifest", "jsonl", b"\0" + rows)
    seed("manifest", "csv", b'\1image,caption,label,year\na.png,"a ""big"" dog, really",dog,1999\nb.png,,,\n')
    seed("manifest", "gz", b"\2" + gzip.compress(rows, mtime=0))


def words():
    packet = b"""<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:subject><rdf:Bag><rdf:li>dog</rdf:li><rdf:li>a &amp; b</rdf:li></rdf:Bag></dc:subject>
<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>a dog &#x20AC;</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"""

    def record(number, value):
        return bytes([0x1C, 2, number]) + struct.pack(">H", len(value)) + value

    records = record(25, b"dog") + record(25, b"caf\xe9") + record(120, b"a dog")
    resource = b"8BIM\4\4\0\0" + struct.pack(">I", len(records)) + records
    seed("words", "xmp", b"\0" + packet)
    seed("words", "iptc", b"\1" + records)
    seed("words", "resources", b"\1" + resource)
    seed("words", "sidecar", "\2\ufeffa dog\nin the snow\n".encode())


def queries():
    for i, text in enumerate([
        "red + 0.5*blue - #7", "'two words' - \"a b\"", "image:photos/a.jpg + dog", "3f8000001x7x00000001",
        "width >= 640 and (tag = 'a b' or not camera like 'x%')", "taken 2024-02..2025 and place within 5 km of 48.1, 11.5",
        "path glob '/photos/**/*.jpg' and caption has \"red dog\"", "meta.year in (1, 2.5, 'x')",
    ]):
        seed("query", str(i), text.encode())


def others():
    seed("snapshot", "header", b"\2" + struct.pack("<IB", 12, 0))
    seed("snapshot", "ids", b"\3" + struct.pack("<IB", 1024, 9) + struct.pack("<IB", 64 << 8, 255))
    seed("snapshot", "links", b"\3" + b"".join(struct.pack("<IB", at, 255) for at in range(20000, 40000, 1000)))
    seed("snapshot", "bytes", b"\0mmsnap\r\n" + struct.pack("<IIII", 3, 0x01020304, 128, 0) + bytes(200))
    seed("snapshot", "hashed", b"\1mmsnap\r\n" + struct.pack("<IIIIQQIIIIQ", 3, 0x01020304, 128, 0, 1, 0, 1, 0, 0, 0, 128) + bytes(64))
    seed("row", "whole", b"\1")
    seed("row", "changed", b"\1" + bytes([9, 3, 6]) + b"failed" + bytes([10, 3, 3]) + b"why" + bytes([4, 4, 8]) + bytes([0, 0, 128, 63, 0, 0, 0, 0]))
    seed("row", "built", b"\0" + b"".join(bytes([i, i % 5, 8]) + bytes(8) for i in range(24)))


for write in [pictures, tars, manifests, words, queries, others]:
    write()
