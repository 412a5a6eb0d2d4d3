//! From a foreign checkpoint's tokenizer files to `tokenizer.json` and the ids that frame a text.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::encoder::config::{Cleaning, TokenizerConfig};
use crate::encoder::files::{read_file, read_json};
use crate::error::{Error, Result};

/// OpenAI's split of a text into words (`clip/simple_tokenizer.py`).
const CLIP_WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// A tokenizer as our models have it.
pub(super) struct Files {
    pub(super) json: Vec<u8>,
    pub(super) config: TokenizerConfig,
}

/// `tokenizer_config.json`, as far as it matters.
#[derive(Default, Deserialize)]
struct Settings {
    tokenizer_class: Option<String>,
    pad_token: Option<Special>,
    eos_token: Option<Special>,
}

/// A token by its text, or with its flags.
#[derive(Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Flagged { content: String },
}

impl Special {
    fn text(self) -> String {
        match self {
            Self::Text(text) | Self::Flagged { content: text } => text,
        }
    }
}

/// CLIP's: `tokenizer.json`, or `vocab.json` and `merges.txt`. Without `cleaning`, that of `tokenizer.json` is all.
pub(super) fn clip(dir: &Path, cleaning: Option<Cleaning>, vocab: i64) -> Result<Files> {
    let path = dir.join("tokenizer.json");
    let json = match path.exists() {
        true => read_file(&path)?,
        false => from_merges(dir)?,
    };
    let tokenizer = parse(&json, &path, vocab)?;
    let settings = settings(dir)?;
    let pad = match (cleaning, settings.pad_token) {
        // OpenCLIP fills up with zeros, whatever token that is.
        (Some(_), _) => 0,
        (None, Some(pad)) => id(&tokenizer, &path, &pad.text())?,
        (None, None) => id(&tokenizer, &path, END)?,
    };
    let config = TokenizerConfig::Clip {
        cleaning: cleaning.unwrap_or(Cleaning::None),
        start_id: id(&tokenizer, &path, START)?,
        end_id: id(&tokenizer, &path, END)?,
        pad_id: pad,
    };
    Ok(Files { json, config })
}

/// SigLIP's (SentencePiece) or SigLIP 2's (Gemma): `tokenizer.json`.
pub(super) fn siglip(dir: &Path, vocab: i64) -> Result<Files> {
    let path = dir.join("tokenizer.json");
    if !path.exists() {
        let reason =
            "it is missing; save the model's fast tokenizer with transformers to have it".into();
        return Err(Error::BadModel { path, reason });
    }
    let json = read_file(&path)?;
    let tokenizer = parse(&json, &path, vocab)?;
    let settings = settings(dir)?;
    let class = settings.tokenizer_class.unwrap_or_default();
    let is_gemma = class.starts_with("Gemma") || class.starts_with("Siglip2");
    let (end, pad) = if is_gemma { ("<eos>", "<pad>") } else { ("</s>", "</s>") };
    let named = |token: Option<Special>, usual: &str| {
        id(&tokenizer, &path, &token.map_or_else(|| usual.to_string(), Special::text))
    };
    let config = TokenizerConfig::Siglip {
        // SigLIP 2 was trained on small letters, which its tokenizer does not make by itself.
        cleaning: if is_gemma { Cleaning::Lower } else { Cleaning::None },
        end_id: named(settings.eos_token, end)?,
        pad_id: named(settings.pad_token, pad)?,
    };
    Ok(Files { json, config })
}

fn settings(dir: &Path) -> Result<Settings> {
    let path = dir.join("tokenizer_config.json");
    if path.exists() { read_json(&path) } else { Ok(Settings::default()) }
}

/// # Errors
/// [`Error::BadModel`] if it is not a tokenizer, or one of a model with another vocabulary.
fn parse(json: &[u8], path: &Path, vocab: i64) -> Result<Tokenizer> {
    let bad = |reason: String| Error::BadModel { path: path.to_path_buf(), reason };
    let tokenizer = Tokenizer::from_bytes(json).map_err(|error| bad(error.to_string()))?;
    match tokenizer.get_vocab_size(true) as i64 {
        found if found == vocab => Ok(tokenizer),
        found => Err(bad(format!(
            "it has {found} tokens, the model {vocab}; it is the tokenizer of another model"
        ))),
    }
}

fn id(tokenizer: &Tokenizer, path: &Path, token: &str) -> Result<i64> {
    tokenizer.token_to_id(token).map(i64::from).ok_or_else(|| Error::BadModel {
        path: path.to_path_buf(),
        reason: format!("it has no token {token:?}; it is the tokenizer of another model"),
    })
}

/// What `tokenizer.json` would say, had it been published: transformers' `CLIPConverter`.
fn from_merges(dir: &Path) -> Result<Vec<u8>> {
    let path = dir.join("vocab.json");
    let vocab: Value = read_json(&path)?;
    let merges_path = dir.join("merges.txt");
    let bad = |reason: String| Error::BadModel { path: merges_path.clone(), reason };
    let merges =
        String::from_utf8(read_file(&merges_path)?).map_err(|_| bad("it is not UTF-8".into()))?;
    let merges: Vec<Value> = merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.is_empty())
        .map(|line| match line.split_once(' ') {
            Some((left, right)) => Ok(json!([left, right])),
            None => Err(bad(format!("{line:?} is no pair"))),
        })
        .collect::<Result<_>>()?;
    let special = |token: &str| {
        json!({
            "id": vocab[token], "content": token, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true
        })
    };
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(START), special(END)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"}
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": CLIP_WORDS}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
        ]},
        "post_processor": null, "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab, "merges": merges
        }
    });
    Ok(serde_json::to_vec(&json).expect("a JSON value has no odd keys"))
}
