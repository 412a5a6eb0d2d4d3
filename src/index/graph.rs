//! The frozen graph: links between nodes in flat arrays, as the snapshot stores them.
//!
//! A node is its position in the list of vectors. Layer 0 has one row of fixed width for every node; the
//! layers above are small and hold a part of the nodes. Nothing here inserts: a graph is made once.

use std::ops::ControlFlow;
use std::thread;

use super::NodeVectors;
use super::walk::Walk;
use crate::error::{Error, Result};

/// Fills the rest of a row that has fewer links than it could hold.
pub(super) const EMPTY: u32 = u32::MAX;

/// The beam with which every node must find itself.
///
/// Queries use a wider one, so what is found here is found there.
const PROBE_EF: usize = 32;

/// Nodes probed between two questions whether to go on.
const PROBES_PER_STEP: usize = 4096;

/// A graph over the nodes of one index, ready to be searched and written.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Links of a row of layer 0.
    pub(super) width: usize,
    /// Row after row.
    pub(super) layer0: Vec<u32>,
    pub(super) upper: Upper,
    /// Nodes that a walk does not find; every search compares with them directly.
    pub(super) orphans: Vec<u32>,
}

/// Where a walk begins, and the layers above 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Upper {
    /// [`EMPTY`] if there is no node.
    pub(super) entry: u32,
    /// Layer 1 first.
    pub(super) layers: Vec<Layer>,
}

/// A layer that holds a part of the nodes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    /// Its nodes, in ascending order.
    pub(super) nodes: Vec<u32>,
    /// Links of a row.
    pub(super) width: usize,
    /// A row for each of `nodes`.
    pub(super) links: Vec<u32>,
}

impl Layer {
    /// The links of a node in this layer; none if it is not there.
    pub(super) fn row(&self, node: u32) -> &[u32] {
        let Ok(position) = self.nodes.binary_search(&node) else { return &[] };
        self.links.get(position * self.width..(position + 1) * self.width).unwrap_or(&[])
    }
}

impl Graph {
    /// Freezes `links[node][layer]`, the neighbours of each node in each layer that it is part of, nearest first.
    ///
    /// Links to the node itself and to nodes that are not in the layer are dropped; a row keeps its first
    /// `max_links`, in layer 0 twice as many.
    pub(super) fn freeze(links: &[Vec<Vec<u32>>], max_links: usize) -> Self {
        let n_layers = links.iter().map(Vec::len).max().unwrap_or(0);
        let entry = links.iter().position(|layers| !layers.is_empty() && layers.len() == n_layers);
        let mut layers = (0..n_layers).map(|layer| {
            let width = if layer == 0 { 2 * max_links } else { max_links };
            freeze_layer(links, layer, width)
        });
        let layer0 = layers.next().map(|layer| layer.links).unwrap_or_default();
        let upper =
            Upper { entry: entry.map_or(EMPTY, |node| node as u32), layers: layers.collect() };
        Self { width: 2 * max_links, layer0, upper, orphans: Vec::new() }
    }

    /// Nodes that no walk finds: they are compared with directly in every search.
    pub fn n_orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Lists the orphans: every node is searched for by its own vector.
    pub(super) fn probe(
        &mut self,
        nodes: NodeVectors<'_>,
        n_threads: usize,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<()> {
        let walk = self.walk(nodes);
        let all: Vec<u32> = (0..nodes.len() as u32).collect();
        let mut orphans = Vec::new();
        for step in all.chunks(PROBES_PER_STEP) {
            if progress(nodes.len()).is_break() {
                return Err(Error::Cancelled);
            }
            let lost = |part: &[u32]| -> Vec<u32> {
                part.iter().copied().filter(|&node| !finds_itself(walk, node)).collect()
            };
            thread::scope(|scope| {
                let parts = step.chunks(step.len().div_ceil(n_threads.max(1)));
                let threads: Vec<_> = parts.map(|part| scope.spawn(move || lost(part))).collect();
                for thread in threads {
                    orphans.extend(thread.join().expect("a walk checks every bound"));
                }
            });
        }
        self.orphans = orphans;
        Ok(())
    }

    /// This graph over its vectors, ready to be searched.
    pub(super) fn walk<'a>(&'a self, nodes: NodeVectors<'a>) -> Walk<'a> {
        Walk {
            nodes,
            width: self.width,
            layer0: &self.layer0,
            upper: &self.upper,
            orphans: &self.orphans,
        }
    }
}

/// The rows of one layer.
fn freeze_layer(links: &[Vec<Vec<u32>>], layer: usize, width: usize) -> Layer {
    let is_in_layer = |node: u32| links.get(node as usize).is_some_and(|own| own.len() > layer);
    // Layer 0 is addressed by node, so every node has a row there.
    let has_row = |node: &u32| layer == 0 || is_in_layer(*node);
    let nodes: Vec<u32> = (0..links.len() as u32).filter(has_row).collect();
    let mut rows = vec![EMPTY; nodes.len() * width];
    for (&node, row) in nodes.iter().zip(rows.chunks_exact_mut(width)) {
        let kept = links[node as usize].get(layer).into_iter().flatten().copied();
        let kept = kept.filter(|&link| link != node && is_in_layer(link));
        row.iter_mut().zip(kept).for_each(|(slot, link)| *slot = link);
    }
    Layer { nodes, width, links: rows }
}

fn finds_itself(walk: Walk<'_>, node: u32) -> bool {
    let Some(vector) = walk.nodes.vector(node) else { return false };
    walk.nearest(vector, PROBE_EF).iter().any(|found| found.key == u64::from(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::testing::Nodes;

    fn go_on(_: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn rows_are_as_given_without_what_does_not_belong() {
        let links = vec![
            vec![vec![2, 3, 0, 9]],       // itself, and a node that does not exist
            vec![],                       // in no layer
            vec![vec![0], vec![3, 4, 0]], // node 0 is not in layer 1
            vec![vec![4, 2, 0, 1, 2, 4], vec![2, 4], vec![]],
            vec![vec![3], vec![3]],
        ];
        let graph = Graph::freeze(&links, 2);
        let e = EMPTY;
        assert_eq!(graph.width, 4);
        let rows = [[2, 3, e, e], [e; 4], [0, e, e, e], [4, 2, 0, 2], [3, e, e, e]];
        assert_eq!(graph.layer0, rows.concat());
        let layer1 = Layer { nodes: vec![2, 3, 4], width: 2, links: vec![3, 4, 2, 4, 3, e] };
        let layer2 = Layer { nodes: vec![3], width: 2, links: vec![e, e] };
        assert_eq!(graph.upper, Upper { entry: 3, layers: vec![layer1, layer2] });
        assert_eq!(graph.upper.layers[0].row(3), [2, 4]);
        assert!(graph.upper.layers[0].row(0).is_empty());
        assert_eq!(Graph::freeze(&[], 2).upper, Upper { entry: e, layers: vec![] });
    }

    #[test]
    fn a_node_without_a_link_to_it_is_an_orphan() {
        let nodes = Nodes::clustered(3, 8, 3, 5);
        let mut whole = Graph::freeze(&[vec![vec![1]], vec![vec![0, 2]], vec![vec![1]]], 2);
        whole.probe(nodes.view(), 2, &mut go_on).unwrap();
        assert_eq!(whole.n_orphans(), 0);

        let mut cut = Graph::freeze(&[vec![vec![1]], vec![vec![0]], vec![vec![1]]], 2);
        cut.probe(nodes.view(), 2, &mut go_on).unwrap();
        assert_eq!(cut.orphans, [2]);
        let found = cut.walk(nodes.view()).nearest(nodes.vector(2), 3);
        assert_eq!(found[0].key, 2);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn probing_can_be_cancelled() {
        let nodes = Nodes::clustered(3, 8, 3, 5);
        let mut graph = Graph::freeze(&[vec![vec![1]], vec![vec![0]], vec![vec![1]]], 2);
        let stopped = graph.probe(nodes.view(), 1, &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
