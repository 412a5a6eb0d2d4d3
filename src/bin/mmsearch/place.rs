//! Where the library lies.

use std::env::var_os;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cli::Cli;

/// `--library`, `MMSEARCH_LIBRARY`, or `mmsearch/default` in the user's data directory.
pub(crate) fn library(cli: &Cli) -> Result<PathBuf> {
    if let Some(dir) = &cli.library {
        return Ok(dir.clone());
    }
    let variable = |name| var_os(name).filter(|value: &OsString| !value.is_empty());
    if let Some(dir) = variable("MMSEARCH_LIBRARY") {
        return Ok(dir.into());
    }
    let home = || Some(PathBuf::from(variable("HOME")?).join(".local/share"));
    let data = variable("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    let bad = || mmsearch::Error::BadOption {
        reason: "neither XDG_DATA_HOME nor HOME is set; say --library DIR".into(),
    };
    Ok(data.ok_or_else(bad).context("no place for the library")?.join("mmsearch/default"))
}
