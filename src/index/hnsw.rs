//! Linking a shard of nodes with `hnsw_rs`: the only file that knows the crate, and the only one that says
//! "distance".
//!
//! Of `hnsw_rs` only the insertion is used. Its graph is exported once; it is never searched, dumped or loaded,
//! and its own distances, which panic on rounding, are not used. Its panics and its one `exit` are out of reach:
//! options are clamped before it sees them. One thread inserts into one graph: two threads deadlock in `hnsw_rs`
//! 0.3.5 once nodes have upper layers (a node gives up the lock on its own links between two layers, so that
//! threads come to wait for each other in a circle; seen with 8 threads within 50 builds of 1,500 nodes).

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;

use super::codes::CodeView;

/// `hnsw_rs` cannot do with fewer, nor with more.
const MAX_LAYER: usize = 16;

/// The neighbours of each of `members`, which are nodes of `codes`, nearest first.
///
/// `squares` are the dot products of the nodes' codes with themselves. `max_links` is that of the upper layers
/// of `hnsw_rs`, 4 to 64; up to twice as many come back. `ef` is its `ef_construction`, 16 to 2,000. The same
/// input gives the same links.
pub(super) fn link(
    codes: CodeView<'_>,
    squares: &[i32],
    members: &[u32],
    max_links: usize,
    ef: usize,
) -> Vec<Vec<u32>> {
    if members.is_empty() {
        // Its iterator panics.
        return Vec::new();
    }
    let distance = CodeDistance { codes, squares };
    // More than 256 links end the process inside `hnsw_rs`, and 256 are stored as 0 in a byte.
    let (max_links, ef) = (max_links.clamp(4, 64), ef.clamp(16, 2_000));
    let hnsw = Hnsw::new(max_links, members.len(), MAX_LAYER, ef, distance);
    for position in shuffled(members.len()) {
        // What it stores as the vector is the node only, so that no vector is held twice.
        hnsw.insert_slice((std::slice::from_ref(&members[position]), position));
    }
    let mut links = vec![Vec::new(); members.len()];
    // No thread inserts any more: an iterator over points deadlocks with one that does.
    for point in hnsw.get_point_indexation() {
        let layer0 = point.get_neighborhood_id().into_iter().next().unwrap_or_default();
        links[point.get_origin_id()] = layer0.iter().map(|link| members[link.d_id]).collect();
    }
    links
}

/// All numbers below `n` in an order without meaning, the same each time: nodes that lie side by side are near each other,
/// and a graph that grows at one end only has no long links.
fn shuffled(n: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    // The golden ratio times the number: neighbours go far apart, and no two come to the same place.
    all.sort_unstable_by_key(|&i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    all
}

/// Squared Euclidean distance of two nodes by their coarse codes: 0 or more, and never NaN, on either of which
/// `hnsw_rs` panics.
#[derive(Clone, Copy)]
struct CodeDistance<'a> {
    codes: CodeView<'a>,
    squares: &'a [i32],
}

impl Distance<u32> for CodeDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        distance(self.codes, self.squares, a[0], b[0]) as f32
    }
}

/// Squared Euclidean distance of two nodes in coarse steps.
pub(super) fn distance(codes: CodeView<'_>, squares: &[i32], a: u32, b: u32) -> i32 {
    let dot = codes.kernel.dot(codes.row(a), codes.row(b));
    squares[a as usize] + squares[b as usize] - 2 * dot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::links::squares;
    use crate::index::testing::Nodes;

    #[test]
    fn links_are_near_members_and_the_same_each_time() {
        let nodes = Nodes::clustered(400, 16, 4, 1);
        let codes = nodes.codes();
        let (view, members) = (codes.view(), (100..400).step_by(2).collect::<Vec<u32>>());
        let squares = squares(view);
        let links = link(view, &squares, &members, 8, 40);
        assert_eq!(links.len(), members.len());
        let (mut n_near, mut n_all) = (0, 0);
        for (&node, links) in members.iter().zip(&links) {
            assert!(!links.is_empty() && links.len() <= 16);
            assert!(links.iter().all(|link| members.contains(link) && *link != node));
            // Clusters are every fourth node.
            n_near += links.iter().filter(|&&link| link % 4 == node % 4).count();
            n_all += links.len();
        }
        assert!(n_near * 10 > n_all * 8, "{n_near} of {n_all}");
        assert_eq!(link(view, &squares, &members, 8, 40), links);
        for members in [&[][..], &[7], &[7, 9]] {
            assert_eq!(link(view, &squares, members, 0, 0).len(), members.len());
        }
    }
}
