//! Edges that text queries need.
//!
//! A text lies far from all images, and its nearest images need not be near each other, so a walk that follows
//! nearness between images loses its way. What a sample of such queries finds is therefore linked to each other,
//! as in RoarGraph (Chen et al. 2024), whose bipartite graph this follows in miniature.

use rayon::prelude::*;

use super::build::Work;
use super::graph::Graph;
use super::links::Metric;
use super::walk::Scratch;
use crate::error::Result;

/// The beam with which the nodes of a sample are found.
const SAMPLE_EF: usize = 256;
/// How many of them count.
const N_FOUND: usize = 32;
/// How many of these get links to others.
const N_LINKED: usize = 8;
/// How many links each of them gets from one sample.
const LINKS_PER_NODE: usize = 6;
/// Samples between two questions whether to go on.
const SAMPLES_PER_STEP: usize = 2_048;

/// Links what each sample finds, in both directions, where rows have room.
pub(super) fn add(
    graph: &mut Graph,
    metric: Metric<'_>,
    samples: &[f32],
    work: &mut Work<'_>,
) -> Result<()> {
    let dim = metric.codes.dim();
    let n_samples = samples.len() / dim;
    for (step, samples) in samples.chunks(SAMPLES_PER_STEP * dim).enumerate() {
        work.ask((step * SAMPLES_PER_STEP) as f64 / n_samples as f64)?;
        let shared = &*graph;
        let found = (samples.par_chunks_exact(dim))
            .map_init(Scratch::default, |scratch, sample| edges(shared, metric, sample, scratch));
        let edges: Vec<Vec<(u32, u32)>> = work.pool.install(|| found.collect());
        for (a, b) in edges.into_iter().flatten() {
            graph.layer0.add(a as usize, b);
            graph.layer0.add(b as usize, a);
        }
    }
    Ok(())
}

/// The links that one sample asks for.
fn edges(
    graph: &Graph,
    metric: Metric<'_>,
    sample: &[f32],
    scratch: &mut Scratch,
) -> Vec<(u32, u32)> {
    let query = metric.codes.query(sample);
    graph.walk(metric.codes).nearest(&query.coarse, SAMPLE_EF, scratch);
    let found: Vec<u32> = scratch.found().take(N_FOUND).collect();
    let mut edges = Vec::with_capacity(N_LINKED * LINKS_PER_NODE);
    for &node in found.iter().take(N_LINKED) {
        let chosen = metric.choose(node, &mut found.clone(), LINKS_PER_NODE);
        edges.extend(chosen.into_iter().map(|link| (node, link)));
    }
    edges
}
