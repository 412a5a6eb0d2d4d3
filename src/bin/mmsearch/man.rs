//! `mmsearch man`.

use std::fs;

use anyhow::Result;
use clap::CommandFactory;
use mmsearch::Error;

use crate::cli::{Cli, ManArgs};
use crate::exit::Exit;

pub(crate) fn run(arguments: &ManArgs) -> Result<Exit> {
    let dir = &arguments.dir;
    let failed = |action| move |error| Error::Io { action, path: dir.clone(), error };
    fs::create_dir_all(dir).map_err(failed("create"))?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed("write man pages to"))?;
    Ok(Exit::Done)
}
