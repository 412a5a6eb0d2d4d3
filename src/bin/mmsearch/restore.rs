//! `mmsearch restore`.

use anyhow::Result;
use mmsearch::library::{Library, Progress, RestoreOptions};
use serde::Serialize;

use crate::cli::Cli;
use crate::cli::keep::RestoreArgs;
use crate::exit::{Exit, tell};
use crate::output::Output;
use crate::place;
use crate::progress::{Bar, Interrupt};

/// What is in the library now, in JSON.
#[derive(Serialize)]
struct RestoredLine {
    items: u64,
}

pub(crate) fn run(cli: &Cli, arguments: &RestoreArgs) -> Result<Exit> {
    let interrupt = Interrupt::install()?;
    let options = RestoreOptions { force: arguments.force };
    let dir = place::library(cli)?;
    let mut library = Library::restore(&dir, &arguments.file, &options, place::options(cli))?;
    let items = library.status()?.items.iter().map(|count| count.n_items).sum();
    let mut bar = Bar::new();
    let mut progress = |progress: &Progress| {
        bar.show(progress);
        interrupt.flow()
    };
    // The library is there whatever becomes of this; the next `index` makes up for it.
    let outcome = library.refresh_snapshots(&mut progress);
    bar.clear();
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    let mut output = Output::new();
    if arguments.json {
        output.json(&RestoredLine { items })?;
    } else {
        tell(&format!("restored {items} items"));
    }
    output.flush()?;
    outcome?;
    Ok(Exit::Done)
}
