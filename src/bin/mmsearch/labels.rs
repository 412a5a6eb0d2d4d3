//! `query --labels`: a file of texts, ranked beside the library's own.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use mmsearch::encoder::Encoder;
use mmsearch::library::Library;
use mmsearch::media::{self, Limits};
use mmsearch::{Error, Hit, Item, ItemId, Metadata, Modality, Query, Source, Status};

/// Each takes some milliseconds to encode.
const MOST: usize = 10_000;

/// A line of the file that has a text.
struct Label {
    line: u64,
    text: String,
}

/// Puts the labels that answer best among the hits.
pub(crate) fn add(
    library: &Library,
    encoder: &mut dyn Encoder,
    query: &Query,
    file: &Path,
    hits: &mut Vec<Hit>,
) -> Result<()> {
    let labels = read(file)?;
    let texts: Vec<&str> = labels.iter().map(|label| label.text.as_str()).collect();
    let scores = library.scores_of_texts(encoder, query, &texts)?;
    hits.extend(labels.into_iter().zip(scores).map(|(label, score)| hit(file, label, score)));
    let score = |hit: &Hit| hit.score.unwrap_or(f32::MIN);
    hits.sort_by(|a, b| score(b).total_cmp(&score(a)));
    hits.truncate(query.k);
    Ok(())
}

fn read(file: &Path) -> Result<Vec<Label>> {
    let bad = |reason: String| Error::BadInput { path: file.into(), reason };
    let (bytes, _) = media::read_regular(file, &Limits::default())?;
    let text = String::from_utf8(bytes).map_err(|_| bad("it is no text in UTF-8".into()))?;
    let mut seen = BTreeSet::new();
    let lines = text.lines().map(str::trim).zip(1..);
    let labels: Vec<Label> = lines
        .filter(|(text, _)| !text.is_empty() && seen.insert(*text))
        .map(|(text, line)| Label { line, text: text.into() })
        .collect();
    match labels.len() {
        0 => Err(bad("there is no text in it".into()).into()),
        n if n > MOST => Err(bad(format!("{n} texts, but {MOST} is the most")).into()),
        _ => Ok(labels),
    }
}

/// As if it were a caption of a manifest; it has no identity.
fn hit(file: &Path, label: Label, score: f32) -> Hit {
    let source = Source::ManifestRow { manifest: file.into(), line: label.line, caption: 0 };
    let item = Item {
        id: ItemId(0),
        modality: Modality::Text,
        source,
        content_hash: None,
        size_bytes: label.text.len() as u64,
        modified_ns: None,
        status: Status::Ok,
        reason: None,
        facts: None,
        text: Some(label.text),
        image: None,
        metadata: Metadata::new(),
    };
    Hit::new(item, score)
}
