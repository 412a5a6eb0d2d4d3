//! Where the library, the models and what was downloaded lie.

use std::env::var_os;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mmsearch::library::{Library, LibraryOptions};

use crate::cli::Cli;
use crate::exit::tell;

/// `--library`, `MMSEARCH_LIBRARY`, or `mmsearch/default` in the user's data directory.
pub(crate) fn library(cli: &Cli) -> Result<PathBuf> {
    if let Some(dir) = &cli.place.library {
        return Ok(dir.clone());
    }
    if let Some(dir) = variable("MMSEARCH_LIBRARY") {
        return Ok(dir.into());
    }
    Ok(user_data()?.join("default"))
}

/// Opens the library for reading, and tells what should be known of it.
pub(crate) fn open(cli: &Cli) -> Result<Library> {
    Ok(told(Library::open_with(&library(cli)?, options(cli))?))
}

/// Opens the library for writing; makes it if there is none.
pub(crate) fn create_or_open(cli: &Cli) -> Result<Library> {
    Ok(told(Library::create_or_open(&library(cli)?, options(cli))?))
}

/// Opens the library for writing, if there is one.
pub(crate) fn open_to_write(cli: &Cli) -> Result<Library> {
    // For reading first, so that no library is made where there is none.
    drop(Library::open_with(&library(cli)?, options(cli))?);
    create_or_open(cli)
}

/// Opens the library for writing, if there is one, though it may be damaged.
pub(crate) fn open_for_repair(cli: &Cli) -> Result<Library> {
    Ok(told(Library::open_for_repair(&library(cli)?, options(cli))?))
}

/// How the arguments want a library to be opened.
pub(crate) fn options(cli: &Cli) -> LibraryOptions {
    LibraryOptions { allow_network_fs: cli.place.allow_network_fs, ..LibraryOptions::default() }
}

fn told(mut library: Library) -> Library {
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    library
}

/// Where `--model NAME` looks: `mmsearch/models` in the user's data directory.
pub(crate) fn models() -> mmsearch::Result<PathBuf> {
    Ok(user_data()?.join("models"))
}

/// Where a new model will be. A name is one component of a path, and not the name of the model inside.
pub(crate) fn new_model(name: &str) -> Result<PathBuf> {
    let plain = Path::new(name).file_name().is_some_and(|file| file == name);
    if !plain || name.starts_with('.') || name == "mini" {
        let reason = format!("{name:?} cannot be the name of a model; choose one with --name");
        return Err(mmsearch::Error::BadOption { reason }.into());
    }
    let dir = models()?.join(name);
    if dir.symlink_metadata().is_ok() {
        let reason =
            format!("{} is there already; remove it, or choose another --name", dir.display());
        return Err(mmsearch::Error::BadOption { reason }.into());
    }
    Ok(dir)
}

/// Where Python's `huggingface_hub` keeps its files: `HF_HOME`, or `huggingface` in the user's cache directory.
pub(crate) fn hub_home() -> Result<PathBuf> {
    if let Some(home) = variable("HF_HOME") {
        return Ok(home.into());
    }
    let home = || Some(PathBuf::from(variable("HOME")?).join(".cache"));
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let bad = || mmsearch::Error::BadOption {
        reason: "none of HF_HOME, XDG_CACHE_HOME and HOME is set; set HF_HOME".into(),
    };
    Ok(cache.ok_or_else(bad).context("no place for downloads")?.join("huggingface"))
}

/// `mmsearch` in the user's data directory.
fn user_data() -> mmsearch::Result<PathBuf> {
    let home = || Some(PathBuf::from(variable("HOME")?).join(".local/share"));
    let data = variable("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    let bad = || mmsearch::Error::BadOption {
        reason:
            "no place for the library: neither XDG_DATA_HOME nor HOME is set; say --library DIR"
                .into(),
    };
    Ok(data.ok_or_else(bad)?.join("mmsearch"))
}

/// A variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    var_os(name).filter(|value| !value.is_empty())
}
