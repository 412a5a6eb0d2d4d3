//! The choice between the exact scan and the graph: pure, so that a table can test it.

/// Below this many nodes no graph is built.
///
/// The exact scan is faster than a graph of equal recall up to about here, for text queries against images,
/// which are the hard ones (ANN measurements: break-even at 6,000 to 25,000 nodes).
pub const GRAPH_THRESHOLD: usize = 25_000;

/// Candidates kept while walking the graph, unless the caller knows better.
pub const DEFAULT_EF: usize = 128;

/// The widest beam: memory of a query is bounded whatever the caller asks for.
const MAX_EF: usize = 10_000;

/// How much wider the beam is with a filter, since only a part of what it finds will be accepted.
const FILTER_WIDENING: usize = 4;

/// What a walk costs for each candidate that it keeps, in nodes scanned for the same time.
///
/// `benches/search.rs` gives 66 to 81 at 50,000 nodes of 256 dimensions.
const SCANNED_PER_CANDIDATE: usize = 75;

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) n_nodes: usize,
    /// Wanted neighbours, at least 1.
    pub(super) k: usize,
    /// Wanted beam.
    pub(super) ef: usize,
    /// Whether the caller wants the oracle.
    pub(super) exact: bool,
    pub(super) has_graph: bool,
    /// Whether some nodes may not answer.
    pub(super) filtered: bool,
}

/// How to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Compare with every node.
    Exact,
    /// Walk the graph; if fewer than k come back, [`Plan::Exact`] after all.
    Graph { ef: usize },
}

/// Chooses what is expected to be cheaper at good recall.
pub(super) fn plan(situation: Situation) -> Plan {
    let Situation { n_nodes, k, ef, exact, has_graph, filtered } = situation;
    let affordable_ef = n_nodes / SCANNED_PER_CANDIDATE;
    if exact || !has_graph || k >= affordable_ef {
        return Plan::Exact;
    }
    let mut ef = ef.max(k);
    if filtered {
        ef = ef.saturating_mul(FILTER_WIDENING).min(affordable_ef.max(ef));
    }
    let ef = ef.min(MAX_EF);
    if ef >= n_nodes { Plan::Exact } else { Plan::Graph { ef } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::MAX_K;

    #[test]
    fn table() {
        let usual = Situation {
            n_nodes: 100_000,
            k: 10,
            ef: 64,
            exact: false,
            has_graph: true,
            filtered: false,
        };
        for (situation, expected) in [
            (usual, Plan::Graph { ef: 64 }),
            (Situation { exact: true, ..usual }, Plan::Exact),
            (Situation { has_graph: false, ..usual }, Plan::Exact),
            (Situation { filtered: true, ..usual }, Plan::Graph { ef: 256 }),
            (Situation { k: 100, ..usual }, Plan::Graph { ef: 100 }),
            (Situation { k: 100, filtered: true, ..usual }, Plan::Graph { ef: 400 }),
            // As slow as a scan: then the scan, which misses nothing.
            (Situation { k: 1_332, ..usual }, Plan::Graph { ef: 1_332 }),
            (Situation { k: 1_333, ..usual }, Plan::Exact),
            (Situation { k: MAX_K, ..usual }, Plan::Exact),
            (Situation { k: MAX_K, n_nodes: 1_000_000, ..usual }, Plan::Graph { ef: 10_000 }),
            (Situation { ef: 0, ..usual }, Plan::Graph { ef: 10 }),
            (Situation { ef: usize::MAX, ..usual }, Plan::Graph { ef: 10_000 }),
            (Situation { ef: usize::MAX, filtered: true, ..usual }, Plan::Graph { ef: 10_000 }),
            (Situation { n_nodes: 15_000, filtered: true, ..usual }, Plan::Graph { ef: 200 }),
            (Situation { n_nodes: 1_000, filtered: true, ..usual }, Plan::Graph { ef: 64 }),
            (Situation { n_nodes: 1_000, ef: 1_000, ..usual }, Plan::Exact),
            (Situation { n_nodes: 824, ..usual }, Plan::Exact),
            (Situation { n_nodes: 825, ..usual }, Plan::Graph { ef: 64 }),
            (Situation { n_nodes: 150, k: 1, ..usual }, Plan::Graph { ef: 64 }),
            (Situation { n_nodes: 0, ..usual }, Plan::Exact),
            (Situation { n_nodes: 1, k: 1, ..usual }, Plan::Exact),
        ] {
            assert_eq!(plan(situation), expected, "{situation:?}");
        }
    }

    #[test]
    fn a_beam_always_holds_k() {
        assert_eq!(MAX_EF, MAX_K);
    }
}
