//! The library: a directory that can be searched, and the verbs that fill, search and mend it.
//!
//! The catalog in it is the truth; snapshots are derived from it and may be deleted at any time. Nothing here
//! prints or reads the environment; progress and cancelling are a callback.

mod background;
mod backup;
mod benchmark;
mod busy;
mod captions;
mod check;
mod duplicates;
mod durable;
mod embedded;
mod fill;
mod forget;
mod fusion;
mod index;
mod inline;
mod labels;
mod lock;
mod nearest;
mod page;
mod phrases;
mod pictures;
mod plan;
mod prepare;
mod question;
mod random;
mod refresh;
mod reindex;
mod repair;
mod report;
mod restore;
mod roots;
mod run;
mod search;
mod sidecars;
mod similar;
mod snapshots;
mod status;
mod tag;
mod tars;
mod write;

use std::path::{Path, PathBuf};

use crate::catalog::{Catalog, StoredSpace};
use crate::encoder::{Fingerprint, Space};
use crate::error::{Error, Result};
use crate::index::GRAPH_THRESHOLD;
use crate::item::{Item, ItemId};

use self::lock::WriterLock;
use self::snapshots::Snapshots;

pub use self::backup::{Backup, BackupOptions};
pub use self::benchmark::{Benchmark, Speed};
pub use self::busy::Busy;
pub use self::check::{CheckOptions, Finding, FindingKind};
pub use self::duplicates::{DuplicateGroup, DuplicatesOptions};
pub use self::embedded::EmbeddedImage;
pub use self::forget::Selector;
pub use self::index::IndexOptions;
pub use self::reindex::{ReindexOptions, Reindexed};
pub use self::repair::{LoadEncoder, Repair, Repaired};
pub use self::report::{Forgotten, MAX_LISTED, Progress, Report, Skip, Skips, Stage, Tally};
pub use self::restore::RestoreOptions;
pub use self::search::{Explained, SearchStep};
pub use self::status::{ItemCount, LibraryStatus, Reindexing, SnapshotState, SnapshotStatus};
pub use self::tag::Tagged;

/// How a library behaves while it is open.
#[derive(Clone, Copy, Debug)]
pub struct LibraryOptions {
    /// Below this many embeddings of one modality, snapshots have no graph and are searched exactly.
    pub graph_threshold: usize,
    /// Accept a directory on a network file system: without a write-ahead log, so that readers and the writer wait for each
    /// other, and only as safe as that file system's locks.
    pub allow_network_fs: bool,
}

impl Default for LibraryOptions {
    fn default() -> Self {
        Self { graph_threshold: GRAPH_THRESHOLD, allow_network_fs: false }
    }
}

/// An open library.
pub struct Library {
    dir: PathBuf,
    catalog: Catalog,
    snapshots: Snapshots,
    options: LibraryOptions,
    lock: Option<WriterLock>,
    warnings: Vec<String>,
    /// Whether rows were lost, nobody knows which, and their sources were not read again yet.
    is_salvaged: bool,
}

impl Library {
    /// Opens the library in `dir` for writing; makes it, for its owner only, if there is none.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process writes to it; what the catalog refuses ([`Error::NewerCatalog`],
    /// [`Error::NotACatalog`], [`Error::NetworkFs`], [`Error::Corrupt`]); [`Error::Io`].
    pub fn create_or_open(dir: &Path, options: LibraryOptions) -> Result<Self> {
        if !options.allow_network_fs {
            Catalog::require_local(dir)?;
        }
        Catalog::create_dir(dir)?;
        let lock = WriterLock::take(dir)?;
        restore::tidy(dir)?;
        Ok(Self::new(dir, open_catalog(dir, options)?, options, Some(lock)))
    }

    /// Opens the library in `dir` for reading, which never waits for a writer.
    ///
    /// # Errors
    /// [`Error::NoLibrary`] if there is none; [`Error::ReadOnly`] or [`Error::OlderCatalog`] if it would have to be written
    /// first and cannot be; otherwise as [`Library::create_or_open`].
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, LibraryOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`Library::open`].
    pub fn open_with(dir: &Path, options: LibraryOptions) -> Result<Self> {
        let catalog = match options.allow_network_fs {
            true => Catalog::open_on_network(dir)?,
            false => Catalog::open(dir)?,
        };
        Ok(Self::new(dir, catalog, options, None))
    }

    /// The library's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The space of the model that filled it; `None` while it is empty.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub fn space(&self) -> Result<Option<Space>> {
        Ok(self.catalog.view().space()?.map(public))
    }

    /// Whether there is nothing to find, so that no encoder is needed to search.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub fn is_empty(&self) -> Result<bool> {
        match self.catalog.view().space()? {
            Some(space) => self.holds_nothing(&space),
            None => Ok(true),
        }
    }

    /// The item of this identity.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if its row is damaged, [`Error::Catalog`].
    pub fn item(&self, id: ItemId) -> Result<Option<Item>> {
        Ok(self.catalog.view().item(id)?.map(|stored| stored.item))
    }

    /// The texts that describe an image, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a row is damaged, [`Error::Catalog`].
    pub fn captions_of(&self, image: ItemId) -> Result<Vec<Item>> {
        let texts = self.catalog.view().texts_of(image)?;
        Ok(texts.into_iter().map(|stored| stored.item).collect())
    }

    /// What went wrong without changing an answer, such as a damaged snapshot, or should be known, such as files that other
    /// users can read; each thing is told once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn new(
        dir: &Path,
        mut catalog: Catalog,
        options: LibraryOptions,
        lock: Option<WriterLock>,
    ) -> Self {
        let (snapshots, warnings) = (Snapshots::new(dir), catalog.take_warnings());
        let is_salvaged = false;
        Self { dir: dir.into(), catalog, snapshots, options, lock, warnings, is_salvaged }
    }

    fn require_writer(&self) -> Result<()> {
        if self.lock.is_some() {
            return Ok(());
        }
        let reason = format!("library {} was opened for reading only", self.dir.display());
        Err(Error::BadOption { reason })
    }

    /// The library's space, which must be that of the encoder; `None` while the library is empty.
    fn space_of(&self, encoder: &Space) -> Result<Option<StoredSpace>> {
        let Some(stored) = self.catalog.view().space()? else { return Ok(None) };
        if stored.fingerprint != encoder.fingerprint.0 {
            if self.holds_nothing(&stored)? {
                // Nothing was ever encoded, or all of it was forgotten: no vector is tied to that model.
                return Ok(None);
            }
            let name = |model: &str, fingerprint: &str| {
                format!("{model} ({})", fingerprint.get(..12).unwrap_or(fingerprint))
            };
            return Err(Error::ModelMismatch {
                path: self.dir.clone(),
                library_model: name(&stored.model, &stored.fingerprint),
                model: name(&encoder.model, &encoder.fingerprint.0),
            });
        }
        if stored.dim != encoder.dim {
            return Err(Error::Dimension { expected: stored.dim, found: encoder.dim });
        }
        Ok(Some(stored))
    }

    fn holds_nothing(&self, space: &StoredSpace) -> Result<bool> {
        Ok(!self.catalog.view().has_embeddings(space.id)?)
    }

    /// The library's space, which becomes that of the encoder if the library is empty.
    fn space_for(&mut self, encoder: &Space) -> Result<StoredSpace> {
        if let Some(stored) = self.space_of(encoder)? {
            return Ok(stored);
        }
        let mut batch = self.catalog.batch()?;
        let stored = batch.set_space(&encoder.fingerprint.0, &encoder.model, encoder.dim)?;
        batch.commit()?;
        Ok(stored)
    }
}

fn public(stored: StoredSpace) -> Space {
    Space { fingerprint: Fingerprint(stored.fingerprint), model: stored.model, dim: stored.dim }
}

/// The catalog, for writing.
fn open_catalog(dir: &Path, options: LibraryOptions) -> Result<Catalog> {
    match options.allow_network_fs {
        true => Catalog::create_or_open_on_network(dir),
        false => Catalog::create_or_open(dir),
    }
}
