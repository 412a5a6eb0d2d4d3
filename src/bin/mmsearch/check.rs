//! `mmsearch check`.

use std::io;
use std::ops::ControlFlow;

use anyhow::Result;
use mmsearch::library::{CheckOptions, Finding, Progress, Repair, Repaired};
use mmsearch::media::Limits;
use serde::Serialize;

use crate::cli::Cli;
use crate::cli::keep::CheckArgs;
use crate::exit::{Exit, tell};
use crate::output::{Output, escaped_text};
use crate::picture::external_decoder;
use crate::place;
use crate::progress::{Bar, Interrupt, stage_name};
use crate::worker::load_encoder;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    /// How far it is.
    Progress { stage: &'static str, done: u64, total: Option<u64> },
    /// Something that does not hold; after a repair, something that still does not.
    Finding { kind: &'static str, place: &'a str, reason: &'a str, damage: bool, repairable: bool },
    /// Something that was done; `lost` says that a person must put something back.
    Repaired { kind: &'static str, what: &'a str, lost: bool },
    /// The end: how much was found at first, was done, and is left.
    Report { found: usize, repaired: usize, left: usize, damaged: usize },
}

pub(crate) fn run(cli: &Cli, arguments: &CheckArgs) -> Result<Exit> {
    let interrupt = Interrupt::install()?;
    let external_decoder = external_decoder(Some(&arguments.decoder))?;
    let (read_data, limits) = (arguments.read_data, Limits::default());
    let options = CheckOptions { read_data, limits, external_decoder };
    let (mut output, mut bar) = (Output::new(), Bar::new());
    let mut write_error = None;
    let mut progress = |progress: &Progress| {
        bar.show(progress);
        if arguments.json
            && arguments.progress
            && let Err(error) = write_progress(&mut output, progress)
        {
            write_error = Some(error);
            return ControlFlow::Break(());
        }
        interrupt.flow()
    };
    let outcome = match arguments.repair {
        true => repair(cli, &options, &mut progress),
        false => place::open(cli)?
            .check_with(&options, &mut progress)
            .map(|left| Repaired { found: left.clone(), done: Vec::new(), left })
            .map_err(Into::into),
    };
    bar.clear();
    if let Some(error) = write_error {
        return Err(error.into());
    }
    let repaired = outcome?;
    write(&mut output, arguments, &repaired)?;
    output.flush()?;
    if repaired.left.is_empty() {
        tell("all is well");
    }
    Ok(exit_of(&repaired))
}

fn repair(
    cli: &Cli,
    options: &CheckOptions,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Repaired> {
    let mut library = place::open_for_repair(cli)?;
    let mut load = || {
        load_encoder(cli).map_err(|error| {
            let reason = format!("{error:#}");
            error.downcast().unwrap_or(mmsearch::Error::Encoder { reason })
        })
    };
    let repaired = library.repair(&mut load, options, progress)?;
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    Ok(repaired)
}

/// 6 if something is damaged, 3 if something is only out of date or out of reach, or was lost.
fn exit_of(repaired: &Repaired) -> Exit {
    match repaired.left.as_slice() {
        [] if repaired.done.iter().any(|repair| repair.is_loss) => Exit::Skipped,
        [] => Exit::Done,
        left if left.iter().any(|finding| finding.kind.is_damage()) => Exit::Corrupt,
        _ => Exit::Skipped,
    }
}

/// Each line goes out at once: what it says is done stays done, whatever happens next.
fn write_progress(output: &mut Output, progress: &Progress) -> io::Result<()> {
    let stage = stage_name(progress.stage);
    output.json(&Line::Progress { stage, done: progress.n_done, total: progress.n_total })?;
    output.flush()
}

fn write(output: &mut Output, arguments: &CheckArgs, repaired: &Repaired) -> io::Result<()> {
    let Repaired { found, done, left } = repaired;
    for Repair { kind, what, is_loss } in done {
        match arguments.json {
            true => output.json(&Line::Repaired { kind: kind.name(), what, lost: *is_loss })?,
            false => tell(&format!("{}: {what}", if *is_loss { "lost" } else { "repaired" })),
        }
    }
    for finding in left {
        match arguments.json {
            true => output.json(&finding_line(finding))?,
            false => output.line(&escaped_text(&finding.to_string()))?,
        }
    }
    if arguments.json {
        let (found, repaired) = (found.len(), done.len());
        let damaged = left.iter().filter(|finding| finding.kind.is_damage()).count();
        output.json(&Line::Report { found, repaired, left: left.len(), damaged })?;
    }
    Ok(())
}

fn finding_line(finding: &Finding) -> Line<'_> {
    let Finding { kind, place, reason } = finding;
    let (damage, repairable) = (kind.is_damage(), kind.is_repairable());
    Line::Finding { kind: kind.name(), place, reason, damage, repairable }
}
