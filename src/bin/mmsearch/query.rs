//! `mmsearch query`.

use anyhow::Result;
use mmsearch::encoder::Encoder;
use mmsearch::index::Plan;
use mmsearch::library::{Explained, Library, SearchStep};
use mmsearch::{Detail, Error, Query, Target, Term};

use crate::cli::{Cli, QueryArgs, TermArgs, To};
use crate::exit::{Exit, tell};
use crate::picture::picture;
use crate::timings::{Timed, Timings};
use crate::worker::start_encoder;
use crate::{place, show};

pub(crate) fn run(cli: &Cli, arguments: &QueryArgs) -> Result<Exit> {
    let mut timings = Timings::begin();
    let mut library = Library::open(&place::library(cli)?)?;
    timings.step("library");
    check(&arguments.term)?;
    let to = match arguments.to {
        To::Image => Target::Image,
        To::Text => Target::Text,
        To::Any => Target::Any,
    };
    if library.is_empty()? {
        tell("mmsearch: the library is empty; fill it with `mmsearch index`");
        return Ok(Exit::NothingFound);
    }
    let mut encoder = Timed::new(start_encoder(cli)?.ready()?);
    timings.step("encoder start");
    let term = term(&arguments.term, encoder.preprocess().detail())?;
    timings.step("input");
    let query = Query { term, to, k: arguments.k.into(), exact: arguments.exact };
    if let Term::Text(text) = &query.term
        && !encoder.reads_whole(text)?
    {
        tell("note: the text is longer than the model reads; its end is left out");
    }
    let Explained { hits, steps } = library.explained(&mut encoder, &query)?;
    timings.step_with_encoding("search", encoder.encoding);
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    show::hits(&library, &arguments.show, &hits)?;
    timings.step("rows");
    if arguments.explain_plan {
        steps.iter().for_each(|step| tell(&plan_text(step)));
    }
    if arguments.timings {
        timings.tell();
    }
    Ok(if hits.is_empty() { Exit::NothingFound } else { Exit::Done })
}

fn plan_text(step: &SearchStep) -> String {
    let SearchStep { modality, n_in_snapshot, n_rows, n_rescored, .. } = step;
    let how = match step.plan {
        None => "no snapshot".into(),
        Some(Plan::Exact) => format!("exact comparison of {n_in_snapshot} in the snapshot"),
        Some(Plan::Scan) => format!("scan of {n_in_snapshot} in the snapshot"),
        Some(Plan::Graph { ef }) => {
            format!("graph walk, beam {ef}, of {n_in_snapshot} in the snapshot")
        }
    };
    let name = modality.name();
    format!("plan: {name}s by {how}; {n_rows} rows compared one by one, {n_rescored} scored again")
}

/// What can be refused before the model is loaded.
fn check(arguments: &TermArgs) -> Result<()> {
    let reason = match (&arguments.text, &arguments.image) {
        (Some(text), _) if text.trim().is_empty() => "the text to look for is empty",
        (None, None) => "say --text TEXT or --image FILE",
        (Some(_), _) | (None, Some(_)) => return Ok(()),
    };
    Err(Error::BadQuery { reason: reason.into() }.into())
}

/// A photo is decoded as it is for the index, so that it finds itself with a score of 1.
fn term(arguments: &TermArgs, detail: Detail) -> Result<Term> {
    match (&arguments.text, &arguments.image) {
        (None, Some(path)) => Ok(Term::Image(picture(path, detail)?)),
        (text, _) => Ok(Term::Text(text.clone().unwrap_or_default())),
    }
}
