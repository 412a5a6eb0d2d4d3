//! Searching a frozen graph: greedy descent through the upper layers, then a beam over layer 0.
//!
//! The links may come from a file whose bulk sections were not hashed, so every node is bounds-checked and
//! a score that is no number is passed over: damaged bytes can cost a neighbour, never more.

use std::collections::BinaryHeap;

use super::best::{Best, Ranked};
use super::graph::Upper;
use super::{NodeVectors, score};
use crate::query::Neighbor;

/// A graph and the vectors that it links.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub(super) nodes: NodeVectors<'a>,
    pub(super) width: usize,
    pub(super) layer0: &'a [u32],
    pub(super) upper: &'a Upper,
    pub(super) orphans: &'a [u32],
}

impl Walk<'_> {
    /// About the `ef` nodes nearest to `query`, best first. Their `key` is the position of the node.
    pub(super) fn nearest(&self, query: &[f32], ef: usize) -> Vec<Neighbor> {
        let mut seen = Seen::new(self.nodes.len());
        let mut best = Best::new(ef.min(self.nodes.len()));
        let mut frontier = BinaryHeap::new();
        let entry = self.descend(query);
        if seen.insert(entry) {
            let start = self.score(query, entry);
            if let Some(score) = start {
                best.offer(neighbor(entry, score));
            }
            // A damaged entry still leads to its neighbours.
            frontier.push(Ranked(neighbor(entry, start.unwrap_or(-1.0))));
        }
        while let Some(next) = frontier.pop() {
            if best.has_left_behind(next) {
                break;
            }
            for &link in self.row(next.0.key as u32) {
                if !seen.insert(link) {
                    continue;
                }
                let Some(score) = self.score(query, link) else { continue };
                if best.offer(neighbor(link, score)) {
                    frontier.push(Ranked(neighbor(link, score)));
                }
            }
        }
        for &orphan in self.orphans.iter().filter(|&&orphan| seen.insert(orphan)) {
            if let Some(score) = self.score(query, orphan) {
                best.offer(neighbor(orphan, score));
            }
        }
        best.into_sorted()
    }

    /// The node where layer 0 is entered: in each upper layer, moves to the best link while that is nearer.
    fn descend(&self, query: &[f32]) -> u32 {
        let mut at = self.upper.entry;
        let mut at_score = self.score(query, at).unwrap_or(-1.0);
        for layer in self.upper.layers.iter().rev() {
            while let Some(next) = (layer.row(at).iter())
                .filter_map(|&link| Some(Ranked(neighbor(link, self.score(query, link)?))))
                .max()
                .filter(|next| next.0.score > at_score)
            {
                (at, at_score) = (next.0.key as u32, next.0.score);
            }
        }
        at
    }

    fn row(&self, node: u32) -> &[u32] {
        let start = node as usize * self.width;
        self.layer0.get(start..start + self.width).unwrap_or(&[])
    }

    fn score(&self, query: &[f32], node: u32) -> Option<f32> {
        score(query, self.nodes.vector(node)?)
    }
}

fn neighbor(node: u32, score: f32) -> Neighbor {
    Neighbor { key: u64::from(node), score }
}

/// The nodes that a walk has met, one bit each.
struct Seen {
    n_nodes: usize,
    bits: Vec<u64>,
}

impl Seen {
    fn new(n_nodes: usize) -> Self {
        Self { n_nodes, bits: vec![0; n_nodes.div_ceil(64)] }
    }

    /// Whether the node exists and was not met before.
    fn insert(&mut self, node: u32) -> bool {
        let node = node as usize;
        if node >= self.n_nodes {
            return false;
        }
        let (word, bit) = (&mut self.bits[node / 64], 1 << (node % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}
