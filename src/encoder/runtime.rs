//! Where a model runs and in which numbers.

use tch::Kind;

use crate::error::{Error, Result};

/// Where tensors live and are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA card, where libtorch was built for it.
    Cuda,
    /// Apple's graphics, where libtorch was built for it.
    Mps,
}

impl Device {
    /// libtorch's name for it.
    ///
    /// # Errors
    /// [`Error::BadOption`] if this libtorch cannot use it.
    pub(crate) fn torch(self) -> Result<tch::Device> {
        let missing = |name: &str| Error::BadOption {
            reason: format!("this libtorch finds no {name} device; use --device cpu"),
        };
        match self {
            Self::Cpu => Ok(tch::Device::Cpu),
            Self::Cuda if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
            Self::Cuda => Err(missing("CUDA")),
            Self::Mps if tch::utils::has_mps() => Ok(tch::Device::Mps),
            Self::Mps => Err(missing("MPS")),
        }
    }
}

/// The numbers that towers and heads are computed in. It changes vectors, so it is a part of the fingerprint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, 8 of them after the point: as far as f32 reaches, less exactly.
    Bf16,
    /// 16 bits, 11 of them after the point.
    F16,
}

impl Precision {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F16 => Kind::Half,
        }
    }

    /// Its name in a fingerprint.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

/// Where a model runs and in which numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// Where.
    pub device: Device,
    /// In which numbers.
    pub precision: Precision,
}

impl From<Device> for Runtime {
    fn from(device: Device) -> Self {
        Self { device, precision: Precision::default() }
    }
}
