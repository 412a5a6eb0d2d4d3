#![doc = include_str!("../../docs/conditions.md")]
//! # Inside
//! A condition is a text that [`Condition::parse`] reads and `Display` writes. This module knows the language and
//! what it means for one item; how it is asked of many at once is the catalog's business.

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
