//! What a condition is made of.

use crate::error::Result;
use crate::item::Modality;

use super::Period;

/// A condition or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// All of two or more.
    And(Vec<Node>),
    /// Any of two or more.
    Or(Vec<Node>),
    Not(Box<Node>),
    HasGps,
    Near(Near),
    Leaf(Leaf),
}

/// Within so many kilometres of a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) km: f64,
}

/// A test of one field. It holds if the item has a value and the test's outcome is not `negated`.
///
/// Negated, [`Ordered::Below`] is `>=`, [`Ordered::AtMost`] `>`, [`Ordered::OneOf`] `!=` or `not in`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) negated: bool,
    pub(crate) test: Test,
}

/// A field and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Number(NumberField, Ordered<f64>),
    Date(DateField, Ordered<Period>),
    Text(TextField, TextTest),
    /// At or below one of these paths.
    Root(Vec<String>),
    Type(Vec<Modality>),
    Caption(CaptionTest),
    /// The keys that lead to a value of the item's metadata, and what it is compared with.
    Meta(Vec<String>, MetaTest),
}

/// A comparison of values that have an order; lists are not empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ordered<T> {
    Below(T),
    AtMost(T),
    OneOf(Vec<T>),
    /// From the first to the second, both included.
    Between(T, T),
}

/// A comparison of texts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TextTest {
    Order(Ordered<String>),
    Like(String),
    Glob(String),
}

/// What a caption is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CaptionTest {
    /// It has all the words of one of these texts.
    Words(Vec<String>),
    Like(String),
    Glob(String),
}

/// What a value of the metadata is compared with; values of other kinds count as missing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MetaTest {
    Number(Ordered<f64>),
    Text(TextTest),
    Boolean(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberField {
    Width,
    Height,
    Megapixels,
    Size,
    Latitude,
    Longitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateField {
    Taken,
    Modified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextField {
    Path,
    Name,
    Format,
    Camera,
    Tag,
}

impl Node {
    /// Whether any test is of this kind.
    pub(crate) fn any(&self, is: &dyn Fn(&Test) -> bool) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.any(is)),
            Self::Not(inner) => inner.any(is),
            Self::HasGps | Self::Near(_) => false,
            Self::Leaf(leaf) => is(&leaf.test),
        }
    }

    /// How many tests it is made of.
    pub(crate) fn n_tests(&self) -> usize {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::n_tests).sum(),
            Self::Not(inner) => inner.n_tests(),
            Self::HasGps | Self::Near(_) | Self::Leaf(_) => 1,
        }
    }

    /// Calls `f` with every test.
    pub(super) fn visit_mut(&mut self, f: &mut dyn FnMut(&mut Test) -> Result<()>) -> Result<()> {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                parts.iter_mut().try_for_each(|part| part.visit_mut(f))
            }
            Self::Not(inner) => inner.visit_mut(f),
            Self::HasGps | Self::Near(_) => Ok(()),
            Self::Leaf(leaf) => f(&mut leaf.test),
        }
    }
}

impl<T> Ordered<T> {
    /// Whether a value satisfies it, given how values compare with its constants.
    pub(crate) fn holds(
        &self,
        is_below: impl Fn(&T) -> bool,
        is_at_most: impl Fn(&T) -> bool,
    ) -> bool {
        match self {
            Self::Below(bound) => is_below(bound),
            Self::AtMost(bound) => is_at_most(bound),
            Self::OneOf(values) => values.iter().any(|value| !is_below(value) && is_at_most(value)),
            Self::Between(low, high) => !is_below(low) && is_at_most(high),
        }
    }
}
