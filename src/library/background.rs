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

/// The background after something was forgotten: the mean of a few embeddings says much of each of them, so it is taken of those
/// that are left. The best scores, which do not say of which phrase or item they are, stay until they are measured again.
pub(super) fn of_the_rest(
    view: View<'_>,
    space: &StoredSpace,
    modality: Modality,
) -> Result<Option<Background>> {
    let known = match view.background(space.id, modality) {
        // It is replaced at the next measuring; `check` tells of it.
        Err(Error::Corrupt { .. }) => None,
        known => known?,
    };
    let Some(known) = known else { return Ok(None) };
    Ok(Some(Background { mean: mean_of_some(view, space, modality)?, ..known }))
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
