//! Words that people and files put on items.

use std::fmt;

use crate::error::{Error, Result};

/// A tag: trimmed, in lower case, of 1 to 100 characters, none of which is a control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// The most characters of a tag.
    pub const MAX_CHARS: usize = 100;

    /// Makes a tag of what a person wrote.
    ///
    /// ```
    /// assert_eq!(mmsearch::Tag::new(" New York ")?.as_str(), "new york");
    /// assert!(mmsearch::Tag::new(" ").is_err());
    /// # Ok::<(), mmsearch::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadOption`] if it is empty, too long, or has a control character.
    pub fn new(written: &str) -> Result<Self> {
        let tag = Self::folded(written);
        let n_chars = tag.chars().count();
        let reason = if tag.is_empty() {
            "a tag cannot be empty".into()
        } else if n_chars > Self::MAX_CHARS {
            format!("a tag has at most {} characters, this one {n_chars}", Self::MAX_CHARS)
        } else if tag.chars().any(char::is_control) {
            format!("a tag cannot have control characters: {tag:?}")
        } else {
            return Ok(Self(tag));
        };
        Err(Error::BadOption { reason })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is written, as the text of a tag would be.
    pub(crate) fn folded(written: &str) -> String {
        written.trim().to_lowercase()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_tag() {
        for (written, tag) in [("Dog", "dog"), (" a b ", "a b"), ("ÄRGER", "ärger"), ("狗", "狗")]
        {
            assert_eq!(Tag::new(written).unwrap().to_string(), tag);
        }
        for written in ["", " \t", "a\nb", "a\u{7f}", &"x".repeat(101)] {
            assert!(Tag::new(written).is_err(), "{written:?}");
        }
        assert!(Tag::new(&"ß".repeat(100)).is_ok());
    }
}
