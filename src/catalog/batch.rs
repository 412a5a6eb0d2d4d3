//! Writing: one transaction that raises the generation by one.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Params, Transaction, params, params_from_iter};

use super::row::{self, EMBEDDING_COLUMNS, ITEM_COLUMNS, N_EMBEDDING_COLUMNS, N_ITEM_COLUMNS};
use super::{
    Container, ContainerKind, MAX_BATCH_ROWS, Root, SpaceId, StoredEmbedding, StoredItem, View,
    source, sql,
};
use crate::embedding::Embedding;
use crate::error::Result;
use crate::item::{ContentHash, Item, ItemId, Modality, Source, Status};

/// A transaction that writes; dropped without [`Batch::commit`], it changes nothing.
pub(crate) struct Batch<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
    generation: u64,
    n_rows: usize,
    /// Contents that lost an item. Whether nothing needs them any more is known at the end only.
    loose: Vec<(Modality, ContentHash)>,
    /// Items that words find otherwise now. A batch changes many of them more than once.
    reworded: BTreeSet<ItemId>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(transaction: Transaction<'a>, path: &'a Path) -> Result<Self> {
        let generation = View { connection: &transaction, path }.generation()? + 1;
        let (n_rows, loose, reworded) = (0, Vec::new(), BTreeSet::new());
        Ok(Self { transaction, path, generation, n_rows, loose, reworded })
    }

    /// The catalog as this transaction has changed it.
    pub(crate) fn view(&self) -> View<'_> {
        View { connection: &self.transaction, path: self.path }
    }

    /// Drops embeddings that nothing needs any more and makes everything durable; the new generation.
    pub(crate) fn commit(mut self) -> Result<u64> {
        for (modality, hash) in std::mem::take(&mut self.loose) {
            self.drop_embedding_if_orphan(modality, hash)?;
        }
        for id in std::mem::take(&mut self.reworded) {
            self.write_words(id)?;
        }
        self.execute(
            "UPDATE state SET generation = ?1, checksum = mmsearch_checksum(id, ?1, space_id)",
            params![self.generation.cast_signed()],
        )?;
        self.transaction.commit().map_err(sql(self.path, "commit"))?;
        Ok(self.generation)
    }

    /// Adds an item; its `id` is ignored and given anew.
    pub(crate) fn add_item(&mut self, mut item: Item, scan: i64) -> Result<ItemId> {
        // Needed before the insert, for the checksum.
        item.id = ItemId(self.view().next_id("items")?);
        let id = item.id;
        self.reword(&item);
        let stored = StoredItem { item, scan, generation: self.generation };
        self.count_row();
        let insert = insert("items", ITEM_COLUMNS, N_ITEM_COLUMNS);
        self.put(&insert, row::item_values(&stored))?;
        Ok(id)
    }

    /// Replaces everything that is known of an item that is there.
    pub(crate) fn replace_item(&mut self, old: &Item, new: Item, scan: i64) -> Result<()> {
        self.count_row();
        self.update_item(old, new, scan)
    }

    /// Says of an item why it has no embedding any more; all else that is known of it stays. With its facts it is
    /// read again by the next `index`, without them only when it has changed.
    ///
    /// Not counted as a row: the items that a new model could not be given fail in the transaction that changes
    /// the model, however many they are, because before it they are found and after it they are not.
    pub(crate) fn fail_item(&mut self, stored: StoredItem, reason: String) -> Result<()> {
        let StoredItem { item: old, mut scan, .. } = stored;
        if let (Source::TarMember { tar, .. }, Some(_)) = (&old.source, &old.facts) {
            // As if the archive had not been read to its end: the next reading takes what it has not seen.
            scan = 0;
            self.read_again(ContainerKind::Tar, &source::bytes(tar))?;
        }
        let new = Item { status: Status::Failed, reason: Some(reason), ..old.clone() };
        self.update_item(&old, new, scan)
    }

    /// Removes an item and the texts that describe it. Returns what went; the manifests of the texts are read
    /// again next time.
    pub(crate) fn remove_item(&mut self, id: ItemId) -> Result<Vec<Modality>> {
        let Some(stored) = self.view().item(id)? else { return Ok(Vec::new()) };
        let mut removed = vec![stored.item.modality];
        for text in self.view().texts_of(id)? {
            removed.extend(self.remove_item(text.item.id)?);
            self.forget_completeness(&text.item)?;
        }
        self.reword(&stored.item);
        self.execute("DELETE FROM items WHERE id = ?1", params![id.0])?;
        if let (Some(hash), Status::Ok | Status::Truncated) =
            (stored.item.content_hash, stored.item.status)
        {
            self.loose.push((stored.item.modality, hash));
        }
        Ok(removed)
    }

    /// Adds the embedding of a content that has none; its key.
    pub(crate) fn add_embedding(
        &mut self,
        space: SpaceId,
        modality: Modality,
        content_hash: ContentHash,
        embedding: Embedding,
    ) -> Result<u64> {
        let key = self.view().next_id("embeddings")?.cast_unsigned();
        let generation = self.generation;
        let stored = StoredEmbedding { key, space, modality, content_hash, embedding, generation };
        self.count_row();
        let insert = insert("embeddings", EMBEDDING_COLUMNS, N_EMBEDDING_COLUMNS);
        self.put(&insert, row::embedding_values(&stored))?;
        Ok(key)
    }

    /// Writes what is known of a tar or manifest.
    pub(crate) fn set_container(&mut self, container: &Container) -> Result<()> {
        self.execute(
            "INSERT INTO containers (path, kind, size_bytes, modified_ns, scan, complete, reason, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, mmsearch_checksum(?1, ?2, ?3, ?4, ?5, ?6, ?7))
             ON CONFLICT (path) DO UPDATE SET kind = ?2, size_bytes = ?3, modified_ns = ?4, scan = ?5,
                 complete = ?6, reason = ?7, checksum = excluded.checksum",
            params![
                source::bytes(&container.path),
                container.kind.name(),
                container.size_bytes.cast_signed(),
                container.modified_ns,
                container.scan,
                container.complete,
                container.reason,
            ],
        )
    }

    /// Forgets tars, manifests and roots at or below a path.
    pub(crate) fn remove_containers_under(&mut self, path: &Path) -> Result<()> {
        let (from, to) = source::below(path);
        for table in ["containers", "roots"] {
            self.execute(
                &format!("DELETE FROM {table} WHERE path = ?1 OR (path > ?2 AND path < ?3)"),
                params![source::bytes(path), from, to],
            )?;
        }
        Ok(())
    }

    /// Remembers what `index` was asked to index, and the device that it found it on.
    pub(crate) fn set_root(&mut self, root: &Root) -> Result<()> {
        self.execute(
            "INSERT INTO roots (path, device, checksum) VALUES (?1, ?2, mmsearch_checksum(?1, ?2))
             ON CONFLICT (path) DO UPDATE SET device = ?2, checksum = excluded.checksum",
            params![source::bytes(&root.path), root.device.map(u64::cast_signed)],
        )
    }

    /// Drops the tombstones that a snapshot of this generation has taken in.
    pub(crate) fn drop_tombstones(
        &mut self,
        space: SpaceId,
        modality: Modality,
        up_to: u64,
    ) -> Result<()> {
        self.execute(
            "DELETE FROM tombstones WHERE space_id = ?1 AND modality = ?2 AND generation <= ?3",
            params![space.0, modality.name(), up_to.cast_signed()],
        )
    }

    fn drop_embedding_if_orphan(&self, modality: Modality, hash: ContentHash) -> Result<()> {
        if self.view().content_is_live(modality, hash)? {
            return Ok(());
        }
        self.execute(
            "INSERT INTO tombstones (embedding_id, space_id, modality, generation, checksum)
             SELECT id, space_id, modality, ?3, mmsearch_checksum(id, space_id, modality, ?3)
             FROM embeddings WHERE modality = ?1 AND content_hash = ?2",
            params![modality.name(), hash.0, self.generation.cast_signed()],
        )?;
        self.execute(
            "DELETE FROM embeddings WHERE modality = ?1 AND content_hash = ?2",
            params![modality.name(), hash.0],
        )
    }

    /// The text's image went for a reason of its own; should it come back, its texts must come back too.
    fn forget_completeness(&mut self, text: &Item) -> Result<()> {
        let key = source::SourceKey::new(&text.source);
        self.read_again(ContainerKind::Manifest, &key.container)
    }

    /// Lets the next `index` read a tar or manifest. A damaged row, which it does not believe anyway, stays damaged.
    fn read_again(&self, kind: ContainerKind, path: &[u8]) -> Result<()> {
        self.execute(
            "UPDATE containers SET complete = 0,
                 checksum = mmsearch_checksum(path, kind, size_bytes, modified_ns, scan, 0, reason)
             WHERE kind = ?1 AND path = ?2
                 AND checksum = mmsearch_checksum(path, kind, size_bytes, modified_ns, scan, complete, reason)",
            params![kind.name(), path],
        )
    }

    fn update_item(&mut self, old: &Item, new: Item, scan: i64) -> Result<()> {
        let (old_content, id) = ((old.modality, old.content_hash), old.id);
        self.reword(old);
        let stored = StoredItem { item: Item { id, ..new }, scan, generation: self.generation };
        self.reword(&stored.item);
        self.write_item(&stored)?;
        if let (modality, Some(hash)) = old_content {
            self.loose.push((modality, hash));
        }
        Ok(())
    }

    /// Writes all columns of an item that is there.
    pub(super) fn write_item(&self, stored: &StoredItem) -> Result<()> {
        let columns = ITEM_COLUMNS.split(", ").map(str::trim).chain(["checksum"]).enumerate();
        let columns: Vec<String> =
            columns.map(|(i, column)| format!("{column} = ?{}", i + 1)).collect();
        let update = format!("UPDATE items SET {} WHERE id = ?1", columns.join(", "));
        self.put(&update, row::item_values(stored))
    }

    /// Notes that an item, and with it the image that it describes, is found by other words.
    fn reword(&mut self, item: &Item) {
        self.reworded.insert(item.id);
        self.reworded.extend(item.image);
    }

    fn count_row(&mut self) {
        self.n_rows += 1;
        debug_assert!(self.n_rows <= MAX_BATCH_ROWS, "callers write in small batches");
    }

    /// Runs a statement with the values of a row and their checksum.
    fn put(&self, statement: &str, mut values: Vec<Value>) -> Result<()> {
        let checksum = row::checksum(&values);
        values.push(checksum.into());
        self.execute(statement, params_from_iter(values))
    }

    /// Notes that what is told of an item beside its row has changed.
    pub(super) fn reword_by_id(&mut self, id: ItemId) {
        self.reworded.insert(id);
    }

    /// The number of this batch.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.transaction
    }

    pub(super) fn path(&self) -> &Path {
        self.path
    }

    /// How many rows the last statement changed.
    pub(super) fn n_changed(&self) -> u64 {
        self.transaction.changes()
    }

    pub(super) fn execute(&self, statement: &str, params: impl Params) -> Result<()> {
        self.transaction
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(params))
            .map(|_| ())
            .map_err(sql(self.path, "write"))
    }
}

fn insert(table: &str, columns: &str, n_columns: usize) -> String {
    let places: Vec<String> = (1..=n_columns + 1).map(|i| format!("?{i}")).collect();
    format!("INSERT INTO {table} ({columns}, checksum) VALUES ({})", places.join(", "))
}
