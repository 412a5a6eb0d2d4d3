//! Mending the rows of the small tables out of the others: each has a checksum, and none of them says what could not be found
//! out otherwise.

use std::path::PathBuf;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Batch, Catalog, Container, ContainerKind, View, source, sql};
use crate::error::Result;

/// What was mended.
#[derive(Debug, Default)]
pub(crate) struct Mended {
    /// What was done, and whether something of a person's was lost.
    pub(crate) done: Vec<(String, bool)>,
    /// Tars and manifests of which nothing is known now but what they hold.
    pub(crate) unread: Vec<PathBuf>,
}

impl View<'_> {
    /// Whether the row of a space is damaged: only its encoder knows what it should be.
    pub(crate) fn has_damaged_space(&self) -> Result<bool> {
        let n = self.count(
            "SELECT count(*) FROM spaces WHERE checksum IS NOT mmsearch_checksum(id, fingerprint, model, dim)",
            [],
        )?;
        Ok(n > 0)
    }

    /// The paths in a table whose rows are damaged.
    fn damaged_paths(&self, table: &str, columns: &str) -> Result<Vec<Vec<u8>>> {
        let failed = || sql(self.path, "check rows");
        let query = format!(
            "SELECT path FROM {table} WHERE checksum IS NOT mmsearch_checksum({columns}) ORDER BY path"
        );
        self.connection
            .prepare(&query)
            .map_err(failed())?
            .query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Tars and manifests that items came from and that have no row.
    fn lacking_containers(&self) -> Result<Vec<(PathBuf, ContainerKind)>> {
        let failed = || sql(self.path, "check rows");
        self.connection
            .prepare(
                "SELECT DISTINCT container, source_kind = 'tar' FROM items WHERE source_kind IN ('tar', 'manifest')
                     AND container NOT IN (SELECT path FROM containers) ORDER BY container",
            )
            .map_err(failed())?
            .query_map([], |row| {
                let is_tar: bool = row.get(1)?;
                let kind = if is_tar { ContainerKind::Tar } else { ContainerKind::Manifest };
                Ok((source::path(row.get(0)?), kind))
            })
            .and_then(Iterator::collect)
            .map_err(failed())
    }
}

impl Catalog {
    /// Mends damaged rows of `spaces`, `state`, `tombstones`, `roots` and `containers`, in one transaction; what was done.
    ///
    /// The row of a space becomes that of `model` (fingerprint, name, dimension) where two of these three are what it says.
    pub(crate) fn mend_small_rows(&mut self, model: Option<(&str, &str, usize)>) -> Result<Mended> {
        let failed = || sql(&self.path, "mend rows");
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed())?;
        let mut mended = Mended::default();
        let space = match model {
            Some(model) => mend_space(&transaction, model).map_err(failed())?,
            None => 0,
        };
        let state = mend_state(&transaction).map_err(failed())?;
        transaction.commit().map_err(failed())?;
        for (n_rows, what) in [(space, "row of the model"), (state, "row of the state")] {
            if n_rows > 0 {
                mended.done.push((format!("the {what} was written again"), false));
            }
        }
        // A batch needs the state.
        if self.view().state().is_ok() {
            self.mend_paths(&mut mended)?;
        }
        Ok(mended)
    }

    fn mend_paths(&mut self, mended: &mut Mended) -> Result<()> {
        let containers = "path, kind, size_bytes, modified_ns, scan, complete, reason";
        let view = self.view();
        let roots = view.damaged_paths("roots", "path, device")?;
        let tars = view.damaged_paths("containers", containers)?;
        let n_tombstones = view.count(
            "SELECT count(*) FROM tombstones
             WHERE checksum IS NOT mmsearch_checksum(embedding_id, space_id, modality, generation)",
            [],
        )?;
        if roots.is_empty() && tars.is_empty() && n_tombstones == 0 {
            return Ok(());
        }
        let mut batch = self.batch()?;
        for path in roots {
            mended.done.push(batch.mend_root(path)?);
        }
        for path in tars {
            batch.execute("DELETE FROM containers WHERE path = ?1", params![path])?;
        }
        for (path, kind) in batch.view().lacking_containers()? {
            let container = Container { kind, ..batch.view().unlike_any(&path)? };
            batch.set_container(&container)?;
            mended.done.push((format!("the row of {} was written again", path.display()), false));
            mended.unread.push(path);
        }
        // A snapshot that holds what they named is found by comparing it with the rows, and written again.
        batch.execute(
            "DELETE FROM tombstones
             WHERE checksum IS NOT mmsearch_checksum(embedding_id, space_id, modality, generation)",
            [],
        )?;
        if n_tombstones > 0 {
            mended
                .done
                .push((format!("{n_tombstones} rows of removed embeddings were removed"), false));
        }
        batch.commit().map(|_| ())
    }
}

impl Batch<'_> {
    /// A root that holds items is one; of another it is not known whether it ever was.
    fn mend_root(&mut self, path: Vec<u8>) -> Result<(String, bool)> {
        let root = source::path(path.clone());
        if self.view().n_items_under(&root)? > 0 {
            self.execute(
                "UPDATE roots SET device = NULL, checksum = mmsearch_checksum(path, NULL) WHERE path = ?1",
                params![path],
            )?;
            return Ok((
                format!("the row of the root {} was written again", root.display()),
                false,
            ));
        }
        self.execute("DELETE FROM roots WHERE path = ?1", params![path])?;
        let what = "the row of a root that holds nothing was removed; it read like";
        Ok((format!("{what} `{}`", root.display()), true))
    }
}

/// How many rows of spaces became that of the model.
fn mend_space(
    transaction: &Transaction<'_>,
    (fingerprint, model, dim): (&str, &str, usize),
) -> rusqlite::Result<usize> {
    transaction.execute(
        "UPDATE spaces SET fingerprint = ?1, model = ?2, dim = ?3, checksum = mmsearch_checksum(id, ?1, ?2, ?3)
         WHERE checksum IS NOT mmsearch_checksum(id, fingerprint, model, dim)
             AND (fingerprint = ?1) + (model = ?2) + (dim = ?3) >= 2",
        params![fingerprint, model, i64::try_from(dim).unwrap_or(i64::MAX)],
    )
}

/// Writes a damaged state again: a generation after all that rows name, and the space that it names if there is one, or that
/// with the most embeddings.
pub(super) fn mend_state(connection: &Connection) -> rusqlite::Result<usize> {
    let is_good: i64 = connection.query_row(
        "SELECT count(*) FROM state WHERE checksum IS mmsearch_checksum(id, generation, space_id)
             AND (space_id IS NULL OR space_id IN (SELECT id FROM spaces))
             AND generation >= (SELECT coalesce(max(generation), 0) FROM items)
             AND generation >= (SELECT coalesce(max(generation), 0) FROM embeddings)",
        [],
        |row| row.get(0),
    )?;
    if is_good == 1 {
        return Ok(0);
    }
    connection.execute(
        "WITH
         last (generation) AS (
             SELECT max(generation) FROM (
                 SELECT max(generation) AS generation FROM items
                 UNION ALL SELECT max(generation) FROM embeddings
                 UNION ALL SELECT max(generation) FROM tombstones
                 UNION ALL SELECT max(generation) FROM backgrounds)),
         own (id) AS (
             SELECT id FROM spaces ORDER BY
                 (id IS (SELECT space_id FROM state)) DESC,
                 (SELECT count(*) FROM embeddings WHERE space_id = spaces.id) DESC,
                 id
             LIMIT 1)
         INSERT OR REPLACE INTO state (id, generation, space_id, checksum)
         SELECT 1, coalesce(last.generation, 0) + 1, (SELECT id FROM own),
             mmsearch_checksum(1, coalesce(last.generation, 0) + 1, (SELECT id FROM own))
         FROM last",
        [],
    )
}
