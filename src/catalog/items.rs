//! Reading items.

use std::path::{Path, PathBuf};

use rusqlite::{Params, params};

use super::row::{self, ITEM_COLUMNS, N_ITEM_COLUMNS};
use super::source::{self, SourceKey};
use super::{View, none_if_absent, sql};
use crate::error::{Error, Result};
use crate::item::{ContentHash, Item, ItemId, Modality, Source, Status};

/// An item and what the catalog alone knows of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredItem {
    pub(crate) item: Item,
    /// Which reading of its tar or manifest saw it; 0 for other sources.
    pub(crate) scan: i64,
    /// The batch that wrote it last.
    pub(crate) generation: u64,
}

/// How many items of one modality and status there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) modality: Modality,
    pub(crate) status: Status,
    pub(crate) n_items: u64,
}

impl View<'_> {
    /// The item of this identity.
    pub(crate) fn item(&self, id: ItemId) -> Result<Option<StoredItem>> {
        self.one("WHERE id = ?1", params![id.0])
    }

    /// The item of this source.
    pub(crate) fn item_at(&self, source: &Source) -> Result<Option<StoredItem>> {
        let key = SourceKey::new(source);
        self.one(
            "WHERE source_kind = ?1 AND container = ?2 AND member = ?3",
            params![key.kind, key.container, key.member],
        )
    }

    /// The items that can be found by this content, in the order of their ids.
    pub(crate) fn items_of(
        &self,
        modality: Modality,
        content_hash: ContentHash,
        limit: usize,
    ) -> Result<Vec<StoredItem>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.many(
            "WHERE modality = ?1 AND content_hash = ?2 AND status <> 'failed' ORDER BY id LIMIT ?3",
            params![modality.name(), content_hash.0, limit],
        )
    }

    /// The images of this content, also those that cannot be found, in the order of their ids.
    pub(crate) fn images_with(
        &self,
        content_hash: ContentHash,
        limit: usize,
    ) -> Result<Vec<StoredItem>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.many(
            "WHERE modality = 'image' AND content_hash = ?1 ORDER BY id LIMIT ?2",
            params![content_hash.0, limit],
        )
    }

    /// Members of this name in any tar that lies in `dir` itself.
    pub(crate) fn tar_members_named(&self, dir: &Path, member: &Path) -> Result<Vec<StoredItem>> {
        let (from, to) = source::below(dir);
        let mut found = self.many(
            "WHERE source_kind = 'tar' AND member = ?1 AND container > ?2 AND container < ?3 ORDER BY id",
            params![source::bytes(member), from, to],
        )?;
        found.retain(|stored| match &stored.item.source {
            Source::TarMember { tar, .. } => tar.parent() == Some(dir),
            Source::File { .. } | Source::ManifestRow { .. } | Source::Inline { .. } => false,
        });
        Ok(found)
    }

    /// Up to `limit` items that come from `path` or from below it (a file, a directory, a tar, a manifest), of
    /// ids above `after`.
    pub(crate) fn items_under(
        &self,
        path: &Path,
        after: ItemId,
        limit: usize,
    ) -> Result<Vec<StoredItem>> {
        let (from, to) = source::below(path);
        self.many(
            "WHERE source_kind <> 'inline' AND id > ?4
               AND (container = ?1 OR (container > ?2 AND container < ?3))
             ORDER BY id LIMIT ?5",
            params![
                source::bytes(path),
                from,
                to,
                after.0,
                i64::try_from(limit).unwrap_or(i64::MAX)
            ],
        )
    }

    /// How many items come from `path` or from below it.
    pub(crate) fn n_items_under(&self, path: &Path) -> Result<u64> {
        let (from, to) = source::below(path);
        self.count(
            "SELECT count(*) FROM items WHERE source_kind <> 'inline'
               AND (container = ?1 OR (container > ?2 AND container < ?3))",
            params![source::bytes(path), from, to],
        )
    }

    /// Up to `limit` items of a tar or manifest that its reading number `scan` did not see.
    pub(crate) fn items_before_scan(
        &self,
        container: &Path,
        scan: i64,
        limit: usize,
    ) -> Result<Vec<ItemId>> {
        self.ids(
            "SELECT id FROM items WHERE source_kind IN ('tar', 'manifest') AND container = ?1
               AND scan < ?2 ORDER BY id LIMIT ?3",
            params![source::bytes(container), scan, i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    /// The members of a tar that its reading number `scan` has taken already, with those that failed or without.
    pub(crate) fn members_of_scan(
        &self,
        tar: &Path,
        scan: i64,
        with_failed: bool,
    ) -> Result<Vec<PathBuf>> {
        let failed = || sql(self.path, "read items");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT member FROM items WHERE source_kind = 'tar' AND container = ?1 AND scan = ?2
                   AND (?3 OR status <> 'failed')",
            )
            .map_err(failed())?;
        statement
            .query_map(params![source::bytes(tar), scan, with_failed], |row| {
                Ok(source::path(row.get(0)?))
            })
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// The members or rows of a tar or manifest that could not be used, with the reason; in the order of ids.
    pub(crate) fn failures_in(&self, container: &Path) -> Result<Vec<StoredItem>> {
        self.many(
            "WHERE source_kind IN ('tar', 'manifest') AND container = ?1 AND status <> 'ok' ORDER BY id",
            params![source::bytes(container)],
        )
    }

    /// How many items a tar or manifest gave.
    pub(crate) fn n_items_in(&self, container: &Path) -> Result<u64> {
        self.count(
            "SELECT count(*) FROM items WHERE source_kind IN ('tar', 'manifest') AND container = ?1",
            params![source::bytes(container)],
        )
    }

    /// The files of their own that the texts of a manifest describe.
    pub(crate) fn image_files_of(&self, manifest: &Path) -> Result<Vec<PathBuf>> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT DISTINCT image.container FROM items AS text JOIN items AS image ON image.id = text.image_id
                 WHERE text.source_kind = 'manifest' AND text.container = ?1 AND image.source_kind = 'file'
                 ORDER BY image.container",
            )
            .map_err(sql(self.path, "read items"))?;
        statement
            .query_map(params![source::bytes(manifest)], |row| Ok(source::path(row.get(0)?)))
            .and_then(Iterator::collect)
            .map_err(sql(self.path, "read items"))
    }

    /// The texts that describe an image.
    pub(crate) fn texts_of(&self, image: ItemId) -> Result<Vec<StoredItem>> {
        self.many("WHERE image_id = ?1 ORDER BY id", params![image.0])
    }

    /// The items of a modality that can be found, in ascending order.
    pub(crate) fn findable(&self, modality: Modality) -> Result<Vec<ItemId>> {
        self.ids(
            "SELECT id FROM items WHERE modality = ?1 AND status <> 'failed' ORDER BY id",
            params![modality.name()],
        )
    }

    /// Contents that more than one item can be found by, in the order of the contents.
    pub(crate) fn repeated_contents(&self, modality: Modality) -> Result<Vec<ContentHash>> {
        let failed = || sql(self.path, "read items");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT content_hash FROM items
                 WHERE modality = ?1 AND content_hash IS NOT NULL AND status <> 'failed'
                 GROUP BY content_hash HAVING count(*) > 1 ORDER BY content_hash",
            )
            .map_err(failed())?;
        statement
            .query_map(params![modality.name()], |row| row.get(0).map(ContentHash))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Items by modality and status.
    pub(crate) fn counts(&self) -> Result<Vec<Counts>> {
        let failed = || sql(self.path, "count items");
        let mut statement = self
            .connection
            .prepare("SELECT modality, status, count(*) FROM items GROUP BY modality, status ORDER BY 1, 2")
            .map_err(failed())?;
        let rows: Vec<(String, String, i64)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .and_then(Iterator::collect)
            .map_err(failed())?;
        let known = |(modality, status, n): (String, String, i64)| {
            let (modality, status) = (row::parse_modality(&modality)?, row::parse_status(&status)?);
            Some(Counts { modality, status, n_items: n.cast_unsigned() })
        };
        Ok(rows.into_iter().filter_map(known).collect())
    }

    /// Calls `visit` with every item in the order of ids, or with the reason why its row is damaged.
    pub(crate) fn each_item(
        &self,
        mut visit: impl FnMut(std::result::Result<StoredItem, String>),
    ) -> Result<()> {
        self.rows(&select("ORDER BY id"), [], |values| {
            visit(row::item(values));
            Ok(())
        })
    }

    fn one(&self, tail: &str, params: impl Params) -> Result<Option<StoredItem>> {
        Ok(self.many(tail, params)?.into_iter().next())
    }

    pub(super) fn many(&self, tail: &str, params: impl Params) -> Result<Vec<StoredItem>> {
        let mut items = Vec::new();
        self.rows(&select(tail), params, |values| {
            let damaged = |reason| Error::Corrupt { path: self.path.into(), reason };
            items.push(row::item(values).map_err(damaged)?);
            Ok(())
        })?;
        Ok(items)
    }

    fn rows(
        &self,
        query: &str,
        params: impl Params,
        mut visit: impl FnMut((Vec<rusqlite::types::Value>, i64)) -> Result<()>,
    ) -> Result<()> {
        let failed = || sql(self.path, "read items");
        let mut statement = self.connection.prepare_cached(query).map_err(failed())?;
        let mut rows = statement.query(params).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            visit(row::values(row, N_ITEM_COLUMNS).map_err(failed())?)?;
        }
        Ok(())
    }

    fn ids(&self, query: &str, params: impl Params) -> Result<Vec<ItemId>> {
        let failed = || sql(self.path, "read items");
        let mut statement = self.connection.prepare_cached(query).map_err(failed())?;
        statement
            .query_map(params, |row| Ok(ItemId(row.get(0)?)))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    pub(super) fn count(&self, query: &str, params: impl Params) -> Result<u64> {
        let failed = || sql(self.path, "count");
        let mut statement = self.connection.prepare_cached(query).map_err(failed())?;
        let n = statement.query_row(params, |row| row.get(0)).map(Some).or_else(none_if_absent);
        n.map(|n: Option<i64>| n.unwrap_or(0).cast_unsigned()).map_err(failed())
    }
}

fn select(tail: &str) -> String {
    format!("SELECT {ITEM_COLUMNS}, checksum FROM items {tail}")
}
