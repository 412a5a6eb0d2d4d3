//! The rows that say what the others are of: the state, the spaces, roots, tars and manifests, removed embeddings. They are mended
//! first, because without them nothing else can be looked at.

use std::path::PathBuf;

use super::{FindingKind, LoadEncoder, Repair};
use crate::catalog::Mended;
use crate::error::Result;
use crate::library::Library;

impl Library {
    /// Mends damaged rows of the small tables out of the others; a space out of the encoder, if it is surely that encoder's.
    /// What was done, and tars and manifests to be read again.
    pub(super) fn mend_small_rows(
        &mut self,
        load: LoadEncoder<'_>,
    ) -> Result<(Vec<Repair>, Vec<PathBuf>)> {
        let space = match self.catalog.view().has_damaged_space()? {
            true => Some(load()?.space().clone()),
            false => None,
        };
        let model = space.as_ref().map(|it| (it.fingerprint.0.as_str(), it.model.as_str(), it.dim));
        let Mended { done, unread } = self.catalog.mend_small_rows(model)?;
        let repair = |(what, is_loss)| Repair { kind: FindingKind::Catalog, what, is_loss };
        Ok((done.into_iter().map(repair).collect(), unread))
    }
}
