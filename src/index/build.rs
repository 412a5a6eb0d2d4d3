//! Building a graph: shards linked by `hnsw_rs`, joined, refined by searching the graph itself, enriched with
//! edges that text queries need, and probed for nodes that are lost.
//!
//! Everything works on the coarse codes. Each step reads what the step before left and writes something new, so
//! the graph is the same whatever the number of threads.

use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::thread;

use rayon::ThreadPool;
use rayon::prelude::*;

use super::codes::{CodeView, Codes};
use super::graph::{EMPTY, Graph, Layer, Upper};
use super::links::{Metric, Rows, squares};
use super::text_edges;
use super::walk::Scratch;
use super::{hnsw, shards};
use crate::error::{Error, Result};

/// Every how many nodes of a layer one is part of the next layer.
const NODES_PER_UPPER: usize = 32;

/// A layer with fewer nodes than this is the top one.
const SMALL_LAYER: usize = 64;

/// Links of a row in the upper layers.
const UPPER_WIDTH: usize = 16;

/// Nodes between two questions whether to go on.
const NODES_PER_STEP: usize = 8_192;

/// The beam with which every node must find itself. Queries use a wider one, so what is found here is found
/// there.
const PROBE_EF: usize = 24;

/// How often links are added to nodes that are still not found. One round left 5,510 of a million drawn vectors, with which
/// every query was then compared.
const MENDINGS: u32 = 4;

/// Nodes that get a link to one that is not found.
const LINKS_TO_LOST: usize = 3;

/// How a graph is built.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Links of a node that a search among the nodes needs, 8 to 64.
    pub max_links: usize,
    /// Links of a node that text queries need beside them, 0 to 64.
    pub max_text_links: usize,
    /// Candidates that `hnsw_rs` keeps while a node is inserted into its shard, 16 to 2,000.
    pub ef_construction: usize,
    /// Candidates among which a node's links are chosen in the whole graph, 16 to 2,000.
    pub ef_refine: usize,
    /// Threads; 0 for as many as there are cores. The graph does not depend on it.
    pub n_threads: usize,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self { max_links: 32, max_text_links: 32, ef_construction: 40, ef_refine: 64, n_threads: 0 }
    }
}

/// What is told while a graph is built: how many of all nodes' worth of work is done. Its answer may stop it.
pub type OnProgress<'a> = &'a mut dyn FnMut(usize) -> ControlFlow<()>;

/// Builds the graph of `codes`; `samples` are vectors of typical text queries, one after the other.
///
/// # Errors
/// [`Error::Cancelled`]; [`Error::BadOption`] if threads cannot be started.
pub(super) fn build(
    codes: &Codes,
    samples: &[f32],
    options: &BuildOptions,
    progress: OnProgress<'_>,
) -> Result<Graph> {
    let n_threads = match options.n_threads {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        n_threads => n_threads,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
    let pool = pool.map_err(|error| Error::BadOption { reason: error.to_string() })?;
    let codes = codes.view();
    let max_links = options.max_links.clamp(8, 64);
    let squares = pool.install(|| squares(codes));
    let metric = Metric { codes, squares: &squares };
    let mut work = Work::new(codes.len(), &pool, progress);
    let layer0 = link_layer(metric, max_links, options.ef_construction, &mut work.part(0.4))?;
    let upper = link_upper(codes, &mut work.part(0.05))?;
    let mut graph = Graph { layer0, upper, orphans: Vec::new() };
    graph.layer0 = refine(&graph, metric, options.ef_refine, &mut work.part(0.3))?;
    graph.layer0 = graph.layer0.widened(max_links + options.max_text_links.min(64));
    text_edges::add(&mut graph, metric, samples, &mut work.part(0.15))?;
    metric.reach(&mut graph.layer0);
    mend(&mut graph, codes, &mut work.part(0.1))?;
    Ok(graph)
}

/// Links the nodes of a layer among each other.
fn link_layer(metric: Metric<'_>, width: usize, ef: usize, work: &mut Work<'_>) -> Result<Rows> {
    let (codes, pool) = (metric.codes, work.pool);
    let members: Vec<u32> = (0..codes.len() as u32).collect();
    let shards = pool.install(|| shards::divide(codes, metric.squares, &members));
    let n_linked: usize = shards.iter().map(Vec::len).sum();
    let mut candidates: Vec<Vec<u32>> = vec![Vec::new(); codes.len()];
    let mut n_done = 0;
    for step in shards.chunks(2 * pool.current_num_threads()) {
        work.ask(n_done as f64 / n_linked as f64)?;
        n_done += step.iter().map(Vec::len).sum::<usize>();
        let link = |shard: &Vec<u32>| hnsw::link(codes, metric.squares, shard, width / 4, ef);
        let linked: Vec<Vec<Vec<u32>>> =
            pool.install(|| step.par_iter().with_max_len(1).map(link).collect());
        for (shard, links) in step.iter().zip(linked) {
            for (&node, links) in shard.iter().zip(links) {
                candidates[node as usize].extend(links);
            }
        }
    }
    let choose =
        |(node, candidates): (usize, &mut Vec<u32>)| metric.choose(node as u32, candidates, width);
    let chosen: Vec<Vec<u32>> =
        pool.install(|| candidates.par_iter_mut().enumerate().map(choose).collect());
    let mut rows = Rows::new(codes.len(), width);
    chosen.into_iter().enumerate().for_each(|(node, links)| rows.set(node, links));
    Ok(pool.install(|| metric.join(&rows)))
}

/// The layers above 0: each a graph of its own over every [`NODES_PER_UPPER`]th node of the one below.
fn link_upper(codes: CodeView<'_>, work: &mut Work<'_>) -> Result<Upper> {
    let mut nodes: Vec<u32> = (0..codes.len() as u32).collect();
    let mut upper = Upper { entry: nodes.first().copied().unwrap_or(EMPTY), layers: Vec::new() };
    while nodes.len() >= SMALL_LAYER {
        nodes = nodes.into_iter().step_by(NODES_PER_UPPER).collect();
        let coarse: Vec<i8> = nodes.iter().flat_map(|&node| codes.row(node)).copied().collect();
        let own = codes.of_rows(&coarse);
        let own_squares = work.pool.install(|| squares(own));
        let metric = Metric { codes: own, squares: &own_squares };
        let rows = link_layer(metric, UPPER_WIDTH, 64, &mut work.part(0.0))?;
        let name = |&link: &u32| if link == EMPTY { EMPTY } else { nodes[link as usize] };
        let links = rows.links.iter().map(name).collect();
        upper.layers.push(Layer { nodes: nodes.clone(), width: rows.width, links });
    }
    Ok(upper)
}

/// Chooses the links of every node anew among what a search for it finds.
fn refine(graph: &Graph, metric: Metric<'_>, ef: usize, work: &mut Work<'_>) -> Result<Rows> {
    let (codes, width) = (metric.codes, graph.layer0.width);
    let walk = graph.walk(codes);
    let mut rows = Rows::new(codes.len(), width);
    for step in steps(codes.len()) {
        work.ask(step.start as f64 / codes.len() as f64)?;
        let own = &mut rows.links[step.start * width..step.end * width];
        let choose = |scratch: &mut Scratch, (row, node): (&mut [u32], usize)| {
            walk.nearest(&codes.query_of(node as u32), ef.clamp(16, 2_000), scratch);
            let mut candidates: Vec<u32> = scratch.found().collect();
            candidates.extend(graph.layer0.row(node));
            let chosen = metric.choose(node as u32, &mut candidates, width);
            row.iter_mut().zip(chosen).for_each(|(slot, link)| *slot = link);
        };
        let rows = own.par_chunks_mut(width).zip(step);
        work.pool.install(|| rows.for_each_init(Scratch::default, choose));
    }
    Ok(work.pool.install(|| metric.join(&rows)))
}

/// Links the nodes that are not found by their own vectors from what is found in their place, and lists those that
/// are not found in the end. New links make walks go other ways, so all nodes are tried again.
fn mend(graph: &mut Graph, codes: CodeView<'_>, work: &mut Work<'_>) -> Result<()> {
    let all: Vec<u32> = (0..codes.len() as u32).collect();
    let mut missed = lost(graph, codes, &all, &mut work.part(0.4))?;
    for _ in 0..MENDINGS {
        for (node, found) in &missed {
            // Only where there is room: a link that gives way may be the one that leads to another node.
            let added = found.iter().filter(|&&found| graph.layer0.add(found as usize, *node));
            added.take(LINKS_TO_LOST).for_each(|_| {});
        }
        let nodes: Vec<u32> = missed.iter().map(|(node, _)| *node).collect();
        missed = lost(graph, codes, &nodes, &mut work.part(0.2 / f64::from(MENDINGS)))?;
    }
    let lost = lost(graph, codes, &all, &mut work.part(0.4))?;
    graph.orphans = lost.into_iter().map(|(node, _)| node).collect();
    Ok(())
}

/// Those of some nodes that are not found by their own vectors, and what is found instead.
fn lost(
    graph: &Graph,
    codes: CodeView<'_>,
    nodes: &[u32],
    work: &mut Work<'_>,
) -> Result<Vec<(u32, Vec<u32>)>> {
    let walk = graph.walk(codes);
    let mut lost = Vec::new();
    for step in steps(nodes.len()) {
        work.ask(step.start as f64 / nodes.len() as f64)?;
        let probe = |scratch: &mut Scratch, &node: &u32| {
            walk.nearest(&codes.query_of(node), PROBE_EF, scratch);
            // One of equal codes is as good as the other, and of many not all fit into the beam.
            let is_it = |found: u32| found == node || codes.row(found) == codes.row(node);
            let is_lost = !scratch.found().any(is_it);
            is_lost.then(|| (node, scratch.found().collect::<Vec<u32>>()))
        };
        let probed = nodes[step].par_iter();
        let probed = probed.map_init(Scratch::default, probe).flatten();
        lost.extend(work.pool.install(|| probed.collect::<Vec<_>>()));
    }
    Ok(lost)
}

/// All nodes, a step at a time.
fn steps(n_nodes: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n_nodes)
        .step_by(NODES_PER_STEP)
        .map(move |start| start..(start + NODES_PER_STEP).min(n_nodes))
}

/// How far the work is, as a part of the whole.
pub(super) struct Work<'a> {
    pub(super) pool: &'a ThreadPool,
    n_nodes: usize,
    progress: OnProgress<'a>,
    start: f64,
    share: f64,
}

impl<'a> Work<'a> {
    fn new(n_nodes: usize, pool: &'a ThreadPool, progress: OnProgress<'a>) -> Self {
        Self { pool, n_nodes, progress, start: 0.0, share: 1.0 }
    }

    /// The next part of it.
    fn part(&mut self, share: f64) -> Work<'_> {
        let start = self.start;
        self.start += share * self.share;
        Work {
            pool: self.pool,
            n_nodes: self.n_nodes,
            progress: self.progress,
            start,
            share: share * self.share,
        }
    }

    /// Tells what share of this part is done, and asks whether to go on.
    pub(super) fn ask(&mut self, done: f64) -> Result<()> {
        let done = (self.start + self.share * done).min(1.0);
        match (self.progress)((self.n_nodes as f64 * done) as usize) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::scan;
    use crate::index::testing::{Nodes, recall};
    use crate::query::Neighbor;

    /// The first nodes, and the others to query with.
    fn split(mut nodes: Nodes, n_nodes: usize) -> (Nodes, Nodes) {
        let vectors = nodes.vectors.split_off(n_nodes * nodes.dim);
        let queries = Nodes { keys: nodes.keys.split_off(n_nodes), vectors, dim: nodes.dim };
        (nodes, queries)
    }

    fn go_on(_: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn built(codes: &Codes) -> Graph {
        build(codes, &[], &BuildOptions::default(), &mut go_on).unwrap()
    }

    fn walked(graph: &Graph, codes: &Codes, query: &[f32], ef: usize) -> Vec<Neighbor> {
        let mut scratch = Scratch::default();
        let query = codes.view().query(query);
        graph.walk(codes.view()).nearest(&query.coarse, ef, &mut scratch);
        scan::rescore(codes.view(), &query, scratch.found(), 10)
    }

    /// Mean recall@10 against the exact scan of the vectors.
    fn mean_recall(graph: &Graph, codes: &Codes, nodes: &Nodes, queries: &Nodes, ef: usize) -> f64 {
        let keys: Vec<u64> = (0..nodes.keys.len() as u64).collect();
        let nodes = crate::index::NodeVectors { keys: &keys, ..nodes.view() };
        let recalls = queries.vectors.chunks_exact(queries.dim).map(|query| {
            let exact = crate::index::scan(nodes, query, 10, None).unwrap();
            recall(&walked(graph, codes, query, ef), &exact)
        });
        recalls.sum::<f64>() / queries.keys.len() as f64
    }

    #[test]
    fn recall_against_the_exact_scan() {
        let (nodes, queries) = split(Nodes::clustered(3_200, 32, 40, 1), 3_000);
        let codes = nodes.codes();
        let graph = built(&codes);
        let found = mean_recall(&graph, &codes, &nodes, &queries, 64);
        assert!(found >= 0.98, "recall@10 is {found}");
        // Control: the measure falls when the graph is worse.
        let mut torn = graph;
        torn.layer0.links.iter_mut().step_by(2).for_each(|link| *link = EMPTY);
        torn.orphans.clear();
        assert!(mean_recall(&torn, &codes, &nodes, &queries, 16) < found - 0.05);
    }

    /// More nodes than one shard takes.
    #[test]
    fn shards_make_one_graph() {
        let n_nodes = 2 * shards::SHARD_SIZE + 2_000;
        let (nodes, queries) = split(Nodes::clustered(n_nodes + 100, 16, 300, 1), n_nodes);
        let codes = nodes.codes();
        let squares = squares(codes.view());
        let members: Vec<u32> = (0..codes.view().len() as u32).collect();
        let shards = shards::divide(codes.view(), &squares, &members);
        assert!(shards.len() > 2 && shards.iter().all(|shard| shard.len() <= 15_000));
        let mut n_in = vec![0; members.len()];
        shards.iter().flatten().for_each(|&node| n_in[node as usize] += 1);
        assert!(n_in.iter().all(|&n| n == 2), "each node is in two shards");
        let graph = built(&codes);
        let found = mean_recall(&graph, &codes, &nodes, &queries, 64);
        assert!(found >= 0.98, "recall@10 is {found}");
    }

    #[test]
    fn the_graph_does_not_depend_on_the_number_of_threads() {
        let nodes = Nodes::clustered(2_500, 16, 30, 3);
        let (codes, samples) = (nodes.codes(), Nodes::clustered(200, 16, 30, 9).vectors);
        let graphs = [1, 1, 3].map(|n_threads| {
            let options = BuildOptions { n_threads, ..BuildOptions::default() };
            build(&codes, &samples, &options, &mut go_on).unwrap()
        });
        for other in &graphs[1..] {
            assert_eq!(other.layer0, graphs[0].layer0);
            assert_eq!((&other.upper, &other.orphans), (&graphs[0].upper, &graphs[0].orphans));
        }
    }

    /// Images in one half of the space, texts in the other: where all images are about equally far.
    #[test]
    fn samples_of_text_queries_raise_their_recall() {
        let (images, mut texts) =
            (Nodes::clustered(4_000, 24, 40, 1), Nodes::clustered(2_200, 24, 60, 2));
        for (i, text) in texts.vectors.chunks_exact_mut(24).enumerate() {
            let about = images.vector(i * 7 % 4_000);
            text.iter_mut()
                .zip(about)
                .for_each(|(value, about)| *value = 0.9 * *value + 0.35 * about);
            text[0] += 3.0;
            let norm = text.iter().map(|value| value * value).sum::<f32>().sqrt();
            text.iter_mut().for_each(|value| *value /= norm);
        }
        let queries =
            Nodes { keys: vec![0; 200], vectors: texts.vectors.split_off(2_000 * 24), dim: 24 };
        let codes = images.codes();
        let plain = built(&codes);
        let enriched = build(&codes, &texts.vectors, &BuildOptions::default(), &mut go_on).unwrap();
        let recall = |graph| mean_recall(graph, &codes, &images, &queries, 24);
        assert!(
            recall(&enriched) > recall(&plain) + 0.05,
            "{} and {}",
            recall(&enriched),
            recall(&plain)
        );
    }

    #[test]
    fn upper_layers_thin_out() {
        let nodes = Nodes::clustered(2_200, 8, 5, 3);
        let graph = built(&nodes.codes());
        let sizes: Vec<usize> = graph.upper.layers.iter().map(|layer| layer.nodes.len()).collect();
        assert_eq!(sizes, [69, 3]);
        assert_eq!(graph.upper.layers[1].nodes, [0, 1_024, 2_048]);
        assert_eq!((graph.upper.entry, graph.upper.layers[0].width), (0, UPPER_WIDTH));
        assert!(
            graph.upper.layers[1].row(1_024).iter().all(|link| [0, 2_048, EMPTY].contains(link))
        );
        assert_eq!(graph.upper.layers[1].row(5), [0u32; 0]);
    }

    /// Copies of one vector inserted first hide others from `hnsw_rs` (upstream issues 32 and 37).
    #[test]
    fn nothing_is_lost_behind_duplicates() {
        let distinct = Nodes::clustered(1_000, 16, 20, 5);
        let copy = Nodes::clustered(1, 16, 1, 6).vectors;
        let mut vectors = copy.repeat(500);
        vectors.extend(&distinct.vectors);
        let nodes = Nodes { keys: (0..1_500).collect(), vectors, dim: 16 };
        let codes = nodes.codes();
        let mut graph = built(&codes);
        let n_lost = |graph: &Graph, nodes: std::ops::Range<u64>| {
            let finds = |node: u64| {
                let found = walked(graph, &codes, &codes.view().vector(node as u32), 64);
                found.iter().any(|found| found.key == node)
            };
            nodes.filter(|&node| !finds(node)).count()
        };
        assert_eq!(n_lost(&graph, 500..1_500), 0);
        // Control: links that lead to some nodes are cut, and these are lost unless every search compares with them.
        let cut = |link: &mut u32| *link = if (600..650).contains(link) { 0 } else { *link };
        graph.layer0.links.iter_mut().for_each(cut);
        graph.upper.layers.iter_mut().flat_map(|layer| &mut layer.links).for_each(cut);
        assert!(n_lost(&graph, 600..650) > 0);
        graph.orphans = (600..650).collect();
        assert_eq!(n_lost(&graph, 600..650), 0);
    }

    #[test]
    fn equal_vectors_only() {
        let nodes =
            Nodes { keys: (0..300).collect(), vectors: [[0.6f32, 0.8]; 300].concat(), dim: 2 };
        let codes = nodes.codes();
        assert_eq!(walked(&built(&codes), &codes, &[1.0, 0.0], 64).len(), 10);
    }

    #[test]
    fn small_sets() {
        for n_nodes in [0, 1, 2, 3] {
            let nodes = Nodes::clustered(n_nodes, 4, 1, 7);
            let codes = nodes.codes();
            let query = Nodes::clustered(1, 4, 1, 8).vectors;
            assert_eq!(walked(&built(&codes), &codes, &query, 10).len(), n_nodes);
        }
    }

    #[test]
    fn options_out_of_range_are_clamped() {
        let nodes = Nodes::clustered(50, 4, 5, 7);
        let codes = nodes.codes();
        for n in [0, 1, 256, usize::MAX] {
            let options = BuildOptions {
                max_links: n,
                max_text_links: n,
                ef_construction: n,
                ef_refine: n,
                n_threads: 1,
            };
            let graph = build(&codes, &nodes.vectors, &options, &mut go_on).unwrap();
            assert_eq!(walked(&graph, &codes, nodes.vector(3), 20)[0].key, 3);
        }
    }

    #[test]
    fn progress_grows_and_can_cancel() {
        let nodes = Nodes::clustered(1_200, 4, 5, 7);
        let codes = nodes.codes();
        let mut calls = Vec::new();
        let options = BuildOptions::default();
        build(&codes, &nodes.vectors, &options, &mut |n_done| {
            calls.push(n_done);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(calls.is_sorted() && calls[0] == 0 && calls.last() <= Some(&1_200), "{calls:?}");
        for stop_at in 0..calls.len() {
            let mut n_calls = 0;
            let stopped = build(&codes, &nodes.vectors, &options, &mut |_| {
                n_calls += 1;
                if n_calls > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert!(matches!(stopped, Err(Error::Cancelled)), "at {stop_at}");
        }
    }
}
