//! `check --read-data`: whether what the items came from still holds what they were made of.
//!
//! What is only new there is not looked for: that is what `index` does. A file that was changed since is told as such; one whose
//! bytes are others though nobody says that they were changed has rotted on its disk.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Finding, FindingKind, Library, Stage, tell};
use crate::catalog::{Container, ContainerKind, Root, StoredItem};
use crate::error::{Error, Result};
use crate::item::{ContentHash, ItemId, Source, Status};
use crate::library::refresh::Tell;
use crate::library::roots::is_gone;
use crate::media::{self, Limits};

/// Items that are asked of the catalog at a time.
const PAGE: usize = 256;

const ROTTEN: &str = "its bytes are not those that were indexed, though its size and time are the same; restore it from a backup";
const CHANGED: &str = "it was changed after it was indexed; run `mmsearch index`";
const MISSING: &str =
    "it is not there any more; mount its disk, or run `mmsearch index` to forget it";

/// What is being read.
struct Sources<'a> {
    library: &'a Library,
    limits: &'a Limits,
    findings: &'a mut Vec<Finding>,
    progress: Tell<'a>,
    /// Roots that are away, of which one finding tells.
    away: Vec<PathBuf>,
    n_done: u64,
    n_total: u64,
}

impl Library {
    /// Reads every file, tar and manifest that items came from. Not in one state of the catalog, because it may take hours: what
    /// is indexed again meanwhile is compared as it is then.
    pub(super) fn check_sources(
        &self,
        limits: &Limits,
        findings: &mut Vec<Finding>,
        progress: Tell<'_>,
    ) -> Result<()> {
        let counts = self.catalog.view().counts()?;
        let n_total = counts.iter().map(|count| count.n_items).sum();
        let away = Vec::new();
        let mut sources =
            Sources { library: self, limits, findings, progress, away, n_done: 0, n_total };
        sources.roots()?;
        sources.files()?;
        for container in self.catalog.view().containers_under(Path::new("/"))? {
            sources.container(&container)?;
        }
        Ok(())
    }

    /// The roots that held items and are gone or empty, as a disk that is not mounted, and how many items each held.
    pub(in crate::library) fn roots_away(&self) -> Result<Vec<(PathBuf, u64)>> {
        let view = self.catalog.view();
        let mut away = Vec::new();
        for root in view.roots()? {
            let is_away = is_away(&root.path) || self.is_on_another_disk(&root)?;
            let n_items = if is_away { view.n_items_under(&root.path)? } else { 0 };
            if n_items > 0 {
                away.push((root.path, n_items));
            }
        }
        Ok(away)
    }

    /// The item of a source; none if its row is damaged, which is told where rows are read.
    fn good_item_at(&self, source: &Source) -> Result<Option<StoredItem>> {
        match self.catalog.view().item_at(source) {
            Err(Error::Corrupt { .. }) => Ok(None),
            known => known,
        }
    }

    /// Whether another disk than before is at a root, with nothing of what it held: it is not mounted, as `index` judges too.
    fn is_on_another_disk(&self, root: &Root) -> Result<bool> {
        let now = std::fs::metadata(&root.path).map(|metadata| metadata.dev()).ok();
        if root.device.is_none() || now.is_none() || root.device == now {
            return Ok(false);
        }
        Ok(!self.has_any_source_below(&root.path)?)
    }

    /// Whether anything that items came from is there below a path; what damaged rows say does not count.
    fn has_any_source_below(&self, root: &Path) -> Result<bool> {
        let view = self.catalog.view();
        let mut after = ItemId(0);
        loop {
            let page = view.files_after(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.item.id;
            let is_there = |stored: &StoredItem| match &stored.item.source {
                Source::File { path } => path.starts_with(root) && !is_gone(path),
                Source::TarMember { .. } | Source::ManifestRow { .. } | Source::Inline { .. } => {
                    false
                }
            };
            if page.iter().any(is_there) {
                return Ok(true);
            }
        }
        Ok(view.containers_under(root)?.iter().any(|container| !is_gone(&container.path)))
    }
}

/// Whether there is nothing at this path, or an empty directory.
fn is_away(root: &Path) -> bool {
    is_gone(root)
        && std::fs::read_dir(root).map_or_else(
            |error| error.kind() != std::io::ErrorKind::PermissionDenied,
            |mut entries| entries.next().is_none(),
        )
}

impl Sources<'_> {
    fn roots(&mut self) -> Result<()> {
        for (root, n_items) in self.library.roots_away()? {
            if self.is_away(&root) {
                continue;
            }
            let reason = format!("it is missing or empty and held {n_items} items; mount it");
            self.found(FindingKind::Missing, &root, reason);
            self.away.push(root);
        }
        Ok(())
    }

    /// Pictures that are files of their own.
    fn files(&mut self) -> Result<()> {
        let mut after = ItemId(0);
        loop {
            let page = self.library.catalog.view().files_after(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.item.id;
            for stored in page {
                self.file(&stored)?;
                self.step(1)?;
            }
        }
    }

    fn file(&mut self, stored: &StoredItem) -> Result<()> {
        let Source::File { path } = &stored.item.source else { return Ok(()) };
        if self.is_away(path) {
            return Ok(());
        }
        if is_gone(path) {
            self.found(FindingKind::Missing, path, MISSING);
            return Ok(());
        }
        // What could not be read has no hash, and what is too large was not read.
        let Some(hash) = stored.item.content_hash else { return Ok(()) };
        let (bytes, stat) = match media::read_regular(path, self.limits) {
            Ok(read) => read,
            Err(error) => return self.unreadable(path, &error),
        };
        if self.library.catalog.view().item(stored.item.id)?.as_ref() != Some(stored) {
            // Indexed again meanwhile.
            return Ok(());
        }
        let is_as_it_was = stored.item.size_bytes == stat.size_bytes
            && stored.item.modified_ns == Some(stat.modified_ns);
        if !is_as_it_was {
            self.found(FindingKind::Changed, path, CHANGED);
        } else if hash_of(&bytes) != hash {
            self.found(FindingKind::Rotten, path, format!("item {}: {ROTTEN}", stored.item.id));
        }
        Ok(())
    }

    fn container(&mut self, container: &Container) -> Result<()> {
        let path = &container.path;
        if self.is_away(path) {
            return Ok(());
        }
        if is_gone(path) {
            self.found(FindingKind::Missing, path, MISSING);
            return Ok(());
        }
        let stat = match media::open_regular(path) {
            Ok((_, stat)) => stat,
            Err(error) => return self.unreadable(path, &error),
        };
        if (stat.size_bytes, stat.modified_ns) != (container.size_bytes, container.modified_ns) {
            self.found(FindingKind::Changed, path, CHANGED);
            return Ok(());
        }
        match container.kind {
            ContainerKind::Tar => self.tar(container),
            ContainerKind::Manifest => self.manifest(container),
        }
    }

    /// The members of a tar that nobody has changed since. Of those of one name the last is the item.
    fn tar(&mut self, tar: &Container) -> Result<()> {
        let limits = self.limits;
        let mut contents = HashMap::new();
        let read = media::tar_members(
            &tar.path,
            limits,
            |_, _| true,
            |member| {
                let Ok(member) = member else { return Ok(()) };
                contents.insert(member.name, hash_of(&member.bytes));
                self.step(1)
            },
        );
        let (library, mut met) = (self.library, HashSet::new());
        for (member, content) in contents {
            let source = Source::TarMember { tar: tar.path.clone(), member };
            if let Some(stored) = library.good_item_at(&source)? {
                self.content(&stored, content);
                met.insert(stored.item.id);
            }
        }
        self.read_whole(tar, read, &met)
    }

    /// The captions of a manifest that nobody has changed since.
    fn manifest(&mut self, manifest: &Container) -> Result<()> {
        let library = self.library;
        let mut met = HashSet::new();
        let mut read = || {
            for row in media::read_manifest(&manifest.path)?.filter_map(std::result::Result::ok) {
                for (caption, text) in row.captions.iter().enumerate() {
                    let caption = u32::try_from(caption).unwrap_or(u32::MAX);
                    let (manifest, line) = (manifest.path.clone(), row.line);
                    let source = Source::ManifestRow { manifest, line, caption };
                    if let Some(stored) = library.good_item_at(&source)? {
                        self.content(&stored, hash_of(text.trim().as_bytes()));
                        met.insert(stored.item.id);
                        self.step(1)?;
                    }
                }
            }
            Ok(())
        };
        let read = read();
        self.read_whole(manifest, read, &met)
    }

    /// What was not met in a tar or manifest that was read.
    fn read_whole(
        &mut self,
        container: &Container,
        read: Result<()>,
        met: &HashSet<ItemId>,
    ) -> Result<()> {
        match read {
            Ok(()) => {}
            Err(error @ (Error::Io { .. } | Error::BadInput { .. } | Error::BadImage { .. })) => {
                return self.unreadable(&container.path, &error);
            }
            Err(error) => return Err(error),
        }
        let view = self.library.catalog.view();
        if view.container(&container.path)?.as_ref() != Some(container) {
            // Indexed again meanwhile.
            return Ok(());
        }
        let items = match view.items_under(&container.path, ItemId(0), usize::MAX) {
            // Told where rows are read; what is missing is told when they are mended.
            Err(Error::Corrupt { .. }) => return Ok(()),
            items => items?,
        };
        let is_good = |stored: &&StoredItem| {
            stored.item.status != Status::Failed && stored.item.content_hash.is_some()
        };
        for stored in items.iter().filter(is_good).filter(|it| !met.contains(&it.item.id)) {
            let reason = format!(
                "item {}: it is not in it any more, though its size and time are the same",
                stored.item.id
            );
            self.found(FindingKind::Rotten, &container.path, reason);
        }
        Ok(())
    }

    /// Compares the content of an item with what was read in its place.
    fn content(&mut self, stored: &StoredItem, found: ContentHash) {
        if stored.item.content_hash.is_some_and(|hash| hash != found) {
            let reason = format!("item {}: {ROTTEN}", stored.item.id);
            self.findings.push(Finding::new(FindingKind::Rotten, &stored.item.source, reason));
        }
    }

    fn unreadable(&mut self, path: &Path, error: &Error) -> Result<()> {
        self.found(FindingKind::Unreadable, path, format!("cannot be read: {error}"));
        Ok(())
    }

    fn found(&mut self, kind: FindingKind, path: &Path, reason: impl Into<String>) {
        self.findings.push(Finding::new(kind, path.display(), reason));
    }

    fn is_away(&self, path: &Path) -> bool {
        self.away.iter().any(|root| path.starts_with(root))
    }

    fn step(&mut self, n: u64) -> Result<()> {
        self.n_done += n;
        let n_total = self.n_total.max(self.n_done);
        tell(self.progress, Stage::Read, self.n_done, Some(n_total))
    }
}

fn hash_of(bytes: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}
