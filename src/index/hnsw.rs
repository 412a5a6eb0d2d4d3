//! Building a graph with `hnsw_rs`: the only file that knows the crate, and the only one that says "distance".
//!
//! Of `hnsw_rs` only the insertion is used. Its graph is exported once and frozen; it is never searched,
//! dumped or loaded, and its own distances, which panic on rounding, are not used. Its panics and its one
//! `exit` are out of reach: dimensions are checked and options clamped before it sees them.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::thread;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::Hnsw;

use super::graph::Graph;
use super::{NodeVectors, score};
use crate::error::{Error, Result};

/// One layer only. With more, `hnsw_rs` 0.3.5 deadlocks: a node with upper layers gives up the lock on its own
/// links between two layers, so that threads come to wait for each other in a circle (seen with 8 threads
/// within 50 builds of 1,500 nodes). In one layer a thread waits only for nodes that began to be linked before
/// its own. Our upper layers are graphs of their own, built the same way; 0 layers would panic.
const MAX_LAYER: usize = 1;

/// Every how many nodes of a layer one is part of the next layer.
const NODES_PER_UPPER: usize = 16;

/// A layer with fewer nodes than this is the top one.
const SMALL_LAYER: usize = 64;

/// Insertions between two questions whether to go on.
const INSERTS_PER_STEP: usize = 512;

/// How a graph is built.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Links of a node in each upper layer, 4 to 64; in layer 0 twice as many.
    pub max_links: usize,
    /// Candidates kept while a node is inserted, 16 to 2,000; more is slower and better.
    pub ef_construction: usize,
    /// How many nodes, at least 1, are inserted one by one before threads take over: a race between the first
    /// ones can lose their links.
    pub n_serial: usize,
    /// Whether to use all cores. The graph then differs from run to run.
    pub parallel: bool,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self { max_links: 16, ef_construction: 200, n_serial: 100, parallel: true }
    }
}

/// Builds the graph of `nodes`, whose vectors should all be different.
///
/// `progress` is called with the number of nodes inserted, and with the number of all nodes while the upper
/// layers are built and the finished graph is probed for nodes that it would not find. Its answer may stop the
/// build.
///
/// # Errors
/// [`Error::BadEmbedding`] if the vectors are not one unit vector a key, [`Error::Cancelled`].
pub fn build(
    nodes: NodeVectors<'_>,
    options: &BuildOptions,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Graph> {
    nodes.check()?;
    // More than 256 links end the process inside `hnsw_rs`, and 256 are stored as 0 in a byte.
    let options = BuildOptions {
        max_links: options.max_links.clamp(4, 64),
        ef_construction: options.ef_construction.clamp(16, 2_000),
        n_serial: options.n_serial.max(1),
        parallel: options.parallel,
    };
    let links = link_layers(nodes, &options, progress)?;
    let mut graph = Graph::freeze(&links, options.max_links);
    drop(links);
    let n_threads =
        if options.parallel { thread::available_parallelism().map_or(1, NonZero::get) } else { 1 };
    graph.probe(nodes, n_threads, progress)?;
    Ok(graph)
}

/// The neighbours of each node in each of its layers.
fn link_layers(
    nodes: NodeVectors<'_>,
    options: &BuildOptions,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<Vec<Vec<u32>>>> {
    let mut links = vec![Vec::new(); nodes.len()];
    let mut members: Vec<u32> = (0..nodes.len() as u32).collect();
    link_layer(nodes, &members, options, progress, &mut links)?;
    // `hnsw_rs` stores twice `max_links` in its layer 0.
    let upper = BuildOptions { max_links: options.max_links / 2, ..options.clone() };
    while members.len() >= SMALL_LAYER {
        members = members.into_iter().step_by(NODES_PER_UPPER).collect();
        link_layer(nodes, &members, &upper, &mut |_| progress(nodes.len()), &mut links)?;
    }
    Ok(links)
}

/// Adds one more layer to each of `members`.
fn link_layer(
    nodes: NodeVectors<'_>,
    members: &[u32],
    options: &BuildOptions,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    links: &mut [Vec<Vec<u32>>],
) -> Result<()> {
    let BuildOptions { max_links, ef_construction, n_serial, parallel } = *options;
    let hnsw =
        Hnsw::new(max_links, members.len(), MAX_LAYER, ef_construction, NodeDistance { nodes });
    let n_serial = if parallel { n_serial.min(members.len()) } else { members.len() };
    let (serial, parallel) = members.split_at(n_serial);
    let mut n_done = 0;
    for step in serial.chunks(INSERTS_PER_STEP) {
        ask(progress, &mut n_done, step)?;
        step.iter().for_each(|id| hnsw.insert_slice(with_id(id)));
    }
    for step in parallel.chunks(INSERTS_PER_STEP) {
        ask(progress, &mut n_done, step)?;
        hnsw.parallel_insert_slice(&step.iter().map(with_id).collect());
    }
    // All threads are done: an iterator over points deadlocks with one that inserts.
    for point in hnsw.get_point_indexation().get_layer_iterator(0) {
        let neighbours = point.get_neighborhood_id().into_iter().next().unwrap_or_default();
        let layer = neighbours.iter().map(|link| link.d_id as u32).collect();
        links[point.get_origin_id()].push(layer);
    }
    Ok(())
}

/// A node as `hnsw_rs` takes it: what it stores as the vector is the position only.
fn with_id(id: &u32) -> (&[u32], usize) {
    (std::slice::from_ref(id), *id as usize)
}

/// Reports what is done before `step`, and asks whether to go on with it.
fn ask(
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    n_done: &mut usize,
    step: &[u32],
) -> Result<()> {
    if progress(*n_done).is_break() {
        return Err(Error::Cancelled);
    }
    *n_done += step.len();
    Ok(())
}

/// Distance of two nodes, 0 to 2, from their positions: so no vector is held twice.
#[derive(Clone, Copy)]
struct NodeDistance<'a> {
    nodes: NodeVectors<'a>,
}

impl Distance<u32> for NodeDistance<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        let vectors = self.nodes.vector(a[0]).zip(self.nodes.vector(b[0]));
        distance(vectors.and_then(|(a, b)| score(a, b)))
    }
}

/// Never negative and never NaN: `hnsw_rs` panics on either.
fn distance(score: Option<f32>) -> f32 {
    score.map_or(2.0, |score| (1.0 - score).clamp(0.0, 2.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::scan;
    use crate::index::testing::{Nodes, recall};

    fn go_on(_: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn serial() -> BuildOptions {
        BuildOptions { parallel: false, ..BuildOptions::default() }
    }

    /// Mean recall@10 of `queries` at `ef`.
    fn mean_recall(graph: &Graph, nodes: &Nodes, queries: &Nodes, ef: usize) -> f64 {
        let walk = graph.walk(nodes.view());
        let recalls = queries.vectors.chunks_exact(queries.dim).map(|query| {
            let mut found = walk.nearest(query, ef);
            found.truncate(10);
            found.iter_mut().for_each(|found| found.key = nodes.keys[found.key as usize]);
            recall(&found, &scan(nodes.view(), query, 10, None).unwrap())
        });
        recalls.sum::<f64>() / queries.keys.len() as f64
    }

    #[test]
    fn recall_against_the_exact_scan() {
        let nodes = Nodes::clustered(3_000, 32, 40, 1);
        let queries = Nodes::clustered(200, 32, 40, 2);
        let graph = build(nodes.view(), &serial(), &mut go_on).unwrap();
        let found = mean_recall(&graph, &nodes, &queries, 64);
        assert!(found >= 0.95, "recall@10 is {found}");
        // Control: the measure falls when the graph is worse.
        let mut torn = graph;
        torn.layer0.iter_mut().step_by(2).for_each(|link| *link = crate::index::graph::EMPTY);
        torn.orphans.clear();
        assert!(mean_recall(&torn, &nodes, &queries, 16) < found);
    }

    #[test]
    fn threads_build_as_good_a_graph() {
        let nodes = Nodes::clustered(2_000, 16, 30, 3);
        let graph = build(nodes.view(), &BuildOptions::default(), &mut go_on).unwrap();
        let found = mean_recall(&graph, &nodes, &Nodes::clustered(100, 16, 30, 4), 64);
        assert!(found >= 0.95, "recall@10 is {found}");
    }

    /// Many threads, few links and small sets made the upper layers of `hnsw_rs` deadlock.
    #[test]
    fn threads_do_not_wait_for_each_other() {
        let nodes = Nodes::clustered(600, 4, 30, 3);
        let options =
            BuildOptions { max_links: 4, ef_construction: 16, n_serial: 0, parallel: true };
        for _ in 0..30 {
            let graph = build(nodes.view(), &options, &mut go_on).unwrap();
            assert!(graph.n_orphans() < 60, "{} orphans", graph.n_orphans());
        }
    }

    #[test]
    fn upper_layers_thin_out() {
        let nodes = Nodes::clustered(1_200, 8, 5, 3);
        let graph = build(nodes.view(), &serial(), &mut go_on).unwrap();
        let sizes: Vec<usize> = graph.upper.layers.iter().map(|layer| layer.nodes.len()).collect();
        assert_eq!(sizes, [75, 5]);
        assert_eq!(graph.upper.layers[1].nodes, [0, 256, 512, 768, 1_024]);
        assert_eq!((graph.upper.entry, graph.upper.layers[0].width, graph.width), (0, 16, 32));
        // Five nodes know each other.
        let mut row = graph.upper.layers[1].row(512)[..4].to_vec();
        row.sort_unstable();
        assert_eq!(row, [0, 256, 768, 1_024]);
    }

    #[test]
    fn a_serial_build_is_repeatable() {
        let nodes = Nodes::clustered(500, 8, 5, 3);
        let builds = [(); 2].map(|()| build(nodes.view(), &serial(), &mut go_on).unwrap());
        assert_eq!(builds[0].layer0, builds[1].layer0);
        assert_eq!(builds[0].upper, builds[1].upper);
    }

    /// Copies of one vector inserted first hide others from `hnsw_rs` (upstream issues 32 and 37).
    #[test]
    fn nothing_is_lost_behind_duplicates() {
        let distinct = Nodes::clustered(1_000, 16, 20, 5);
        let copy = Nodes::clustered(1, 16, 1, 6).vectors;
        let mut vectors = copy.repeat(500);
        vectors.extend(&distinct.vectors);
        let nodes = Nodes { keys: (0..1_500).collect(), vectors, dim: 16 };
        let mut graph = build(nodes.view(), &serial(), &mut go_on).unwrap();
        let n_lost = |graph: &Graph| {
            let walk = graph.walk(nodes.view());
            let finds = |node: u64| walk.nearest(nodes.vector(node as usize), 64)[0].key == node;
            (500..1_500).filter(|&node| !finds(node)).count()
        };
        assert_eq!(n_lost(&graph), 0);
        // Control: without the list of orphans some are lost.
        graph.orphans.clear();
        assert!(n_lost(&graph) > 0);
    }

    #[test]
    fn small_sets() {
        for n_nodes in [0, 1, 2, 3] {
            let nodes = Nodes::clustered(n_nodes, 4, 1, 7);
            for parallel in [false, true] {
                let options = BuildOptions { n_serial: 0, parallel, ..BuildOptions::default() };
                let graph = build(nodes.view(), &options, &mut go_on).unwrap();
                let query = Nodes::clustered(1, 4, 1, 8).vectors;
                assert_eq!(graph.walk(nodes.view()).nearest(&query, 10).len(), n_nodes);
            }
        }
    }

    #[test]
    fn options_out_of_range_are_clamped() {
        let nodes = Nodes::clustered(50, 4, 5, 7);
        for (max_links, ef_construction, n_serial) in
            [(0, 0, 0), (1, 1, 1), (256, 4, 90), (usize::MAX, 5_000, 9)]
        {
            let options = BuildOptions { max_links, ef_construction, n_serial, parallel: true };
            let graph = build(nodes.view(), &options, &mut go_on).unwrap();
            assert!([8, 128].contains(&graph.width));
            assert_eq!(graph.walk(nodes.view()).nearest(nodes.vector(3), 20)[0].key, 3);
        }
    }

    #[test]
    fn wrong_dimensions_are_an_error() {
        let nodes = Nodes::clustered(10, 4, 1, 7);
        assert!(build(nodes.view(), &serial(), &mut go_on).is_ok());
        let short = NodeVectors { vectors: &nodes.vectors[1..], ..nodes.view() };
        let other = NodeVectors { dim: 5, ..nodes.view() };
        for wrong in [short, other] {
            let refused = build(wrong, &serial(), &mut go_on).map(|graph| graph.n_orphans());
            assert!(matches!(refused, Err(Error::BadEmbedding { .. })), "{refused:?}");
        }
    }

    #[test]
    fn progress_counts_and_can_cancel() {
        let nodes = Nodes::clustered(1_200, 4, 5, 7);
        let mut calls = Vec::new();
        build(nodes.view(), &serial(), &mut |n_done| {
            calls.push(n_done);
            ControlFlow::Continue(())
        })
        .unwrap();
        // Layer 0, then the layers of 75 and of 5 nodes, then probing.
        assert_eq!(calls, [0, 512, 1_024, 1_200, 1_200, 1_200]);
        for parallel in [false, true] {
            let options = BuildOptions { parallel, ..BuildOptions::default() };
            for stop_at in [0, 500, 1_200] {
                let mut answer = |n_done| {
                    if n_done >= stop_at {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                };
                let stopped = build(nodes.view(), &options, &mut answer);
                assert!(matches!(stopped, Err(Error::Cancelled)));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Half of all unit vectors have a dot product above 1 with themselves.
        #[test]
        fn distance_is_in_range(values in prop::collection::vec(-1e3f32..1e3, 1..64)) {
            let unit = crate::Embedding::normalized(values);
            prop_assume!(unit.is_ok());
            let unit = unit.unwrap();
            let opposite: Vec<f32> = unit.as_slice().iter().map(|value| -value).collect();
            let to = |other: &[f32]| distance(score(unit.as_slice(), other));
            prop_assert!((0.0..1e-5).contains(&to(unit.as_slice())));
            prop_assert!((1.999..=2.0).contains(&to(&opposite)));
        }
    }

    #[test]
    fn what_is_no_number_is_far_away() {
        assert_eq!(distance(None), 2.0);
        assert_eq!(distance(Some(1.0)), 0.0);
        assert_eq!(distance(Some(-1.0)), 2.0);
    }
}
