//! The table for people: columns under each other, whatever the names are made of, and no line longer than the terminal.

use unicode_width::UnicodeWidthChar;

use super::Entry;
use crate::output::{escaped_text, source_text};

/// Between two columns.
const GAP: &str = "  ";
/// Columns of the terminal that a path or a caption has at least.
const LEAST_WIDTH: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Score,
    Probability,
    Path,
    Caption,
    Taken,
}

const COLUMNS: [Column; 5] =
    [Column::Score, Column::Probability, Column::Path, Column::Caption, Column::Taken];

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Probability => "probability",
            Self::Path => "path",
            Self::Caption => "caption",
            Self::Taken => "taken",
        }
    }

    fn cell(self, entry: &Entry<'_>) -> String {
        match self {
            Self::Score => entry.score.map_or(String::new(), |score| format!("{score:.4}")),
            Self::Probability => {
                entry.probability.map_or(String::new(), |probability| format!("{probability:.3}"))
            }
            Self::Path => source_text(entry.shown()),
            Self::Caption => entry.caption.as_deref().map_or(String::new(), escaped_text),
            // The day is enough to tell photos apart.
            Self::Taken => {
                let taken = entry.taken_at().unwrap_or_default();
                escaped_text(taken.split('T').next().unwrap_or_default())
            }
        }
    }
}

/// A header and a line for each entry, cut to a width; nothing for no entry. Columns that would be empty are left out.
pub(super) fn lines(entries: &[Entry<'_>], width: Option<usize>) -> Vec<String> {
    if entries.is_empty() {
        return Vec::new();
    }
    let mut columns: Vec<(Column, Vec<String>)> = COLUMNS
        .into_iter()
        .map(|column| (column, entries.iter().map(|entry| column.cell(entry)).collect()))
        .filter(|(_, cells): &(Column, Vec<String>)| cells.iter().any(|cell| !cell.is_empty()))
        .collect();
    columns.iter_mut().for_each(|(column, cells)| cells.insert(0, column.title().into()));
    let mut widths: Vec<usize> = columns.iter().map(|(_, cells)| widest(cells)).collect();
    if let Some(width) = width {
        fit(&columns, &mut widths, width);
    }
    let line = |row: usize| {
        let cells = columns.iter().zip(&widths).map(|((column, cells), &width)| {
            let cut = match column {
                Column::Path => without_start(&cells[row], width),
                Column::Caption => without_end(&cells[row], width),
                Column::Score | Column::Probability | Column::Taken => cells[row].clone(),
            };
            let blank = " ".repeat(width.saturating_sub(width_of(&cut)));
            cut + &blank
        });
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    (0..=entries.len()).map(line).collect()
}

/// Takes what is too much away from the path and the caption, which keeps a third of what the two have.
fn fit(columns: &[(Column, Vec<String>)], widths: &mut [usize], width: usize) {
    let all = widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1);
    let place = |wanted| columns.iter().position(|(column, _)| *column == wanted);
    let Some(path) = place(Column::Path) else { return };
    let caption = place(Column::Caption);
    let of_both = widths[path] + caption.map_or(0, |caption| widths[caption]);
    let Some(excess) = all.checked_sub(width).filter(|&excess| excess > 0) else { return };
    let left = of_both.saturating_sub(excess);
    if let Some(caption) = caption {
        let share = (left / 3).max(left.saturating_sub(widths[path])).max(LEAST_WIDTH);
        widths[caption] = widths[caption].min(share);
        widths[path] = widths[path].min(left.saturating_sub(widths[caption]).max(LEAST_WIDTH));
    } else {
        widths[path] = left.max(LEAST_WIDTH);
    }
}

/// Of a path the end says most.
fn without_start(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.into();
    }
    let (mut room, mut start) = (width.saturating_sub(1), text.len());
    for (place, char) in text.char_indices().rev() {
        let Some(left) = room.checked_sub(char_width(char)) else { break };
        (room, start) = (left, place);
    }
    format!("…{}", &text[start..])
}

fn without_end(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.into();
    }
    let (mut room, mut end) = (width.saturating_sub(1), 0);
    for (place, char) in text.char_indices() {
        let Some(left) = room.checked_sub(char_width(char)) else { break };
        (room, end) = (left, place + char.len_utf8());
    }
    format!("{}…", &text[..end])
}

fn widest(cells: &[String]) -> usize {
    cells.iter().map(|cell| width_of(cell)).max().unwrap_or(0)
}

/// Columns of the terminal, character by character, so that what is cut is counted as the whole was.
fn width_of(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(char: char) -> usize {
    char.width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::{entry, image};
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let items = [
            image(Path::new("/photos/a.jpg"), Some("2024-05-31T18:02:11")),
            image(Path::new("/photos/狗.jpg"), None),
        ];
        let entries = [entry(&items[0], 0.5, Some("a dog")), entry(&items[1], -0.25, None)];
        assert_eq!(
            lines(&entries, None),
            [
                "score    path            caption  taken",
                "0.5000   /photos/a.jpg   a dog    2024-05-31",
                "-0.2500  /photos/狗.jpg",
            ]
        );
        assert!(lines(&[], Some(80)).is_empty());
    }

    #[test]
    fn columns_without_content_are_left_out_and_a_probability_is_shown() {
        let item = image(Path::new("/a.jpg"), None);
        let plain = entry(&item, 0.5, None);
        assert_eq!(lines(&[plain], None), ["score   path", "0.5000  /a.jpg"]);
        let sure = Entry { probability: Some(0.875), score: None, ..entry(&item, 0.0, None) };
        assert_eq!(lines(&[sure], None), ["probability  path", "0.875        /a.jpg"]);
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        let item = image(
            Path::new("/home/me/photos/2024/summer/狗狗狗狗狗狗.jpg"),
            Some("2024-05-31T18:02"),
        );
        let caption = "two dogs run over a wide green field in the evening sun";
        for width in 60..140 {
            let lines = lines(&[entry(&item, 0.5, Some(caption))], Some(width));
            assert!(lines.iter().all(|line| width_of(line) <= width), "{lines:#?}");
            assert!(lines[1].contains("狗.jpg") && lines[1].contains("two dogs"), "{lines:#?}");
        }
        let narrow = lines(&[entry(&item, 0.5, None)], Some(40));
        assert_eq!(narrow[1], "0.5000  …er/狗狗狗狗狗狗.jpg  2024-05-31");
        let short = entry(&item, 0.5, Some("dogs"));
        assert!(lines(&[short], Some(60))[1].contains("  dogs     2024"), "a short one is not cut");
    }

    #[test]
    fn nothing_of_a_name_or_a_text_steers_the_terminal() {
        let item = image(Path::new("/a\u{1b}[2J\n.jpg"), None);
        let lines = lines(&[entry(&item, 0.5, Some("one\r\ntwo\u{202e}"))], None);
        assert_eq!(lines[1], r"0.5000  /a\u{1b}[2J\n.jpg  one\r\ntwo\u{202e}");
    }
}
