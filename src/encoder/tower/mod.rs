//! The two halves of a model: pixels or token ids in, features out; and the heads into the shared space.
//!
//! A tower is a struct of tensors made from a configuration and a [`Weights`]. The same constructor serves
//! loading, training and export, since all three go through the list of [`TensorSpec`]s.

mod head;
mod mobilenet;
mod relu_text;

use std::collections::BTreeMap;

use tch::Tensor;

use crate::encoder::config::{
    Activation, ImageTower as ImageConfig, ModelConfig, TextTower as TextConfig,
};

pub(crate) use head::HeadLayers;
use mobilenet::MobilenetLayers;
use relu_text::ReluTextLayers;

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

/// Which half of a model a tensor belongs to, so that a query loads only the half it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Image,
    Text,
}

/// The tensors of one half, tower and head.
pub(crate) fn specs(config: &ModelConfig, half: Half) -> Vec<TensorSpec> {
    match half {
        Half::Image => {
            let ImageConfig::Mobilenet(tower) = &config.image_tower;
            let mut specs = mobilenet::specs(tower, "image_tower");
            specs.extend(head::specs(
                &config.image_head,
                config.image_features(),
                config.dim,
                "image_head",
            ));
            specs
        }
        Half::Text => {
            let TextConfig::ReluText(tower) = &config.text_tower;
            let mut specs = relu_text::specs(tower, "text_tower");
            specs.extend(head::specs(
                &config.text_head,
                config.text_features(),
                config.dim,
                "text_head",
            ));
            specs
        }
    }
}

/// Named tensors whose names and shapes have been checked against the [`TensorSpec`]s.
pub(crate) struct Weights(pub(crate) BTreeMap<String, Tensor>);

impl Weights {
    fn tensor(&self, name: &str) -> Tensor {
        self.0.get(name).expect("names were checked against the configuration").shallow_clone()
    }
}

/// An image tower of any family.
pub(crate) enum ImageTower {
    Mobilenet(MobilenetLayers),
}

impl ImageTower {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        match &config.image_tower {
            ImageConfig::Mobilenet(tower) => {
                Self::Mobilenet(MobilenetLayers::new(tower, weights, "image_tower"))
            }
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
        }
    }

    /// Whether [`Self::front`] may end before layer `at`.
    pub(crate) fn can_cut(&self, at: usize) -> bool {
        match self {
            Self::Mobilenet(tower) => tower.can_cut(at),
        }
    }

    /// What layer `end` gets, or features `[n, features]` if there is no such layer.
    pub(crate) fn front(&self, pixels: &Tensor, end: usize) -> Tensor {
        match self {
            Self::Mobilenet(tower) => tower.front(pixels, end),
        }
    }

    /// From what layer `start` gets to features `[n, features]`.
    pub(crate) fn back(&self, maps: &Tensor, start: usize) -> Tensor {
        match self {
            Self::Mobilenet(tower) => tower.back(maps, start),
        }
    }

    /// The layer that a tensor belongs to, by its name; `None` if it is none of an image tower's.
    pub(crate) fn layer_of(name: &str) -> Option<usize> {
        name.strip_prefix("image_tower.conv")?.split('.').next()?.parse().ok()
    }
}

/// A text tower of any family.
pub(crate) enum TextTower {
    ReluText(ReluTextLayers),
}

impl TextTower {
    pub(crate) fn new(config: &ModelConfig, weights: &Weights) -> Self {
        match &config.text_tower {
            TextConfig::ReluText(tower) => {
                Self::ReluText(ReluTextLayers::new(tower, weights, "text_tower"))
            }
        }
    }

    /// Token ids `[n, length]` and which of them are no padding `[n, length]` to features `[n, features]`.
    pub(crate) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Tensor {
        match self {
            Self::ReluText(tower) => tower.forward(ids, mask),
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
            Self::LeakyRelu | Self::Swish | Self::Mish | Self::Gelu | Self::QuickGelu => {
                self.forward(&x)
            }
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
