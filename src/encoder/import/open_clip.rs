//! The layout of OpenCLIP: `open_clip_config.json`, tokenizer files.
//!
//! Fields that are left out have the default of the reference (`CLIPVisionCfg`, `CLIPTextCfg`, `PreprocessCfg` of
//! open_clip 3); fields that this importer does not know are errors, since they change the network.

use std::path::Path;

use serde::Deserialize;

use super::source::Source;
use super::{Plan, names, tokenizer_files};
use crate::encoder::config::{
    Activation, CONFIG_VERSION, Cleaning, Head, ImageTower, Logit, MAX_BLOCKS, ModelConfig, Output,
    Resnet, TextSight, TextTower, Transformer, Vit, VitPooling,
};
use crate::encoder::files::read_json;
use crate::encoder::{Filter, JpegScale, Preprocess, Resize};
use crate::error::{Error, Result};

const NORM_EPS: f64 = 1e-5;
const MEAN: [f32; 3] = [0.481_454_67, 0.457_827_5, 0.408_210_73];
const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

#[derive(Deserialize)]
struct Config {
    model_cfg: Model,
    #[serde(default)]
    preprocess_cfg: Processor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    embed_dim: i64,
    vision_cfg: Vision,
    text_cfg: Text,
    #[serde(default)]
    quick_gelu: bool,
    #[serde(default)]
    custom_text: bool,
    init_logit_scale: Option<f64>,
    init_logit_bias: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vision {
    image_size: i64,
    layers: Layers,
    width: i64,
    patch_size: Option<i64>,
    head_width: Option<i64>,
    mlp_ratio: Option<f64>,
    /// Only training drops patches.
    #[serde(rename = "patch_dropout")]
    _patch_dropout: Option<f64>,
}

/// One number for a vision transformer, four for a ResNet.
#[derive(Deserialize)]
#[serde(untagged)]
enum Layers {
    Vit(i64),
    Resnet([i64; 4]),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default = "context_length")]
    context_length: i64,
    #[serde(default = "vocab_size")]
    vocab_size: i64,
    width: i64,
    heads: i64,
    layers: i64,
    mlp_ratio: Option<f64>,
}

fn context_length() -> i64 {
    77
}

fn vocab_size() -> i64 {
    49_408
}

#[derive(Default, Deserialize)]
struct Processor {
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
}

/// Reads the description of a model.
pub(super) fn plan(dir: &Path, name: &str, source: &Source) -> Result<Plan> {
    let path = dir.join("open_clip_config.json");
    let bad = |reason: String| Error::BadModel { path: path.clone(), reason };
    refuse_timm(&path)?;
    let Config { model_cfg: model, preprocess_cfg } = read_json(&path)?;
    model.check_blocks().map_err(bad)?;
    let activation = if model.quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
    let text = TextTower::Transformer(transformer(&model.text_cfg, activation));
    let prefix = if model.custom_text { "text." } else { "" };
    let (image_tower, mut names) = match model.vision_cfg.layers {
        Layers::Vit(blocks) => {
            let vit = vit(&model.vision_cfg, blocks, activation).map_err(bad)?;
            let names = names::open_clip_vit(&vit, model.embed_dim);
            (ImageTower::Vit(vit), names)
        }
        Layers::Resnet(stages) => {
            let resnet = resnet(&model.vision_cfg, stages);
            let names = names::open_clip_resnet(&resnet);
            (ImageTower::Resnet(resnet), names)
        }
    };
    names.extend(names::open_clip_text(&text, prefix, model.embed_dim));
    let scale = source.scalar("logit_scale")?.or(model.init_logit_scale).map(f64::exp);
    let scale = scale.ok_or_else(|| bad("tensor `logit_scale`: it is missing".into()))?;
    let logit = match source.scalar("logit_bias")?.or(model.init_logit_bias) {
        None => Logit::Softmax { scale },
        Some(bias) => Logit::Sigmoid { scale, bias },
    };
    let files = tokenizer_files::clip(dir, Some(Cleaning::Web), model.text_cfg.vocab_size)?;
    let head =
        || Some(Head { hidden: vec![], activation: Activation::Relu, output: Output::Linear });
    let config = ModelConfig {
        version: CONFIG_VERSION,
        name: name.to_string(),
        dim: model.embed_dim,
        preprocess: preprocess(&preprocess_cfg, model.vision_cfg.image_size).map_err(bad)?,
        image_tower,
        image_head: head(),
        tokenizer: files.config,
        text_tower: text,
        text_head: head(),
        logit,
    };
    Plan::checked(config, names, files.json, &path)
}

/// A tower of timm has fields of its own; this error says what to do instead of naming the first of them.
fn refuse_timm(path: &Path) -> Result<()> {
    let config: serde_json::Value = read_json(path)?;
    let tower = &config["model_cfg"]["vision_cfg"]["timm_model_name"];
    match tower.as_str() {
        Some(tower) => Err(Error::BadModel {
            path: path.to_path_buf(),
            reason: format!(
                "the image tower is timm's {tower}, which cannot be imported; SigLIP models can in the layout of transformers"
            ),
        }),
        None => Ok(()),
    }
}

impl Model {
    /// Checked before a list of all blocks' tensors is made.
    fn check_blocks(&self) -> std::result::Result<(), String> {
        let numbers = match &self.vision_cfg.layers {
            Layers::Vit(blocks) => vec![*blocks],
            Layers::Resnet(stages) => stages.to_vec(),
        };
        match numbers.iter().chain([&self.text_cfg.layers]).find(|&n| !(1..=MAX_BLOCKS).contains(n))
        {
            Some(number) => Err(format!("layers is {number}, expected 1..={MAX_BLOCKS}")),
            None => Ok(()),
        }
    }
}

/// `ratio` times as wide, rounded towards zero as Python's `int` does.
fn times(width: i64, ratio: Option<f64>) -> i64 {
    (width as f64 * ratio.unwrap_or(4.0)) as i64
}

fn vit(vision: &Vision, blocks: i64, activation: Activation) -> std::result::Result<Vit, String> {
    let head_width = vision.head_width.unwrap_or(64);
    let patch = vision.patch_size.unwrap_or(16);
    if head_width < 1 || vision.width % head_width != 0 {
        return Err(format!(
            "vision_cfg.width {} is not a multiple of head_width {head_width}",
            vision.width
        ));
    }
    Ok(Vit {
        patch,
        patch_bias: false,
        pre_norm: true,
        width: vision.width,
        heads: vision.width / head_width,
        blocks,
        hidden: times(vision.width, vision.mlp_ratio),
        activation,
        norm_eps: NORM_EPS,
        pooling: VitPooling::Class,
    })
}

fn resnet(vision: &Vision, stages: [i64; 4]) -> Resnet {
    let head_width = vision.head_width.unwrap_or(64).max(1);
    Resnet {
        width: vision.width,
        stages,
        heads: vision.width.saturating_mul(32) / head_width,
        activation: Activation::Relu,
    }
}

fn transformer(text: &Text, activation: Activation) -> Transformer {
    Transformer {
        vocab: text.vocab_size,
        context: text.context_length,
        width: text.width,
        heads: text.heads,
        blocks: text.layers,
        hidden: times(text.width, text.mlp_ratio),
        activation,
        norm_eps: NORM_EPS,
        sight: TextSight::Before,
    }
}

fn preprocess(processor: &Processor, size: i64) -> std::result::Result<Preprocess, String> {
    Ok(Preprocess {
        size: u32::try_from(size).map_err(|_| format!("vision_cfg.image_size is {size}"))?,
        jpeg_scale: JpegScale::USUAL,
        resize: match processor.resize_mode.as_deref() {
            None | Some("shortest") => Resize::ShortestEdgeCrop,
            Some("squash") => Resize::Squash,
            Some(other) => return Err(format!("resize_mode is {other:?}, which is not supported")),
        },
        filter: match processor.interpolation.as_deref() {
            None | Some("bicubic") => Filter::Bicubic,
            Some("bilinear") => Filter::Bilinear,
            Some(other) => {
                return Err(format!("interpolation is {other:?}, which is not supported"));
            }
        },
        mean: processor.mean.unwrap_or(MEAN),
        std: processor.std.unwrap_or(STD),
    })
}
