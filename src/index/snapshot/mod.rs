//! The snapshot: keys, vectors and graph of one space and modality in one file, mapped into memory.
//!
//! What is small (header, ids, upper layers, orphans) is hashed when a snapshot is opened. What is large
//! (vectors, layer 0) is checked at every access instead, and hashed by [`Snapshot::verify`]: a damaged byte
//! there can cost a neighbour or change a score, so a caller scores what comes back again from its own rows.

mod format;
mod map;
#[cfg(test)]
mod tests;
mod upper;
mod write;

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

pub use write::write_snapshot;

use self::format::{Header, Kind, Section};
use self::map::Map;
use super::best::Ranked;
use super::graph::Upper;
use super::plan::{DEFAULT_EF, Plan, Situation, plan};
use super::walk::Walk;
use super::{NodeVectors, check_dim, exact};
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::item::Modality;
use crate::query::{MAX_K, Neighbor};

/// What a snapshot was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The catalog's generation that it holds.
    pub generation: u64,
    /// The space's fingerprint.
    pub fingerprint: String,
    /// The modality of every node.
    pub modality: Modality,
    /// Dimension of every vector.
    pub dim: usize,
}

/// How to search a snapshot.
#[derive(Clone, Copy)]
pub struct SearchOptions<'a> {
    /// How many neighbours; at most 10,000 come back.
    pub k: usize,
    /// Candidates kept while walking the graph: more is slower and better. At least `k` are kept.
    pub ef: usize,
    /// Compare with every node instead.
    pub exact: bool,
    /// Which keys may answer; all of them without it.
    pub accept: Option<&'a dyn Fn(u64) -> bool>,
}

impl SearchOptions<'_> {
    /// The best `k` of all, with the usual beam.
    pub fn top(k: usize) -> Self {
        Self { k, ef: DEFAULT_EF, exact: false, accept: None }
    }
}

/// An open snapshot.
pub struct Snapshot {
    path: PathBuf,
    map: Map,
    header: Header,
    graph: Option<SmallParts>,
}

/// The parts of a graph that are not read out of the map.
struct SmallParts {
    upper: Upper,
    orphans: Vec<u32>,
}

impl Snapshot {
    /// Maps a snapshot and checks its header and its small sections.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if anything is wrong with it, [`Error::Io`] if it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let map = Map::open(path)?;
        let corrupt = |reason| Error::Corrupt { path: path.to_path_buf(), reason };
        let header = Header::decode(map.bytes()).map_err(corrupt)?;
        let mut snapshot = Self { path: path.to_path_buf(), map, header, graph: None };
        for section in snapshot.header.sections.iter().filter(|section| !section.kind.is_bulk()) {
            snapshot.check_hash(section)?;
        }
        if let Some(section) = snapshot.header.section(Kind::Upper) {
            let upper = upper::decode(snapshot.section(section.kind))
                .ok_or_else(|| corrupt("section `upper` does not add up".into()))?;
            let orphans = snapshot.section::<u32>(Kind::Orphans).to_vec();
            snapshot.graph = Some(SmallParts { upper, orphans });
        }
        Ok(snapshot)
    }

    /// What it was made of.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.header.meta
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.header.n_nodes
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of each node.
    pub fn keys(&self) -> &[u64] {
        self.section(Kind::Ids)
    }

    /// The vectors one after the other; they may be damaged, see [`Snapshot::verify`].
    pub fn vectors(&self) -> &[f32] {
        self.section(Kind::Vectors)
    }

    /// Whether it holds a graph.
    pub fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    /// Hashes every section, the bulk ones included.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first section that is damaged.
    pub fn verify(&self) -> Result<()> {
        self.header.sections.iter().try_for_each(|section| self.check_hash(section))
    }

    /// The nodes nearest to `query`, best first, equal scores by key. If k accepted nodes exist, k come back.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the query is from another space.
    pub fn search(&self, query: &Embedding, options: &SearchOptions<'_>) -> Result<Vec<Neighbor>> {
        check_dim(self.meta().dim, query.dim())?;
        let k = options.k.min(MAX_K).min(self.len());
        if k == 0 {
            return Ok(Vec::new());
        }
        let situation = Situation {
            n_nodes: self.len(),
            k,
            ef: options.ef,
            exact: options.exact,
            has_graph: self.has_graph(),
            filtered: options.accept.is_some(),
        };
        if let Plan::Graph { ef } = plan(situation) {
            let found = self.search_graph(query, k, ef, options.accept);
            if found.len() == k {
                return Ok(found);
            }
        }
        exact::scan(self.nodes(), query.as_slice(), k, options.accept)
    }

    /// Up to `k` accepted neighbours out of a beam of `ef`; none without a graph.
    fn search_graph(
        &self,
        query: &Embedding,
        k: usize,
        ef: usize,
        accept: Option<&dyn Fn(u64) -> bool>,
    ) -> Vec<Neighbor> {
        let Some(SmallParts { upper, orphans }) = &self.graph else { return Vec::new() };
        let (width, layer0) = (self.header.width, self.section(Kind::Layer0));
        let walk = Walk { nodes: self.nodes(), width, layer0, upper, orphans };
        let keys = self.keys();
        let mut found: Vec<Neighbor> = (walk.nearest(query.as_slice(), ef).into_iter())
            .filter_map(|found| Some(Neighbor { key: *keys.get(found.key as usize)?, ..found }))
            .filter(|found| accept.is_none_or(|accept| accept(found.key)))
            .collect();
        // Equal scores are ordered by node so far.
        found.sort_by_key(|&found| Reverse(Ranked(found)));
        found.truncate(k);
        found
    }

    fn nodes(&self) -> NodeVectors<'_> {
        NodeVectors { keys: self.keys(), vectors: self.vectors(), dim: self.meta().dim }
    }

    /// The values of a section; none if it is not there.
    fn section<T: bytemuck::AnyBitPattern>(&self, kind: Kind) -> &[T] {
        let Some(section) = self.header.section(kind) else { return &[] };
        self.map
            .bytes()
            .get(section.range())
            .map_or(&[], |bytes| bytemuck::try_cast_slice(bytes).unwrap_or(&[]))
    }

    fn check_hash(&self, section: &Section) -> Result<()> {
        let bytes = self.map.bytes().get(section.hashed_range()).unwrap_or(&[]);
        if *blake3::hash(bytes).as_bytes() == section.hash {
            return Ok(());
        }
        let reason = format!("section `{}` does not match its checksum", section.kind.name());
        Err(Error::Corrupt { path: self.path.clone(), reason })
    }
}
