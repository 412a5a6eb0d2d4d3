//! One run of `index`: what its steps share, and the steps that are not of one kind of source.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::plan::Retry;
use super::prepare::{Pool, Preparation};
use super::roots::is_gone;
use super::sidecars::Sidecars;
use super::{Forgotten, IndexOptions, Progress, Report, Stage};
use crate::catalog::{Catalog, Root, StoredSpace};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::item::{ItemId, Source};
use crate::media::Limits;

/// Items that are looked at or removed in one transaction; each may take its texts along.
const FORGET_BATCH: usize = 64;

/// A run of `index`. Its other steps are in `pictures`, `tars`, `captions` and `sidecars`.
pub(super) struct Run<'a> {
    pub(super) catalog: &'a mut Catalog,
    pub(super) encoder: &'a mut dyn Encoder,
    pub(super) space: StoredSpace,
    pub(super) limits: Limits,
    /// Which failures are worth another look.
    pub(super) retry: Retry,
    /// Whether what is not decoded here can be decoded by another program.
    pub(super) has_external_decoder: bool,
    pub(super) pool: Pool,
    pub(super) report: Report,
    /// Files that were looked at in this run.
    pub(super) seen: HashSet<PathBuf>,
    pub(super) sidecars: Sidecars,
    pub(super) n_images: Count,
    pub(super) n_texts: Count,
    progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
}

/// How much of a stage is done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) n_done: u64,
    pub(super) n_total: u64,
}

impl<'a> Run<'a> {
    pub(super) fn start(
        catalog: &'a mut Catalog,
        encoder: &'a mut dyn Encoder,
        space: StoredSpace,
        options: &IndexOptions,
        report: Report,
        progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Self {
        let (limits, external) = (options.limits, options.external_decoder.clone());
        let has_external_decoder = external.is_some();
        let pool = Pool::start(Preparation::new(encoder, limits, external));
        let (n_images, n_texts) = (Count::default(), Count::default());
        let (seen, sidecars) = (HashSet::new(), Sidecars::default());
        Self {
            catalog,
            encoder,
            space,
            limits,
            retry: options.retry(),
            has_external_decoder,
            pool,
            report,
            seen,
            sidecars,
            n_images,
            n_texts,
            progress,
        }
    }

    pub(super) fn finish(mut self) -> Report {
        self.report.busy.add_pictures(self.pool.busy());
        self.report
    }

    pub(super) fn remember_roots(&mut self, roots: &[Root]) -> Result<()> {
        let view = self.catalog.view();
        let mut new = Vec::new();
        for root in roots {
            if view.root(&root.path)?.as_ref() != Some(root) {
                new.push(root);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let mut batch = self.catalog.batch()?;
        for root in new {
            batch.set_root(root)?;
        }
        batch.commit().map(|_| ())
    }

    /// Forgets items whose file is gone: those below the roots, and these paths.
    pub(super) fn forget_what_is_gone(&mut self, roots: &[Root], gone: &[PathBuf]) -> Result<()> {
        for root in roots {
            self.forget_gone_below(&root.path)?;
        }
        for path in gone {
            let stored = self.catalog.view().item_at(&Source::File { path: path.clone() })?;
            if let Some(stored) = stored.filter(|_| is_gone(path)) {
                self.remove(&[stored.item.id])?;
            }
        }
        Ok(())
    }

    fn forget_gone_below(&mut self, root: &Path) -> Result<()> {
        let mut after = ItemId(0);
        loop {
            let page = self.catalog.view().items_under(root, after, FORGET_BATCH * 16)?;
            let Some(last) = page.last() else { break };
            after = last.item.id;
            let gone: Vec<ItemId> = page
                .iter()
                .filter(|stored| match &stored.item.source {
                    Source::File { path } => is_gone(path),
                    Source::TarMember { tar, .. } => is_gone(tar),
                    Source::ManifestRow { manifest, .. } => is_gone(manifest),
                    Source::Inline { .. } => false,
                })
                .map(|stored| stored.item.id)
                .collect();
            self.remove(&gone)?;
        }
        for container in self.catalog.view().containers_under(root)? {
            if is_gone(&container.path) {
                let mut batch = self.catalog.batch()?;
                batch.remove_containers_under(&container.path)?;
                batch.commit()?;
            }
        }
        Ok(())
    }

    /// Removes items and counts them as forgotten.
    pub(super) fn remove(&mut self, ids: &[ItemId]) -> Result<()> {
        for ids in ids.chunks(FORGET_BATCH) {
            let mut forgotten = Forgotten::default();
            let mut batch = self.catalog.batch()?;
            for &id in ids {
                forgotten.count(&batch.remove_item(id)?);
            }
            batch.commit()?;
            self.report.forget(forgotten);
            let n_done = self.report.images.forgotten + self.report.texts.forgotten;
            self.tell(Stage::Forget, n_done, None)?;
        }
        Ok(())
    }

    /// Removes what an older reading of a tar or manifest saw and the newest did not.
    pub(super) fn remove_before_scan(&mut self, container: &Path, scan: i64) -> Result<()> {
        loop {
            let ids = self.catalog.view().items_before_scan(container, scan, FORGET_BATCH)?;
            if ids.is_empty() {
                return Ok(());
            }
            self.remove(&ids)?;
        }
    }

    /// Tells the caller what is committed.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the caller has had enough.
    pub(super) fn tell(&mut self, stage: Stage, n_done: u64, n_total: Option<u64>) -> Result<()> {
        match (self.progress)(&Progress { stage, n_done, n_total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}
