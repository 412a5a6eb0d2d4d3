//! `mmsearch query`.

use anyhow::Result;
use mmsearch::encoder::Encoder;
use mmsearch::index::Plan;
use mmsearch::library::{Explained, Library, SearchStep};
use mmsearch::{Condition, Error, Hit, ItemId, Query, Target, Term};
use serde::Serialize;

use crate::cli::{Cli, QueryArgs, To};
use crate::exit::{Exit, tell};
use crate::output::{Output, SourceLine, escaped_text, source_text};
use crate::place;
use crate::terms;
use crate::timings::{Timed, Timings};
use crate::worker::start_encoder;

/// A hit in JSON.
#[derive(Serialize)]
struct HitLine<'a> {
    /// From 1.
    rank: usize,
    /// Cosine with the query, higher is closer.
    score: f32,
    id: i64,
    modality: &'static str,
    #[serde(flatten)]
    source: SourceLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The image that a text describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_at: Option<&'a str>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    metadata: &'a mmsearch::Metadata,
}

#[derive(Serialize)]
struct ImageLine {
    id: i64,
    #[serde(flatten)]
    source: SourceLine,
}

pub(crate) fn run(cli: &Cli, arguments: &QueryArgs) -> Result<Exit> {
    let mut timings = Timings::begin();
    let mut library = Library::open(&place::library(cli)?)?;
    timings.step("library");
    let named = terms::named(&arguments.term)?;
    let filter = arguments.filter.as_deref().map(condition).transpose()?;
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
    let terms = terms::read(named, encoder.preprocess().detail())?;
    timings.step("input");
    for term in &terms {
        if let Term::Text(text) = &term.term
            && !encoder.reads_whole(text)?
        {
            tell("note: the text is longer than the model reads; its end is left out");
        }
    }
    let query = Query { terms, to, k: arguments.k.into(), exact: arguments.exact, filter };
    let Explained { hits, steps } = library.explained(&mut encoder, &query)?;
    timings.step_with_encoding("search", encoder.encoding);
    for warning in library.take_warnings() {
        tell(&format!("warning: {warning}"));
    }
    let mut output = Output::new();
    for (i, hit) in hits.iter().enumerate() {
        match arguments.json {
            true => output.json(&hit_line(&library, i + 1, hit)?)?,
            false => output.line(&hit_text(&library, hit)?)?,
        }
    }
    output.flush()?;
    timings.step("rows");
    if arguments.explain_plan {
        steps.iter().for_each(|step| tell(&plan_text(step)));
    }
    if arguments.timings {
        timings.tell();
    }
    Ok(if hits.is_empty() { Exit::NothingFound } else { Exit::Done })
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

fn hit_text(library: &Library, hit: &Hit) -> Result<String> {
    let (score, item) = (hit.score, &hit.item);
    let Some(text) = &item.text else { return Ok(format!("{score:.4}  {}", source_text(item))) };
    let about = match described(library, item.image)? {
        Some(image) => source_text(&image),
        None => source_text(item),
    };
    Ok(format!("{score:.4}  \"{}\"  {about}", escaped_text(text)))
}

fn hit_line<'a>(library: &Library, rank: usize, hit: &'a Hit) -> Result<HitLine<'a>> {
    let item = &hit.item;
    let facts = item.facts.as_ref();
    let image = described(library, item.image)?;
    Ok(HitLine {
        rank,
        score: hit.score,
        id: item.id.0,
        modality: item.modality.name(),
        source: SourceLine::new(&item.source),
        text: item.text.as_deref(),
        image: image
            .map(|image| ImageLine { id: image.id.0, source: SourceLine::new(&image.source) }),
        width: facts.map(|facts| facts.width),
        height: facts.map(|facts| facts.height),
        taken_at: facts.and_then(|facts| facts.taken_at.as_deref()),
        metadata: &item.metadata,
    })
}

fn described(library: &Library, image: Option<ItemId>) -> Result<Option<mmsearch::Item>> {
    let Some(id) = image else { return Ok(None) };
    Ok(library.item(id)?)
}
