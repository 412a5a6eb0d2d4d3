//! What is asked of a library and what comes back.

use crate::embedding::Embedding;
use crate::item::Item;
use crate::pixels::Pixels;

/// The most hits that one query may ask for.
pub const MAX_K: usize = 10_000;

/// What to look for.
#[derive(Clone, Debug)]
pub enum Term {
    /// A sentence or a few words.
    Text(String),
    /// A decoded picture.
    Image(Pixels),
    /// A point of the library's space, from the caller's own encoder.
    Embedding(Embedding),
}

/// Which items may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Images only.
    #[default]
    Image,
    /// Texts only.
    Text,
    /// Both, in one ranking by score.
    Any,
}

/// A question to a library.
#[derive(Clone, Debug)]
pub struct Query {
    /// What to look for.
    pub term: Term,
    /// Which items may answer.
    pub to: Target,
    /// How many hits, 1..=10,000.
    pub k: usize,
    /// Compare with every embedding instead of walking the graph.
    pub exact: bool,
}

impl Query {
    /// Ten images for a sentence.
    pub fn text(text: impl Into<String>) -> Self {
        Self { term: Term::Text(text.into()), to: Target::Image, k: 10, exact: false }
    }

    /// Ten images for a picture.
    pub fn image(pixels: Pixels) -> Self {
        Self { term: Term::Image(pixels), to: Target::Image, k: 10, exact: false }
    }

    /// The same question to other items.
    pub fn to(self, to: Target) -> Self {
        Self { to, ..self }
    }

    /// The same question with another number of hits.
    pub fn k(self, k: usize) -> Self {
        Self { k, ..self }
    }
}

/// A row of an index and its score: what an index returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// The embedding's key in the catalog.
    pub key: u64,
    /// Cosine, higher is closer.
    pub score: f32,
}

/// An item and its score: what a person gets.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The item found.
    pub item: Item,
    /// Cosine with the query, higher is closer.
    pub score: f32,
}
