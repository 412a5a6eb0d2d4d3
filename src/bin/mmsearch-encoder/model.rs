//! From the name of a model to the model.

use std::path::{Path, PathBuf};

use mmsearch::Result;
use mmsearch::encoder::{Device, DualEncoder, Precision, Runtime};

use crate::cli::{Cli, DeviceArg, PrecisionArg};
use crate::place;

/// What `--model` means.
pub(crate) enum Named {
    /// The one inside this program.
    Mini,
    /// A model directory.
    Directory(PathBuf),
}

/// The model of `--model`, or the one that is compiled in.
pub(crate) fn load_dual(cli: &Cli) -> Result<DualEncoder> {
    load(cli.model.as_deref(), runtime(cli.device, cli.precision))
}

/// The model of this name, or the one that is compiled in.
pub(crate) fn load(model: Option<&str>, runtime: Runtime) -> Result<DualEncoder> {
    match named(model)? {
        Named::Directory(dir) => DualEncoder::load(&dir, runtime),
        #[cfg(feature = "embedded-model")]
        Named::Mini => DualEncoder::mini(runtime),
        #[cfg(not(feature = "embedded-model"))]
        Named::Mini => Err(mmsearch::Error::BadModel {
            path: "mini".into(),
            reason: "this build has no model inside".into(),
        }),
    }
}

/// A path wins over a name; a name is `mini` or a directory in the user's `mmsearch/models`.
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

/// Where the model runs and in which numbers, as the arguments say.
pub(crate) fn runtime(device: DeviceArg, precision: PrecisionArg) -> Runtime {
    let precision = match precision {
        PrecisionArg::F32 => Precision::F32,
        PrecisionArg::Bf16 => Precision::Bf16,
        PrecisionArg::F16 => Precision::F16,
    };
    Runtime { device: device.into(), precision }
}

/// The arguments name a device without knowing the library.
impl From<DeviceArg> for Device {
    fn from(device: DeviceArg) -> Self {
        match device {
            DeviceArg::Cpu => Self::Cpu,
            DeviceArg::Cuda => Self::Cuda,
            DeviceArg::Mps => Self::Mps,
        }
    }
}
