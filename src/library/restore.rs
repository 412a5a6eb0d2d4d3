//! `restore`: a library out of a backup.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::lock::WriterLock;
use super::snapshots::Snapshots;
use super::{Library, LibraryOptions, durable, open_catalog};
use crate::catalog::{Catalog, FILE_NAME, remove_if_there};
use crate::error::{Error, Result, io_at};

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;

/// How to restore.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// Replace the library that is there.
    pub force: bool,
}

impl Library {
    /// Makes the library in `dir` out of a backup, and opens it for writing.
    ///
    /// The backup is copied, brought to this version and read row by row before anything of a library that is there is
    /// touched; then one renaming makes the old library the new one. Snapshots are derived and not part of it:
    /// [`Library::refresh_snapshots`] makes them, and so does the next [`Library::index`].
    ///
    /// # Errors
    /// [`Error::BadOption`] if there is a library and it is not to be replaced; [`Error::Locked`] and [`Error::InUse`] if
    /// it is in use; [`Error::Corrupt`], [`Error::NotACatalog`] and [`Error::NewerCatalog`] for what cannot be restored;
    /// [`Error::Io`].
    pub fn restore(
        dir: &Path,
        backup: &Path,
        options: &RestoreOptions,
        library_options: LibraryOptions,
    ) -> Result<Self> {
        Catalog::verify_backup(backup)?;
        if !library_options.allow_network_fs {
            Catalog::require_local(dir)?;
        }
        Catalog::create_dir(dir)?;
        let lock = WriterLock::take(dir)?;
        if Catalog::is_in(dir)? && !options.force {
            let reason = format!("there is a library at {}; --force replaces it", dir.display());
            return Err(Error::BadOption { reason });
        }
        tidy(dir)?;
        let copy = copy_in(dir);
        let made = copy_verified(backup, &copy).and_then(|()| put_in_place(dir, &copy));
        if made.is_err() {
            // The first error is the one to tell.
            let _ = tidy(dir);
        }
        made?;
        Ok(Self::new(dir, open_catalog(dir, library_options)?, library_options, Some(lock)))
    }
}

/// Removes what a crash left of a backup that was being restored.
pub(super) fn tidy(dir: &Path) -> Result<()> {
    let copy = copy_in(dir);
    let journal = copy.with_extension("restoring-journal");
    remove_if_there(&copy).and_then(|()| remove_if_there(&journal))
}

fn copy_in(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME).with_added_extension("restoring")
}

/// Copies the backup, and reads every row of the copy: what was read is what will be there. Errors name the backup.
fn copy_verified(backup: &Path, copy: &Path) -> Result<()> {
    let mut from = File::open(backup).map_err(io_at("open", backup))?;
    let mut options = OpenOptions::new();
    let mut to = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(copy)
        .map_err(io_at("create", copy))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = from.read(&mut chunk).map_err(io_at("read", backup))?;
        if n == 0 {
            break;
        }
        to.write_all(&chunk[..n]).map_err(io_at("write", copy))?;
    }
    drop(to);
    Catalog::verify_copy(copy).map(|_| ()).map_err(|error| name_backup(error, backup))
}

fn name_backup(error: Error, backup: &Path) -> Error {
    let path = backup.to_path_buf();
    if let Error::Corrupt { reason, .. } = error {
        return Error::Corrupt { path, reason };
    }
    if let Error::NotACatalog { reason, .. } = error {
        return Error::NotACatalog { path, reason };
    }
    if let Error::Catalog { action, reason, corrupt: true, .. } = error {
        return Error::Catalog { path, action, reason, corrupt: true };
    }
    error
}

/// The old library is whole until the renaming, and only slower to search before it: what is derived of it goes first, because
/// it could be taken for what is derived of the new one.
fn put_in_place(dir: &Path, copy: &Path) -> Result<()> {
    Catalog::settle(dir)?;
    Snapshots::new(dir).remove_all()?;
    durable::put_in_place(copy, &dir.join(FILE_NAME))
}
