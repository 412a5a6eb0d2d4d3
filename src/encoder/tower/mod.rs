//! The two halves of a model: pixels or token ids in, features out; and the heads into the shared space.
//!
//! A tower is a struct of tensors made from a configuration and a [`Weights`]. The same constructor serves
//! loading, training and export, since all three go through the list of [`TensorSpec`]s.

mod block;
mod head;
mod mobilenet;
mod relu_text;
mod resnet;
mod transformer;
mod vit;

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::encoder::config::{
    Activation, ImageTower as ImageConfig, ModelConfig, TextTower as TextConfig,
};

pub(crate) use head::HeadLayers;
use mobilenet::MobilenetLayers;
use relu_text::ReluTextLayers;
pub(crate) use resnet::REDUCTION;
use resnet::ResnetLayers;
use transformer::TransformerLayers;
use vit::VitLayers;

/// What a tensor is before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Init {
    /// 0 everywhere.
    Zeros,
    /// 1 everywhere.
    Ones,
    /// Normal with this standard deviation.
    Normal(f64),
}

impl Init {
    /// He et al. 2015: keeps the variance through a ReLU layer with so many inputs.
    fn he(fan_in: i64) -> Self {
        Self::Normal((2.0 / fan_in as f64).sqrt())
    }
}

/// A tensor that a configuration calls for.
#[derive(Clone, Debug)]
pub(crate) struct TensorSpec {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) init: Init,
}

impl TensorSpec {
    fn new(name: impl Into<String>, shape: &[i64], init: Init) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), init }
    }
}

/// The names of the towers' tensors begin so.
const IMAGE_TOWER: &str = "image_tower";
const TEXT_TOWER: &str = "text_tower";

/// Which half of a model a tensor belongs to, so that a query loads only the half it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Image,
    Text,
}

/// The tensors of one half, tower and head.
pub(crate) fn specs(config: &ModelConfig, half: Half) -> Vec<TensorSpec> {
    let size = i64::from(config.preprocess.size);
    let (mut specs, head, n_features, name) = match half {
        Half::Image => {
            let tower = match &config.image_tower {
                ImageConfig::Mobilenet(tower) => mobilenet::specs(tower, IMAGE_TOWER),
                ImageConfig::Resnet(tower) => resnet::specs(tower, size, IMAGE_TOWER),
                ImageConfig::Vit(tower) => vit::specs(tower, size, IMAGE_TOWER),
            };
            (tower, &config.image_head, config.image_features(), "image_head")
        }
        Half::Text => {
            let tower = match &config.text_tower {
                TextConfig::ReluText(tower) => relu_text::specs(tower, TEXT_TOWER),
                TextConfig::Transformer(tower) => transformer::specs(tower, TEXT_TOWER),
            };
            (tower, &config.text_head, config.text_features(), "text_head")
        }
    };
    specs.extend(head::specs(head.as_ref(), n_features, config.dim, name));
    specs
}

/// Named tensors whose names and shapes have been checked against the [`TensorSpec`]s.
pub(crate) struct Weights(pub(crate) BTreeMap<String, Tensor>);

impl Weights {
    /// The same tensors in other numbers.
    pub(crate) fn to_kind(&self, kind: Kind) -> Self {
        Self(self.0.iter().map(|(name, tensor)| (name.clone(), tensor.to_kind(kind))).collect())
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.0.get(name).expect("names were checked against the configuration").shallow_clone()
    }
}

/// An image tower of any family.
pub(crate) enum ImageTower {
    Mobilenet(MobilenetLayers),
    Resnet(ResnetLayers),
    Vit(VitLayers),
}

impl ImageTower {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        match &config.image_tower {
            ImageConfig::Mobilenet(tower) => {
                Self::Mobilenet(MobilenetLayers::new(tower, weights, IMAGE_TOWER))
            }
            ImageConfig::Resnet(tower) => {
                Self::Resnet(ResnetLayers::new(tower, weights, IMAGE_TOWER))
            }
            ImageConfig::Vit(tower) => Self::Vit(VitLayers::new(tower, weights, IMAGE_TOWER)),
        }
    }

    /// Normalised pixels `[n, 3, size, size]` to features `[n, features]`.
    pub(crate) fn forward(&self, pixels: &Tensor) -> Tensor {
        self.front(pixels, self.n_layers())
    }

    /// Number of layers, counted as a training recipe counts them.
    pub(crate) fn n_layers(&self) -> usize {
        match self {
            Self::Mobilenet(tower) => tower.len(),
            Self::Resnet(tower) => tower.len(),
            Self::Vit(tower) => tower.len(),
        }
    }

    /// Whether [`Self::front`] may end before layer `at`.
    pub(crate) fn can_cut(&self, at: usize) -> bool {
        match self {
            Self::Mobilenet(tower) => tower.can_cut(at),
            Self::Resnet(_) | Self::Vit(_) => at <= self.n_layers(),
        }
    }

    /// What layer `end` gets, or features `[n, features]` if there is no such layer.
    pub(crate) fn front(&self, pixels: &Tensor, end: usize) -> Tensor {
        match self {
            Self::Mobilenet(tower) => tower.front(pixels, end),
            Self::Resnet(tower) => tower.front(pixels, end),
            Self::Vit(tower) => tower.front(pixels, end),
        }
    }

    /// From what layer `start` gets to features `[n, features]`.
    pub(crate) fn back(&self, maps: &Tensor, start: usize) -> Tensor {
        match self {
            Self::Mobilenet(tower) => tower.back(maps, start),
            Self::Resnet(tower) => tower.back(maps, start),
            Self::Vit(tower) => tower.back(maps, start),
        }
    }

    /// The layer that a tensor belongs to, by its name; `None` if it is none of an image tower's.
    pub(crate) fn layer_of(&self, name: &str) -> Option<usize> {
        let part = name.strip_prefix(IMAGE_TOWER)?.strip_prefix('.')?.split('.').next()?;
        let number = |prefix: &str| part.strip_prefix(prefix)?.parse::<usize>().ok();
        // Towers of blocks begin with a stem and end with a pooling.
        Some(match (number("conv"), number("block"), part) {
            (Some(conv), _, _) => conv,
            (None, Some(block), _) => block + 1,
            (None, None, "norm" | "pool") => self.n_layers() - 1,
            (None, None, _) => 0,
        })
    }
}

/// A text tower of any family.
pub(crate) enum TextTower {
    ReluText(ReluTextLayers),
    Transformer(TransformerLayers),
}

impl TextTower {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        match &config.text_tower {
            TextConfig::ReluText(tower) => {
                Self::ReluText(ReluTextLayers::new(tower, weights, TEXT_TOWER))
            }
            TextConfig::Transformer(tower) => {
                Self::Transformer(TransformerLayers::new(tower, weights, TEXT_TOWER))
            }
        }
    }

    /// Token ids `[n, length]` and which of them are no padding `[n, length]` to features `[n, features]`.
    pub(crate) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Tensor {
        match self {
            Self::ReluText(tower) => tower.forward(ids, mask),
            Self::Transformer(tower) => tower.forward(ids, mask),
        }
    }
}

impl Activation {
    /// As [`Self::forward`], in the same memory where the gradient can be had from the result alone: a convolution's
    /// output is as large as all its weights, and the next layer finds it in the cache.
    pub(crate) fn forward_in_place(self, mut x: Tensor) -> Tensor {
        match self {
            Self::Relu => x.relu_(),
            Self::Relu6 => x.relu6_(),
            Self::LeakyRelu
            | Self::Swish
            | Self::Mish
            | Self::Gelu
            | Self::GeluTanh
            | Self::QuickGelu => self.forward(&x),
        }
    }

    /// Applies the nonlinearity to each component.
    pub(crate) fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::LeakyRelu => x.leaky_relu(),
            Self::Swish => x.silu(),
            Self::Mish => x.mish(),
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::QuickGelu => x * (x * 1.702).sigmoid(),
        }
    }
}

/// `x W^T + b` with the tensors `NAME.weight` `[out, in]` and `NAME.bias` `[out]`.
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn new(weights: &Weights, name: &str) -> Self {
        Self {
            weight: weights.tensor(&format!("{name}.weight")),
            bias: weights.tensor(&format!("{name}.bias")),
        }
    }

    fn specs(name: &str, n_in: i64, n_out: i64, init: Init) -> [TensorSpec; 2] {
        [
            TensorSpec::new(format!("{name}.weight"), &[n_out, n_in], init),
            TensorSpec::new(format!("{name}.bias"), &[n_out], Init::Zeros),
        ]
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values: `torch.nn.functional` at -2, -0.5, 0, 1, 7 in f64, to six places.
    #[test]
    fn activations_equal_the_reference() {
        let x = Tensor::from_slice(&[-2.0f64, -0.5, 0.0, 1.0, 7.0]);
        for (activation, expected) in [
            (Activation::Relu, [0.0, 0.0, 0.0, 1.0, 7.0]),
            (Activation::Relu6, [0.0, 0.0, 0.0, 1.0, 6.0]),
            (Activation::LeakyRelu, [-0.02, -0.005, 0.0, 1.0, 7.0]),
            (Activation::Swish, [-0.238406, -0.188770, 0.0, 0.731059, 6.993622]),
            (Activation::Mish, [-0.252502, -0.220742, 0.0, 0.865098, 6.999988]),
            (Activation::Gelu, [-0.045500, -0.154269, 0.0, 0.841345, 7.0]),
            (Activation::GeluTanh, [-0.045402, -0.154286, 0.0, 0.841192, 7.0]),
            (Activation::QuickGelu, [-0.064342, -0.149610, 0.0, 0.845796, 6.999953]),
        ] {
            let found: Vec<f64> = activation.forward(&x).try_into().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 2e-6,
                    "{activation:?}: {found} is not {expected}"
                );
            }
            assert_eq!(activation.forward_in_place(x.copy()), activation.forward(&x));
        }
    }
}
