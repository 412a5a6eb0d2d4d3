//! The scan over codes: compares with every node that may answer by its coarse code, and rescores the best.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::best::Best;
use super::codes::{CodeView, CodedQuery};
use super::kernel::ROWS_AHEAD;
use super::node_set::NodeSet;
use crate::query::Neighbor;

/// Candidates that are rescored beside the k that are wanted.
///
/// With 30 the exact neighbours of 1,000 image and 1,000 text queries to 100,000 vectors were among them.
const MORE_CANDIDATES: usize = 30;

/// Rows that are compared at a time.
const ROWS_PER_BLOCK: usize = 256;

/// How many candidates are rescored for k neighbours.
pub(super) fn n_rescored(k: usize) -> usize {
    k + MORE_CANDIDATES + k / 2
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
    let mut candidates = Candidates::new(n_rescored(k));
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
    rescore(codes, query, candidates.into_nodes(), k)
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

    fn into_nodes(mut self) -> impl Iterator<Item = u32> {
        self.shrink();
        self.kept.into_iter().map(|(_, Reverse(node))| node)
    }
}
