//! `mmsearch status`.

use anyhow::Result;
use mmsearch::encoder::Space;
use mmsearch::index::{Beam, Beams, Tuning};
use mmsearch::library::{LibraryStatus, Reindexing, SnapshotState};
use mmsearch::{Modality, Status};
use serde::Serialize;

use crate::cli::{Cli, StatusArgs};
use crate::exit::Exit;
use crate::output::{Output, escaped, escaped_text};
use crate::place;

/// The library in JSON.
#[derive(Serialize)]
struct StatusLine {
    library: String,
    model: Option<String>,
    fingerprint: Option<String>,
    dim: Option<usize>,
    /// Changes of the model that are not complete.
    reindexing: Vec<ReindexingLine>,
    generation: u64,
    items: Vec<CountLine>,
    snapshots: Vec<SnapshotLine>,
    roots: Vec<String>,
    size_bytes: u64,
}

#[derive(Serialize)]
struct ReindexingLine {
    model: String,
    fingerprint: String,
    done: u64,
    total: u64,
}

#[derive(Serialize)]
struct CountLine {
    modality: &'static str,
    status: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct SnapshotLine {
    modality: &'static str,
    embeddings: u64,
    /// `none`, `current` or `unusable`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    graph: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    newer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What the graph was measured to find of the ten nearest, by the modality of the query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recall: Vec<RecallLine>,
}

#[derive(Serialize)]
struct RecallLine {
    /// The modality of the queries.
    query: &'static str,
    queries: usize,
    found: usize,
    /// Candidates kept on a walk; 0 if the graph does not reach a recall of 0.99 and a scan answers.
    ef: usize,
}

pub(crate) fn run(cli: &Cli, arguments: &StatusArgs) -> Result<Exit> {
    let status = place::open(cli)?.status()?;
    let mut output = Output::new();
    if arguments.json {
        output.json(&status_line(&status))?;
    } else {
        for line in lines(&status) {
            output.line(&line)?;
        }
    }
    output.flush()?;
    Ok(Exit::Done)
}

fn lines(status: &LibraryStatus) -> Vec<String> {
    let mut lines = vec![format!("library     {}", escaped(&status.dir))];
    lines.push(match &status.space {
        Some(space) => format!("model       {}", model_text(space)),
        None => "model       none yet; the library is empty".into(),
    });
    for Reindexing { space, n_done, n_total } in &status.reindexing {
        lines.push(format!(
            "reindex     to {}: {n_done} of {n_total}; the next `mmsearch reindex` to it goes on",
            model_text(space)
        ));
    }
    for count in &status.items {
        let (modality, status) = (count.modality.name(), status_name(count.status));
        lines.push(format!("{modality:<11} {} {status}", count.n_items));
    }
    for snapshot in &status.snapshots {
        let (modality, n) = (snapshot.modality.name(), snapshot.n_embeddings);
        lines.push(format!(
            "search      {n} different {modality}s, {}",
            state_text(&snapshot.state)
        ));
        lines.extend(snapshot.tuning.as_ref().map(|tuning| recall_text(snapshot.modality, tuning)));
    }
    for root in &status.roots {
        lines.push(format!("indexed     {}", escaped(root)));
    }
    lines.push(format!("on disk     {:.1} MB", status.size_bytes as f64 / 1e6));
    lines.push(format!("generation  {}", status.generation));
    lines
}

fn model_text(space: &Space) -> String {
    let (model, fingerprint) = (escaped_text(&space.model), &space.fingerprint.0);
    let short = fingerprint.get(..12).unwrap_or(fingerprint);
    format!("{model} ({short}, {} dimensions)", space.dim)
}

fn state_text(state: &SnapshotState) -> String {
    match state {
        SnapshotState::None => "no snapshot".into(),
        SnapshotState::Current { generation, has_graph, n_tail, n_dead } => {
            let with = if *has_graph { "with a graph" } else { "exact" };
            format!("snapshot of generation {generation} {with}, {n_tail} newer, {n_dead} gone")
        }
        SnapshotState::Unusable(reason) => {
            format!("the snapshot cannot be used: {}", escaped_text(reason))
        }
    }
}

/// What the graph finds of the ten nearest, as it was measured when it was built.
fn recall_text(modality: Modality, tuning: &Tuning) -> String {
    let texts = measured(modality, tuning).map(|(query, beams)| {
        let Beam { ef, n_found } = beams.good;
        let n_wanted = 10 * beams.n_queries;
        match ef {
            0 => format!("of {query} queries 1.000 (by the scan)"),
            _ => {
                let recall = n_found as f64 / n_wanted as f64;
                format!("of {query} queries {recall:.3} ({n_found} of {n_wanted}, beam {ef})")
            }
        }
    });
    format!("            recall@10 {}", texts.collect::<Vec<_>>().join(", "))
}

/// What was measured, by the modality of the queries.
fn measured(modality: Modality, tuning: &Tuning) -> impl Iterator<Item = (&'static str, &Beams)> {
    let (own, foreign) = match modality {
        Modality::Image => ("image", "text"),
        Modality::Text => ("text", "image"),
    };
    let kinds = [(foreign, &tuning.foreign), (own, &tuning.own)];
    kinds.into_iter().filter(|(_, beams)| beams.n_queries > 0)
}

fn status_line(status: &LibraryStatus) -> StatusLine {
    let space = status.space.as_ref();
    let text = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    StatusLine {
        library: text(&status.dir),
        model: space.map(|space| space.model.clone()),
        fingerprint: space.map(|space| space.fingerprint.0.clone()),
        dim: space.map(|space| space.dim),
        reindexing: (status.reindexing.iter())
            .map(|reindexing| ReindexingLine {
                model: reindexing.space.model.clone(),
                fingerprint: reindexing.space.fingerprint.0.clone(),
                done: reindexing.n_done,
                total: reindexing.n_total,
            })
            .collect(),
        generation: status.generation,
        items: (status.items.iter())
            .map(|count| CountLine {
                modality: count.modality.name(),
                status: status_name(count.status),
                count: count.n_items,
            })
            .collect(),
        snapshots: status.snapshots.iter().map(snapshot_line).collect(),
        roots: status.roots.iter().map(text).collect(),
        size_bytes: status.size_bytes,
    }
}

fn snapshot_line(snapshot: &mmsearch::library::SnapshotStatus) -> SnapshotLine {
    let line = SnapshotLine {
        modality: snapshot.modality.name(),
        embeddings: snapshot.n_embeddings,
        state: "none",
        generation: None,
        graph: None,
        newer: None,
        dead: None,
        reason: None,
        recall: recall_lines(snapshot),
    };
    match &snapshot.state {
        SnapshotState::None => line,
        SnapshotState::Current { generation, has_graph, n_tail, n_dead } => SnapshotLine {
            state: "current",
            generation: Some(*generation),
            graph: Some(*has_graph),
            newer: Some(*n_tail),
            dead: Some(*n_dead),
            ..line
        },
        SnapshotState::Unusable(reason) => {
            SnapshotLine { state: "unusable", reason: Some(reason.clone()), ..line }
        }
    }
}

fn recall_lines(snapshot: &mmsearch::library::SnapshotStatus) -> Vec<RecallLine> {
    let measured = snapshot.tuning.iter().flat_map(|tuning| measured(snapshot.modality, tuning));
    let line = |(query, beams): (&'static str, &Beams)| {
        let Beam { ef, n_found } = beams.good;
        RecallLine { query, queries: beams.n_queries, found: n_found, ef }
    };
    measured.map(line).collect()
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Truncated => "truncated",
        Status::Failed => "failed",
    }
}
