//! The picture in a file of its own, read and decoded within limits.

use std::path::Path;

use super::{Decoded, ExternalDecoder, Limits, decode_file, read_regular};
use crate::error::{Error, Result};
use crate::pixels::Detail;

/// Reads and decodes the picture in a file.
///
/// # Errors
/// As [`read_regular`]; [`Error::BadImage`] with the reason why it cannot be decoded.
pub fn read_picture(path: &Path, limits: &Limits, detail: Detail) -> Result<Decoded> {
    read_picture_with(path, limits, detail, None)
}

/// The same with a decoder for what is not decoded here.
///
/// # Errors
/// As [`read_picture`].
pub fn read_picture_with(
    path: &Path,
    limits: &Limits,
    detail: Detail,
    external: Option<&ExternalDecoder>,
) -> Result<Decoded> {
    let (bytes, _stat) = read_regular(path, limits)?;
    decode_file(path, &bytes, limits, detail, external)
        .map_err(|reason| Error::BadImage { path: path.into(), reason })
}
