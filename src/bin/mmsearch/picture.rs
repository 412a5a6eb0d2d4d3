//! From a file on the command line to a decoded picture.

use std::io::{self, Read};
use std::path::Path;

use mmsearch::media::{self, Limits};
use mmsearch::{Detail, Error, Pixels, Result};

use crate::exit::tell;

/// The picture in a file, or in standard input where the file is `-`. That a part of it is missing is a warning.
pub(crate) fn picture(path: &Path, detail: Detail) -> Result<Pixels> {
    let limits = Limits::default();
    let decoded = match is_stdin(path) {
        true => {
            let bytes = stdin(limits.max_file_bytes)?;
            let bad = |reason| Error::BadImage { path: path.into(), reason };
            media::decode(&bytes, &limits, detail).map_err(bad)?
        }
        false => media::read_picture(path, &limits, detail)?,
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
