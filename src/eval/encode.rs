//! How measuring and classifying drive an encoder: the sizes of batches, and a caller who may say stop.

use std::ops::ControlFlow;

use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};

/// Images that are decoded and encoded at once.
pub(super) const BATCH: usize = 8;

/// Texts that are encoded at once.
pub(super) const TEXT_BATCH: usize = 64;

/// Turns a caller's progress into one that ends the work with `?`.
pub(super) fn teller<'a>(
    progress: &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    total: usize,
) -> impl FnMut(usize) -> Result<()> + 'a {
    move |done| match progress(done, total) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

/// An embedding for each text; `tell` hears how many are done.
pub(super) fn encode_all(
    encoder: &mut dyn Encoder,
    texts: &[String],
    tell: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Embedding>> {
    let mut embeddings = Vec::with_capacity(texts.len());
    for chunk in texts.chunks(TEXT_BATCH) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        embeddings.extend(encoder.encode_texts(&chunk)?);
        tell(embeddings.len())?;
    }
    Ok(embeddings)
}
