//! `status`: what a library holds, in numbers.

use std::fs;
use std::path::PathBuf;

use super::snapshots::Snapshots;
use super::{Library, public};
use crate::encoder::Space;
use crate::error::{Result, io_at};
use crate::index::Tuning;
use crate::item::{Modality, Status};

/// What a library holds.
#[derive(Clone, Debug)]
pub struct LibraryStatus {
    /// Its directory.
    pub dir: PathBuf,
    /// The model that filled it; `None` while it is empty.
    pub space: Option<Space>,
    /// Models that [`Library::reindex`] has begun to change to.
    pub reindexing: Vec<Reindexing>,
    /// How many batches were committed so far.
    pub generation: u64,
    /// Items by modality and status; what there is none of is not listed.
    pub items: Vec<ItemCount>,
    /// One for each modality.
    pub snapshots: Vec<SnapshotStatus>,
    /// What `index` was asked to index.
    pub roots: Vec<PathBuf>,
    /// All its files together.
    pub size_bytes: u64,
}

/// A change of the model that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reindexing {
    /// The space of the other model.
    pub space: Space,
    /// Different images and texts that have an embedding of it.
    pub n_done: u64,
    /// All of them.
    pub n_total: u64,
}

/// How many items of one kind there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemCount {
    /// Images or texts.
    pub modality: Modality,
    /// Whether they can be found.
    pub status: Status,
    /// How many.
    pub n_items: u64,
}

/// How searching one modality goes.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotStatus {
    /// Images or texts.
    pub modality: Modality,
    /// Different contents, each of which has one embedding.
    pub n_embeddings: u64,
    /// The snapshot that searching uses.
    pub state: SnapshotState,
    /// What its graph was measured to find, if it has one.
    pub tuning: Option<Tuning>,
}

/// Whether there is a snapshot and how far behind it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// None; every embedding is compared.
    None,
    /// One that is used.
    Current {
        /// The catalog's generation that it holds.
        generation: u64,
        /// Whether it holds a graph.
        has_graph: bool,
        /// Embeddings that are newer.
        n_tail: u64,
        /// Embeddings in it that are gone.
        n_dead: u64,
    },
    /// One that cannot be used, for this reason.
    Unusable(String),
}

impl Library {
    /// What the library holds.
    ///
    /// # Errors
    /// [`crate::Error::Catalog`], [`crate::Error::Io`].
    pub fn status(&self) -> Result<LibraryStatus> {
        let view = self.catalog.view();
        let counts = view.counts()?.into_iter();
        let items = counts
            .map(|counts| ItemCount {
                modality: counts.modality,
                status: counts.status,
                n_items: counts.n_items,
            })
            .collect();
        Ok(LibraryStatus {
            dir: self.dir.clone(),
            space: self.space()?,
            reindexing: self.reindexing()?,
            generation: view.generation()?,
            items,
            snapshots: self.snapshot_status()?,
            roots: view.roots()?.into_iter().map(|root| root.path).collect(),
            size_bytes: self.size_bytes()?,
        })
    }

    fn reindexing(&self) -> Result<Vec<Reindexing>> {
        let view = self.catalog.view();
        let Some(own) = view.space()? else { return Ok(Vec::new()) };
        let n_total = view.n_contents(Modality::Image)? + view.n_contents(Modality::Text)?;
        let mut reindexing = Vec::new();
        for space in view.other_spaces()?.into_iter().filter(|space| space.id.0 > own.id.0) {
            let n_done = self.n_embeddings(&space)?;
            if n_done > 0 {
                reindexing.push(Reindexing { space: public(space), n_done, n_total });
            }
        }
        Ok(reindexing)
    }

    fn snapshot_status(&self) -> Result<Vec<SnapshotStatus>> {
        let view = self.catalog.view();
        let Some(space) = view.space()? else { return Ok(Vec::new()) };
        let generation = view.generation()?;
        let mut snapshots = Snapshots::new(&self.dir);
        let mut status = Vec::new();
        for modality in Modality::ALL {
            let n_embeddings = view.n_embeddings(space.id, modality, 0)?;
            let mut tuning = None;
            let state = match snapshots.current(&space, modality, generation) {
                Ok(None) => SnapshotState::None,
                Err(reason) => SnapshotState::Unusable(reason),
                Ok(Some(snapshot)) => {
                    let generation = snapshot.meta().generation;
                    tuning = snapshot.tuning().cloned();
                    SnapshotState::Current {
                        generation,
                        has_graph: snapshot.has_graph(),
                        n_tail: view.n_embeddings(space.id, modality, generation)?,
                        n_dead: view.dead_keys(space.id, modality, generation)?.len() as u64,
                    }
                }
            };
            status.push(SnapshotStatus { modality, n_embeddings, state, tuning });
        }
        Ok(status)
    }

    fn size_bytes(&self) -> Result<u64> {
        let entries = fs::read_dir(&self.dir).map_err(io_at("list", &self.dir))?;
        let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
        Ok(sizes.filter(fs::Metadata::is_file).map(|file| file.len()).sum())
    }
}
