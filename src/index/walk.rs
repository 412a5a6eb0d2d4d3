//! Searching a frozen graph: greedy descent through the upper layers, then a beam over layer 0.
//!
//! Links and codes may come from a file whose bulk sections were not hashed, so every node is bounds-checked:
//! damaged bytes can cost a neighbour, never more. Nothing is allocated once a [`Scratch`] has grown.

use super::codes::CodeView;
use super::graph::{EMPTY, Upper};

/// A graph and the codes that it links.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub(super) codes: CodeView<'a>,
    pub(super) width: usize,
    pub(super) layer0: &'a [u32],
    pub(super) upper: &'a Upper,
    pub(super) orphans: &'a [u32],
}

/// Memory of a walk, kept for the next one.
#[derive(Default)]
pub(super) struct Scratch {
    seen: Seen,
    /// The best so far, best first.
    pool: Vec<Candidate>,
    /// Links of the node at hand that were not met before.
    fresh: Vec<u32>,
    dots: Vec<i32>,
}

impl Scratch {
    /// What the last walk found: nodes, best first by their coarse codes.
    pub(super) fn found(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranked().map(|(_, node)| node)
    }

    /// The same with their dot products.
    pub(super) fn ranked(&self) -> impl Iterator<Item = (i32, u32)> + '_ {
        self.pool.iter().map(|candidate| (candidate.dot(), candidate.node()))
    }
}

/// A node and its rank, in one number that is greater for a better node: the dot product, then the smaller
/// node; the lowest bit says that its links were not followed yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(u64);

impl Candidate {
    const OPEN: u64 = 1;

    fn new(dot: i32, node: u32) -> Self {
        let rank = u64::from(dot.cast_unsigned() ^ (1 << 31));
        Self(rank << 32 | u64::from(u32::MAX / 2 - node) << 1 | Self::OPEN)
    }

    fn dot(self) -> i32 {
        ((self.0 >> 32) as u32 ^ (1 << 31)).cast_signed()
    }

    fn node(self) -> u32 {
        u32::MAX / 2 - (self.0 as u32 >> 1)
    }

    fn is_open(self) -> bool {
        self.0 & Self::OPEN != 0
    }
}

impl Walk<'_> {
    /// Finds about the `ef` nodes whose codes have the largest dot products with `query`, see
    /// [`Scratch::found`].
    ///
    /// Costs about `ef` times the links of a row in dot products, 15 ns each for 512 dimensions in cache.
    pub(super) fn nearest(&self, query: &[i8], ef: usize, scratch: &mut Scratch) {
        self.nearest_but(query, ef, EMPTY, scratch);
    }

    /// The same as if one node were not there, which is a node of layer 0 only.
    pub(super) fn nearest_but(&self, query: &[i8], ef: usize, hidden: u32, scratch: &mut Scratch) {
        scratch.seen.begin(self.codes.len());
        scratch.seen.insert(hidden);
        scratch.pool.clear();
        let entry = self.descend(query, scratch);
        self.compare(query, ef, &[entry], scratch);
        let mut next = 0;
        while let Some(candidate) = scratch.pool.get_mut(next) {
            if !candidate.is_open() {
                next += 1;
                continue;
            }
            candidate.0 &= !Candidate::OPEN;
            let node = candidate.node();
            if let Some(ahead) = scratch.pool.get(next + 1) {
                self.codes.kernel.prefetch(self.row(ahead.node()));
            }
            next = next.min(self.compare(query, ef, self.row(node), scratch));
        }
        self.compare(query, ef, self.orphans, scratch);
    }

    /// Adds those of `nodes` that are good enough, and gives the best place that one of them took.
    fn compare(&self, query: &[i8], ef: usize, nodes: &[u32], scratch: &mut Scratch) -> usize {
        let Scratch { seen, pool, fresh, dots } = scratch;
        fresh.clear();
        fresh.extend(
            nodes
                .iter()
                .copied()
                .take_while(|&node| node != EMPTY)
                .filter(|&node| seen.insert(node)),
        );
        if dots.len() < fresh.len() {
            dots.resize(fresh.len(), 0);
        }
        self.codes.kernel.dot_each(query, self.codes.coarse, fresh, dots);
        let mut best_place = usize::MAX;
        for (&node, &dot) in fresh.iter().zip(&*dots) {
            let candidate = Candidate::new(dot, node);
            if pool.len() == ef {
                if pool.last().is_none_or(|worst| candidate < *worst) {
                    continue;
                }
                pool.pop();
            }
            let place = pool.partition_point(|better| *better > candidate);
            pool.insert(place, candidate);
            best_place = best_place.min(place);
        }
        best_place
    }

    /// The node where layer 0 is entered: in each upper layer, moves to the best link while that is nearer.
    fn descend(&self, query: &[i8], scratch: &mut Scratch) -> u32 {
        let n_nodes = self.codes.len();
        let mut at = self.upper.entry;
        let dot = |node: u32| self.codes.kernel.dot(query, self.codes.row(node));
        let mut at_dot = if (at as usize) < n_nodes { dot(at) } else { i32::MIN };
        let Scratch { fresh, dots, .. } = scratch;
        for layer in self.upper.layers.iter().rev() {
            loop {
                fresh.clear();
                fresh.extend(
                    layer.row(at).iter().copied().filter(|&link| (link as usize) < n_nodes),
                );
                dots.resize(fresh.len().max(dots.len()), 0);
                self.codes.kernel.dot_each(query, self.codes.coarse, fresh, dots);
                match fresh.iter().zip(&*dots).max_by_key(|&(_, dot)| *dot) {
                    Some((&link, &dot)) if dot > at_dot => (at, at_dot) = (link, dot),
                    _ => break,
                }
            }
        }
        at
    }

    fn row(&self, node: u32) -> &[u32] {
        let start = node as usize * self.width;
        self.layer0.get(start..start + self.width).unwrap_or(&[])
    }
}

/// The nodes that a walk has met, one bit each.
#[derive(Default)]
struct Seen {
    n_nodes: usize,
    bits: Vec<u64>,
    /// Words that are not zero, so that the next walk need not clear all of them.
    touched: Vec<u32>,
}

impl Seen {
    fn begin(&mut self, n_nodes: usize) {
        self.touched.drain(..).for_each(|word| self.bits[word as usize] = 0);
        self.n_nodes = n_nodes;
        self.bits.resize(n_nodes.div_ceil(64), 0);
    }

    /// Whether the node exists and was not met before.
    fn insert(&mut self, node: u32) -> bool {
        if node as usize >= self.n_nodes {
            return false;
        }
        let (word, bit) = (&mut self.bits[node as usize / 64], 1 << (node % 64));
        if *word & bit != 0 {
            return false;
        }
        if *word == 0 {
            self.touched.push(node / 64);
        }
        *word |= bit;
        true
    }
}
