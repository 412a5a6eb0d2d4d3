//! From strings to token ids, through the `tokenizers` library, which reads every published `tokenizer.json`.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::encoder::config::{ModelConfig, TokenizerConfig};
use crate::error::{Error, Result};

/// A model's tokenizer.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    context: usize,
    pad_id: i64,
}

/// Token ids of several texts, padded to the longest of them.
pub(crate) struct TokenBatch {
    /// `[n, length]`, i64.
    pub(crate) ids: Tensor,
    /// `[n, length]`, true where a token is no padding.
    pub(crate) mask: Tensor,
}

impl Tokenizer {
    /// Parses `tokenizer.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::BadModel`] if it is not a tokenizer or has tokens that the configuration's tower lacks.
    pub(crate) fn parse(json: &[u8], config: &ModelConfig, path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadModel { path: path.to_path_buf(), reason };
        let inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|error| bad(format!("tokenizer.json: {error}")))?;
        let crate::encoder::config::TextTower::ReluText(tower) = &config.text_tower;
        let largest = inner.get_vocab(true).values().copied().max().map_or(-1, i64::from);
        if largest >= tower.vocab {
            let reason = format!(
                "tokenizer.json has token id {largest}, text_tower.vocab is {}",
                tower.vocab
            );
            return Err(bad(reason));
        }
        let TokenizerConfig::Subword { pad_id } = config.tokenizer;
        Ok(Self { inner, context: config.context(), pad_id })
    }

    /// Token ids of one text, at most the model's context; a text without tokens is one padding token.
    ///
    /// # Errors
    /// [`Error::Encoder`] if the tokenizer refuses the text.
    pub(crate) fn ids(&self, text: &str) -> Result<Vec<i64>> {
        // A token stands for a few bytes; cutting first keeps a megabyte of text from costing a second.
        let end = text.floor_char_boundary(self.context.saturating_mul(64));
        let encoding = self
            .inner
            .encode_fast(&text[..end], false)
            .map_err(|error| Error::Encoder { reason: format!("cannot tokenize: {error}") })?;
        let mut ids: Vec<i64> =
            encoding.get_ids().iter().take(self.context).map(|&id| i64::from(id)).collect();
        if ids.is_empty() {
            ids.push(self.pad_id);
        }
        Ok(ids)
    }

    /// Pads lists of ids to one length.
    pub(crate) fn pad(&self, texts: &[Vec<i64>], device: Device) -> TokenBatch {
        let length = texts.iter().map(Vec::len).max().unwrap_or(1);
        let n = texts.len() as i64;
        let mut ids = vec![self.pad_id; texts.len() * length];
        let mut mask = vec![0u8; ids.len()];
        for (i, text) in texts.iter().enumerate() {
            ids[i * length..][..text.len()].copy_from_slice(text);
            mask[i * length..][..text.len()].fill(1);
        }
        TokenBatch {
            ids: Tensor::from_slice(&ids).view([n, length as i64]).to_device(device),
            mask: Tensor::from_slice(&mask)
                .view([n, length as i64])
                .to_kind(Kind::Bool)
                .to_device(device),
        }
    }
}
