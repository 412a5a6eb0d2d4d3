//! `mmsearch index`.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use mmsearch::encoder::Encoder;
use mmsearch::library::{Busy, IndexOptions, Library, Progress, Report, Skips, Tally};
use mmsearch::media::ExternalDecoder;
use serde::Serialize;

use crate::cli::Cli;
use crate::cli::keep::IndexArgs;
use crate::exit::{Exit, tell};
use crate::output::{Output, escaped};
use crate::picture::external_decoder;
use crate::place;
use crate::progress::{Bar, Interrupt, stage_name};
use crate::worker::load_encoder;

/// How many skipped files are named for people; `--json` names more.
const MAX_TOLD: usize = 20;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    /// `done` items are safely in the library.
    Progress { stage: &'static str, done: u64, total: Option<u64> },
    /// A file that is not searchable (`skipped`), or only in part (`truncated`).
    Skipped { status: &'static str, path: String, reason: &'a str },
    /// The end.
    Report { images: TallyLine, texts: TallyLine, skipped: u64, truncated: u64, busy: BusyLine },
}

/// What the time went into, in seconds; the stages are those of [`Busy`].
#[derive(Serialize)]
struct BusyLine {
    scan: f64,
    read: f64,
    decode: f64,
    resize: f64,
    wait: f64,
    encode: f64,
    write: f64,
    snapshot: f64,
    total: f64,
    threads: usize,
}

#[derive(Serialize)]
struct TallyLine {
    added: u64,
    updated: u64,
    moved: u64,
    unchanged: u64,
    forgotten: u64,
}

/// What all runs of one call have in common.
pub(crate) struct Session<'a> {
    arguments: &'a IndexArgs,
    interrupt: Interrupt,
    encoder: Box<dyn Encoder>,
    output: Output,
    /// What failed is tried again by the first run only.
    retry_failed: bool,
    external_decoder: Option<ExternalDecoder>,
    /// What a person was told last to be skipped, and to be truncated.
    told: [Skips; 2],
}

pub(crate) fn run(cli: &Cli, arguments: &IndexArgs) -> Result<Exit> {
    if arguments.watch {
        return crate::watch::run(cli, arguments);
    }
    let interrupt = Interrupt::install()?;
    // Before the encoder, which takes longer to load than it takes to say that somebody else is writing.
    let mut library = place::create_or_open(cli)?;
    let mut session = Session::start(cli, arguments, interrupt)?;
    let report = session.index(&mut library, &arguments.paths)?;
    session.report(&report, true)?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::Skipped })
}

impl<'a> Session<'a> {
    pub(crate) fn start(cli: &Cli, arguments: &'a IndexArgs, interrupt: Interrupt) -> Result<Self> {
        let external_decoder = external_decoder(Some(&arguments.decoder))?;
        let encoder = load_encoder(cli)?;
        let (output, retry_failed) = (Output::new(), arguments.retry_failed);
        let told = [Skips::default(), Skips::default()];
        Ok(Self { arguments, interrupt, encoder, output, retry_failed, external_decoder, told })
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.is_set()
    }

    /// One run, whose progress is shown.
    pub(crate) fn index(&mut self, library: &mut Library, roots: &[PathBuf]) -> Result<Report> {
        let Self { arguments, interrupt, encoder, output, retry_failed, external_decoder, .. } =
            self;
        let options = IndexOptions {
            prune_missing_root: arguments.prune_missing_root,
            retry_failed: *retry_failed,
            external_decoder: external_decoder.clone(),
            ..IndexOptions::default()
        };
        let mut bar = Bar::new();
        let mut write_error = None;
        let mut progress = |progress: &Progress| {
            bar.show(progress);
            if arguments.json
                && let Err(error) = write_progress(output, progress)
            {
                write_error = Some(error);
                return ControlFlow::Break(());
            }
            interrupt.flow()
        };
        let outcome = library.index(encoder.as_mut(), roots, &options, &mut progress);
        bar.clear();
        for warning in library.take_warnings() {
            tell(&format!("warning: {warning}"));
        }
        if let Some(error) = write_error {
            return Err(error.into());
        }
        let report = outcome?;
        *retry_failed = false;
        Ok(report)
    }

    /// What a run did: for a script always, for a person if it is news.
    pub(crate) fn report(&mut self, report: &Report, is_news: bool) -> Result<()> {
        if self.arguments.json {
            write_report(&mut self.output, report)?;
        } else if is_news {
            tell_tallies(report);
            let skips = [&report.skipped, &report.truncated].map(Skips::clone);
            if self.told != skips {
                tell_skips("skipped", &report.skipped);
                tell_skips("ends too early, indexed as far as it goes", &report.truncated);
                self.told = skips;
            }
            if self.arguments.verbose {
                tell_busy(&report.busy);
            }
        }
        Ok(self.output.flush()?)
    }
}

/// Each line goes out at once: what it says is done stays done, whatever happens next.
fn write_progress(output: &mut Output, progress: &Progress) -> io::Result<()> {
    let stage = stage_name(progress.stage);
    output.json(&Line::Progress { stage, done: progress.n_done, total: progress.n_total })?;
    output.flush()
}

fn write_report(output: &mut Output, report: &Report) -> io::Result<()> {
    for (status, skips) in [("failed", &report.skipped), ("truncated", &report.truncated)] {
        for skip in &skips.listed {
            let path = skip.path.to_string_lossy().into_owned();
            output.json(&Line::Skipped { status, path, reason: &skip.reason })?;
        }
    }
    let (images, texts) = (tally_line(&report.images), tally_line(&report.texts));
    let (skipped, truncated) = (report.skipped.n_total, report.truncated.n_total);
    let busy = busy_line(&report.busy);
    output.json(&Line::Report { images, texts, skipped, truncated, busy })
}

fn busy_line(busy: &Busy) -> BusyLine {
    // Milliseconds are all that means anything.
    let seconds = |spent: Duration| spent.as_millis() as f64 / 1000.0;
    BusyLine {
        scan: seconds(busy.scan),
        read: seconds(busy.read),
        decode: seconds(busy.decode),
        resize: seconds(busy.resize),
        wait: seconds(busy.wait),
        encode: seconds(busy.encode),
        write: seconds(busy.write),
        snapshot: seconds(busy.snapshot),
        total: seconds(busy.total),
        threads: busy.n_threads,
    }
}

fn tally_line(tally: &Tally) -> TallyLine {
    let Tally { added, updated, moved, unchanged, forgotten } = *tally;
    TallyLine { added, updated, moved, unchanged, forgotten }
}

fn tell_tallies(report: &Report) {
    tell(&format!("images: {}", summary(&report.images)));
    if report.texts != Tally::default() {
        tell(&format!("texts: {}", summary(&report.texts)));
    }
}

/// The bottleneck is what the seconds are in.
fn tell_busy(busy: &Busy) {
    let line = busy_line(busy);
    let BusyLine { scan, read, decode, resize, wait, encode, write, snapshot, total, threads } =
        line;
    tell(&format!(
        "busy, of {total:.2} s: scan {scan:.2}, encode {encode:.2}, write {write:.2}, snapshot {snapshot:.2}, waiting for pictures {wait:.2}"
    ));
    tell(&format!(
        "beside that, in all on {threads} threads: read {read:.2}, decode {decode:.2}, resize {resize:.2}"
    ));
}

fn summary(tally: &Tally) -> String {
    let Tally { added, updated, moved, unchanged, forgotten } = tally;
    format!(
        "{added} added, {updated} updated, {moved} moved, {unchanged} unchanged, {forgotten} forgotten"
    )
}

/// The first of them, for people.
pub(crate) fn tell_skips(title: &str, skips: &Skips) {
    if skips.n_total == 0 {
        return;
    }
    tell(&format!("{title}: {}", skips.n_total));
    for skip in skips.listed.iter().take(MAX_TOLD) {
        tell(&format!("  {}: {}", escaped(&skip.path), skip.reason));
    }
    if skips.listed.len() > MAX_TOLD {
        tell(&format!("  … and {} more; --json lists them", skips.listed.len() - MAX_TOLD));
    }
}
