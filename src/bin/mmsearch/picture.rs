//! From a file on the command line to a decoded picture.

use std::env::{temp_dir, var_os};
use std::io::{self, Read};
use std::path::Path;

use mmsearch::media::{self, ExternalDecoder, Limits};
use mmsearch::{Detail, Error, Pixels, Result};

use crate::cli::keep::DecoderArgs;
use crate::exit::tell;

/// The variable that names a decoder where the arguments do not.
const DECODER: &str = "MMSEARCH_EXTERNAL_DECODER";

/// The decoder of the arguments, or of the environment.
pub(crate) fn external_decoder(arguments: Option<&DecoderArgs>) -> Result<Option<ExternalDecoder>> {
    let command = match arguments.and_then(|arguments| arguments.external.clone()) {
        Some(command) => command,
        None => match var_os(DECODER).filter(|command| !command.is_empty()) {
            Some(command) => command.into_string().map_err(|_| Error::BadOption {
                reason: format!("{DECODER} is not valid UTF-8"),
            })?,
            None => return Ok(None),
        },
    };
    ExternalDecoder::new(&command, &temp_dir()).map(Some)
}

/// The decoder of the environment, where pictures are shown and no argument names one; none if that is no command.
pub(crate) fn decoder_of_environment() -> Option<ExternalDecoder> {
    external_decoder(None).ok().flatten()
}

/// The picture in a file, or in standard input where the file is `-`. That a part of it is missing is a warning.
pub(crate) fn picture(
    path: &Path,
    detail: Detail,
    external: Option<&ExternalDecoder>,
) -> Result<Pixels> {
    let limits = Limits::default();
    let decoded = match is_stdin(path) {
        true => {
            let bytes = stdin(limits.max_file_bytes)?;
            let bad = |reason| Error::BadImage { path: path.into(), reason };
            media::decode_file(path, &bytes, &limits, detail, external).map_err(bad)?
        }
        false => media::read_picture_with(path, &limits, detail, external)?,
    };
    if let Some(reason) = decoded.truncated {
        tell(&format!("warning: {}: {reason}", path.display()));
    }
    Ok(decoded.pixels)
}

/// Whether a file on the command line means standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// All of standard input.
pub(crate) fn stdin(max_bytes: u64) -> Result<Vec<u8>> {
    let path = || "standard input".into();
    let mut bytes = Vec::new();
    let mut stdin = io::stdin().lock().take(max_bytes + 1);
    if let Err(error) = stdin.read_to_end(&mut bytes) {
        return Err(Error::Io { action: "read", path: path(), error });
    }
    if bytes.len() as u64 > max_bytes {
        return Err(Error::BadInput {
            path: path(),
            reason: format!("more than {max_bytes} bytes"),
        });
    }
    Ok(bytes)
}
