//! What is derived from the rows: words, snapshots, backgrounds, and files that nobody needs.

use std::fs;

use super::{FindingKind, Mending};
use crate::encoder::Encoder;
use crate::error::{Error, Result, io_at};
use crate::index::Snapshot;
use crate::item::Modality;
use crate::library::check::{CheckOptions, Finding};
use crate::library::{Library, Stage};

impl Mending<'_> {
    /// Makes the indexes of words again, both, if anything is wrong with one.
    pub(super) fn words(&mut self) -> Result<()> {
        let view = self.library.catalog.view();
        let are_good = |modality| view.wrong_words(modality).is_ok_and(|wrong| wrong.is_empty());
        // SQLite reads the whole index, which tells more than comparing rows.
        let is_whole =
            view.integrity()?.iter().all(|it| !it.contains("_words") && !it.contains("fts5"));
        if is_whole && Modality::ALL.into_iter().all(are_good) {
            return Ok(());
        }
        let mut batch = self.library.catalog.batch()?;
        batch.rebuild_words()?;
        batch.commit()?;
        self.did(FindingKind::Words, "the indexes of words were made again");
        Ok(())
    }

    /// Snapshots: the list of them, then each that is wrong; after them backgrounds, which are measured on them.
    pub(super) fn snapshots(&mut self, found: &[Finding]) -> Result<()> {
        let is_found = |kind| found.iter().any(|finding| finding.kind == kind);
        if is_found(FindingKind::Current) {
            self.adopt_snapshots()?;
        }
        if is_found(FindingKind::Background) {
            self.remove_backgrounds()?;
        }
        let is_missed = is_found(FindingKind::Snapshot) || is_found(FindingKind::Current);
        // Looked at again, because rows were removed and written since.
        let wrong = self.wrong_snapshots(is_missed)?;
        if wrong.is_empty() && !is_found(FindingKind::Background) {
            return Ok(());
        }
        self.try_encoder();
        for modality in wrong {
            let encoder: Option<&mut dyn Encoder> = match &mut self.encoder {
                Some(encoder) => Some(encoder.as_mut()),
                None => None,
            };
            self.library.rewrite_snapshot(modality, encoder, &mut *self.progress)?;
            let what = format!("the snapshot of {}s was written again", modality.name());
            self.did(FindingKind::Snapshot, what);
        }
        if let Some(encoder) = &mut self.encoder {
            let progress = &mut *self.progress;
            self.library.refresh_backgrounds(encoder.as_mut(), Stage::Snapshot, progress)?;
        }
        Ok(())
    }

    /// Names in the list the snapshots that are there and fit, so that no graph is built again for want of a list.
    fn adopt_snapshots(&mut self) -> Result<()> {
        let Some(space) = self.library.catalog.view().space()? else { return Ok(()) };
        let mut named = Vec::new();
        for modality in Modality::ALL {
            let candidates = self.library.snapshots.candidates(&space, modality);
            let is_good = |name: &String| {
                Snapshot::open(&self.library.dir.join(name)).is_ok_and(|it| it.verify().is_ok())
            };
            named.push((modality, candidates.into_iter().find(is_good)));
        }
        self.library.snapshots.publish(named)?;
        self.did(FindingKind::Current, "the list of snapshots was written again");
        Ok(())
    }

    /// The modalities whose snapshots are not what they should be, or, if they are missed, not there.
    fn wrong_snapshots(&mut self, are_missed: bool) -> Result<Vec<Modality>> {
        let found = self.library.check_with(&CheckOptions::default(), &mut *self.progress)?;
        let view = self.library.catalog.view();
        let Some(space) = view.space()? else { return Ok(Vec::new()) };
        let generation = view.generation()?;
        let mut wrong = Vec::new();
        for modality in Modality::ALL {
            let place = format!("the snapshot of {}s", modality.name());
            let is_wrong = found.iter().any(|it| it.place == place);
            let current = self.library.snapshots.current(&space, modality, generation);
            let is_there = matches!(current, Ok(Some(_)));
            let is_wanted = are_missed && view.n_embeddings(space.id, modality, 0)? > 0;
            if is_wrong || (is_wanted && !is_there) {
                wrong.push(modality);
            }
        }
        Ok(wrong)
    }

    fn remove_backgrounds(&mut self) -> Result<()> {
        let Some(space) = self.library.catalog.view().space()? else { return Ok(()) };
        for modality in Modality::ALL {
            let background = self.library.catalog.view().background(space.id, modality);
            if matches!(background, Err(Error::Corrupt { .. })) {
                let mut batch = self.library.catalog.batch()?;
                batch.remove_background(space.id, modality)?;
                batch.commit()?;
                let what = format!(
                    "what scores of {}s are compared with is measured again, now or by the next `index`",
                    modality.name()
                );
                self.did(FindingKind::Background, what);
            }
        }
        Ok(())
    }

    /// An encoder makes what is derived better, and is not needed for it.
    fn try_encoder(&mut self) {
        if let Err(error) = self.require_encoder() {
            let what =
                format!("snapshots are written without the model, until the next `index`: {error}");
            self.did(FindingKind::Snapshot, what);
        }
    }

    /// Removes what interrupted runs left.
    pub(super) fn leftovers(&mut self) -> Result<()> {
        for name in self.library.remove_leftovers()? {
            self.did(FindingKind::Leftover, format!("{name} was removed"));
        }
        Ok(())
    }
}

impl Library {
    /// Removes the files that interrupted runs left; which they were.
    pub(in crate::library) fn remove_leftovers(&self) -> Result<Vec<String>> {
        let names = self.leftovers()?;
        for name in &names {
            let path = self.dir.join(name);
            fs::remove_file(&path).map_err(io_at("remove", &path))?;
        }
        Ok(names)
    }
}
