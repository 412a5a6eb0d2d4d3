//! Ranges of a configuration's fields, checked before memory is asked for.

use super::{
    CONFIG_VERSION, Head, ImageTower, Logit, Mobilenet, ModelConfig, Resnet, TextTower,
    TokenizerConfig, Vit, VitPooling,
};
use crate::encoder::tower::REDUCTION;
use crate::encoder::{JpegScale, Preprocess};

/// The largest size that any field may claim; refuses absurd files.
const MAX_SIZE: i64 = 1 << 20;
/// The largest side of a picture that a tower reads.
const MAX_SIDE: i64 = 1 << 12;
/// The largest factor of scaled decoding: more is never scaled, which has a name of its own.
const MAX_FACTOR: f32 = 16.0;
/// The largest number of blocks.
pub(crate) const MAX_BLOCKS: i64 = 1 << 10;

type Checked = std::result::Result<(), String>;

impl ModelConfig {
    /// What is out of its range.
    pub(crate) fn validate(&self) -> Checked {
        if self.version != CONFIG_VERSION {
            let version = self.version;
            return Err(format!("version is {version}, this program reads {CONFIG_VERSION}"));
        }
        size("dim", self.dim)?;
        preprocess(&self.preprocess)?;
        self.image_tower()?;
        self.text_tower()?;
        head("image_head", self.image_head.as_ref(), self.image_features(), self.dim)?;
        head("text_head", self.text_head.as_ref(), self.text_features(), self.dim)?;
        self.tokenizer()?;
        logit(&self.logit)
    }

    fn image_tower(&self) -> Checked {
        let side = i64::from(self.preprocess.size);
        match &self.image_tower {
            ImageTower::Mobilenet(tower) => mobilenet(tower, side),
            ImageTower::Resnet(tower) => resnet(tower, side),
            ImageTower::Vit(tower) => vit(tower, side),
        }
    }

    fn text_tower(&self) -> Checked {
        let (width, heads, hidden, blocks, least) = match &self.text_tower {
            TextTower::ReluText(tower) => (tower.width, tower.heads, tower.hidden, tower.blocks, 0),
            TextTower::Transformer(tower) => {
                eps("text_tower.norm_eps", tower.norm_eps)?;
                (tower.width, tower.heads, tower.hidden, tower.blocks, 1)
            }
        };
        size("text_tower.vocab", self.vocab() as i64)?;
        size("text_tower.context", self.context() as i64)?;
        size("text_tower.hidden", hidden)?;
        within("text_tower.blocks", blocks, least, MAX_BLOCKS)?;
        heads_of("text_tower", width, heads)
    }

    fn tokenizer(&self) -> Checked {
        let id = |name: &str, id: i64| match (0..self.vocab() as i64).contains(&id) {
            true => Ok(()),
            false => {
                Err(format!("tokenizer.{name} {id} is not below text_tower.vocab {}", self.vocab()))
            }
        };
        let room = |least: usize| match self.context() >= least {
            true => Ok(()),
            false => Err(format!("text_tower.context is {}, expected {least}", self.context())),
        };
        match self.tokenizer {
            TokenizerConfig::Subword { pad_id } => id("pad_id", pad_id),
            TokenizerConfig::Clip { start_id, end_id, pad_id, .. } => {
                room(2)?;
                id("start_id", start_id)?;
                id("end_id", end_id)?;
                id("pad_id", pad_id)
            }
            TokenizerConfig::Siglip { end_id, pad_id, .. } => {
                id("end_id", end_id)?;
                id("pad_id", pad_id)
            }
        }
    }
}

fn preprocess(preprocess: &Preprocess) -> Checked {
    within("preprocess.size", i64::from(preprocess.size), 1, MAX_SIDE)?;
    match preprocess.jpeg_scale {
        // Below 1 a picture would be made smaller than the input and larger again.
        JpegScale::AtLeast(factor) if !(1.0..=MAX_FACTOR).contains(&factor) => {
            return Err(format!("preprocess.jpeg_scale is {factor}, expected 1..={MAX_FACTOR}"));
        }
        JpegScale::AtLeast(_) | JpegScale::None => {}
    }
    if !preprocess.mean.iter().all(|mean| mean.is_finite())
        || !preprocess.std.iter().all(|std| *std > 0.0 && std.is_finite())
    {
        return Err("preprocess.mean must be finite and preprocess.std positive".into());
    }
    Ok(())
}

fn mobilenet(tower: &Mobilenet, side: i64) -> Checked {
    size("image_tower.stem", tower.stem)?;
    size("image_tower.features", tower.features)?;
    for stage in &tower.stages {
        size("image_tower.stages.expand", stage.expand)?;
        size("image_tower.stages.channels", stage.channels)?;
        within("image_tower.stages.repeat", stage.repeat, 1, MAX_BLOCKS)?;
        within("image_tower.stages.stride", stage.stride, 1, 2)?;
    }
    let n_halvings = 1 + tower.stages.iter().filter(|stage| stage.stride == 2).count() as u32;
    let least = 1i64.checked_shl(n_halvings).unwrap_or(MAX_SIZE);
    at_least("preprocess.size", side, least)
}

fn resnet(tower: &Resnet, side: i64) -> Checked {
    within("image_tower.width", tower.width, 2, MAX_SIZE / 32)?;
    for repeat in tower.stages {
        within("image_tower.stages", repeat, 1, MAX_BLOCKS)?;
    }
    heads_of("image_tower", tower.features(), tower.heads)?;
    at_least("preprocess.size", side, REDUCTION)
}

fn vit(tower: &Vit, side: i64) -> Checked {
    size("image_tower.patch", tower.patch)?;
    size("image_tower.hidden", tower.hidden)?;
    within("image_tower.blocks", tower.blocks, 1, MAX_BLOCKS)?;
    eps("image_tower.norm_eps", tower.norm_eps)?;
    heads_of("image_tower", tower.width, tower.heads)?;
    match tower.pooling {
        VitPooling::Class | VitPooling::Attention => at_least("preprocess.size", side, tower.patch),
    }
}

fn head(name: &str, head: Option<&Head>, n_features: i64, dim: i64) -> Checked {
    let Some(head) = head else {
        return match n_features == dim {
            true => Ok(()),
            false => {
                Err(format!("{name} is null, but there are {n_features} features and dim is {dim}"))
            }
        };
    };
    head.hidden.iter().try_for_each(|hidden| size(&format!("{name}.hidden"), *hidden))
}

fn logit(logit: &Logit) -> Checked {
    let scale = logit.scale();
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(format!("logit.scale is {scale}, expected a positive number"));
    }
    match logit {
        Logit::Sigmoid { bias, .. } if !bias.is_finite() => {
            Err(format!("logit.bias is {bias}, expected a number"))
        }
        Logit::Sigmoid { .. } | Logit::Softmax { .. } => Ok(()),
    }
}

fn size(name: &str, value: i64) -> Checked {
    within(name, value, 1, MAX_SIZE)
}

fn within(name: &str, value: i64, least: i64, most: i64) -> Checked {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} is {value}, expected {least}..={most}")),
    }
}

fn at_least(name: &str, value: i64, least: i64) -> Checked {
    match value >= least {
        true => Ok(()),
        false => Err(format!("{name} is {value}, but the tower needs {least}")),
    }
}

fn heads_of(tower: &str, width: i64, heads: i64) -> Checked {
    size(&format!("{tower}.width"), width)?;
    size(&format!("{tower}.heads"), heads)?;
    match width % heads {
        0 => Ok(()),
        _ => Err(format!("{tower}.width {width} is not a multiple of heads {heads}")),
    }
}

fn eps(name: &str, value: f64) -> Checked {
    match value > 0.0 && value < 1.0 {
        true => Ok(()),
        false => Err(format!("{name} is {value}, expected a small positive number")),
    }
}
