//! Files of a directory or members of a tar, read by name and in any order.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};

use super::open::too_large;
use super::{Limits, open_regular, plain_name, read_regular};
use crate::error::{Error, Result, io_at};

/// A place that holds files by name. Reading takes `&self`, so that several threads can share it.
#[derive(Debug)]
pub(super) enum Store {
    Directory(PathBuf),
    Tar { path: PathBuf, file: File, spans: BTreeMap<PathBuf, Span> },
}

/// Where a member's bytes lie in the archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    offset: u64,
    n_bytes: u64,
}

impl Store {
    /// Opens a directory, or reads the headers of a tar.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_path_buf()));
        }
        let (file, _stat) = open_regular(path)?;
        let damaged = |error: std::io::Error| Error::BadInput {
            path: path.to_path_buf(),
            reason: format!("damaged, or not a tar archive: {error}"),
        };
        let mut spans = BTreeMap::new();
        let reader = file.try_clone().map_err(io_at("open", path))?;
        for entry in Archive::new(reader).entries_with_seek().map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            if entry.header().entry_type() == EntryType::Regular {
                let name = plain_name(&entry.path().map_err(damaged)?).to_path_buf();
                spans.insert(
                    name,
                    Span { offset: entry.raw_file_position(), n_bytes: entry.size() },
                );
            }
        }
        Ok(Self::Tar { path: path.to_path_buf(), file, spans })
    }

    /// Whether there is a file of that name.
    pub(super) fn contains(&self, name: &Path) -> bool {
        match self {
            Self::Directory(dir) => dir.join(name).is_file(),
            Self::Tar { spans, .. } => spans.contains_key(name),
        }
    }

    /// All names, sorted; of a directory only those directly in it.
    pub(super) fn names(&self) -> Result<Vec<PathBuf>> {
        let dir = match self {
            Self::Tar { spans, .. } => return Ok(spans.keys().cloned().collect()),
            Self::Directory(dir) => dir,
        };
        let entries = std::fs::read_dir(dir).map_err(io_at("list", dir))?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(PathBuf::from(entry.map_err(io_at("list", dir))?.file_name()));
        }
        names.sort();
        Ok(names)
    }

    /// The bytes of a file.
    pub(super) fn read(&self, name: &Path, limits: &Limits) -> Result<Vec<u8>> {
        let (path, file, span) = match self {
            Self::Directory(dir) => return Ok(read_regular(&dir.join(name), limits)?.0),
            Self::Tar { path, file, spans } => (path, file, spans.get(name)),
        };
        let refused = |reason: String| Error::BadImage { path: path.join(name), reason };
        let span = span.ok_or_else(|| refused("it is not in the archive".into()))?;
        if span.n_bytes > limits.max_file_bytes {
            return Err(refused(too_large(span.n_bytes, limits.max_file_bytes)));
        }
        let mut bytes = vec![0; span.n_bytes as usize];
        file.read_exact_at(&mut bytes, span.offset).map_err(io_at("read", path))?;
        Ok(bytes)
    }
}
