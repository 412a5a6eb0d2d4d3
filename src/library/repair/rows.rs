//! Rows: mended where their source can be read again, taken out where it cannot.

use super::{FindingKind, Mending};
use crate::catalog::{Batch, Container, DamagedNote, StoredItem};
use crate::error::{Error, Result};
use crate::item::{Item, ItemId, Source};
use crate::library::check::Finding;

/// Rows of one transaction.
const BATCH: usize = 64;

impl Mending<'_> {
    /// Makes the indexes of SQLite again where they do not fit their tables.
    pub(super) fn indexes(&mut self, found: &[Finding]) -> Result<()> {
        if !found.iter().any(|finding| finding.kind == FindingKind::Catalog) {
            return Ok(());
        }
        match self.library.catalog.rebuild_indexes() {
            Ok(()) => self.did(FindingKind::Catalog, "the indexes of the catalog were made again"),
            // The rest is mended as far as it can be; what stays is found again at the end.
            Err(Error::Catalog { reason, .. }) => {
                let what = format!("the indexes of the catalog could not be made again: {reason}");
                self.lost(FindingKind::Catalog, what);
            }
            Err(error) => return Err(error),
        }
        let mut batch = self.library.catalog.batch()?;
        let n_removed = batch.remove_loose_notes()?;
        let texts = batch.texts_of_nothing()?;
        batch.commit()?;
        if n_removed > 0 {
            let what = format!("{n_removed} tags or descriptions of no item were removed");
            self.lost(FindingKind::Catalog, what);
        }
        for id in texts {
            // As if its row was damaged: what it describes is found by its manifest.
            self.mend(id)?;
        }
        Ok(())
    }

    /// Writes the rows of damaged items anew, as items that wait for being read.
    pub(super) fn items(&mut self) -> Result<()> {
        for id in self.library.catalog.view().damaged_items()? {
            self.mend(id)?;
        }
        self.again = self.library.catalog.view().items_unread()?;
        Ok(())
    }

    fn mend(&mut self, id: ItemId) -> Result<()> {
        let item = self.library.catalog.view().guess(id)?;
        let source = item.source.clone();
        if self.library.is_away(&source)? {
            // Its disk may come back, and until then nothing is better than the row as it is.
            return Ok(());
        }
        let mut batch = self.library.catalog.batch()?;
        batch.mend_item(item)?;
        if let Source::Inline { .. } = source {
            batch.remove_item(id)?;
            batch.commit()?;
            let what = format!(
                "item {id} was removed: an app handed it over under a name like `{source}`; add it again"
            );
            self.lost(FindingKind::Item, what);
            return Ok(());
        }
        // In one transaction: an item that waits for being read, in a tar that nobody reads, would be given up.
        reopen(&mut batch, &source)?;
        batch.commit().map(|_| ())
    }

    /// Has the sources of damaged tags and descriptions read again. Until then the rows stay, because nothing else says that
    /// they are to be read.
    pub(super) fn notes(&mut self) -> Result<()> {
        for DamagedNote { item, .. } in self.damaged_notes()? {
            let Some(id) = item else { continue };
            self.again.push(id);
            if let Some(stored) = self.good_item(id)? {
                self.reopen_for(&stored)?;
            }
        }
        Ok(())
    }

    fn damaged_notes(&self) -> Result<Vec<DamagedNote>> {
        let view = self.library.catalog.view();
        let mut notes = view.damaged_tags()?;
        notes.extend(view.damaged_descriptions()?);
        Ok(notes)
    }

    /// Takes out the tags and descriptions that no source said again. What a person said is told, so that they can say it again.
    pub(super) fn remove_notes(&mut self) -> Result<()> {
        for notes in self.damaged_notes()?.chunks(BATCH) {
            let mut batch = self.library.catalog.batch()?;
            for note in notes {
                batch.remove_note(note)?;
            }
            batch.commit()?;
            for note in notes {
                let (kind, what) = match note.is_tag() {
                    true => (FindingKind::Tag, "a tag"),
                    false => (FindingKind::Description, "a description"),
                };
                let of = note.item.map_or("an item".into(), |id| format!("item {id}"));
                self.lost(
                    kind,
                    format!("{what} of {of} was removed; it read like `{}`", note.text),
                );
            }
        }
        Ok(())
    }

    /// Takes damaged embeddings out; what lacks one then is encoded again.
    pub(super) fn embeddings(&mut self) -> Result<()> {
        let view = self.library.catalog.view();
        let mut keys = view.damaged_embeddings()?;
        let spaces: Vec<_> = view.other_spaces()?.into_iter().chain(view.space()?).collect();
        view.each_embedding_of_all(|embedding| {
            if let Ok(stored) = embedding {
                let space = spaces.iter().find(|space| space.id == stored.space);
                let fits = space.is_some_and(|space| space.dim == stored.embedding.dim());
                keys.extend((!fits).then_some(stored.key));
            }
            Ok(())
        })?;
        self.remove_embeddings(&keys)?;
        for key in keys {
            self.did(FindingKind::Embedding, format!("the damaged embedding {key} was removed"));
        }
        Ok(())
    }

    /// Takes out embeddings that no item needs, once all items were read.
    pub(super) fn superfluous(&mut self) -> Result<()> {
        if !self.library.catalog.view().items_unread()?.is_empty() {
            return Ok(());
        }
        let keys = self.library.catalog.view().embeddings_without_item()?;
        let keys: Vec<u64> = keys.into_iter().map(i64::cast_unsigned).collect();
        self.remove_embeddings(&keys)?;
        for key in keys {
            let what = format!("embedding {key}, which no item needs, was removed");
            self.did(FindingKind::Embedding, what);
        }
        Ok(())
    }

    fn remove_embeddings(&mut self, keys: &[u64]) -> Result<()> {
        for keys in keys.chunks(BATCH) {
            let mut batch = self.library.catalog.batch()?;
            for &key in keys {
                batch.remove_embedding(key)?;
            }
            batch.commit()?;
        }
        Ok(())
    }

    /// Takes out the items whose source is nowhere.
    pub(super) fn give_up_unread(&mut self) -> Result<()> {
        for id in self.library.catalog.view().items_unread()? {
            let Some(stored) = self.good_item(id)? else { continue };
            let source = &stored.item.source;
            if self.library.is_away(source)? {
                continue;
            }
            let mut batch = self.library.catalog.batch()?;
            batch.remove_item(id)?;
            batch.commit()?;
            let what = format!("item {id} was removed: there is no {source} to read it from again");
            self.lost(FindingKind::Item, what);
        }
        Ok(())
    }

    /// The item of this identity, unless it is gone or still damaged.
    pub(super) fn good_item(&self, id: ItemId) -> Result<Option<StoredItem>> {
        match self.library.catalog.view().item(id) {
            Err(Error::Corrupt { .. }) => Ok(None),
            found => found,
        }
    }

    /// Has the tar of an item read again, which is there and which that reading must not pass over.
    fn reopen_for(&mut self, stored: &StoredItem) -> Result<()> {
        let Source::TarMember { .. } = stored.item.source else { return Ok(()) };
        let mut batch = self.library.catalog.batch()?;
        batch.replace_item(&stored.item, Item::clone(&stored.item), 0)?;
        reopen(&mut batch, &stored.item.source)?;
        batch.commit().map(|_| ())
    }
}

/// Has a tar or manifest read again, where only its rows say that there is nothing new in it.
fn reopen(batch: &mut Batch<'_>, source: &Source) -> Result<()> {
    let (Source::TarMember { tar: path, .. } | Source::ManifestRow { manifest: path, .. }) = source
    else {
        return Ok(());
    };
    let container = batch.view().container(path);
    let Ok(Some(container)) = container else { return Ok(()) };
    batch.set_container(&Container { complete: false, ..container })
}
