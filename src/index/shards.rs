//! Dividing nodes into overlapping shards of near ones, which are linked one by one and joined by what they
//! share, as DiskANN builds graphs that do not fit into memory (Subramanya et al. 2019, section 2.4).

use rayon::prelude::*;

use super::codes::CodeView;
use super::hnsw::distance;

/// Nodes of a shard on average.
pub(super) const SHARD_SIZE: usize = 10_000;

/// Shards that each node is in: links between shards come from nodes that are in both.
const OVERLAP: usize = 2;

/// The nearest centres that are remembered for a node, in case that the first ones have no room left.
const N_CHOICES: usize = 8;

/// How much larger than the average a shard may become.
const MAX_GROWTH: f64 = 1.5;

/// The shards of `members`, each in ascending order; one alone if they are few.
///
/// Centres are members at even steps. The same input gives the same shards.
pub(super) fn divide(codes: CodeView<'_>, squares: &[i32], members: &[u32]) -> Vec<Vec<u32>> {
    if members.len() <= 2 * SHARD_SIZE {
        return vec![members.to_vec()];
    }
    let n_shards = (members.len() * OVERLAP).div_ceil(SHARD_SIZE);
    let centres: Vec<u32> =
        (0..n_shards).map(|shard| members[shard * members.len() / n_shards]).collect();
    let choices: Vec<[u16; N_CHOICES]> =
        (members.par_iter()).map(|&node| nearest_centres(codes, squares, &centres, node)).collect();
    let room = (SHARD_SIZE as f64 * MAX_GROWTH) as usize;
    let mut shards: Vec<Vec<u32>> = vec![Vec::new(); n_shards];
    for (&node, choices) in members.iter().zip(&choices) {
        let mut n_wanted = OVERLAP;
        // All shards together have room for more than all nodes, so the search for room ends.
        let others = (0..n_shards as u16).filter(|shard| !choices.contains(shard));
        let first = choices.iter().copied().filter(|&shard| usize::from(shard) < n_shards);
        for shard in first.chain(others) {
            let shard = &mut shards[usize::from(shard)];
            if shard.len() < room {
                shard.push(node);
                n_wanted -= 1;
            }
            if n_wanted == 0 {
                break;
            }
        }
    }
    shards.retain(|shard| !shard.is_empty());
    shards
}

/// The centres nearest to a node, nearest first.
fn nearest_centres(
    codes: CodeView<'_>,
    squares: &[i32],
    centres: &[u32],
    node: u32,
) -> [u16; N_CHOICES] {
    let mut nearest = [(i32::MAX, u16::MAX); N_CHOICES];
    for (shard, &centre) in centres.iter().enumerate() {
        let found = (distance(codes, squares, node, centre), shard as u16);
        if found < nearest[N_CHOICES - 1] {
            let place = nearest.partition_point(|other| *other < found);
            nearest[place..].rotate_right(1);
            nearest[place] = found;
        }
    }
    nearest.map(|(_, shard)| shard)
}
