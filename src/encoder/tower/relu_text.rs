//! A small transformer over subwords. It differs from CLIP's text tower in four ways: attention is not causal,
//! padding is masked, the tokens are pooled (mean or max) instead of taking the last one, and the activation is
//! the configuration's, ReLU by default. With 0 blocks it is a bag of tokens.

use tch::Tensor;

use super::block::{Block, BlockShape, Norm, Sight};
use super::{Init, TensorSpec, Weights};
use crate::encoder::config::{Pooling, ReluText};

const NORM_EPS: f64 = 1e-5;

fn shape(config: &ReluText) -> BlockShape {
    let ReluText { width, heads, hidden, activation, .. } = *config;
    BlockShape { width, heads, hidden, activation, norm_eps: NORM_EPS }
}

pub(super) fn specs(config: &ReluText, prefix: &str) -> Vec<TensorSpec> {
    let width = config.width;
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
    for i in 0..config.blocks {
        specs.extend(Block::specs(&format!("{prefix}.block{i:02}"), shape(config)));
    }
    specs.extend(Norm::specs(&format!("{prefix}.norm"), width));
    specs
}

/// The tower's tensors.
pub(crate) struct ReluTextLayers {
    token: Tensor,
    position: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    pooling: Pooling,
}

impl ReluTextLayers {
    pub(super) fn new(config: &ReluText, weights: &Weights, prefix: &str) -> Self {
        let block = |i: i64| Block::new(weights, &format!("{prefix}.block{i:02}"), shape(config));
        Self {
            token: weights.tensor(&format!("{prefix}.token.weight")),
            position: weights.tensor(&format!("{prefix}.position.weight")),
            blocks: (0..config.blocks).map(block).collect(),
            norm: Norm::new(weights, &format!("{prefix}.norm"), NORM_EPS),
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
            x = block.forward(&x, &Sight::Marked(mask));
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
}
