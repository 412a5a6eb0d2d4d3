//! `mmsearch random`.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::cli::Cli;
use crate::cli::answers::RandomArgs;
use crate::exit::Exit;
use crate::similar::{nothing_in_it, target};
use crate::{place, show};

pub(crate) fn run(cli: &Cli, arguments: &RandomArgs) -> Result<Exit> {
    let library = place::open(cli)?;
    if library.is_empty()? {
        return Ok(nothing_in_it());
    }
    let seed = arguments.seed.unwrap_or_else(any_seed);
    let items = library.random(target(arguments.to), arguments.k.into(), seed)?;
    show::items(&library, &arguments.show, &items)?;
    Ok(if items.is_empty() { Exit::NothingFound } else { Exit::Done })
}

/// Another one every time; nobody is to be kept from guessing it.
fn any_seed() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_1970.as_nanos() as u64 ^ u64::from(std::process::id()) << 32
}
