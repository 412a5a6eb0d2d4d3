//! Encoding a batch in which a single input may be odd.

use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};

/// An embedding for each input, or the reason why there is none.
pub(crate) type Outcomes = Vec<std::result::Result<Embedding, String>>;

/// An embedding for each input, or the reason why there is none.
///
/// An encoder that fails on a batch is asked for each input alone, so that one odd picture costs only itself.
///
/// # Errors
/// The encoder's, if it fails on every input of a batch: then it is not the inputs that are odd. [`Error::EncoderGone`]
/// at once, which says nothing about any input.
pub(crate) fn encode_each<T>(
    encoder: &mut dyn Encoder,
    inputs: &[T],
    mut encode: impl FnMut(&mut dyn Encoder, &[T]) -> Result<Vec<Embedding>>,
) -> Result<Outcomes> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let dim = encoder.space().dim;
    match encode(encoder, inputs) {
        Ok(embeddings) => return of_this_space(embeddings, inputs.len(), dim),
        Err(gone @ Error::EncoderGone { .. }) => return Err(gone),
        Err(_) => {}
    }
    let mut outcomes = Vec::with_capacity(inputs.len());
    let mut last_error = None;
    for input in inputs.chunks(1) {
        outcomes.push(match encode(encoder, input) {
            Ok(embeddings) => of_this_space(embeddings, 1, dim)?.swap_remove(0),
            Err(gone @ Error::EncoderGone { .. }) => return Err(gone),
            Err(error) => {
                let reason = error.to_string();
                last_error = Some(error);
                Err(reason)
            }
        });
    }
    match last_error {
        Some(error) if inputs.len() > 1 && outcomes.iter().all(std::result::Result::is_err) => {
            Err(error)
        }
        Some(_) | None => Ok(outcomes),
    }
}

fn of_this_space(embeddings: Vec<Embedding>, n_inputs: usize, expected: usize) -> Result<Outcomes> {
    if embeddings.len() != n_inputs {
        let reason = format!("{} embeddings came back for {n_inputs} inputs", embeddings.len());
        return Err(Error::Encoder { reason });
    }
    if let Some(wrong) = embeddings.iter().find(|embedding| embedding.dim() != expected) {
        return Err(Error::Dimension { expected, found: wrong.dim() });
    }
    Ok(embeddings.into_iter().map(Ok).collect())
}
