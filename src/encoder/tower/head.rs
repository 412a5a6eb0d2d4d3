//! A multi-layer perceptron from a tower's features into the shared space.

use tch::Tensor;

use super::{Init, Linear, TensorSpec, Weights};
use crate::encoder::config::{Activation, Head};

/// `h = act(W x + b)` for each hidden layer, then a linear one; tensors `PREFIX.0.weight`, `PREFIX.0.bias`, ….
pub(crate) struct HeadLayers {
    layers: Vec<Linear>,
    activation: Activation,
}

pub(super) fn specs(config: &Head, n_in: i64, dim: i64, prefix: &str) -> Vec<TensorSpec> {
    let mut widths = vec![n_in];
    widths.extend(&config.hidden);
    widths.push(dim);
    let layer = |(i, pair): (usize, &[i64])| {
        Linear::specs(&format!("{prefix}.{i}"), pair[0], pair[1], Init::he(pair[0]))
    };
    widths.windows(2).enumerate().flat_map(layer).collect()
}

impl HeadLayers {
    pub(crate) fn new(config: &Head, weights: &Weights, prefix: &str) -> Self {
        let layers = (0..=config.hidden.len())
            .map(|i| Linear::new(weights, &format!("{prefix}.{i}")))
            .collect();
        Self { layers, activation: config.activation }
    }

    /// Features `[n, features]` to unit vectors `[n, dim]`.
    pub(crate) fn forward(&self, features: &Tensor) -> Tensor {
        let (last, hidden) = self.layers.split_last().expect("a head has a linear layer");
        let mut x = features.shallow_clone();
        for layer in hidden {
            x = self.activation.forward(&layer.forward(&x));
        }
        unit(&last.forward(&x))
    }
}

/// Rows scaled to length 1. A zero row stays zero, which [`crate::Embedding`] refuses.
pub(crate) fn unit(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).clamp_min(1e-12)
}
