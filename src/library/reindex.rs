//! `reindex`: changes the library's model.
//!
//! A second space is filled beside the first, which goes on answering queries. When nothing more can be added, one
//! transaction makes the second the library's own; what is left of the first is taken out after that.

use std::fs;
use std::ops::ControlFlow;

use super::fill::{Fill, Filled, LeftOut};
use super::refresh::Purpose;
use super::report::label;
use super::{Library, Progress, Skips, Stage};
use crate::catalog::{Batch, MAX_BATCH_ROWS, StoredSpace};
use crate::encoder::{Encoder, Space};
use crate::error::{Error, Result};
use crate::item::Modality;
use crate::media::{ExternalDecoder, Limits};

/// How to reindex.
#[derive(Clone, Debug, Default)]
pub struct ReindexOptions {
    /// How much of one file is read and decoded at most.
    pub limits: Limits,
    /// Decodes pictures in files of their own that are not decoded here.
    pub external_decoder: Option<ExternalDecoder>,
}

/// What one run of [`Library::reindex`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reindexed {
    /// Different images that this run encoded.
    pub n_images: u64,
    /// Different texts that this run encoded.
    pub n_texts: u64,
    /// Different images and texts that had an embedding of this model already, from a run that was interrupted.
    pub n_known: u64,
    /// Items that have no embedding of the new model. They stay, as failed, with all that is known of them; the next
    /// [`Library::index`] tries those again whose file was gone or had changed.
    pub left_out: Skips,
}

type Tell<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

impl Library {
    /// Changes the library's model: gives every item an embedding of this encoder, then makes that the library's own.
    ///
    /// Until then the library is that of its old model, which goes on answering queries and may be filled further by
    /// [`Library::index`]. Work is committed in batches, each followed by a call of `progress`, whose answer may stop
    /// the run; the next one with the same model goes on from there. The change itself is one transaction, after
    /// a last call with [`Stage::Switch`]; the embeddings of all other models are removed after it.
    ///
    /// Pictures are read again from their files and tars. An item whose picture is gone or has changed stays without
    /// an embedding and is listed in the report.
    ///
    /// With the library's own model, it gives up what was begun with another.
    ///
    /// # Errors
    /// [`Error::MissingRoot`] if a root with pictures that are still to be read is gone or empty, before anything is
    /// changed; [`Error::NoSources`] if not one image could be given an embedding; [`Error::Cancelled`]; the
    /// encoder's, if it fails on a plain input too; [`Error::Catalog`] and [`Error::Io`] for the library's files.
    pub fn reindex(
        &mut self,
        encoder: &mut dyn Encoder,
        options: &ReindexOptions,
        progress: Tell<'_>,
    ) -> Result<Reindexed> {
        self.require_writer()?;
        self.remove_replaced_spaces(progress)?;
        self.snapshots.tidy()?;
        let old = match self.catalog.view().space()? {
            Some(old) if !self.holds_nothing(&old)? => old,
            Some(_) | None => {
                self.space_for(encoder.space())?;
                return Ok(Reindexed::default());
            }
        };
        let new = self.space_beside(encoder.space())?;
        self.require_roots(&new)?;
        let n_known = self.n_embeddings(&new)?;
        let Self { catalog, .. } = self;
        let filled = Fill::start(catalog, encoder, new.clone(), options, progress)?.run()?;
        // A disk may have gone while the run took its hours.
        self.require_roots(&new)?;
        self.require_images(&old, &new, &filled.left_out)?;
        if new == old {
            self.give_up_others(encoder, &filled.left_out, progress)?;
        } else {
            self.switch(encoder, &new, &filled.left_out, progress)?;
        }
        Ok(reindexed(filled, n_known))
    }

    /// Takes out what is left of spaces that were replaced, where a run was interrupted while it did so.
    pub(super) fn remove_replaced_spaces(&mut self, progress: Tell<'_>) -> Result<()> {
        let view = self.catalog.view();
        let Some(own) = view.space()? else { return Ok(()) };
        let mut others = view.other_spaces()?;
        others.retain(|other| other.id.0 < own.id.0);
        self.remove_spaces(&others, progress)
    }

    /// The encoder's space, which is added if it is new.
    fn space_beside(&mut self, encoder: &Space) -> Result<StoredSpace> {
        let Space { fingerprint, model, dim } = encoder;
        let find = |library: &Self| -> Result<Option<StoredSpace>> {
            let view = library.catalog.view();
            let mut spaces = view.other_spaces()?.into_iter().chain(view.space()?);
            Ok(spaces.find(|space| space.fingerprint == fingerprint.0))
        };
        if find(self)?.is_none() {
            let mut batch = self.catalog.batch()?;
            batch.add_space(&fingerprint.0, model, *dim)?;
            batch.commit()?;
        }
        let space = find(self)?.expect("it was there or has just been added");
        match space.dim == *dim {
            true => Ok(space),
            false => Err(Error::Dimension { expected: space.dim, found: *dim }),
        }
    }

    /// A disk that is not mounted must not make its pictures unfindable.
    fn require_roots(&self, new: &StoredSpace) -> Result<()> {
        let view = self.catalog.view();
        for root in view.roots()?.into_iter().map(|root| root.path) {
            let is_there = match fs::symlink_metadata(&root) {
                Ok(metadata) if metadata.is_dir() => {
                    // One that may not be listed is there.
                    fs::read_dir(&root).map_or(true, |mut entries| entries.next().is_some())
                }
                Ok(_) => true,
                // A dead network mount is as far away as one that is not there.
                Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
            };
            let n_items = if is_there { 0 } else { view.n_lacking_under(new.id, &root)? };
            if n_items > 0 {
                return Err(Error::MissingRoot { root, n_items });
            }
        }
        Ok(())
    }

    /// A library whose images cannot be read any more, all of them, keeps the model that finds them.
    fn require_images(
        &self,
        old: &StoredSpace,
        new: &StoredSpace,
        left_out: &[LeftOut],
    ) -> Result<()> {
        let view = self.catalog.view();
        let n_images = view.n_embeddings(old.id, Modality::Image, 0)?;
        if n_images == 0 || view.n_embeddings(new.id, Modality::Image, 0)? > 0 {
            return Ok(());
        }
        let mut images = left_out.iter().filter(|out| out.item.item.modality == Modality::Image);
        let first = |out: &LeftOut| format!("{}: {}", out.item.item.source, out.reason);
        let reason = images.next().map(first).unwrap_or_default();
        let (path, model) = (self.dir.clone(), new.model.clone());
        Err(Error::NoSources { path, model, n_images, reason })
    }

    /// Makes a space that lacks nothing that could be had the library's own.
    fn switch(
        &mut self,
        encoder: &mut dyn Encoder,
        new: &StoredSpace,
        left_out: &[LeftOut],
        progress: Tell<'_>,
    ) -> Result<()> {
        // Written before the change, so that searching is fast right after it, and published after it.
        self.snapshots.require_list()?;
        let (mut names, mut generations) = (Vec::new(), Vec::new());
        for modality in Modality::ALL {
            if self.catalog.view().n_embeddings(new.id, modality, 0)? == 0 {
                names.push((modality, None));
                continue;
            }
            let made =
                self.make_snapshot(new, modality, Purpose::Speed, Some(encoder), progress)?;
            names.push((modality, Some(made.name)));
            generations.push((modality, made.generation));
        }
        let n_total = self.n_embeddings(new)?;
        tell(progress, Stage::Switch, 0, Some(n_total))?;
        let mut batch = self.catalog.batch()?;
        fail(&mut batch, left_out)?;
        batch.switch_space(new.id)?;
        for (modality, generation) in generations {
            batch.drop_tombstones(new.id, modality, generation)?;
        }
        batch.commit()?;
        self.snapshots.publish(names)?;
        let others = self.catalog.view().other_spaces()?;
        // Told last, so that whoever stops here finds the library changed whole.
        let removed = self.remove_spaces(&others, progress);
        self.catalog.checkpoint()?;
        removed?;
        self.refresh_backgrounds(encoder, Stage::Forget, progress)
    }

    /// The library keeps its model; what was begun with others goes.
    fn give_up_others(
        &mut self,
        encoder: &mut dyn Encoder,
        left_out: &[LeftOut],
        progress: Tell<'_>,
    ) -> Result<()> {
        for left_out in left_out.chunks(MAX_BATCH_ROWS) {
            let mut batch = self.catalog.batch()?;
            fail(&mut batch, left_out)?;
            batch.commit()?;
        }
        let others = self.catalog.view().other_spaces()?;
        self.remove_spaces(&others, progress)?;
        self.catalog.checkpoint()?;
        self.refresh_all(Some(encoder), progress)
    }

    fn remove_spaces(&mut self, spaces: &[StoredSpace], progress: Tell<'_>) -> Result<()> {
        let mut n_removed = 0;
        for space in spaces {
            loop {
                let mut batch = self.catalog.batch()?;
                let n = batch.remove_embeddings(space.id, MAX_BATCH_ROWS)?;
                if n == 0 {
                    batch.remove_space(space.id)?;
                }
                batch.commit()?;
                n_removed += n;
                tell(progress, Stage::Forget, n_removed, None)?;
                if n == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Different images and texts that have an embedding in a space.
    pub(super) fn n_embeddings(&self, space: &StoredSpace) -> Result<u64> {
        let view = self.catalog.view();
        let count = |modality| view.n_embeddings(space.id, modality, 0);
        Ok(count(Modality::Image)? + count(Modality::Text)?)
    }
}

/// What the encoder has refused is not tried again until it changes.
pub(super) fn fail(batch: &mut Batch<'_>, left_out: &[LeftOut]) -> Result<()> {
    for LeftOut { item, reason, is_refused } in left_out {
        let mut item = item.clone();
        item.item.facts = item.item.facts.filter(|_| !is_refused);
        batch.fail_item(item, reason.clone())?;
    }
    Ok(())
}

fn tell(progress: Tell<'_>, stage: Stage, n_done: u64, n_total: Option<u64>) -> Result<()> {
    match progress(&Progress { stage, n_done, n_total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

fn reindexed(filled: Filled, n_known: u64) -> Reindexed {
    let Filled { n_images, n_texts, left_out } = filled;
    let mut skips = Skips::default();
    for LeftOut { item, reason, .. } in left_out {
        skips.push(label(&item.item.source), reason);
    }
    Reindexed { n_images, n_texts, n_known, left_out: skips }
}
