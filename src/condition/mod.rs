//! Conditions on what is known of an item: the language of `--where`.
//!
//! A condition is a text that [`Condition::parse`] reads and `Display` writes. This module knows the language and
//! what it means for one item; how it is asked of many at once is the catalog's business.
//!
//! ```text
//! condition  = conjunction , { "or" , conjunction } ;
//! conjunction = negation , { "and" , negation } ;
//! negation   = "not" , negation | "(" , condition , ")" | test ;
//! test       = "has_gps" | "near" , "(" , number , "," , number , "," , number , ")"
//!            | field , ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) , value
//!            | field , [ "not" ] , "in" , "(" , value , { "," , value } , ")"
//!            | field , [ "not" ] , "between" , value , "and" , value
//!            | field , [ "not" ] , ( "like" | "glob" ) , value ;
//! field      = "path" | "name" | "root" | "type" | "format" | "taken" | "modified" | "width" | "height"
//!            | "megapixels" | "size" | "camera" | "has_gps" | "latitude" | "longitude" | "tag" | "caption"
//!            | "meta" , "." , key , { "." , key } ;
//! key        = word | quoted ;
//! value      = word | quoted ;
//! quoted     = "'" , { any character, "''" for a quote } , "'" | '"' , { the same } , '"' ;
//! word       = { any character but white space and ( ) = ! < > , ' " } ;
//! ```
//!
//! | condition | which items |
//! |---|---|
//! | `taken = 2024-05` | images taken in May 2024 |
//! | `taken <= 2024` | images taken in 2024 or before |
//! | `taken between 2023 and 2024-06` | images taken from January 2023 to the end of June 2024 |
//! | `modified >= 2024-05-31T18:02` | files changed since then, in UTC |
//! | `width > 4000` | images wider than 4000 pixels; what is on the right is a constant, never a field |
//! | `megapixels >= 12 and not has_gps` | large images without a place |
//! | `size between 300KB and 5MB` | files of 300,000 to 5,000,000 bytes; `KiB` and `MiB` are powers of 1024 |
//! | `camera like 'canon%'` | what a Canon took; neither `like` nor `camera` looks at upper and lower case |
//! | `camera in ('Canon EOS 5D', "Pixel 8")` | what one of the two took |
//! | `path glob '*/2024/*.jpg'` | files in a directory `2024`; `glob` looks at case in names, and `*` matches `/` too |
//! | `name = 'it''s.jpg'` | whatever is called `it's.jpg`, wherever it is |
//! | `root = /home/me/photos` | what lies at or below that path |
//! | `near(48.137, 11.575, 25)` | images taken within 25 km of a place |
//! | `tag = dog and tag not in (blurred, draft)` | with the tag `dog`, and with neither of the others |
//! | `caption = 'beach dog'` | images of which a caption has both words, and texts that have them |
//! | `meta.rating >= 4 or meta.author.name = Ann` | by the caller's own facts |
//!
//! Rules:
//! - Keywords and fields are read in upper and lower case. `not` binds more tightly than `and`, that more tightly than `or`.
//! - A shorter date is the whole of that year, month, day, hour or minute. `taken` is the local time of the camera.
//! - What an item does not have satisfies no test, so that `camera != x` selects what has another camera. `not (…)`
//!   selects all that its condition does not, so that `not camera = x` selects what has none as well.
//! - Of an item with several tags or captions, one must satisfy a test, and a negated one (`!=`, `not in`, …) none may.
//! - Captions of an image are those of manifests, the description in its file (XMP, IPTC or EXIF), and the text beside it in
//!   `photo.jpg.txt`; its tags are those that a person gave it and the keywords in its file (XMP, IPTC).
//! - Texts have no `taken`, `format`, `camera`, size in pixels or place; their `tag`, `path` and `caption` are their own.
//! - `path` of a member of a tar is `archive.tar!member`, `name` the last part of the member's name.
//! - In `meta`, numbers are compared with numbers, `true` and `false` with booleans, and texts, or whatever is quoted,
//!   with texts; a value of another kind is as good as none.
//! - In `like`, `%` is any text and `_` any character; in `glob`, `*`, `?`, `[a-z]` and `[^a-z]`.

mod ast;
mod comparison;
mod display;
mod field;
mod matches;
mod parse;
mod pattern;
mod period;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod token;
mod value;

pub(crate) use ast::{
    CaptionTest, DateField, Leaf, MetaTest, Near, Node, NumberField, Ordered, Test, TextField,
    TextTest,
};
pub(crate) use matches::{
    Facts, distance_km, has_words, last_component, latitudes_of, meta_value, words,
};
pub(crate) use pattern::Pattern;
pub(crate) use period::Period;

use crate::error::Result;

/// The longest text of a condition, in bytes.
pub const MAX_CONDITION_BYTES: usize = 10_000;

/// How deep parentheses and `not` may be nested, so that no text can exhaust the stack.
const MAX_DEPTH: usize = 100;

/// Which items may answer: a filter in the language that this module's page describes.
///
/// Only [`Condition::parse`] makes one, so that none is deeper or longer than can be worked on.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    root: Node,
}

impl Condition {
    /// Reads a condition, such as `taken >= 2023 and tag = dog`.
    ///
    /// ```
    /// use mmsearch::Condition;
    ///
    /// let condition = Condition::parse("taken = 2024-05 AND NOT tag in (draft, 'to do')")?;
    /// assert_eq!(condition.to_string(), "taken = 2024-05 and not tag in ('draft', 'to do')");
    /// let error = Condition::parse("widht > 300").unwrap_err();
    /// assert!(error.to_string().contains("did you mean `width`?"));
    /// # Ok::<(), mmsearch::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::BadCondition`] with the column and what was expected there.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self { root: parse::parse(text)? })
    }

    /// Replaces every path of `root = …`, for a caller who knows which directory relative ones start from.
    ///
    /// # Errors
    /// What `f` returns.
    pub fn map_roots(mut self, f: &mut dyn FnMut(&str) -> Result<String>) -> Result<Self> {
        self.root.visit_mut(&mut |test| {
            if let Test::Root(roots) = test {
                for root in roots {
                    *root = f(root)?;
                }
            }
            Ok(())
        })?;
        Ok(self)
    }

    /// What it is made of.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }
}
