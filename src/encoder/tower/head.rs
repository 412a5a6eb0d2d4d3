//! A multi-layer perceptron from a tower's features into the shared space.

use tch::Tensor;

use super::{Init, Linear, TensorSpec, Weights};
use crate::encoder::config::{Activation, Head, Output};

/// `h = act(W x + b)` for each hidden layer, then one without; tensors `PREFIX.0.weight`, `PREFIX.0.bias`, ….
pub(crate) struct HeadLayers {
    layers: Vec<Linear>,
    activation: Activation,
    output: Output,
}

pub(super) fn specs(config: Option<&Head>, n_in: i64, dim: i64, prefix: &str) -> Vec<TensorSpec> {
    let Some(config) = config else { return Vec::new() };
    let mut widths = vec![n_in];
    widths.extend(&config.hidden);
    widths.push(dim);
    let layer = |(i, pair): (usize, &[i64])| {
        Linear::specs(&format!("{prefix}.{i}"), pair[0], pair[1], Init::he(pair[0]))
    };
    widths.windows(2).enumerate().flat_map(layer).collect()
}

impl HeadLayers {
    /// Without a configuration, a head that only scales to length 1.
    pub(crate) fn new(config: Option<&Head>, weights: &Weights, prefix: &str) -> Self {
        let Some(config) = config else {
            return Self {
                layers: Vec::new(),
                activation: Activation::Relu,
                output: Output::Linear,
            };
        };
        let layers = (0..=config.hidden.len())
            .map(|i| Linear::new(weights, &format!("{prefix}.{i}")))
            .collect();
        Self { layers, activation: config.activation, output: config.output }
    }

    /// Features `[n, features]` to unit vectors `[n, dim]`.
    pub(crate) fn forward(&self, features: &Tensor) -> Tensor {
        self.project(&self.hidden(features))
    }

    /// Features to the activations of the last hidden layer `[n, hidden]`, or the features if there is none.
    pub(crate) fn hidden(&self, features: &Tensor) -> Tensor {
        let hidden = &self.layers[..self.layers.len().saturating_sub(1)];
        hidden
            .iter()
            .fold(features.shallow_clone(), |x, layer| self.activation.forward(&layer.forward(&x)))
    }

    /// What [`Self::hidden`] gave to unit vectors `[n, dim]`.
    pub(crate) fn project(&self, hidden: &Tensor) -> Tensor {
        let x = match self.layers.last() {
            Some(layer) => layer.forward(hidden),
            None => hidden.shallow_clone(),
        };
        match self.output {
            Output::Linear => unit(&x),
            Output::Relu => unit(&x.relu()),
        }
    }
}

/// Rows scaled to length 1. A zero row stays zero, which [`crate::Embedding`] refuses.
pub(crate) fn unit(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).clamp_min(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::config::Activation;

    #[test]
    fn layers_and_output_equal_the_sum_by_hand() {
        let weights = |pairs: [(&str, Tensor); 4]| {
            Weights(pairs.into_iter().map(|(name, t)| (name.to_string(), t)).collect())
        };
        let weights = weights([
            ("h.0.weight", Tensor::from_slice2(&[[1.0f32, 1.0], [1.0, -1.0]])),
            ("h.0.bias", Tensor::from_slice(&[0.0f32, -1.0])),
            ("h.1.weight", Tensor::from_slice2(&[[3.0f32, 0.0], [-4.0, 0.0]])),
            ("h.1.bias", Tensor::from_slice(&[0.0f32, 0.0])),
        ]);
        // Hidden: relu(1 + 0), relu(1 - 0 - 1) = 1, 0; last: 3, -4.
        for (output, expected) in [(Output::Linear, [0.6, -0.8]), (Output::Relu, [1.0, 0.0])] {
            let config = Head { hidden: vec![2], activation: Activation::Relu, output };
            let found = HeadLayers::new(Some(&config), &weights, "h")
                .forward(&Tensor::from_slice2(&[[1.0f32, 0.0]]));
            let found: Vec<f32> = Vec::try_from(found.view(-1)).unwrap();
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
                "{output:?}: {found:?}"
            );
        }
    }
}
