//! The choice between the scan and the graph: pure, so that a table can test it.

use super::tuning::Tuning;

/// Below this many nodes no graph is built.
///
/// A scan of so many costs about a millisecond, and is exact.
pub const GRAPH_THRESHOLD: usize = 25_000;

/// The widest beam: memory of a query is bounded whatever the caller asks for.
const MAX_EF: usize = 20_000;

/// By how much a beam is widened at most beyond the share of what may answer: without it, the nearest in a half of a million drawn
/// vectors were found at a recall of 0.9896.
const MOST_MARGIN: f64 = 0.5;

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) n_nodes: usize,
    /// How many of them may answer.
    pub(super) n_allowed: usize,
    /// Wanted neighbours, at least 1.
    pub(super) k: usize,
    /// The beam for ten neighbours when all nodes may answer; `None` if no beam is wide enough.
    pub(super) ef: Option<usize>,
    /// Whether the caller wants the oracle.
    pub(super) exact: bool,
    pub(super) has_graph: bool,
}

/// How to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Compare with every node that may answer, by all its bits.
    Exact,
    /// Compare with every node that may answer by its coarse code, and rescore the best.
    Scan,
    /// Walk the graph; if too few come back that may answer, [`Plan::Scan`] after all.
    Graph {
        /// Candidates kept on the walk.
        ef: usize,
    },
}

/// Chooses what is expected to be cheaper at good recall.
pub(super) fn plan(situation: Situation, tuning: &Tuning) -> Plan {
    let Situation { n_nodes, n_allowed, k, ef, exact, has_graph } = situation;
    if exact {
        return Plan::Exact;
    }
    let (true, Some(ef), true) = (has_graph, ef, n_allowed > 0) else { return Plan::Scan };
    // What is excluded takes its place in the beam, and is passed through; and the farthest of those that may answer
    // lies farther out, where a beam finds less.
    let excluded = 1.0 - n_allowed as f64 / n_nodes as f64;
    let widening = n_nodes as f64 / n_allowed as f64 * (1.0 + excluded.min(MOST_MARGIN));
    let ef = (ef.max(k + k / 2) as f64 * widening).ceil();
    let walk_ns = ef * f64::from(tuning.walk_ns);
    let scan_ns = n_allowed as f64 * f64::from(tuning.scan_ns);
    if walk_ns >= scan_ns || ef > MAX_EF as f64 || ef >= n_nodes as f64 {
        return Plan::Scan;
    }
    Plan::Graph { ef: ef as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::MAX_K;

    #[test]
    fn table() {
        // A candidate of a walk costs as much as scanning 50 nodes.
        let tuning = Tuning { scan_ns: 40.0, walk_ns: 2_000.0, ..Tuning::default() };
        let n = 100_000;
        let usual = Situation {
            n_nodes: n,
            n_allowed: n,
            k: 10,
            ef: Some(64),
            exact: false,
            has_graph: true,
        };
        for (situation, expected) in [
            (usual, Plan::Graph { ef: 64 }),
            (Situation { exact: true, ..usual }, Plan::Exact),
            (Situation { has_graph: false, ..usual }, Plan::Scan),
            (Situation { ef: None, ..usual }, Plan::Scan),
            (Situation { k: 100, ..usual }, Plan::Graph { ef: 150 }),
            // As slow as a scan: then the scan, which misses nothing.
            (Situation { ef: Some(1_999), ..usual }, Plan::Graph { ef: 1_999 }),
            (Situation { ef: Some(2_000), ..usual }, Plan::Scan),
            (Situation { k: MAX_K, ..usual }, Plan::Scan),
            // Half of the nodes: three times the beam, and half of the scan.
            (Situation { n_allowed: n / 2, ..usual }, Plan::Graph { ef: 192 }),
            (Situation { n_allowed: n / 2, ef: Some(334), ..usual }, Plan::Scan),
            (Situation { n_allowed: n / 10, ..usual }, Plan::Scan),
            // What is gone since the snapshot was written hardly counts.
            (Situation { n_allowed: n - n / 100, ..usual }, Plan::Graph { ef: 66 }),
            (Situation { n_allowed: 0, ..usual }, Plan::Scan),
            // The beam is never wider than memory allows, nor as wide as all there is.
            (
                Situation { n_nodes: 1 << 30, n_allowed: 1 << 30, k: MAX_K, ..usual },
                Plan::Graph { ef: 15_000 },
            ),
            (
                Situation { n_nodes: 1 << 30, n_allowed: 1 << 30, ef: Some(30_000), ..usual },
                Plan::Scan,
            ),
            (Situation { n_nodes: 50, n_allowed: 50, ..usual }, Plan::Scan),
            (Situation { n_nodes: 0, n_allowed: 0, ..usual }, Plan::Scan),
        ] {
            assert_eq!(plan(situation, &tuning), expected, "{situation:?}");
        }
    }
}
