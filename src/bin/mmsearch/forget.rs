//! `mmsearch forget`.

use std::path::Path;

use anyhow::Result;
use mmsearch::ItemId;
use mmsearch::library::Selector;
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
    let mut library = place::open_to_write(cli)?;
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
