//! What is wrong with the rows of the small tables, which are few enough to be read at once: each has a checksum over all of
//! its columns.

use super::{View, row, sql};
use crate::error::Result;

/// The tables, their columns, how many these are, and what a person calls a row.
const TABLES: [(&str, &str, usize, &str); 5] = [
    ("state", "id, generation, space_id", 3, "the state"),
    ("spaces", "id, fingerprint, model, dim", 4, "a space"),
    ("tombstones", "embedding_id, space_id, modality, generation", 4, "a removed embedding"),
    (
        "containers",
        "path, kind, size_bytes, modified_ns, scan, complete, reason",
        7,
        "a tar or manifest",
    ),
    ("roots", "path, device", 2, "a root"),
];

impl View<'_> {
    /// The rows of `state`, `spaces`, `tombstones`, `containers` and `roots` whose checksums do not match, and ids that could
    /// be given twice.
    pub(crate) fn wrong_small_rows(&self) -> Result<Vec<String>> {
        let failed = || sql(self.path, "check rows");
        let mut reasons = Vec::new();
        for (table, columns, n_columns, name) in TABLES {
            let query = format!("SELECT {columns}, checksum FROM {table}");
            let mut statement = self.connection.prepare(&query).map_err(failed())?;
            let mut rows = statement.query([]).map_err(failed())?;
            let mut n_rows = 0;
            while let Some(row) = rows.next().map_err(failed())? {
                n_rows += 1;
                if row::sound_values(row, n_columns).map_err(failed())?.is_none() {
                    reasons.push(format!(
                        "{table} row {n_rows} ({name}): the checksum does not match"
                    ));
                }
            }
        }
        let newest = "SELECT max((SELECT coalesce(max(generation), 0) FROM items), (SELECT coalesce(max(generation), 0) FROM embeddings))
             > (SELECT coalesce(max(generation), 0) FROM state)";
        if self.count(newest, [])? > 0 {
            reasons.push("state: there are rows that are newer than it".into());
        }
        for table in ["items", "embeddings", "spaces"] {
            if self.next_id(table)? <= self.greatest_id(table)? {
                reasons.push(format!("{table}: the next id was given before"));
            }
        }
        Ok(reasons)
    }

    /// The id that AUTOINCREMENT would give.
    pub(super) fn next_id(&self, table: &str) -> Result<i64> {
        let failed = || sql(self.path, "read the last id");
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = ?1")
            .map_err(failed())?;
        let mut rows = statement.query([table]).map_err(failed())?;
        let last = rows.next().map_err(failed())?.map(|row| row.get::<_, i64>(0)).transpose();
        Ok(last.map_err(failed())?.unwrap_or(0).saturating_add(1))
    }

    /// The greatest id that a table has; 0 if it is empty.
    fn greatest_id(&self, table: &str) -> Result<i64> {
        let query = format!("SELECT coalesce(max(id), 0) FROM {table}");
        Ok(self.count(&query, [])?.cast_signed())
    }
}
