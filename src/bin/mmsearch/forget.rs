//! `mmsearch forget`.

use std::path::Path;

use anyhow::Result;
use mmsearch::ItemId;
use mmsearch::library::{Library, LibraryOptions, Selector};
use serde::Serialize;

use crate::cli::{Cli, ForgetArgs};
use crate::exit::{Exit, tell};
use crate::output::Output;
use crate::place;

/// What was forgotten, in JSON.
#[derive(Serialize)]
struct ForgottenLine {
    images: u64,
    texts: u64,
}

pub(crate) fn run(cli: &Cli, arguments: &ForgetArgs) -> Result<Exit> {
    let dir = place::library(cli)?;
    // Opened for reading first, so that forgetting does not make a library where there is none.
    drop(Library::open(&dir)?);
    let mut library = Library::create_or_open(&dir, LibraryOptions::default())?;
    let what: Vec<Selector> = arguments.what.iter().map(|what| selector(what)).collect();
    let outcome = library.forget(&what);
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    let forgotten = outcome?;
    let mut output = Output::new();
    if arguments.json {
        output.json(&ForgottenLine { images: forgotten.n_images, texts: forgotten.n_texts })?;
    } else {
        tell(&format!("forgot {} images and {} texts", forgotten.n_images, forgotten.n_texts));
    }
    output.flush()?;
    Ok(Exit::Done)
}

/// A number is an id, unless there is a file of that name.
pub(crate) fn selector(what: &Path) -> Selector {
    let id = what.to_str().and_then(|what| what.parse().ok());
    match id {
        Some(id) if !what.exists() => Selector::Id(ItemId(id)),
        Some(_) | None => Selector::Path(what.into()),
    }
}
