//! What is asked of a library and what comes back.

pub mod compact;
mod cursor;

use crate::condition::Condition;
use crate::embedding::Embedding;
use crate::item::{Item, ItemId};
use crate::pixels::Pixels;

pub use self::cursor::Cursor;

/// The most terms of one query.
pub const MAX_TERMS: usize = 64;

/// The least and the most that a term of a query may count, with either sign.
pub const WEIGHTS: std::ops::RangeInclusive<f32> = 0.001..=1_000.0;

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
    /// An item of the library, which itself does not come back.
    Item(ItemId),
}

/// A term and how much it counts.
#[derive(Clone, Debug)]
pub struct WeightedTerm {
    /// What is looked for, or what should not be there.
    pub term: Term,
    /// 0.001 to 1,000, or the same below 0. Greater than 0: items like the term are wanted, by this much; less than 0: they
    /// are not.
    pub weight: f32,
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

/// By what items are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By both: the ranks of the two are fused. If there is a photo, an item or an embedding among what is wanted, as
    /// [`Mode::Semantic`].
    #[default]
    Hybrid,
    /// By embeddings alone.
    Semantic,
    /// By the words of captions, descriptions, names and tags alone; needs no encoder, and only texts can be asked for.
    Keyword,
}

/// The order of the hits that are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Best first.
    #[default]
    Score,
    /// Newest first, by when a photo was taken, or else its file was changed; what has no date comes last.
    Date,
    /// By the names of their sources.
    Path,
}

/// A question to a library.
///
/// Several terms make one question. Each is measured by how far its scores spread over a sample of the library, so that
/// a photo, whose scores with photos are high and far apart, does not drown a text. What is wanted is added up into one
/// point; what is not wanted takes from the score of an item only as far as the item is more like it than usual
/// (docs/retrieval.md has the measurements).
#[derive(Clone, Debug)]
pub struct Query {
    /// What to look for: 1 to 64 terms.
    pub terms: Vec<WeightedTerm>,
    /// Which items may answer.
    pub to: Target,
    /// How many hits, 1..=10,000.
    pub k: usize,
    /// Compare with every embedding instead of walking the graph.
    pub exact: bool,
    /// Which items may answer; all of them if there is none.
    pub filter: Option<Condition>,
    /// By what items are found.
    pub mode: Mode,
    /// Only hits behind this one, which an earlier answer to the same query gave.
    pub after: Option<Cursor>,
    /// The order of the k best.
    pub sort: Sort,
    /// Of images that are nearly the same only the best is a hit, the others are its [`Hit::duplicates`].
    pub group_duplicates: bool,
    /// Hits less probable than this ([`Hit::probability`]) are left out, 0..=1; 0 for none. Those that have most of the words
    /// are never left out.
    pub least_probability: f32,
}

impl Query {
    /// Ten images for a term.
    pub fn new(term: Term) -> Self {
        let terms = vec![WeightedTerm { term, weight: 1.0 }];
        Self {
            terms,
            to: Target::Image,
            k: 10,
            exact: false,
            filter: None,
            mode: Mode::Hybrid,
            after: None,
            sort: Sort::Score,
            group_duplicates: false,
            least_probability: 0.0,
        }
    }

    /// Ten images for a sentence.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Term::Text(text.into()))
    }

    /// Ten images for a picture.
    pub fn image(pixels: Pixels) -> Self {
        Self::new(Term::Image(pixels))
    }

    /// The same question with one more term, which is unwanted if its weight is below 0.
    pub fn and(mut self, term: Term, weight: f32) -> Self {
        self.terms.push(WeightedTerm { term, weight });
        self
    }

    /// The same question to other items.
    pub fn to(self, to: Target) -> Self {
        Self { to, ..self }
    }

    /// The same question to items of which a condition holds.
    pub fn filter(self, condition: Condition) -> Self {
        Self { filter: Some(condition), ..self }
    }

    /// The same question with another number of hits.
    pub fn k(self, k: usize) -> Self {
        Self { k, ..self }
    }

    /// The same question by other means.
    pub fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// The same question for what comes behind a hit.
    pub fn after(self, cursor: Cursor) -> Self {
        Self { after: Some(cursor), ..self }
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
    /// Cosine with the query, less what unwanted terms take away; higher is closer. `None` where only words were asked for.
    pub score: Option<f32>,
    /// For one text: the share of a thousand everyday phrases whose best score in this library is lower, 0..=1. `None` for other
    /// queries, and until the library's first snapshot.
    pub probability: Option<f32>,
    /// Cosine with each term of the query.
    pub term_scores: Vec<f32>,
    /// Its place by embeddings, from 1; `None` if it was not among the first ones.
    pub semantic_rank: Option<usize>,
    /// What words say of it; `None` if none was asked for or it has none of them.
    pub keyword: Option<KeywordMatch>,
    /// Other images that are nearly the same, where these are grouped; those that rank before the end of the page.
    pub duplicates: Vec<Item>,
}

impl Hit {
    /// An item and its score, of which nothing else is known.
    pub fn new(item: Item, score: f32) -> Self {
        Self {
            item,
            score: Some(score),
            probability: None,
            term_scores: Vec::new(),
            semantic_rank: None,
            keyword: None,
            duplicates: Vec::new(),
        }
    }
}

/// What words say of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeywordMatch {
    /// Its place by words, from 1.
    pub rank: usize,
    /// The share of what the query's words tell that the item's words tell, from 0 (common words alone) to 1; rare
    /// words tell more.
    pub coverage: f32,
}
