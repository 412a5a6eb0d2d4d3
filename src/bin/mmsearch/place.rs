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
    if let Some(dir) = variable("MMSEARCH_LIBRARY") {
        return Ok(dir.into());
    }
    Ok(user_data()?.join("default"))
}

/// Where `--model NAME` looks: `mmsearch/models` in the user's data directory.
#[cfg(feature = "torch")]
pub(crate) fn models() -> Result<PathBuf> {
    Ok(user_data()?.join("models"))
}

/// `mmsearch` in the user's data directory.
fn user_data() -> Result<PathBuf> {
    let home = || Some(PathBuf::from(variable("HOME")?).join(".local/share"));
    let data = variable("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    let bad = || mmsearch::Error::BadOption {
        reason: "neither XDG_DATA_HOME nor HOME is set; say --library DIR".into(),
    };
    Ok(data.ok_or_else(bad).context("no place for the library")?.join("mmsearch"))
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    var_os(name).filter(|value| !value.is_empty())
}
