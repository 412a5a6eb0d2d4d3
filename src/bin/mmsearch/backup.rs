//! `mmsearch backup`.

use anyhow::Result;
use mmsearch::library::{Backup, BackupOptions};
use serde::Serialize;

use crate::cli::Cli;
use crate::cli::keep::BackupArgs;
use crate::exit::{Exit, tell};
use crate::output::{Output, PathLine, escaped};
use crate::place;

/// What was written, in JSON.
#[derive(Serialize)]
struct BackupLine {
    #[serde(flatten)]
    path: PathLine,
    items: u64,
    bytes: u64,
}

pub(crate) fn run(cli: &Cli, arguments: &BackupArgs) -> Result<Exit> {
    let library = place::open(cli)?;
    let file = &arguments.file;
    let Backup { n_items: items, size_bytes: bytes } =
        library.backup(file, &BackupOptions { force: arguments.force })?;
    let mut output = Output::new();
    if arguments.json {
        output.json(&BackupLine { path: PathLine::new(file), items, bytes })?;
    } else {
        tell(&format!("{}: {items} items, {bytes} bytes", escaped(file)));
    }
    output.flush()?;
    Ok(Exit::Done)
}
