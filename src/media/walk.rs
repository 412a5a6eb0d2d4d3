//! Finds the files of a root that could hold pictures, in a fixed order.

use std::ffi::OsStr;
use std::fs::{FileType, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::external::no_decoder_for;
use super::{Stat, io_reason};
use crate::error::{Result, io_at};

/// Extensions of the formats that [`super::decode`] knows.
const IMAGE_EXTENSIONS: [&str; 18] = [
    "apng", "bmp", "dib", "gif", "jfif", "jpe", "jpeg", "jpg", "pam", "pbm", "pgm", "png", "pnm",
    "ppm", "qoi", "tif", "tiff", "webp",
];

/// Extensions of photos that no decoder here reads: newer formats and camera raw.
const UNSUPPORTED_EXTENSIONS: [&str; 28] = [
    "3fr", "arw", "avif", "cr2", "cr3", "crw", "dcr", "dng", "erf", "heic", "heif", "hif", "iiq",
    "jxl", "kdc", "mef", "mos", "mrw", "nef", "nrw", "orf", "pef", "raf", "rw2", "rwl", "sr2",
    "srf", "srw",
];

/// Manifests that are found inside a directory by their exact name.
const MANIFEST_NAMES: [&str; 3] = ["captions.jsonl", "captions.jsonl.gz", "captions.csv"];

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A picture in a format that can be decoded.
    Image,
    /// A photo in a format that cannot, such as HEIC or camera raw.
    Unsupported,
    /// A tar archive of pictures.
    Tar,
    /// A list of pictures with captions or labels.
    Manifest,
}

/// A regular file worth opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path.
    pub path: PathBuf,
    /// What its name promises; the content decides later.
    pub kind: Kind,
    /// Length.
    pub size_bytes: u64,
    /// Last change, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Device it lies on.
    pub dev: u64,
    /// Its number on that device.
    pub ino: u64,
}

/// A file or directory that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Which; a member of an archive is `archive.tar!member`.
    pub path: PathBuf,
    /// Why, in one line.
    pub reason: String,
}

/// The absolute path of a root without links and `..`, so that one file has one path however the root is written.
///
/// # Errors
/// [`crate::Error::Io`] if there is nothing at `root`, or it may not be looked at.
pub fn root_path(root: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(root).map_err(io_at("open", root))
}

/// Walks a directory, or looks at one file, in the order of the file names' bytes.
///
/// Inside a directory, pictures, photos without a decoder and manifests of a known name are reported; symbolic
/// links and other files are passed over. A root that is a file itself may be of any kind; where its extension
/// says nothing it is taken for a picture. Paths begin with [`root_path`] of the root.
///
/// # Errors
/// [`crate::Error::Io`] if the root itself is not there. What cannot be read below it is a [`Skipped`].
pub fn walk(
    root: &Path,
) -> Result<impl Iterator<Item = std::result::Result<Entry, Skipped>> + use<>> {
    let root = root_path(root)?;
    let walker = WalkDir::new(&root).follow_links(false).sort_by_file_name();
    Ok(walker.into_iter().filter_map(move |found| match found {
        Ok(entry) => look_at(&entry),
        Err(error) => Some(Err(unreadable(&root, &error))),
    }))
}

/// What the name of a file promises, wherever it lies; `None` for names that promise nothing.
pub fn kind_of_name(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_ascii_lowercase();
    let extension = Path::new(&name).extension().unwrap_or_default();
    let is_one_of = |list: &[&str]| list.iter().any(|known| extension == *known);
    if is_one_of(&IMAGE_EXTENSIONS) {
        Some(Kind::Image)
    } else if is_one_of(&UNSUPPORTED_EXTENSIONS) {
        Some(Kind::Unsupported)
    } else if extension == "tar" {
        Some(Kind::Tar)
    } else if is_one_of(&["jsonl", "csv"]) || name.as_bytes().ends_with(b".jsonl.gz") {
        Some(Kind::Manifest)
    } else {
        None
    }
}

/// Why a file of [`Kind::Unsupported`] is not indexed.
pub fn no_decoder(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    no_decoder_for(&format!(".{} files", extension.display()))
}

fn look_at(entry: &DirEntry) -> Option<std::result::Result<Entry, Skipped>> {
    let is_root = entry.depth() == 0;
    let kind = if is_root { root_kind(entry) } else { kind_inside(entry.path()) }?;
    let file_type = entry.file_type();
    if file_type.is_symlink() {
        return None;
    }
    let path = entry.path().to_path_buf();
    if !file_type.is_file() {
        return Some(Err(Skipped { path, reason: not_a_file(file_type).into() }));
    }
    Some(match entry.metadata() {
        Ok(metadata) => Ok(into_entry(path, kind, &metadata)),
        Err(error) => Err(unreadable(entry.path(), &error)),
    })
}

fn into_entry(path: PathBuf, kind: Kind, metadata: &Metadata) -> Entry {
    let Stat { size_bytes, modified_ns, dev, ino } = Stat::of(metadata);
    Entry { path, kind, size_bytes, modified_ns, dev, ino }
}

/// A root that is a directory promises nothing of its own, whatever its name.
fn root_kind(entry: &DirEntry) -> Option<Kind> {
    if entry.file_type().is_dir() {
        return None;
    }
    Some(kind_of_name(entry.path()).unwrap_or(Kind::Image))
}

/// Archives and lists of other names lie in many directories by chance; only the user can mean them.
fn kind_inside(path: &Path) -> Option<Kind> {
    match kind_of_name(path)? {
        kind @ (Kind::Image | Kind::Unsupported) => Some(kind),
        Kind::Manifest => {
            let name = path.file_name().unwrap_or_default();
            MANIFEST_NAMES.iter().any(|known| name == OsStr::new(known)).then_some(Kind::Manifest)
        }
        Kind::Tar => None,
    }
}

fn not_a_file(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory with the name of a file; what it holds was looked at"
    } else if file_type.is_fifo() {
        "a named pipe, not a file"
    } else if file_type.is_socket() {
        "a socket, not a file"
    } else {
        "a device, not a file"
    }
}

fn unreadable(root: &Path, error: &walkdir::Error) -> Skipped {
    let reason = match error.io_error() {
        Some(error) if error.kind() == std::io::ErrorKind::NotFound => "vanished".into(),
        Some(error) => io_reason("read", error),
        None => "a loop of directories".into(),
    };
    Skipped { path: error.path().unwrap_or(root).to_path_buf(), reason }
}

#[cfg(test)]
mod tests;
