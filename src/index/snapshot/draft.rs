//! A snapshot that is being made: vectors come in one by one, become codes at once, and get a graph.

use std::path::Path;

use super::{SnapshotMeta, write};
use crate::error::{Error, Result};
use crate::index::build::{self, BuildOptions, OnProgress};
use crate::index::codes::{Codes, Quantizer};
use crate::index::graph::{Graph, MAX_NODES};
use crate::index::order;
use crate::index::tuning::{self, Tuning};
use crate::index::{check_dim, check_unit};

/// Of every so many text queries one is kept for measuring, and not used for building.
const HELD_OUT: usize = 20;

/// The most that are kept for measuring.
const MAX_HELD_OUT: usize = 200;

/// The contents of a snapshot before it is written.
///
/// Needs 2 bytes a component in memory, and some 1.6 kB a node more while a graph is built: 213 MB at most for
/// 100,000 nodes of 256 dimensions.
pub struct SnapshotDraft {
    pub(super) meta: SnapshotMeta,
    /// The key of each node.
    pub(super) keys: Vec<u64>,
    last_key: Option<u64>,
    pub(super) codes: Codes,
    pub(super) graph: Option<(Graph, Tuning)>,
}

impl SnapshotDraft {
    /// An empty one. The codes are made for vectors like those in `sample`, of `meta.dim` values each, of which
    /// a few thousand are enough; `n_expected` nodes are expected.
    ///
    /// # Errors
    /// [`Error::BadOption`] for 0 dimensions.
    pub fn new(meta: SnapshotMeta, sample: &[f32], n_expected: usize) -> Result<Self> {
        if meta.dim == 0 {
            return Err(Error::BadOption { reason: "vectors of 0 dimensions".into() });
        }
        let codes = Codes::new(Quantizer::fit(sample, meta.dim), n_expected);
        Ok(Self { meta, keys: Vec::with_capacity(n_expected), last_key: None, codes, graph: None })
    }

    /// Adds a node. Keys come in ascending order, and their vectors should all be different.
    ///
    /// # Errors
    /// [`Error::BadEmbedding`] if it is no unit vector, [`Error::Dimension`], [`Error::BadOption`] if the key is
    /// not greater than the one before or there are more nodes than one index can hold.
    pub fn push(&mut self, key: u64, vector: &[f32]) -> Result<()> {
        check_dim(self.meta.dim, vector.len())?;
        check_unit(key, vector)?;
        if self.last_key.is_some_and(|last| last >= key) {
            return Err(Error::BadOption { reason: format!("key {key} is out of order") });
        }
        if self.keys.len() == MAX_NODES {
            let reason = format!("more than {MAX_NODES} nodes do not fit into one index");
            return Err(Error::BadOption { reason });
        }
        self.keys.push(key);
        self.last_key = Some(key);
        self.codes.push(vector);
        // What was linked before it knows nothing of it.
        self.graph = None;
        Ok(())
    }

    /// What it is made of.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Builds the graph and measures it. `samples` are typical queries of the other modality, vectors one after
    /// the other: most of them shape the graph, the others measure it. `progress` is called with the part of the
    /// work that is done, in nodes of [`SnapshotDraft::len`]; its answer may stop the build.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Dimension`] if the samples are no vectors of this dimension;
    /// [`Error::BadOption`] if threads cannot be started.
    pub fn link(
        &mut self,
        samples: &[f32],
        options: &BuildOptions,
        progress: OnProgress<'_>,
    ) -> Result<()> {
        let dim = self.meta.dim;
        check_dim(0, samples.len() % dim)?;
        let (mut shaping, mut measuring) = (Vec::new(), Vec::new());
        for (i, sample) in samples.chunks_exact(dim).enumerate() {
            let is_held_out = i % HELD_OUT == 0 && measuring.len() < MAX_HELD_OUT * dim;
            if is_held_out {
                measuring.extend_from_slice(sample)
            } else {
                shaping.extend_from_slice(sample)
            }
        }
        self.reorder();
        let graph = build::build(&self.codes, &shaping, options, progress)?;
        let tuning = tuning::measure(&graph, self.codes.view(), &measuring);
        self.graph = Some((graph, tuning));
        Ok(())
    }

    /// Brings near nodes together.
    fn reorder(&mut self) {
        let order = order::near_together(self.codes.view());
        self.keys = order.iter().map(|&node| self.keys[node as usize]).collect();
        self.codes.reorder(&order);
    }

    /// What was measured, once there is a graph.
    pub fn tuning(&self) -> Option<&Tuning> {
        self.graph.as_ref().map(|(_, tuning)| tuning)
    }

    /// Nodes that no walk finds, so that every search compares with them directly.
    pub fn n_orphans(&self) -> usize {
        self.graph.as_ref().map_or(0, |(graph, _)| graph.orphans.len())
    }

    /// Writes the snapshot to `path`, replacing what is there in one step. Only its owner may read it.
    ///
    /// A crash leaves the old file or the new one, and perhaps a file `….tmp` beside it, which the next write
    /// replaces. One process at a time may write to a path.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        write::write(self, path)
    }
}
