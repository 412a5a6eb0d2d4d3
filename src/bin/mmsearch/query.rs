//! `mmsearch query`.

use anyhow::Result;
use mmsearch::encoder::Encoder;
use mmsearch::index::Plan;
use mmsearch::library::{Explained, SearchStep};
use mmsearch::{Condition, Cursor, Detail, Error, Hit, Mode, Query, Sort, Term, WeightedTerm};

use crate::cli::{Cli, ModeArg, QueryArgs, SortArg, To};
use crate::exit::{Exit, tell};
use crate::output::escaped_text;
use crate::picture::external_decoder;
use crate::similar::target;
use crate::timings::{Timed, Timings};
use crate::worker::start_encoder;
use crate::{explain, labels, place, show, terms};

/// Below it a hit is a guess (docs/retrieval.md has what that costs and gains).
const LEAST_PROBABILITY: f32 = 0.25;

pub(crate) fn run(cli: &Cli, arguments: &QueryArgs) -> Result<Exit> {
    let mut timings = Timings::begin();
    let mut library = place::open(cli)?;
    timings.step("library");
    let named = terms::named(&arguments.term)?;
    let query = query(arguments)?;
    let decoder = external_decoder(Some(&arguments.decoder))?;
    if library.is_empty()? {
        tell("mmsearch: the library is empty; fill it with `mmsearch index`");
        return Ok(Exit::NothingFound);
    }
    let names: Vec<String> = named.iter().map(ToString::to_string).collect();
    let needs_encoder =
        query.mode != Mode::Keyword && (terms::need_encoder(&named) || arguments.labels.is_some());
    let explained = if !needs_encoder {
        let terms = terms::read(named, Detail::Full, decoder.as_ref())?;
        library.explained_without_encoder(&Query { terms, ..query })?
    } else {
        let mut encoder = Timed::new(start_encoder(cli)?.ready()?);
        timings.step("encoder start");
        let detail = encoder.preprocess().detail();
        let terms = terms::read(named, detail, decoder.as_ref())?;
        timings.step("input");
        tell_of_cut_texts(&mut encoder, &terms)?;
        let query = Query { terms, ..query };
        let mut explained = library.explained(&mut encoder, &query)?;
        if let Some(file) = &arguments.labels {
            labels::add(&library, &mut encoder, &query, file, &mut explained.hits)?;
            (explained.next, explained.best_guess) = (None, None);
        }
        timings.step_with_encoding("search", encoder.encoding);
        explained
    };
    let Explained { hits, steps, next, best_guess } = &explained;
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    if let Some(guess) = best_guess {
        tell(&nothing_matches(guess));
    } else if hits.is_empty() && arguments.filter.is_some() && arguments.after.is_none() {
        tell("mmsearch: nothing that answers satisfies the condition");
    }
    show::page(&library, &arguments.show, hits, *next)?;
    timings.step("rows");
    if arguments.explain {
        explain::hits(hits, &names, arguments.filter.as_deref());
    }
    if arguments.explain_plan || arguments.explain {
        steps.iter().for_each(|step| tell(&plan_text(step)));
    }
    if arguments.timings {
        timings.tell();
    }
    Ok(if hits.is_empty() { Exit::NothingFound } else { Exit::Done })
}

/// What is asked, still without its terms.
fn query(arguments: &QueryArgs) -> Result<Query> {
    if arguments.labels.is_some()
        && (arguments.to == To::Image || arguments.mode == ModeArg::Keyword)
    {
        let reason = "--labels are texts that meaning ranks: it needs --to text or any";
        return Err(Error::BadQuery { reason: reason.into() }.into());
    }
    Ok(Query {
        terms: Vec::new(),
        to: target(arguments.to),
        k: arguments.k.into(),
        exact: arguments.exact,
        filter: arguments.filter.as_deref().map(condition).transpose()?,
        mode: match arguments.mode {
            ModeArg::Hybrid => Mode::Hybrid,
            ModeArg::Semantic => Mode::Semantic,
            ModeArg::Keyword => Mode::Keyword,
        },
        after: arguments.after.as_deref().map(str::parse::<Cursor>).transpose()?,
        sort: match arguments.sort {
            SortArg::Score => Sort::Score,
            SortArg::Date => Sort::Date,
            SortArg::Path => Sort::Path,
        },
        group_duplicates: arguments.group_duplicates,
        least_probability: if arguments.all { 0.0 } else { LEAST_PROBABILITY },
    })
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

/// That there is nothing, and what there would be.
fn nothing_matches(guess: &Hit) -> String {
    let source = escaped_text(&guess.item.source.to_string());
    let probability = guess.probability.map_or(String::new(), |it| format!(" ({it:.2} probable)"));
    format!(
        "mmsearch: nothing matches; the best guess is {source}{probability}; --all shows guesses too"
    )
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
