//! From strings to token ids, through the `tokenizers` library, which reads every published `tokenizer.json`.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::encoder::config::{ModelConfig, TokenizerConfig};
use crate::error::{Error, Result};

/// A model's tokenizer.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    config: TokenizerConfig,
    context: usize,
}

/// Token ids of one text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tokens {
    /// What the tower reads, without padding; never empty.
    pub(crate) ids: Vec<i64>,
    /// Whether the text has more of them than the tower reads.
    pub(crate) is_cut: bool,
}

/// Token ids of several texts, padded to one length.
pub(crate) struct TokenBatch {
    /// `[n, length]`, i64.
    pub(crate) ids: Tensor,
    /// `[n, length]`, true where the tower counts a token.
    pub(crate) mask: Tensor,
}

impl Tokenizer {
    /// Parses `tokenizer.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::BadModel`] if it is not a tokenizer or has tokens that the configuration's tower lacks.
    pub(crate) fn parse(json: &[u8], config: &ModelConfig, path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadModel { path: path.to_path_buf(), reason };
        let mut inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|error| bad(format!("tokenizer.json: {error}")))?;
        let largest = inner.get_vocab(true).values().copied().max().map_or(-1, i64::from);
        if largest >= config.vocab() as i64 {
            let vocab = config.vocab();
            return Err(bad(format!(
                "tokenizer.json has token id {largest}, text_tower.vocab is {vocab}"
            )));
        }
        // Length and padding are the configuration's, whatever the file says.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| bad(format!("tokenizer.json: {error}")))?;
        Ok(Self { inner, config: config.tokenizer.clone(), context: config.context() })
    }

    /// Token ids of one text, cut to the model's context.
    ///
    /// # Errors
    /// [`Error::Encoder`] if the tokenizer refuses the text.
    pub(crate) fn tokens(&self, text: &str) -> Result<Tokens> {
        match &self.config {
            TokenizerConfig::Subword { pad_id } => {
                let (mut ids, is_cut) = self.look_up(text, self.context)?;
                if ids.is_empty() {
                    ids.push(*pad_id);
                }
                Ok(Tokens { ids, is_cut })
            }
            TokenizerConfig::Clip { cleaning, start_id, end_id, .. } => {
                let head = self.head(text);
                let (mut ids, is_cut) = self.look_up(&cleaning.apply(head), self.context - 2)?;
                let is_cut = is_cut || head.len() < text.len();
                // CLIP reads the first end token, which a text may spell out.
                let end = ids.iter().position(|id| id == end_id).unwrap_or(ids.len());
                ids.truncate(end);
                ids.insert(0, *start_id);
                ids.push(*end_id);
                Ok(Tokens { ids, is_cut })
            }
            TokenizerConfig::Siglip { cleaning, end_id, .. } => {
                let head = self.head(text);
                let (mut ids, is_cut) = self.look_up(&cleaning.apply(head), self.context - 1)?;
                let is_cut = is_cut || head.len() < text.len();
                ids.push(*end_id);
                Ok(Tokens { ids, is_cut })
            }
        }
    }

    /// As [`Self::tokens`], without the word whether the text was cut.
    ///
    /// # Errors
    /// As [`Self::tokens`].
    pub(crate) fn ids(&self, text: &str) -> Result<Vec<i64>> {
        Ok(self.tokens(text)?.ids)
    }

    /// At most `limit` ids, and whether there were more.
    fn look_up(&self, text: &str, limit: usize) -> Result<(Vec<i64>, bool)> {
        let head = self.head(text);
        let encoding = self
            .inner
            .encode_fast(head, false)
            .map_err(|error| Error::Encoder { reason: format!("cannot tokenize: {error}") })?;
        let ids = encoding.get_ids();
        let is_cut = ids.len() > limit || head.len() < text.len();
        Ok((ids.iter().take(limit).map(|&id| i64::from(id)).collect(), is_cut))
    }

    /// As much of a text as can matter. A token stands for a few bytes; cutting first keeps a megabyte of text from
    /// costing a second.
    fn head<'a>(&self, text: &'a str) -> &'a str {
        &text[..text.floor_char_boundary(self.context.saturating_mul(256))]
    }

    /// Pads lists of ids to one length: the longest's, or the whole context where the tower sees the padding.
    pub(crate) fn pad(&self, texts: &[Vec<i64>], device: Device) -> TokenBatch {
        let longest = texts.iter().map(Vec::len).max().unwrap_or(1);
        let (pad_id, length, sees_padding) = match self.config {
            TokenizerConfig::Subword { pad_id } | TokenizerConfig::Clip { pad_id, .. } => {
                (pad_id, longest, false)
            }
            TokenizerConfig::Siglip { pad_id, .. } => (pad_id, self.context, true),
        };
        let mut ids = vec![pad_id; texts.len() * length];
        let mut mask = vec![u8::from(sees_padding); ids.len()];
        for (i, text) in texts.iter().enumerate() {
            ids[i * length..][..text.len()].copy_from_slice(text);
            mask[i * length..][..text.len()].fill(1);
        }
        let size = [texts.len() as i64, length as i64];
        TokenBatch {
            ids: Tensor::from_slice(&ids).view(size).to_device(device),
            mask: Tensor::from_slice(&mask).view(size).to_kind(Kind::Bool).to_device(device),
        }
    }
}
