//! Comma-separated values after RFC 4180: a header, CRLF, quotation marks where a field needs them.

use std::io;

use csv::{Terminator, WriterBuilder};

use super::paths::raw;
use super::{Entry, Group};
use crate::output::{Output, kind_of_source, line_of_source};

const COLUMNS: [&str; 12] = [
    "rank",
    "score",
    "probability",
    "id",
    "modality",
    "source",
    "path",
    "line",
    "caption",
    "taken_at",
    "width",
    "height",
];

/// Writes a table; that of duplicates has the number of their group in front.
pub(super) fn write(output: &mut Output, groups: &[Group<'_>]) -> io::Result<()> {
    let has_groups = groups.iter().any(|group| group.is_identical.is_some());
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    let group_column = has_groups.then_some("group");
    writer.write_record(group_column.into_iter().chain(COLUMNS))?;
    for (i, group) in groups.iter().enumerate() {
        let number = has_groups.then(|| (i + 1).to_string().into_bytes());
        for entry in &group.entries {
            writer.write_record(number.clone().into_iter().chain(fields(entry)))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    output.bytes(&bytes)
}

/// A path keeps its bytes, whatever they are; of a text it is that of the image it describes.
fn fields(entry: &Entry<'_>) -> [Vec<u8>; COLUMNS.len()] {
    let shown = entry.shown();
    let facts = shown.facts.as_ref();
    let number = |number: Option<f32>| number.map_or(String::new(), |number| number.to_string());
    let side = |side: Option<u32>| side.map_or(String::new(), |side| side.to_string());
    [
        entry.rank.to_string().into(),
        number(entry.score).into(),
        number(entry.probability).into(),
        entry.item.id.to_string().into(),
        entry.item.modality.name().into(),
        kind_of_source(&shown.source).into(),
        raw(&shown.source),
        line_of_source(&shown.source).map_or(String::new(), |line| line.to_string()).into(),
        entry.caption.clone().unwrap_or_default().into(),
        entry.taken_at().unwrap_or_default().into(),
        side(facts.map(|facts| facts.width)).into(),
        side(facts.map(|facts| facts.height)).into(),
    ]
}
