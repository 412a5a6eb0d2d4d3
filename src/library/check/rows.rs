//! The rows of the catalog: their checksums, and what must hold between them.

use super::snapshots::Compared;
use super::{Check, FindingKind};
use crate::catalog::{StoredEmbedding, StoredSpace};
use crate::error::Result;
use crate::item::Modality;

/// Rows between two calls of the progress callback.
const ROWS_PER_STEP: u64 = 4_096;

impl Check<'_> {
    pub(super) fn rows(
        &mut self,
        space: Option<&StoredSpace>,
        compared: &mut [Compared<'_>],
    ) -> Result<()> {
        self.file()?;
        self.items()?;
        self.notes()?;
        self.embeddings(space, compared)?;
        self.derived(space)
    }

    /// What SQLite finds.
    fn file(&mut self) -> Result<()> {
        self.tell(0, None)?;
        let faults = self.view.integrity();
        for fault in self.caught(FindingKind::Catalog, faults)?.unwrap_or_default() {
            // The indexes of words are made of tables of their own, and made again without any other.
            let is_of_words = fault.contains("_words") || fault.contains("fts5");
            let kind = if is_of_words { FindingKind::Words } else { FindingKind::Catalog };
            self.found(kind, fault);
        }
        let wrong = self.view.wrong_small_rows();
        for reason in self.caught(FindingKind::Catalog, wrong)?.unwrap_or_default() {
            self.found(FindingKind::Catalog, reason);
        }
        Ok(())
    }

    fn items(&mut self) -> Result<()> {
        self.tell(0, None)?;
        let mut reasons = Vec::new();
        let read = self.view.each_item(|item| reasons.extend(item.err()));
        self.caught(FindingKind::Catalog, read)?;
        for reason in reasons {
            self.found(FindingKind::Item, reason);
        }
        let unread = self.view.items_unread();
        for id in self.caught(FindingKind::Catalog, unread)?.unwrap_or_default() {
            self.found(FindingKind::Item, format!("item {id}: {}", crate::catalog::UNREAD));
        }
        Ok(())
    }

    fn notes(&mut self) -> Result<()> {
        let mut reasons = Vec::new();
        let read = self.view.each_tag(|tag| reasons.extend(tag.err()));
        self.caught(FindingKind::Catalog, read)?;
        for reason in std::mem::take(&mut reasons) {
            self.found(FindingKind::Tag, reason);
        }
        let read = self.view.each_description(|description| reasons.extend(description.err()));
        self.caught(FindingKind::Catalog, read)?;
        for reason in reasons {
            self.found(FindingKind::Description, reason);
        }
        Ok(())
    }

    /// The embeddings of all spaces; those of the library's own are compared with its snapshots on the way.
    fn embeddings(
        &mut self,
        space: Option<&StoredSpace>,
        compared: &mut [Compared<'_>],
    ) -> Result<()> {
        let spaces = self.view.other_spaces();
        let spaces = self.caught(FindingKind::Catalog, spaces)?.unwrap_or_default();
        let spaces: Vec<StoredSpace> = spaces.into_iter().chain(space.cloned()).collect();
        let dim_of = |stored: &StoredEmbedding| {
            spaces.iter().find(|space| space.id == stored.space).map(|space| space.dim)
        };
        let (view, mut reasons, mut n_read) = (self.view, Vec::new(), 0);
        let read = view.each_embedding_of_all(|embedding| {
            if n_read % ROWS_PER_STEP == 0 {
                self.tell(n_read, None)?;
            }
            n_read += 1;
            match embedding {
                Err(reason) => reasons.push(reason),
                Ok(stored) if dim_of(&stored) != Some(stored.embedding.dim()) => {
                    let (key, found) = (stored.key, stored.embedding.dim());
                    reasons.push(format!("embedding {key}: {found} dimensions"));
                }
                Ok(stored) => {
                    let is_own = space.is_some_and(|space| space.id == stored.space);
                    let of_modality = compared.iter_mut().filter(|_| is_own);
                    of_modality.for_each(|compared| compared.meet(&stored));
                }
            }
            Ok(())
        });
        self.caught(FindingKind::Catalog, read)?;
        for reason in reasons {
            self.found(FindingKind::Embedding, reason);
        }
        let superfluous = self.view.embeddings_without_item();
        for id in self.caught(FindingKind::Catalog, superfluous)?.unwrap_or_default() {
            self.found(FindingKind::Embedding, format!("embedding {id}: no item needs it"));
        }
        if let Some(space) = space {
            let lacking = self.view.items_without_embedding(space.id);
            for id in self.caught(FindingKind::Catalog, lacking)?.unwrap_or_default() {
                self.found(FindingKind::Embedding, format!("item {id}: it has no embedding"));
            }
        }
        Ok(())
    }

    /// Words and backgrounds, which are tables of the catalog and yet derived.
    fn derived(&mut self, space: Option<&StoredSpace>) -> Result<()> {
        for modality in Modality::ALL {
            let wrong = self.view.wrong_words(modality);
            for id in self.caught(FindingKind::Words, wrong)?.unwrap_or_default() {
                let reason = format!("item {id}: words find it otherwise than they should");
                self.found(FindingKind::Words, reason);
            }
            if let Some(space) = space {
                let background = self.view.background(space.id, modality);
                self.caught(FindingKind::Background, background)?;
            }
        }
        Ok(())
    }
}
