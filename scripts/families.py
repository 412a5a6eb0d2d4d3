#!/usr/bin/env python3
"""Makes checkpoints of every importable family with seeded random weights, and what they must give.

    python scripts/families.py tiny fixtures/families          # a few tens of KB each, kept in the repository
    python scripts/families.py full DIR IMAGES.tar CAPTIONS.jsonl VOCAB.txt.gz   # full size, for `make parity`

The reference implementations (open_clip, transformers) compute the values; the tensors of `expected.safetensors` are those
of a golden file, plus `image.layer.NN`: what layer NN of the image tower gets, as transformers and open_clip have
it between their blocks.
"""
import gzip
import io
import json
import pathlib
import sys
import tarfile

import ftfy
import numpy as np
import open_clip
import PIL
import torch
import transformers
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Regex
from torchvision import transforms as T

TEXTS = [
    "a dog runs through the water",
    "Two children in RED shirts play football on the grass.",
    "x",
    "naïve café, 東京 🙂 — zyzzyva!?",
    "a very long sentence " * 40,
]
# A corpus for small vocabularies.
CORPUS = [f"a {a} {b} near the {c}" for a in ("red", "small", "happy", "old", "running") for b in ("dog", "child", "house", "boat", "horse") for c in ("water", "tree", "street", "beach")]
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
START, END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer_files(directory, vocab, merges, as_merges):
    """tokenizer.json as transformers publishes it for CLIP, or the older vocab.json and merges.txt."""
    if as_merges:
        (directory / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
        lines = ["#version: 0.2"] + [" ".join(pair) for pair in merges]
        (directory / "merges.txt").write_text("\n".join(lines) + "\n")
        return
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token=END, continuing_subword_prefix="", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    tokenizer.add_special_tokens([START, END])
    tokenizer.post_processor = processors.RobertaProcessing((END, vocab[END]), (START, vocab[START]), False, False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(directory / "tokenizer.json"))


def clip_vocab(path=None, n_merges=120):
    """The published vocabulary, or a small one of the same kind, with its merges."""
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    tokens = letters + [letter + "</w>" for letter in letters]
    if path:
        lines = gzip.open(path).read().decode().split("\n")[1:49152 - 256 - 2 + 1]
        merges = [tuple(line.split()) for line in lines]
    else:
        trainer = trainers.BpeTrainer(vocab_size=10_000, end_of_word_suffix="</w>", show_progress=False, initial_alphabet=letters)
        small = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
        small.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        small.pre_tokenizer = pre_tokenizers.Whitespace()
        small.train_from_iterator(CORPUS, trainer)
        merges = [tuple(pair) for pair in json.loads(small.to_str())["model"]["merges"]][:n_merges]
    tokens += ["".join(pair) for pair in merges]
    tokens += [START, END]
    return {token: i for i, token in enumerate(tokens)}, merges


def siglip_tokenizer(vocab_size, corpus, gemma):
    """A SentencePiece-unigram tokenizer of SigLIP's type and options, or a byte-fallback BPE of Gemma's."""
    if gemma:
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        special = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{i:02X}>" for i in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)
        tokenizer.train_from_iterator(corpus, trainer)
        return tokenizer, dict(tokenizer_class="GemmaTokenizer", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>", bos_token="<bos>")
    tokenizer = Tokenizer(models.Unigram())
    # transformers' SiglipTokenizer: small letters, no punctuation, one space; then SentencePiece with a leading "▁".
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Lowercase(),
        normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=vocab_size, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer, dict(tokenizer_class="SiglipTokenizer", eos_token="</s>", pad_token="</s>", unk_token="<unk>")


def pictures(size, n):
    """Drawn inputs, `[n, size, size, 3]`."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(picture).resize((size, size), Image.BICUBIC)) for picture in coarse])


def normalised(rgb, mean, std):
    pixels = torch.from_numpy(rgb).float() / 255
    return ((pixels - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)


def wake(model, seed, is_small):
    """Random weights everywhere, also where an initialisation leaves zeros or ones, so that nothing can be left out unseen.

    Matrices of a full-size model keep the reference's own random start: twelve blocks of larger ones are so far from any
    trained network that a difference of 1/255 in one pixel grows from block to block.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point() or name.endswith(("logit_scale", "logit_bias")):
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(0.75 + 0.5 * noise.abs())
            elif tensor.dim() <= 1:
                tensor.copy_(tensor + 0.1 * noise)
            elif is_small:
                # Large enough that one activation is told from another.
                gain = 1.4 if tensor.dim() == 4 else 2.0
                tensor.copy_(gain * noise / tensor[0].numel() ** 0.5)
    return model.eval()


def stored_as(model, dtype):
    """The weights rounded as they are stored."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.to(dtype).float())
    return model


def blocks_of(tower):
    """The modules between which layers are compared."""
    if hasattr(tower, "layer1"):
        return [block for i in range(1, 5) for block in getattr(tower, f"layer{i}")]
    if hasattr(tower, "transformer"):
        return list(tower.transformer.resblocks)
    return list(tower.encoder.layers)


def with_layers(tower, run):
    """What each block gives, `image.layer.NN` counted as in our towers: layer 0 is what comes before the blocks."""
    found, handles = {}, []
    for i, block in enumerate(blocks_of(tower)):
        def keep(_module, _inputs, output, i=i):
            value = output[0] if isinstance(output, tuple) else output
            found[f"image.layer.{i + 2:02d}"] = value.detach()
        handles.append(block.register_forward_hook(keep))
    result = run()
    for handle in handles:
        handle.remove()
    return result, found


class Family:
    """A checkpoint of one family and the reference that computes its values."""

    def __init__(self, name, model, image_size, mean, std, dtype=torch.float32):
        self.name, self.image_size, self.mean, self.std, self.dtype = name, image_size, mean, std, dtype
        self.model = stored_as(wake(model, len(name), image_size <= 64), dtype)

    def expected(self, rgb, texts):
        """The tensors of a golden file."""
        with torch.no_grad():
            pixels = normalised(rgb, self.mean, self.std)
            (features, embedding), layers = with_layers(self.image_tower(), lambda: self.images(pixels))
            ids = self.ids(texts)
            width = max(map(len, ids))
            context = self.context()
            rows = np.full((len(ids), context), -1, np.int64)
            for row, text in zip(rows, ids):
                row[: len(text)] = text
            assert width <= context
            text = self.texts(texts)
        unit = lambda x: np.ascontiguousarray((x / x.norm(dim=-1, keepdim=True)).numpy())
        return {
            "image.input": rgb,
            # safetensors writes the memory of a view, not its values.
            "image.features": np.ascontiguousarray(features.numpy()),
            "image.embedding": unit(embedding),
            "text.input": np.frombuffer("".join(t + "\0" for t in texts).encode(), np.uint8),
            "text.ids": rows,
            "text.embedding": unit(text),
        }, {name: value.float().contiguous().numpy() for name, value in layers.items()}


class OpenClip(Family):
    def __init__(self, name, model_cfg, vocab, merges, as_merges, **options):
        self.cfg, self.vocab, self.merges, self.as_merges = model_cfg, vocab, merges, as_merges
        kind = open_clip.model.CLIP
        model = kind(model_cfg["embed_dim"], model_cfg["vision_cfg"], model_cfg["text_cfg"], quick_gelu=model_cfg.get("quick_gelu", False))
        super().__init__(name, model, model_cfg["vision_cfg"]["image_size"], open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD, **options)
        tokenizer = object.__new__(open_clip.tokenizer.SimpleTokenizer)
        tokenizer.byte_encoder = open_clip.tokenizer.bytes_to_unicode()
        tokenizer.encoder = vocab
        tokenizer.bpe_ranks = {pair: i for i, pair in enumerate(merges)}
        tokenizer.cache = {START: START, END: END}
        import regex
        tokenizer.pat = regex.compile(r"<\|startoftext\|>|<\|endoftext\|>|" + CLIP_WORDS, regex.IGNORECASE)
        tokenizer.sot_token_id, tokenizer.eot_token_id = vocab[START], vocab[END]
        tokenizer.context_length = model_cfg["text_cfg"]["context_length"]
        tokenizer.clean_fn = open_clip.tokenizer.get_clean_fn("lower")
        tokenizer.reduction_fn = None
        self.tokenizer = tokenizer

    def context(self):
        return self.tokenizer.context_length

    def save(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        preprocess = dict(mean=list(self.mean), std=list(self.std), interpolation="bicubic", resize_mode="shortest")
        (directory / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=self.cfg, preprocess_cfg=preprocess), indent=1))
        state = {name: tensor.to(self.dtype).contiguous() if tensor.is_floating_point() else tensor for name, tensor in self.model.state_dict().items()}
        save_torch(state, str(directory / "open_clip_model.safetensors"))
        clip_tokenizer_files(directory, self.vocab, self.merges, self.as_merges)

    def image_tower(self):
        return self.model.visual

    def images(self, pixels):
        tower = self.model.visual
        embedding = tower(pixels)
        if hasattr(tower, "attnpool"):
            # Without its last projection, the pooling gives the features.
            last = tower.attnpool.c_proj
            tower.attnpool.c_proj = torch.nn.Linear(last.in_features, last.in_features)
            torch.nn.init.eye_(tower.attnpool.c_proj.weight)
            torch.nn.init.zeros_(tower.attnpool.c_proj.bias)
            features = tower(pixels)
            tower.attnpool.c_proj = last
        else:
            kept = tower.proj
            tower.proj = None
            features = tower(pixels)
            tower.proj = kept
        return features, embedding

    def ids(self, texts):
        rows = self.tokenizer(texts).tolist()
        return [row[: row.index(self.tokenizer.eot_token_id) + 1] for row in rows]

    def texts(self, texts):
        return self.model.encode_text(self.tokenizer(texts))

    def preprocess(self, image):
        transform = open_clip.image_transform(self.image_size, is_train=False, mean=self.mean, std=self.std)
        return transform(image)


class HuggingFace(Family):
    def __init__(self, name, model, tokenizer, settings, processor, **options):
        size = model.config.vision_config.image_size
        super().__init__(name, model, size, processor.image_mean, processor.image_std, **options)
        self.tokenizer, self.settings, self.processor = tokenizer, settings, processor
        self.is_clip = model.config.model_type == "clip"

    def context(self):
        return self.model.config.text_config.max_position_embeddings

    def save(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        self.model.to(self.dtype).save_pretrained(directory, max_shard_size=self.shard_size)
        self.model.float()
        self.processor.save_pretrained(directory)
        self.tokenizer.save(str(directory / "tokenizer.json"))
        (directory / "tokenizer_config.json").write_text(json.dumps(self.settings))

    shard_size = "50GB"

    def image_tower(self):
        return self.model.vision_model

    def images(self, pixels):
        features = self.model.vision_model(pixel_values=pixels).pooler_output
        return features, self.model.visual_projection(features) if self.is_clip else features

    def ids(self, texts):
        frame = {True: (START, END), False: (None, self.settings["eos_token"])}[self.is_clip]
        start, end = (self.tokenizer.token_to_id(token) if token else None for token in frame)
        room = self.context() - 1 - (start is not None)
        if self.settings["tokenizer_class"].startswith("Gemma"):
            texts = [text.lower() for text in texts]
        rows = [self.tokenizer.encode(text, add_special_tokens=False).ids[:room] for text in texts]
        # A text may spell the end out; the first end is the one that counts.
        rows = [row[: row.index(end)] if end in row else row for row in rows]
        return [([start] if start is not None else []) + row + [end] for row in rows]

    def texts(self, texts):
        pad = self.tokenizer.token_to_id(self.settings["pad_token"])
        rows = [row + [pad] * (self.context() - len(row)) for row in self.ids(texts)]
        out = self.model.text_model(input_ids=torch.tensor(rows), attention_mask=None).pooler_output
        return self.model.text_projection(out) if self.is_clip else out

    def preprocess(self, image):
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]


def clip_processor(size):
    return transformers.CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}, do_convert_rgb=True)


def siglip_processor(size, resample):
    return transformers.SiglipImageProcessor(size={"height": size, "width": size}, resample=resample)


def tiny():
    """Every family at the smallest size that has all its parts."""
    vocab, merges = clip_vocab()
    n = len(vocab)
    text = dict(context_length=16, vocab_size=n, width=16, heads=2, layers=2)
    rn = dict(embed_dim=12, vision_cfg=dict(image_size=64, layers=[2, 1, 1, 1], width=2, patch_size=None, head_width=32), text_cfg=text, quick_gelu=True)
    yield OpenClip("openclip-resnet", rn, vocab, merges, True)
    vit = dict(embed_dim=12, vision_cfg=dict(image_size=32, layers=2, width=16, patch_size=8, head_width=8), text_cfg=text)
    yield OpenClip("openclip-vit", vit, vocab, merges, False, dtype=torch.float16)
    config = transformers.CLIPConfig(
        projection_dim=12,
        text_config=dict(vocab_size=n, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16, bos_token_id=vocab[START], eos_token_id=vocab[END], pad_token_id=vocab[END]),
        vision_config=dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8),
    )
    yield hugging_face_clip("clip", config, vocab, merges)
    for name, gemma in (("siglip", False), ("siglip2", True)):
        tokenizer, settings = siglip_tokenizer(320 if gemma else 160, CORPUS, gemma)
        config = transformers.SiglipConfig(
            text_config=dict(vocab_size=tokenizer.get_vocab_size(), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16, projection_size=16),
            vision_config=dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8),
        )
        family = HuggingFace(name, transformers.SiglipModel(config), tokenizer, settings, siglip_processor(32, 2 if gemma else 3), dtype=torch.bfloat16 if gemma else torch.float32)
        if gemma:
            family.shard_size = "12KB"
        yield family


def hugging_face_clip(name, config, vocab, merges):
    import tempfile
    with tempfile.TemporaryDirectory() as directory:
        clip_tokenizer_files(pathlib.Path(directory), vocab, merges, False)
        tokenizer = Tokenizer.from_file(str(pathlib.Path(directory) / "tokenizer.json"))
    settings = dict(tokenizer_class="CLIPTokenizer", eos_token=END, pad_token=END, bos_token=START)
    size = config.vision_config.image_size
    return HuggingFace(name, transformers.CLIPModel(config), tokenizer, settings, clip_processor(size))


def full(vocab_path, corpus):
    """Published architectures; random weights need no download."""
    vocab, merges = clip_vocab(vocab_path)
    rn = json.load(open(pathlib.Path(open_clip.__file__).parent / "model_configs/RN50.json"))
    rn["vision_cfg"]["patch_size"] = None
    rn["quick_gelu"] = True
    yield OpenClip("RN50", rn, vocab, merges, True)
    vit = json.load(open(pathlib.Path(open_clip.__file__).parent / "model_configs/ViT-B-32.json"))
    yield OpenClip("ViT-B-32", vit, vocab, merges, False)
    yield hugging_face_clip("clip-vit-b-32", transformers.CLIPConfig(), vocab, merges)
    for name, gemma, size, patch in (("siglip-b-16", False, 224, 16), ("siglip2-b-32", True, 256, 32)):
        tokenizer, settings = siglip_tokenizer(8000, corpus, gemma)
        config = transformers.SiglipConfig(text_config=dict(vocab_size=tokenizer.get_vocab_size()), vision_config=dict(image_size=size, patch_size=patch))
        yield HuggingFace(name, transformers.SiglipModel(config), tokenizer, settings, siglip_processor(size, 2 if gemma else 3))


def odd_texts():
    """What people paste: scripts, symbols, entities, control characters, very long and empty texts."""
    rng = np.random.default_rng(5)
    fixed = [
        "", " ", "\n\t", "…", "A" * 10_000, "word " * 2_000, "x" * 300 + " end", "don't can't I'll we've he'd it's I'm they're",
        "DON'T SHOUT'S", "<|endoftext|>", "a <|startoftext|> b", "100,000.50 €", "3x4=12", "#hashtag @user http://example.org/a?b=c&d=e",
        "Fish &amp; chips", "&lt;b&gt;bold&lt;/b&gt;", "&amp;amp;quot;twice&amp;quot;", "P&eacute;rez &#233; &#x1F600;", "a < b &amp; c", "&nbsp;x&nbsp;y",
        "“curly” ‘quotes’ — dash – dash", "ﬁne ﬂow eﬃcient", "ｆｕｌｌ　ｗｉｄｔｈ", "e\u0301te\u0301", "\u00c5ngstr\u00f6m", "İstanbul ΣΊΣΥΦΟΣ straße",
        "a\u200bb\u200d", "tab\tand\nline\r\nbreaks\u2028x", "bell\u0007 null\u0000 esc\u001b[31mred\u001b[0m", "\ufeffbom", "\u0085next\u00a0nbsp",
        "日本語のテキスト", "中文句子，标点。", "한국어 문장", "Привет мир", "שלום עולם", "مرحبا بالعالم", "สวัสดีชาวโลก", "नमस्ते दुनिया",
        "🐶🐱🏖️👩‍👩‍👧‍👦🇩🇪👍🏽", "dog🐶cat", "½ cup ² ™ ℃ №", "١٢٣ ４５６", "_under_score_ and-hyphen", "a_b__c", "!!!???...", "'quoted'", '"double"',
    ]
    pools = [range(0x20, 0x7F), range(0xA1, 0x250), range(0x370, 0x530), range(0x4E00, 0x4F00), range(0x1F300, 0x1F640), range(0x3040, 0x30FF)]
    for i in range(300):
        pool = pools[i % len(pools)]
        length = int(rng.integers(1, 60))
        fixed.append("".join(chr(int(c)) if rng.random() > 0.2 else " " for c in rng.choice(np.array(pool), length)))
    return fixed


def preprocessing(root, photos, n=100):
    """Pictures of many shapes as PNG (so that both sides resize the same pixels), and what Pillow makes of them.

    Pillow 13 resizes columns first where the height shrinks much more than the width, which changes a bicubic result by
    some levels; the published models were made with the versions before, which always begin with the rows.
    """
    assert int(PIL.__version__.split(".")[0]) < 13, "the reference is Pillow 12"
    rng = np.random.default_rng(7)
    directory = root / "shapes"
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for i in range(n):
        photo = Image.open(photos[i % len(photos)]).convert("RGB")
        long, ratio = int(rng.integers(40, 1400)), float(rng.uniform(1, 7 if i % 5 == 0 else 2))
        size = (long, max(8, int(long / ratio)))[:: 1 if i % 2 else -1]
        picture = photo.resize(size, Image.BICUBIC)
        name = f"{i:03d}.png"
        orientation = [1, 3, 6, 8][i % 4] if i % 3 == 0 else 1
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.save(directory / name, exif=exif) if orientation > 1 else picture.save(directory / name)
        upright = ImageOps.exif_transpose(Image.open(directory / name)).convert("RGB")
        side = [224, 256, 336, 64][i % 4]
        for filter_name, filter_ in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
            squash = upright.resize((side, side), filter_)
            interpolation = {"bilinear": T.InterpolationMode.BILINEAR, "bicubic": T.InterpolationMode.BICUBIC}[filter_name]
            crop = T.Compose([T.Resize(side, interpolation), T.CenterCrop(side)])(upright)
            for resize, square in (("squash", squash), ("shortest-edge-crop", crop)):
                tensors[f"{name}|{side}|{filter_name}|{resize}"] = np.ascontiguousarray(np.asarray(square))
    save_file(tensors, str(root / "shapes.safetensors"))


def main():
    torch.manual_seed(1)
    if sys.argv[1] == "tiny":
        root = pathlib.Path(sys.argv[2])
        for family in tiny():
            family.save(root / family.name)
            golden, layers = family.expected(pictures(family.image_size, 2), TEXTS)
            save_file({**golden, **layers}, str(root / family.name / "expected.safetensors"))
            print(family.name, sum(p.numel() for p in family.model.parameters()), "parameters")
        return
    root, tar, captions, vocab = map(pathlib.Path, sys.argv[2:6])
    files = tarfile.open(tar)
    names = sorted(files.getnames())[:64]
    texts = [json.loads(line)["captions"][0] for line in open(captions)][:64]
    corpus = [caption for line in open(captions) for caption in json.loads(line)["captions"]]
    (root / "images").mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / "images" / name).write_bytes(files.extractfile(name).read())
    preprocessing(root, [root / "images" / name for name in names])
    odd = odd_texts()
    # mmsearch does not repair texts that were decoded with a wrong encoding, which ftfy takes some gibberish for.
    strings = corpus[:5000] + [text for text in odd if ftfy.fix_encoding(text) == text]
    print(len(strings), "texts;", len(odd) + 5000 - len(strings), "left out that ftfy takes for a wrong encoding", flush=True)
    for family in full(vocab, corpus):
        if len(sys.argv) > 6 and family.name not in sys.argv[6:]:
            continue
        family.save(root / family.name)
        rgb = pictures(family.image_size, 2)
        golden, layers = family.expected(rgb, texts)
        with torch.no_grad():
            pixels = torch.stack([family.preprocess(Image.open(root / "images" / name).convert("RGB")) for name in names])
            rows = torch.cat([family.images(part)[1] for part in pixels.split(16)])
        rows = rows / rows.norm(dim=-1, keepdim=True)
        golden["file.embedding"] = rows.numpy()
        golden["file.names"] = np.frombuffer("".join(name + "\0" for name in names).encode(), np.uint8)
        save_file({**golden, **layers}, str(root / family.name / "expected.safetensors"))
        tokens = [family.ids([text])[0] for text in strings]
        (root / family.name / "tokens.json").write_text(json.dumps(dict(texts=strings, ids=tokens)))
        print(family.name, sum(p.numel() for p in family.model.parameters()), "parameters", flush=True)


if __name__ == "__main__":
    main()
