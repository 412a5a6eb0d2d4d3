//! The parts that all transformers here share: layer norm, attention, and the pre-norm block of both.

use tch::Tensor;

use super::{Init, Linear, TensorSpec, Weights};
use crate::encoder::config::Activation;

/// Layer norm over the last dimension; tensors `NAME.weight`, `NAME.bias`.
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    pub(super) fn specs(name: &str, width: i64) -> [TensorSpec; 2] {
        [
            TensorSpec::new(format!("{name}.weight"), &[width], Init::Ones),
            TensorSpec::new(format!("{name}.bias"), &[width], Init::Zeros),
        ]
    }

    pub(super) fn new(weights: &Weights, name: &str, eps: f64) -> Self {
        Self {
            weight: weights.tensor(&format!("{name}.weight")),
            bias: weights.tensor(&format!("{name}.bias")),
            eps,
        }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, false)
    }
}

/// Which tokens a token may look at.
pub(super) enum Sight<'a> {
    /// All of them.
    All,
    /// Itself and those before it.
    Before,
    /// Those that are true in `[n, length]`.
    Marked(&'a Tensor),
}

/// Shape of a [`Block`].
#[derive(Clone, Copy)]
pub(super) struct BlockShape {
    pub(super) width: i64,
    pub(super) heads: i64,
    /// Width of the hidden layer.
    pub(super) hidden: i64,
    pub(super) activation: Activation,
    pub(super) norm_eps: f64,
}

/// Attention and a hidden layer, each after a norm and added to its input; tensors
/// `NAME.{attention_norm,qkv,attention_out,hidden_norm,hidden,hidden_out}`.
pub(super) struct Block {
    attention_norm: Norm,
    qkv: Linear,
    attention_out: Linear,
    hidden_norm: Norm,
    hidden: Linear,
    hidden_out: Linear,
    shape: BlockShape,
}

impl Block {
    pub(super) fn specs(name: &str, shape: BlockShape) -> Vec<TensorSpec> {
        let BlockShape { width, hidden, .. } = shape;
        let small = Init::Normal(0.5 / (width as f64).sqrt());
        let mut specs = Vec::new();
        specs.extend(Norm::specs(&format!("{name}.attention_norm"), width));
        specs.extend(Linear::specs(&format!("{name}.qkv"), width, 3 * width, small));
        specs.extend(Linear::specs(&format!("{name}.attention_out"), width, width, small));
        specs.extend(Norm::specs(&format!("{name}.hidden_norm"), width));
        specs.extend(Linear::specs(&format!("{name}.hidden"), width, hidden, Init::he(width)));
        specs.extend(Linear::specs(&format!("{name}.hidden_out"), hidden, width, small));
        specs
    }

    pub(super) fn new(weights: &Weights, name: &str, shape: BlockShape) -> Self {
        let part = |part: &str| format!("{name}.{part}");
        Self {
            attention_norm: Norm::new(weights, &part("attention_norm"), shape.norm_eps),
            qkv: Linear::new(weights, &part("qkv")),
            attention_out: Linear::new(weights, &part("attention_out")),
            hidden_norm: Norm::new(weights, &part("hidden_norm"), shape.norm_eps),
            hidden: Linear::new(weights, &part("hidden")),
            hidden_out: Linear::new(weights, &part("hidden_out")),
            shape,
        }
    }

    /// Tokens `[n, length, width]` to tokens of the same shape.
    pub(super) fn forward(&self, x: &Tensor, sight: &Sight) -> Tensor {
        let mut sum = self.attention(&self.attention_norm.forward(x), sight);
        sum += x;
        self.with_hidden(&sum)
    }

    /// The first token of what [`Self::forward`] gives with [`Sight::All`], `[n, 1, width]`: all that a last block needs to do for
    /// a class token, at a sixth of the work.
    pub(super) fn forward_first(&self, x: &Tensor) -> Tensor {
        let tokens = self.attention_norm.forward(x);
        let mixed =
            look_around(&tokens.narrow(1, 0, 1), &tokens, &self.qkv, self.shape.heads).unsqueeze(1);
        let mut sum = self.attention_out.forward(&mixed);
        sum += x.narrow(1, 0, 1);
        self.with_hidden(&sum)
    }

    fn with_hidden(&self, x: &Tensor) -> Tensor {
        let hidden = self.hidden.forward(&self.hidden_norm.forward(x)); // [n, length, hidden]
        let mut sum = self.hidden_out.forward(&self.shape.activation.forward(&hidden));
        sum += x;
        sum
    }

    fn attention(&self, x: &Tensor, sight: &Sight) -> Tensor {
        let (n, length, width) = x.size3().expect("tokens are [n, length, width]");
        let heads = self.shape.heads;
        let qkv = self.qkv.forward(x).view([n, length, 3, heads, width / heads]);
        let qkv = qkv.permute([2, 0, 3, 1, 4]); // [3, n, heads, length, width / heads]
        let mask = match sight {
            Sight::Marked(mask) => Some(mask.view([n, 1, 1, length])),
            Sight::All | Sight::Before => None,
        };
        let causal = matches!(sight, Sight::Before);
        let mixed = attend(&qkv.get(0), &qkv.get(1), &qkv.get(2), mask.as_ref(), causal);
        self.attention_out.forward(&mixed.transpose(1, 2).reshape([n, length, width]))
    }
}

/// `softmax(q k^T / √d) v`, all `[n, heads, length, d]`.
pub(super) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    causal: bool,
) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, mask, 0.0, causal, None, false)
}

/// One query a picture, `[n, 1, width]`, that looks at all tokens `[n, length, width]`; to `[n, width]`.
/// `qkv` is the packed projection of queries, keys and values, `[3 · width, width]`.
pub(super) fn look_around(query: &Tensor, tokens: &Tensor, qkv: &Linear, heads: i64) -> Tensor {
    let (n, _, width) = tokens.size3().expect("tokens are [n, length, width]");
    let project = |x: &Tensor, from: i64, parts: i64| {
        let weight = qkv.weight.narrow(0, from * width, parts * width);
        let bias = qkv.bias.narrow(0, from * width, parts * width);
        let rows = x.size()[1];
        x.linear(&weight, Some(&bias))
            .view([n, rows, parts, heads, width / heads])
            .permute([2, 0, 3, 1, 4]) // [parts, n, heads, rows, width / heads]
    };
    let q = project(query, 0, 1);
    let kv = project(tokens, 1, 2);
    let mixed = attend(&q.get(0), &kv.get(0), &kv.get(1), None, false); // [n, heads, 1, width / heads]
    mixed.transpose(1, 2).reshape([n, width])
}
