//! `model.json`: everything that changes a vector, written out.
//!
//! The set of families is closed and nothing has a default, so that a checkpoint can never be read as something
//! that it is not.

mod validate;

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::encoder::Preprocess;
use crate::error::{Error, Result};

pub use crate::encoder::logit::Logit;

/// The version of `model.json` that this program reads and writes.
pub const CONFIG_VERSION: u32 = 2;

pub(crate) use validate::MAX_BLOCKS;

/// What version 1 lacks, and what to do.
const OUTDATED: &str = "model.json is of version 1, which does not say how large JPEGs are decoded; import the checkpoint \
    again, or set \"version\": 2 and, in \"preprocess\", \"jpeg_scale\": \"none\"";

/// The one field that all versions have.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

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
    /// From image features to the shared space; `null` if the features are the embedding.
    #[serde(deserialize_with = "written_out")]
    pub image_head: Option<Head>,
    /// From a string to token ids.
    pub tokenizer: TokenizerConfig,
    /// Features of a text.
    pub text_tower: TextTower,
    /// From text features to the shared space; `null` if the features are the embedding.
    #[serde(deserialize_with = "written_out")]
    pub text_head: Option<Head>,
    /// From a cosine to a logit.
    pub logit: Logit,
}

/// Without this, serde takes a missing field for `null`.
fn written_out<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Head>, D::Error> {
    Option::deserialize(deserializer)
}

/// Families of image towers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ImageTower {
    /// Inverted residuals (MobileNetV2, Sandler et al. 2018, arXiv 1801.04381), batch norm folded in.
    Mobilenet(Mobilenet),
    /// CLIP's ResNet (arXiv 2103.00020 §2.4), batch norm folded in.
    Resnet(Resnet),
    /// Vision transformer (arXiv 2010.11929).
    Vit(Vit),
}

/// Shape of a `resnet` tower; its features are 32 times as wide as its stem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resnet {
    /// Channels of the stem; each stage has twice those of the one before.
    pub width: i64,
    /// Blocks of the four stages.
    pub stages: [i64; 4],
    /// Heads of the attention that pools.
    pub heads: i64,
    /// After every convolution but the expansions, and after every sum.
    pub activation: Activation,
}

impl Resnet {
    /// Channels of the last stage.
    pub fn features(&self) -> i64 {
        self.width * 32
    }
}

/// Shape of a `vit` tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vit {
    /// Side of a patch in pixels.
    pub patch: i64,
    /// Whether the projection of the patches has a bias.
    pub patch_bias: bool,
    /// Whether the tokens are normalised before the first block.
    pub pre_norm: bool,
    /// Width of a token: the features.
    pub width: i64,
    /// Attention heads; divides the width.
    pub heads: i64,
    /// Number of blocks.
    pub blocks: i64,
    /// Width of the hidden layer in a block.
    pub hidden: i64,
    /// In the hidden layers.
    pub activation: Activation,
    /// Added to the variance in layer norms.
    pub norm_eps: f64,
    /// How the tokens of a picture become one vector.
    pub pooling: VitPooling,
}

/// How the tokens of a picture become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VitPooling {
    /// A class token before the patches is taken.
    Class,
    /// One learned query looks at all patches, then a hidden layer (SigLIP's MAP head).
    Attention,
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
    /// Token and position embeddings, pre-norm attention blocks, the last token (CLIP, SigLIP).
    Transformer(Transformer),
}

/// Shape of a `transformer` tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transformer {
    /// Number of tokens.
    pub vocab: i64,
    /// Tokens of the longest text; longer ones are cut.
    pub context: i64,
    /// Width of a token: the features.
    pub width: i64,
    /// Attention heads; divides the width.
    pub heads: i64,
    /// Number of blocks.
    pub blocks: i64,
    /// Width of the hidden layer in a block.
    pub hidden: i64,
    /// In the hidden layers.
    pub activation: Activation,
    /// Added to the variance in layer norms.
    pub norm_eps: f64,
    /// Which tokens a token looks at.
    pub sight: TextSight,
}

/// Which tokens of a text a token looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextSight {
    /// Itself and those before it: causal attention.
    Before,
    /// All of them, padding included.
    All,
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
    /// x · Φ(x) by a hyperbolic tangent, as in SigLIP.
    GeluTanh,
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
    /// CLIP's: lower-case byte-pair encoding between a start and an end token. A text that is cut keeps its end token.
    Clip {
        /// What is mended in a text first.
        cleaning: Cleaning,
        /// Id before every text.
        start_id: i64,
        /// Id after every text.
        end_id: i64,
        /// Id that fills up short texts of a batch; the tower never looks at it.
        pad_id: i64,
    },
    /// SigLIP's: a SentencePiece vocabulary and an end token. Every text is filled up to the context length, and the
    /// tower sees the padding.
    Siglip {
        /// What is mended in a text first.
        cleaning: Cleaning,
        /// Id after every text.
        end_id: i64,
        /// Id that fills up short texts.
        pad_id: i64,
    },
}

/// What is mended in a text before its tokens are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cleaning {
    /// Nothing; what `tokenizer.json` says is all.
    None,
    /// Letters become small.
    Lower,
    /// OpenCLIP's: character repair, HTML entities, spaces; then small letters.
    Web,
    /// SigLIP's: punctuation is taken out, spaces are joined, letters become small.
    Canonical,
}

impl ModelConfig {
    /// Parses `model.json`; `path` is for the error message.
    ///
    /// # Errors
    /// [`Error::BadModel`] naming the field that is missing, unknown or out of range.
    pub fn parse(json: &[u8], path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadModel { path: path.to_path_buf(), reason };
        // Looked at first: what an older file lacks is not what is wrong with it.
        if serde_json::from_slice(json).is_ok_and(|Versioned { version }| version == 1) {
            return Err(bad(OUTDATED.into()));
        }
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
            ImageTower::Resnet(tower) => tower.features(),
            ImageTower::Vit(tower) => tower.width,
        }
    }

    /// Number of features between text tower and head.
    pub fn text_features(&self) -> i64 {
        match &self.text_tower {
            TextTower::ReluText(tower) => tower.width,
            TextTower::Transformer(tower) => tower.width,
        }
    }

    /// Number of tokens.
    pub fn vocab(&self) -> usize {
        match &self.text_tower {
            TextTower::ReluText(tower) => tower.vocab as usize,
            TextTower::Transformer(tower) => tower.vocab as usize,
        }
    }

    /// Tokens of the longest text.
    pub fn context(&self) -> usize {
        match &self.text_tower {
            TextTower::ReluText(tower) => tower.context as usize,
            TextTower::Transformer(tower) => tower.context as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::JpegScale;

    const TINY: &str = include_str!("../../fixtures/models/tiny/model.json");

    fn parse(json: &str) -> Result<ModelConfig> {
        ModelConfig::parse(json.as_bytes(), Path::new("m"))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = parse(TINY).unwrap();
        assert_eq!(parse(&config.to_json()).unwrap(), config);
    }

    /// Files of version 1 were written before there was the field.
    #[test]
    fn an_older_file_says_what_to_do_in_one_line() {
        let field = "\"jpeg_scale\": {\n      \"at_least\": 1.5\n    },";
        assert!(TINY.contains(field));
        let missing = TINY.replace(field, "");
        let old = missing.replace("\"version\": 2", "\"version\": 1");
        let message = parse(&old).unwrap_err().to_string();
        assert!(message.contains("import the checkpoint again") && !message.contains('\n'));
        let message = parse(&missing).unwrap_err().to_string();
        assert!(message.contains("missing field `jpeg_scale`"), "{message}");
        let none = TINY.replace(field, "\"jpeg_scale\": \"none\",");
        assert_eq!(parse(&none).unwrap().preprocess.jpeg_scale, JpegScale::None);
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (from, to, named) in [
            ("\"dim\"", "\"dimension\"", "dimension"),
            ("\"relu6\"", "\"relu7\"", "relu7"),
            ("\"mobilenet\"", "\"convnet\"", "convnet"),
            ("\"version\": 2", "\"version\": 3", "version is 3"),
            ("\"version\": 2", "\"version\": 1", "import the checkpoint again"),
            ("\"jpeg_scale\"", "\"jpeg_size\"", "jpeg_size"),
            ("{\n      \"at_least\": 1.5\n    }", "\"some\"", "some"),
            ("\"at_least\": 1.5", "\"at_least\": 0.9", "preprocess.jpeg_scale is 0.9"),
            ("\"at_least\": 1.5", "\"at_least\": 1e9", "preprocess.jpeg_scale is 1000000000"),
            ("\"at_least\": 1.5", "\"at_least\": \"1.5\"", "expected f32"),
            ("\"heads\": 2", "\"heads\": 3", "multiple of heads"),
            ("\"heads\": 2", "\"heads\": 0", "text_tower.heads is 0"),
            ("\"scale\": 10.0", "\"scale\": -1.0", "logit.scale"),
            ("\"squash\"", "\"stretch\"", "stretch"),
            ("\"size\": 16", "\"size\": 3", "the tower needs 4"),
        ] {
            assert!(TINY.contains(from), "the test replaces {from}, which the fixture lacks");
            let message = parse(&TINY.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(named) && !message.contains('\n'), "{named}: {message}");
        }
    }
}
