//! Opening a library whose catalog SQLite cannot read as a whole.

use std::path::Path;

use crate::catalog::Catalog;
use crate::error::{Error, ErrorKind, Result};
use crate::library::lock::WriterLock;
use crate::library::{Library, LibraryOptions, open_catalog, restore};

impl Library {
    /// Opens the library in `dir` for [`Library::repair`], as [`Library::create_or_open`] does, if there is one.
    ///
    /// Where pages of the catalog are damaged, all rows that can be read go into a new one first, and the damaged file is kept beside
    /// it, of which a warning tells.
    ///
    /// # Errors
    /// As [`Library::create_or_open`]; [`crate::Error::NoLibrary`]; [`crate::Error::Corrupt`] if nothing can be read.
    pub fn open_for_repair(dir: &Path, options: LibraryOptions) -> Result<Self> {
        // Opened for reading first, so that no library is made where there is none.
        is_whole(dir, options)?;
        let lock = WriterLock::take(dir)?;
        restore::tidy(dir)?;
        // Looked at again: somebody else may have mended it before this one had the lock.
        let salvaged = match is_whole(dir, options)? {
            true => None,
            false => Some(Catalog::salvage(dir)?),
        };
        let mut library = Self::new(dir, open_catalog(dir, options)?, options, Some(lock));
        library.is_salvaged = Catalog::is_salvaged(dir);
        let Some(salvaged) = salvaged else { return Ok(library) };
        library.warnings.extend(salvaged.lost.iter().map(|lost| format!("lost: {lost}")));
        library.warnings.push(format!(
            "the catalog was so damaged that {} items and {} embeddings were salvaged into a new one; the old one is kept as {}",
            salvaged.n_items,
            salvaged.n_embeddings,
            salvaged.kept.display()
        ));
        Ok(library)
    }

    /// Whether SQLite finds nothing wrong with the pages of the catalog. Indexes and rows can be mended where they are.
    fn catalog_is_whole(&self) -> Result<bool> {
        match self.catalog.view().integrity() {
            Ok(faults) => Ok(!faults.iter().any(|fault| is_of_pages(fault))),
            Err(Error::Catalog { corrupt: true, .. } | Error::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_whole(dir: &Path, options: LibraryOptions) -> Result<bool> {
    match Library::open_with(dir, options) {
        Ok(library) => library.catalog_is_whole(),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a fault that SQLite tells of is one of the file's pages.
fn is_of_pages(fault: &str) -> bool {
    let fault = fault.to_lowercase();
    let is_of_words = fault.contains("_words") || fault.contains("fts5");
    ["page ", "freelist", "malformed", "out of order"].iter().any(|it| fault.contains(it))
        && !is_of_words
}
