//! Vector search: the exact scan, the graph, the snapshot file that holds both, and the choice between them.
//!
//! It knows keys and vectors, not items, databases or models. [`scan`] is the oracle; a [`SnapshotDraft`] takes
//! vectors as int8 codes, builds a graph over them with `hnsw_rs`, and writes both in one file, from which a
//! [`Snapshot`] answers. A snapshot is derived: whatever is wrong with it, the caller deletes it and makes a new
//! one.

mod best;
mod build;
mod codes;
mod exact;
mod graph;
mod hnsw;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod kernel_avx2;
#[cfg(target_arch = "aarch64")]
mod kernel_neon;
mod links;
mod node_set;
mod order;
mod plan;
mod scan;
mod shards;
mod snapshot;
#[cfg(test)]
mod testing;
mod text_edges;
mod tuning;
mod walk;

pub use build::{BuildOptions, OnProgress};
pub use exact::scan;
pub use node_set::Filter;
pub use plan::{GRAPH_THRESHOLD, Plan};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use snapshot::rehashed;
pub use snapshot::{Answer, SearchOptions, Snapshot, SnapshotDraft, SnapshotMeta};
pub use tuning::{Beam, Beams, Tuning};

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
}

/// Refuses a vector that is no embedding.
fn check_unit(key: u64, vector: &[f32]) -> Result<()> {
    let off = (dot(vector, vector) - 1.0).abs();
    if off.is_nan() || off > SQUARED_NORM_TOLERANCE {
        let reason = format!("the vector of key {key} is not of unit length");
        return Err(Error::BadEmbedding { reason });
    }
    Ok(())
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
    fn what_is_no_unit_vector_is_refused() {
        assert!(check_unit(7, &[0.6, 0.8]).is_ok());
        for vector in [[0.6, 0.7], [f32::NAN, 0.0], [0.0, 0.0], [f32::INFINITY, 0.0]] {
            let error = check_unit(7, &vector).unwrap_err().to_string();
            assert!(error.contains("key 7 is not of unit length"), "{error}");
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
