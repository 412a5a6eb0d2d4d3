//! `golden.safetensors`: a few inputs and the values they must give, from the reference implementation.
//!
//! Tensors: `image.input` U8 `[n, size, size, 3]`, `image.features` F32 `[n, features]`, `image.embedding` F32
//! `[n, dim]`, `text.input` U8 (texts as UTF-8, each ended by a zero byte), `text.ids` I64 `[m, context]` (padded),
//! `text.embedding` F32 `[m, dim]`. `scripts/golden.py` makes them with PyTorch.

use std::path::Path;

use safetensors::tensor::Dtype;

use crate::embedding::{Embedding, dot};
use crate::encoder::checkpoint::{Checkpoint, serialize_raw};
use crate::encoder::files::read_file;
use crate::encoder::{DualEncoder, Encoder};
use crate::error::{Error, Result};
use crate::pixels::Pixels;

/// Below this cosine a value is not the reference's.
pub const LEAST_COSINE: f32 = 0.9999;

/// The smallest cosine between what a model gives and what it must give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Of the image tower's features.
    pub image_features: f32,
    /// Of the pictures' embeddings.
    pub image_embeddings: f32,
    /// Of the texts' embeddings.
    pub text_embeddings: f32,
    /// Whether every text gives the reference's token ids.
    pub same_tokens: bool,
}

impl Agreement {
    /// Whether every value is the reference's.
    pub fn holds(&self) -> bool {
        let least = self.image_features.min(self.image_embeddings).min(self.text_embeddings);
        self.same_tokens && least >= LEAST_COSINE
    }
}

impl DualEncoder {
    /// Compares the model with the golden file of its directory.
    ///
    /// # Errors
    /// [`Error::BadModel`] if the file is missing or malformed; disagreement is no error.
    pub fn verify(&mut self, golden: &Path) -> Result<Agreement> {
        self.verify_bytes(read_file(golden)?, golden)
    }

    /// Compares the model that is compiled in with its golden file.
    ///
    /// # Errors
    /// As [`DualEncoder::verify`].
    #[cfg(feature = "embedded-model")]
    pub fn verify_mini(&mut self) -> Result<Agreement> {
        let golden = include_bytes!("../../models/mini/golden.safetensors");
        self.verify_bytes(golden.to_vec(), Path::new("mini"))
    }

    /// A golden file of the values that the model gives now: where there is no reference, a guard against change.
    ///
    /// # Errors
    /// The encoder's.
    pub(crate) fn record_golden(&mut self) -> Result<Vec<u8>> {
        let size = self.config().preprocess.size as usize;
        let pattern = |n: usize| {
            (0..size * size * 3).map(move |i| ((i * (n * 7 + 3)) ^ (i >> 5)) as u8).collect()
        };
        let pictures: Vec<Vec<u8>> = (0..2).map(pattern).collect();
        let pixels = |rgb: &Vec<u8>| Pixels::new(size as u32, size as u32, rgb.clone());
        let pixels = pictures.iter().map(pixels).collect::<Result<Vec<_>>>()?;
        let texts = ["a dog runs through the water", "two RED balls", "naïve 東京"];
        let features = tensor_values(&self.tower_features(&pixels)?)?;
        let images = flatten(&self.encode_images(&pixels)?);
        let sentences = flatten(&self.encode_texts(&texts)?);
        let context = self.config().context();
        let tokenizer = &self.text_half()?.tokenizer;
        let mut ids = Vec::new();
        for text in texts {
            let mut row = tokenizer.ids(text)?;
            row.resize(context, -1);
            ids.extend(row);
        }
        let bytes = |values: &[f32]| {
            values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()
        };
        let (n, m) = (pictures.len(), texts.len());
        let input: Vec<u8> =
            texts.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect();
        serialize_raw(&[
            ("image.input", Dtype::U8, vec![n, size, size, 3], pictures.concat()),
            ("image.features", Dtype::F32, vec![n, features.len() / n], bytes(&features)),
            ("image.embedding", Dtype::F32, vec![n, images.len() / n], bytes(&images)),
            ("text.input", Dtype::U8, vec![input.len()], input),
            (
                "text.ids",
                Dtype::I64,
                vec![m, context],
                ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
            ),
            ("text.embedding", Dtype::F32, vec![m, sentences.len() / m], bytes(&sentences)),
        ])
    }

    fn verify_bytes(&mut self, bytes: Vec<u8>, path: &Path) -> Result<Agreement> {
        let golden = Checkpoint::parse(bytes.into(), path)?;
        let pictures = pictures(&golden, path)?;
        let texts = texts(&golden, path)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();

        let features = tensor_values(&self.tower_features(&pictures)?)?;
        let images = flatten(&self.encode_images(&pictures)?);
        let sentences = flatten(&self.encode_texts(&texts)?);
        let tokenizer = &self.text_half()?.tokenizer;
        let ids = texts.iter().map(|text| tokenizer.ids(text)).collect::<Result<Vec<_>>>()?;
        Ok(Agreement {
            image_features: least_cosine(
                &features,
                &floats(&golden, "image.features")?,
                pictures.len(),
                path,
            )?,
            image_embeddings: least_cosine(
                &images,
                &floats(&golden, "image.embedding")?,
                pictures.len(),
                path,
            )?,
            text_embeddings: least_cosine(
                &sentences,
                &floats(&golden, "text.embedding")?,
                texts.len(),
                path,
            )?,
            same_tokens: ids == golden_ids(&golden, self.config().context())?,
        })
    }
}

fn pictures(golden: &Checkpoint, path: &Path) -> Result<Vec<Pixels>> {
    let (bytes, shape) = golden.raw("image.input", Dtype::U8)?;
    let [_, height, width, 3] = *shape else {
        return Err(Error::BadModel {
            path: path.to_path_buf(),
            reason: format!("image.input has shape {shape:?}"),
        });
    };
    let picture_bytes = (height * width * 3).max(1) as usize;
    bytes
        .chunks_exact(picture_bytes)
        .map(|rgb| Pixels::new(width as u32, height as u32, rgb.to_vec()))
        .collect()
}

fn texts(golden: &Checkpoint, path: &Path) -> Result<Vec<String>> {
    let (bytes, _) = golden.raw("text.input", Dtype::U8)?;
    let text = std::str::from_utf8(bytes).map_err(|error| Error::BadModel {
        path: path.to_path_buf(),
        reason: format!("text.input: {error}"),
    })?;
    Ok(text.split_terminator('\0').map(str::to_string).collect())
}

fn floats(golden: &Checkpoint, name: &str) -> Result<Vec<f32>> {
    let (bytes, _) = golden.raw(name, Dtype::F32)?;
    Ok(bytes
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
        .collect())
}

/// The ids of each text without its padding, which the file marks with -1.
fn golden_ids(golden: &Checkpoint, context: usize) -> Result<Vec<Vec<i64>>> {
    let (bytes, _) = golden.raw("text.ids", Dtype::I64)?;
    let ids: Vec<i64> = bytes
        .chunks_exact(8)
        .map(|eight| i64::from_le_bytes(eight.try_into().expect("chunks of eight bytes")))
        .collect();
    Ok(ids.chunks(context).map(|row| row.iter().copied().filter(|&id| id >= 0).collect()).collect())
}

fn tensor_values(tensor: &tch::Tensor) -> Result<Vec<f32>> {
    let flat = tensor.to_device(tch::Device::Cpu).to_kind(tch::Kind::Float).contiguous().view(-1);
    Vec::try_from(flat).map_err(|error: tch::TchError| Error::Encoder { reason: error.to_string() })
}

fn flatten(embeddings: &[Embedding]) -> Vec<f32> {
    embeddings.iter().flat_map(Embedding::as_slice).copied().collect()
}

fn least_cosine(found: &[f32], expected: &[f32], n_rows: usize, path: &Path) -> Result<f32> {
    if n_rows == 0 || found.len() != expected.len() {
        let reason =
            format!("golden file holds {} values, the model gives {}", expected.len(), found.len());
        return Err(Error::BadModel { path: path.to_path_buf(), reason });
    }
    let width = found.len() / n_rows;
    let cosine = |(a, b): (&[f32], &[f32])| {
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
    };
    // `min` would pass over a NaN; a value that cannot be compared is as far away as can be.
    let cosines = found.chunks(width).zip(expected.chunks(width)).map(cosine);
    Ok(cosines.map(|cosine| if cosine.is_finite() { cosine } else { -1.0 }).fold(1.0, f32::min))
}
