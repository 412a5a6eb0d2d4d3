//! From the name of a model to an encoder.

use std::env::var_os;
#[cfg(feature = "torch")]
use std::path::{Path, PathBuf};

use anyhow::Result;
use mmsearch::encoder::{Encoder, FakeEncoder};

use crate::cli::Cli;
#[cfg(feature = "torch")]
use crate::place;

/// The encoder of `--model`, or the default one.
pub(crate) fn load_encoder(cli: &Cli) -> Result<Box<dyn Encoder>> {
    // For tests of everything but the model; a model that is asked for by name wins.
    let fake =
        var_os("MMSEARCH_FAKE_ENCODER").filter(|name| !name.is_empty() && cli.model.is_none());
    if let Some(name) = fake {
        let name = name.to_string_lossy();
        return Ok(Box::new(FakeEncoder::new(if name == "1" { "fake" } else { &name })));
    }
    load_real(cli)
}

#[cfg(feature = "torch")]
fn load_real(cli: &Cli) -> Result<Box<dyn Encoder>> {
    Ok(Box::new(load_dual(cli)?))
}

#[cfg(not(feature = "torch"))]
fn load_real(cli: &Cli) -> Result<Box<dyn Encoder>> {
    Err(no_model(cli.model.as_deref().unwrap_or("mini")))
}

/// The model of `--model`, or the one that is compiled in.
#[cfg(feature = "torch")]
pub(crate) fn load_dual(cli: &Cli) -> Result<mmsearch::encoder::DualEncoder> {
    use mmsearch::encoder::DualEncoder;
    let runtime = runtime(cli);
    match named(cli.model.as_deref())? {
        Named::Directory(dir) => Ok(DualEncoder::load(&dir, runtime)?),
        #[cfg(feature = "embedded-model")]
        Named::Mini => Ok(DualEncoder::mini(runtime)?),
        #[cfg(not(feature = "embedded-model"))]
        Named::Mini => Err(no_model("mini")),
    }
}

/// What `--model` means.
#[cfg(feature = "torch")]
pub(crate) enum Named {
    /// The one inside this program.
    Mini,
    /// A model directory.
    Directory(PathBuf),
}

/// A path wins over a name; a name is `mini` or a directory in the user's `mmsearch/models`.
#[cfg(feature = "torch")]
pub(crate) fn named(model: Option<&str>) -> Result<Named> {
    let Some(model) = model else { return Ok(Named::Mini) };
    if model.contains('/') || Path::new(model).exists() {
        return Ok(Named::Directory(model.into()));
    }
    if model == "mini" {
        return Ok(Named::Mini);
    }
    Ok(Named::Directory(place::models()?.join(model)))
}

#[cfg(not(all(feature = "torch", feature = "embedded-model")))]
pub(crate) fn no_model(name: &str) -> anyhow::Error {
    mmsearch::Error::BadModel { path: name.into(), reason: "this build has no model inside".into() }
        .into()
}

/// The arguments name a device without knowing the library.
#[cfg(feature = "torch")]
impl From<crate::cli::DeviceArg> for mmsearch::encoder::Device {
    fn from(device: crate::cli::DeviceArg) -> Self {
        match device {
            crate::cli::DeviceArg::Cpu => Self::Cpu,
            crate::cli::DeviceArg::Cuda => Self::Cuda,
            crate::cli::DeviceArg::Mps => Self::Mps,
        }
    }
}

/// Where the model runs and in which numbers, as the arguments say.
#[cfg(feature = "torch")]
pub(crate) fn runtime(cli: &Cli) -> mmsearch::encoder::Runtime {
    use crate::cli::PrecisionArg;
    use mmsearch::encoder::{Precision, Runtime};
    let precision = match cli.precision {
        PrecisionArg::F32 => Precision::F32,
        PrecisionArg::Bf16 => Precision::Bf16,
        PrecisionArg::F16 => Precision::F16,
    };
    Runtime { device: cli.device.into(), precision }
}
