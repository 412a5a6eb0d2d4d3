//! Which rows are damaged, and what is left of them.
//!
//! Of a row whose checksum is wrong only its identity is believed, because it was found by it. What it seems to say is handed out
//! as a guess, for whoever looks whether that is so.

use rusqlite::types::Value;
use rusqlite::{Row, params};

use super::row::{self, EMBEDDING_COLUMNS, ITEM_COLUMNS, N_EMBEDDING_COLUMNS, N_ITEM_COLUMNS};
use super::{StoredItem, View, source, sql};
use crate::error::Result;
use crate::item::{ContentHash, Item, ItemId, Metadata, Modality, Source, Status};

/// The reason of an item whose row was mended while its source was not read again yet.
pub(crate) const UNREAD: &str = "its row was damaged and its source was not read again yet";

/// A damaged row of tags or descriptions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DamagedNote {
    /// The item that it seems to be of.
    pub(crate) item: Option<ItemId>,
    /// What it seems to say.
    pub(crate) text: String,
    pub(super) table: &'static str,
    /// The values of its first columns, by which it is found again.
    pub(super) key: Vec<Value>,
}

impl DamagedNote {
    /// Whether it is a tag, or else a description.
    pub(crate) fn is_tag(&self) -> bool {
        self.table == "tags"
    }
}

impl View<'_> {
    /// The items whose rows are damaged.
    pub(crate) fn damaged_items(&self) -> Result<Vec<ItemId>> {
        let query = format!("SELECT {ITEM_COLUMNS}, checksum FROM items ORDER BY id");
        let ids = self.damaged(&query, N_ITEM_COLUMNS, |values| row::item(values).is_err())?;
        Ok(ids.into_iter().map(ItemId).collect())
    }

    /// The keys of the embeddings whose rows are damaged.
    pub(crate) fn damaged_embeddings(&self) -> Result<Vec<u64>> {
        let query = format!("SELECT {EMBEDDING_COLUMNS}, checksum FROM embeddings ORDER BY id");
        let is_damaged = |values| row::embedding(values).is_err();
        let keys = self.damaged(&query, N_EMBEDDING_COLUMNS, is_damaged)?;
        Ok(keys.into_iter().map(i64::cast_unsigned).collect())
    }

    /// The tags whose rows are damaged.
    pub(crate) fn damaged_tags(&self) -> Result<Vec<DamagedNote>> {
        self.damaged_notes("tags", "item_id, tag, origin", 1)
    }

    /// The descriptions whose rows are damaged.
    pub(crate) fn damaged_descriptions(&self) -> Result<Vec<DamagedNote>> {
        self.damaged_notes("descriptions", "item_id, origin, text", 2)
    }

    /// The items that were mended and not read again yet.
    pub(crate) fn items_unread(&self) -> Result<Vec<ItemId>> {
        let failed = || sql(self.path, "read items");
        self.connection
            .prepare("SELECT id FROM items WHERE status = 'failed' AND reason = ?1 ORDER BY id")
            .map_err(failed())?
            .query_map([UNREAD], |row| row.get(0).map(ItemId))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Up to `limit` pictures that are files of their own and whose rows are good, of ids above `after` and in their order.
    pub(crate) fn files_after(&self, after: ItemId, limit: usize) -> Result<Vec<StoredItem>> {
        let failed = || sql(self.path, "read items");
        let query = format!(
            "SELECT {ITEM_COLUMNS}, checksum FROM items WHERE source_kind = 'file' AND id > ?1 ORDER BY id"
        );
        let mut statement = self.connection.prepare_cached(&query).map_err(failed())?;
        let mut rows = statement.query([after.0]).map_err(failed())?;
        let mut items = Vec::new();
        while let (true, Some(row)) = (items.len() < limit, rows.next().map_err(failed())?) {
            items.extend(row::item(row::values(row, N_ITEM_COLUMNS).map_err(failed())?));
        }
        Ok(items)
    }

    /// What the damaged row of an item seems to say of where the item came from and what its content is.
    pub(crate) fn guess(&self, id: ItemId) -> Result<Item> {
        self.connection
            .query_row(
                "SELECT modality, source_kind, container, member, content_hash, checksum FROM items WHERE id = ?1",
                params![id.0],
                |row| guess(id, row),
            )
            .map_err(sql(self.path, "read an item"))
    }

    /// The ids of the rows that are damaged.
    fn damaged(
        &self,
        query: &str,
        n_columns: usize,
        is_damaged: impl Fn((Vec<Value>, i64)) -> bool,
    ) -> Result<Vec<i64>> {
        let failed = || sql(self.path, "look for damaged rows");
        let mut statement = self.connection.prepare(query).map_err(failed())?;
        let mut rows = statement.query([]).map_err(failed())?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next().map_err(failed())? {
            let values = row::values(row, n_columns).map_err(failed())?;
            let id = values.0.first().cloned();
            if let (Some(Value::Integer(id)), true) = (id, is_damaged(values)) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn damaged_notes(
        &self,
        table: &'static str,
        columns: &str,
        text_column: usize,
    ) -> Result<Vec<DamagedNote>> {
        let failed = || sql(self.path, "look for damaged rows");
        let query = format!("SELECT {columns}, checksum FROM {table}");
        let mut statement = self.connection.prepare(&query).map_err(failed())?;
        let mut rows = statement.query([]).map_err(failed())?;
        let mut notes = Vec::new();
        while let Some(row) = rows.next().map_err(failed())? {
            let (values, checksum) = row::values(row, 3).map_err(failed())?;
            if row::checksum(&values) == checksum {
                continue;
            }
            let item = match values.first() {
                Some(Value::Integer(id)) => Some(ItemId(*id)),
                Some(_) | None => None,
            };
            let text = match values.get(text_column) {
                Some(Value::Text(text)) => text.clone(),
                Some(_) | None => String::new(),
            };
            notes.push(DamagedNote { item, text, table, key: values });
        }
        Ok(notes)
    }
}

/// The item as it can be written in place of the damaged row: not to be found until its source was read.
pub(super) fn guess(id: ItemId, row: &Row<'_>) -> rusqlite::Result<Item> {
    let (mut values, _) = row::values(row, 5)?;
    let hash = match values.pop() {
        Some(Value::Blob(hash)) => hash.try_into().ok().map(ContentHash),
        Some(_) | None => None,
    };
    let (member, container) = (bytes(values.pop()), bytes(values.pop()));
    let (kind, modality) = (bytes(values.pop()), bytes(values.pop()));
    let kind = String::from_utf8_lossy(&kind).into_owned();
    let source = source::parse(&kind, container.clone(), member.clone())
        .or_else(|| source::parse(likely_kind(&container, &member), container, member))
        .unwrap_or(Source::Inline { name: format!("damaged item {id}") });
    let modality = match &source {
        Source::File { .. } | Source::TarMember { .. } => Modality::Image,
        Source::ManifestRow { .. } => Modality::Text,
        Source::Inline { .. } => {
            row::parse_modality(&String::from_utf8_lossy(&modality)).unwrap_or(Modality::Image)
        }
    };
    Ok(Item {
        id,
        modality,
        source,
        content_hash: hash,
        size_bytes: 0,
        // Of no file: the next reading takes it for changed.
        modified_ns: None,
        status: Status::Failed,
        reason: Some(UNREAD.into()),
        facts: None,
        text: None,
        image: None,
        metadata: Metadata::new(),
    })
}

/// The kind that the other two columns look like.
fn likely_kind(container: &[u8], member: &[u8]) -> &'static str {
    match (container.first(), member) {
        (Some(b'/'), []) => "file",
        (Some(b'/'), member) if source::parse("manifest", Vec::new(), member.into()).is_some() => {
            "manifest"
        }
        (Some(b'/'), _) => "tar",
        (Some(_) | None, _) => "inline",
    }
}

fn bytes(value: Option<Value>) -> Vec<u8> {
    match value {
        Some(Value::Blob(bytes)) => bytes,
        Some(Value::Text(text)) => text.into_bytes(),
        Some(Value::Null | Value::Integer(_) | Value::Real(_)) | None => Vec::new(),
    }
}
