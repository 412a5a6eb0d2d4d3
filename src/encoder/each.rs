//! Encoding a batch in which a single input may be odd.

use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::pixels::Pixels;

/// An embedding for each input, or the reason why there is none.
pub(crate) type Outcomes = Vec<std::result::Result<Embedding, String>>;

/// An embedding for each picture, or the reason why there is none.
///
/// An encoder that fails on a batch, or gives something else than an embedding of its space for each, is asked for each picture alone, so that an odd one costs only itself, and at last for a
/// plain one: one that does not take that either is broken, and says nothing about the pictures.
///
/// # Errors
/// The encoder's, if it fails on a plain picture too, or has no memory for a single one; [`Error::EncoderGone`] at once, which
/// says nothing about any picture.
pub(crate) fn encode_each_image(
    encoder: &mut dyn Encoder,
    pictures: &[Pixels],
) -> Result<Outcomes> {
    let side = encoder.preprocess().size;
    let plain = || Pixels::new(side, side, vec![128; side as usize * side as usize * 3]);
    encode_each(encoder, pictures, plain, |encoder, pictures| encoder.encode_images(pictures))
}

/// An embedding for each text, or the reason why there is none; otherwise as [`encode_each_image`].
///
/// # Errors
/// The encoder's, if it fails on a plain text too, or has no memory for a single one.
pub(crate) fn encode_each_text(encoder: &mut dyn Encoder, texts: &[&str]) -> Result<Outcomes> {
    encode_each(encoder, texts, || Ok("a photo"), |encoder, texts| encoder.encode_texts(texts))
}

fn encode_each<T>(
    encoder: &mut dyn Encoder,
    inputs: &[T],
    plain: impl FnOnce() -> Result<T>,
    encode: impl Fn(&mut dyn Encoder, &[T]) -> Result<Vec<Embedding>>,
) -> Result<Outcomes> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let dim = encoder.space().dim;
    match of_this_space(encode(encoder, inputs), inputs.len(), dim) {
        Ok(embeddings) => return Ok(embeddings.into_iter().map(Ok).collect()),
        Err(gone @ Error::EncoderGone { .. }) => return Err(gone),
        Err(_) => {}
    }
    let mut outcomes = Vec::with_capacity(inputs.len());
    for input in inputs.chunks(1) {
        outcomes.push(match of_this_space(encode(encoder, input), 1, dim) {
            Ok(mut embeddings) => Ok(embeddings.swap_remove(0)),
            Err(gone @ Error::EncoderGone { .. }) => return Err(gone),
            // Another input might not have fitted either; this one will when there is more room.
            Err(error) if is_out_of_memory(&error) => return Err(error),
            Err(error) => Err(error.to_string()),
        });
    }
    if outcomes.iter().any(std::result::Result::is_err) {
        of_this_space(encode(encoder, &[plain()?]), 1, dim)?;
    }
    Ok(outcomes)
}

/// As libtorch words it: "CUDA out of memory", "MPS backend out of memory", "not enough memory" for the processor.
pub(crate) fn is_out_of_memory(error: &Error) -> bool {
    let text = error.to_string();
    ["out of memory", "not enough memory", "can't allocate memory"]
        .iter()
        .any(|&s| text.contains(s))
}

/// What an encoder gave, if that is an embedding of its space for each input. A vector cannot be an [`Embedding`] without being
/// finite and of unit length; how many there are, and of how many dimensions, its type does not say.
///
/// # Errors
/// The encoder's; [`Error::Encoder`] for another number of embeddings, [`Error::Dimension`].
pub(crate) fn of_this_space(
    encoded: Result<Vec<Embedding>>,
    n_inputs: usize,
    expected: usize,
) -> Result<Vec<Embedding>> {
    let embeddings = encoded?;
    if embeddings.len() != n_inputs {
        let reason = format!("{} embeddings came back for {n_inputs} inputs", embeddings.len());
        return Err(Error::Encoder { reason });
    }
    match embeddings.iter().find(|embedding| embedding.dim() != expected) {
        Some(wrong) => Err(Error::Dimension { expected, found: wrong.dim() }),
        None => Ok(embeddings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{FakeEncoder, Fault};

    /// What becomes of inputs where the encoder fails on those above 9, on 99 for want of memory, and, where it is broken, on all.
    fn outcomes(inputs: &[i32], is_broken: bool) -> std::result::Result<Vec<bool>, String> {
        let encode = |_: &mut dyn Encoder, inputs: &[i32]| {
            let failed = |reason: &str| Err(Error::Encoder { reason: reason.into() });
            match inputs.iter().max() {
                _ if is_broken => failed("the card is gone"),
                Some(99) => failed("CUDA out of memory. Tried to"),
                Some(10..) => failed("odd"),
                Some(_) | None => Ok(inputs
                    .iter()
                    .map(|_| Embedding::normalized(vec![1.0; 16]))
                    .collect::<Result<_>>()?),
            }
        };
        encode_each(&mut FakeEncoder::default(), inputs, || Ok(0), encode)
            .map(|outcomes| outcomes.iter().map(std::result::Result::is_ok).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn odd_inputs_cost_themselves_even_where_there_are_no_others() {
        assert_eq!(outcomes(&[1, 2], false), Ok(vec![true, true]));
        assert_eq!(outcomes(&[1, 10, 2], false), Ok(vec![true, false, true]));
        assert_eq!(outcomes(&[10, 11, 12], false), Ok(vec![false; 3]));
        assert_eq!(outcomes(&[10], false), Ok(vec![false]));
    }

    #[test]
    fn a_broken_encoder_refuses_no_input() {
        for inputs in [&[1, 2][..], &[10, 11], &[1], &[10]] {
            assert!(outcomes(inputs, true).unwrap_err().contains("the card is gone"), "{inputs:?}");
        }
    }

    #[test]
    fn want_of_memory_is_no_refusal() {
        for inputs in [&[1, 99][..], &[99], &[10, 99]] {
            assert!(outcomes(inputs, false).unwrap_err().contains("out of memory"), "{inputs:?}");
        }
    }
    #[test]
    fn what_is_no_embedding_costs_itself_and_moves_no_other() {
        let texts = ["red", "magenta", "blue"];
        let sound = FakeEncoder::default().encode_texts(&texts).unwrap();
        for (name, fault) in Fault::ALL {
            let mut faulty = FakeEncoder::default().with_fault(fault);
            let outcomes = encode_each_text(&mut faulty, &texts).unwrap();
            assert_eq!(outcomes.len(), 3, "{name}");
            assert!(outcomes[1].is_err(), "{name}");
            assert_eq!(
                [&outcomes[0], &outcomes[2]],
                [&Ok(sound[0].clone()), &Ok(sound[2].clone())]
            );
        }
        let outcomes = encode_each_text(&mut FakeEncoder::default(), &texts).unwrap();
        assert!(outcomes.iter().all(std::result::Result::is_ok), "the control");
    }
}
