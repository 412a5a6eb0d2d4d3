//! A recipe: everything that decides what a training run makes, in one JSON file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::encoder::config::{ModelConfig, TextTower};
use crate::error::{Error, Result, read};
use crate::media::PairSource;

/// A recipe file. No field has a default, so that a run can be repeated from the file alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Seeds weights, order and dropout.
    pub seed: u64,
    /// The model to train. `logit.scale` is where the learned inverse temperature begins.
    pub model: ModelConfig,
    /// What the weights are before training.
    pub init: Init,
    /// Images with captions; paths are relative to the data directory given to the run.
    pub pairs: Vec<PairSource>,
    /// Images with captions on which progress is measured and the best epoch is chosen.
    pub val: PairSource,
    /// Manifests whose captions of one picture count as saying the same; they train the text tower alone.
    pub paraphrases: Vec<PathBuf>,
    /// Whether the image tower is trained. Frozen features are computed once.
    pub image_tower: TowerMode,
    /// How each image is shown: the plain picture first, then this many random crops, mirrored at random.
    pub views: usize,
    /// Passes over the images.
    pub epochs: u64,
    /// Images in a step.
    pub batch: usize,
    /// Captions of each image in a step.
    pub captions_per_image: usize,
    /// Pairs of paraphrases in a step.
    pub paraphrase_batch: usize,
    /// Weight of the paraphrases' loss.
    pub paraphrase_weight: f64,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// The image tower's learning rate as a share of the others'.
    pub image_tower_rate: f64,
    /// Share of the steps in which the learning rate rises.
    pub warmup: f64,
    /// Ω of `L + λΩ`: decoupled weight decay (AdamW) on everything but biases and norms.
    pub weight_decay: f64,
    /// Probability that a token of a training text is left out.
    pub word_dropout: f64,
    /// Probability that an image feature is set to 0.
    pub feature_dropout: f64,
    /// How the weights of the finished model are stored.
    pub storage: StorageKind,
}

/// What the weights are before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Init {
    /// Random but for the image tower, whose tensors are in a safetensors file by their names without
    /// `image_tower.`; the vocabulary is learned from the captions.
    ImageTower {
        /// The file, relative to the data directory.
        weights: PathBuf,
    },
    /// Random; the vocabulary is learned from the captions.
    Random,
    /// A model directory of the same shape, with its vocabulary.
    Model {
        /// The directory; the model that is compiled in if `None`.
        dir: Option<PathBuf>,
    },
}

/// Whether the image tower is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TowerMode {
    /// Its weights stay; its features are computed once.
    Frozen,
    /// Its weights are trained with the rest.
    Trained,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// 4 bytes a weight.
    F32,
    /// 2 bytes a weight.
    F16,
    /// A byte a weight, and a factor for each output channel.
    Int8,
}

impl Recipe {
    /// Reads a recipe file.
    ///
    /// # Errors
    /// [`Error::BadInput`] naming the field that is missing, unknown or out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadInput { path: path.to_path_buf(), reason };
        let recipe: Self =
            serde_json::from_slice(&read(path)?).map_err(|error| bad(error.to_string()))?;
        ModelConfig::parse(recipe.model.to_json().as_bytes(), path)?;
        recipe.validate().map_err(bad)?;
        Ok(recipe)
    }

    /// Checks the ranges that the types do not.
    ///
    /// # Errors
    /// The name of the field and its range.
    pub fn validate(&self) -> std::result::Result<(), String> {
        let share = |name: &str, value: f64| match value {
            value if (0.0..1.0).contains(&value) => Ok(()),
            _ => Err(format!("{name} is {value}, expected 0..1")),
        };
        share("warmup", self.warmup)?;
        share("word_dropout", self.word_dropout)?;
        share("feature_dropout", self.feature_dropout)?;
        for (name, value) in [
            ("epochs", self.epochs as usize),
            ("batch", self.batch),
            ("captions_per_image", self.captions_per_image),
            ("pairs", self.pairs.len()),
        ] {
            if value == 0 {
                return Err(format!("{name} is 0, expected at least 1"));
            }
        }
        let positive = |name: &str, value: f64| match value {
            value if value.is_finite() && value >= 0.0 => Ok(()),
            _ => Err(format!("{name} is {value}, expected at least 0")),
        };
        positive("learning_rate", self.learning_rate)?;
        positive("image_tower_rate", self.image_tower_rate)?;
        positive("weight_decay", self.weight_decay)?;
        positive("paraphrase_weight", self.paraphrase_weight)
    }

    /// Tokens that a learned vocabulary may have.
    pub(crate) fn vocab(&self) -> usize {
        let TextTower::ReluText(tower) = &self.model.text_tower;
        tower.vocab as usize
    }
}
