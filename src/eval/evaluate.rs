//! Encodes pairs of images and captions and ranks them.

use std::ops::ControlFlow;

use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::eval::{Retrieval, retrieval};
use crate::media::{Pairs, in_parallel};

/// Images that are decoded and encoded at once.
const BATCH: usize = 8;

/// Texts that are encoded at once.
const TEXT_BATCH: usize = 64;

/// Figures of an encoder on pairs, in both directions. Images that cannot be read are left out of `pairs` and
/// counted in its `skipped`.
///
/// `progress` is told how many of how many images and captions are done.
///
/// # Errors
/// [`Error::Encoder`] if the encoder fails, [`Error::Cancelled`] if `progress` says so.
pub fn evaluate(
    encoder: &mut dyn Encoder,
    pairs: &mut Pairs,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Retrieval> {
    let n_captions: usize = pairs.iter().map(|pair| pair.captions.len()).sum();
    let total = pairs.len() + n_captions;
    let mut tell = |done: usize| match progress(done, total) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    };

    let (mut images, mut keep) = (Vec::new(), Vec::new());
    for start in (0..pairs.len()).step_by(BATCH) {
        let n = BATCH.min(pairs.len() - start);
        let (readable, preprocess): (&Pairs, _) = (pairs, encoder.preprocess());
        let pictures = in_parallel(n, |i| preprocess.apply(&readable.pixels(start + i)?));
        keep.extend(pictures.iter().map(Result::is_ok));
        images.extend(encoder.encode_images(&pictures.into_iter().flatten().collect::<Vec<_>>())?);
        tell(start + n)?;
    }
    let n_lost = keep.iter().filter(|kept| !**kept).count();
    pairs.retain(&keep);
    if n_lost > 0 {
        pairs.skipped.insert("images cannot be read".into(), n_lost);
    }

    let of_image = |(i, pair): (usize, &crate::media::Pair)| {
        pair.captions.iter().map(move |text| (text.clone(), i)).collect()
    };
    let (texts, owner): (Vec<String>, Vec<usize>) =
        pairs.iter().enumerate().flat_map::<Vec<_>, _>(of_image).unzip();
    let mut embeddings: Vec<Embedding> = Vec::with_capacity(texts.len());
    for chunk in texts.chunks(TEXT_BATCH) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        embeddings.extend(encoder.encode_texts(&chunk)?);
        tell(keep.len() + embeddings.len())?;
    }
    Ok(retrieval(&images, &embeddings, &owner))
}
