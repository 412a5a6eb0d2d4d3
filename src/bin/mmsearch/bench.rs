//! `mmsearch bench`.

use std::time::Duration;

use anyhow::Result;
use mmsearch::library::{Benchmark, Speed};
use serde::Serialize;

use crate::cli::{BenchArgs, Cli};
use crate::exit::{Exit, tell};
use crate::output::Output;
use crate::place;
use crate::progress::Interrupt;
use crate::worker::load_encoder;

/// Everything in JSON: how many a second, and of how many that was measured.
#[derive(Serialize)]
struct BenchLine {
    decode_per_s: f64,
    images_per_s: f64,
    images: usize,
    texts_per_s: f64,
    texts: usize,
    queries_per_s: f64,
    exact_per_s: f64,
    queries: usize,
    /// Of the ten nearest by the exact search, the part that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<f64>,
}

pub(crate) fn run(cli: &Cli, arguments: &BenchArgs) -> Result<Exit> {
    let mut library = place::open(cli)?;
    if library.is_empty()? {
        tell("mmsearch: the library is empty; fill it with `mmsearch index`");
        return Ok(Exit::NothingFound);
    }
    let mut encoder = load_encoder(cli)?;
    let budget = Duration::from_secs(arguments.seconds.into());
    let interrupt = Interrupt::install()?;
    let measured = library.benchmark(encoder.as_mut(), budget, &mut || interrupt.flow())?;
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    let mut output = Output::new();
    match arguments.json {
        true => output.json(&line(&measured))?,
        false => table(&measured).iter().try_for_each(|line| output.line(line))?,
    }
    output.flush()?;
    Ok(Exit::Done)
}

fn line(measured: &Benchmark) -> BenchLine {
    BenchLine {
        decode_per_s: measured.decode.per_second(),
        images_per_s: measured.images.per_second(),
        images: measured.images.n,
        texts_per_s: measured.texts.per_second(),
        texts: measured.texts.n,
        queries_per_s: measured.queries.per_second(),
        exact_per_s: measured.exact.per_second(),
        queries: measured.queries.n,
        recall: recall(measured),
    }
}

fn recall(measured: &Benchmark) -> Option<f64> {
    (measured.n_wanted > 0).then(|| measured.n_found as f64 / measured.n_wanted as f64)
}

fn table(measured: &Benchmark) -> Vec<String> {
    let row = |name: &str, speed: &Speed, of: &str| match speed.n {
        0 => format!("{name:<10} none to measure"),
        n => format!("{name:<10} {:9.1} /s  ({n} {of})", speed.per_second()),
    };
    let mut rows = vec![
        row("decode", &measured.decode, "photos, one thread"),
        row("images", &measured.images, "photos through the model"),
        row("texts", &measured.texts, "phrases through the model"),
        row("queries", &measured.queries, "phrases for ten photos, without encoding"),
        row("exact", &measured.exact, "the same, comparing with every photo"),
    ];
    rows.extend(recall(measured).map(|recall| {
        format!(
            "{:<10} {recall:9.3}     ({} of {})",
            "recall@10", measured.n_found, measured.n_wanted
        )
    }));
    rows
}
