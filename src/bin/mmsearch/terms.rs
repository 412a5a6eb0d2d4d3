//! The terms of a query: from the command line to what is encoded.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mmsearch::compact::{self, CompactTerm, Operand};
use mmsearch::media::ExternalDecoder;
use mmsearch::{Detail, Error, ItemId, Result, Term, WeightedTerm};

use crate::cli::TermArgs;
use crate::picture::{is_stdin, picture};

/// What the arguments name, before anything is read.
pub(crate) fn named(arguments: &TermArgs) -> Result<Vec<CompactTerm>> {
    let mut terms = match &arguments.line {
        Some(line) => compact::parse(line)?,
        None => Vec::new(),
    };
    terms.extend(arguments.text.iter().map(|text| text_term(text)));
    terms.extend(arguments.image.iter().map(|image| file_term(image)));
    terms.extend(arguments.like.iter().map(|&id| item_term(id, 1.0)));
    terms.extend(arguments.unlike.iter().map(|&id| item_term(id, -1.0)));
    let bad = |reason: &str| Err(Error::BadQuery { reason: reason.into() });
    for term in &terms {
        match &term.operand {
            Operand::Text(text) if text.trim().is_empty() => {
                return bad("the text to look for is empty");
            }
            Operand::Text(_) | Operand::File(_) | Operand::Item(_) => {}
        }
    }
    let is_from_stdin = |term: &&CompactTerm| match &term.operand {
        Operand::File(path) => is_stdin(path),
        Operand::Text(_) | Operand::Item(_) => false,
    };
    if terms.iter().filter(is_from_stdin).count() > 1 {
        return bad("standard input can be read once only");
    }
    Ok(terms)
}

/// Whether any of them needs a model.
pub(crate) fn need_encoder(terms: &[CompactTerm]) -> bool {
    terms.iter().any(|term| match term.operand {
        Operand::Text(_) | Operand::File(_) => true,
        Operand::Item(_) => false,
    })
}

/// Reads the pictures. A photo is decoded as it is for the index, so that it finds itself with a score of 1.
pub(crate) fn read(
    terms: Vec<CompactTerm>,
    detail: Detail,
    external: Option<&ExternalDecoder>,
) -> Result<Vec<WeightedTerm>> {
    let read = |CompactTerm { operand, weight }| {
        let term = match operand {
            Operand::Text(text) => Term::Text(text),
            Operand::File(path) => Term::Image(picture(&path, detail, external)?),
            Operand::Item(id) => Term::Item(id),
        };
        Ok(WeightedTerm { term, weight })
    };
    terms.into_iter().map(read).collect()
}

/// A text; unwanted if it begins with a minus, which a backslash before it prevents.
fn text_term(text: &str) -> CompactTerm {
    let (text, weight) = match (text.strip_prefix('-'), text.strip_prefix('\\')) {
        (Some(unwanted), _) => (unwanted.trim_start(), -1.0),
        (None, Some(escaped)) if escaped.starts_with(['-', '\\']) => (escaped, 1.0),
        (None, _) => (text, 1.0),
    };
    CompactTerm { operand: Operand::Text(text.into()), weight }
}

/// A photo; a weight may follow behind a colon, unless the whole is the name of a file.
fn file_term(argument: &Path) -> CompactTerm {
    let whole = || CompactTerm { operand: Operand::File(argument.into()), weight: 1.0 };
    let bytes = argument.as_os_str().as_bytes();
    let Some(colon) = bytes.iter().rposition(|&byte| byte == b':') else { return whole() };
    let weight = std::str::from_utf8(&bytes[colon + 1..]).ok().and_then(|text| text.parse().ok());
    match weight {
        Some(weight) if f32::is_finite(weight) && weight != 0.0 && !argument.exists() => {
            let path = PathBuf::from(OsStr::from_bytes(&bytes[..colon]));
            CompactTerm { operand: Operand::File(path), weight }
        }
        Some(_) | None => whole(),
    }
}

fn item_term(id: i64, weight: f32) -> CompactTerm {
    CompactTerm { operand: Operand::Item(ItemId(id)), weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minus_makes_a_text_unwanted() {
        for (argument, text, weight) in [
            ("beach", "beach", 1.0),
            ("-people", "people", -1.0),
            ("- people", "people", -1.0),
            ("\\-5 degrees", "-5 degrees", 1.0),
            ("\\\\x", "\\x", 1.0),
            ("\\x", "\\x", 1.0),
        ] {
            let expected = CompactTerm { operand: Operand::Text(text.into()), weight };
            assert_eq!(text_term(argument), expected);
        }
    }

    #[test]
    fn a_photo_may_have_a_weight() {
        for (argument, path, weight) in [
            ("sofa.jpg", "sofa.jpg", 1.0),
            ("sofa.jpg:0.5", "sofa.jpg", 0.5),
            ("a:b.jpg:-2", "a:b.jpg", -2.0),
            ("a:b.jpg", "a:b.jpg", 1.0),
            ("x:0", "x:0", 1.0),
            ("x:inf", "x:inf", 1.0),
            ("x:", "x:", 1.0),
        ] {
            let expected = CompactTerm { operand: Operand::File(path.into()), weight };
            assert_eq!(file_term(Path::new(argument)), expected);
        }
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("x:2");
        assert_eq!(file_term(&odd).weight, 2.0);
        std::fs::write(&odd, "").unwrap();
        assert_eq!(file_term(&odd).weight, 1.0, "the whole is a file");
    }
}
