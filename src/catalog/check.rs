//! What must hold between the rows of a catalog, asked of SQLite; checksums are verified by reading every row.

use rusqlite::params;

use super::{SpaceId, View, sql};
use crate::error::Result;

impl View<'_> {
    /// What SQLite itself and the foreign keys find wrong; empty if nothing.
    pub(crate) fn integrity(&self) -> Result<Vec<String>> {
        let failed = || sql(self.path, "check the file");
        let mut statement =
            self.connection.prepare("PRAGMA integrity_check(100)").map_err(failed())?;
        let mut findings: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(failed())?;
        findings.retain(|finding| finding != "ok");
        let mut statement = self.connection.prepare("PRAGMA foreign_key_check").map_err(failed())?;
        let dangling: Vec<(String, Option<i64>, String)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .and_then(Iterator::collect)
            .map_err(failed())?;
        findings.extend(dangling.into_iter().map(|(table, row, parent)| {
            format!("{table} row {} names a row of {parent} that is not there", row.unwrap_or(0))
        }));
        Ok(findings)
    }

    /// Items that should be found but have no embedding in this space.
    pub(crate) fn items_without_embedding(&self, space: SpaceId) -> Result<Vec<i64>> {
        self.row_ids(
            "SELECT id FROM items WHERE status <> 'failed' AND NOT EXISTS (
                 SELECT 1 FROM embeddings WHERE space_id = ?1 AND embeddings.modality = items.modality
                     AND embeddings.content_hash = items.content_hash)
             ORDER BY id",
            params![space.0],
        )
    }

    /// Embeddings that no item needs.
    pub(crate) fn embeddings_without_item(&self) -> Result<Vec<i64>> {
        self.row_ids(
            "SELECT id FROM embeddings WHERE NOT EXISTS (
                 SELECT 1 FROM items WHERE status <> 'failed' AND items.modality = embeddings.modality
                     AND items.content_hash = embeddings.content_hash)
             ORDER BY id",
            [],
        )
    }

    fn row_ids(&self, query: &str, params: impl rusqlite::Params) -> Result<Vec<i64>> {
        let failed = || sql(self.path, "check rows");
        self.connection
            .prepare(query)
            .map_err(failed())?
            .query_map(params, |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(failed())
    }
}
