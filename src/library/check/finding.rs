//! What `check` finds: where, what, and what can be done about it.

use std::fmt;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is about.
    pub kind: FindingKind,
    /// Where: a file of the library, or of what was indexed.
    pub place: String,
    /// What, naming the row or section.
    pub reason: String,
}

/// The kinds of things that [`super::Library::check`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// The catalog's file as SQLite sees it, or what must hold between its tables.
    Catalog,
    /// The row of an item.
    Item,
    /// The row of an embedding.
    Embedding,
    /// The row of a tag.
    Tag,
    /// The row of a description.
    Description,
    /// The index of words.
    Words,
    /// What scores are compared with.
    Background,
    /// A snapshot, or the graph in it.
    Snapshot,
    /// The file that names the snapshots.
    Current,
    /// A file that an interrupted run left in the library; the next [`super::Library::index`] removes it.
    Leftover,
    /// What an item came from holds other bytes than it did, though its size and time are the same.
    Rotten,
    /// What an item came from has another size or time than it had; the next [`super::Library::index`] reads it.
    Changed,
    /// What an item came from is not where it was.
    Missing,
    /// What an item came from cannot be read.
    Unreadable,
}

impl Finding {
    pub(super) fn new(
        kind: FindingKind,
        place: impl fmt::Display,
        reason: impl Into<String>,
    ) -> Self {
        Self { kind, place: place.to_string(), reason: reason.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl FindingKind {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Item => "item",
            Self::Embedding => "embedding",
            Self::Tag => "tag",
            Self::Description => "description",
            Self::Words => "words",
            Self::Background => "background",
            Self::Snapshot => "snapshot",
            Self::Current => "current",
            Self::Leftover => "leftover",
            Self::Rotten => "rotten",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether something is damaged. What is not is only out of date, or out of reach.
    pub fn is_damage(self) -> bool {
        match self {
            Self::Catalog
            | Self::Item
            | Self::Embedding
            | Self::Tag
            | Self::Description
            | Self::Words
            | Self::Background
            | Self::Snapshot
            | Self::Current
            | Self::Rotten => true,
            Self::Leftover | Self::Changed | Self::Missing | Self::Unreadable => false,
        }
    }

    /// Whether [`super::Library::repair`] can do something about it: it mends the library, not what was indexed.
    pub fn is_repairable(self) -> bool {
        self == Self::Leftover || (self.is_damage() && self != Self::Rotten)
    }
}
