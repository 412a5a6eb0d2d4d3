//! What a library holds: items, where they came from and what is known of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The caller's own facts about an item, as JSON.
pub type Metadata = BTreeMap<String, serde_json::Value>;

/// Identity of an item within its library; never used again after the item is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub i64);

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kinds of thing that can be found by each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Modality {
    /// A picture.
    Image,
    /// A sentence, or a few words.
    Text,
}

impl Modality {
    /// Both, in the order in which they are listed everywhere.
    pub const ALL: [Self; 2] = [Self::Image, Self::Text];

    /// `image` or `text`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
        }
    }
}

/// BLAKE3 of the bytes that were encoded: the file's for an image, the UTF-8 text for a text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// Where an item came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A file of its own.
    File {
        /// Absolute path.
        path: PathBuf,
    },
    /// A member of a tar archive.
    TarMember {
        /// Absolute path of the archive.
        tar: PathBuf,
        /// Name of the member inside it.
        member: PathBuf,
    },
    /// A caption in a `captions.jsonl` or `.csv`.
    ManifestRow {
        /// Absolute path of the manifest.
        manifest: PathBuf,
        /// Line in the manifest, from 1.
        line: u64,
        /// Which caption of that line, from 0.
        caption: u32,
    },
    /// Handed over by an app.
    Inline {
        /// The app's own name for it; unique in the library.
        name: String,
    },
}

impl fmt::Display for Source {
    /// A path a person can read; a tar member is `archive.tar!member`, a caption `captions.jsonl:12#0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => path.display().fmt(f),
            Self::TarMember { tar, member } => write!(f, "{}!{}", tar.display(), member.display()),
            Self::ManifestRow { manifest, line, caption } => {
                write!(f, "{}:{line}#{caption}", manifest.display())
            }
            Self::Inline { name } => name.fmt(f),
        }
    }
}

/// Whether an item can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Read and encoded whole.
    Ok,
    /// The file ends too early; what could be decoded is searchable.
    Truncated,
    /// It could not be read, decoded or encoded; the reason is kept, and it is not tried again until it changes.
    Failed,
}

/// What a picture's file says about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageFacts {
    /// Columns after orientation is applied.
    pub width: u32,
    /// Rows after orientation is applied.
    pub height: u32,
    /// Lower-case name of the format, such as `jpeg`.
    pub format: String,
    /// EXIF orientation, 1..=8; 1 where the file says nothing.
    pub orientation: u8,
    /// When it was taken, local time as the camera wrote it: `2024-05-31T18:02:11`.
    pub taken_at: Option<String>,
    /// Maker and model of the camera.
    pub camera: Option<String>,
    /// Degrees north, -90..=90.
    pub latitude: Option<f64>,
    /// Degrees east, -180..=180.
    pub longitude: Option<f64>,
    /// Name of its ICC profile, which is noted and not applied: the numbers are taken for sRGB.
    pub color_profile: Option<String>,
}

/// Something a library knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Identity within the library.
    pub id: ItemId,
    /// Image or text.
    pub modality: Modality,
    /// Where it came from.
    pub source: Source,
    /// Identity of its content; `None` if it could not be read.
    pub content_hash: Option<ContentHash>,
    /// Bytes of the file, of the member, or of the UTF-8 text.
    pub size_bytes: u64,
    /// When its file was last changed, nanoseconds since 1970; `None` where there is no file.
    pub modified_ns: Option<i64>,
    /// Whether it can be found.
    pub status: Status,
    /// Why it is not [`Status::Ok`].
    pub reason: Option<String>,
    /// What the picture's file says; `None` for texts, and for failures but those that only the change of the model
    /// left without an embedding.
    pub facts: Option<ImageFacts>,
    /// The text itself; `None` for images.
    pub text: Option<String>,
    /// The image that this text describes.
    pub image: Option<ItemId>,
    /// The caller's own facts.
    pub metadata: Metadata,
}
