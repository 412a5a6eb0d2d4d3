//! An encoder in another process, so that a program need not load libtorch, nor end with it.
//!
//! [`serve`] answers for an encoder, [`RemoteEncoder`] asks it. Neither starts a process: they are given two streams. The
//! other process tells its version first, then loads, and says which space it encodes into; after that every request
//! has one reply.

mod frame;
mod serve;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};

use self::frame::{Hello, Reply, Request, embeddings, read_frame, write_frame};
use crate::embedding::Embedding;
use crate::encoder::{Encoder, Logit, Preprocess, Space};
use crate::error::{Error, Result};
use crate::pixels::Pixels;

pub use self::serve::serve;

/// Both ends must be of this version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Asks an encoder at the other end of two streams.
pub struct RemoteEncoder {
    from: Box<dyn Read + Send>,
    to: Box<dyn Write + Send>,
    space: Space,
    preprocess: Preprocess,
    logit: Logit,
}

impl RemoteEncoder {
    /// Waits until the encoder at the other end is loaded.
    ///
    /// # Errors
    /// [`Error::NoEncoder`] if it is of another version, or no encoder; what it says if it cannot load its model;
    /// [`Error::EncoderGone`] if it ends meanwhile.
    pub fn connect(
        mut from: Box<dyn Read + Send>,
        to: Box<dyn Write + Send>,
    ) -> Result<RemoteEncoder> {
        let (Hello { version }, _) = read_frame(&mut from)?;
        if version != VERSION {
            let reason = format!(
                "mmsearch-encoder has version {version}, mmsearch has {VERSION}; install both again"
            );
            return Err(Error::NoEncoder { reason });
        }
        let (reply, _) = read_frame(&mut from)?;
        match reply {
            Reply::Ready { space, preprocess, logit } => {
                Ok(Self { from, to, space: space.into(), preprocess, logit })
            }
            Reply::Failed(failure) => Err(failure.into_error()),
            Reply::Embeddings { .. } | Reply::Whole { .. } => Err(out_of_turn()),
        }
    }

    /// A request that cannot be written is told by the answer that does not come: only who reads knows how the other
    /// end went away.
    fn ask(&mut self, request: &Request, bytes: &[&[u8]]) -> Result<(Reply, Vec<u8>)> {
        let written = write_frame(&mut self.to, request, bytes);
        let (reply, answer) = read_frame(&mut self.from)?;
        written.map_err(|error| Error::EncoderGone { reason: error.to_string() })?;
        match reply {
            Reply::Failed(failure) => Err(failure.into_error()),
            Reply::Ready { .. } | Reply::Embeddings { .. } | Reply::Whole { .. } => {
                Ok((reply, answer))
            }
        }
    }

    fn encode(&mut self, request: &Request, bytes: &[&[u8]], n: usize) -> Result<Vec<Embedding>> {
        match self.ask(request, bytes)? {
            (Reply::Embeddings { dim }, values) => {
                let rows = embeddings(&values, dim)?;
                if rows.len() == n { Ok(rows) } else { Err(out_of_turn()) }
            }
            (Reply::Ready { .. } | Reply::Whole { .. } | Reply::Failed(_), _) => Err(out_of_turn()),
        }
    }
}

impl Encoder for RemoteEncoder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn logit(&self) -> &Logit {
        &self.logit
    }

    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        let sizes = pictures.iter().map(|picture| (picture.width(), picture.height())).collect();
        let bytes: Vec<&[u8]> = pictures.iter().map(Pixels::rgb).collect();
        self.encode(&Request::Images { sizes }, &bytes, pictures.len())
    }

    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        let owned = texts.iter().map(|&text| text.to_owned()).collect();
        self.encode(&Request::Texts { texts: owned }, &[], texts.len())
    }

    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        match self.ask(&Request::ReadsWhole { text: text.to_owned() }, &[])?.0 {
            Reply::Whole { is_whole } => Ok(is_whole),
            Reply::Ready { .. } | Reply::Embeddings { .. } | Reply::Failed(_) => Err(out_of_turn()),
        }
    }
}

fn out_of_turn() -> Error {
    Error::EncoderGone { reason: "it answered what it was not asked".into() }
}
