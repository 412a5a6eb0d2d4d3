//! Where changes are listened for, and which of them are of interest.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use anyhow::{Context, Result};
use mmsearch::media::{Kind, kind_of_name};
use notify::event::{AccessKind, AccessMode};
use notify::{
    Config, Error, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
};

use super::Signal;

/// The directories that are listened to.
pub(super) struct Places {
    watcher: RecommendedWatcher,
    places: Vec<Place>,
}

struct Place {
    path: PathBuf,
    mode: RecursiveMode,
    /// Device and number of the directory that is listened to: another one in its place, as after mounting, is not.
    identity: Option<(u64, u64)>,
}

/// Which changes are of interest.
struct Interest {
    below: Vec<PathBuf>,
    /// Files that are roots themselves.
    files: Vec<PathBuf>,
    /// The library, which every run changes.
    library: PathBuf,
}

impl Places {
    /// Listens to nothing yet; [`Places::renew`] begins.
    pub(super) fn new(
        roots: &[PathBuf],
        library: &Path,
        signal: SyncSender<Signal>,
    ) -> Result<Self> {
        let (below, files) = sorted(roots);
        let mut places = Vec::new();
        let mut add = |path: &Path, mode| {
            let place = Place { path: path.into(), mode, identity: None };
            if !places.iter().any(|known: &Place| known.path == place.path) {
                places.push(place);
            }
        };
        below.iter().for_each(|dir| add(dir, RecursiveMode::Recursive));
        let inside = |file: &Path| below.iter().any(|dir| file.starts_with(dir));
        for dir in files.iter().filter(|file| !inside(file)).filter_map(|file| file.parent()) {
            add(dir, RecursiveMode::NonRecursive);
        }
        let interest = Interest { below, files, library: library.into() };
        // Whatever is told, the next run looks at everything; so of a flood, nothing but its first drops needs to be kept.
        let handler = move |event: notify::Result<Event>| {
            let told = match event {
                Ok(event) if interest.covers(&event) => Signal::Changed,
                Ok(_) => return,
                Err(error) if is_vanished(&error) => Signal::Changed,
                Err(error) => Signal::Trouble(error.to_string()),
            };
            let _is_full = signal.try_send(told);
        };
        let config = Config::default().with_follow_symlinks(false);
        let watcher =
            RecommendedWatcher::new(handler, config).context("cannot watch for changes")?;
        Ok(Self { watcher, places })
    }

    /// Listens to what is there now and was not before, or was something else: a disk that is mounted, a directory that was
    /// moved away and back. Whether there was such a change; what cannot be listened to is handed to `trouble`.
    pub(super) fn renew(&mut self, mut trouble: impl FnMut(String)) -> bool {
        let mut has_changed = false;
        for place in &mut self.places {
            let identity = identity(&place.path);
            if identity == place.identity {
                continue;
            }
            has_changed = true;
            if place.identity.is_some() {
                // It goes by itself with its directory, mostly.
                let _ = self.watcher.unwatch(&place.path);
            }
            place.identity = identity;
            if identity.is_some()
                && let Err(error) = self.watcher.watch(&place.path, place.mode)
                && !is_vanished(&error)
            {
                trouble(error.to_string());
            }
        }
        has_changed
    }
}

/// Directories that are listened to with all that is below them, and files.
fn sorted(roots: &[PathBuf]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut below, mut files) = (Vec::new(), Vec::new());
    for root in roots {
        if !root.is_file() {
            below.push(root.clone());
            continue;
        }
        files.push(root.clone());
        // Its pictures lie beside it or below.
        if kind_of_name(root) == Some(Kind::Manifest) {
            below.extend(root.parent().map(PathBuf::from));
        }
    }
    (below, files)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// A directory that went between being named and being listened to.
fn is_vanished(error: &Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        ErrorKind::Generic(_) | ErrorKind::InvalidConfig(_) | ErrorKind::MaxFilesWatch => false,
    }
}

impl Interest {
    fn covers(&self, event: &Event) -> bool {
        let is_change = match event.kind {
            // Reading, which is what a run does itself. The end of writing is a change; before it a file may be half there.
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            EventKind::Any
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Other => true,
        };
        // Without a path it says that others were lost.
        is_change && (event.paths.is_empty() || event.paths.iter().any(|path| self.holds(path)))
    }

    fn holds(&self, path: &Path) -> bool {
        let is_in = |dir: &PathBuf| path.starts_with(dir);
        let is_about = |file: &PathBuf| path == file || is_beside(path, file);
        !path.starts_with(&self.library)
            && (self.below.iter().any(is_in) || self.files.iter().any(is_about))
    }
}

/// Whether a file may say something of another one: `a.jpg.xmp`, `a.txt`.
fn is_beside(path: &Path, file: &Path) -> bool {
    let bytes =
        |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().as_encoded_bytes().to_vec();
    path.parent() == file.parent() && bytes(path.file_name()).starts_with(&bytes(file.file_stem()))
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, ModifyKind};

    use super::*;

    fn interest() -> Interest {
        Interest {
            below: vec!["/photos".into()],
            files: vec!["/other/a.jpg".into()],
            library: "/photos/library".into(),
        }
    }

    fn covers(kind: EventKind, path: &str) -> bool {
        interest().covers(&Event::new(kind).add_path(path.into()))
    }

    #[test]
    fn what_changes_below_a_root_is_of_interest() {
        let create = EventKind::Create(CreateKind::File);
        for path in ["/photos", "/photos/a.jpg", "/photos/deep/b", "/other/a.jpg", "/other/a.txt"] {
            assert!(covers(create, path), "{path}");
        }
        for path in ["/photos/library/catalog.db-wal", "/photos2/a.jpg", "/other/b.jpg", "/other"] {
            assert!(!covers(create, path), "{path}");
        }
    }

    #[test]
    fn reading_is_no_change() {
        let close = |mode| EventKind::Access(AccessKind::Close(mode));
        assert!(covers(close(AccessMode::Write), "/photos/a.jpg"));
        for kind in [EventKind::Access(AccessKind::Open(AccessMode::Any)), close(AccessMode::Read)]
        {
            assert!(!covers(kind, "/photos/a.jpg"));
        }
        assert!(covers(EventKind::Modify(ModifyKind::Data(DataChange::Any)), "/photos/a.jpg"));
    }

    #[test]
    fn lost_events_are_a_change() {
        assert!(interest().covers(&Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    }

    #[test]
    fn what_is_another_directory_is_listened_to_anew() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("photos");
        let (signal, _signals) = std::sync::mpsc::sync_channel(1);
        let mut places =
            Places::new(std::slice::from_ref(&root), Path::new("/library"), signal).unwrap();
        let mut renew = || places.renew(|trouble| panic!("{trouble}"));
        assert!(!renew(), "it is not there");
        fs::create_dir(&root).unwrap();
        assert!(renew() && !renew());
        fs::rename(&root, dir.path().join("away")).unwrap();
        fs::create_dir(&root).unwrap();
        assert!(renew() && !renew());
        fs::remove_dir(&root).unwrap();
        assert!(renew() && !renew());
    }
}
