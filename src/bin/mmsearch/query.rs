//! `mmsearch query`.

use anyhow::Result;
use mmsearch::encoder::Encoder;
use mmsearch::index::Plan;
use mmsearch::library::{Explained, Library, SearchStep};
use mmsearch::{Condition, Detail, Error, Query, Term, WeightedTerm};

use crate::cli::{Cli, QueryArgs};
use crate::exit::{Exit, tell};
use crate::similar::target;
use crate::timings::{Timed, Timings};
use crate::worker::start_encoder;
use crate::{place, show, terms};

pub(crate) fn run(cli: &Cli, arguments: &QueryArgs) -> Result<Exit> {
    let mut timings = Timings::begin();
    let mut library = Library::open(&place::library(cli)?)?;
    timings.step("library");
    let named = terms::named(&arguments.term)?;
    let filter = arguments.filter.as_deref().map(condition).transpose()?;
    let to = target(arguments.to);
    if library.is_empty()? {
        tell("mmsearch: the library is empty; fill it with `mmsearch index`");
        return Ok(Exit::NothingFound);
    }
    let asked = |terms| Query { terms, to, k: arguments.k.into(), exact: arguments.exact, filter };
    let Explained { hits, steps } = match terms::need_encoder(&named) {
        false => library.explained_without_encoder(&asked(terms::read(named, Detail::Full)?))?,
        true => {
            let mut encoder = Timed::new(start_encoder(cli)?.ready()?);
            timings.step("encoder start");
            let terms = terms::read(named, encoder.preprocess().detail())?;
            timings.step("input");
            tell_of_cut_texts(&mut encoder, &terms)?;
            let explained = library.explained(&mut encoder, &asked(terms))?;
            timings.step_with_encoding("search", encoder.encoding);
            explained
        }
    };
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

fn tell_of_cut_texts(encoder: &mut dyn Encoder, terms: &[WeightedTerm]) -> Result<()> {
    for term in terms {
        if let Term::Text(text) = &term.term
            && !encoder.reads_whole(text)?
        {
            tell("note: the text is longer than the model reads; its end is left out");
        }
    }
    Ok(())
}

/// A condition whose relative roots begin here.
fn condition(text: &str) -> Result<Condition> {
    let absolute = |root: &str| {
        // As `index` names it, if it is there.
        let path = std::fs::canonicalize(root).or_else(|_| std::path::absolute(root));
        let path =
            path.map_err(|error| Error::Io { action: "resolve", path: root.into(), error })?;
        Ok(path.to_string_lossy().into_owned())
    };
    Ok(Condition::parse(text)?.map_roots(&mut { absolute })?)
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
