//! A model directory on disk or compiled in: three files, read once, so that what is hashed is what is parsed.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::encoder::config::ModelConfig;
use crate::encoder::{Fingerprint, Precision};
use crate::error::{Error, Result, io_at};
use crate::pixels::DECODER_REVISION;

/// The largest model file that is read; the largest published CLIP has 5 GB.
const MAX_BYTES: u64 = 8 << 30;

/// The bytes of a model directory.
pub(crate) struct ModelFiles {
    pub(crate) path: PathBuf,
    pub(crate) config: Cow<'static, [u8]>,
    pub(crate) weights: Cow<'static, [u8]>,
    pub(crate) tokenizer: Cow<'static, [u8]>,
}

impl ModelFiles {
    /// Reads a directory.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            let what =
                if dir.exists() { "is not a directory with model.json" } else { "does not exist" };
            let only = "only model directories with .safetensors weights are read; see `mmsearch model list`";
            return Err(Error::BadModel {
                path: dir.to_path_buf(),
                reason: format!("{what} ({only})"),
            });
        }
        Ok(Self {
            path: dir.to_path_buf(),
            config: read_file(&dir.join("model.json"))?.into(),
            weights: read_file(&dir.join("weights.safetensors"))?.into(),
            tokenizer: read_file(&dir.join("tokenizer.json"))?.into(),
        })
    }

    /// The model that is compiled in.
    #[cfg(feature = "embedded-model")]
    pub(crate) fn mini() -> Self {
        Self {
            path: PathBuf::from("mini"),
            config: Cow::Borrowed(include_bytes!("../../models/mini/model.json")),
            weights: Cow::Borrowed(include_bytes!("../../models/mini/weights.safetensors")),
            tokenizer: Cow::Borrowed(include_bytes!("../../models/mini/tokenizer.json")),
        }
    }

    /// BLAKE3 over everything that changes a vector. The name is left out, since it changes none.
    pub(crate) fn fingerprint(&self, config: &ModelConfig, precision: Precision) -> Fingerprint {
        let unnamed = ModelConfig { name: String::new(), ..config.clone() };
        let mut hasher = blake3::Hasher::new();
        let decoder = DECODER_REVISION.to_le_bytes();
        let config = unnamed.to_json();
        for part in [
            config.as_bytes(),
            &self.weights,
            &self.tokenizer,
            precision.name().as_bytes(),
            &decoder,
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Fingerprint(hasher.finalize().to_hex().to_string())
    }
}

/// Reads a regular file of bounded size; a FIFO or a device is refused instead of waited for.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let bad = |reason: &str| Error::BadModel { path: path.to_path_buf(), reason: reason.into() };
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(bad("it is missing"));
        }
        opened => opened.map_err(io_at("open", path))?,
    };
    let stat = file.metadata().map_err(io_at("read", path))?;
    if !stat.is_file() {
        return Err(bad("it is not a regular file"));
    }
    if stat.len() > MAX_BYTES {
        return Err(bad("it is larger than 8 GiB"));
    }
    let mut bytes = Vec::with_capacity(stat.len() as usize);
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(io_at("read", path))?;
    Ok(bytes)
}

/// Parses a JSON file of known shape.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read_file(path)?)
        .map_err(|error| Error::BadModel { path: path.to_path_buf(), reason: error.to_string() })
}

/// Writes a new file and syncs it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).map_err(io_at("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_at("write", path))
}

/// Makes a rename in a directory last.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_at("sync", dir))
}
