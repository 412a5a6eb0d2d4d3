//! Spaces: the library's own, one that is being filled beside it, and what is left of one that was replaced.
//!
//! Ids of spaces only grow, which tells the three apart without a column for it: a space with a higher id than the
//! library's own is being filled by `reindex`, one with a lower id was replaced and is only waiting to be removed.

use rusqlite::{Row, params};

use super::{Batch, SpaceId, View, none_if_absent, sql};
use crate::error::Result;

/// The vector space of a model, as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredSpace {
    pub(crate) id: SpaceId,
    pub(crate) fingerprint: String,
    pub(crate) model: String,
    pub(crate) dim: usize,
}

const COLUMNS: &str = "spaces.id, fingerprint, model, dim";

impl View<'_> {
    /// The space of the library's model; `None` before the first item.
    pub(crate) fn space(&self) -> Result<Option<StoredSpace>> {
        let query =
            format!("SELECT {COLUMNS} FROM state JOIN spaces ON spaces.id = state.space_id");
        self.connection
            .query_row(&query, [], space)
            .map(Some)
            .or_else(none_if_absent)
            .map_err(sql(self.path, "read the space"))
    }

    /// All spaces but the library's own, in the order of their ids.
    pub(crate) fn other_spaces(&self) -> Result<Vec<StoredSpace>> {
        let failed = || sql(self.path, "read the spaces");
        let query = format!(
            "SELECT {COLUMNS} FROM spaces
             WHERE id IS NOT (SELECT space_id FROM state) ORDER BY id"
        );
        self.connection
            .prepare(&query)
            .map_err(failed())?
            .query_map([], space)
            .and_then(Iterator::collect)
            .map_err(failed())
    }
}

impl Batch<'_> {
    /// Makes a space the library's own, adding it if it is new.
    pub(crate) fn set_space(
        &mut self,
        fingerprint: &str,
        model: &str,
        dim: usize,
    ) -> Result<StoredSpace> {
        self.add_space(fingerprint, model, dim)?;
        self.execute(
            "UPDATE state SET space_id = (SELECT id FROM spaces WHERE fingerprint = ?1)",
            params![fingerprint],
        )?;
        let stored = self.view().space()?;
        Ok(stored.expect("the space was written by the statement before"))
    }

    /// Adds a space beside the library's own, unless it is there.
    pub(crate) fn add_space(&mut self, fingerprint: &str, model: &str, dim: usize) -> Result<()> {
        self.execute(
            "INSERT INTO spaces (fingerprint, model, dim) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![fingerprint, model, i64::try_from(dim).unwrap_or(i64::MAX)],
        )
    }

    /// Makes a space that is there the library's own.
    pub(crate) fn switch_space(&mut self, space: SpaceId) -> Result<()> {
        self.execute("UPDATE state SET space_id = ?1", params![space.0])
    }

    /// Removes up to `limit` embeddings of a space; how many there were.
    pub(crate) fn remove_embeddings(&mut self, space: SpaceId, limit: usize) -> Result<u64> {
        self.execute(
            "DELETE FROM embeddings WHERE id IN (SELECT id FROM embeddings WHERE space_id = ?1 LIMIT ?2)",
            params![space.0, i64::try_from(limit).unwrap_or(i64::MAX)],
        )?;
        Ok(self.n_changed())
    }

    /// Removes a space that has no embeddings any more.
    pub(crate) fn remove_space(&mut self, space: SpaceId) -> Result<()> {
        self.execute("DELETE FROM tombstones WHERE space_id = ?1", params![space.0])?;
        self.execute("DELETE FROM spaces WHERE id = ?1", params![space.0])
    }
}

fn space(row: &Row<'_>) -> rusqlite::Result<StoredSpace> {
    let dim: i64 = row.get(3)?;
    Ok(StoredSpace {
        id: SpaceId(row.get(0)?),
        fingerprint: row.get(1)?,
        model: row.get(2)?,
        dim: usize::try_from(dim).unwrap_or(0),
    })
}
