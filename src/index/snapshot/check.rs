//! What must hold inside a snapshot beside its hashes: keys and nodes belong together, links lead to nodes, and a walk finds
//! every node by itself.

use rayon::prelude::*;

use super::{Kind, SmallParts, Snapshot};
use crate::error::{Error, Result};
use crate::index::OnProgress;
use crate::index::graph::{EMPTY, Upper};
use crate::index::walk::{Scratch, Walk};

/// Nodes that are searched for by themselves; of more, so many at even steps.
const MAX_PROBES: usize = 200_000;

/// The beam of these searches: less than any query has.
const PROBE_EF: usize = 64;

/// The widest of them, where nodes lie so close together that a narrow one says nothing.
const MAX_PROBE_EF: usize = 4_096;

/// Nodes between two questions whether to go on.
const NODES_PER_STEP: usize = 8_192;

impl Snapshot {
    /// The sections that do not match their checksums, the bulk ones included.
    pub fn damaged_sections(&self) -> Vec<&'static str> {
        let sections = self.header.sections.iter();
        let damaged = sections.filter(|section| self.check_hash(section).is_err());
        damaged.map(|section| section.kind.name()).collect()
    }

    /// Whether the codes of a key are those of this vector; `None` if there is no such key.
    pub fn agrees(&self, key: u64, vector: &[f32]) -> Option<bool> {
        let (keys, by_key) = (self.keys(), self.section::<u32>(Kind::ByKey));
        let key_of = |node: u32| keys.get(node as usize).copied().unwrap_or(u64::MAX);
        let place = by_key.binary_search_by_key(&key, |&node| key_of(node)).ok()?;
        Some(self.codes().is_of(*by_key.get(place)?, vector))
    }

    /// What does not hold between its parts, for a snapshot whose sections match their checksums; empty if all does.
    ///
    /// Every node of a graph of up to 200,000 is searched for by itself; of a larger one, so many. `progress` is called with
    /// the part of the work that is done, in nodes of [`Snapshot::len`]; its answer may stop it.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn inconsistencies(&self, progress: OnProgress<'_>) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if !self.keys_are_in_order() {
            found.push("its list of keys in order is not the order of its keys".to_owned());
        }
        let Some(SmallParts { upper, orphans, .. }) = &self.graph else { return Ok(found) };
        let (width, layer0) = (self.header.width, self.section::<u32>(Kind::Layer0));
        if let Some(fault) = self.fault_of_links(layer0, upper, orphans) {
            found.push(fault);
            return Ok(found);
        }
        let walk = Walk { codes: self.codes(), width, layer0, upper, orphans };
        let lost = lost(walk, progress)?;
        if let Some(first) = lost.first() {
            found.push(format!(
                "a walk through its graph does not find {} of its nodes; the first is that of embedding {}",
                lost.len(),
                self.keys().get(*first as usize).copied().unwrap_or(0)
            ));
        }
        Ok(found)
    }

    /// Whether `by_key` names every node once, in strictly ascending order of keys.
    fn keys_are_in_order(&self) -> bool {
        let (keys, by_key) = (self.keys(), self.section::<u32>(Kind::ByKey));
        let ordered: Option<Vec<u64>> =
            by_key.iter().map(|&node| keys.get(node as usize).copied()).collect();
        // As many as there are nodes, and all different: each is there once.
        ordered.is_some_and(|ordered| {
            ordered.len() == keys.len() && ordered.is_sorted_by(|a, b| a < b)
        })
    }

    fn fault_of_links(&self, layer0: &[u32], upper: &Upper, orphans: &[u32]) -> Option<String> {
        let is_node = |node: u32| (node as usize) < self.len();
        let is_link = |link: u32| link == EMPTY || is_node(link);
        if !self.is_empty() && !is_node(upper.entry) {
            return Some("its graph has no entry".into());
        }
        if let Some(at) = layer0.iter().position(|&link| !is_link(link)) {
            return Some(format!("node {} links to one that is not there", at / self.header.width));
        }
        for (n, layer) in upper.layers.iter().enumerate() {
            let are_nodes = layer.nodes.iter().all(|&node| is_node(node));
            if !are_nodes || !layer.links.iter().all(|&link| is_link(link)) {
                return Some(format!("layer {} names a node that is not there", n + 1));
            }
        }
        let stranger = orphans.iter().find(|&&orphan| !is_node(orphan));
        stranger.map(|orphan| format!("orphan {orphan} is not there"))
    }
}

/// The nodes that are searched for by themselves and not found.
fn lost(walk: Walk<'_>, progress: OnProgress<'_>) -> Result<Vec<u32>> {
    let n_nodes = walk.codes.len();
    let step = n_nodes.div_ceil(MAX_PROBES).max(1);
    let probes: Vec<u32> = (0..n_nodes as u32).step_by(step).collect();
    let (mut lost, mut n_done) = (Vec::new(), 0);
    for probes in probes.chunks(NODES_PER_STEP) {
        if progress(n_done).is_break() {
            return Err(Error::Cancelled);
        }
        let probe = |scratch: &mut Scratch, &node: &u32| is_lost(walk, node, scratch);
        lost.extend(
            probes.par_iter().map_init(Scratch::default, probe).flatten().collect::<Vec<_>>(),
        );
        n_done += probes.len() * step;
    }
    Ok(lost)
}

/// The node, if a walk for it does not come to it.
fn is_lost(walk: Walk<'_>, node: u32, scratch: &mut Scratch) -> Option<u32> {
    let (codes, query) = (walk.codes, walk.codes.query_of(node));
    let own = codes.kernel.dot(&query, codes.row(node));
    let mut ef = PROBE_EF;
    loop {
        walk.nearest(&query, ef, scratch);
        // One of equal codes is as good as the other, and of many not all fit into the beam.
        if scratch.found().any(|found| found == node || codes.row(found) == codes.row(node)) {
            return None;
        }
        // In a burst of photos many are as near to the codes of one as it is itself, by rounding: a wider beam tells.
        let worst = scratch.ranked().last().map(|(dot, _)| dot);
        let is_crowded = scratch.ranked().count() >= ef && worst >= Some(own);
        if !is_crowded || ef >= MAX_PROBE_EF {
            return (!is_crowded).then_some(node);
        }
        ef *= 4;
    }
}
