//! `backup`: the ground state in one file, from which a library can be made again.

use std::fs::{self, OpenOptions};
use std::io::{Error as IoError, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Library, durable};
use crate::catalog::{Catalog, remove_if_there};
use crate::error::{Error, Result, io_at};

/// How to make a backup.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupOptions {
    /// Replace a file that is there.
    pub force: bool,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Items of either modality, also those that could not be used.
    pub n_items: u64,
    /// The file's length.
    pub size_bytes: u64,
}

impl Library {
    /// Writes the catalog, of which everything else is derived, into one file: for its owner only, and whole or not at all.
    ///
    /// It is one state of the library, whoever reads and writes meanwhile, and every row of it is read before the file has
    /// its name. [`Library::restore`] makes a library of it.
    ///
    /// # Errors
    /// [`Error::BadOption`] if the file is there already, or would lie in the library; [`Error::Corrupt`] if the library is
    /// damaged, of which nobody should rely on a backup; [`Error::Io`] and [`Error::Catalog`] if it cannot be written.
    pub fn backup(&self, file: &Path, options: &BackupOptions) -> Result<Backup> {
        self.require_place(file, options)?;
        let temporary = file.with_added_extension("mmsearch-part");
        // What a crash left of an earlier one.
        remove_if_there(&temporary)?;
        let written = self.write_backup(&temporary).and_then(|backup| {
            // Somebody may have put something there meanwhile.
            self.require_place(file, options)?;
            durable::put_in_place(&temporary, file)?;
            Ok(backup)
        });
        if written.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn write_backup(&self, temporary: &Path) -> Result<Backup> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(temporary).map_err(io_at("create", temporary))?;
        self.catalog.copy_to(temporary)?;
        let n_items = Catalog::verify_copy(temporary).map_err(|error| {
            if let Error::Corrupt { reason, .. } = error {
                let reason = format!("{reason}; nothing was backed up, run `mmsearch check`");
                return Error::Corrupt { path: self.catalog.path().into(), reason };
            }
            error
        })?;
        let metadata = fs::metadata(temporary).map_err(io_at("look at", temporary))?;
        Ok(Backup { n_items, size_bytes: metadata.len() })
    }

    fn require_place(&self, file: &Path, options: &BackupOptions) -> Result<()> {
        let bad = |reason: String| Err(Error::BadOption { reason });
        let path = super::roots::absolute(file)?;
        let library = super::roots::absolute(&self.dir)?;
        if path.starts_with(&library) {
            return bad(format!(
                "{} would be lost with the library that it lies in",
                file.display()
            ));
        }
        match fs::symlink_metadata(file) {
            Ok(metadata) if metadata.is_dir() => {
                Err(io_at("replace", file)(IoError::from(ErrorKind::IsADirectory)))
            }
            Ok(_) if !options.force => {
                bad(format!("{} is there already; --force replaces it", file.display()))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_at("look at", file)(error)),
        }
    }
}
