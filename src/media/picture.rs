//! The picture in a file of its own, read and decoded within limits.

use std::path::Path;

use super::{Decoded, Limits, decode, read_regular};
use crate::error::{Error, Result};
use crate::pixels::Detail;

/// Reads and decodes the picture in a file.
///
/// # Errors
/// As [`read_regular`]; [`Error::BadImage`] with the reason why it cannot be decoded.
pub fn read_picture(path: &Path, limits: &Limits, detail: Detail) -> Result<Decoded> {
    let (bytes, _stat) = read_regular(path, limits)?;
    decode(&bytes, limits, detail).map_err(|reason| Error::BadImage { path: path.into(), reason })
}
