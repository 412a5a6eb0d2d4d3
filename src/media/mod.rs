//! Files that hold pictures: finding, opening and decoding them, and what they say about themselves.
//!
//! It owns every decision about untrusted files: which are looked at, how many bytes and pixels are read from
//! them, and what is refused with a reason. It knows nothing of catalogs or encoders. Paths are kept as the bytes
//! the system gave; they are never turned into text and back.

use std::path::Path;

mod budget;
mod color_profile;
mod csv_rows;
mod decode;
mod exif;
mod external;
mod jpeg;
mod jpeg_end;
mod jpeg_thin;
mod look;
mod manifest;
mod open;
mod pairs;
mod parallel;
mod picture;
mod sidecar;
mod source_pictures;
mod store;
mod tar;
mod thumbnail;
mod walk;
mod words;

pub use self::tar::{Member, tar_members};
pub use decode::{Decoded, decode};
pub use external::{ExternalDecoder, decode_file};
pub(crate) use external::{lacks_decoder, may_pass};
pub use look::{Look, SAME_LOOK};
pub use manifest::{Row, read_manifest};
pub use open::{Stat, open_regular, read_regular};
pub use pairs::{Pair, PairSource, Pairs, paraphrases};
pub(crate) use parallel::in_parallel;
pub use picture::{read_picture, read_picture_with};
pub(crate) use sidecar::picture_of_sidecar;
pub use sidecar::{Sidecars, read_sidecar};
pub use source_pictures::SourcePictures;
pub use thumbnail::{jpeg_bytes, thumbnail};
pub use walk::{Entry, Kind, Skipped, kind_of_name, no_decoder, root_path, walk};
pub use words::Words;

/// How much of one file is read and decoded at most.
///
/// Together they bound the memory that one picture takes: three times `max_file_bytes` (the file, and what decoders keep of it) and
/// twelve bytes for each of `max_pixels` (the samples, and coefficients or a second copy of them until the picture is whole and
/// upright). What a file claims is compared with them before that is allocated. As many pictures are decoded at once as there are
/// processors, up to eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Larger files and tar members are refused before they are read.
    pub max_file_bytes: u64,
    /// Pictures that declare more pixels are refused before the pixels are allocated. Decoded samples may take
    /// four bytes for each of these, so a 16-bit picture with alpha is refused at half as many pixels.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 256 MiB and 100 megapixels.
    fn default() -> Self {
        Self { max_file_bytes: 256 << 20, max_pixels: 100_000_000 }
    }
}

/// What an XMP packet and IPTC records say, for the fuzz target of both.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn words_of(xmp: Option<&[u8]>, iptc: Option<&[u8]>) -> Words {
    Words::read(xmp, iptc, None)
}

/// Ends the reason of a damage that hides everything behind it.
pub(crate) const NOT_READ_ON: &str = "; what follows was not read";

/// A name in an archive or manifest without the `./` in front that `tar cf x.tar .` writes.
fn plain_name(name: &Path) -> &Path {
    name.strip_prefix(".").unwrap_or(name)
}

/// What the system said, as the tail of a reason.
fn io_reason(action: &str, error: &std::io::Error) -> String {
    format!("cannot {action} it: {error}")
}
