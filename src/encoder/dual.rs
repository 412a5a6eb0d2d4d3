//! Two towers and two heads on libtorch: the one real [`Encoder`], and the one place where a panic of torch
//! becomes an error.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tch::{Kind, Tensor};

use crate::embedding::Embedding;
use crate::encoder::checkpoint::Checkpoint;
use crate::encoder::config::ModelConfig;
use crate::encoder::files::ModelFiles;
use crate::encoder::tokenizer::Tokenizer;
use crate::encoder::tower::{Half, HeadLayers, ImageTower, TextTower, Weights, specs};
use crate::encoder::{Encoder, Preprocess, Space};
use crate::error::{Error, Result};
use crate::pixels::Pixels;

/// Where tensors live and are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA card, where libtorch was built for it.
    Cuda,
}

impl Device {
    /// libtorch's name for it.
    ///
    /// # Errors
    /// [`Error::BadOption`] if this libtorch cannot use it.
    pub(crate) fn torch(self) -> Result<tch::Device> {
        match self {
            Self::Cpu => Ok(tch::Device::Cpu),
            Self::Cuda if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
            Self::Cuda => Err(Error::BadOption {
                reason: "this libtorch finds no CUDA device; use --device cpu".into(),
            }),
        }
    }
}

/// A model whose towers are loaded when they are first needed.
///
/// Memory: the weights file, plus 4 bytes for each parameter of a loaded half.
pub struct DualEncoder {
    config: ModelConfig,
    space: Space,
    files: ModelFiles,
    checkpoint: Checkpoint,
    device: tch::Device,
    image: Option<ImageHalf>,
    text: Option<TextHalf>,
}

pub(crate) struct ImageHalf {
    pub(crate) tower: ImageTower,
    pub(crate) head: HeadLayers,
}

pub(crate) struct TextHalf {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) tower: TextTower,
    pub(crate) head: HeadLayers,
}

impl DualEncoder {
    /// Opens a model directory; checks everything but the values of the weights.
    ///
    /// # Errors
    /// [`Error::BadModel`] naming the file and the field or tensor that is wrong.
    pub fn load(dir: &Path, device: Device) -> Result<Self> {
        Self::from_files(ModelFiles::read(dir)?, device)
    }

    /// The model that is compiled in.
    ///
    /// # Errors
    /// [`Error::BadOption`] if the device is not there.
    #[cfg(feature = "embedded-model")]
    pub fn mini(device: Device) -> Result<Self> {
        Self::from_files(ModelFiles::mini(), device)
    }

    fn from_files(mut files: ModelFiles, device: Device) -> Result<Self> {
        let config = ModelConfig::parse(&files.config, &files.path)?;
        let fingerprint = files.fingerprint(&config);
        let weights = std::mem::take(&mut files.weights);
        let checkpoint = Checkpoint::parse(weights, &files.path.join("weights.safetensors"))?;
        checkpoint.check(&[specs(&config, Half::Image), specs(&config, Half::Text)].concat())?;
        let space = Space { fingerprint, model: config.name.clone(), dim: config.dim as usize };
        Ok(Self {
            config,
            space,
            files,
            checkpoint,
            device: device.torch()?,
            image: None,
            text: None,
        })
    }

    /// The model's description.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Number of parameters of both halves.
    pub fn n_parameters(&self) -> u64 {
        let count = |half| {
            specs(&self.config, half)
                .iter()
                .map(|spec| spec.shape.iter().product::<i64>())
                .sum::<i64>()
        };
        (count(Half::Image) + count(Half::Text)) as u64
    }

    /// All weights as f32 by name, as a starting point for training.
    pub(crate) fn weights(&self, half: Half) -> Result<Weights> {
        let tensor = |name: String| Ok((name.clone(), self.checkpoint.tensor(&name, self.device)?));
        Ok(Weights(
            specs(&self.config, half)
                .into_iter()
                .map(|spec| tensor(spec.name))
                .collect::<Result<BTreeMap<_, _>>>()?,
        ))
    }

    /// The tokenizer's file, for a model that is derived from this one.
    pub(crate) fn tokenizer_json(&self) -> &[u8] {
        &self.files.tokenizer
    }

    pub(crate) fn image_half(&mut self) -> Result<&ImageHalf> {
        if self.image.is_none() {
            let weights = self.weights(Half::Image)?;
            let tower = ImageTower::new(&self.config, &weights);
            let head = HeadLayers::new(&self.config.image_head, &weights, "image_head");
            self.image = Some(ImageHalf { tower, head });
        }
        Ok(self.image.as_ref().expect("it was just loaded"))
    }

    pub(crate) fn text_half(&mut self) -> Result<&TextHalf> {
        if self.text.is_none() {
            let weights = self.weights(Half::Text)?;
            let tokenizer =
                Tokenizer::parse(&self.files.tokenizer, &self.config, &self.files.path)?;
            let tower = TextTower::new(&self.config, &weights);
            let head = HeadLayers::new(&self.config.text_head, &weights, "text_head");
            self.text = Some(TextHalf { tokenizer, tower, head });
        }
        Ok(self.text.as_ref().expect("it was just loaded"))
    }

    /// Features of pictures before the head, `[n, features]` row by row.
    ///
    /// # Errors
    /// [`Error::Encoder`] if libtorch refuses.
    pub(crate) fn tower_features(&mut self, pictures: &[Pixels]) -> Result<Tensor> {
        let input = image_input(pictures, &self.config.preprocess, self.device)?;
        let half = self.image_half()?;
        guarded(|| tch::no_grad(|| half.tower.forward(&input)))
    }

    /// What the image tower gives to the head, `[n, features]`: the input of a classifier of one's own (linear probe).
    ///
    /// # Errors
    /// [`Error::Encoder`] if a picture is not of the model's size.
    pub fn image_features(&mut self, pictures: &[Pixels]) -> Result<Vec<Vec<f32>>> {
        let features = self.tower_features(pictures)?.to_device(tch::Device::Cpu);
        Vec::try_from(features).map_err(torch_error)
    }
}

impl Encoder for DualEncoder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn preprocess(&self) -> &Preprocess {
        &self.config.preprocess
    }

    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let input = image_input(pictures, &self.config.preprocess, self.device)?;
        let half = self.image_half()?;
        embeddings(guarded(|| tch::no_grad(|| half.head.forward(&half.tower.forward(&input))))?)
    }

    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let device = self.device;
        let half = self.text_half()?;
        let ids = texts.iter().map(|text| half.tokenizer.ids(text)).collect::<Result<Vec<_>>>()?;
        let batch = half.tokenizer.pad(&ids, device);
        embeddings(guarded(|| {
            tch::no_grad(|| half.head.forward(&half.tower.forward(&batch.ids, &batch.mask)))
        })?)
    }
}

/// Pictures `[size, size, 3]` in bytes to normalised pixels `[n, 3, size, size]`, channels last in memory.
///
/// # Errors
/// [`Error::Encoder`] if a picture is not of the model's size.
pub(crate) fn image_input(
    pictures: &[Pixels],
    preprocess: &Preprocess,
    device: tch::Device,
) -> Result<Tensor> {
    let size = i64::from(preprocess.size);
    if let Some(wrong) =
        pictures.iter().find(|p| (p.width(), p.height()) != (preprocess.size, preprocess.size))
    {
        let reason = format!(
            "a picture is {}×{}, not {size}×{size}; preprocess it first",
            wrong.width(),
            wrong.height()
        );
        return Err(Error::Encoder { reason });
    }
    let bytes: Vec<u8> = pictures.iter().flat_map(|picture| picture.rgb()).copied().collect();
    guarded(|| {
        let pixels = Tensor::from_slice(&bytes).to_device(device).view([
            pictures.len() as i64,
            size,
            size,
            3,
        ]);
        let mean = Tensor::from_slice(&preprocess.mean).to_device(device);
        let std = Tensor::from_slice(&preprocess.std).to_device(device);
        let normalised = (pixels.to_kind(Kind::Float) / 255.0 - mean) / std;
        // A view, not a copy: libtorch then picks its faster channels-last convolutions.
        normalised.permute([0, 3, 1, 2])
    })
}

/// Rows `[n, dim]` as embeddings.
pub(crate) fn embeddings(rows: Tensor) -> Result<Vec<Embedding>> {
    let dim = rows.size()[1] as usize;
    let values: Vec<f32> = Vec::try_from(rows.to_device(tch::Device::Cpu).contiguous().view(-1))
        .map_err(torch_error)?;
    values.chunks_exact(dim).map(|row| Embedding::normalized(row.to_vec())).collect()
}

fn torch_error(error: tch::TchError) -> Error {
    Error::Encoder { reason: first_line(&error.to_string()) }
}

/// Runs libtorch code; its C++ exceptions arrive as panics of `tch` with a stack trace of several lines.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T> {
    // What the closure touched is dropped or overwritten on the next call; no invariant spans a panic.
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|panic| Error::Encoder { reason: first_line(&panic_text(panic.as_ref())) })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_string(),
        (None, None) => "libtorch failed without a message".into(),
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .replace("\\n", "\n")
        .lines()
        .next()
        .unwrap_or_default()
        .to_string()
}
