//! The frozen graph: links between nodes in flat arrays, as the snapshot stores them.
//!
//! A node is its position in the list of vectors. Layer 0 has one row of fixed width for every node; the
//! layers above are small and hold a part of the nodes. Nothing here inserts: a graph is made once.

use super::codes::CodeView;
use super::links::Rows;
use super::walk::Walk;

/// Fills the rest of a row that has fewer links than it could hold.
pub(super) const EMPTY: u32 = u32::MAX;

/// The most nodes of one index: a walk keeps a bit of their 32 for itself.
pub(super) const MAX_NODES: usize = u32::MAX as usize / 2;

/// A graph over the nodes of one index, ready to be searched and written.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) layer0: Rows,
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
    /// This graph over its codes, ready to be searched.
    pub(super) fn walk<'a>(&'a self, codes: CodeView<'a>) -> Walk<'a> {
        Walk {
            codes,
            width: self.layer0.width,
            layer0: &self.layer0.links,
            upper: &self.upper,
            orphans: &self.orphans,
        }
    }
}
