//! What `index` and `forget` say about themselves: counts, and what was skipped and why.

use std::path::{Path, PathBuf};

use super::busy::Busy;
use crate::item::{Modality, Source};

/// How many skipped files are listed by name; all are counted.
pub const MAX_LISTED: usize = 1_000;

/// What one run of [`super::Library::index`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What became of images.
    pub images: Tally,
    /// What became of texts.
    pub texts: Tally,
    /// Files, members and rows that are not searchable, now or since an earlier run.
    pub skipped: Skips,
    /// Pictures that end too early; they are searchable.
    pub truncated: Skips,
    /// What the time went into.
    pub busy: Busy,
}

/// Items of one modality by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// New in the library.
    pub added: u64,
    /// Known by their source, with new content, or with another text beside them.
    pub updated: u64,
    /// Known by their content, under a new path.
    pub moved: u64,
    /// As they were.
    pub unchanged: u64,
    /// Gone from where they were, and so from the library.
    pub forgotten: u64,
}

/// What became of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Added,
    Updated,
    Moved,
    Unchanged,
}

/// Files with a reason each: all counted, the first [`MAX_LISTED`] listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skips {
    /// All of them.
    pub n_total: u64,
    /// The first of them.
    pub listed: Vec<Skip>,
}

/// A file, member or row, and why it is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Which; a member is `archive.tar!member`, a row `captions.jsonl:12`.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// How many items left the library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Images.
    pub n_images: u64,
    /// Texts.
    pub n_texts: u64,
}

/// How far a long task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which part of the task.
    pub stage: Stage,
    /// What is done of this part; for images and texts, what is safely in the library.
    pub n_done: u64,
    /// How much there is to do, where that is known.
    pub n_total: Option<u64>,
}

/// The parts of indexing and reindexing, in their order, and of other long tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Looking for files.
    Scan,
    /// Decoding and encoding pictures.
    Images,
    /// Encoding texts.
    Texts,
    /// Taking out what is gone.
    Forget,
    /// Writing snapshots.
    Snapshot,
    /// Changing to another model, which comes between writing its snapshots and taking out the old one's embeddings.
    Switch,
    /// Comparing embeddings with one another.
    Compare,
    /// Reading the library's own rows and files.
    Check,
    /// Reading again what items came from, to compare it with them.
    Read,
}

impl Report {
    /// Whether every file that was found is searchable as a whole.
    pub fn is_clean(&self) -> bool {
        self.skipped.n_total == 0 && self.truncated.n_total == 0
    }

    pub(super) fn tally(&mut self, modality: Modality) -> &mut Tally {
        match modality {
            Modality::Image => &mut self.images,
            Modality::Text => &mut self.texts,
        }
    }

    pub(super) fn forget(&mut self, forgotten: Forgotten) {
        self.images.forgotten += forgotten.n_images;
        self.texts.forgotten += forgotten.n_texts;
    }
}

impl Skips {
    pub(super) fn push(&mut self, path: impl AsRef<Path>, reason: impl Into<String>) {
        self.push_many(1, path, reason);
    }

    /// Adds `n` of one kind under one reason.
    pub(super) fn push_many(&mut self, n: u64, path: impl AsRef<Path>, reason: impl Into<String>) {
        self.n_total += n;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(Skip { path: path.as_ref().into(), reason: reason.into() });
        }
    }
}

/// How a source is named in a list: as it is written, and in bytes, since a path need not be text.
pub(super) fn label(source: &Source) -> PathBuf {
    match source {
        Source::File { path } => path.clone(),
        Source::TarMember { tar, member } => {
            let mut label = tar.clone().into_os_string();
            label.push("!");
            label.push(member);
            label.into()
        }
        Source::ManifestRow { .. } | Source::Inline { .. } => source.to_string().into(),
    }
}

impl Tally {
    pub(super) fn count(&mut self, effect: Effect) {
        match effect {
            Effect::Added => self.added += 1,
            Effect::Updated => self.updated += 1,
            Effect::Moved => self.moved += 1,
            Effect::Unchanged => self.unchanged += 1,
        }
    }
}

impl Forgotten {
    pub(super) fn count(&mut self, removed: &[Modality]) {
        for modality in removed {
            match modality {
                Modality::Image => self.n_images += 1,
                Modality::Text => self.n_texts += 1,
            }
        }
    }

    /// Adds what another step took out.
    pub(super) fn add(&mut self, other: Self) {
        self.n_images += other.n_images;
        self.n_texts += other.n_texts;
    }
}
