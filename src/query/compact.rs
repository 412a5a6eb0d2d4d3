#![doc = include_str!("../../docs/queries.md")]

use std::fmt;
use std::path::PathBuf;

use super::{MAX_TERMS, WEIGHTS};
use crate::error::{Error, Result};
use crate::item::ItemId;

/// What a term names.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A sentence or a few words.
    Text(String),
    /// A photo on the disk, or `-` for standard input.
    File(PathBuf),
    /// An item of the library.
    Item(ItemId),
}

/// A term of a line, before anything is read or encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactTerm {
    /// What it names.
    pub operand: Operand,
    /// Within [`WEIGHTS`]; less than 0 if it is unwanted.
    pub weight: f32,
}

/// Reads a line.
///
/// # Errors
/// [`Error::BadQuery`] that names the column, from 1.
pub fn parse(line: &str) -> Result<Vec<CompactTerm>> {
    let mut reader = Reader { line, at: 0 };
    let mut terms = Vec::new();
    reader.skip_spaces();
    while !reader.rest().is_empty() {
        terms.push(reader.term(terms.is_empty())?);
        if terms.len() > MAX_TERMS {
            return Err(reader.error(&format!("more than {MAX_TERMS} terms")));
        }
        reader.skip_spaces();
    }
    if terms.is_empty() {
        return Err(Error::BadQuery { reason: "the query is empty".into() });
    }
    Ok(terms)
}

/// What is read of a line so far.
struct Reader<'a> {
    line: &'a str,
    /// In bytes, always between two characters.
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    fn skip_spaces(&mut self) {
        self.at = self.line.len() - self.rest().trim_start().len();
    }

    fn skip(&mut self, prefix: char) -> bool {
        let is_there = self.rest().starts_with(prefix);
        if is_there {
            self.at += prefix.len_utf8();
        }
        is_there
    }

    fn error(&self, reason: &str) -> Error {
        let column = self.line[..self.at].chars().count() + 1;
        Error::BadQuery { reason: format!("column {column} of the query: {reason}") }
    }

    fn term(&mut self, is_first: bool) -> Result<CompactTerm> {
        let sign = match (self.skip('+'), self.skip('-')) {
            (false, true) => -1.0,
            (true, false) => 1.0,
            (true, true) => return Err(self.error("one sign is enough")),
            (false, false) if is_first => 1.0,
            (false, false) => return Err(self.error("expected + or - before the next term")),
        };
        self.skip_spaces();
        let weight = self.weight()?;
        let operand = self.operand()?;
        Ok(CompactTerm { operand, weight: sign * weight })
    }

    /// The number before a `*`; 1 if there is none.
    fn weight(&mut self) -> Result<f32> {
        let rest = self.rest();
        let number =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let Some(behind) = rest[number..].trim_start().strip_prefix('*') else { return Ok(1.0) };
        if number == 0 {
            return Err(self.error("expected a number before *"));
        }
        let weight: f32 = rest[..number].parse().map_err(|_| self.error("this is no number"))?;
        if !WEIGHTS.contains(&weight) {
            let (least, most) = (WEIGHTS.start(), WEIGHTS.end());
            return Err(self.error(&format!("a weight must be {least} to {most}")));
        }
        self.at = self.line.len() - behind.trim_start().len();
        Ok(weight)
    }

    fn operand(&mut self) -> Result<Operand> {
        if self.skip('#') {
            let digits = self.name("the id of an item")?;
            let id =
                digits.parse().map_err(|_| self.error("expected the id of an item before this"))?;
            return Ok(Operand::Item(ItemId(id)));
        }
        if self.skip('@') {
            return Ok(Operand::File(PathBuf::from(self.name("a file")?)));
        }
        Ok(Operand::Text(self.name("a text")?))
    }

    fn name(&mut self, what: &str) -> Result<String> {
        let name = if self.rest().starts_with('"') { self.quoted()? } else { self.words() };
        if name.trim().is_empty() {
            return Err(self.error(&format!("expected {what}")));
        }
        Ok(name)
    }

    fn quoted(&mut self) -> Result<String> {
        let mut name = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((place, c)) = chars.next() {
            if c != '"' {
                name.push(c);
            } else if chars.next_if(|&(_, next)| next == '"').is_some() {
                name.push('"');
            } else {
                self.at += place + 1;
                return Ok(name);
            }
        }
        Err(self.error("the quote is not closed"))
    }

    fn words(&mut self) -> String {
        let rest = self.rest();
        let mut after_space = !self.line[..self.at].ends_with(['@', '#']);
        let end = rest.char_indices().find_map(|(place, c)| {
            let is_sign = after_space && matches!(c, '+' | '-');
            after_space = c.is_whitespace();
            is_sign.then_some(place)
        });
        let end = end.unwrap_or(rest.len());
        self.at += end;
        rest[..end].trim_end().to_owned()
    }
}

/// A term as it is written, with its sign; names are in quotes where they need them.
impl fmt::Display for CompactTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.weight < 0.0 { "- " } else { "+ " })?;
        if self.weight.abs() != 1.0 {
            write!(f, "{}*", self.weight.abs())?;
        }
        match &self.operand {
            Operand::Text(text) => write_name(f, text),
            Operand::File(path) => {
                f.write_str("@")?;
                write_name(f, &path.to_string_lossy())
            }
            Operand::Item(id) => write!(f, "#{id}"),
        }
    }
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let is_plain = name.starts_with(char::is_alphabetic)
        && !name.ends_with(char::is_whitespace)
        && !name.contains(['+', '-']);
    if is_plain { f.write_str(name) } else { write!(f, "\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str, weight: f32) -> CompactTerm {
        CompactTerm { operand: Operand::Text(text.into()), weight }
    }

    fn file(path: &str, weight: f32) -> CompactTerm {
        CompactTerm { operand: Operand::File(path.into()), weight }
    }

    fn item(id: i64, weight: f32) -> CompactTerm {
        CompactTerm { operand: Operand::Item(ItemId(id)), weight }
    }

    #[test]
    fn lines() {
        for (line, expected) in [
            ("a dog on the beach", vec![text("a dog on the beach", 1.0)]),
            ("  beach  -  people ", vec![text("beach", 1.0), text("people", -1.0)]),
            ("beach -people", vec![text("beach", 1.0), text("people", -1.0)]),
            ("a t-shirt and a c++ book", vec![text("a t-shirt and a c++ book", 1.0)]),
            ("beach + 0.5*sunset", vec![text("beach", 1.0), text("sunset", 0.5)]),
            ("2 * beach - .5* people", vec![text("beach", 2.0), text("people", -0.5)]),
            ("2 dogs", vec![text("2 dogs", 1.0)]),
            ("@sofa.jpg + red", vec![file("sofa.jpg", 1.0), text("red", 1.0)]),
            ("0.5*@\"my sofa - 2.jpg\"", vec![file("my sofa - 2.jpg", 0.5)]),
            ("@-", vec![file("-", 1.0)]),
            ("#17 - #23", vec![item(17, 1.0), item(23, -1.0)]),
            (
                "\"black - white\" - \"@home\"",
                vec![text("black - white", 1.0), text("@home", -1.0)],
            ),
            ("\"she said \"\"no\"\"\"", vec![text("she said \"no\"", 1.0)]),
            ("-indoors", vec![text("indoors", -1.0)]),
            ("+ ein Fluß - \u{1f415}", vec![text("ein Fluß", 1.0), text("\u{1f415}", -1.0)]),
        ] {
            assert_eq!(parse(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn errors_name_the_column() {
        for (line, reason) in [
            ("", "the query is empty"),
            ("   ", "the query is empty"),
            ("beach -", "column 8 of the query: expected a text"),
            ("beach + - people", "column 9 of the query: expected a text"),
            ("+-beach", "column 3 of the query: one sign is enough"),
            ("0*beach", "column 1 of the query: a weight must be 0.001 to 1000"),
            ("beach + 1.2.3*x", "column 9 of the query: this is no number"),
            ("*x", "column 1 of the query: expected a number before *"),
            ("\"Fluß", "column 1 of the query: the quote is not closed"),
            ("\"a\" b", "column 5 of the query: expected + or - before the next term"),
            ("\"\"", "column 3 of the query: expected a text"),
            ("#x", "column 3 of the query: expected the id of an item before this"),
            ("a - @", "column 6 of the query: expected a file"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.ends_with(reason), "{line}: {error}");
        }
        let many = vec!["a"; MAX_TERMS + 1].join(" + ");
        assert!(parse(&many).unwrap_err().to_string().contains("more than 64 terms"));
        assert_eq!(parse(&vec!["a"; MAX_TERMS].join(" + ")).unwrap().len(), MAX_TERMS);
    }

    fn terms() -> impl Strategy<Value = Vec<CompactTerm>> {
        let name = prop_oneof!["[a-z +\\-*@#\"]{0,8}[a-z]", "\\PC{0,6}x"];
        let operand = prop_oneof![
            name.clone().prop_map(Operand::Text),
            name.prop_map(|name| Operand::File(name.into())),
            any::<i64>().prop_map(|id| Operand::Item(ItemId(id.saturating_abs()))),
        ];
        let weight = prop_oneof![Just(1.0f32), 0.001f32..1000.0]
            .prop_flat_map(|w| prop_oneof![Just(w), Just(-w)]);
        let term = (operand, weight).prop_map(|(operand, weight)| CompactTerm { operand, weight });
        prop::collection::vec(term, 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_reads_the_same(terms in terms()) {
            let line = terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(parse(&line).unwrap(), terms, "{}", line);
        }

        #[test]
        fn no_line_makes_it_panic(line in prop_oneof!["\\PC*", "[ +\\-*@#\"a.0-9ß]*"]) {
            if let Ok(terms) = parse(&line) {
                prop_assert!(terms.iter().all(|term| term.weight.is_finite() && term.weight != 0.0));
            }
        }
    }
}
