//! Vectors as int8 codes: a coarse byte for each component to walk and scan by, and a fine byte to rescore by.
//!
//! A component is `mean + scale · (coarse + fine / 254)`, with one scale for all and the mean of each component
//! taken off first. The two bytes together are as fine as f16 near zero, and the coarse ones lie side by side,
//! so that a walk reads half of what f16 would cost it.

use super::kernel::{Kernel, LANES};

/// Steps of the fine byte in one step of the coarse one.
const FINE_STEPS: f32 = 254.0;

/// The share of components that count as extreme. The range of the codes is the largest component, but no more
/// than twice what all others stay within: what lies beyond is cut off.
const EXTREME: f64 = 1e-4;

/// How numbers become codes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantizer {
    pub(super) mean: Vec<f32>,
    /// What a coarse step is worth.
    pub(super) scale: f32,
}

impl Quantizer {
    /// Fits mean and scale to a sample of vectors, `dim` values each.
    pub(super) fn fit(sample: &[f32], dim: usize) -> Self {
        let n = (sample.len() / dim.max(1)).max(1) as f64;
        let mut sums = vec![0.0f64; dim];
        for vector in sample.chunks_exact(dim) {
            sums.iter_mut().zip(vector).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / n) as f32).collect();
        let mut sizes: Vec<f32> = (sample.chunks_exact(dim))
            .flat_map(|vector| vector.iter().zip(&mean).map(|(value, mean)| (value - mean).abs()))
            .collect();
        let n_extreme = (sizes.len() as f64 * EXTREME) as usize;
        let rank = sizes.len().saturating_sub(1 + n_extreme);
        let largest = match sizes.is_empty() {
            true => 0.0,
            false => {
                let (_, &mut usual, extreme) = sizes.select_nth_unstable_by(rank, f32::total_cmp);
                extreme.iter().fold(usual, |largest, size| largest.max(*size)).min(2.0 * usual)
            }
        };
        // A sample of equal vectors has no range: any will do.
        let scale = if largest > 1e-6 { largest / 127.0 } else { 1.0 / 127.0 };
        Self { mean, scale }
    }
}

/// Codes that are being collected.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    pub(super) quantizer: Quantizer,
    pub(super) coarse: Vec<i8>,
    pub(super) fine: Vec<i8>,
}

impl Codes {
    pub(super) fn new(quantizer: Quantizer, n_expected: usize) -> Self {
        let n_bytes = n_expected * stride(quantizer.mean.len());
        Self { quantizer, coarse: Vec::with_capacity(n_bytes), fine: Vec::with_capacity(n_bytes) }
    }

    /// Adds a vector of the quantizer's dimension.
    pub(super) fn push(&mut self, vector: &[f32]) {
        let Quantizer { mean, scale } = &self.quantizer;
        let end = self.coarse.len() + stride(mean.len());
        for (value, mean) in vector.iter().zip(mean) {
            let (coarse, fine) = codes_of(*value, *mean, *scale);
            self.coarse.push(coarse);
            self.fine.push(fine);
        }
        self.coarse.resize(end, 0);
        self.fine.resize(end, 0);
    }

    /// Puts the codes of `order[i]` at place i; every node has one place.
    pub(super) fn reorder(&mut self, order: &[u32]) {
        let stride = stride(self.quantizer.mean.len());
        for codes in [&mut self.coarse, &mut self.fine] {
            let row = |&node: &u32| &codes[node as usize * stride..][..stride];
            *codes = order.iter().flat_map(row).copied().collect();
        }
    }

    pub(super) fn view(&self) -> CodeView<'_> {
        let Self { quantizer: Quantizer { mean, scale }, coarse, fine } = self;
        CodeView::new(mean, *scale, coarse, fine)
    }
}

/// The coarse and the fine code of a component.
fn codes_of(value: f32, mean: f32, scale: f32) -> (i8, i8) {
    let steps = (value - mean) / scale;
    let coarse = steps.round().clamp(-127.0, 127.0);
    (coarse as i8, ((steps - coarse) * FINE_STEPS).round().clamp(-127.0, 127.0) as i8)
}

/// Bytes of a row of codes.
pub(super) fn stride(dim: usize) -> usize {
    dim.next_multiple_of(LANES)
}

/// Codes to compare with, wherever they lie.
#[derive(Clone, Copy)]
pub(super) struct CodeView<'a> {
    mean: &'a [f32],
    scale: f32,
    stride: usize,
    n_nodes: usize,
    pub(super) coarse: &'a [i8],
    fine: &'a [i8],
    pub(super) kernel: Kernel,
}

impl<'a> CodeView<'a> {
    /// Codes of as many nodes as there are whole rows in both lists.
    pub(super) fn new(mean: &'a [f32], scale: f32, coarse: &'a [i8], fine: &'a [i8]) -> Self {
        let stride = stride(mean.len()).max(LANES);
        let n_nodes = coarse.len().min(fine.len()) / stride;
        Self { mean, scale, stride, n_nodes, coarse, fine, kernel: Kernel::detect() }
    }

    pub(super) fn len(&self) -> usize {
        self.n_nodes
    }

    pub(super) fn dim(&self) -> usize {
        self.mean.len()
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// A query as these codes are compared with it; it has their dimension.
    pub(super) fn query(&self, query: &[f32]) -> CodedQuery {
        let largest = query.iter().fold(1e-12f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        let mut coarse: Vec<i8> =
            query.iter().map(|value| (value / scale).round().clamp(-127.0, 127.0) as i8).collect();
        coarse.resize(self.stride, 0);
        let mut exact = query.to_vec();
        exact.resize(self.stride, 0.0);
        let offset = query.iter().zip(self.mean).map(|(value, mean)| value * mean).sum();
        let square = coarse.iter().map(|&code| f32::from(code).powi(2)).sum::<f32>();
        // Both sides round by half a step at most, a deviation of √(1/12) for each component.
        let slack = 4.0 * (square * 2.0 / 12.0).sqrt();
        CodedQuery { coarse, exact, offset, slack: slack as i32 }
    }

    /// A node's vector, as far as its coarse codes tell it.
    pub(super) fn vector(&self, node: u32) -> Vec<f32> {
        let codes = self.row(node).iter().zip(self.mean);
        codes.map(|(&code, mean)| mean + self.scale * f32::from(code)).collect()
    }

    /// A node as a query for its neighbours.
    pub(super) fn query_of(&self, node: u32) -> Vec<i8> {
        self.query(&self.vector(node)).coarse
    }

    /// Some of these rows as codes of their own, without fine bytes.
    pub(super) fn of_rows<'b>(&self, coarse: &'b [i8]) -> CodeView<'b>
    where
        'a: 'b,
    {
        let Self { mean, scale, stride, kernel, .. } = *self;
        CodeView { mean, scale, stride, n_nodes: coarse.len() / stride, coarse, fine: &[], kernel }
    }

    /// Four deviations of the score of a unit query, whose components err by up to half a fine step each.
    pub(super) fn rounding(&self) -> f32 {
        4.0 * self.scale / FINE_STEPS / 12f32.sqrt()
    }

    /// The coarse codes of a node.
    pub(super) fn row(&self, node: u32) -> &'a [i8] {
        let start = node as usize * self.stride;
        &self.coarse[start..start + self.stride]
    }

    /// Whether the codes of a node are those that this vector would get.
    pub(super) fn is_of(&self, node: u32, vector: &[f32]) -> bool {
        let start = node as usize * self.stride;
        let (coarse, fine) = (self.coarse.get(start..), self.fine.get(start..));
        let (Some(coarse), Some(fine)) = (coarse, fine) else { return false };
        let values = vector.iter().zip(self.mean).zip(coarse.iter().zip(fine));
        vector.len() == self.mean.len()
            && coarse.len().min(fine.len()) >= self.stride
            && values.into_iter().all(|((value, mean), (&coarse, &fine))| {
                codes_of(*value, *mean, self.scale) == (coarse, fine)
            })
    }

    /// Asks for the fine codes of a node, which a walk has not touched.
    #[inline]
    pub(super) fn expect(&self, node: u32) {
        let start = node as usize * self.stride;
        if let Some(row) = self.fine.get(start..start + self.stride) {
            self.kernel.prefetch(row);
        }
    }

    /// The score of a node by both of its bytes; `None` if there is no such node or it is no number.
    pub(super) fn score(&self, query: &CodedQuery, node: u32) -> Option<f32> {
        let start = node as usize * self.stride;
        let coarse = self.coarse.get(start..start + self.stride)?;
        let fine = self.fine.get(start..start + self.stride)?;
        let steps = self.kernel.dot_f32(&query.exact, coarse)
            + self.kernel.dot_f32(&query.exact, fine) / FINE_STEPS;
        let score = query.offset + self.scale * steps;
        score.is_finite().then(|| score.clamp(-1.0, 1.0))
    }
}

/// A query in the forms that it is compared in.
pub(super) struct CodedQuery {
    /// For the walk: in steps of its own scale, which does not change an order.
    pub(super) coarse: Vec<i8>,
    exact: Vec<f32>,
    /// Its product with the mean.
    offset: f32,
    /// How far two coarse dot products may be apart while rounding alone decides their order: four deviations.
    pub(super) slack: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::dot;
    use crate::index::testing::Nodes;

    #[test]
    fn scores_are_those_of_the_vectors() {
        for dim in [1, 31, 32, 100] {
            let nodes = Nodes::clustered(300, dim, 20, 1);
            let queries = Nodes::clustered(20, dim, 20, 2);
            let codes = nodes.codes();
            let view = codes.view();
            assert_eq!(
                (view.len(), view.dim(), view.stride()),
                (300, dim, dim.next_multiple_of(32))
            );
            for query in queries.vectors.chunks_exact(dim) {
                let coded = view.query(query);
                for node in 0..300 {
                    let exact = dot(query, nodes.vector(node));
                    let score = view.score(&coded, node as u32).unwrap();
                    assert!(
                        (score - exact).abs() < 2e-3,
                        "{score} for {exact} in {dim} dimensions"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_not_there_has_no_score() {
        let nodes = Nodes::clustered(3, 8, 1, 1);
        let codes = nodes.codes();
        let view = codes.view();
        let query = view.query(nodes.vector(0));
        assert!(view.score(&query, 2).unwrap() > 0.0);
        assert_eq!(view.score(&query, 3), None);
        assert_eq!(view.score(&query, u32::MAX), None);
        let mut damaged = codes.clone();
        damaged.quantizer.scale = f32::NAN;
        assert_eq!(damaged.view().score(&query, 0), None);
    }

    #[test]
    fn equal_vectors_and_no_vectors_have_codes_too() {
        let nodes = Nodes { keys: vec![1; 5], vectors: [[0.6f32, 0.8]; 5].concat(), dim: 2 };
        let equal = nodes.codes();
        let query = equal.view().query(&[1.0, 0.0]);
        assert!((equal.view().score(&query, 4).unwrap() - 0.6).abs() < 1e-4);
        assert_eq!(Quantizer::fit(&[], 3).mean, [0.0; 3]);
    }
}
