//! `index`: brings the library in line with files, directories, tars and manifests.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use super::busy::timed;
use super::plan::Retry;
use super::run::Run;
use super::{Library, Progress, Report, roots};
use crate::encoder::Encoder;
use crate::error::Result;
use crate::media::{ExternalDecoder, Limits};

/// How to index.
#[derive(Clone, Debug, Default)]
pub struct IndexOptions {
    /// Forget the items of a root that is missing, empty or another disk, instead of refusing.
    pub prune_missing_root: bool,
    /// Try everything again that failed before, although its bytes are the same: another version of mmsearch may read it,
    /// or an encoder take it.
    pub retry_failed: bool,
    /// How much of one file is read and decoded at most.
    pub limits: Limits,
    /// Decodes pictures in files of their own that are not decoded here. Those that failed for want of it are tried again.
    pub external_decoder: Option<ExternalDecoder>,
}

impl IndexOptions {
    pub(super) fn retry(&self) -> Retry {
        Retry { failed: self.retry_failed, lacking_decoder: self.external_decoder.is_some() }
    }
}

impl Library {
    /// Brings the library in line with `roots`: directories, pictures, tars, manifests of captions.
    ///
    /// What is as it was is not read again, except texts beside pictures. Work is committed in batches, each followed by a
    /// call of `progress`, whose answer may stop the run; what was committed stays, and the next run goes on from there.
    ///
    /// A file whose bytes are those that failed before is not decoded again. One that cannot be used is listed in the report with
    /// its reason and does not stop the run.
    ///
    /// # Errors
    /// [`crate::Error::ModelMismatch`] if the library is another model's; [`crate::Error::MissingRoot`] if a
    /// root held items and is gone or empty, before anything is changed; [`crate::Error::Cancelled`];
    /// [`crate::Error::Catalog`] and [`crate::Error::Io`] for the library's own files.
    pub fn index(
        &mut self,
        encoder: &mut dyn Encoder,
        roots: &[PathBuf],
        options: &IndexOptions,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Report> {
        self.require_writer()?;
        self.space_of(encoder.space())?;
        self.remove_leftovers()?;
        let (mut report, began) = (Report::default(), Instant::now());
        let found = roots::look(self.catalog.view(), roots, options, &mut report, progress)?;
        report.busy.scan = began.elapsed();
        let space = self.space_for(encoder.space())?;
        let mut run = Run::start(&mut self.catalog, encoder, space, options, report, progress);
        (run.seen, run.sidecars) = (found.seen, found.sidecars);
        run.remember_roots(&found.roots)?;
        run.index_files(found.files)?;
        for tar in &found.tars {
            run.index_tar(tar)?;
        }
        for manifest in &found.manifests {
            run.index_manifest(manifest)?;
        }
        run.index_sidecars()?;
        run.forget_what_is_gone(&found.roots, &found.gone)?;
        let mut report = run.finish();
        self.remove_replaced_spaces(progress)?;
        self.catalog.checkpoint()?;
        timed(&mut report.busy.snapshot, || self.refresh_all(Some(encoder), progress))?;
        report.busy.total = began.elapsed();
        Ok(report)
    }
}
