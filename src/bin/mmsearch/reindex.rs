//! `mmsearch reindex`.

use std::io;
use std::ops::ControlFlow;

use anyhow::Result;
use mmsearch::encoder::Space;
use mmsearch::library::{Progress, ReindexOptions, Reindexed};
use serde::Serialize;

use crate::cli::{Cli, ReindexArgs};
use crate::exit::{Exit, tell};
use crate::index::tell_skips;
use crate::output::Output;
use crate::picture::external_decoder;
use crate::place;
use crate::progress::{Bar, Interrupt, stage_name};
use crate::worker::load_encoder;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    /// `done` different images or texts have an embedding of the new model.
    Progress { stage: &'static str, done: u64, total: Option<u64> },
    /// An item that the new model does not find.
    Skipped { status: &'static str, path: String, reason: &'a str },
    /// The end: the library's model, what this run encoded, and what an earlier one had.
    Report {
        model: &'a str,
        fingerprint: &'a str,
        images: u64,
        texts: u64,
        known: u64,
        skipped: u64,
    },
}

pub(crate) fn run(cli: &Cli, arguments: &ReindexArgs) -> Result<Exit> {
    let interrupt = Interrupt::install()?;
    let external_decoder = external_decoder(Some(&arguments.decoder))?;
    let options = ReindexOptions { external_decoder, ..ReindexOptions::default() };
    let mut library = place::open_to_write(cli)?;
    let mut encoder = load_encoder(cli)?;
    let (mut output, mut bar) = (Output::new(), Bar::new());
    let mut write_error = None;
    let mut progress = |progress: &Progress| {
        bar.show(progress);
        if arguments.json
            && let Err(error) = write_progress(&mut output, progress)
        {
            write_error = Some(error);
            return ControlFlow::Break(());
        }
        interrupt.flow()
    };
    let outcome = library.reindex(encoder.as_mut(), &options, &mut progress);
    bar.clear();
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    if let Some(error) = write_error {
        return Err(error.into());
    }
    let report = outcome?;
    if arguments.json {
        write_report(&mut output, encoder.space(), &report)?;
    } else {
        tell_report(encoder.space(), &report);
    }
    output.flush()?;
    Ok(if report.left_out.n_total == 0 { Exit::Done } else { Exit::Skipped })
}

/// Each line goes out at once: what it says is done stays done, whatever happens next.
fn write_progress(output: &mut Output, progress: &Progress) -> io::Result<()> {
    let stage = stage_name(progress.stage);
    output.json(&Line::Progress { stage, done: progress.n_done, total: progress.n_total })?;
    output.flush()
}

fn write_report(output: &mut Output, space: &Space, report: &Reindexed) -> io::Result<()> {
    for skip in &report.left_out.listed {
        let path = skip.path.to_string_lossy().into_owned();
        output.json(&Line::Skipped { status: "failed", path, reason: &skip.reason })?;
    }
    output.json(&Line::Report {
        model: &space.model,
        fingerprint: &space.fingerprint.0,
        images: report.n_images,
        texts: report.n_texts,
        known: report.n_known,
        skipped: report.left_out.n_total,
    })
}

fn tell_report(space: &Space, report: &Reindexed) {
    let Reindexed { n_images, n_texts, n_known, left_out } = report;
    tell(&format!(
        "the library's model is {}: {n_images} images and {n_texts} texts encoded, {n_known} were so already",
        space.model
    ));
    tell_skips("left out; `mmsearch index` takes in again what is back", left_out);
}
