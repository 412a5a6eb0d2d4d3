//! Looking at the roots: which files are there, and which of them are new or changed. Only looks, never changes.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::plan::{self, Change, Reading, Sight};
use super::report::label;
use super::sidecars::Sidecars;
use super::{IndexOptions, Progress, Report, Stage};
use crate::catalog::{Root, View};
use crate::error::{Error, Result, io_at};
use crate::item::{Item, Source, Status};
use crate::media::{self, Entry, Kind};

/// Files between two calls of the progress callback.
const FILES_PER_STEP: u64 = 1_000;

/// What is to be worked on.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The roots, absolute, as they are now.
    pub(super) roots: Vec<Root>,
    /// Pictures that are new or changed.
    pub(super) files: Vec<Entry>,
    pub(super) tars: Vec<Entry>,
    pub(super) manifests: Vec<Entry>,
    /// Pictures that a manifest named and that are no longer there.
    pub(super) gone: Vec<PathBuf>,
    /// Every path that was looked at; roots and manifests may name one twice.
    pub(super) seen: HashSet<PathBuf>,
    /// The texts beside pictures.
    pub(super) sidecars: Sidecars,
}

/// Walks the roots and compares what is there with the catalog.
pub(super) fn look(
    view: View<'_>,
    roots: &[PathBuf],
    options: &IndexOptions,
    report: &mut Report,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Found> {
    let found = Found { sidecars: Sidecars::new(view)?, ..Found::default() };
    let (root, n_known_found) = (PathBuf::new(), 0);
    let mut look = Look { view, options, report, progress, found, root, n_known_found };
    for root in roots {
        look.root(root)?;
    }
    Ok(look.found)
}

/// Whether a file that was indexed is there no more, or is no file any more.
///
/// A directory that may not be read says neither; its files stay.
pub(super) fn is_gone(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(metadata) => !metadata.is_file(),
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// The file as a walk would report it; `None` if there is no regular file.
pub(super) fn regular_file(path: &Path) -> Option<Entry> {
    let metadata: Metadata = fs::symlink_metadata(path).ok()?;
    let kind = media::kind_of_name(path).unwrap_or(Kind::Image);
    metadata.is_file().then(|| Entry {
        path: path.into(),
        kind,
        size_bytes: metadata.len(),
        modified_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
        dev: metadata.dev(),
        ino: metadata.ino(),
    })
}

/// Says in the report what an earlier run found wrong with an item that is as it was.
pub(super) fn repeat_failure(report: &mut Report, item: &Item) {
    let reason = item.reason.clone().unwrap_or_default();
    match item.status {
        Status::Ok => {}
        Status::Truncated => report.truncated.push(label(&item.source), reason),
        Status::Failed => report.skipped.push(label(&item.source), reason),
    }
}

struct Look<'a> {
    view: View<'a>,
    options: &'a IndexOptions,
    report: &'a mut Report,
    progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    found: Found,
    /// The root that is being walked.
    root: PathBuf,
    /// Files of it that are known.
    n_known_found: u64,
}

impl Look<'_> {
    fn root(&mut self, root: &Path) -> Result<()> {
        let path = match media::root_path(root) {
            Ok(path) => path,
            Err(error) => return self.missing_root(root, error),
        };
        // A sidecar is read with its picture. `photos/*` names both.
        let path = media::picture_of_sidecar(&path).unwrap_or(path);
        if self.found.roots.iter().any(|root| root.path == path) {
            return Ok(());
        }
        self.root.clone_from(&path);
        let device = fs::symlink_metadata(&path).ok().map(|metadata| metadata.dev());
        let (mut n_found, n_known_before) = (0, self.n_known_found);
        for found in media::walk(&path)? {
            n_found += 1;
            match found {
                Ok(entry) => self.entry(entry)?,
                Err(skipped) => self.report.skipped.push(skipped.path, skipped.reason),
            }
        }
        let n_known = self.view.n_items_under(&path)?;
        let n_known_found = self.n_known_found - n_known_before;
        let was_on = self.view.root(&path)?.and_then(|root| root.device);
        let has_moved = was_on.is_some() && was_on != device;
        let is_missing =
            plan::root_is_missing(Sight { n_found, n_known_found, n_known, has_moved });
        if is_missing && !self.options.prune_missing_root {
            return Err(Error::MissingRoot { root: path, n_items: n_known });
        }
        self.found.roots.push(Root { path, device });
        Ok(())
    }

    /// A root that is not there may be an unmounted one, or a slip of the pen.
    fn missing_root(&mut self, root: &Path, error: Error) -> Result<()> {
        let path = absolute(root)?;
        let n_items = self.view.n_items_under(&path)?;
        if n_items == 0 {
            return Err(error);
        }
        if !self.options.prune_missing_root {
            return Err(Error::MissingRoot { root: path, n_items });
        }
        self.found.roots.push(Root { path, device: None });
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<()> {
        if !self.found.seen.insert(entry.path.clone()) {
            // By another root of this run; whether it was known then is not known any more.
            self.n_known_found += 1;
            return Ok(());
        }
        if (self.found.seen.len() as u64).is_multiple_of(FILES_PER_STEP) {
            let n_done = self.found.seen.len() as u64;
            let progress = Progress { stage: Stage::Scan, n_done, n_total: None };
            if (self.progress)(&progress).is_break() {
                return Err(Error::Cancelled);
            }
        }
        match entry.kind {
            Kind::Image | Kind::Unsupported => self.picture(entry),
            Kind::Tar => {
                self.n_known_found += u64::from(self.view.container(&entry.path)?.is_some());
                self.found.tars.push(entry);
                Ok(())
            }
            Kind::Manifest => self.manifest(entry),
        }
    }

    fn picture(&mut self, entry: Entry) -> Result<()> {
        let known = self.view.item_at(&Source::File { path: entry.path.clone() })?;
        let known = known.map(|stored| stored.item);
        self.n_known_found += u64::from(known.is_some());
        match (plan::file_change(&entry, known.as_ref(), self.options.retry()), known) {
            (Change::Unchanged, Some(item)) => {
                self.found.sidecars.keep_picture(self.view, &item, self.report)?;
            }
            (Change::New | Change::Changed | Change::Unchanged, _) => self.found.files.push(entry),
        }
        Ok(())
    }

    /// The pictures of a manifest that will not be read again are looked at here.
    fn manifest(&mut self, manifest: Entry) -> Result<()> {
        let known = self.view.container(&manifest.path)?;
        self.n_known_found += u64::from(known.is_some());
        let reading =
            plan::reading(manifest.size_bytes, manifest.modified_ns, known.as_ref(), false);
        if reading == Reading::Nothing {
            let images = self.view.image_files_of(&manifest.path)?;
            let n_images = images.len() as u64;
            let (mut n_found, mut gone) = (0, Vec::new());
            for path in images {
                match regular_file(&path) {
                    Some(entry) => {
                        n_found += 1;
                        self.entry(entry)?;
                    }
                    None if is_gone(&path) => gone.push(path),
                    None => n_found += 1,
                }
            }
            let is_root = self.root == manifest.path;
            let sight = Sight { n_found, n_known: n_images, ..Sight::default() };
            let missing = is_root && plan::root_is_missing(sight);
            if missing && !self.options.prune_missing_root {
                let root = manifest.path.parent().unwrap_or(&manifest.path).into();
                return Err(Error::MissingRoot { root, n_items: n_images });
            }
            self.found.gone.extend(gone);
        }
        self.found.manifests.push(manifest);
        Ok(())
    }
}

/// The path under which a root that is gone would have been known: links in what is left of it are resolved.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(io_at("look at", path))?;
    let mut missing = Vec::new();
    let mut left = path.as_path();
    while let (Some(parent), Some(name)) = (left.parent(), left.file_name()) {
        missing.push(name);
        left = parent;
        if let Ok(resolved) = left.canonicalize() {
            return Ok(missing.iter().rev().fold(resolved, |path, name| path.join(name)));
        }
    }
    Ok(path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::FakeEncoder;
    use crate::library::{Library, LibraryOptions};

    fn scene(name: &str, to: &Path) {
        let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenes");
        fs::copy(scenes.join(name), to).unwrap();
    }

    fn index(library: &mut Library, photos: &Path, prune_missing_root: bool) -> Result<Report> {
        let options = IndexOptions { prune_missing_root, ..IndexOptions::default() };
        let mut go_on = |_: &_| ControlFlow::Continue(());
        library.index(&mut FakeEncoder::default(), &[photos.into()], &options, &mut go_on)
    }

    /// As if the machine had been started again, or another disk been mounted: it was on another device before.
    fn moved(library: &mut Library, photos: &Path) {
        let device = fs::metadata(photos).unwrap().dev();
        let mut batch = library.catalog.batch().unwrap();
        batch.set_root(&Root { path: photos.into(), device: Some(device + 1) }).unwrap();
        batch.commit().unwrap();
    }

    /// Control: the same files on the same device are forgotten and added.
    #[test]
    fn another_disk_in_the_place_of_a_root_is_a_missing_root() {
        for has_moved in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().canonicalize().unwrap().join("library");
            let photos = path.with_file_name("photos");
            let (a, b) = (photos.join("a.png"), photos.join("b.jpg"));
            fs::create_dir(&photos).unwrap();
            scene("scene-0000.png", &a);
            let mut library = Library::create_or_open(&path, LibraryOptions::default()).unwrap();
            assert_eq!(index(&mut library, &photos, false).unwrap().images.added, 1);
            // A new number alone does no harm, and is remembered.
            moved(&mut library, &photos);
            let report = index(&mut library, &photos, false).unwrap();
            assert_eq!((report.images.unchanged, report.images.forgotten), (1, 0));
            let device = library.catalog.view().root(&photos).unwrap().unwrap().device;
            assert_eq!(device, Some(fs::metadata(&photos).unwrap().dev()));

            fs::remove_file(&a).unwrap();
            scene("scene-0001.jpg", &b);
            if has_moved {
                moved(&mut library, &photos);
                let error = index(&mut library, &photos, false).unwrap_err();
                let is_missing = matches!(&error, Error::MissingRoot { n_items: 1, .. });
                assert!(is_missing && error.to_string().contains("another disk"), "{error}");
                assert!(
                    library.item_at(&a).unwrap().is_some()
                        && library.item_at(&b).unwrap().is_none()
                );
            }
            let report = index(&mut library, &photos, has_moved).unwrap();
            assert_eq!((report.images.added, report.images.forgotten), (1, 1));
            assert!(
                library.item_at(&a).unwrap().is_none() && library.item_at(&b).unwrap().is_some()
            );
            assert_eq!(library.check().unwrap(), []);
        }
    }
}
