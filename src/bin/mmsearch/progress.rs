//! A bar on a terminal, and the wish to stop.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use mmsearch::library::{Progress, Stage};

/// Shows how far a run is, on stderr and only if that is a terminal.
pub(crate) struct Bar {
    bar: ProgressBar,
    stage: Option<Stage>,
}

/// Whether Ctrl-C was pressed, or the process was asked to end in another way (SIGTERM, SIGHUP).
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Bar {
    pub(crate) fn new() -> Self {
        Self { bar: ProgressBar::no_length(), stage: None }
    }

    pub(crate) fn show(&mut self, progress: &Progress) {
        if self.stage != Some(progress.stage) {
            self.bar.finish_and_clear();
            self.bar = new_bar(progress);
            self.stage = Some(progress.stage);
        }
        if let Some(n_total) = progress.n_total {
            self.bar.set_length(n_total);
        }
        self.bar.set_position(progress.n_done);
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn new_bar(progress: &Progress) -> ProgressBar {
    let template = match (progress.stage, progress.n_total) {
        (Stage::Images, _) => "{msg} {wide_bar} {pos}/{len} {per_sec}, {eta} left",
        (_, Some(_)) => "{msg} {wide_bar} {pos}/{len}, {eta} left",
        (_, None) => "{msg} {pos}",
    };
    let bar = match progress.n_total {
        Some(n_total) => ProgressBar::new(n_total),
        None => ProgressBar::no_length(),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(stage_name(progress.stage));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar that counts, with the rate and the time left; the prefix stands behind the name.
pub(crate) fn counting_bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {prefix} {wide_bar} {pos}/{len} {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    bar.set_message(name.to_string());
    bar
}

/// A bar for what is downloaded; the message is the file's name.
pub(crate) fn byte_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// The stage's name, in JSON and in front of the bar.
pub(crate) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Scan => "scan",
        Stage::Images => "images",
        Stage::Texts => "texts",
        Stage::Forget => "forget",
        Stage::Snapshot => "snapshot",
        Stage::Switch => "switch",
        Stage::Compare => "compare",
        Stage::Check => "check",
        Stage::Read => "read",
    }
}

impl Interrupt {
    /// From now on the first Ctrl-C asks the run to end after its batch; the second ends the process at once,
    /// which loses nothing but that batch.
    pub(crate) fn install() -> Result<Self> {
        Self::install_with(|| ())
    }

    /// The same, and calls `wake` for whoever waits.
    pub(crate) fn install_with(wake: impl Fn() + Send + 'static) -> Result<Self> {
        let interrupt = Self(Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&interrupt.0);
        let handler = move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            wake();
        };
        ctrlc::set_handler(handler).context("cannot watch for Ctrl-C")?;
        Ok(interrupt)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
