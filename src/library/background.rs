//! What a score means: measured on everyday phrases, most of which have nothing to do with a given library.
//!
//! A cosine says little by itself: another model, and another library, have other ones. So with every snapshot the best score of
//! each of a thousand phrases is written down, and the probability of a hit is the share of them that it is above: how
//! seldom a phrase that was not made for this library does as well by chance.

use super::refresh::{Tell, every, vectors};
use super::{Library, Progress, Stage, phrases};
use crate::catalog::{Background, StoredSpace, View};
use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::index::{SearchOptions, Snapshot};
use crate::item::Modality;

/// Every so manieth of the phrases is asked.
const STEP: usize = 10;

/// Embeddings that a mean is taken of.
const OF_MEAN: usize = 10_000;

impl Library {
    /// Measures the backgrounds that are older than their snapshots, as a part of a stage.
    pub(super) fn refresh_backgrounds(
        &mut self,
        encoder: &mut dyn Encoder,
        stage: Stage,
        progress: Tell<'_>,
    ) -> Result<()> {
        let Some(space) = self.catalog.view().space()? else { return Ok(()) };
        let mut asked = Vec::new();
        for modality in Modality::ALL {
            let view = self.catalog.view();
            let Ok(Some(snapshot)) = self.snapshots.current(&space, modality, view.generation()?)
            else {
                continue;
            };
            let generation = snapshot.meta().generation;
            // One that is damaged is measured again.
            let known = view.background(space.id, modality).ok().flatten();
            if known.is_some_and(|known| known.generation == generation) {
                continue;
            }
            if asked.is_empty() {
                let mut go_on = || progress(&Progress { stage, n_done: 0, n_total: None });
                asked = phrases::encoded(encoder, STEP, &mut go_on)?;
            }
            let background = measured(view, &space, modality, snapshot, &asked)?;
            let mut batch = self.catalog.batch()?;
            batch.set_background(space.id, modality, &background)?;
            batch.commit()?;
        }
        Ok(())
    }

    /// Takes what was forgotten out of the mean, which says much of each of a few embeddings. The best scores, which do not say
    /// of which phrase or item they are, stay until they are measured again.
    pub(super) fn forget_in_background(&mut self, modality: Modality) -> Result<()> {
        let view = self.catalog.view();
        let Some(space) = view.space()? else { return Ok(()) };
        let left = match view.background(space.id, modality) {
            Ok(None) => return Ok(()),
            Ok(Some(known)) => {
                Some(Background { mean: mean_of_some(view, &space, modality)?, ..known })
            }
            Err(Error::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut batch = self.catalog.batch()?;
        match left {
            Some(background) => batch.set_background(space.id, modality, &background)?,
            None => batch.remove_background(space.id, modality)?,
        }
        batch.commit().map(|_| ())
    }
}

fn measured(
    view: View<'_>,
    space: &StoredSpace,
    modality: Modality,
    snapshot: &Snapshot,
    phrases: &[Embedding],
) -> Result<Background> {
    let mean = mean_of_some(view, space, modality)?;
    let foreign = modality != Modality::Text;
    let mut best_scores = Vec::with_capacity(phrases.len());
    for phrase in phrases {
        let options = SearchOptions { foreign, ..SearchOptions::top(1) };
        let best = snapshot.search(phrase, &options)?;
        best_scores.extend(best.neighbors.first().map(|best| best.score));
    }
    best_scores.sort_by(f32::total_cmp);
    let phrases: Vec<f32> = phrases.iter().flat_map(|it| it.as_slice()).copied().collect();
    let phrase_mean = self::mean(&phrases, space.dim);
    Ok(Background { generation: snapshot.meta().generation, mean, phrase_mean, best_scores })
}

fn mean_of_some(view: View<'_>, space: &StoredSpace, modality: Modality) -> Result<Vec<f32>> {
    let keys = view.embedding_keys(space.id, modality)?;
    Ok(mean(&vectors(view, space, &every(&keys, OF_MEAN))?, space.dim))
}

fn mean(vectors: &[f32], dim: usize) -> Vec<f32> {
    let mut mean = vec![0.0f32; dim];
    for vector in vectors.chunks_exact(dim) {
        mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    let n = (vectors.len() / dim).max(1) as f32;
    mean.iter_mut().for_each(|sum| *sum /= n);
    mean
}

/// The background of a modality, and a warning instead if it is damaged.
pub(super) fn good(
    view: View<'_>,
    space: &StoredSpace,
    modality: Modality,
    warnings: &mut Vec<String>,
) -> Result<Option<Background>> {
    match view.background(space.id, modality) {
        Err(Error::Corrupt { reason, .. }) => {
            super::search::warn(warnings, &reason);
            Ok(None)
        }
        found => found,
    }
}

/// The share of phrases whose best score is below this one; `None` if none was asked.
pub(super) fn probability(background: &Background, score: f32) -> Option<f32> {
    let n_below = background.best_scores.partition_point(|best| *best < score);
    (!background.best_scores.is_empty())
        .then(|| n_below as f32 / background.best_scores.len() as f32)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::encoder::FakeEncoder;
    use crate::item::{ItemId, Metadata};
    use crate::library::{EmbeddedImage, LibraryOptions, Selector};

    #[test]
    fn the_mean_is_of_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("library");
        let mut library = Library::create_or_open(&path, LibraryOptions::default()).unwrap();
        let mut encoder = FakeEncoder::default();
        let embeddings = encoder.encode_texts(&["red", "green", "blue"]).unwrap();
        let image = |(n, embedding): (usize, &Embedding)| EmbeddedImage {
            name: n.to_string(),
            embedding: embedding.clone(),
            metadata: Metadata::new(),
        };
        let images: Vec<_> = embeddings.iter().enumerate().map(image).collect();
        library.add_embedded_images(encoder.space(), images).unwrap();
        library.refresh_snapshots_with(&mut encoder, &mut |_| ControlFlow::Continue(())).unwrap();
        let known = |library: &Library| {
            let view = library.catalog.view();
            view.background(view.space().unwrap().unwrap().id, Modality::Image).unwrap().unwrap()
        };
        let expected = |of: &[Embedding]| {
            let vectors: Vec<f32> = of.iter().flat_map(|it| it.as_slice()).copied().collect();
            mean(&vectors, of[0].dim())
        };
        let before = known(&library);
        assert_eq!(before.mean, expected(&embeddings));
        library.forget(&[Selector::Id(ItemId(3))]).unwrap();
        let after = known(&library);
        assert_eq!(after.mean, expected(&embeddings[..2]));
        assert_eq!(after.best_scores, before.best_scores);
    }
}
