//! The k best neighbours seen so far, and the order in which neighbours are ranked.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::query::Neighbor;

/// A neighbour that compares by rank: the greater one comes first, by score, then by the smaller key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked(pub(super) Neighbor);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.score.total_cmp(&other.0.score).then_with(|| other.0.key.cmp(&self.0.key))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// Keeps the best `capacity` of the neighbours offered.
pub(super) struct Best {
    capacity: usize,
    /// The worst one on top.
    heap: BinaryHeap<Reverse<Ranked>>,
}

impl Best {
    /// The caller clamps `capacity`: it is allocated at once.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, heap: BinaryHeap::with_capacity(capacity) }
    }

    /// Whether it was good enough to be kept.
    pub(super) fn offer(&mut self, neighbor: Neighbor) -> bool {
        let ranked = Ranked(neighbor);
        if self.heap.len() == self.capacity {
            if self.heap.peek().is_none_or(|worst| ranked <= worst.0) {
                return false;
            }
            self.heap.pop();
        }
        self.heap.push(Reverse(ranked));
        true
    }

    /// Best first.
    pub(super) fn into_sorted(self) -> Vec<Neighbor> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(Ranked(neighbor))| neighbor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(capacity: usize, offered: &[(u64, f32)]) -> Vec<(u64, f32)> {
        let mut best = Best::new(capacity);
        for &(key, score) in offered {
            best.offer(Neighbor { key, score });
        }
        best.into_sorted().into_iter().map(|neighbor| (neighbor.key, neighbor.score)).collect()
    }

    #[test]
    fn keeps_the_best_and_breaks_ties_by_key() {
        let offered = [(5, 0.5), (9, 0.9), (3, 0.5), (7, 0.1), (4, 0.5), (1, -1.0)];
        assert_eq!(best(3, &offered), [(9, 0.9), (3, 0.5), (4, 0.5)]);
        assert_eq!(best(9, &offered).last(), Some(&(1, -1.0)));
        assert_eq!(best(0, &offered), []);
    }
}
