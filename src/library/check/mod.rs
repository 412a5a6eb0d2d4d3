//! `check`: whether everything that must hold of a library holds. It only reads.
//!
//! `rows` reads the catalog, `snapshots` the derived files and how they agree with it, `leftovers` the names in the library's
//! directory, and `sources`, if asked, what the items came from. `finding` is what they say.

mod finding;
mod leftovers;
mod rows;
mod snapshots;
mod sources;

use std::ops::ControlFlow;

use super::refresh::Tell;
use super::snapshots::Snapshots;
use super::{Library, Progress, Stage};
use crate::catalog::{Catalog, View};
use crate::error::{Error, Result};
use crate::item::Modality;
use crate::media::{ExternalDecoder, Limits};

pub use self::finding::{Finding, FindingKind};

/// How often the snapshots are opened again because another process has written newer ones.
const MAX_OPENINGS: usize = 3;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// Read again what the items came from, and compare it with them.
    pub read_data: bool,
    /// How much of one file is read at most.
    pub limits: Limits,
    /// With [`Library::repair`], decodes pictures in files of their own that are not decoded here.
    pub external_decoder: Option<ExternalDecoder>,
}

impl Library {
    /// Reads every row and every byte of the snapshots, and searches their graphs for every node; empty if all is well.
    ///
    /// # Errors
    /// As [`Library::check_with`].
    pub fn check(&self) -> Result<Vec<Finding>> {
        self.check_with(&CheckOptions::default(), &mut |_| ControlFlow::Continue(()))
    }

    /// The same, and what the items came from if that is asked for. `progress` is called now and then; its answer may stop it.
    ///
    /// Another process may write meanwhile: what is looked at is one state of the catalog. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::Catalog`] if the catalog cannot be read at all; [`Error::Cancelled`].
    pub fn check_with(&self, options: &CheckOptions, progress: Tell<'_>) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if Catalog::is_salvaged(&self.dir) {
            let reason = "it was salvaged, and what it was made from was not read again yet; run `mmsearch check --repair`";
            findings.push(Finding::new(
                FindingKind::Catalog,
                self.catalog.path().display(),
                reason,
            ));
        }
        if let Err(Error::Corrupt { path, reason }) = self.catalog.view().space() {
            // Without the rows that say which space is the library's, nothing else can be compared.
            findings.push(Finding::new(FindingKind::Catalog, path.display(), reason));
            return Ok(findings);
        }
        self.check_own(&mut findings, progress)?;
        self.check_leftovers(&mut findings)?;
        if options.read_data {
            self.check_sources(&options.limits, &mut findings, progress)?;
        }
        Ok(findings)
    }

    /// Hashes the snapshots that searches use, which takes about a second for a gigabyte. What is damaged is not used any more:
    /// searches compare with every row instead, with one warning, until the next [`Library::index`].
    ///
    /// Opening a library hashes only what is small. A process that keeps one open calls this now and then.
    ///
    /// # Errors
    /// [`Error::Catalog`] if the catalog cannot be read.
    pub fn verify_snapshots(&mut self) -> Result<Vec<Finding>> {
        let view = self.catalog.view();
        let Some(space) = view.space()? else { return Ok(Vec::new()) };
        let generation = view.generation()?;
        let mut findings = Vec::new();
        for modality in Modality::ALL {
            let reason = match self.snapshots.current(&space, modality, generation) {
                Ok(snapshot) => snapshot.and_then(|snapshot| snapshot.verify().err()),
                Err(_) => continue,
            };
            if let Some(reason) = reason {
                self.snapshots.condemn(modality, reason.to_string());
                let place = snapshots::place(modality);
                findings.push(Finding::new(FindingKind::Snapshot, place, reason.to_string()));
            }
        }
        Ok(findings)
    }

    /// The catalog and the snapshots, in one state of the catalog.
    fn check_own(&self, findings: &mut Vec<Finding>, progress: Tell<'_>) -> Result<()> {
        let mut n_openings = 0;
        loop {
            // Opened before the transaction: what is published meanwhile would be newer than what it sees.
            let mut snapshots = Snapshots::new(&self.dir);
            let view = self.catalog.view();
            let (space, generation, list) = (view.space()?, view.generation()?, snapshots.list());
            let mut faults = Vec::new();
            for modality in Modality::ALL {
                let Some(space) = &space else { break };
                if let Err(reason) = snapshots.current(space, modality, generation) {
                    faults.push((modality, reason));
                }
            }
            let transaction = self.catalog.read_shared()?;
            let view = transaction.view();
            n_openings += 1;
            let is_settled = view.space()? == space && snapshots.list() == list;
            if !is_settled && n_openings < MAX_OPENINGS {
                continue;
            }
            let place = self.catalog.path().display().to_string();
            let mut check = Check { view, place, findings, progress };
            check.faults(faults, list.is_none());
            return check.all(space.as_ref(), &snapshots);
        }
    }
}

/// A check of one state of the catalog.
struct Check<'a> {
    view: View<'a>,
    /// The catalog's file.
    place: String,
    findings: &'a mut Vec<Finding>,
    progress: Tell<'a>,
}

impl Check<'_> {
    fn all(
        &mut self,
        space: Option<&crate::catalog::StoredSpace>,
        snapshots: &Snapshots,
    ) -> Result<()> {
        let mut compared = match space {
            Some(space) => self.hashed(space, snapshots)?,
            None => Vec::new(),
        };
        self.rows(space, &mut compared)?;
        for compared in compared {
            self.agreement(space, compared)?;
        }
        Ok(())
    }

    /// Something about the catalog.
    fn found(&mut self, kind: FindingKind, reason: impl Into<String>) {
        self.findings.push(Finding::new(kind, &self.place, reason));
    }

    /// The outcome of reading a part of the catalog; that it cannot be read is something that was found.
    fn caught<T>(&mut self, kind: FindingKind, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(Error::Catalog { action, reason, corrupt: true, .. }) => {
                self.found(kind, format!("cannot {action}: {reason}"));
                Ok(None)
            }
            Err(Error::Corrupt { reason, .. }) => {
                self.found(kind, reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn tell(&mut self, n_done: u64, n_total: Option<u64>) -> Result<()> {
        tell(self.progress, Stage::Check, n_done, n_total)
    }
}

fn tell(progress: Tell<'_>, stage: Stage, n_done: u64, n_total: Option<u64>) -> Result<()> {
    match progress(&Progress { stage, n_done, n_total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
