//! `check --repair`: mends a library out of what it was made from.
//!
//! Each step is one transaction, or replaces one file, and leaves a library that is as good as before or better: whoever is killed
//! in between begins again and finds less to do. Before them, a catalog with damaged pages is replaced by what can be read of it
//! (`salvage`). In their order: indexes of SQLite (`rows`), damaged rows (`rows`), what they were
//! made from (`again`), embeddings that are lacking (`again`), and what is derived (`derived`). What can be had from nowhere is
//! taken out and told.

mod again;
mod derived;
mod rows;
mod salvage;
mod small;

use std::path::PathBuf;

use super::Library;
use super::check::{CheckOptions, Finding, FindingKind};
use super::refresh::Tell;
use crate::encoder::Encoder;
use crate::error::Result;
use crate::item::ItemId;

/// Loads the library's encoder, when it turns out to be needed.
pub type LoadEncoder<'a> = &'a mut dyn FnMut() -> Result<Box<dyn Encoder>>;

/// What one run of [`Library::repair`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was found before.
    pub found: Vec<Finding>,
    /// What was done about it, in that order.
    pub done: Vec<Repair>,
    /// What is still found after it.
    pub left: Vec<Finding>,
}

/// A thing that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// To which kind of thing.
    pub kind: FindingKind,
    /// What, naming the item, row or file.
    pub what: String,
    /// Whether something of a person's was lost, which only they can put back.
    pub is_loss: bool,
}

/// A repair that is going on.
struct Mending<'a> {
    library: &'a mut Library,
    options: &'a CheckOptions,
    load: LoadEncoder<'a>,
    encoder: Option<Box<dyn Encoder>>,
    progress: Tell<'a>,
    done: Vec<Repair>,
    /// Items whose source must be read again.
    again: Vec<ItemId>,
}

impl Library {
    /// Mends what [`Library::check_with`] finds: what is derived is made again, and damaged rows are written again out of the files,
    /// tars and manifests that they came from, under their old ids and with their tags. A row whose source is gone, or was never a file, is
    /// taken out. What was indexed is only read.
    ///
    /// `load` is called when something must be encoded, or when a snapshot is written again, which is better with it.
    ///
    /// # Errors
    /// [`crate::Error::ModelMismatch`] if something must be encoded and the encoder is not the library's;
    /// [`crate::Error::Cancelled`]; what `load` says; [`crate::Error::Catalog`] and [`crate::Error::Io`] for the library's files. What was
    /// mended until then stays.
    pub fn repair(
        &mut self,
        load: LoadEncoder<'_>,
        options: &CheckOptions,
        progress: Tell<'_>,
    ) -> Result<Repaired> {
        self.require_writer()?;
        let found = self.check_with(options, progress)?;
        if !self.is_salvaged && !found.iter().any(|finding| finding.kind.is_repairable()) {
            return Ok(Repaired { left: found.clone(), found, done: Vec::new() });
        }
        let (done, unread) = self.mend_small_rows(load)?;
        // Where they were damaged, the first look did not see all.
        let seen = match done.is_empty() {
            true => found.clone(),
            false => self.check_with(options, progress)?,
        };
        let (encoder, again) = (None, Vec::new());
        let (library, lent) = (&mut *self, &mut *progress);
        let mut mending = Mending { library, options, load, encoder, progress: lent, done, again };
        mending.all(&seen, &unread)?;
        let done = mending.done;
        self.catalog.checkpoint()?;
        let left = self.check_with(options, progress)?;
        Ok(Repaired { found, done, left })
    }
}

impl Mending<'_> {
    fn all(&mut self, found: &[Finding], unread: &[PathBuf]) -> Result<()> {
        self.indexes(found)?;
        self.items()?;
        self.notes()?;
        self.embeddings()?;
        self.read_again()?;
        self.read_containers(unread)?;
        self.read_lost()?;
        self.give_up_unread()?;
        self.fill()?;
        self.superfluous()?;
        self.words()?;
        self.snapshots(found)?;
        self.leftovers()
    }

    fn did(&mut self, kind: FindingKind, what: impl Into<String>) {
        self.done.push(Repair { kind, what: what.into(), is_loss: false });
    }

    fn lost(&mut self, kind: FindingKind, what: impl Into<String>) {
        self.done.push(Repair { kind, what: what.into(), is_loss: true });
    }

    /// Makes sure that there is an encoder, and that it is the library's.
    fn require_encoder(&mut self) -> Result<()> {
        if self.encoder.is_none() {
            let encoder = (self.load)()?;
            self.library.space_of(encoder.space())?;
            self.encoder = Some(encoder);
        }
        Ok(())
    }
}
