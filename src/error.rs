//! The one error type of the library: a variant per cause, each naming the file, tensor or item.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong. [`Error::kind`] sorts the variants by what a caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A vector cannot be an embedding.
    #[error("not an embedding: {reason}")]
    BadEmbedding {
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes do not make a picture of the size given.
    #[error("not a picture: {n_bytes} bytes for {width}×{height} pixels in RGB")]
    BadPixels {
        /// Columns claimed.
        width: u32,
        /// Rows claimed.
        height: u32,
        /// Bytes given.
        n_bytes: usize,
    },
    /// A question that has no answer, such as k = 0 or an empty text.
    #[error("{reason}")]
    BadQuery {
        /// What is wrong with it.
        reason: String,
    },
    /// A condition cannot be understood.
    #[error("condition, column {column}: {reason}")]
    BadCondition {
        /// Where, in characters from 1.
        column: usize,
        /// What was expected there, and what was found.
        reason: String,
    },
    /// An option of a use case is out of its range.
    #[error("{reason}")]
    BadOption {
        /// Which option, and its range.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `create`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said; not a `source`, since the message has it already.
        error: io::Error,
    },
    /// A picture's file cannot be used.
    #[error("{}: {reason}", path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A manifest, tar or label file cannot be understood.
    #[error("{}: {reason}", path.display())]
    BadInput {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where there is one.
        reason: String,
    },
    /// A path, id or name is not in the library.
    #[error("{what} is not in the library {}", library.display())]
    NotFound {
        /// What was asked for.
        what: String,
        /// The library's directory.
        library: PathBuf,
    },
    /// There is no library at the place given.
    #[error("there is no library at {}; make one with `mmsearch index`", path.display())]
    NoLibrary {
        /// The place.
        path: PathBuf,
    },
    /// A root that held items is gone or empty, or on another device without any of them, as after an unmount; nothing was
    /// forgotten.
    #[error("{} is missing, empty or another disk, but held {n_items} items; nothing was forgotten (mount it, or forget it by `mmsearch forget`)", root.display())]
    MissingRoot {
        /// The root.
        root: PathBuf,
        /// Items known below it.
        n_items: u64,
    },
    /// Another process is writing to the library.
    #[error("library {} is being written by another process{}", path.display(), holder(*pid))]
    Locked {
        /// The library's directory.
        path: PathBuf,
        /// The writer, where it could be read.
        pid: Option<u32>,
    },
    /// A process that reads the library keeps it from being replaced.
    #[error("library {} is open in another process; end that and try again", path.display())]
    InUse {
        /// The library's directory.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("catalog {}: cannot {action}: {reason}", path.display())]
    Catalog {
        /// The database file.
        path: PathBuf,
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What SQLite said.
        reason: String,
        /// Whether SQLite says that the file is damaged.
        corrupt: bool,
    },
    /// The database file is not a catalog.
    #[error("{} is not a catalog of mmsearch: {reason}; it was left untouched", path.display())]
    NotACatalog {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The catalog was written by a newer mmsearch.
    #[error("catalog {} has version {found}, this mmsearch knows up to {known}; it was left untouched (use a newer mmsearch)", path.display())]
    NewerCatalog {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The catalog was written by an older mmsearch, and cannot be brought to the version that is read now.
    #[error("catalog {} has version {found} and cannot be brought to {known} where it is, because it cannot be written; copy the library to where it can, or mount it writable", path.display())]
    OlderCatalog {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that this program reads.
        known: i64,
    },
    /// The library lies where it cannot be written, and cannot be read as it is.
    #[error("library {} cannot be written, and not be read as it is: {reason}; copy it to where it can be written, or mount it writable", path.display())]
    ReadOnly {
        /// The library's directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The library lies on a file system that several machines may share.
    #[error("library {} is on a file system of a network ({kind}), where a write-ahead log is not safe; choose a place on a local disk by --library, or say --allow-network-fs", path.display())]
    NetworkFs {
        /// The library's directory.
        path: PathBuf,
        /// Which kind of file system.
        kind: &'static str,
    },
    /// Stored bytes do not match their checksum.
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found, naming the row or section.
        reason: String,
    },
    /// The library was filled by another model.
    #[error("library {} was filled by model {library_model}, not by {model}; use that model, change the library to this one by `mmsearch reindex --model`, or index into another --library", path.display())]
    ModelMismatch {
        /// The library's directory.
        path: PathBuf,
        /// Name and fingerprint of the library's model.
        library_model: String,
        /// Name and fingerprint of the model in hand.
        model: String,
    },
    /// The pictures of a library cannot be read again, so that another model would find none of them.
    #[error("none of the {n_images} different images of library {} could be given to {model}, so the library keeps its model ({reason}); what an app handed over must be added to a new library", path.display())]
    NoSources {
        /// The library's directory.
        path: PathBuf,
        /// Name of the model that it should have been changed to.
        model: String,
        /// Different images that the library finds now.
        n_images: u64,
        /// Why not, for the first of them.
        reason: String,
    },
    /// Two vectors that should be of one space have different dimensions.
    #[error("expected {expected} dimensions, found {found}")]
    Dimension {
        /// The library's.
        expected: usize,
        /// The vector's.
        found: usize,
    },
    /// A model directory cannot be used.
    #[error("model {}: {reason}", path.display())]
    BadModel {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong, naming the field or tensor.
        reason: String,
    },
    /// The encoder could not encode.
    #[error("encoder: {reason}")]
    Encoder {
        /// The first line of what it said.
        reason: String,
    },
    /// The process that should encode cannot be used.
    #[error("no encoder: {reason}")]
    NoEncoder {
        /// Why not, and what to do.
        reason: String,
    },
    /// The process that encodes ended, or stopped making sense.
    #[error("the encoder stopped working: {reason}; what was committed stays")]
    EncoderGone {
        /// How it ended.
        reason: String,
    },
    /// The caller's cancel callback said stop; what was committed stays.
    #[error("cancelled; what was committed stays")]
    Cancelled,
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Ask differently.
    Usage,
    /// Nothing there.
    NotFound,
    /// Wait for the other writer.
    Locked,
    /// Mend the file system: permissions, space, mounts, files that are gone.
    Io,
    /// Run `check`.
    Corrupt,
    /// Use another model, format or version.
    Mismatch,
    /// Nothing: it was asked for.
    Cancelled,
    /// Report it.
    Bug,
}

impl Error {
    /// Sorts the variants by what a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::BadQuery { .. } | Self::BadCondition { .. } | Self::BadOption { .. } => {
                ErrorKind::Usage
            }
            Self::BadImage { .. } | Self::BadInput { .. } | Self::BadPixels { .. } => ErrorKind::Io,
            Self::Io { .. } | Self::MissingRoot { .. } | Self::NoSources { .. } => ErrorKind::Io,
            Self::NotFound { .. } | Self::NoLibrary { .. } => ErrorKind::NotFound,
            Self::Locked { .. } | Self::InUse { .. } => ErrorKind::Locked,
            Self::Catalog { corrupt: true, .. } | Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Catalog { corrupt: false, .. } => ErrorKind::Io,
            Self::ReadOnly { .. } | Self::NetworkFs { .. } => ErrorKind::Io,
            Self::NotACatalog { .. } | Self::NewerCatalog { .. } | Self::OlderCatalog { .. } => {
                ErrorKind::Mismatch
            }
            Self::ModelMismatch { .. } | Self::Dimension { .. } => ErrorKind::Mismatch,
            Self::BadModel { .. } | Self::NoEncoder { .. } => ErrorKind::Mismatch,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::BadEmbedding { .. } | Self::Encoder { .. } | Self::EncoderGone { .. } => {
                ErrorKind::Bug
            }
        }
    }
}

/// Names the file and the action in an [`io::Error`].
pub(crate) fn io_at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::Io { action, path, error }
}

/// Reads a whole file of ours, naming it in the error.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "the one place that names the file")]
    std::fs::read(path).map_err(io_at("read", path))
}

/// The holder of a lock, as a tail of a sentence.
fn holder(pid: Option<u32>) -> impl fmt::Display {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}
