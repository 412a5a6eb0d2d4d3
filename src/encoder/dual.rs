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
use crate::encoder::each::is_out_of_memory;
use crate::encoder::files::ModelFiles;
use crate::encoder::spread::{n_threads, spread};
use crate::encoder::tokenizer::Tokenizer;
use crate::encoder::tower::{Half, HeadLayers, ImageTower, TextTower, Weights, specs};
use crate::encoder::{Encoder, Logit, Precision, Preprocess, Runtime, Space};
use crate::error::{Error, Result};
use crate::pixels::Pixels;

/// Texts that are encoded together.
const TEXT_BATCH: usize = 64;

/// A model whose towers are loaded when they are first needed.
///
/// Memory: the weights file, plus 4 bytes for each parameter of a loaded half.
pub struct DualEncoder {
    config: ModelConfig,
    space: Space,
    files: ModelFiles,
    checkpoint: Checkpoint,
    device: tch::Device,
    precision: Precision,
    /// One for each thread that encodes; empty until it is needed. They share the memory of their tensors.
    image: Vec<ImageHalf>,
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
    pub fn load(dir: &Path, runtime: impl Into<Runtime>) -> Result<Self> {
        Self::from_files(ModelFiles::read(dir)?, runtime.into())
    }

    /// The model that is compiled in.
    ///
    /// # Errors
    /// [`Error::BadOption`] if the device is not there.
    #[cfg(feature = "embedded-model")]
    pub fn mini(runtime: impl Into<Runtime>) -> Result<Self> {
        Self::from_files(ModelFiles::mini(), runtime.into())
    }

    fn from_files(mut files: ModelFiles, runtime: Runtime) -> Result<Self> {
        let config = ModelConfig::parse(&files.config, &files.path)?;
        let fingerprint = files.fingerprint(&config, runtime.precision);
        let weights = std::mem::take(&mut files.weights);
        let checkpoint = Checkpoint::parse(weights, &files.path.join("weights.safetensors"))?;
        checkpoint.check(&[specs(&config, Half::Image), specs(&config, Half::Text)].concat())?;
        let space = Space { fingerprint, model: config.name.clone(), dim: config.dim as usize };
        Ok(Self {
            config,
            space,
            files,
            checkpoint,
            device: runtime.device.torch()?,
            precision: runtime.precision,
            image: Vec::new(),
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
        if self.image.is_empty() {
            let weights = self.weights(Half::Image)?.to_kind(self.precision.kind());
            let half = || ImageHalf {
                tower: ImageTower::new(&self.config, &weights),
                head: HeadLayers::new(self.config.image_head.as_ref(), &weights, "image_head"),
            };
            self.image = (0..n_threads(self.device)).map(|_| half()).collect();
        }
        Ok(self.image.first().expect("it was just loaded"))
    }

    pub(crate) fn text_half(&mut self) -> Result<&TextHalf> {
        if self.text.is_none() {
            let weights = self.weights(Half::Text)?.to_kind(self.precision.kind());
            let tokenizer =
                Tokenizer::parse(&self.files.tokenizer, &self.config, &self.files.path)?;
            let tower = TextTower::new(&self.config, &weights);
            let head = HeadLayers::new(self.config.text_head.as_ref(), &weights, "text_head");
            self.text = Some(TextHalf { tokenizer, tower, head });
        }
        Ok(self.text.as_ref().expect("it was just loaded"))
    }

    /// Features of pictures before the head, `[n, features]` row by row.
    ///
    /// # Errors
    /// [`Error::Encoder`] if libtorch refuses.
    pub(crate) fn tower_features(&mut self, pictures: &[Pixels]) -> Result<Tensor> {
        let input = self.image_input(pictures)?;
        let half = self.image_half()?;
        guarded(|| tch::no_grad(|| half.tower.forward(&input)))
    }

    /// The token ids that the text tower reads, without padding; for comparing a tokenizer with its reference.
    ///
    /// # Errors
    /// [`Error::Encoder`] if the tokenizer refuses the text.
    pub fn token_ids(&mut self, text: &str) -> Result<Vec<i64>> {
        self.text_half()?.tokenizer.ids(text)
    }

    /// What layer `layer` of the image tower gets, row by row; for comparing a port with its reference layer by layer.
    /// Layer 0 gets the pixels.
    ///
    /// # Errors
    /// [`Error::BadOption`] if there is no such layer or the tower cannot be cut there; [`Error::Encoder`] as for
    /// [`Encoder::encode_images`].
    pub fn image_layer_input(&mut self, pictures: &[Pixels], layer: usize) -> Result<Vec<f32>> {
        let input = self.image_input(pictures)?;
        let tower = &self.image_half()?.tower;
        if !tower.can_cut(layer) {
            let reason = format!("the image tower cannot be cut before layer {layer}");
            return Err(Error::BadOption { reason });
        }
        let maps = guarded(|| tch::no_grad(|| tower.front(&input, layer)))?;
        let maps = maps.to_device(tch::Device::Cpu).to_kind(Kind::Float).contiguous();
        Vec::try_from(maps.view(-1)).map_err(torch_error)
    }

    fn image_input(&self, pictures: &[Pixels]) -> Result<Tensor> {
        let input = image_input(pictures, &self.config.preprocess, self.device)?;
        Ok(input.to_kind(self.precision.kind()))
    }

    /// Token ids of each text to one embedding each.
    fn encode_ids(&mut self, ids: &[Vec<i64>]) -> Result<Vec<Embedding>> {
        let device = self.device;
        let half = self.text_half()?;
        let batch = half.tokenizer.pad(ids, device);
        let run = || half.head.forward(&half.tower.forward(&batch.ids, &batch.mask));
        embeddings(guarded(|| tch::no_grad(run))?)
    }

    /// What the image tower gives to the head, `[n, features]`: the input of a classifier of one's own (linear probe).
    ///
    /// # Errors
    /// [`Error::Encoder`] if a picture is not of the model's size.
    pub fn image_features(&mut self, pictures: &[Pixels]) -> Result<Vec<Vec<f32>>> {
        let features = self.tower_features(pictures)?.to_device(tch::Device::Cpu);
        let features = features.to_kind(Kind::Float);
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

    fn logit(&self) -> &Logit {
        &self.config.logit
    }

    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        self.image_half()?;
        let (device, kind) = (self.device, self.precision.kind());
        let Self { config, image, .. } = self;
        let encode = |half: &ImageHalf, part: &[Pixels]| {
            in_parts(part, &mut |part| {
                let input = image_input(part, &config.preprocess, device)?.to_kind(kind);
                let run = || half.head.forward(&half.tower.forward(&input));
                embeddings(guarded(|| tch::no_grad(run))?)
            })
        };
        match (device, image.as_mut_slice()) {
            (tch::Device::Cpu, halves) => spread(halves, pictures, encode),
            // A card takes a batch as a whole.
            (_, halves) => encode(&halves[0], pictures),
        }
    }

    /// Texts of like length are encoded together: a batch is as long as its longest text.
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let tokenizer = &self.text_half()?.tokenizer;
        let ids = texts.iter().map(|text| tokenizer.ids(text)).collect::<Result<Vec<_>>>()?;
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| ids[i].len());
        let mut found: Vec<Option<Embedding>> = vec![None; ids.len()];
        for places in order.chunks(TEXT_BATCH) {
            let batch: Vec<Vec<i64>> = places.iter().map(|&i| ids[i].clone()).collect();
            let rows = in_parts(&batch, &mut |part| self.encode_ids(part))?;
            for (&i, row) in places.iter().zip(rows) {
                found[i] = Some(row);
            }
        }
        Ok(found.into_iter().map(|row| row.expect("each text is in one batch")).collect())
    }

    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        Ok(!self.text_half()?.tokenizer.tokens(text)?.is_cut)
    }
}

/// Runs a batch; when memory runs out, its two halves one after the other.
fn in_parts<T>(
    batch: &[T],
    run: &mut impl FnMut(&[T]) -> Result<Vec<Embedding>>,
) -> Result<Vec<Embedding>> {
    match run(batch) {
        Err(error) if batch.len() > 1 && is_out_of_memory(&error) => {
            let (first, second) = batch.split_at(batch.len() / 2);
            let mut rows = in_parts(first, run)?;
            rows.extend(in_parts(second, run)?);
            Ok(rows)
        }
        done => done,
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
    let rows = rows.to_device(tch::Device::Cpu).to_kind(Kind::Float);
    let values: Vec<f32> = Vec::try_from(rows.contiguous().view(-1)).map_err(torch_error)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A card whose memory holds three pictures.
    #[test]
    fn a_batch_that_is_too_large_is_halved_and_keeps_its_order() {
        let mut batches = Vec::new();
        let found = in_parts(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &mut |part| {
            batches.push(part.len());
            if part.len() > 3 {
                return Err(Error::Encoder { reason: "CUDA out of memory. Tried to".into() });
            }
            part.iter().map(|&x| Embedding::normalized(vec![x, 1.0])).collect()
        })
        .unwrap();
        let ratio = |row: &Embedding| (row.as_slice()[0] / row.as_slice()[1]).round();
        assert_eq!(
            found.iter().map(ratio).collect::<Vec<_>>(),
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        );
        assert_eq!(batches, [7, 3, 4, 2, 2]);
    }

    #[test]
    fn other_errors_and_single_items_are_not_tried_again() {
        for (batch, reason) in [(4, "bad shape"), (1, "CUDA out of memory")] {
            let mut n_runs = 0;
            let found = in_parts(&vec![0; batch], &mut |_| {
                n_runs += 1;
                Err(Error::Encoder { reason: reason.into() })
            });
            assert!(found.is_err());
            assert_eq!(n_runs, 1, "{reason}");
        }
    }
}
