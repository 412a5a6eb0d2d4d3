//! `mmsearch similar`.

use std::path::Path;

use anyhow::Result;
use mmsearch::library::Library;
use mmsearch::{Error, Item, ItemId, Target};

use crate::cli::answers::SimilarArgs;
use crate::cli::{Cli, To};
use crate::exit::{Exit, tell};
use crate::output::escaped;
use crate::{place, show};

pub(crate) fn run(cli: &Cli, arguments: &SimilarArgs) -> Result<Exit> {
    let mut library = place::open(cli)?;
    if library.is_empty()? {
        return Ok(nothing_in_it());
    }
    let Some(item) = item(&library, &arguments.what)? else {
        return absent(&library, &arguments.what);
    };
    let hits = library.similar(item.id, target(arguments.to), arguments.k.into())?;
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    show::hits(&library, &arguments.show, &hits)?;
    Ok(if hits.is_empty() { Exit::NothingFound } else { Exit::Done })
}

/// A number is an id, unless there is a file of that name.
fn item(library: &Library, what: &Path) -> Result<Option<Item>> {
    let id = what.to_str().and_then(|what| what.parse().ok());
    Ok(match id {
        Some(id) if !what.exists() => library.item(ItemId(id))?,
        Some(_) | None => library.item_at(what)?,
    })
}

/// A picture can be asked for all the same, by another subcommand.
fn absent(library: &Library, what: &Path) -> Result<Exit> {
    if what.is_file() {
        let path = escaped(what);
        tell(&format!(
            "mmsearch: {path} is not in the library; look for what is like it with `mmsearch query --image {path}`"
        ));
        return Ok(Exit::NothingFound);
    }
    let what = what.display().to_string();
    Err(Error::NotFound { what, library: library.dir().into() }.into())
}

/// Says what to do about an empty library.
pub(crate) fn nothing_in_it() -> Exit {
    tell("mmsearch: the library is empty; fill it with `mmsearch index`");
    Exit::NothingFound
}

pub(crate) fn target(to: To) -> Target {
    match to {
        To::Image => Target::Image,
        To::Text => Target::Text,
        To::Any => Target::Any,
    }
}
