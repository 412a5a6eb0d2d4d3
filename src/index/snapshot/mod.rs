//! The snapshot: keys, vectors and graph of one space and modality in one file, mapped into memory.
//!
//! What is small (header, ids, upper layers, orphans) is hashed when a snapshot is opened. What is large
//! (vectors, layer 0) is checked at every access instead, and hashed by [`Snapshot::verify`]: a damaged byte
//! there can cost a neighbour or change a score, so a caller scores what comes back again from its own rows.

mod check;
mod draft;
mod format;
#[cfg(fuzzing)]
mod fuzzing;
mod map;
#[cfg(test)]
mod tests;
mod tuning_words;
mod upper;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use draft::SnapshotDraft;
#[cfg(fuzzing)]
pub use fuzzing::rehashed;

use self::format::{Header, Kind, Section};
use self::map::Map;
use super::codes::{CodeView, CodedQuery};
use super::graph::Upper;
use super::node_set::{Filter, NodeSet};
use super::plan::{Plan, Situation, plan};
use super::tuning::Tuning;
use super::walk::{Scratch, Walk};
use super::{check_dim, scan};
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

/// How much wider the beam is than it was measured for nodes of the graph: a query of their modality that comes from
/// elsewhere is less like them than they are.
const OWN_MARGIN: usize = 2;

/// How much wider the next walk is when nodes at the end of a beam may be as good as those that are wanted.
const WIDENING: usize = 4;

/// How to search a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SearchOptions<'a> {
    /// How many neighbours; at most 10,000 come back.
    pub k: usize,
    /// Whether the query is of the other modality: a text among images needs a wider beam.
    pub foreign: bool,
    /// Candidates kept while walking the graph, instead of what was measured to be enough.
    pub ef: Option<usize>,
    /// Compare with every node instead, by all bits of its codes.
    pub exact: bool,
    /// Which keys may answer.
    pub filter: Filter<'a>,
}

impl SearchOptions<'_> {
    /// The best `k` of all for a query of the same modality.
    pub fn top(k: usize) -> Self {
        Self { k, foreign: false, ef: None, exact: false, filter: Filter::All }
    }
}

/// What was found, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Best first, equal scores by key.
    pub neighbors: Vec<Neighbor>,
    /// What was done in the end.
    pub plan: Plan,
    /// Nodes that could answer.
    pub n_allowed: usize,
    /// How far the score of a neighbour may be from that of its vector, which codes do not tell exactly: four deviations.
    pub rounding: f32,
}

/// An open snapshot.
pub struct Snapshot {
    path: PathBuf,
    map: Map,
    header: Header,
    scale: f32,
    graph: Option<SmallParts>,
    /// Memory of walks that are over: one for each thread that ever searched at the same time.
    scratches: Mutex<Vec<Scratch>>,
}

/// The parts of a graph that are not read out of the map.
struct SmallParts {
    upper: Upper,
    orphans: Vec<u32>,
    tuning: Tuning,
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
        let (scale, scratches) = (0.0, Mutex::default());
        let mut snapshot =
            Self { path: path.to_path_buf(), map, header, scale, graph: None, scratches };
        for section in snapshot.header.sections.iter().filter(|section| !section.kind.is_bulk()) {
            snapshot.check_hash(section)?;
        }
        snapshot.scale = snapshot.section::<f32>(Kind::Quantizer).last().copied().unwrap_or(0.0);
        if snapshot.header.width > 0 {
            let does_not_add_up = |name| corrupt(format!("section `{name}` does not add up"));
            let upper = upper::decode(snapshot.section(Kind::Upper))
                .ok_or_else(|| does_not_add_up("upper"))?;
            let tuning = tuning_words::decode(snapshot.section(Kind::Tuning))
                .ok_or_else(|| does_not_add_up("tuning"))?;
            let orphans = snapshot.section::<u32>(Kind::Orphans).to_vec();
            snapshot.graph = Some(SmallParts { upper, orphans, tuning });
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

    /// The key of each node: with a graph near ones lie side by side, without one they are in ascending order.
    pub fn keys(&self) -> &[u64] {
        self.section(Kind::Ids)
    }

    /// Which nodes may answer; `None` if all may.
    fn allowed(&self, filter: Filter<'_>) -> Option<NodeSet> {
        filter.nodes(self.keys(), self.section(Kind::ByKey))
    }

    /// Whether it holds a graph.
    pub fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    /// What searching the graph was measured to cost and to find, when it was built; `None` without a graph.
    pub fn tuning(&self) -> Option<&Tuning> {
        self.graph.as_ref().map(|graph| &graph.tuning)
    }

    /// Hashes every section, the bulk ones included.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first section that is damaged.
    pub fn verify(&self) -> Result<()> {
        self.header.sections.iter().try_for_each(|section| self.check_hash(section))
    }

    /// The nodes nearest to `query`. If k nodes may answer, k come back.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the query is from another space.
    pub fn search(&self, query: &Embedding, options: &SearchOptions<'_>) -> Result<Answer> {
        check_dim(self.meta().dim, query.dim())?;
        let allowed = self.allowed(options.filter);
        let n_allowed = allowed.as_ref().map_or(self.len(), NodeSet::len);
        let k = options.k.min(MAX_K).min(n_allowed);
        let mut plan = self.plan(k, n_allowed, options);
        let codes = self.codes();
        let query = codes.query(query.as_slice());
        let mut found = Vec::new();
        if let Plan::Graph { ef } = plan {
            found = self.walk(&query, k, ef, allowed.as_ref());
            if found.len() < k {
                plan = Plan::Scan;
            }
        }
        match plan {
            Plan::Exact => found = scan::scan_fine(codes, &query, k, allowed.as_ref()),
            Plan::Scan => found = scan::scan(codes, &query, k, allowed.as_ref()),
            Plan::Graph { .. } => {}
        }
        let keys = self.keys();
        let named = found.into_iter().filter_map(|found| {
            Some(Neighbor { key: *keys.get(usize::try_from(found.key).ok()?)?, ..found })
        });
        let mut neighbors: Vec<Neighbor> = named.collect();
        neighbors.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.key.cmp(&b.key)));
        Ok(Answer { neighbors, plan, n_allowed, rounding: codes.rounding() })
    }

    fn plan(&self, k: usize, n_allowed: usize, options: &SearchOptions<'_>) -> Plan {
        let guess = Tuning::default();
        let tuning = self.tuning().unwrap_or(&guess);
        let measured = match options.foreign {
            true => tuning.foreign.ef(),
            false => tuning.own.ef().map(|ef| ef * OWN_MARGIN),
        };
        let situation = Situation {
            n_nodes: self.len(),
            n_allowed,
            k,
            ef: options.ef.or(measured),
            exact: options.exact,
            has_graph: self.has_graph() && k > 0,
        };
        plan(situation, tuning)
    }

    /// The best k of those that walks find and that may answer, rescored; fewer if too few do, to be sure of them.
    fn walk(
        &self,
        query: &CodedQuery,
        k: usize,
        ef: usize,
        allowed: Option<&NodeSet>,
    ) -> Vec<Neighbor> {
        let mut scratch = self.scratches.lock().ok().and_then(|mut kept| kept.pop());
        let scratch = scratch.get_or_insert_default();
        let mut found = None;
        let mut ef = ef;
        while found.is_none() && ef < self.len() {
            found = self.walk_once(query, k, ef, allowed, scratch);
            ef = ef.saturating_mul(WIDENING);
        }
        if let Ok(mut kept) = self.scratches.lock() {
            kept.push(std::mem::take(scratch));
        }
        found.unwrap_or_default()
    }

    /// `None` if rounding may have kept some of the best out of the beam: so many nodes are equally good.
    fn walk_once(
        &self,
        query: &CodedQuery,
        k: usize,
        ef: usize,
        allowed: Option<&NodeSet>,
        scratch: &mut Scratch,
    ) -> Option<Vec<Neighbor>> {
        let SmallParts { upper, orphans, .. } = self.graph.as_ref()?;
        let (width, layer0) = (self.header.width, self.section(Kind::Layer0));
        let walk = Walk { codes: self.codes(), width, layer0, upper, orphans };
        walk.nearest(&query.coarse, ef, scratch);
        let may_answer =
            |&(_, node): &(i32, u32)| allowed.is_none_or(|allowed| allowed.contains(node));
        let ranked = || scratch.ranked().filter(may_answer);
        let contenders: Vec<u32> = scan::contenders(ranked(), k, query.slack).collect();
        let least = ranked().nth(k.checked_sub(1)?).map(|(dot, _)| dot.saturating_sub(query.slack));
        let is_full = scratch.ranked().count() >= ef;
        let reaches_the_end = scratch.ranked().last().map(|(dot, _)| dot) >= least;
        let are_few = contenders.len() < k + scan::MORE_CANDIDATES;
        if least.is_some() && is_full && reaches_the_end && are_few {
            return None;
        }
        Some(scan::rescore(walk.codes, query, contenders, k))
    }

    fn codes(&self) -> CodeView<'_> {
        let mean = self.section::<f32>(Kind::Quantizer);
        let mean = mean.get(..self.meta().dim).unwrap_or(&[]);
        CodeView::new(mean, self.scale, self.section(Kind::Coarse), self.section(Kind::Fine))
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
