//! MobileNetV2 (arXiv 1801.04381). It differs from torchvision's in three ways: batch norm is folded into the
//! convolutions, a stride-2 convolution pads only right and bottom (as TensorFlow's "same" does for even sides),
//! and there is no classifier.

use std::collections::VecDeque;

use tch::Tensor;

use super::{Init, TensorSpec, Weights};
use crate::encoder::config::{Activation, Mobilenet};

/// Convolutions of the longest block: expand, depthwise, project.
const MAX_BLOCK: usize = 3;

/// A convolution of the tower, in the order of the checkpoint: `PREFIX.convNN.weight`, `PREFIX.convNN.bias`.
struct Plan {
    n_in: i64,
    n_out: i64,
    kernel: i64,
    stride: i64,
    groups: i64,
    activated: bool,
    /// Adds the input of the block, which began so many convolutions ago.
    residual: Option<usize>,
}

/// The convolutions that a configuration calls for.
fn plan(config: &Mobilenet) -> Vec<Plan> {
    let conv = |n_in, n_out, kernel, stride, groups, activated| Plan {
        n_in,
        n_out,
        kernel,
        stride,
        groups,
        activated,
        residual: None,
    };
    let mut plan = vec![conv(3, config.stem, 3, 2, 1, true)];
    let mut channels = config.stem;
    for stage in &config.stages {
        for i in 0..stage.repeat {
            let stride = if i == 0 { stage.stride } else { 1 };
            let wide = channels * stage.expand;
            if stage.expand != 1 {
                plan.push(conv(channels, wide, 1, 1, 1, true));
            }
            plan.push(conv(wide, wide, 3, stride, wide, true));
            let n_convs = if stage.expand == 1 { 2 } else { 3 };
            let residual = (stride == 1 && channels == stage.channels).then_some(n_convs);
            plan.push(Plan { residual, ..conv(wide, stage.channels, 1, 1, 1, false) });
            channels = stage.channels;
        }
    }
    plan.push(conv(channels, config.features, 1, 1, 1, true));
    plan
}

pub(super) fn specs(config: &Mobilenet, prefix: &str) -> Vec<TensorSpec> {
    let spec = |(i, conv): (usize, Plan)| {
        let per_group = conv.n_in / conv.groups;
        let shape = [conv.n_out, per_group, conv.kernel, conv.kernel];
        let init = Init::he(per_group * conv.kernel * conv.kernel);
        [
            TensorSpec::new(format!("{prefix}.conv{i:02}.weight"), &shape, init),
            TensorSpec::new(format!("{prefix}.conv{i:02}.bias"), &[conv.n_out], Init::Zeros),
        ]
    };
    plan(config).into_iter().enumerate().flat_map(spec).collect()
}

struct Conv {
    weight: Tensor,
    bias: Tensor,
    plan: Plan,
}

/// The tower's tensors.
pub(crate) struct MobilenetLayers {
    convs: Vec<Conv>,
    activation: Activation,
}

impl MobilenetLayers {
    pub(super) fn new(config: &Mobilenet, weights: &Weights, prefix: &str) -> Self {
        let conv = |(i, plan): (usize, Plan)| Conv {
            weight: weights.tensor(&format!("{prefix}.conv{i:02}.weight")),
            bias: weights.tensor(&format!("{prefix}.conv{i:02}.bias")),
            plan,
        };
        let convs = plan(config).into_iter().enumerate().map(conv).collect();
        Self { convs, activation: config.activation }
    }

    /// Number of convolutions.
    pub(super) fn len(&self) -> usize {
        self.convs.len()
    }

    /// Whether the tower can be cut before convolution `at`: no residual connection reaches across.
    pub(super) fn can_cut(&self, at: usize) -> bool {
        let crosses =
            |(i, conv): (usize, &Conv)| conv.plan.residual.is_some_and(|back| i + 1 - back < at);
        at <= self.len() && !self.convs.iter().enumerate().skip(at).any(crosses)
    }

    /// Pixels `[n, 3, size, size]` to the maps `[n, channels, height, width]` before convolution `end`; after the
    /// last one to features `[n, features]`.
    pub(super) fn front(&self, pixels: &Tensor, end: usize) -> Tensor {
        self.pooled(self.run(pixels, 0, end), end)
    }

    /// What [`Self::front`] gave for `start` to features `[n, features]`.
    pub(super) fn back(&self, maps: &Tensor, start: usize) -> Tensor {
        match start == self.len() {
            true => maps.shallow_clone(),
            false => self.pooled(self.run(maps, start, self.len()), self.len()),
        }
    }

    fn pooled(&self, maps: Tensor, end: usize) -> Tensor {
        match end == self.len() {
            true => maps.mean_dim([2i64, 3].as_slice(), false, None),
            false => maps,
        }
    }

    /// Convolutions `start..end`.
    fn run(&self, x: &Tensor, start: usize, end: usize) -> Tensor {
        // The inputs of the convolutions of a block; older ones are given back at once, so that the next layer finds their
        // memory still in the cache.
        let mut inputs = VecDeque::from([x.shallow_clone()]);
        for conv in &self.convs[start..end] {
            let mut x = conv.forward(&inputs[inputs.len() - 1]); // [n, channels, height, width]
            if conv.plan.activated {
                x = self.activation.forward_in_place(x);
            }
            if let Some(back) = conv.plan.residual {
                x += &inputs[inputs.len() - back];
            }
            inputs.push_back(x);
            if inputs.len() > MAX_BLOCK {
                inputs.pop_front();
            }
        }
        inputs.pop_back().expect("it never becomes empty")
    }
}

impl Conv {
    fn forward(&self, x: &Tensor) -> Tensor {
        let Plan { kernel, stride, groups, .. } = self.plan;
        let padding = if kernel == 3 && stride == 1 { 1 } else { 0 };
        // Right and bottom only; libtorch's own padding is symmetric.
        let padded = if stride == 2 { x.constant_pad_nd([0, 1, 0, 1]) } else { x.shallow_clone() };
        padded.conv2d(
            &self.weight,
            Some(&self.bias),
            [stride, stride],
            [padding, padding],
            [1, 1],
            groups,
        )
    }
}
