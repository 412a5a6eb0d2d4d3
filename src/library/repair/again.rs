//! Reading again what items came from, and encoding what has lost its embedding.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{FindingKind, Mending};
use crate::catalog::{Catalog, MAX_BATCH_ROWS, Root, StoredItem, UNREAD};
use crate::error::{Error, Result};
use crate::item::{ItemId, Source};
use crate::library::fill::{Fill, LeftOut};
use crate::library::reindex::fail;
use crate::library::roots::{self, regular_file};
use crate::library::run::Run;
use crate::library::sidecars::Sidecars;
use crate::library::{IndexOptions, Library, ReindexOptions, Report};
use crate::media::{Entry, Kind};

/// What is to be read again.
#[derive(Default)]
struct Sources {
    files: BTreeSet<PathBuf>,
    tars: BTreeSet<PathBuf>,
    manifests: BTreeSet<PathBuf>,
}

impl Library {
    /// Whether an item's root is missing or empty, as a disk that is not mounted.
    pub(super) fn is_away(&self, source: &Source) -> Result<bool> {
        let Some(path) = file_of(source) else { return Ok(false) };
        let away = self.roots_away()?;
        Ok(away.iter().any(|(root, _)| path.starts_with(root)))
    }
}

impl Mending<'_> {
    /// Reads the sources of mended items, and of those of which what their file said is damaged.
    pub(super) fn read_again(&mut self) -> Result<()> {
        let ids: BTreeSet<ItemId> = std::mem::take(&mut self.again).into_iter().collect();
        let mut sources = Sources::default();
        for &id in &ids {
            match self.good_item(id)?.map(|stored| stored.item.source) {
                Some(Source::File { path }) => sources.files.insert(path),
                Some(Source::TarMember { tar, .. }) => sources.tars.insert(tar),
                Some(Source::ManifestRow { manifest, .. }) => sources.manifests.insert(manifest),
                Some(Source::Inline { .. }) | None => false,
            };
        }
        if sources.is_empty() {
            return self.remove_notes();
        }
        self.require_encoder()?;
        let mut was_unread = BTreeMap::new();
        for id in ids {
            let stored = self.good_item(id)?.filter(is_unread);
            was_unread.extend(stored.map(|stored| (id, stored.item.source)));
        }
        self.read(&sources)?;
        self.remove_notes()?;
        if !self.library.catalog.view().items_unread()?.is_empty() {
            self.read_new()?;
        }
        for (id, source) in was_unread {
            match self.good_item(id)? {
                Some(stored) if is_unread(&stored) => {}
                Some(stored) => {
                    let what = format!("item {id} was read again from {}", stored.item.source);
                    self.did(FindingKind::Item, what);
                }
                None => {
                    let what = format!("item {id} was removed: there is no {source}");
                    self.lost(FindingKind::Item, what);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, sources: &Sources) -> Result<()> {
        self.with_run(|run| {
            for file in entries(&sources.files) {
                run.read_file(file)?;
            }
            run.drain()?;
            for tar in entries(&sources.tars) {
                run.index_tar(&tar)?;
            }
            for manifest in entries(&sources.manifests) {
                run.index_manifest(&manifest)?;
            }
            Ok(())
        })
    }

    /// Reads what is new below the roots: where a path was damaged, its file is new, and known by its content.
    fn read_new(&mut self) -> Result<()> {
        for Root { path: root, .. } in self.library.catalog.view().roots()? {
            let view = self.library.catalog.view();
            let (options, mut report) = (IndexOptions::default(), Report::default());
            let looked = roots::look(view, &[root], &options, &mut report, &mut *self.progress);
            let found = match looked {
                Ok(found) => found,
                // A root that is away, or may not be read, hides what it holds and nothing else.
                Err(Error::MissingRoot { .. } | Error::Io { .. }) => continue,
                Err(error) => return Err(error),
            };
            self.with_run(|run| {
                run.index_files(found.files)?;
                found.tars.iter().try_for_each(|tar| run.index_tar(tar))?;
                found.manifests.iter().try_for_each(|manifest| run.index_manifest(manifest))
            })?;
        }
        Ok(())
    }

    /// Reads tars and manifests of which it is not known any more how they were read.
    pub(super) fn read_containers(&mut self, paths: &[PathBuf]) -> Result<()> {
        let entries: Vec<Entry> = paths.iter().filter_map(|path| regular_file(path)).collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.require_encoder()?;
        self.with_run(|run| {
            entries.iter().try_for_each(|entry| match entry.kind {
                Kind::Tar => run.index_tar(entry),
                Kind::Manifest => run.index_manifest(entry),
                Kind::Image | Kind::Unsupported => Ok(()),
            })
        })
    }

    /// Reads all that is new after rows were lost, nobody knows which.
    pub(super) fn read_lost(&mut self) -> Result<()> {
        if !self.library.is_salvaged {
            return Ok(());
        }
        self.require_encoder()?;
        self.read_new()?;
        Catalog::settle_salvage(&self.library.dir)?;
        self.library.is_salvaged = false;
        self.did(FindingKind::Catalog, "what the library was made from was read again");
        Ok(())
    }

    fn with_run(&mut self, work: impl FnOnce(&mut Run<'_>) -> Result<()>) -> Result<()> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let space = self.library.space_for(encoder.space())?;
        let catalog = &mut self.library.catalog;
        let sidecars = Sidecars::new(catalog.view())?;
        let options = IndexOptions {
            limits: self.options.limits,
            external_decoder: self.options.external_decoder.clone(),
            ..IndexOptions::default()
        };
        let (report, progress) = (Report::default(), &mut *self.progress);
        let mut run = Run::start(catalog, encoder.as_mut(), space, &options, report, progress);
        run.sidecars = sidecars;
        work(&mut run)
    }

    /// Gives an embedding to what lacks one; what cannot be read any more is marked as failed, with the reason.
    pub(super) fn fill(&mut self) -> Result<()> {
        let Some(space) = self.library.catalog.view().space()? else { return Ok(()) };
        let n_lacking = self.library.catalog.view().items_without_embedding(space.id)?.len();
        if n_lacking == 0 {
            return Ok(());
        }
        self.require_encoder()?;
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let options = ReindexOptions {
            limits: self.options.limits,
            external_decoder: self.options.external_decoder.clone(),
        };
        let (catalog, progress) = (&mut self.library.catalog, &mut *self.progress);
        let filled = Fill::start(catalog, encoder.as_mut(), space, &options, progress)?.run()?;
        let what =
            format!("{} images and {} texts were encoded again", filled.n_images, filled.n_texts);
        self.did(FindingKind::Embedding, what);
        let mut failed = Vec::new();
        for left_out in filled.left_out {
            // What lies on a disk that is not mounted is encoded when that is back.
            if !self.library.is_away(&left_out.item.item.source)? {
                failed.push(left_out);
            }
        }
        for failed in failed.chunks(MAX_BATCH_ROWS) {
            let mut batch = self.library.catalog.batch()?;
            fail(&mut batch, failed)?;
            batch.commit()?;
        }
        for LeftOut { item, reason, .. } in failed {
            let what = format!("item {} is not found any more: {reason}", item.item.id);
            self.lost(FindingKind::Embedding, what);
        }
        Ok(())
    }
}

impl Sources {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.tars.is_empty() && self.manifests.is_empty()
    }
}

/// Whether an item waits for being read.
fn is_unread(stored: &StoredItem) -> bool {
    stored.item.reason.as_deref() == Some(UNREAD)
}

/// Those that are there.
fn entries(paths: &BTreeSet<PathBuf>) -> impl Iterator<Item = Entry> {
    paths.iter().filter_map(|path| regular_file(path))
}

/// The file that an item is read from.
fn file_of(source: &Source) -> Option<&Path> {
    match source {
        Source::File { path } => Some(path),
        Source::TarMember { tar, .. } => Some(tar),
        Source::ManifestRow { manifest, .. } => Some(manifest),
        Source::Inline { .. } => None,
    }
}
