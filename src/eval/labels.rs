//! The names of classes: none empty, none twice, by construction.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};

/// The names of classes to choose from: at least one, none empty, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(Vec<String>);

impl Labels {
    /// Takes labels from a list; blanks around each are dropped.
    ///
    /// # Errors
    /// [`Error::BadOption`] if there is none, or one is empty or there twice.
    pub fn new(labels: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        let labels: Vec<String> =
            labels.into_iter().map(|label| label.as_ref().trim().to_string()).collect();
        if let Some(at) = labels.iter().position(String::is_empty) {
            return Err(Error::BadOption { reason: format!("label {} is empty", at + 1) });
        }
        let numbered = (1..).zip(labels);
        distinct(numbered, "label").map_err(|reason| Error::BadOption { reason })
    }

    /// Takes labels from a text, one a line; blank lines are passed over. `name` is the file for the error message.
    ///
    /// # Errors
    /// [`Error::BadInput`] if it is not UTF-8; [`Error::BadOption`] if there is no label, or one is there twice.
    pub fn parse(text: &[u8], name: &Path) -> Result<Self> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let text = std::str::from_utf8(text).map_err(|error| {
            let n_lines = text[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
            let reason = format!("line {} is not UTF-8", n_lines + 1);
            Error::BadInput { path: name.into(), reason }
        })?;
        let lines = (1..).zip(text.lines().map(|line| line.trim().to_string()));
        distinct(lines.filter(|(_, line)| !line.is_empty()), "line")
            .map_err(|reason| Error::BadOption { reason: format!("{}: {reason}", name.display()) })
    }

    /// Takes labels from a file, as [`Labels::parse`] does.
    ///
    /// # Errors
    /// [`Error::Io`]; else as [`Labels::parse`].
    pub fn read(file: &Path) -> Result<Self> {
        Self::parse(&crate::error::read(file)?, file)
    }

    /// The labels in their order.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// What editors of some systems write in front of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The labels, or why they make no classes; `place` is what a number counts.
fn distinct(
    numbered: impl Iterator<Item = (usize, String)>,
    place: &str,
) -> std::result::Result<Labels, String> {
    let (mut labels, mut seen) = (Vec::new(), HashMap::new());
    for (number, label) in numbered {
        if let Some(first) = seen.insert(label.clone(), number) {
            return Err(format!("{place} {number} repeats `{label}` of {place} {first}"));
        }
        labels.push(label);
    }
    if labels.is_empty() {
        return Err("there is no label; name the classes to choose from".into());
    }
    Ok(Labels(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn lists_and_files_of_labels() {
        let labels = Labels::new([" dog", "gold fish "]).unwrap();
        assert_eq!(labels.as_slice(), ["dog", "gold fish"]);
        let file = b"\xef\xbb\xbfdog\r\n\n  \ngold fish\n\xe7\x8b\x97";
        let labels = Labels::parse(file, Path::new("l.txt")).unwrap();
        assert_eq!(labels.as_slice(), ["dog", "gold fish", "狗"]);
    }

    #[test]
    fn what_makes_no_classes_is_refused_with_its_place() {
        let list = |labels: &[&str]| Labels::new(labels).unwrap_err();
        let file = |text: &[u8]| Labels::parse(text, Path::new("l.txt")).unwrap_err();
        for (error, kind, message) in [
            (list(&[]), ErrorKind::Usage, "there is no label"),
            (list(&["a", " "]), ErrorKind::Usage, "label 2 is empty"),
            (list(&["a", "b", "a "]), ErrorKind::Usage, "label 3 repeats `a` of label 1"),
            (file(b" \n"), ErrorKind::Usage, "l.txt: there is no label"),
            (file(b"a\n\nb\na\n"), ErrorKind::Usage, "l.txt: line 4 repeats `a` of line 1"),
            (file(b"a\nb\xff\n"), ErrorKind::Io, "l.txt: line 2 is not UTF-8"),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
