//! The snapshots: every byte under its hash, the graph whole, and both in agreement with the catalog's rows.

use super::{Check, Finding, FindingKind, Snapshots, Stage, tell};
use crate::catalog::{StoredEmbedding, StoredSpace};
use crate::error::Result;
use crate::index::Snapshot;
use crate::item::Modality;

/// A snapshot that is compared with the embeddings of its modality.
pub(super) struct Compared<'a> {
    modality: Modality,
    snapshot: &'a Snapshot,
    /// Embeddings that it should hold and does not.
    absent: Keys,
    /// Embeddings whose codes it holds otherwise.
    other: Keys,
}

/// Some keys: how many, and the first.
#[derive(Default)]
struct Keys {
    n: u64,
    first: u64,
}

impl Keys {
    fn add(&mut self, key: u64) {
        if self.n == 0 {
            self.first = key;
        }
        self.n += 1;
    }

    /// What is wrong with them, if there are any.
    fn told(&self, what: &str) -> Option<String> {
        match self.n {
            0 => None,
            1 => Some(format!("embedding {} {what}", self.first)),
            n => Some(format!("{n} embeddings, of which the first is {}: {what}", self.first)),
        }
    }
}

impl Compared<'_> {
    /// Compares it with an embedding of its space.
    pub(super) fn meet(&mut self, stored: &StoredEmbedding) {
        if stored.modality != self.modality {
            return;
        }
        match self.snapshot.agrees(stored.key, stored.embedding.as_slice()) {
            Some(true) => {}
            Some(false) => self.other.add(stored.key),
            None if stored.generation <= self.snapshot.meta().generation => {
                self.absent.add(stored.key);
            }
            None => {}
        }
    }
}

/// How the place of what is wrong with a snapshot is named.
pub(super) fn place(modality: Modality) -> String {
    format!("the snapshot of {}s", modality.name())
}

impl Check<'_> {
    /// Why snapshots cannot be opened.
    pub(super) fn faults(&mut self, faults: Vec<(Modality, String)>, has_no_list: bool) {
        let of_list = |reason: &str| has_no_list || reason.contains("CURRENT");
        for (modality, reason) in faults {
            let (kind, place) = match of_list(&reason) {
                true => (FindingKind::Current, "the list of snapshots".to_owned()),
                false => (FindingKind::Snapshot, place(modality)),
            };
            let finding = Finding::new(kind, place, reason);
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }

    /// Hashes the snapshots of a space and looks into them; those that are to be compared with the catalog.
    pub(super) fn hashed<'s>(
        &mut self,
        space: &StoredSpace,
        snapshots: &'s Snapshots,
    ) -> Result<Vec<Compared<'s>>> {
        let mut compared = Vec::new();
        for modality in Modality::ALL {
            self.tell(0, None)?;
            let opened = snapshots.opened(modality);
            let Some(snapshot) = opened.filter(|it| it.meta().fingerprint == space.fingerprint)
            else {
                continue;
            };
            let damaged = snapshot.damaged_sections();
            for section in &damaged {
                let reason = format!("section `{section}` does not match its checksum");
                self.findings.push(Finding::new(FindingKind::Snapshot, place(modality), reason));
            }
            if damaged.is_empty() {
                let (absent, other) = (Keys::default(), Keys::default());
                compared.push(Compared { modality, snapshot, absent, other });
            }
        }
        Ok(compared)
    }

    /// What was seen while all embeddings were compared with a snapshot, and what it holds beside them.
    pub(super) fn agreement(
        &mut self,
        space: Option<&StoredSpace>,
        compared: Compared<'_>,
    ) -> Result<()> {
        let Compared { modality, snapshot, absent, other } = compared;
        let Some(space) = space else { return Ok(()) };
        let (view, generation) = (self.view, snapshot.meta().generation);
        let known = || {
            let mut known = view.embedding_keys(space.id, modality)?;
            known.extend(view.dead_keys(space.id, modality, generation)?);
            known.sort_unstable();
            Ok(known)
        };
        let Some(known) = self.caught(FindingKind::Catalog, known())? else { return Ok(()) };
        let mut stray = Keys::default();
        for &key in snapshot.keys() {
            if known.binary_search(&key).is_err() {
                stray.add(key);
            }
        }
        let total = snapshot.len() as u64;
        let progress = &mut *self.progress;
        let mut told = |n_done: usize| match tell(
            progress,
            Stage::Check,
            (n_done as u64).min(total),
            Some(total),
        ) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(_) => std::ops::ControlFlow::Break(()),
        };
        let mut reasons = snapshot.inconsistencies(&mut told)?;
        reasons.extend(absent.told("should be in it and is not"));
        reasons.extend(other.told("has other codes in it than its row gives"));
        reasons.extend(stray.told("is in it, and neither in the catalog nor removed since"));
        let place = place(modality);
        let found = |reason| Finding::new(FindingKind::Snapshot, &place, reason);
        self.findings.extend(reasons.into_iter().map(found));
        Ok(())
    }
}
