#!/usr/bin/env python3
"""Writes `golden.safetensors` of a model directory with PyTorch: the values that mmsearch must reproduce.

    python3 -m venv .venv && .venv/bin/pip install torch==2.11.0 numpy safetensors tokenizers pillow
    .venv/bin/python scripts/golden.py models/mini            # the shipped model
    .venv/bin/python scripts/golden.py --make-tiny fixtures/models/tiny   # seeded weights, then the golden file

The towers are written here a second time, from the papers and with PyTorch's own layers, so that an error in the
Rust code is not repeated. Inputs are drawn scenes of the repository, resized by Pillow, and a few sentences.
"""
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = [
    "a dog runs through the water",
    "Two children in RED shirts play football on the grass.",
    "a white house under a yellow sun",
    "x",
    "naïve café, 東京 🙂 — zyzzyva!?",
    "a very long sentence " * 40,
]
ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky-relu": F.leaky_relu,
    "swish": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "quick-gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


def weights_of(directory):
    """All weights as f32 tensors; int8 rows are multiplied by their factors."""
    stored = load_file(directory / "weights.safetensors")
    out = {}
    for name, values in stored.items():
        if name.endswith(".scale"):
            continue
        tensor = torch.from_numpy(values.astype(np.float32))
        if values.dtype == np.int8:
            scale = torch.from_numpy(stored[name + ".scale"])
            tensor = tensor * scale.reshape([-1] + [1] * (tensor.ndim - 1))
        out[name] = tensor
    return out


def mobilenet(config, w, pixels):
    """MobileNetV2 with folded norms; TensorFlow's padding for stride 2."""
    act = ACTIVATIONS[config["activation"]]
    counter = iter(range(1000))

    def conv(x, stride=1, depthwise=False):
        name = f"image_tower.conv{next(counter):02d}"
        kernel = w[name + ".weight"]
        groups = kernel.shape[0] if depthwise else 1
        if stride == 2:
            x = F.pad(x, (0, 1, 0, 1))
        same = kernel.shape[-1] // 2 if stride == 1 else 0
        return F.conv2d(x, kernel, w[name + ".bias"], stride=stride, padding=same, groups=groups)

    x = act(conv(pixels, stride=2))
    for stage in config["stages"]:
        for i in range(stage["repeat"]):
            stride = stage["stride"] if i == 0 else 1
            y = act(conv(x)) if stage["expand"] != 1 else x
            y = act(conv(y, stride, depthwise=True))
            y = conv(y)
            x = x + y if stride == 1 and x.shape == y.shape else y
    return act(conv(x)).mean(dim=(2, 3))


def relu_text(config, w, rows):
    """One text at a time, so that padding plays no part in the reference."""
    width, heads = config["width"], config["heads"]
    act = ACTIVATIONS[config["activation"]]

    def linear(name, x):
        return F.linear(x, w[f"text_tower.{name}.weight"], w[f"text_tower.{name}.bias"])

    def norm(name, x):
        return F.layer_norm(x, (width,), w[f"text_tower.{name}.weight"], w[f"text_tower.{name}.bias"], 1e-5)

    out = []
    for ids in rows:
        x = w["text_tower.token.weight"][ids] + w["text_tower.position.weight"][: len(ids)]
        for i in range(config["blocks"]):
            block = f"block{i:02d}"
            q, k, v = linear(f"{block}.qkv", norm(f"{block}.attention_norm", x)).split(width, dim=-1)
            split = lambda t: t.reshape(len(ids), heads, width // heads).transpose(0, 1)
            scores = split(q) @ split(k).transpose(1, 2) / (width // heads) ** 0.5
            mixed = (scores.softmax(-1) @ split(v)).transpose(0, 1).reshape(len(ids), width)
            x = x + linear(f"{block}.attention_out", mixed)
            x = x + linear(f"{block}.hidden_out", act(linear(f"{block}.hidden", norm(f"{block}.hidden_norm", x))))
        x = norm("norm", x)
        out.append(x.mean(0) if config["pooling"] == "mean" else x.amax(0))
    return torch.stack(out)


def head(config, w, prefix, x):
    act = ACTIVATIONS[config["activation"]]
    n_hidden = len(config["hidden"])
    for i in range(n_hidden + 1):
        x = F.linear(x, w[f"{prefix}.{i}.weight"], w[f"{prefix}.{i}.bias"])
        x = act(x) if i < n_hidden else x
    if config["output"] == "relu":
        x = F.relu(x)
    return F.normalize(x, dim=-1)


def write_golden(directory):
    config = json.loads((directory / "model.json").read_text())
    w = weights_of(directory)
    size = config["preprocess"]["size"]
    scenes = sorted(p for p in (ROOT / "fixtures" / "scenes").iterdir() if p.suffix in {".png", ".jpg", ".webp"})
    pictures = np.stack([
        np.asarray(Image.open(p).convert("RGB").resize((size, size), Image.BILINEAR)) for p in scenes[:3]
    ])
    mean, std = (torch.tensor(config["preprocess"][key]) for key in ("mean", "std"))
    pixels = ((torch.from_numpy(pictures).float() / 255 - mean) / std).permute(0, 3, 1, 2)
    features = mobilenet(config["image_tower"], w, pixels)

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    context = config["text_tower"]["context"]
    rows = [tokenizer.encode(text, add_special_tokens=False).ids[:context] for text in TEXTS]
    ids = np.full((len(rows), context), -1, dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    save_file(
        {
            "image.input": pictures,
            "image.features": features.numpy(),
            "image.embedding": head(config["image_head"], w, "image_head", features).numpy(),
            "text.input": np.frombuffer("".join(t + "\0" for t in TEXTS).encode(), dtype=np.uint8),
            "text.ids": ids,
            "text.embedding": head(config["text_head"], w, "text_head", relu_text(config["text_tower"], w, rows)).numpy(),
        },
        directory / "golden.safetensors",
    )
    print(f"wrote {directory}/golden.safetensors with {len(pictures)} pictures and {len(TEXTS)} texts")


def make_tiny(directory):
    """Seeded random weights for the tests' model, f16, and a byte-level vocabulary of 300 tokens."""
    config = json.loads((directory / "model.json").read_text())
    captions = [json.loads(line)["captions"] for line in open(ROOT / "fixtures" / "scenes" / "captions.jsonl")]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=config["text_tower"]["vocab"],
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for row in captions for text in row), trainer)
    tokenizer.save(str(directory / "tokenizer.json"))

    rng = np.random.default_rng(7)
    out, tower, text = {}, config["image_tower"], config["text_tower"]

    def add(name, *shape):
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 0
        values = rng.normal(size=shape) * ((2 / fan_in) ** 0.5 if fan_in else 0.1)
        out[name] = (values + (1 if "norm.weight" in name else 0)).astype(np.float16)

    def pair(name, n_out, *rest):
        add(name + ".weight", n_out, *rest)
        add(name + ".bias", n_out)

    convs = [(tower["stem"], 3, 3)]
    channels = tower["stem"]
    for stage in tower["stages"]:
        for _ in range(stage["repeat"]):
            wide = channels * stage["expand"]
            convs += [(wide, channels, 1)] if stage["expand"] != 1 else []
            convs += [(wide, 1, 3), (stage["channels"], wide, 1)]
            channels = stage["channels"]
    convs.append((tower["features"], channels, 1))
    for i, (n_out, n_in, kernel) in enumerate(convs):
        pair(f"image_tower.conv{i:02d}", n_out, n_in, kernel, kernel)

    width, hidden = text["width"], text["hidden"]
    add("text_tower.token.weight", text["vocab"], width)
    add("text_tower.position.weight", text["context"], width)
    for i in range(text["blocks"]):
        block = f"text_tower.block{i:02d}"
        for name, n_out, n_in in [("qkv", 3 * width, width), ("attention_out", width, width),
                                  ("hidden", hidden, width), ("hidden_out", width, hidden)]:
            pair(f"{block}.{name}", n_out, n_in)
        pair(f"{block}.attention_norm", width)
        pair(f"{block}.hidden_norm", width)
    pair("text_tower.norm", width)
    for prefix, n_in in [("image", tower["features"]), ("text", width)]:
        widths = [n_in, *config[f"{prefix}_head"]["hidden"], config["dim"]]
        for i in range(len(widths) - 1):
            pair(f"{prefix}_head.{i}", widths[i + 1], widths[i])
    save_file(out, directory / "weights.safetensors")


def main():
    words = sys.argv[1:]
    if not words or words == ["--make-tiny"]:
        sys.exit(__doc__)
    torch.set_grad_enabled(False)
    directory = pathlib.Path(words[-1])
    if words[0] == "--make-tiny":
        make_tiny(directory)
    write_golden(directory)


if __name__ == "__main__":
    main()
