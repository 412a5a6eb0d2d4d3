//! The layout of Hugging Face transformers: `config.json`, `preprocessor_config.json`, tokenizer files.
//!
//! `config.json` leaves out what equals the default of the reference's configuration class; those defaults are written out
//! here (transformers 5, `CLIPTextConfig`, `CLIPVisionConfig`, `SiglipTextConfig`, `SiglipVisionConfig`).

use std::path::Path;

use serde::Deserialize;

use super::source::Source;
use super::{Plan, names, tokenizer_files};
use crate::encoder::config::{
    Activation, CONFIG_VERSION, Head, ImageTower, Logit, MAX_BLOCKS, ModelConfig, Output,
    TextSight, TextTower, Transformer, Vit, VitPooling,
};
use crate::encoder::files::read_json;
use crate::encoder::{Filter, JpegScale, Preprocess, Resize};
use crate::error::{Error, Result};

#[derive(Deserialize)]
struct Config {
    model_type: String,
    #[serde(default)]
    projection_dim: Option<i64>,
    #[serde(default)]
    text_config: Text,
    #[serde(default)]
    vision_config: Vision,
}

#[derive(Default, Deserialize)]
struct Text {
    vocab_size: Option<i64>,
    hidden_size: Option<i64>,
    intermediate_size: Option<i64>,
    num_hidden_layers: Option<i64>,
    num_attention_heads: Option<i64>,
    max_position_embeddings: Option<i64>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    projection_size: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Vision {
    hidden_size: Option<i64>,
    intermediate_size: Option<i64>,
    num_hidden_layers: Option<i64>,
    num_attention_heads: Option<i64>,
    image_size: Option<i64>,
    patch_size: Option<i64>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    vision_use_head: Option<bool>,
}

/// What the two model types have of their own.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    Clip,
    Siglip,
}

/// Reads the description of a model.
pub(super) fn plan(dir: &Path, name: &str, source: &Source) -> Result<Plan> {
    let path = dir.join("config.json");
    let bad = |reason: String| Error::BadModel { path: path.clone(), reason };
    let foreign: Config = read_json(&path)?;
    let family = match foreign.model_type.as_str() {
        "clip" => Family::Clip,
        "siglip" => Family::Siglip,
        other => {
            return Err(bad(format!(
                "model_type is {other:?}; \"clip\" and \"siglip\" can be imported"
            )));
        }
    };
    let image = vit(&foreign.vision_config, family).map_err(bad)?;
    let text = transformer(&foreign.text_config, family).map_err(bad)?;
    let size = foreign.vision_config.image_size.unwrap_or(224);
    let preprocess = preprocess(&dir.join("preprocessor_config.json"), size)?;
    let linear = || Head { hidden: vec![], activation: Activation::Relu, output: Output::Linear };
    let (dim, image_head, names) = match family {
        Family::Clip => {
            let dim = foreign.projection_dim.unwrap_or(512);
            (dim, Some(linear()), names::hugging_face_clip(&image, &text, dim))
        }
        Family::Siglip => {
            let dim = foreign.text_config.projection_size.unwrap_or(text.width);
            (dim, None, names::hugging_face_siglip(&image, &text))
        }
    };
    let Some(scale) = source.scalar("logit_scale")?.map(f64::exp) else {
        return Err(bad("tensor `logit_scale`: it is missing".into()));
    };
    let logit = match (family, source.scalar("logit_bias")?) {
        (Family::Clip, None) => Logit::Softmax { scale },
        (Family::Siglip, Some(bias)) => Logit::Sigmoid { scale, bias },
        (Family::Clip, Some(_)) => return Err(bad("a CLIP model with logit_bias".into())),
        (Family::Siglip, None) => return Err(bad("tensor `logit_bias`: it is missing".into())),
    };
    let files = match family {
        Family::Clip => tokenizer_files::clip(dir, None, text.vocab)?,
        Family::Siglip => tokenizer_files::siglip(dir, text.vocab)?,
    };
    let config = ModelConfig {
        version: CONFIG_VERSION,
        name: name.to_string(),
        dim,
        preprocess,
        image_tower: ImageTower::Vit(image),
        image_head,
        tokenizer: files.config,
        text_tower: TextTower::Transformer(text),
        text_head: Some(linear()),
        logit,
    };
    Plan::checked(config, names, files.json, &path)
}

fn vit(vision: &Vision, family: Family) -> std::result::Result<Vit, String> {
    if vision.vision_use_head == Some(false) {
        return Err("vision_config.vision_use_head is false, which is not supported".into());
    }
    let (patch, act, eps) = match family {
        Family::Clip => (32, "quick_gelu", 1e-5),
        Family::Siglip => (16, "gelu_pytorch_tanh", 1e-6),
    };
    Ok(Vit {
        patch: vision.patch_size.unwrap_or(patch),
        patch_bias: family == Family::Siglip,
        pre_norm: family == Family::Clip,
        width: vision.hidden_size.unwrap_or(768),
        heads: vision.num_attention_heads.unwrap_or(12),
        blocks: blocks(vision.num_hidden_layers)?,
        hidden: vision.intermediate_size.unwrap_or(3072),
        activation: activation(vision.hidden_act.as_deref().unwrap_or(act))?,
        norm_eps: vision.layer_norm_eps.unwrap_or(eps),
        pooling: match family {
            Family::Clip => VitPooling::Class,
            Family::Siglip => VitPooling::Attention,
        },
    })
}

fn transformer(text: &Text, family: Family) -> std::result::Result<Transformer, String> {
    let (vocab, context, width, heads, hidden, act, eps, sight) = match family {
        Family::Clip => (49_408, 77, 512, 8, 2048, "quick_gelu", 1e-5, TextSight::Before),
        Family::Siglip => (32_000, 64, 768, 12, 3072, "gelu_pytorch_tanh", 1e-6, TextSight::All),
    };
    Ok(Transformer {
        vocab: text.vocab_size.unwrap_or(vocab),
        context: text.max_position_embeddings.unwrap_or(context),
        width: text.hidden_size.unwrap_or(width),
        heads: text.num_attention_heads.unwrap_or(heads),
        blocks: blocks(text.num_hidden_layers)?,
        hidden: text.intermediate_size.unwrap_or(hidden),
        activation: activation(text.hidden_act.as_deref().unwrap_or(act))?,
        norm_eps: text.layer_norm_eps.unwrap_or(eps),
        sight,
    })
}

/// Checked before a list of all blocks' tensors is made.
fn blocks(number: Option<i64>) -> std::result::Result<i64, String> {
    match number.unwrap_or(12) {
        number @ 1..=MAX_BLOCKS => Ok(number),
        number => Err(format!("num_hidden_layers is {number}, expected 1..={MAX_BLOCKS}")),
    }
}

fn activation(name: &str) -> std::result::Result<Activation, String> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(format!("hidden_act is {other:?}, which is not supported")),
    }
}

#[derive(Deserialize)]
struct Processor {
    size: Side,
    crop_size: Option<Side>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    rescale_factor: Option<f64>,
    resample: Option<i64>,
    image_mean: [f32; 3],
    image_std: [f32; 3],
}

/// `224`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Side {
    Number(i64),
    Shortest { shortest_edge: i64 },
    Both { height: i64, width: i64 },
}

fn preprocess(path: &Path, size: i64) -> Result<Preprocess> {
    let processor: Processor = read_json(path)?;
    processor
        .preprocess(size)
        .map_err(|reason| Error::BadModel { path: path.to_path_buf(), reason })
}

impl Processor {
    fn preprocess(&self, size: i64) -> std::result::Result<Preprocess, String> {
        for (name, switch) in [
            ("do_resize", self.do_resize),
            ("do_rescale", self.do_rescale),
            ("do_normalize", self.do_normalize),
        ] {
            if switch == Some(false) {
                return Err(format!("{name} is false, which is not supported"));
            }
        }
        if self.rescale_factor.is_some_and(|factor| (factor - 1.0 / 255.0).abs() > 1e-6) {
            return Err("rescale_factor is not 1/255".into());
        }
        let crops = self.do_center_crop.unwrap_or(self.crop_size.is_some());
        let (to, resize) = match (self.size, crops) {
            (Side::Shortest { shortest_edge }, true) => (shortest_edge, Resize::ShortestEdgeCrop),
            (Side::Number(side), true) => (side, Resize::ShortestEdgeCrop),
            (Side::Both { height, width }, false) if height == width => (height, Resize::Squash),
            (Side::Number(_) | Side::Shortest { .. } | Side::Both { .. }, _) => {
                return Err("this kind of size is not supported".into());
            }
        };
        let crop = match self.crop_size {
            Some(Side::Number(side)) if crops => side,
            Some(Side::Both { height, width }) if crops && height == width => height,
            Some(_) if crops => return Err("crop_size is not a square".into()),
            Some(_) | None => to,
        };
        if (to, crop) != (size, size) {
            return Err(format!(
                "size {to} and crop_size {crop} are not image_size {size} of config.json"
            ));
        }
        Ok(Preprocess {
            size: u32::try_from(size).map_err(|_| format!("size is {size}"))?,
            jpeg_scale: JpegScale::USUAL,
            resize,
            filter: match self.resample {
                Some(2) => Filter::Bilinear,
                Some(3) | None => Filter::Bicubic,
                Some(other) => return Err(format!("resample is {other}, expected 2 or 3")),
            },
            mean: self.image_mean,
            std: self.image_std,
        })
    }
}
