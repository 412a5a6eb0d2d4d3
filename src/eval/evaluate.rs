//! Encodes pairs of images and captions, or images and labels, and ranks them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::eval::classes::{check_prompts, class_embeddings};
use crate::eval::encode::{BATCH, encode_all, teller};
use crate::eval::{Retrieval, ZeroShot, retrieval, zero_shot};
use crate::media::{Pair, Pairs, in_parallel};

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
    let n_images = pairs.len();
    let mut tell = teller(progress, n_images + n_captions);
    let images = encode_pictures(encoder, pairs, &mut tell)?;
    let of_image = |(i, pair): (usize, &Pair)| {
        pair.captions.iter().map(move |text| (text.clone(), i)).collect()
    };
    let (texts, owner): (Vec<String>, Vec<usize>) =
        pairs.iter().enumerate().flat_map::<Vec<_>, _>(of_image).unzip();
    let embeddings = encode_all(encoder, &texts, &mut |done| tell(n_images + done))?;
    Ok(retrieval(&images, &embeddings, &owner))
}

/// How often an encoder that never saw the classes names the right one: every label of `pairs` is a class, put into
/// each of the prompts in the place of `{}`; a class's embedding is the mean over its prompts. Images
/// without a label or that cannot be read are left out and counted in `skipped`.
///
/// # Errors
/// [`Error::BadOption`] if no image has a label or a prompt has no `{}`; else as [`evaluate`].
pub fn evaluate_labels(
    encoder: &mut dyn Encoder,
    pairs: &mut Pairs,
    prompts: &[String],
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<ZeroShot> {
    check_prompts(prompts)?;
    pairs.drop_unlabelled();
    let labels: BTreeSet<String> = pairs.iter().filter_map(|pair| pair.label.clone()).collect();
    let labels: Vec<String> = labels.into_iter().collect();
    if labels.is_empty() {
        let reason = "a zero-shot measurement needs images with a `label`".into();
        return Err(Error::BadOption { reason });
    }
    let (n_images, n_texts) = (pairs.len(), labels.len() * prompts.len());
    let mut tell = teller(progress, n_images + n_texts);
    let images = encode_pictures(encoder, pairs, &mut tell)?;
    let classes = class_embeddings(encoder, &labels, prompts, &mut |done| tell(n_images + done))?;
    let number: BTreeMap<&str, usize> =
        labels.iter().enumerate().map(|(i, label)| (label.as_str(), i)).collect();
    let truth: Vec<usize> = pairs
        .iter()
        .map(|pair| number[pair.label.as_deref().expect("unlabelled ones are left out")])
        .collect();
    Ok(zero_shot(&images, &classes, &truth))
}

/// Embeddings of the images that can be read; the others leave `pairs`.
fn encode_pictures(
    encoder: &mut dyn Encoder,
    pairs: &mut Pairs,
    tell: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Embedding>> {
    let (mut images, mut keep) = (Vec::new(), Vec::new());
    for start in (0..pairs.len()).step_by(BATCH) {
        let n = BATCH.min(pairs.len() - start);
        let (readable, preprocess): (&Pairs, _) = (pairs, encoder.preprocess());
        let pictures =
            in_parallel(n, |i| preprocess.apply(&readable.pixels(start + i, preprocess.detail())?));
        keep.extend(pictures.iter().map(Result::is_ok));
        images.extend(encoder.encode_images(&pictures.into_iter().flatten().collect::<Vec<_>>())?);
        tell(start + n)?;
    }
    let n_lost = keep.iter().filter(|kept| !**kept).count();
    pairs.retain(&keep);
    if n_lost > 0 {
        pairs.skipped.insert("images cannot be read".into(), n_lost);
    }
    Ok(images)
}
