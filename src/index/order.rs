//! The order in which nodes lie in memory: near ones side by side, so that a walk, which goes from neighbour to
//! neighbour, finds rows on pages that it has just touched.
//!
//! Among 100,000 photos this made queries 1.2 to 1.4 times faster at the same beam, at a recall within 0.01 of before.

use super::codes::CodeView;

/// Nodes that need no order among themselves: their rows share a page or two.
const LEAF: usize = 8;

/// The most nodes that a direction is found from.
const SAMPLE: usize = 512;

/// How often a direction is made anew from the halves that it divides its sample into.
const ROUNDS: usize = 4;

/// All nodes, near ones beside each other: halves along the direction in which they differ most, again and again.
///
/// Equal codes keep their order, and the same codes give the same order. Costs one dot product a node for each halving.
pub(super) fn near_together(codes: CodeView<'_>) -> Vec<u32> {
    let mut nodes: Vec<u32> = (0..codes.len() as u32).collect();
    halve(codes, &mut nodes);
    nodes
}

fn halve(codes: CodeView<'_>, nodes: &mut [u32]) {
    if nodes.len() <= LEAF {
        return;
    }
    let direction = direction(codes, nodes);
    let (left, right) = divide(codes, nodes, &direction);
    left.sort_unstable();
    right.sort_unstable();
    rayon::join(|| halve(codes, left), || halve(codes, right));
}

/// The nodes that lie further along a direction than the other half, and the others.
fn divide<'n>(
    codes: CodeView<'_>,
    nodes: &'n mut [u32],
    direction: &[i8],
) -> (&'n mut [u32], &'n mut [u32]) {
    let rank = |&node: &u32| (-codes.kernel.dot(direction, codes.row(node)), node);
    let mut ranked: Vec<(i32, u32)> = nodes.iter().map(rank).collect();
    let middle = ranked.len() / 2;
    ranked.select_nth_unstable(middle);
    nodes.iter_mut().zip(ranked).for_each(|(slot, (_, node))| *slot = node);
    nodes.split_at_mut(middle)
}

/// About the direction in which the two halves of some nodes are furthest apart: from the mean of one to the mean of the
/// other, beginning with one node and the one least like it.
fn direction(codes: CodeView<'_>, nodes: &[u32]) -> Vec<i8> {
    let mut sample: Vec<u32> =
        nodes.iter().copied().step_by(nodes.len().div_ceil(SAMPLE)).collect();
    let first = sample[0];
    let unlike = |&&node: &&u32| codes.kernel.dot(codes.row(first), codes.row(node));
    let last = sample.iter().min_by_key(unlike).copied().unwrap_or(first);
    let mut direction = between(codes, &[first], &[last]);
    for _ in 0..ROUNDS {
        let (left, right) = divide(codes, &mut sample, &direction);
        direction = between(codes, left, right);
    }
    direction
}

/// The mean of some nodes less the mean of others, as codes of its own scale.
fn between(codes: CodeView<'_>, left: &[u32], right: &[u32]) -> Vec<i8> {
    let mean = |nodes: &[u32]| {
        let mut sums = vec![0i32; codes.stride()];
        for &node in nodes {
            sums.iter_mut().zip(codes.row(node)).for_each(|(sum, &code)| *sum += i32::from(code));
        }
        sums.into_iter().map(|sum| sum as f32 / nodes.len() as f32).collect::<Vec<f32>>()
    };
    let apart: Vec<f32> = mean(left).iter().zip(mean(right)).map(|(a, b)| a - b).collect();
    let largest = apart.iter().fold(1e-6f32, |largest, value| largest.max(value.abs()));
    apart.into_iter().map(|value| (value / largest * 127.0) as i8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::testing::Nodes;

    /// The mean dot product of codes that are one place apart.
    fn nearness(codes: CodeView<'_>, order: &[u32]) -> i32 {
        let dots =
            order.windows(2).map(|pair| codes.kernel.dot(codes.row(pair[0]), codes.row(pair[1])));
        dots.sum::<i32>() / order.len() as i32
    }

    #[test]
    fn near_nodes_come_to_lie_together() {
        let nodes = Nodes::clustered(2_000, 32, 50, 1);
        let codes = nodes.codes();
        let order = near_together(codes.view());
        let mut all = order.clone();
        all.sort_unstable();
        let as_given: Vec<u32> = (0..2_000).collect();
        assert_eq!(all, as_given);
        let (before, after) = (nearness(codes.view(), &as_given), nearness(codes.view(), &order));
        // Clusters take turns in what is given.
        assert!(after > 2 * before.max(1_000), "{after} after {before}");
        assert_eq!(near_together(codes.view()), order);
    }

    #[test]
    fn equal_nodes_keep_their_order() {
        let nodes = Nodes { keys: vec![1; 100], vectors: [[0.6f32, 0.8]; 100].concat(), dim: 2 };
        assert!(near_together(nodes.codes().view()).is_sorted());
        let none = Nodes { keys: vec![], vectors: vec![], dim: 2 };
        assert!(near_together(none.codes().view()).is_empty());
    }
}
