//! A small transformer over subwords. It differs from CLIP's text tower in four ways: attention is not causal,
//! padding is masked, the tokens are pooled (mean or max) instead of taking the last one, and the activation is
//! the configuration's, ReLU by default. With 0 blocks it is a bag of tokens.

use tch::Tensor;

use super::{Init, Linear, TensorSpec, Weights};
use crate::encoder::config::{Activation, Pooling, ReluText};

const NORM_EPS: f64 = 1e-5;

pub(super) fn specs(config: &ReluText, prefix: &str) -> Vec<TensorSpec> {
    let (width, hidden) = (config.width, config.hidden);
    let mut specs = vec![
        TensorSpec::new(
            format!("{prefix}.token.weight"),
            &[config.vocab, width],
            Init::Normal(0.1),
        ),
        TensorSpec::new(
            format!("{prefix}.position.weight"),
            &[config.context, width],
            Init::Normal(0.02),
        ),
    ];
    let small = Init::Normal(0.5 / (width as f64).sqrt());
    for i in 0..config.blocks {
        let block = format!("{prefix}.block{i:02}");
        specs.extend(Norm::specs(&format!("{block}.attention_norm"), width));
        specs.extend(Linear::specs(&format!("{block}.qkv"), width, 3 * width, small));
        specs.extend(Linear::specs(&format!("{block}.attention_out"), width, width, small));
        specs.extend(Norm::specs(&format!("{block}.hidden_norm"), width));
        specs.extend(Linear::specs(&format!("{block}.hidden"), width, hidden, Init::he(width)));
        specs.extend(Linear::specs(&format!("{block}.hidden_out"), hidden, width, small));
    }
    specs.extend(Norm::specs(&format!("{prefix}.norm"), width));
    specs
}

struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn specs(name: &str, width: i64) -> [TensorSpec; 2] {
        [
            TensorSpec::new(format!("{name}.weight"), &[width], Init::Ones),
            TensorSpec::new(format!("{name}.bias"), &[width], Init::Zeros),
        ]
    }

    fn new(weights: &Weights, name: &str) -> Self {
        Self {
            weight: weights.tensor(&format!("{name}.weight")),
            bias: weights.tensor(&format!("{name}.bias")),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), NORM_EPS, false)
    }
}

struct Block {
    attention_norm: Norm,
    qkv: Linear,
    attention_out: Linear,
    hidden_norm: Norm,
    hidden: Linear,
    hidden_out: Linear,
}

/// The tower's tensors.
pub(crate) struct ReluTextLayers {
    token: Tensor,
    position: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    heads: i64,
    activation: Activation,
    pooling: Pooling,
}

impl ReluTextLayers {
    pub(super) fn new(config: &ReluText, weights: &Weights, prefix: &str) -> Self {
        let block = |i: i64| {
            let name = |part: &str| format!("{prefix}.block{i:02}.{part}");
            Block {
                attention_norm: Norm::new(weights, &name("attention_norm")),
                qkv: Linear::new(weights, &name("qkv")),
                attention_out: Linear::new(weights, &name("attention_out")),
                hidden_norm: Norm::new(weights, &name("hidden_norm")),
                hidden: Linear::new(weights, &name("hidden")),
                hidden_out: Linear::new(weights, &name("hidden_out")),
            }
        };
        Self {
            token: weights.tensor(&format!("{prefix}.token.weight")),
            position: weights.tensor(&format!("{prefix}.position.weight")),
            blocks: (0..config.blocks).map(block).collect(),
            norm: Norm::new(weights, &format!("{prefix}.norm")),
            heads: config.heads,
            activation: config.activation,
            pooling: config.pooling,
        }
    }

    /// Token ids `[n, length]` and the mask of real tokens (bool, `[n, length]`, one at least in each row) to
    /// features `[n, width]`.
    pub(super) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Tensor {
        let length = ids.size()[1];
        let mut x = Tensor::embedding(&self.token, ids, -1, false, false); // [n, length, width]
        x += self.position.narrow(0, 0, length);
        for block in &self.blocks {
            x = &x + self.attention(block, &block.attention_norm.forward(&x), mask);
            let hidden = block.hidden.forward(&block.hidden_norm.forward(&x)); // [n, length, hidden]
            x = &x + block.hidden_out.forward(&self.activation.forward(&hidden));
        }
        let x = self.norm.forward(&x);
        let padding = mask.logical_not().unsqueeze(-1); // [n, length, 1]
        match self.pooling {
            Pooling::Mean => {
                let n_tokens = mask.sum_dim_intlist([1i64].as_slice(), true, x.kind()); // [n, 1]
                x.masked_fill(&padding, 0.0).sum_dim_intlist([1i64].as_slice(), false, None)
                    / n_tokens
            }
            Pooling::Max => {
                x.masked_fill(&padding, f64::NEG_INFINITY).amax([1i64].as_slice(), false)
            }
        }
    }

    fn attention(&self, block: &Block, x: &Tensor, mask: &Tensor) -> Tensor {
        let (n, length, width) = x.size3().expect("tokens are [n, length, width]");
        let qkv = block.qkv.forward(x).view([n, length, 3, self.heads, width / self.heads]);
        let qkv = qkv.permute([2, 0, 3, 1, 4]); // [3, n, heads, length, width / heads]
        let visible = mask.view([n, 1, 1, length]);
        let mixed = Tensor::scaled_dot_product_attention(
            &qkv.get(0),
            &qkv.get(1),
            &qkv.get(2),
            Some(&visible),
            0.0,
            false,
            None,
            false,
        );
        block.attention_out.forward(&mixed.transpose(1, 2).reshape([n, length, width]))
    }
}
