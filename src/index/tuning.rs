//! What searching costs and finds, measured on this machine when a graph is built, and kept in its snapshot.

use std::time::Instant;

use super::codes::{CodeView, CodedQuery};
use super::graph::{EMPTY, Graph};
use super::scan;
use super::walk::Scratch;

/// Neighbours by which recall is measured.
pub(super) const K: usize = 10;

/// Queries of each kind that are tried.
const MAX_QUERIES: usize = 200;

/// Beams that are tried, narrow ones first.
const BEAMS: [usize; 12] = [32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024, 2_048];

/// Costs and beams.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Nanoseconds that the scan needs for a node.
    pub scan_ns: f32,
    /// Nanoseconds that a walk needs for a candidate of its beam.
    pub walk_ns: f32,
    /// For queries of the modality that is searched.
    pub own: Beams,
    /// For queries of the other one.
    pub foreign: Beams,
}

/// The beams that give two recalls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beams {
    /// Queries that were tried; without any, the beam is a guess.
    pub n_queries: usize,
    /// For a recall@10 of 0.95.
    pub fast: Beam,
    /// For a recall@10 of 0.99.
    pub good: Beam,
}

/// A width and what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beam {
    /// Candidates kept on the walk; 0 if none of those tried is wide enough.
    pub ef: usize,
    /// Of the ten nearest of each query, how many were found.
    pub n_found: usize,
}

impl Default for Tuning {
    /// Guesses, for a graph that nobody measured.
    fn default() -> Self {
        let guess = |ef| Beam { ef, n_found: 0 };
        let beams = |fast, good| Beams { n_queries: 0, fast: guess(fast), good: guess(good) };
        Self { scan_ns: 40.0, walk_ns: 2_000.0, own: beams(64, 128), foreign: beams(256, 1_024) }
    }
}

impl Beams {
    /// The beam for a recall of 0.99; `None` if the graph does not reach it.
    pub(super) fn ef(&self) -> Option<usize> {
        (self.good.ef > 0).then_some(self.good.ef)
    }
}

/// A query, and what it should find.
struct Try {
    query: CodedQuery,
    /// A node that is the query itself, and is kept out of its search: [`EMPTY`] if there is none.
    hidden: u32,
    exact: Vec<u64>,
}

/// Tries queries of both kinds, vectors one after the other: nodes of the graph as if they were not in it, and
/// `foreign` ones that the graph was not made for.
pub(super) fn measure(graph: &Graph, codes: CodeView<'_>, foreign: &[f32]) -> Tuning {
    let guess = Tuning::default();
    let started = Instant::now();
    let own: Vec<Try> = samples(graph, codes).map(|node| own_try(codes, node)).collect();
    let foreign = foreign.chunks_exact(codes.dim()).take(MAX_QUERIES);
    let foreign: Vec<Try> =
        foreign.map(|vector| new_try(codes, codes.query(vector), EMPTY)).collect();
    if own.is_empty() {
        return guess;
    }
    let n_compared = (own.len() + foreign.len()) * codes.len();
    let scan_ns = started.elapsed().as_nanos() as f32 / n_compared.max(1) as f32;
    let started = Instant::now();
    let mut n_candidates = 0;
    let own = beams(graph, codes, &own, &mut n_candidates);
    let foreign = match foreign.is_empty() {
        true => guess.foreign,
        false => beams(graph, codes, &foreign, &mut n_candidates),
    };
    let walk_ns = started.elapsed().as_nanos() as f32 / n_candidates.max(1) as f32;
    Tuning { scan_ns, walk_ns, own, foreign }
}

/// Nodes at even steps, without those of upper layers, where a walk may begin.
fn samples(graph: &Graph, codes: CodeView<'_>) -> impl Iterator<Item = u32> {
    let step = (codes.len() / MAX_QUERIES).max(1);
    let is_upper = |node: &u32| {
        graph.upper.entry == *node
            || graph
                .upper
                .layers
                .first()
                .is_some_and(|layer| layer.nodes.binary_search(node).is_ok())
    };
    (1..codes.len() as u32).step_by(step).filter(move |node| !is_upper(node)).take(MAX_QUERIES)
}

fn own_try(codes: CodeView<'_>, node: u32) -> Try {
    new_try(codes, codes.query(&codes.vector(node)), node)
}

fn new_try(codes: CodeView<'_>, query: CodedQuery, hidden: u32) -> Try {
    let found = scan::scan(codes, &query, K + 1, None).into_iter().map(|found| found.key);
    let exact = found.filter(|&key| key != u64::from(hidden)).take(K).collect();
    Try { query, hidden, exact }
}

/// Widens the beam until both recalls are reached.
fn beams(graph: &Graph, codes: CodeView<'_>, tries: &[Try], n_candidates: &mut usize) -> Beams {
    let walk = graph.walk(codes);
    let mut scratch = Scratch::default();
    let n_wanted: usize = tries.iter().map(|one| one.exact.len()).sum();
    let mut beams = Beams { n_queries: tries.len(), ..Beams::default() };
    for ef in BEAMS.into_iter().filter(|&ef| ef < codes.len()) {
        let mut n_found = 0;
        for Try { query, hidden, exact } in tries {
            walk.nearest_but(&query.coarse, ef, *hidden, &mut scratch);
            *n_candidates += ef;
            let contenders = scan::contenders(scratch.ranked(), K, query.slack);
            let found = scan::rescore(codes, query, contenders, K);
            n_found += found.iter().filter(|found| exact.contains(&found.key)).count();
        }
        let reaches = |share: f64| n_found as f64 >= share * n_wanted as f64;
        if beams.fast.ef == 0 && reaches(0.95) {
            beams.fast = Beam { ef, n_found };
        }
        if reaches(0.99) {
            beams.good = Beam { ef, n_found };
            break;
        }
    }
    beams
}
