//! JSON Lines. Their shape is a promise, which `docs/query.schema.json` writes down.

use std::io;

use mmsearch::{Item, KeywordMatch};
use serde::Serialize;

use super::{Entry, Group};
use crate::output::{Output, SourceLine};

/// A hit in JSON.
#[derive(Serialize)]
struct HitLine<'a> {
    /// From 1.
    rank: usize,
    /// Cosine with the query, less what unwanted terms take away; higher is closer.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    /// What the score means, where the model says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
    /// Cosine with each term, where there are several.
    #[serde(skip_serializing_if = "<[f32]>::is_empty")]
    term_scores: &'a [f32],
    /// Its place by embeddings, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    semantic_rank: Option<usize>,
    /// What words say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    keyword: Option<KeywordLine>,
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
    /// The name of its ICC profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    color_profile: Option<&'a str>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    metadata: &'a mmsearch::Metadata,
    /// Other images that are nearly the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    duplicates: Vec<ImageLine>,
    /// On the last line: what to give to `--after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct KeywordLine {
    /// From 1.
    rank: usize,
    /// The share of what the words tell that the item's own tell, 0 to 1.
    coverage: f32,
}

#[derive(Serialize)]
struct ImageLine {
    id: i64,
    #[serde(flatten)]
    source: SourceLine,
}

/// A group of duplicates in JSON.
#[derive(Serialize)]
struct GroupLine<'a> {
    /// From 1.
    group: usize,
    /// Whether all have the same content.
    identical: bool,
    items: Vec<HitLine<'a>>,
}

pub(super) fn write(output: &mut Output, groups: &[Group<'_>]) -> io::Result<()> {
    for (i, group) in groups.iter().enumerate() {
        let mut lines = group.entries.iter().map(hit_line);
        match group.is_identical {
            None => lines.try_for_each(|line| output.json(&line))?,
            Some(identical) => {
                output.json(&GroupLine { group: i + 1, identical, items: lines.collect() })?;
            }
        }
    }
    Ok(())
}

fn hit_line<'a>(entry: &'a Entry<'_>) -> HitLine<'a> {
    let item = entry.item;
    let facts = item.facts.as_ref();
    let image = entry.image.as_ref();
    HitLine {
        rank: entry.rank,
        score: entry.score,
        probability: entry.probability,
        term_scores: if entry.term_scores.len() > 1 { entry.term_scores } else { &[] },
        semantic_rank: entry.found.and_then(|hit| hit.semantic_rank),
        keyword: entry
            .keyword()
            .map(|KeywordMatch { rank, coverage }| KeywordLine { rank, coverage }),
        id: item.id.0,
        modality: item.modality.name(),
        source: SourceLine::new(&item.source),
        text: item.text.as_deref(),
        image: image.map(image_line),
        width: facts.map(|facts| facts.width),
        height: facts.map(|facts| facts.height),
        taken_at: facts.and_then(|facts| facts.taken_at.as_deref()),
        color_profile: facts.and_then(|facts| facts.color_profile.as_deref()),
        metadata: &item.metadata,
        duplicates: entry.duplicates().iter().map(image_line).collect(),
        next: entry.next.map(|next| next.to_string()),
    }
}

fn image_line(image: &Item) -> ImageLine {
    ImageLine { id: image.id.0, source: SourceLine::new(&image.source) }
}
