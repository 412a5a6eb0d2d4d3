//! Encoders: what turns a picture or a sentence into an embedding.
//!
//! Everything above this module sees the [`Encoder`] trait only and is tested with [`FakeEncoder`]. With the
//! feature `torch` there is one real implementation, `DualEncoder`, whose families are closed enums.

mod bicubic;
pub(crate) mod each;
mod fake;
mod logit;
mod preprocess;
pub mod remote;

#[cfg(feature = "torch")]
pub(crate) mod checkpoint;
#[cfg(feature = "torch")]
mod cleaning;
#[cfg(feature = "torch")]
pub mod config;
#[cfg(feature = "torch")]
pub(crate) mod dual;
#[cfg(feature = "torch")]
pub(crate) mod files;
#[cfg(feature = "torch")]
mod golden;
#[cfg(feature = "torch")]
mod import;
#[cfg(feature = "torch")]
mod runtime;
#[cfg(feature = "torch")]
mod spread;
#[cfg(feature = "torch")]
pub(crate) mod tokenizer;
#[cfg(feature = "torch")]
pub(crate) mod tower;

#[cfg(feature = "torch")]
pub use dual::DualEncoder;
pub use fake::{FakeEncoder, Fault};
#[cfg(feature = "torch")]
pub use golden::{Agreement, LEAST_COSINE};
#[cfg(feature = "torch")]
pub use import::import;
pub use logit::Logit;
pub use preprocess::{Filter, JpegScale, Preprocess, Resize};
#[cfg(feature = "torch")]
pub use runtime::{Device, Precision, Runtime};

use crate::embedding::Embedding;
use crate::error::Result;
use crate::pixels::Pixels;

/// Identity of everything that changes a vector: configuration, weights, tokenizer, run-time precision.
///
/// BLAKE3 of those, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub String);

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The vector space that an encoder projects into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Identity of the space.
    pub fingerprint: Fingerprint,
    /// The model's name, for people.
    pub model: String,
    /// Dimension of every embedding.
    pub dim: usize,
}

/// Projects both modalities into one space.
///
/// Embeddings of one input agree across batches to rounding (cosine > 0.9999), not to the bit.
pub trait Encoder {
    /// The space of every embedding this encoder returns.
    fn space(&self) -> &Space;

    /// How a decoded picture becomes the input of [`Encoder::encode_images`].
    ///
    /// It is separate so that it can run on the threads that decode, in front of the one that encodes.
    fn preprocess(&self) -> &Preprocess;

    /// What the cosine of two of its embeddings means in probabilities.
    fn logit(&self) -> &Logit;

    /// One embedding for each picture; every picture must come out of [`Preprocess::apply`].
    ///
    /// # Errors
    /// [`crate::Error::Encoder`] if the batch cannot be encoded.
    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>>;

    /// One embedding for each text. Texts longer than the model's context are cut.
    ///
    /// # Errors
    /// [`crate::Error::Encoder`] if the batch cannot be encoded.
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>>;

    /// Whether [`Encoder::encode_texts`] reads a text to its end.
    ///
    /// # Errors
    /// [`crate::Error::Encoder`] if the text cannot be read at all.
    fn reads_whole(&mut self, text: &str) -> Result<bool>;
}
