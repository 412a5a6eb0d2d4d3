//! `forget`: takes items out of the library, and every trace of them out of its files.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::refresh::Purpose;
use super::{Forgotten, Library};
use crate::catalog::{Catalog, remove_if_there};
use crate::error::{Error, Result};
use crate::item::{ItemId, Modality, Source};

/// Items that are removed in one transaction; each may take its texts along.
const BATCH: usize = 64;

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// One item.
    Id(ItemId),
    /// Everything that came from a file, a tar or a manifest, or from below a directory. The file itself need
    /// not exist any more, and is not touched.
    Path(PathBuf),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "item {id}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl Library {
    /// Takes items out, with the texts that describe them. What is still on the disk comes back at the next
    /// [`Library::index`] of its root.
    ///
    /// Afterwards neither the catalog, nor its log, nor a snapshot holds what was taken out, for which the catalog is written
    /// anew. Where that cannot be, as while somebody else reads an older state, a warning says so.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a selector selects nothing; what came before it is forgotten all the same.
    pub fn forget(&mut self, what: &[Selector]) -> Result<Forgotten> {
        self.require_writer()?;
        let mut forgotten = Forgotten::default();
        let mut outcome = Ok(());
        for selector in what {
            let removed = match selector {
                Selector::Id(id) => self.remove(&[*id])?,
                Selector::Path(path) => self.forget_path(path)?,
            };
            if removed == Forgotten::default() {
                let what = selector.to_string();
                outcome = Err(Error::NotFound { what, library: self.dir.clone() });
                break;
            }
            forgotten.add(removed);
        }
        for modality in Modality::ALL {
            self.refresh_snapshot(modality, Purpose::Oblivion, None, &mut |_| {
                ControlFlow::Continue(())
            })?;
            self.forget_in_background(modality)?;
        }
        // The snapshot of a reindexing that was interrupted is no one's, but holds what was forgotten.
        self.snapshots.tidy()?;
        self.remove_salvaged()?;
        // Also where nothing was found: an earlier call may have been stopped before this.
        self.pack()?;
        if !self.catalog.checkpoint()? {
            let log = self.catalog.path().with_extension("db-wal");
            self.warnings.push(format!(
                "another process reads the library: what was forgotten stays in {} until that ends",
                log.display()
            ));
        }
        outcome.map(|()| forgotten)
    }

    /// What [`Library::open_for_repair`] keeps of a damaged catalog holds what was forgotten, too.
    fn remove_salvaged(&mut self) -> Result<()> {
        for path in Catalog::kept_in(&self.dir)? {
            remove_if_there(&path)?;
            self.warnings
                .push(format!("removed {}, which may hold what was forgotten", path.display()));
        }
        Ok(())
    }

    /// Takes room for a second catalog; without it, what is forgotten is forgotten all the same.
    fn pack(&mut self) -> Result<()> {
        match self.catalog.pack() {
            Err(Error::Catalog { path, reason, corrupt: false, .. }) => {
                self.warnings.push(format!(
                    "traces of what was forgotten may be left in {} until `mmsearch forget` can write it anew: {reason}",
                    path.display()
                ));
                Ok(())
            }
            packed => packed,
        }
    }

    fn forget_path(&mut self, path: &Path) -> Result<Forgotten> {
        let path = super::roots::absolute(path)?;
        let mut forgotten = Forgotten::default();
        loop {
            let page = self.catalog.view().items_under(&path, ItemId(0), BATCH)?;
            if page.is_empty() {
                break;
            }
            let ids: Vec<ItemId> = page.iter().map(|stored| stored.item.id).collect();
            forgotten.add(self.remove(&ids)?);
        }
        let mut batch = self.catalog.batch()?;
        batch.remove_containers_under(&path)?;
        batch.commit()?;
        Ok(forgotten)
    }

    fn remove(&mut self, ids: &[ItemId]) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        let mut batch = self.catalog.batch()?;
        for &id in ids {
            let source = batch.view().item(id)?.map(|stored| stored.item.source);
            forgotten.count(&batch.remove_item(id)?);
            match source {
                Some(Source::File { path }) => batch.remove_root(&path)?,
                // As for a file that is still there: the next `index` takes it in again.
                Some(Source::TarMember { tar, .. }) => batch.forget_completeness_of(&tar)?,
                Some(Source::ManifestRow { manifest, .. }) => {
                    batch.forget_completeness_of(&manifest)?;
                }
                Some(Source::Inline { .. }) | None => {}
            }
        }
        batch.commit()?;
        Ok(forgotten)
    }
}
