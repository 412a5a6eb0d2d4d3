//! Builds a snapshot of raw vectors and searches it as it is told, so that a script can measure it beside others.
//!
//! One JSON request a line on stdin, one answer a line on stdout; `scripts/bench_search.py` (`make bench-search`)
//! speaks with it.
#![expect(clippy::print_stdout, reason = "a bench speaks on stdout")]
#![expect(clippy::disallowed_methods, reason = "its errors name the file themselves")]

use std::error::Error;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use mmsearch::index::{BuildOptions, Filter, SearchOptions, Snapshot, SnapshotDraft, SnapshotMeta};
use mmsearch::{Embedding, Modality};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut lines = std::io::stdin().lock().lines();
    let mut snapshot: Option<Snapshot> = None;
    let mut queries: Vec<Embedding> = Vec::new();
    while let Some(line) = lines.next().transpose()? {
        let request: serde_json::Value = serde_json::from_str(&line)?;
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| request[name].as_u64().map(|value| value as usize);
        let answer = match text("do").as_str() {
            "build" => {
                let dim = number("dim").ok_or("dim")?;
                build(&text("vectors"), &text("samples"), dim, Path::new(&text("path")), &request)?
            }
            "open" => {
                let started = Instant::now();
                snapshot = Some(Snapshot::open(Path::new(&text("path")))?);
                serde_json::json!({"seconds": started.elapsed().as_secs_f64()})
            }
            "queries" => {
                let dim = snapshot.as_ref().ok_or("open first")?.meta().dim;
                let vectors = floats(&text("path"))?
                    .chunks(dim)
                    .map(|v| Embedding::normalized(v.to_vec()))
                    .collect::<Result<_, _>>()?;
                queries = vectors;
                serde_json::json!({"n": queries.len()})
            }
            "search" => search(snapshot.as_ref().ok_or("open first")?, &queries, &request)?,
            other => return Err(format!("what is `{other}`?").into()),
        };
        println!("{answer}");
    }
    Ok(())
}

fn build(
    vectors: &str,
    samples: &str,
    dim: usize,
    path: &Path,
    request: &serde_json::Value,
) -> Outcome<serde_json::Value> {
    let vectors = floats(vectors)?;
    let samples = if samples.is_empty() { Vec::new() } else { floats(samples)? };
    let option =
        |name: &str, default: usize| request[name].as_u64().map_or(default, |value| value as usize);
    let usual = BuildOptions::default();
    let options = BuildOptions {
        max_links: option("max_links", usual.max_links),
        max_text_links: option("max_text_links", usual.max_text_links),
        ef_construction: option("ef_construction", usual.ef_construction),
        ef_refine: option("ef_refine", usual.ef_refine),
        n_threads: option("n_threads", usual.n_threads),
    };
    let fingerprint = "bench".into();
    let meta = SnapshotMeta { generation: 1, fingerprint, modality: Modality::Image, dim };
    let started = Instant::now();
    let n = vectors.len() / dim;
    let sample: Vec<f32> =
        vectors.chunks(dim).step_by((n / 10_000).max(1)).flatten().copied().collect();
    let mut draft = SnapshotDraft::new(meta, &sample, n)?;
    for (key, vector) in vectors.chunks(dim).enumerate() {
        draft.push(key as u64, vector)?;
    }
    drop(vectors);
    if option("graph", 1) == 1 {
        draft.link(&samples, &options, &mut |_| ControlFlow::Continue(()))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    draft.write(path)?;
    let bytes = std::fs::metadata(path)?.len();
    Ok(
        serde_json::json!({"seconds": seconds, "bytes": bytes, "orphans": draft.n_orphans(), "tuning": format!("{:?}", draft.tuning())}),
    )
}

/// One pass over all queries; the ids found, and the seconds it took.
fn search(
    snapshot: &Snapshot,
    queries: &[Embedding],
    request: &serde_json::Value,
) -> Outcome<serde_json::Value> {
    let only: Option<Vec<u64>> = match request["only"].as_str() {
        Some(path) => Some(
            bytes(path)?
                .chunks_exact(8)
                .map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default()))
                .collect(),
        ),
        None => None,
    };
    let options = SearchOptions {
        ef: request["ef"].as_u64().map(|ef| ef as usize),
        exact: request["exact"].as_bool().unwrap_or(false),
        foreign: request["foreign"].as_bool().unwrap_or(false),
        filter: only.as_deref().map_or(Filter::All, Filter::Only),
        ..SearchOptions::top(10)
    };
    let mut found = Vec::new();
    let mut plan = String::new();
    let started = Instant::now();
    for query in queries {
        let answer = snapshot.search(query, &options)?;
        plan = format!("{:?}", answer.plan);
        found.push(answer.neighbors);
    }
    let seconds = started.elapsed().as_secs_f64();
    let ids: Vec<Vec<u64>> =
        found.iter().map(|found| found.iter().map(|found| found.key).collect()).collect();
    Ok(serde_json::json!({"seconds": seconds, "ids": ids, "plan": plan}))
}

fn floats(path: &str) -> Outcome<Vec<f32>> {
    Ok(bytes(path)?
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default()))
        .collect())
}

fn bytes(path: &str) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}").into())
}
