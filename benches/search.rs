//! The frozen graph beside the exact scan: queries a second and recall@10 at several beams.
//!
//! `cargo bench --bench search -- 50000` takes the number of nodes; vectors are synthetic, so ratios travel
//! further than recalls do.
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::collections::HashSet;
use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use mmsearch::index::{
    BuildOptions, NodeVectors, SearchOptions, Snapshot, SnapshotMeta, build, write_snapshot,
};
use mmsearch::{Embedding, Modality, Neighbor};

const DIM: usize = 256;
const N_CLUSTERS: usize = 1_000;
const N_QUERIES: usize = 500;
const K: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    // Run as a test, without `--bench`, it only shows that it works.
    let default = if args.iter().any(|arg| arg == "--bench") { 50_000 } else { 2_000 };
    let n_nodes = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(default);

    let dir = tempfile::tempdir()?;
    let snapshot = snapshot(&dir.path().join("bench.mms"), n_nodes)?;

    let queries = vectors(N_QUERIES, 2);
    let queries = queries.chunks(DIM).map(|query| Embedding::normalized(query.to_vec()));
    let queries = queries.collect::<Result<Vec<_>, _>>()?;
    let exact_options = SearchOptions { exact: true, ..SearchOptions::top(K) };
    let (exact, exact_rate) = ask(&snapshot, &queries, &exact_options)?;
    println!("{n_nodes} nodes of {DIM} dimensions, {N_QUERIES} queries, k = {K}, one thread");
    println!("{:>8} {:>10} {:>10} {:>10}", "", "queries/s", "recall@10", "× exact");
    println!("{:>8} {exact_rate:>10.0} {:>10.3} {:>10.1}", "exact", 1.0, 1.0);
    for ef in [16, 32, 64, 128, 256, 512] {
        let (found, rate) =
            ask(&snapshot, &queries, &SearchOptions { ef, ..SearchOptions::top(K) })?;
        let recall = found.iter().zip(&exact).map(|(found, exact)| recall(found, exact));
        let recall = recall.sum::<f64>() / N_QUERIES as f64;
        println!(
            "{:>8} {rate:>10.0} {recall:>10.3} {:>10.1}",
            format!("ef {ef}"),
            rate / exact_rate
        );
    }
    Ok(())
}

/// Builds, writes and opens a snapshot, and prints how long that took.
fn snapshot(path: &std::path::Path, n_nodes: usize) -> Result<Snapshot, Box<dyn Error>> {
    let keys: Vec<u64> = (0..n_nodes as u64).collect();
    let vectors = vectors(n_nodes, 1);
    let nodes = NodeVectors { keys: &keys, vectors: &vectors, dim: DIM };
    let started = Instant::now();
    let graph = build(nodes, &BuildOptions::default(), &mut |_| ControlFlow::Continue(()))?;
    println!("build: {:.1?}, {} orphans", started.elapsed(), graph.n_orphans());
    let fingerprint = "bench".into();
    let meta = SnapshotMeta { generation: 1, fingerprint, modality: Modality::Image, dim: DIM };
    let started = Instant::now();
    write_snapshot(path, &meta, nodes, Some(&graph))?;
    println!("write: {:.0?}", started.elapsed());
    let started = Instant::now();
    let snapshot = Snapshot::open(path)?;
    println!("open: {:.1?}", started.elapsed());
    Ok(snapshot)
}

/// The answers, and how many came a second.
fn ask(
    snapshot: &Snapshot,
    queries: &[Embedding],
    options: &SearchOptions<'_>,
) -> Result<(Vec<Vec<Neighbor>>, f64), mmsearch::Error> {
    let answer = || queries.iter().map(|query| snapshot.search(query, options)).collect();
    let _warm: Result<Vec<_>, _> = answer();
    let started = Instant::now();
    let found: Vec<_> = answer()?;
    Ok((found, queries.len() as f64 / started.elapsed().as_secs_f64()))
}

/// The part of the exact answer that was found.
fn recall(found: &[Neighbor], exact: &[Neighbor]) -> f64 {
    let found: HashSet<u64> = found.iter().map(|neighbor| neighbor.key).collect();
    exact.iter().filter(|neighbor| found.contains(&neighbor.key)).count() as f64
        / exact.len() as f64
}

/// Unit vectors around common centres, whose noise is drawn from `seed`.
fn vectors(n: usize, seed: u64) -> Vec<f32> {
    let (mut centre_state, mut state) = (99, seed);
    let centres: Vec<f32> = (0..N_CLUSTERS * DIM).map(|_| noise(&mut centre_state)).collect();
    let mut vectors = Vec::with_capacity(n * DIM);
    for _ in 0..n {
        let cluster = (noise(&mut state).abs() * 1e6) as usize % N_CLUSTERS;
        let centre = &centres[cluster * DIM..(cluster + 1) * DIM];
        let vector: Vec<f32> = centre.iter().map(|value| value + noise(&mut state)).collect();
        let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vectors.extend(vector.iter().map(|value| value / norm));
    }
    vectors
}

/// SplitMix64, summed to something close to a normal distribution.
fn noise(state: &mut u64) -> f32 {
    let mut uniform = || {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..4).map(|_| uniform()).sum::<f32>() - 2.0
}
