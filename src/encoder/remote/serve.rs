//! The end that has the encoder.

use std::io::{self, Read, Write};

use super::VERSION;
use super::frame::{Hello, Reply, Request, read_frame_or_end, vector_bytes, write_frame};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::pixels::Pixels;

/// Loads an encoder and answers for it until the asking end closes its stream.
///
/// The version goes out before anything is loaded. What the encoder refuses, loading included, is an answer.
///
/// # Errors
/// What the streams give; nobody is left to be told then.
pub fn serve(
    load: impl FnOnce() -> Result<Box<dyn Encoder>>,
    from: &mut dyn Read,
    to: &mut dyn Write,
) -> io::Result<()> {
    write_frame(to, &Hello { version: VERSION.into() }, &[])?;
    let mut encoder = match load() {
        Ok(encoder) => encoder,
        Err(error) => return write_frame(to, &Reply::Failed(error.into()), &[]),
    };
    let (preprocess, logit) = (encoder.preprocess().clone(), encoder.logit().clone());
    write_frame(to, &Reply::Ready { space: encoder.space().into(), preprocess, logit }, &[])?;
    while let Some((request, bytes)) = read_frame_or_end(from).map_err(io::Error::other)? {
        let (reply, answer) = answer(encoder.as_mut(), &request, &bytes)
            .unwrap_or_else(|error| (Reply::Failed(error.into()), Vec::new()));
        write_frame(to, &reply, &[&answer])?;
    }
    Ok(())
}

fn answer(encoder: &mut dyn Encoder, request: &Request, bytes: &[u8]) -> Result<(Reply, Vec<u8>)> {
    let rows = match request {
        Request::Images { sizes } => encoder.encode_images(&pictures(sizes, bytes)?)?,
        Request::Texts { texts } => {
            encoder.encode_texts(&texts.iter().map(String::as_str).collect::<Vec<_>>())?
        }
        Request::ReadsWhole { text } => {
            return Ok((Reply::Whole { is_whole: encoder.reads_whole(text)? }, Vec::new()));
        }
    };
    Ok((Reply::Embeddings { dim: encoder.space().dim }, vector_bytes(&rows)))
}

fn pictures(sizes: &[(u32, u32)], bytes: &[u8]) -> Result<Vec<Pixels>> {
    let mut rest = bytes;
    let mut take = |&(width, height): &(u32, u32)| {
        let n_bytes = u64::from(width) * u64::from(height) * 3;
        let short = Error::BadPixels { width, height, n_bytes: rest.len() };
        let (picture, behind) =
            usize::try_from(n_bytes).ok().and_then(|n| rest.split_at_checked(n)).ok_or(short)?;
        rest = behind;
        Pixels::new(width, height, picture.to_vec())
    };
    sizes.iter().map(&mut take).collect()
}
