//! Vision transformer (arXiv 2010.11929). It differs from the paper's in two ways: the patches may be normalised before
//! the first block (CLIP, arXiv 2103.00020), and instead of a class token an attention layer with one learned query may
//! pool the patches (SigLIP, arXiv 2303.15343; "MAP", arXiv 2106.04560). CLIP's last projection is the head.

use tch::Tensor;

use super::block::{Block, BlockShape, Norm, Sight, look_around};
use super::{Init, Linear, TensorSpec, Weights};
use crate::encoder::config::{Activation, Vit, VitPooling};

/// Tokens of a square picture of `size` pixels.
fn n_tokens(config: &Vit, size: i64) -> i64 {
    let side = size / config.patch;
    side * side + i64::from(config.pooling == VitPooling::Class)
}

fn shape(config: &Vit) -> BlockShape {
    let Vit { width, heads, hidden, activation, norm_eps, .. } = *config;
    BlockShape { width, heads, hidden, activation, norm_eps }
}

pub(super) fn specs(config: &Vit, size: i64, prefix: &str) -> Vec<TensorSpec> {
    let Vit { width, patch, hidden, .. } = *config;
    let named = |name: &str| format!("{prefix}.{name}");
    let small = Init::Normal(0.02);
    let mut specs = vec![
        TensorSpec::new(named("patch.weight"), &[width, 3, patch, patch], small),
        TensorSpec::new(named("position"), &[n_tokens(config, size), width], small),
    ];
    if config.patch_bias {
        specs.push(TensorSpec::new(named("patch.bias"), &[width], Init::Zeros));
    }
    if config.pre_norm {
        specs.extend(Norm::specs(&named("pre_norm"), width));
    }
    for i in 0..config.blocks {
        specs.extend(Block::specs(&named(&format!("block{i:02}")), shape(config)));
    }
    specs.extend(Norm::specs(&named("norm"), width));
    match config.pooling {
        VitPooling::Class => specs.push(TensorSpec::new(named("class"), &[width], small)),
        VitPooling::Attention => {
            specs.push(TensorSpec::new(named("pool.query"), &[width], small));
            specs.extend(Linear::specs(&named("pool.qkv"), width, 3 * width, small));
            specs.extend(Linear::specs(&named("pool.out"), width, width, small));
            specs.extend(Norm::specs(&named("pool.norm"), width));
            specs.extend(Linear::specs(&named("pool.hidden"), width, hidden, Init::he(width)));
            specs.extend(Linear::specs(&named("pool.hidden_out"), hidden, width, small));
        }
    }
    specs
}

/// The tower's tensors.
pub(crate) struct VitLayers {
    patch_weight: Tensor,
    patch_bias: Option<Tensor>,
    patch: i64,
    position: Tensor,
    pre_norm: Option<Norm>,
    blocks: Vec<Block>,
    norm: Norm,
    pool: Pool,
}

enum Pool {
    Class(Tensor),
    Attention(Box<AttentionPool>),
}

struct AttentionPool {
    query: Tensor,
    qkv: Linear,
    out: Linear,
    norm: Norm,
    hidden: Linear,
    hidden_out: Linear,
    heads: i64,
    activation: Activation,
}

impl VitLayers {
    pub(super) fn new(config: &Vit, weights: &Weights, prefix: &str) -> Self {
        let named = |name: &str| format!("{prefix}.{name}");
        let norm = |name: &str| Norm::new(weights, &named(name), config.norm_eps);
        let linear = |name: &str| Linear::new(weights, &named(name));
        let block = |i: i64| Block::new(weights, &named(&format!("block{i:02}")), shape(config));
        let pool = match config.pooling {
            VitPooling::Class => Pool::Class(weights.tensor(&named("class"))),
            VitPooling::Attention => Pool::Attention(Box::new(AttentionPool {
                query: weights.tensor(&named("pool.query")),
                qkv: linear("pool.qkv"),
                out: linear("pool.out"),
                norm: norm("pool.norm"),
                hidden: linear("pool.hidden"),
                hidden_out: linear("pool.hidden_out"),
                heads: config.heads,
                activation: config.activation,
            })),
        };
        Self {
            patch_weight: weights.tensor(&named("patch.weight")),
            patch_bias: config.patch_bias.then(|| weights.tensor(&named("patch.bias"))),
            patch: config.patch,
            position: weights.tensor(&named("position")),
            pre_norm: config.pre_norm.then(|| norm("pre_norm")),
            blocks: (0..config.blocks).map(block).collect(),
            norm: norm("norm"),
            pool,
        }
    }

    /// The patches, each block, and the pooling.
    pub(super) fn len(&self) -> usize {
        self.blocks.len() + 2
    }

    /// Pixels `[n, 3, size, size]` to what layer `end` gets; after the last one to features `[n, width]`.
    pub(super) fn front(&self, pixels: &Tensor, end: usize) -> Tensor {
        self.run(pixels, 0, end)
    }

    /// What [`Self::front`] gave for `start` to features `[n, width]`.
    pub(super) fn back(&self, tokens: &Tensor, start: usize) -> Tensor {
        self.run(tokens, start, self.len())
    }

    fn run(&self, x: &Tensor, start: usize, end: usize) -> Tensor {
        let mut x = x.shallow_clone();
        // Of the last block's tokens the pooling takes the class token alone.
        let class_only = matches!(self.pool, Pool::Class(_)) && end == self.len();
        for layer in start..end {
            x = match layer {
                0 => self.patches(&x),
                layer if layer == self.blocks.len() && class_only => {
                    self.blocks[layer - 1].forward_first(&x)
                }
                layer if layer <= self.blocks.len() => {
                    self.blocks[layer - 1].forward(&x, &Sight::All)
                }
                _ => self.pooled(&x),
            };
        }
        x
    }

    fn patches(&self, pixels: &Tensor) -> Tensor {
        let maps = pixels.conv2d(
            &self.patch_weight,
            self.patch_bias.as_ref(),
            [self.patch, self.patch],
            [0, 0],
            [1, 1],
            1,
        );
        let mut tokens = maps.flatten(2, 3).transpose(1, 2); // [n, patches, width]
        if let Pool::Class(class) = &self.pool {
            let class = class.view([1, 1, -1]).expand([tokens.size()[0], 1, -1], false);
            tokens = Tensor::cat(&[class, tokens], 1);
        }
        let tokens = tokens + &self.position;
        match &self.pre_norm {
            Some(norm) => norm.forward(&tokens),
            None => tokens,
        }
    }

    /// The norm is a token's own, so only the class token needs it.
    fn pooled(&self, tokens: &Tensor) -> Tensor {
        match &self.pool {
            Pool::Class(_) => self.norm.forward(&tokens.select(1, 0)),
            Pool::Attention(pool) => pool.forward(&self.norm.forward(tokens)),
        }
    }
}

impl AttentionPool {
    fn forward(&self, tokens: &Tensor) -> Tensor {
        let query = self.query.view([1, 1, -1]).expand([tokens.size()[0], 1, -1], false);
        let x = self.out.forward(&look_around(&query, tokens, &self.qkv, self.heads));
        let hidden = self.activation.forward(&self.hidden.forward(&self.norm.forward(&x)));
        x + self.hidden_out.forward(&hidden)
    }
}
