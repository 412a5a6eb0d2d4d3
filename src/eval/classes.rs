//! Classes that are only known by name: a label put into prompts, and the mean of what these embed to.

use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::eval::encode::{TEXT_BATCH, encode_all};

/// What a prompt has in the place of the class name.
pub const PLACEHOLDER: &str = "{}";

/// What a class is called where nobody says.
pub const DEFAULT_PROMPT: &str = "a photo of a {}";

/// Refuses prompts that would say the same of every class.
pub(super) fn check_prompts(prompts: &[String]) -> Result<()> {
    if prompts.is_empty() {
        let reason = "there is no prompt to put the class names into".into();
        return Err(Error::BadOption { reason });
    }
    match prompts.iter().find(|prompt| !prompt.contains(PLACEHOLDER)) {
        None => Ok(()),
        Some(wrong) => {
            let reason = format!("the prompt `{wrong}` has no {PLACEHOLDER} for the class name");
            Err(Error::BadOption { reason })
        }
    }
}

/// The embedding of each class: the mean over its prompts (Radford et al. 2021, arXiv 2103.00020, §3.1.4).
///
/// `tell` hears how many texts are encoded. There must be a prompt.
pub(super) fn class_embeddings(
    encoder: &mut dyn Encoder,
    labels: &[String],
    prompts: &[String],
    tell: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Embedding>> {
    let mut classes = Vec::with_capacity(labels.len());
    // Only the means are kept: eighty prompts for each of twenty thousand classes would take gigabytes.
    for labels in labels.chunks(TEXT_BATCH.div_ceil(prompts.len())) {
        let n_before = classes.len() * prompts.len();
        let texts: Vec<String> = labels
            .iter()
            .flat_map(|label| prompts.iter().map(move |prompt| prompt.replace(PLACEHOLDER, label)))
            .collect();
        let texts = encode_all(encoder, &texts, &mut |done| tell(n_before + done))?;
        for of_class in texts.chunks(prompts.len()) {
            classes.push(mean(of_class)?);
        }
    }
    Ok(classes)
}

/// The direction of the sum.
fn mean(embeddings: &[Embedding]) -> Result<Embedding> {
    let mut sum = vec![0.0; embeddings[0].dim()];
    for embedding in embeddings {
        sum.iter_mut().zip(embedding.as_slice()).for_each(|(sum, value)| *sum += value);
    }
    Embedding::normalized(sum)
}
