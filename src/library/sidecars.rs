//! Sidecars of pictures: what they say, and the changes of those whose pictures are as they were.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::roots::repeat_failure;
use super::run::Run;
use super::{Report, Stage};
use crate::catalog::{DescriptionOrigin, MAX_BATCH_ROWS, View};
use crate::error::Result;
use crate::item::{Item, ItemId, Source, Status};
use crate::media::{self, Skipped};

/// The sidecars that there are, and the pictures of which the catalog knows one.
///
/// What it costs when nothing has changed: the names in each directory once more ([`media::Sidecars`]), one statement
/// for all pictures that have one, and for each of these the file opened and read. A picture without one costs two
/// looks into memory.
#[derive(Debug, Default)]
pub(super) struct Sidecars {
    files: media::Sidecars,
    known: HashSet<ItemId>,
    /// Pictures that are as they were, beside which the text is another than the catalog knows.
    changed: Vec<(ItemId, PathBuf)>,
}

impl Sidecars {
    pub(super) fn new(view: View<'_>) -> Result<Self> {
        Ok(Self { known: view.items_with_sidecar()?, ..Self::default() })
    }

    /// What the text beside a picture says. One that cannot be read is told of and says nothing.
    pub(super) fn text_of(&mut self, source: &Source, report: &mut Report) -> Option<String> {
        let Source::File { path } = source else { return None };
        self.read(path, report).flatten()
    }

    /// Reports a picture that is as it was, and notes it if the text beside it is not, for [`Run::index_sidecars`].
    pub(super) fn keep_picture(
        &mut self,
        view: View<'_>,
        item: &Item,
        report: &mut Report,
    ) -> Result<()> {
        repeat_failure(report, item);
        if item.status == Status::Failed {
            return Ok(());
        }
        match self.changed_file(view, item, report)? {
            Some(path) => self.changed.push((item.id, path)),
            None => report.images.unchanged += 1,
        }
        Ok(())
    }

    /// The file of a picture beside which there is another text than the catalog knows. Where that cannot be read, what it
    /// said before stays.
    fn changed_file(
        &mut self,
        view: View<'_>,
        item: &Item,
        report: &mut Report,
    ) -> Result<Option<PathBuf>> {
        let Source::File { path } = &item.source else { return Ok(None) };
        if self.files.of(path).is_none() && !self.known.contains(&item.id) {
            return Ok(None);
        }
        let Some(text) = self.read(path, report) else { return Ok(None) };
        let descriptions = view.descriptions_of(item.id)?;
        let known = descriptions.into_iter().find(|it| it.origin == DescriptionOrigin::Sidecar);
        Ok((known.map(|known| known.text) != text).then(|| path.clone()))
    }

    /// What the text beside a picture says, if anything; `None` if it cannot be read, of which the report tells, or if its
    /// directory cannot be listed, of which the walk does.
    fn read(&mut self, picture: &Path, report: &mut Report) -> Option<Option<String>> {
        if !self.files.can_tell(picture) {
            return None;
        }
        let Some(sidecar) = self.files.of(picture) else { return Some(None) };
        match media::read_sidecar(&sidecar) {
            Ok(text) => Some(text),
            Err(Skipped { path, reason }) => {
                report.skipped.push(path, reason);
                None
            }
        }
    }
}

impl Run<'_> {
    /// Writes the texts that have changed beside pictures that have not: nothing is decoded or encoded.
    pub(super) fn index_sidecars(&mut self) -> Result<()> {
        let changed = std::mem::take(&mut self.sidecars.changed);
        self.n_images.n_total += changed.len() as u64;
        for changed in changed.chunks(MAX_BATCH_ROWS) {
            let mut texts = Vec::with_capacity(changed.len());
            for (id, picture) in changed {
                if let Some(text) = self.sidecars.read(picture, &mut self.report) {
                    texts.push((*id, text));
                }
            }
            let began = Instant::now();
            let mut batch = self.catalog.batch()?;
            for (id, text) in &texts {
                batch.set_description(*id, DescriptionOrigin::Sidecar, text.as_deref())?;
            }
            batch.commit()?;
            self.report.busy.write += began.elapsed();
            self.report.images.updated += texts.len() as u64;
            self.n_images.n_done += changed.len() as u64;
            let (n_done, n_total) = (self.n_images.n_done, self.n_images.n_total);
            self.tell(Stage::Images, n_done, Some(n_total.max(n_done)))?;
        }
        Ok(())
    }
}
