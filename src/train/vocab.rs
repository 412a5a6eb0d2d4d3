//! Learning a vocabulary of subwords from captions: byte-level BPE (Sennrich et al. 2016, arXiv 1508.07909; bytes as
//! in GPT-2), lower case. Every string can be written with it; a rare word falls apart into known pieces.

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::{Lowercase, NFKC, Sequence};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, Tokenizer, TokenizerImpl};

use crate::error::{Error, Result};

/// The name of token 0, which fills up short texts of a batch.
const PAD: &str = "<pad>";

/// The `tokenizer.json` of a vocabulary of at most `size` tokens learned from `texts`; token 0 is padding.
///
/// # Errors
/// [`Error::BadInput`]-like [`Error::Encoder`] if the texts yield no vocabulary.
pub(crate) fn learn<'a>(
    texts: impl Iterator<Item = &'a str> + Send,
    size: usize,
) -> Result<Vec<u8>> {
    let failed = |error: tokenizers::Error| Error::Encoder {
        reason: format!("cannot learn a vocabulary: {error}"),
    };
    let steps: Vec<NormalizerWrapper> = vec![NFKC.into(), Lowercase.into()];
    let mut tokenizer: TokenizerImpl<BPE, Sequence, ByteLevel, ByteLevel, ByteLevel> =
        TokenizerImpl::new(BPE::default());
    tokenizer.with_normalizer(Some(Sequence::new(steps)));
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(true, false, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(size)
        .min_frequency(2)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from(PAD, true)])
        .build();
    tokenizer.train(&mut trainer, texts).map_err(failed)?;
    Ok(Tokenizer::from(tokenizer).to_string(false).map_err(failed)?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_are_one_token_and_unknown_ones_fall_apart() {
        let texts = ["a dog runs", "the dog sits", "a dog and a cat", "Dogs run"];
        let json = learn(texts.into_iter(), 290).unwrap();
        let tokenizer = Tokenizer::from_bytes(&json).unwrap();
        let tokens = |text: &str| tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec();
        assert_eq!(tokenizer.token_to_id(PAD), Some(0));
        assert_eq!(tokens("DOG").len(), 1);
        assert_eq!(tokens("dog dog"), [tokens("dog"), tokens("dog")].concat());
        assert!(tokens("東京").len() >= 6 && !tokens("東京").contains(&0));
        assert_eq!(learn(texts.into_iter(), 290).unwrap(), json, "learning is repeatable");
    }
}
