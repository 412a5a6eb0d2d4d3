//! Making snapshots: which are worth a new one, and what goes into it.

use std::ops::ControlFlow;

use super::{Library, Progress, Stage, phrases, plan};
use crate::catalog::{Catalog, StoredSpace, View};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::index::{BuildOptions, SnapshotDraft, SnapshotMeta};
use crate::item::Modality;

/// Vectors that codes are fitted to.
const SAMPLE_SIZE: usize = 10_000;

/// With fewer texts of its own than this, a library is built with everyday phrases beside them.
const FEW_SAMPLES: usize = 5_000;

/// What is told of the progress; its answer may stop the work.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// Why a snapshot is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Searching shall be fast: written if it is damaged or too far behind, with a graph where one pays.
    Speed,
    /// Nothing that was forgotten shall be left: written if it holds any of that, without a graph, which may take
    /// minutes to build and is made up for by the next run of `index`.
    Oblivion,
}

/// The file of a snapshot that is not published yet.
pub(super) struct Made {
    pub(super) name: String,
    /// The state of the catalog that it holds.
    pub(super) generation: u64,
}

impl Library {
    /// Writes the snapshots that are missing, damaged, or too far behind, so that searching is fast again.
    ///
    /// [`Library::index`] ends with [`Library::refresh_snapshots_with`]; an app that adds items one by one calls one of the two now
    /// and then.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`]; [`crate::Error::Io`] if a file cannot be written.
    pub fn refresh_snapshots(&mut self, progress: Tell<'_>) -> Result<()> {
        self.refresh_all(None, progress)
    }

    /// The same with the encoder that fills the library: it says what queries look like, so that graphs suit them, and what
    /// scores mean, so that hits have a probability.
    ///
    /// # Errors
    /// As [`Library::refresh_snapshots`], [`crate::Error::ModelMismatch`], and the encoder's.
    pub fn refresh_snapshots_with(
        &mut self,
        encoder: &mut dyn Encoder,
        progress: Tell<'_>,
    ) -> Result<()> {
        self.space_of(encoder.space())?;
        self.refresh_all(Some(encoder), progress)
    }

    pub(super) fn refresh_all(
        &mut self,
        mut encoder: Option<&mut dyn Encoder>,
        progress: Tell<'_>,
    ) -> Result<()> {
        for modality in Modality::ALL {
            // Written out because a mutable reference in an option cannot be lent twice otherwise.
            let encoder: Option<&mut dyn Encoder> = match &mut encoder {
                Some(encoder) => Some(&mut **encoder),
                None => None,
            };
            self.refresh_snapshot(modality, Purpose::Speed, encoder, progress)?;
        }
        match encoder {
            Some(encoder) => self.refresh_backgrounds(encoder, Stage::Snapshot, progress),
            None => Ok(()),
        }
    }

    pub(super) fn refresh_snapshot(
        &mut self,
        modality: Modality,
        purpose: Purpose,
        encoder: Option<&mut dyn Encoder>,
        progress: Tell<'_>,
    ) -> Result<()> {
        self.require_writer()?;
        let view = self.catalog.view();
        let Some(space) = view.space()? else { return Ok(()) };
        let n_live = view.n_embeddings(space.id, modality, 0)?;
        let current = self.snapshots.current(&space, modality, view.generation()?);
        let (is_there, is_wanted) = match current {
            Ok(None) => (false, n_live > 0),
            Err(_) => (true, true),
            Ok(Some(snapshot)) => {
                let generation = snapshot.meta().generation;
                let n_tail = view.n_embeddings(space.id, modality, generation)?;
                let n_dead = view.dead_keys(space.id, modality, generation)?.len() as u64;
                let wants_graph = n_live >= self.options.graph_threshold as u64;
                let is_wanted = match purpose {
                    Purpose::Oblivion => n_dead > 0,
                    Purpose::Speed => {
                        plan::is_stale(n_live, n_tail, n_dead)
                            || (wants_graph && !snapshot.has_graph())
                            || snapshot.verify().is_err()
                    }
                };
                (true, is_wanted)
            }
        };
        if !is_wanted {
            return Ok(());
        }
        if n_live == 0 {
            if is_there {
                self.snapshots.publish(vec![(modality, None)])?;
                let mut batch = self.catalog.batch()?;
                batch.remove_background(space.id, modality)?;
                batch.commit()?;
            }
            return Ok(());
        }
        self.write_snapshot(&space, modality, purpose, encoder, progress)
    }

    /// Writes the snapshot of a modality whatever there is; none if there is nothing to find.
    pub(super) fn rewrite_snapshot(
        &mut self,
        modality: Modality,
        encoder: Option<&mut dyn Encoder>,
        progress: Tell<'_>,
    ) -> Result<()> {
        let view = self.catalog.view();
        let Some(space) = view.space()? else { return Ok(()) };
        match view.n_embeddings(space.id, modality, 0)? {
            0 => self.snapshots.publish(vec![(modality, None)]),
            _ => self.write_snapshot(&space, modality, Purpose::Speed, encoder, progress),
        }
    }

    fn write_snapshot(
        &mut self,
        space: &StoredSpace,
        modality: Modality,
        purpose: Purpose,
        encoder: Option<&mut dyn Encoder>,
        progress: Tell<'_>,
    ) -> Result<()> {
        self.snapshots.require_list()?;
        let made = self.make_snapshot(space, modality, purpose, encoder, progress)?;
        self.snapshots.publish(vec![(modality, Some(made.name))])?;
        let mut batch = self.catalog.batch()?;
        batch.drop_tombstones(space.id, modality, made.generation)?;
        batch.commit().map(|_| ())
    }

    /// Writes the file of a snapshot, which nobody reads before it is published.
    pub(super) fn make_snapshot(
        &mut self,
        space: &StoredSpace,
        modality: Modality,
        purpose: Purpose,
        encoder: Option<&mut dyn Encoder>,
        progress: Tell<'_>,
    ) -> Result<Made> {
        let mut draft = draft(&mut self.catalog, space, modality, &mut self.warnings)?;
        let n_total = Some(draft.len() as u64);
        let mut told = |n_done: usize| {
            progress(&Progress { stage: Stage::Snapshot, n_done: n_done as u64, n_total })
        };
        match purpose {
            Purpose::Speed if draft.len() >= self.options.graph_threshold => {
                let view = self.catalog.view();
                let mut samples = samples(view, space, modality, draft.len())?;
                if let Some(encoder) = encoder
                    && modality == Modality::Image
                    && samples.len() < FEW_SAMPLES * space.dim
                {
                    let phrases = phrases::encoded(encoder, 1, &mut || told(0))?;
                    phrases.iter().for_each(|phrase| samples.extend_from_slice(phrase.as_slice()));
                }
                draft.link(&samples, &BuildOptions::default(), &mut told)?;
            }
            Purpose::Speed | Purpose::Oblivion => {}
        }
        let generation = draft.meta().generation;
        let name = format!("snapshot-{}-{}-{generation}.mms", space.id.0, modality.name());
        draft.write(&self.dir.join(&name))?;
        Ok(Made { name, generation })
    }
}

/// The vectors of one modality out of one consistent state, without a graph. A damaged row stays behind with a
/// warning.
fn draft(
    catalog: &mut Catalog,
    space: &StoredSpace,
    modality: Modality,
    warnings: &mut Vec<String>,
) -> Result<SnapshotDraft> {
    let transaction = catalog.read()?;
    let view = transaction.view();
    let (generation, fingerprint) = (view.generation()?, space.fingerprint.clone());
    let meta = SnapshotMeta { generation, fingerprint, modality, dim: space.dim };
    let keys = view.embedding_keys(space.id, modality)?;
    let sample = vectors(view, space, &every(&keys, SAMPLE_SIZE))?;
    let mut draft = SnapshotDraft::new(meta, &sample, keys.len())?;
    view.each_embedding(space.id, modality, 0, |embedding| {
        match embedding {
            Ok(stored) if stored.embedding.dim() == space.dim => {
                draft.push(stored.key, stored.embedding.as_slice())?;
            }
            Ok(stored) => warnings.push(format!("embedding {} is of another space", stored.key)),
            Err(reason) => warnings.push(format!("{reason}; run `mmsearch check`")),
        }
        Ok(())
    })?;
    Ok(draft)
}

/// Vectors of the other modality, as samples of what will be asked.
fn samples(
    view: View<'_>,
    space: &StoredSpace,
    modality: Modality,
    n_nodes: usize,
) -> Result<Vec<f32>> {
    let other = match modality {
        Modality::Image => Modality::Text,
        Modality::Text => Modality::Image,
    };
    let keys = view.embedding_keys(space.id, other)?;
    vectors(view, space, &every(&keys, (n_nodes / 5).max(20_000)))
}

/// About `n_wanted` of all keys, at even steps.
pub(super) fn every(keys: &[u64], n_wanted: usize) -> Vec<u64> {
    keys.iter().copied().step_by(keys.len().div_ceil(n_wanted).max(1)).collect()
}

/// The vectors of these keys one after the other, without those whose rows are damaged.
pub(super) fn vectors(view: View<'_>, space: &StoredSpace, keys: &[u64]) -> Result<Vec<f32>> {
    let mut vectors = Vec::with_capacity(keys.len() * space.dim);
    for &key in keys {
        match view.embedding(key) {
            Ok(Some(stored)) if stored.embedding.dim() == space.dim => {
                vectors.extend_from_slice(stored.embedding.as_slice());
            }
            // Told when all rows are read.
            Ok(_) | Err(Error::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(vectors)
}
