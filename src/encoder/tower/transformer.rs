//! The text transformer of CLIP (arXiv 2103.00020 §2.4) and SigLIP (arXiv 2303.15343). The features of a text are those
//! of its last token: CLIP's is the end-of-text token, and as its attention is causal, what comes after it need
//! not be there at all; SigLIP fills every text up to its full length. CLIP's last projection is the head.

use tch::{Kind, Tensor};

use super::block::{Block, BlockShape, Norm, Sight};
use super::{Init, TensorSpec, Weights};
use crate::encoder::config::{TextSight, Transformer};

fn shape(config: &Transformer) -> BlockShape {
    let Transformer { width, heads, hidden, activation, norm_eps, .. } = *config;
    BlockShape { width, heads, hidden, activation, norm_eps }
}

pub(super) fn specs(config: &Transformer, prefix: &str) -> Vec<TensorSpec> {
    let Transformer { vocab, context, width, .. } = *config;
    let small = Init::Normal(0.02);
    let mut specs = vec![
        TensorSpec::new(format!("{prefix}.token.weight"), &[vocab, width], small),
        TensorSpec::new(format!("{prefix}.position.weight"), &[context, width], small),
    ];
    for i in 0..config.blocks {
        specs.extend(Block::specs(&format!("{prefix}.block{i:02}"), shape(config)));
    }
    specs.extend(Norm::specs(&format!("{prefix}.norm"), width));
    specs
}

/// The tower's tensors.
pub(crate) struct TransformerLayers {
    token: Tensor,
    position: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    sight: TextSight,
}

impl TransformerLayers {
    pub(super) fn new(config: &Transformer, weights: &Weights, prefix: &str) -> Self {
        let block = |i: i64| Block::new(weights, &format!("{prefix}.block{i:02}"), shape(config));
        Self {
            token: weights.tensor(&format!("{prefix}.token.weight")),
            position: weights.tensor(&format!("{prefix}.position.weight")),
            blocks: (0..config.blocks).map(block).collect(),
            norm: Norm::new(weights, &format!("{prefix}.norm"), config.norm_eps),
            sight: config.sight,
        }
    }

    /// Token ids `[n, length]` and which of them count (bool, `[n, length]`, from the first on) to features `[n, width]`.
    pub(super) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Tensor {
        let (n, length) = ids.size2().expect("ids are [n, length]");
        let sight = match self.sight {
            TextSight::Before => Sight::Before,
            TextSight::All => Sight::All,
        };
        let mut x = Tensor::embedding(&self.token, ids, -1, false, false); // [n, length, width]
        x += self.position.narrow(0, 0, length);
        for block in &self.blocks {
            x = block.forward(&x, &sight);
        }
        let last = mask.sum_dim_intlist([1i64].as_slice(), false, Kind::Int64) - 1; // [n]
        let rows = Tensor::arange(n, (Kind::Int64, ids.device()));
        self.norm.forward(&x.index(&[Some(rows), Some(last)])) // [n, width]
    }
}
