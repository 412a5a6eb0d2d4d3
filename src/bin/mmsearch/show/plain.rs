//! The lines for scripts that read them: a score and a path, a text in quotation marks between them.

use std::io;

use super::{Entry, Group};
use crate::output::{Output, escaped_text, source_text};

pub(super) fn write(output: &mut Output, groups: &[Group<'_>]) -> io::Result<()> {
    for (i, group) in groups.iter().enumerate() {
        if i > 0 {
            output.line("")?;
        }
        for entry in &group.entries {
            output.line(&line(entry))?;
        }
    }
    Ok(())
}

fn line(entry: &Entry<'_>) -> String {
    let mut parts = Vec::new();
    parts.extend(entry.score.map(|score| format!("{score:.4}")));
    parts.extend(entry.item.text.as_ref().map(|text| format!("\"{}\"", escaped_text(text))));
    parts.push(source_text(entry.shown()));
    parts.join("  ")
}
