//! `model.json`: everything that changes a vector, written out.
//!
//! The set of families is closed and nothing has a default, so that a checkpoint can never be read as something
//! that it is not.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::encoder::Preprocess;
use crate::error::{Error, Result};

/// The version of `model.json` that this program reads and writes.
pub const CONFIG_VERSION: u32 = 1;

/// The largest size that any field may claim; refuses absurd files before memory is asked for.
const MAX_SIZE: i64 = 1 << 20;

/// A model directory's `model.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// [`CONFIG_VERSION`].
    pub version: u32,
    /// Name for people.
    pub name: String,
    /// Dimension of the shared space.
    pub dim: i64,
    /// From pixels to the tower's input.
    pub preprocess: Preprocess,
    /// Features of a picture.
    pub image_tower: ImageTower,
    /// From image features to the shared space.
    pub image_head: Head,
    /// From a string to token ids.
    pub tokenizer: TokenizerConfig,
    /// Features of a text.
    pub text_tower: TextTower,
    /// From text features to the shared space.
    pub text_head: Head,
    /// From a cosine to a logit.
    pub logit: Logit,
}

/// Families of image towers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ImageTower {
    /// Inverted residuals (MobileNetV2, Sandler et al. 2018, arXiv 1801.04381), batch norm folded in.
    Mobilenet(Mobilenet),
}

/// Shape of a `mobilenet` tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mobilenet {
    /// Channels of the first convolution.
    pub stem: i64,
    /// Groups of inverted residuals.
    pub stages: Vec<Stage>,
    /// Channels of the last convolution: the features.
    pub features: i64,
    /// After every convolution but the projections.
    pub activation: Activation,
}

/// A group of inverted residuals; Table 2 of the paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// How many times wider the depthwise convolution is than the input; 1 has no expansion layer.
    pub expand: i64,
    /// Channels out.
    pub channels: i64,
    /// Blocks in the group.
    pub repeat: i64,
    /// Stride of the group's first block, 1 or 2.
    pub stride: i64,
}

/// Families of text towers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TextTower {
    /// Token and position embeddings, pre-norm attention blocks with a ReLU layer, masked pooling.
    ReluText(ReluText),
}

/// Shape of a `relu-text` tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReluText {
    /// Number of tokens.
    pub vocab: i64,
    /// Tokens of the longest text; longer ones are cut.
    pub context: i64,
    /// Width of a token: the features.
    pub width: i64,
    /// Attention heads; divides the width.
    pub heads: i64,
    /// Number of blocks; 0 is a bag of tokens.
    pub blocks: i64,
    /// Width of the hidden layer in a block.
    pub hidden: i64,
    /// In the hidden layers.
    pub activation: Activation,
    /// How the tokens of a text become one vector.
    pub pooling: Pooling,
}

/// How the tokens of a text become one vector; padding never counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The largest value of each component.
    Max,
}

/// `h = act(W x + b)` for each hidden width, then a layer into the shared space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Widths of the hidden layers; none is a linear head.
    pub hidden: Vec<i64>,
    /// After each hidden layer.
    pub activation: Activation,
    /// What follows the last layer, before the vector is scaled to length 1.
    pub output: Output,
}

/// What follows the last layer of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Nothing.
    Linear,
    /// max(0, x): no component is negative, many are 0.
    Relu,
}

/// Nonlinearities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// min(max(0, x), 6).
    Relu6,
    /// x, or 0.01 x below 0.
    LeakyRelu,
    /// x · sigmoid(x), also called SiLU.
    Swish,
    /// x · tanh(softplus(x)).
    Mish,
    /// x · Φ(x), exact.
    Gelu,
    /// x · sigmoid(1.702 x), as in OpenAI's CLIP.
    QuickGelu,
}

/// Families of tokenizers; each reads the directory's `tokenizer.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TokenizerConfig {
    /// Byte-level subwords as the `tokenizers` library describes them; nothing is ever unknown.
    Subword {
        /// Id that fills up short texts of a batch.
        pad_id: i64,
    },
}

/// From a cosine to a logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Logit {
    /// Softmax over `scale · cosine`.
    Softmax {
        /// Inverse of the temperature.
        scale: f64,
    },
    /// The logistic function of `scale · cosine + bias` (SigLIP, arXiv 2303.15343).
    Sigmoid {
        /// Inverse of the temperature.
        scale: f64,
        /// The logit of two vectors at right angles.
        bias: f64,
    },
}

impl Logit {
    /// Inverse of the temperature.
    pub fn scale(&self) -> f64 {
        match self {
            Self::Softmax { scale } | Self::Sigmoid { scale, .. } => *scale,
        }
    }
}

impl ModelConfig {
    /// Parses `model.json`; `path` is for the error message.
    ///
    /// # Errors
    /// [`Error::BadModel`] naming the field that is missing, unknown or out of range.
    pub fn parse(json: &[u8], path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadModel { path: path.to_path_buf(), reason };
        let config: Self =
            serde_json::from_slice(json).map_err(|error| bad(format!("model.json: {error}")))?;
        config.validate().map_err(|reason| bad(format!("model.json: {reason}")))?;
        Ok(config)
    }

    /// The file's text, with a final line break.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a configuration has no map with odd keys") + "\n"
    }

    /// Number of features between image tower and head.
    pub fn image_features(&self) -> i64 {
        match &self.image_tower {
            ImageTower::Mobilenet(tower) => tower.features,
        }
    }

    /// Number of features between text tower and head.
    pub fn text_features(&self) -> i64 {
        match &self.text_tower {
            TextTower::ReluText(tower) => tower.width,
        }
    }

    /// Number of tokens.
    pub fn vocab(&self) -> usize {
        match &self.text_tower {
            TextTower::ReluText(tower) => tower.vocab as usize,
        }
    }

    /// Tokens of the longest text.
    pub fn context(&self) -> usize {
        match &self.text_tower {
            TextTower::ReluText(tower) => tower.context as usize,
        }
    }

    fn validate(&self) -> std::result::Result<(), String> {
        if self.version != CONFIG_VERSION {
            return Err(format!(
                "version is {}, this program reads {CONFIG_VERSION}",
                self.version
            ));
        }
        let size = |name: &str, value: i64| match value {
            1..=MAX_SIZE => Ok(()),
            _ => Err(format!("{name} is {value}, expected 1..={MAX_SIZE}")),
        };
        size("dim", self.dim)?;
        size("preprocess.size", i64::from(self.preprocess.size))?;
        let finite = |value: &f32| value.is_finite();
        if !self.preprocess.mean.iter().all(finite)
            || !self.preprocess.std.iter().all(|std| *std > 0.0)
        {
            return Err("preprocess.mean must be finite and preprocess.std positive".into());
        }
        let ImageTower::Mobilenet(tower) = &self.image_tower;
        size("image_tower.stem", tower.stem)?;
        size("image_tower.features", tower.features)?;
        for stage in &tower.stages {
            size("image_tower.stages.expand", stage.expand)?;
            size("image_tower.stages.channels", stage.channels)?;
            size("image_tower.stages.repeat", stage.repeat.saturating_mul(1024))?;
            if !matches!(stage.stride, 1 | 2) {
                return Err(format!(
                    "image_tower.stages.stride is {}, expected 1 or 2",
                    stage.stride
                ));
            }
        }
        let n_halvings = 1 + tower.stages.iter().filter(|stage| stage.stride == 2).count() as u32;
        let least = 1i64.checked_shl(n_halvings).unwrap_or(MAX_SIZE);
        if i64::from(self.preprocess.size) < least {
            return Err(format!(
                "preprocess.size is {}, but the strides need {least}",
                self.preprocess.size
            ));
        }
        let TextTower::ReluText(tower) = &self.text_tower;
        for (name, value) in [
            ("vocab", tower.vocab),
            ("context", tower.context),
            ("width", tower.width),
            ("heads", tower.heads),
            ("hidden", tower.hidden),
            ("blocks", (tower.blocks + 1).saturating_mul(1024)),
        ] {
            size(&format!("text_tower.{name}"), value)?;
        }
        if tower.width % tower.heads != 0 {
            return Err(format!(
                "text_tower.width {} is not a multiple of heads {}",
                tower.width, tower.heads
            ));
        }
        for hidden in self.image_head.hidden.iter().chain(&self.text_head.hidden) {
            size("head.hidden", *hidden)?;
        }
        let TokenizerConfig::Subword { pad_id } = self.tokenizer;
        if !(0..tower.vocab).contains(&pad_id) {
            return Err(format!(
                "tokenizer.pad_id {pad_id} is not below text_tower.vocab {}",
                tower.vocab
            ));
        }
        let scale = self.logit.scale();
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(format!("logit.scale is {scale}, expected a positive number"));
        }
        if let Logit::Sigmoid { bias, .. } = self.logit
            && !bias.is_finite()
        {
            return Err(format!("logit.bias is {bias}, expected a number"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = include_str!("../../fixtures/models/tiny/model.json");

    fn parse(json: &str) -> Result<ModelConfig> {
        ModelConfig::parse(json.as_bytes(), Path::new("m"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = parse(TINY).unwrap();
        assert_eq!(parse(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (from, to, named) in [
            ("\"dim\"", "\"dimension\"", "dimension"),
            ("\"relu6\"", "\"relu7\"", "relu7"),
            ("\"mobilenet\"", "\"resnet\"", "resnet"),
            ("\"version\": 1", "\"version\": 2", "version is 2"),
            ("\"heads\": 2", "\"heads\": 3", "multiple of heads"),
            ("\"heads\": 2", "\"heads\": 0", "text_tower.heads is 0"),
            ("\"scale\": 10.0", "\"scale\": -1.0", "logit.scale"),
            ("\"squash\"", "\"stretch\"", "stretch"),
            ("\"size\": 16", "\"size\": 3", "the strides need 4"),
        ] {
            assert!(TINY.contains(from), "the test replaces {from}, which the fixture lacks");
            let message = parse(&TINY.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(named) && !message.contains('\n'), "{named}: {message}");
        }
    }
}
