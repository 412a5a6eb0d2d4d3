//! All name maps: which tensors of a foreign checkpoint make up each of ours.

use std::fmt;

use crate::encoder::config::{Resnet, TextTower, Transformer, Vit, VitPooling};

/// One of our tensors.
pub(super) struct Name {
    pub(super) ours: String,
    pub(super) from: From,
}

/// Where a tensor comes from.
pub(super) enum From {
    /// This tensor.
    Same(String),
    /// This matrix, rows and columns exchanged.
    Transposed(String),
    /// This tensor as a vector.
    Flat(String),
    /// These, one below the other.
    Rows(Vec<String>),
    /// A convolution times the factor of the batch norm after it.
    FoldedWeight { conv: String, norm: String },
    /// What is left of that batch norm.
    FoldedBias { norm: String },
    /// Zeros: the reference has no bias there.
    Zeros(i64),
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(name) | Self::Transposed(name) | Self::Flat(name) => f.write_str(name),
            Self::Rows(names) => f.write_str(&names.join("` + `")),
            Self::FoldedWeight { conv, norm } => write!(f, "{conv}` · `{norm}"),
            Self::FoldedBias { norm } => write!(f, "{norm}.bias"),
            Self::Zeros(_) => f.write_str("zeros"),
        }
    }
}

/// A growing list of names.
#[derive(Default)]
struct List(Vec<Name>);

impl List {
    fn add(&mut self, ours: impl Into<String>, from: From) {
        self.0.push(Name { ours: ours.into(), from });
    }

    fn same(&mut self, ours: &str, theirs: &str) {
        self.add(ours, From::Same(theirs.into()));
    }

    /// `NAME.weight` and `NAME.bias`.
    fn layer(&mut self, ours: &str, theirs: &str) {
        for part in ["weight", "bias"] {
            self.same(&format!("{ours}.{part}"), &format!("{theirs}.{part}"));
        }
    }

    /// A convolution without bias and the batch norm after it.
    fn folded(&mut self, ours: &str, conv: &str, norm: &str) {
        let (conv, norm) = (format!("{conv}.weight"), norm.to_string());
        self.add(format!("{ours}.weight"), From::FoldedWeight { conv, norm: norm.clone() });
        self.add(format!("{ours}.bias"), From::FoldedBias { norm });
    }
}

/// transformers' `CLIPModel`.
pub(super) fn hugging_face_clip(image: &Vit, text: &Transformer, dim: i64) -> Vec<Name> {
    let mut list = List::default();
    list.same("image_tower.class", "vision_model.embeddings.class_embedding");
    hugging_face_vit(&mut list, image);
    // The misspelling is the reference's.
    list.layer("image_tower.pre_norm", "vision_model.pre_layrnorm");
    list.same("image_head.0.weight", "visual_projection.weight");
    list.add("image_head.0.bias", From::Zeros(dim));
    hugging_face_text(&mut list, text);
    list.same("text_head.0.weight", "text_projection.weight");
    list.add("text_head.0.bias", From::Zeros(dim));
    list.0
}

/// transformers' `SiglipModel`.
pub(super) fn hugging_face_siglip(image: &Vit, text: &Transformer) -> Vec<Name> {
    let mut list = List::default();
    hugging_face_vit(&mut list, image);
    list.same("image_tower.patch.bias", "vision_model.embeddings.patch_embedding.bias");
    let (pool, head) = ("image_tower.pool", "vision_model.head");
    list.add(format!("{pool}.query"), From::Flat(format!("{head}.probe")));
    list.same(&format!("{pool}.qkv.weight"), &format!("{head}.attention.in_proj_weight"));
    list.same(&format!("{pool}.qkv.bias"), &format!("{head}.attention.in_proj_bias"));
    list.layer(&format!("{pool}.out"), &format!("{head}.attention.out_proj"));
    list.layer(&format!("{pool}.norm"), &format!("{head}.layernorm"));
    list.layer(&format!("{pool}.hidden"), &format!("{head}.mlp.fc1"));
    list.layer(&format!("{pool}.hidden_out"), &format!("{head}.mlp.fc2"));
    hugging_face_text(&mut list, text);
    list.layer("text_head.0", "text_model.head");
    list.0
}

fn hugging_face_vit(list: &mut List, image: &Vit) {
    let embeddings = "vision_model.embeddings";
    list.same("image_tower.patch.weight", &format!("{embeddings}.patch_embedding.weight"));
    list.same("image_tower.position", &format!("{embeddings}.position_embedding.weight"));
    hugging_face_blocks(list, "image_tower", "vision_model", image.blocks);
    list.layer("image_tower.norm", "vision_model.post_layernorm");
}

fn hugging_face_text(list: &mut List, text: &Transformer) {
    for part in ["token", "position"] {
        let theirs = format!("text_model.embeddings.{part}_embedding.weight");
        list.same(&format!("text_tower.{part}.weight"), &theirs);
    }
    hugging_face_blocks(list, "text_tower", "text_model", text.blocks);
    list.layer("text_tower.norm", "text_model.final_layer_norm");
}

fn hugging_face_blocks(list: &mut List, ours: &str, theirs: &str, n_blocks: i64) {
    for i in 0..n_blocks {
        let (ours, theirs) =
            (format!("{ours}.block{i:02}"), format!("{theirs}.encoder.layers.{i}"));
        for part in ["weight", "bias"] {
            let rows = ["q", "k", "v"].map(|name| format!("{theirs}.self_attn.{name}_proj.{part}"));
            list.add(format!("{ours}.qkv.{part}"), From::Rows(rows.to_vec()));
        }
        list.layer(&format!("{ours}.attention_norm"), &format!("{theirs}.layer_norm1"));
        list.layer(&format!("{ours}.attention_out"), &format!("{theirs}.self_attn.out_proj"));
        list.layer(&format!("{ours}.hidden_norm"), &format!("{theirs}.layer_norm2"));
        list.layer(&format!("{ours}.hidden"), &format!("{theirs}.mlp.fc1"));
        list.layer(&format!("{ours}.hidden_out"), &format!("{theirs}.mlp.fc2"));
    }
}

/// OpenCLIP's `VisionTransformer`.
pub(super) fn open_clip_vit(image: &Vit, dim: i64) -> Vec<Name> {
    let mut list = List::default();
    debug_assert!(image.pooling == VitPooling::Class);
    list.same("image_tower.class", "visual.class_embedding");
    list.same("image_tower.patch.weight", "visual.conv1.weight");
    list.same("image_tower.position", "visual.positional_embedding");
    list.layer("image_tower.pre_norm", "visual.ln_pre");
    open_clip_blocks(&mut list, "image_tower", "visual.transformer", image.blocks);
    list.layer("image_tower.norm", "visual.ln_post");
    list.add("image_head.0.weight", From::Transposed("visual.proj".into()));
    list.add("image_head.0.bias", From::Zeros(dim));
    list.0
}

/// OpenAI's `ModifiedResNet`.
pub(super) fn open_clip_resnet(image: &Resnet) -> Vec<Name> {
    let mut list = List::default();
    for i in 0..3 {
        let number = i + 1;
        list.folded(
            &format!("image_tower.stem{i}"),
            &format!("visual.conv{number}"),
            &format!("visual.bn{number}"),
        );
    }
    let mut block_idx = 0;
    for (stage, &repeat) in image.stages.iter().enumerate() {
        for k in 0..repeat {
            let (ours, theirs) = (
                format!("image_tower.block{block_idx:02}"),
                format!("visual.layer{}.{k}", stage + 1),
            );
            for (part, number) in [("reduce", 1), ("conv", 2), ("expand", 3)] {
                list.folded(
                    &format!("{ours}.{part}"),
                    &format!("{theirs}.conv{number}"),
                    &format!("{theirs}.bn{number}"),
                );
            }
            if k == 0 {
                // Entry -1 of the shortcut is the average pooling, which has no weights.
                list.folded(
                    &format!("{ours}.shortcut"),
                    &format!("{theirs}.downsample.0"),
                    &format!("{theirs}.downsample.1"),
                );
            }
            block_idx += 1;
        }
    }
    list.same("image_tower.pool.position", "visual.attnpool.positional_embedding");
    for part in ["weight", "bias"] {
        let rows = ["q", "k", "v"].map(|name| format!("visual.attnpool.{name}_proj.{part}"));
        list.add(format!("image_tower.pool.qkv.{part}"), From::Rows(rows.to_vec()));
    }
    list.layer("image_head.0", "visual.attnpool.c_proj");
    list.0
}

/// OpenCLIP's text transformer; its tensors begin with `prefix`, `text.` or nothing.
pub(super) fn open_clip_text(text: &TextTower, prefix: &str, dim: i64) -> Vec<Name> {
    let mut list = List::default();
    let TextTower::Transformer(text) = text else { return list.0 };
    list.same("text_tower.token.weight", &format!("{prefix}token_embedding.weight"));
    list.same("text_tower.position.weight", &format!("{prefix}positional_embedding"));
    open_clip_blocks(&mut list, "text_tower", &format!("{prefix}transformer"), text.blocks);
    list.layer("text_tower.norm", &format!("{prefix}ln_final"));
    list.add("text_head.0.weight", From::Transposed(format!("{prefix}text_projection")));
    list.add("text_head.0.bias", From::Zeros(dim));
    list.0
}

fn open_clip_blocks(list: &mut List, ours: &str, theirs: &str, n_blocks: i64) {
    for i in 0..n_blocks {
        let (ours, theirs) = (format!("{ours}.block{i:02}"), format!("{theirs}.resblocks.{i}"));
        list.layer(&format!("{ours}.attention_norm"), &format!("{theirs}.ln_1"));
        for part in ["weight", "bias"] {
            list.same(&format!("{ours}.qkv.{part}"), &format!("{theirs}.attn.in_proj_{part}"));
        }
        list.layer(&format!("{ours}.attention_out"), &format!("{theirs}.attn.out_proj"));
        list.layer(&format!("{ours}.hidden_norm"), &format!("{theirs}.ln_2"));
        list.layer(&format!("{ours}.hidden"), &format!("{theirs}.mlp.c_fc"));
        list.layer(&format!("{ours}.hidden_out"), &format!("{theirs}.mlp.c_proj"));
    }
}
