//! The exact scan: compares with every node. It is the oracle, and the default for small sets.

use super::best::Best;
use super::{NodeVectors, check_dim, score};
use crate::error::Result;
use crate::query::{MAX_K, Neighbor};

/// The `k` nodes nearest to `query` among those whose key is accepted, best first, equal scores by key.
///
/// Nodes whose score is no number are left out.
///
/// # Errors
/// [`crate::Error::Dimension`] if the query has another dimension than the nodes.
pub fn scan(
    nodes: NodeVectors<'_>,
    query: &[f32],
    k: usize,
    accept: Option<&dyn Fn(u64) -> bool>,
) -> Result<Vec<Neighbor>> {
    check_dim(nodes.dim, query.len())?;
    let k = k.min(MAX_K).min(nodes.len());
    if k == 0 {
        return Ok(Vec::new());
    }
    let mut best = Best::new(k);
    for (&key, vector) in nodes.keys.iter().zip(nodes.vectors.chunks_exact(nodes.dim)) {
        if accept.is_some_and(|accept| !accept(key)) {
            continue;
        }
        if let Some(score) = score(query, vector) {
            best.offer(Neighbor { key, score });
        }
    }
    Ok(best.into_sorted())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Error;
    use crate::index::testing::{Nodes, keys_of};

    /// Every accepted node by its cosine in f64, best first.
    fn naive(nodes: &Nodes, query: &[f32], accept: impl Fn(u64) -> bool) -> Vec<(u64, f64)> {
        let mut all: Vec<(u64, f64)> = (nodes.keys.iter().copied())
            .zip(nodes.vectors.chunks_exact(nodes.dim))
            .filter(|(key, _)| accept(*key))
            .map(|(key, vector)| {
                (key, vector.iter().zip(query).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum())
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        /// The scores at each rank equal the oracle's; the keys too where the scores are clearly apart.
        #[test]
        fn agrees_with_the_naive_scan(
            n_nodes in 0usize..60, dim in 1usize..40, k in 0usize..70, seed: u64, modulus in 1u64..5,
        ) {
            let nodes = Nodes::clustered(n_nodes, dim, 4, seed);
            let query = Nodes::clustered(1, dim, 1, seed ^ 1).vectors;
            let accept = |key: u64| key.is_multiple_of(modulus);
            let expected = naive(&nodes, &query, accept);
            let found = scan(nodes.view(), &query, k, Some(&accept)).unwrap();
            prop_assert_eq!(found.len(), k.min(expected.len()));
            for (rank, neighbor) in found.iter().enumerate() {
                prop_assert!((f64::from(neighbor.score) - expected[rank].1).abs() < 1e-5);
                let own = expected.iter().find(|(key, _)| *key == neighbor.key).unwrap();
                prop_assert!((own.1 - expected[rank].1).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn equal_scores_are_ordered_by_key() {
        let nodes = Nodes { keys: vec![8, 2, 5, 1], vectors: [[0.6f32, 0.8]; 4].concat(), dim: 2 };
        assert_eq!(keys_of(&scan(nodes.view(), &[1.0, 0.0], 3, None).unwrap()), [1, 2, 5]);
    }

    #[test]
    fn odd_arguments() {
        let nodes = Nodes::clustered(3, 4, 1, 1);
        let query = &nodes.vectors[..4];
        assert_eq!(scan(nodes.view(), query, usize::MAX, None).unwrap().len(), 3);
        assert_eq!(scan(nodes.view(), query, 0, None).unwrap(), []);
        let empty = NodeVectors { keys: &[], vectors: &[], dim: 4 };
        assert_eq!(scan(empty, query, 10, None).unwrap(), []);
        let error = scan(nodes.view(), &query[..3], 1, None).unwrap_err();
        assert!(matches!(error, Error::Dimension { expected: 4, found: 3 }), "{error}");
    }

    #[test]
    fn a_score_that_is_no_number_is_left_out() {
        let mut nodes = Nodes { keys: vec![1, 2, 3], vectors: [[1.0f32, 0.0]; 3].concat(), dim: 2 };
        assert_eq!(keys_of(&scan(nodes.view(), &[1.0, 0.0], 3, None).unwrap()), [1, 2, 3]);
        nodes.vectors[2] = f32::NAN;
        assert_eq!(keys_of(&scan(nodes.view(), &[1.0, 0.0], 3, None).unwrap()), [1, 3]);
    }
}
