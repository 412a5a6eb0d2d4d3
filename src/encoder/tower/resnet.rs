//! CLIP's ResNet (arXiv 2103.00020 §2.4; OpenAI's `ModifiedResNet`). It differs from torchvision's in three ways: a stem of
//! three convolutions, average pooling in place of strides (also in the shortcut), and attention with the mean as
//! its query in place of the last pooling. Batch norms are folded in; the last projection is the head.

use tch::Tensor;

use super::block::look_around;
use super::{Init, Linear, TensorSpec, Weights};
use crate::encoder::config::{Activation, Resnet};

/// How many times wider a block's output is than its middle.
const EXPANSION: i64 = 4;
/// The tower halves the sides five times.
pub(crate) const REDUCTION: i64 = 32;

/// A bottleneck block.
struct Plan {
    n_in: i64,
    middle: i64,
    stride: i64,
}

impl Plan {
    fn n_out(&self) -> i64 {
        self.middle * EXPANSION
    }

    fn has_shortcut(&self) -> bool {
        self.stride > 1 || self.n_in != self.n_out()
    }
}

fn plan(config: &Resnet) -> Vec<Plan> {
    let mut plan = Vec::new();
    let mut n_in = config.width;
    for (i, &repeat) in config.stages.iter().enumerate() {
        let middle = config.width << i;
        for k in 0..repeat {
            let stride = if i > 0 && k == 0 { 2 } else { 1 };
            plan.push(Plan { n_in, middle, stride });
            n_in = middle * EXPANSION;
        }
    }
    plan
}

pub(super) fn specs(config: &Resnet, size: i64, prefix: &str) -> Vec<TensorSpec> {
    let conv = |name: String, n_in: i64, n_out: i64, kernel: i64| {
        [
            TensorSpec::new(
                format!("{prefix}.{name}.weight"),
                &[n_out, n_in, kernel, kernel],
                Init::he(n_in * kernel * kernel),
            ),
            TensorSpec::new(format!("{prefix}.{name}.bias"), &[n_out], Init::Zeros),
        ]
    };
    let width = config.width;
    let mut specs = Vec::new();
    specs.extend(conv("stem0".into(), 3, width / 2, 3));
    specs.extend(conv("stem1".into(), width / 2, width / 2, 3));
    specs.extend(conv("stem2".into(), width / 2, width, 3));
    for (i, block) in plan(config).iter().enumerate() {
        let name = |part: &str| format!("block{i:02}.{part}");
        specs.extend(conv(name("reduce"), block.n_in, block.middle, 1));
        specs.extend(conv(name("conv"), block.middle, block.middle, 3));
        specs.extend(conv(name("expand"), block.middle, block.n_out(), 1));
        if block.has_shortcut() {
            specs.extend(conv(name("shortcut"), block.n_in, block.n_out(), 1));
        }
    }
    let features = config.features();
    let side = size / REDUCTION;
    let small = Init::Normal(1.0 / (features as f64).sqrt());
    specs.push(TensorSpec::new(
        format!("{prefix}.pool.position"),
        &[side * side + 1, features],
        small,
    ));
    specs.extend(Linear::specs(&format!("{prefix}.pool.qkv"), features, 3 * features, small));
    specs
}

struct Conv {
    weight: Tensor,
    bias: Tensor,
}

struct Block {
    reduce: Conv,
    conv: Conv,
    expand: Conv,
    shortcut: Option<Conv>,
    stride: i64,
}

/// The tower's tensors.
pub(crate) struct ResnetLayers {
    stem: [Conv; 3],
    blocks: Vec<Block>,
    position: Tensor,
    qkv: Linear,
    heads: i64,
    activation: Activation,
}

impl ResnetLayers {
    pub(super) fn new(config: &Resnet, weights: &Weights, prefix: &str) -> Self {
        let conv = |name: &str| Conv {
            weight: weights.tensor(&format!("{prefix}.{name}.weight")),
            bias: weights.tensor(&format!("{prefix}.{name}.bias")),
        };
        let block = |(i, plan): (usize, Plan)| {
            let part = |part: &str| conv(&format!("block{i:02}.{part}"));
            Block {
                reduce: part("reduce"),
                conv: part("conv"),
                expand: part("expand"),
                shortcut: plan.has_shortcut().then(|| part("shortcut")),
                stride: plan.stride,
            }
        };
        Self {
            stem: ["stem0", "stem1", "stem2"].map(conv),
            blocks: plan(config).into_iter().enumerate().map(block).collect(),
            position: weights.tensor(&format!("{prefix}.pool.position")),
            qkv: Linear::new(weights, &format!("{prefix}.pool.qkv")),
            heads: config.heads,
            activation: config.activation,
        }
    }

    /// The stem, each block, and the pooling.
    pub(super) fn len(&self) -> usize {
        self.blocks.len() + 2
    }

    /// Pixels `[n, 3, size, size]` to what layer `end` gets; after the last one to features `[n, features]`.
    pub(super) fn front(&self, pixels: &Tensor, end: usize) -> Tensor {
        self.run(pixels, 0, end)
    }

    /// What [`Self::front`] gave for `start` to features `[n, features]`.
    pub(super) fn back(&self, maps: &Tensor, start: usize) -> Tensor {
        self.run(maps, start, self.len())
    }

    fn run(&self, x: &Tensor, start: usize, end: usize) -> Tensor {
        let mut x = x.shallow_clone();
        for layer in start..end {
            x = match layer {
                0 => self.stem(&x),
                layer if layer <= self.blocks.len() => {
                    self.blocks[layer - 1].forward(&x, self.activation)
                }
                _ => self.pooled(&x),
            };
        }
        x
    }

    fn stem(&self, pixels: &Tensor) -> Tensor {
        let [first, second, third] = &self.stem;
        let act = |x: Tensor| self.activation.forward_in_place(x);
        let x = act(first.forward(pixels, 2));
        let x = act(second.forward(&x, 1));
        halved(&act(third.forward(&x, 1)), 2)
    }

    fn pooled(&self, maps: &Tensor) -> Tensor {
        let tokens = maps.flatten(2, 3).transpose(1, 2); // [n, height · width, features]
        let mean = tokens.mean_dim([1i64].as_slice(), true, None);
        let tokens = Tensor::cat(&[mean, tokens], 1) + &self.position;
        look_around(&tokens.narrow(1, 0, 1), &tokens, &self.qkv, self.heads)
    }
}

impl Conv {
    fn forward(&self, x: &Tensor, stride: i64) -> Tensor {
        let padding = self.weight.size()[2] / 2;
        x.conv2d(&self.weight, Some(&self.bias), [stride, stride], [padding, padding], [1, 1], 1)
    }
}

impl Block {
    fn forward(&self, x: &Tensor, activation: Activation) -> Tensor {
        let act = |x: Tensor| activation.forward_in_place(x);
        let y = act(self.reduce.forward(x, 1));
        let y = halved(&act(self.conv.forward(&y, 1)), self.stride);
        let mut y = self.expand.forward(&y, 1);
        match &self.shortcut {
            Some(shortcut) => y += shortcut.forward(&halved(x, self.stride), 1),
            None => y += x,
        }
        act(y)
    }
}

/// Means of `by × by` pixels.
fn halved(x: &Tensor, by: i64) -> Tensor {
    match by {
        1 => x.shallow_clone(),
        by => x.avg_pool2d([by, by], [by, by], [0, 0], false, true, None::<i64>),
    }
}
