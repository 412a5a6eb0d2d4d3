//! Vector search: the exact scan, the graph, the snapshot file that holds both, and the choice between them.
//!
//! It knows keys and vectors, not items, databases or models. [`scan`] is the oracle; [`build`] makes a
//! [`Graph`] with `hnsw_rs` and freezes it; [`write_snapshot`] stores vectors and graph in one file, and a
//! [`Snapshot`] answers from it. A snapshot is derived: whatever is wrong with it, the caller deletes it and
//! makes a new one.

mod best;
mod exact;
mod graph;
mod hnsw;
mod plan;
mod snapshot;
#[cfg(test)]
mod testing;
mod walk;

pub use exact::scan;
pub use graph::Graph;
pub use hnsw::{BuildOptions, build};
pub use plan::{DEFAULT_EF, GRAPH_THRESHOLD};
pub use snapshot::{SearchOptions, Snapshot, SnapshotMeta, write_snapshot};

use crate::embedding::dot;
use crate::error::{Error, Result};

/// How far the squared length of a node's vector may be from 1: that of an embedding, to first order.
const SQUARED_NORM_TOLERANCE: f32 = 2e-3;

/// The nodes of an index: a key and a unit vector each.
#[derive(Clone, Copy, Debug)]
pub struct NodeVectors<'a> {
    /// The key of each node, all different.
    pub keys: &'a [u64],
    /// The vectors one after the other, `keys.len() * dim` values.
    pub vectors: &'a [f32],
    /// Components of each vector.
    pub dim: usize,
}

impl<'a> NodeVectors<'a> {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The vector of a node; `None` if there is no such node.
    fn vector(&self, node: u32) -> Option<&'a [f32]> {
        let start = (node as usize).checked_mul(self.dim)?;
        self.vectors.get(start..start.checked_add(self.dim)?)
    }

    /// Refuses what neither a graph nor a file may be made of.
    fn check(&self) -> Result<()> {
        let bad = |reason| Err(Error::BadEmbedding { reason });
        if self.dim == 0 || self.len().checked_mul(self.dim) != Some(self.vectors.len()) {
            let (n_keys, n_values) = (self.len(), self.vectors.len());
            return bad(format!("{n_keys} keys of {} dimensions with {n_values} values", self.dim));
        }
        if self.len() >= graph::EMPTY as usize {
            return bad(format!("{} nodes are more than one index can hold", self.len()));
        }
        for (key, vector) in self.keys.iter().zip(self.vectors.chunks_exact(self.dim)) {
            let off = (dot(vector, vector) - 1.0).abs();
            if off.is_nan() || off > SQUARED_NORM_TOLERANCE {
                return bad(format!("the vector of key {key} is not of unit length"));
            }
        }
        Ok(())
    }
}

/// Cosine of two unit vectors; `None` if damaged bytes make it no number.
fn score(a: &[f32], b: &[f32]) -> Option<f32> {
    let score = dot(a, b);
    score.is_finite().then(|| score.clamp(-1.0, 1.0))
}

/// Refuses a query from another space.
fn check_dim(expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Dimension { expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_are_no_unit_vectors_are_refused() {
        let check = |keys: &[u64], vectors: &[f32], dim| NodeVectors { keys, vectors, dim }.check();
        assert!(check(&[7, 9], &[1.0, 0.0, 0.6, 0.8], 2).is_ok());
        assert!(check(&[], &[], 2).is_ok());
        for (keys, vectors, dim, reason) in [
            (&[7, 9][..], &[1.0, 0.0, 0.6][..], 2, "2 keys of 2 dimensions with 3 values"),
            (&[7], &[1.0, 0.0], 0, "1 keys of 0 dimensions with 2 values"),
            (&[7, 9], &[1.0, 0.0, 0.6, 0.7], 2, "key 9 is not of unit length"),
            (&[7], &[f32::NAN, 0.0], 2, "key 7 is not of unit length"),
            (&[7], &[0.0, 0.0], 2, "key 7 is not of unit length"),
            (&[7], &[f32::INFINITY, 0.0], 2, "key 7 is not of unit length"),
        ] {
            let error = check(keys, vectors, dim).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_score_is_a_number_or_absent() {
        assert_eq!(score(&[1.0, 0.0], &[0.6, 0.8]), Some(0.6));
        assert_eq!(score(&[1e30, 0.0], &[1.0, 0.0]), Some(1.0));
        assert_eq!(score(&[1e30, 0.0], &[1e30, 0.0]), None);
        assert_eq!(score(&[f32::NAN, 0.0], &[1.0, 0.0]), None);
    }
}
