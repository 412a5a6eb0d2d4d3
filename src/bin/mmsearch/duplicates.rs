//! `mmsearch duplicates`.

use std::ops::ControlFlow;

use anyhow::Result;
use mmsearch::library::{DuplicatesOptions, Progress};

use crate::cli::Cli;
use crate::cli::answers::DuplicatesArgs;
use crate::exit::{Exit, tell};
use crate::progress::Bar;
use crate::similar::nothing_in_it;
use crate::{place, show};

pub(crate) fn run(cli: &Cli, arguments: &DuplicatesArgs) -> Result<Exit> {
    let mut library = place::open(cli)?;
    if library.is_empty()? {
        return Ok(nothing_in_it());
    }
    let options = DuplicatesOptions { threshold: arguments.threshold, verify: arguments.verify };
    let mut bar = Bar::new();
    // Ctrl-C ends the process as it is: nothing is written that would have to be put in order.
    let outcome = library.duplicates(&options, &mut |progress: &Progress| {
        bar.show(progress);
        ControlFlow::Continue(())
    });
    bar.clear();
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    let groups = outcome?;
    show::duplicates(&library, &arguments.show, &groups)?;
    Ok(if groups.is_empty() { Exit::NothingFound } else { Exit::Done })
}
