//! The rows that say what the others are of: the state, the spaces, roots, tars and manifests, removed embeddings. They are mended
//! first, because without them nothing else can be looked at.

use super::{FindingKind, LoadEncoder, Repair};
use crate::error::Result;
use crate::library::Library;

impl Library {
    /// Mends damaged rows of the small tables out of the others; a space out of the encoder, if it is surely that encoder's.
    pub(super) fn mend_small_rows(&mut self, load: LoadEncoder<'_>) -> Result<Vec<Repair>> {
        let space = match self.catalog.view().has_damaged_space()? {
            true => Some(load()?.space().clone()),
            false => None,
        };
        let model = space.as_ref().map(|it| (it.fingerprint.0.as_str(), it.model.as_str(), it.dim));
        let mended = self.catalog.mend_small_rows(model)?;
        let repair = |(what, is_loss)| Repair { kind: FindingKind::Catalog, what, is_loss };
        Ok(mended.into_iter().map(repair).collect())
    }
}
