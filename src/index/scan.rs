//! The scan over codes: compares with every node that may answer by its coarse code, and rescores the best.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::best::Best;
use super::codes::{CodeView, CodedQuery};
use super::kernel::ROWS_AHEAD;
use super::node_set::NodeSet;
use crate::query::Neighbor;

/// The most candidates that are rescored beside the k that are wanted.
pub(super) const MORE_CANDIDATES: usize = 500;

/// Rows that are compared at a time.
const ROWS_PER_BLOCK: usize = 256;

/// Those of some candidates, best first by their coarse dot products, among which the best `k` are: the first `k`, and the
/// others that rounding alone may have put behind them. Of vectors that are clearly apart these are few, of a burst of
/// photos many.
pub(super) fn contenders(
    ranked: impl Iterator<Item = (i32, u32)>,
    k: usize,
    slack: i32,
) -> impl Iterator<Item = u32> {
    let mut least = i32::MIN;
    let worthy =
        ranked.take(k + MORE_CANDIDATES).enumerate().take_while(move |&(rank, (dot, _))| {
            if rank + 1 == k {
                least = dot.saturating_sub(slack);
            }
            dot >= least
        });
    worthy.map(|(_, (_, node))| node)
}

/// The `k` nodes nearest to the query, best first; their `key` is the node.
///
/// Costs one coarse dot product a node: about 40 ns for 512 dimensions out of memory.
pub(super) fn scan(
    codes: CodeView<'_>,
    query: &CodedQuery,
    k: usize,
    allowed: Option<&NodeSet>,
) -> Vec<Neighbor> {
    let mut candidates = Candidates::new(k + MORE_CANDIDATES);
    let mut dots = [0; ROWS_PER_BLOCK];
    match allowed {
        None => {
            let rows = codes.coarse.chunks_exact(codes.stride()).take(codes.len());
            for (node, row) in rows.enumerate() {
                candidates.offer(codes.kernel.dot(&query.coarse, row), node as u32);
            }
        }
        Some(allowed) => {
            let mut block = Vec::with_capacity(ROWS_PER_BLOCK);
            let mut nodes = allowed.iter().filter(|&node| (node as usize) < codes.len());
            loop {
                block.clear();
                block.extend(nodes.by_ref().take(ROWS_PER_BLOCK));
                if block.is_empty() {
                    break;
                }
                codes.kernel.dot_each(&query.coarse, codes.coarse, &block, &mut dots);
                block.iter().zip(dots).for_each(|(&node, dot)| candidates.offer(dot, node));
            }
        }
    }
    rescore(codes, query, contenders(candidates.into_ranked(), k, query.slack), k)
}

/// The same by both bytes of every node: slower, and misses nothing.
pub(super) fn scan_fine(
    codes: CodeView<'_>,
    query: &CodedQuery,
    k: usize,
    allowed: Option<&NodeSet>,
) -> Vec<Neighbor> {
    let all = 0..codes.len() as u32;
    match allowed {
        None => rescore(codes, query, all, k),
        Some(allowed) => rescore(codes, query, all.filter(|&node| allowed.contains(node)), k),
    }
}

/// The best `k` of some nodes by both of their bytes, best first, equal scores by node.
pub(super) fn rescore(
    codes: CodeView<'_>,
    query: &CodedQuery,
    nodes: impl IntoIterator<Item = u32>,
    k: usize,
) -> Vec<Neighbor> {
    let mut best = Best::new(k);
    let mut ahead = nodes.into_iter();
    // A few rows are on their way from memory while one is compared.
    let mut waiting: VecDeque<u32> = ahead.by_ref().take(ROWS_AHEAD).collect();
    waiting.iter().for_each(|&node| codes.expect(node));
    while let Some(node) = waiting.pop_front() {
        if let Some(next) = ahead.next() {
            codes.expect(next);
            waiting.push_back(next);
        }
        if let Some(score) = codes.score(query, node) {
            best.offer(Neighbor { key: u64::from(node), score });
        }
    }
    best.into_sorted()
}

/// The best nodes so far by their coarse dot products, in no order.
struct Candidates {
    capacity: usize,
    /// Up to twice the capacity: the worse half is dropped at once.
    kept: Vec<(i32, Reverse<u32>)>,
    /// What a dot product must exceed.
    least: i32,
}

impl Candidates {
    fn new(capacity: usize) -> Self {
        Self { capacity, kept: Vec::with_capacity(2 * capacity), least: i32::MIN }
    }

    fn offer(&mut self, dot: i32, node: u32) {
        if dot < self.least {
            return;
        }
        self.kept.push((dot, Reverse(node)));
        if self.kept.len() == 2 * self.capacity {
            self.shrink();
            self.least = self.kept[self.capacity - 1].0;
        }
    }

    fn shrink(&mut self) {
        if self.kept.len() > self.capacity {
            self.kept.select_nth_unstable_by(self.capacity - 1, |a, b| b.cmp(a));
            self.kept.truncate(self.capacity);
        }
    }

    /// Best first.
    fn into_ranked(mut self) -> impl Iterator<Item = (i32, u32)> {
        self.shrink();
        self.kept.sort_unstable_by(|a, b| b.cmp(a));
        self.kept.into_iter().map(|(dot, Reverse(node))| (dot, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rounding_may_have_swapped_contends() {
        let ranked = [(90, 5), (80, 1), (79, 9), (71, 2), (70, 3), (69, 4), (80, 8)];
        let contenders = |k, slack| contenders(ranked.into_iter(), k, slack).collect::<Vec<_>>();
        assert_eq!(contenders(2, 10), [5, 1, 9, 2, 3]);
        assert_eq!(contenders(2, 0), [5, 1]);
        assert_eq!(contenders(1, 5), [5]);
        assert_eq!(contenders(9, 0).len(), 7);
        assert_eq!(contenders(2, i32::MAX).len(), 7);
    }

    /// A burst: more vectors that differ by less than a coarse step than there are neighbours wanted.
    #[test]
    fn a_burst_is_ranked_by_its_fine_codes() {
        use crate::index::codes::{Codes, Quantizer};
        let unit = |angle: f32| [angle.cos(), angle.sin()];
        let mut vectors: Vec<f32> = (0..300).flat_map(|i| unit(0.5 + i as f32 * 1e-5)).collect();
        vectors.extend((0..50).flat_map(|i| unit(i as f32 * 0.12)));
        let mut codes = Codes::new(Quantizer::fit(&vectors, 2), 350);
        vectors.chunks_exact(2).for_each(|vector| codes.push(vector));
        let query = codes.view().query(&unit(0.6));
        let found = scan(codes.view(), &query, 10, None);
        // Angles grow with the node, and 0.6 lies behind all of the burst; the fine steps are some 3e-5.
        assert!(
            found.iter().filter(|found| found.key >= 280 && found.key < 300).count() >= 9,
            "{found:?}"
        );
    }
}
