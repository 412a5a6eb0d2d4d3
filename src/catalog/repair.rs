//! Mending a catalog: derived tables made again, damaged rows taken out or written anew, a transaction each.

use rusqlite::{OptionalExtension, params, params_from_iter};

use super::{Batch, Catalog, DamagedNote, ReadTransaction, StoredItem, sql};
use crate::error::Result;
use crate::item::{Item, ItemId, Modality};

/// The indexes of words, as migrations/0004_words.sql makes them.
const WORDS: [&str; 2] = ["image_words", "text_words"];

impl Catalog {
    /// Reads one state until it is dropped, for a caller who has the catalog to read only. It begins nothing else meanwhile.
    pub(crate) fn read_shared(&self) -> Result<ReadTransaction<'_>> {
        let transaction =
            self.connection.unchecked_transaction().map_err(sql(&self.path, "begin reading"))?;
        Ok(ReadTransaction { transaction, path: &self.path })
    }

    /// Makes all indexes of SQLite again out of their tables.
    pub(crate) fn rebuild_indexes(&self) -> Result<()> {
        self.connection.execute_batch("REINDEX").map_err(sql(&self.path, "rebuild the indexes"))
    }
}

impl Batch<'_> {
    /// Writes an item over its damaged row. The embedding of its content stays, though no item may need it until its source was
    /// read again.
    pub(crate) fn mend_item(&mut self, item: Item) -> Result<()> {
        self.reword_by_id(item.id);
        let generation = self.generation();
        self.write_item(&StoredItem { item, scan: 0, generation })
    }

    /// Removes an embedding, whether its row is damaged or not.
    pub(crate) fn remove_embedding(&mut self, key: u64) -> Result<()> {
        // A snapshot may still hold the key; where the row does not say of which space and modality, it is made again.
        self.execute(
            "INSERT OR REPLACE INTO tombstones (embedding_id, space_id, modality, generation, checksum)
             SELECT id, space_id, modality, ?2, mmsearch_checksum(id, space_id, modality, ?2) FROM embeddings
             WHERE id = ?1 AND modality IN ('image', 'text') AND space_id IN (SELECT id FROM spaces)",
            params![key.cast_signed(), self.generation().cast_signed()],
        )?;
        self.execute("DELETE FROM embeddings WHERE id = ?1", params![key.cast_signed()])
    }

    /// Removes a damaged tag or description; whether it could be found by what it says.
    pub(crate) fn remove_note(&mut self, note: &DamagedNote) -> Result<bool> {
        let columns = match note.table {
            "tags" => "item_id IS ?1 AND tag IS ?2 AND origin IS ?3",
            _ => "item_id IS ?1 AND origin IS ?2 AND text IS ?3",
        };
        let delete = format!("DELETE FROM {} WHERE {columns}", note.table);
        self.execute(&delete, params_from_iter(&note.key))?;
        let is_removed = self.n_changed() > 0;
        note.item.into_iter().for_each(|item| self.reword_by_id(item));
        Ok(is_removed)
    }

    /// Removes tags and descriptions of items that are not there; how many.
    pub(crate) fn remove_loose_notes(&mut self) -> Result<u64> {
        let mut n_removed = 0;
        for table in ["tags", "descriptions"] {
            let delete = format!("DELETE FROM {table} WHERE item_id NOT IN (SELECT id FROM items)");
            self.execute(&delete, [])?;
            n_removed += self.n_changed();
        }
        Ok(n_removed)
    }

    /// The texts that describe an image that is not there.
    pub(crate) fn texts_of_nothing(&self) -> Result<Vec<ItemId>> {
        let failed = || sql(self.path(), "read items");
        self.connection()
            .prepare(
                "SELECT id FROM items WHERE image_id IS NOT NULL AND image_id NOT IN (SELECT id FROM items)",
            )
            .map_err(failed())?
            .query_map([], |row| row.get(0).map(ItemId))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Makes the indexes of words again, from nothing, as their schema and the migrations say.
    pub(crate) fn rebuild_words(&mut self) -> Result<()> {
        let failed = || sql(self.path(), "rebuild the words");
        for (table, modality) in WORDS.into_iter().zip(Modality::ALL) {
            let create: Option<String> = self
                .connection()
                .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [table], |row| {
                    row.get(0)
                })
                .optional()
                .map_err(failed())?;
            let Some(create) = create else { continue };
            self.execute(&format!("DROP TABLE {table}"), [])?;
            self.execute(&create, [])?;
            // What was removed shall not stay behind, and ranks are as before.
            for option in ["('secure-delete', 1)", "('rank', 'bm25(4.0, 1.0, 8.0)')"] {
                self.execute(&format!("INSERT INTO {table} ({table}, rank) VALUES {option}"), [])?;
            }
            let fill = format!(
                "INSERT INTO {table} (rowid, body, name, tags)
                 SELECT id, body, name, tags FROM findable_words WHERE modality = ?1"
            );
            self.execute(&fill, params![modality.name()])?;
        }
        Ok(())
    }
}
