//! What goes over the streams: frames of a JSON header and raw bytes behind it.
//!
//! `mms1`, the header's length in 4 bytes and that of the bytes in 8, the least significant first; then both. Pictures are
//! `[height, width, 3]` one after the other, embeddings rows of f32, so that a vector arrives as it was, bit by bit.

use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::embedding::Embedding;
use crate::encoder::{Fingerprint, Logit, Preprocess, Space};
use crate::error::{Error, Result};

/// Tells a frame from whatever another program may print.
const MAGIC: [u8; 4] = *b"mms1";

/// More than any batch has; a length beyond it is damage.
const MAX_BYTES: u64 = 8 << 30;

/// The first frame. Its shape never changes, so that versions can always be compared.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Hello {
    pub(super) version: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// Width and height of each picture; the pixels are the frame's bytes.
    Images {
        sizes: Vec<(u32, u32)>,
    },
    Texts {
        texts: Vec<String>,
    },
    ReadsWhole {
        text: String,
    },
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// The second frame: the model is loaded.
    Ready {
        space: SpaceFrame,
        preprocess: Preprocess,
        logit: Logit,
    },
    /// The vectors are the frame's bytes.
    Embeddings {
        dim: usize,
    },
    Whole {
        is_whole: bool,
    },
    Failed(Failure),
}

/// A [`Space`].
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct SpaceFrame {
    fingerprint: String,
    model: String,
    dim: usize,
}

/// An [`Error`] of an encoder; the other process must be able to tell what its user can do about it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Failure {
    Option { reason: String },
    Model { path: PathBuf, reason: String },
    Io { action: String, path: PathBuf, reason: String },
    Encoder { reason: String },
}

impl From<&Space> for SpaceFrame {
    fn from(space: &Space) -> Self {
        let Space { fingerprint, model, dim } = space.clone();
        Self { fingerprint: fingerprint.0, model, dim }
    }
}

impl From<SpaceFrame> for Space {
    fn from(frame: SpaceFrame) -> Self {
        let SpaceFrame { fingerprint, model, dim } = frame;
        Self { fingerprint: Fingerprint(fingerprint), model, dim }
    }
}

impl From<Error> for Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an encoder has few ways to fail; any other is told too"
    )]
    fn from(error: Error) -> Self {
        match error {
            Error::BadOption { reason } => Self::Option { reason },
            Error::BadModel { path, reason } => Self::Model { path, reason },
            Error::Io { action, path, error } => {
                Self::Io { action: action.into(), path, reason: error.to_string() }
            }
            Error::Encoder { reason } => Self::Encoder { reason },
            error => Self::Encoder { reason: error.to_string() },
        }
    }
}

impl Failure {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Option { reason } => Error::BadOption { reason },
            Self::Model { path, reason } => Error::BadModel { path, reason },
            Self::Io { action, path, reason } => {
                let action = if action == "open" { "open" } else { "read" };
                Error::Io { action, path, error: std::io::Error::other(reason) }
            }
            Self::Encoder { reason } => Error::Encoder { reason },
        }
    }
}

/// Writes one frame and sends it off.
pub(super) fn write_frame(
    to: &mut dyn Write,
    header: &impl Serialize,
    parts: &[&[u8]],
) -> std::io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let n_bytes: usize = parts.iter().map(|part| part.len()).sum();
    let mut start = MAGIC.to_vec();
    start.extend((header.len() as u32).to_le_bytes());
    start.extend((n_bytes as u64).to_le_bytes());
    start.extend(header);
    to.write_all(&start)?;
    for part in parts {
        to.write_all(part)?;
    }
    to.flush()
}

/// Reads one frame.
///
/// # Errors
/// [`Error::EncoderGone`] if the stream ends, [`Error::NoEncoder`] if it holds something else.
pub(super) fn read_frame<T: DeserializeOwned>(from: &mut dyn Read) -> Result<(T, Vec<u8>)> {
    match read_frame_or_end(from)? {
        Some(frame) => Ok(frame),
        None => Err(Error::EncoderGone { reason: "it ended".into() }),
    }
}

/// Reads one frame, or nothing where the stream ends before it.
pub(super) fn read_frame_or_end<T: DeserializeOwned>(
    from: &mut dyn Read,
) -> Result<Option<(T, Vec<u8>)>> {
    let mut start = [0; 16];
    if !fill(from, &mut start)? {
        return Ok(None);
    }
    let [a, b, c, d, lengths @ ..] = start;
    let (n_header, n_bytes) = lengths.split_at(4);
    let n_header = u32::from_le_bytes(n_header.try_into().expect("4 of 12 bytes"));
    let n_bytes = u64::from_le_bytes(n_bytes.try_into().expect("8 of 12 bytes"));
    if [a, b, c, d] != MAGIC || n_bytes > MAX_BYTES {
        return Err(no_frame());
    }
    let mut frame = Vec::new();
    let length = u64::from(n_header) + n_bytes;
    from.take(length).read_to_end(&mut frame).map_err(gone)?;
    if frame.len() as u64 != length {
        return Err(Error::EncoderGone { reason: "it ended in the middle of a sentence".into() });
    }
    let bytes = frame.split_off(n_header as usize);
    let header = serde_json::from_slice(&frame).map_err(|_| no_frame())?;
    Ok(Some((header, bytes)))
}

/// Whether the stream had these bytes; none at all is no error.
fn fill(from: &mut dyn Read, bytes: &mut [u8]) -> Result<bool> {
    let mut n = 0;
    while n < bytes.len() {
        match from.read(&mut bytes[n..]) {
            Ok(0) if n == 0 => return Ok(false),
            Ok(0) => return Err(no_frame()),
            Ok(more) => n += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(gone(error)),
        }
    }
    Ok(true)
}

fn gone(error: std::io::Error) -> Error {
    Error::EncoderGone { reason: error.to_string() }
}

fn no_frame() -> Error {
    let reason = "mmsearch-encoder does not answer as one; install mmsearch again".into();
    Error::NoEncoder { reason }
}

/// Vectors as bytes.
pub(super) fn vector_bytes(rows: &[Embedding]) -> Vec<u8> {
    rows.iter().flat_map(|row| row.as_slice()).flat_map(|value| value.to_le_bytes()).collect()
}

/// Bytes as vectors, which must be embeddings.
pub(super) fn embeddings(bytes: &[u8], dim: usize) -> Result<Vec<Embedding>> {
    let (values, rest) = bytes.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
    if dim == 0 || !rest.is_empty() || !values.len().is_multiple_of(dim) {
        return Err(no_frame());
    }
    values.chunks_exact(dim).map(|row| Embedding::new(row.to_vec())).collect()
}
