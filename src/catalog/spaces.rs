//! Spaces: the library's own, one that is being filled beside it, and what is left of one that was replaced.
//!
//! Ids of spaces only grow, which tells the three apart without a column for it: a space with a higher id than the
//! library's own is being filled by `reindex`, one with a lower id was replaced and is only waiting to be removed.

use rusqlite::types::Value;
use rusqlite::{Params, params};

use super::{Batch, SpaceId, View, row, sql};
use crate::error::{Error, Result};

/// The vector space of a model, as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredSpace {
    pub(crate) id: SpaceId,
    pub(crate) fingerprint: String,
    pub(crate) model: String,
    pub(crate) dim: usize,
}

impl View<'_> {
    /// The space of the library's model; `None` before the first item.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if its row, or that which names it, is damaged.
    pub(crate) fn space(&self) -> Result<Option<StoredSpace>> {
        let Some(id) = self.state()?.1 else { return Ok(None) };
        let found = self.spaces("WHERE id = ?1", params![id.0])?.pop();
        let missing = || self.corrupt(format!("space {}, the library's own, is missing", id.0));
        found.ok_or_else(missing).map(Some)
    }

    /// All spaces but the library's own, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a row is damaged.
    pub(crate) fn other_spaces(&self) -> Result<Vec<StoredSpace>> {
        let own = self.state()?.1.map(|id| id.0);
        self.spaces("WHERE id IS NOT ?1 ORDER BY id", params![own])
    }

    /// The generation and the library's own space.
    pub(super) fn state(&self) -> Result<(u64, Option<SpaceId>)> {
        let failed = || sql(self.path, "read the state");
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, generation, space_id, checksum FROM state")
            .map_err(failed())?;
        let values = statement
            .query_map([], |row| row::sound_values(row, 3))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(failed())?;
        let [Some(values)] = values.as_slice() else {
            return Err(self.corrupt("the row of the state is damaged".into()));
        };
        match values.as_slice() {
            [_, Value::Integer(generation), Value::Integer(space)] => {
                Ok((generation.cast_unsigned(), Some(SpaceId(*space))))
            }
            [_, Value::Integer(generation), _] => Ok((generation.cast_unsigned(), None)),
            _ => Err(self.corrupt("the row of the state is damaged".into())),
        }
    }

    fn spaces(&self, tail: &str, params: impl Params) -> Result<Vec<StoredSpace>> {
        let failed = || sql(self.path, "read the spaces");
        let query = format!("SELECT id, fingerprint, model, dim, checksum FROM spaces {tail}");
        let mut statement = self.connection.prepare_cached(&query).map_err(failed())?;
        let mut rows = statement.query(params).map_err(failed())?;
        let mut spaces = Vec::new();
        while let Some(row) = rows.next().map_err(failed())? {
            let space = row::sound_values(row, 4).map_err(failed())?.and_then(space);
            spaces.push(space.ok_or_else(|| self.corrupt("the row of a space is damaged".into()))?);
        }
        Ok(spaces)
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt { path: self.path.into(), reason }
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
            "UPDATE state SET (space_id, checksum) =
                 (SELECT id, mmsearch_checksum(state.id, generation, spaces.id) FROM spaces WHERE fingerprint = ?1)",
            params![fingerprint],
        )?;
        let stored = self.view().space()?;
        Ok(stored.expect("the space was written by the statement before"))
    }

    /// Adds a space beside the library's own, unless it is there.
    pub(crate) fn add_space(&mut self, fingerprint: &str, model: &str, dim: usize) -> Result<()> {
        // Needed before the insert, for the checksum.
        let id = self.view().next_id("spaces")?;
        self.execute(
            "INSERT INTO spaces (id, fingerprint, model, dim, checksum)
             VALUES (?1, ?2, ?3, ?4, mmsearch_checksum(?1, ?2, ?3, ?4)) ON CONFLICT (fingerprint) DO NOTHING",
            params![id, fingerprint, model, i64::try_from(dim).unwrap_or(i64::MAX)],
        )
    }

    /// Makes a space that is there the library's own.
    pub(crate) fn switch_space(&mut self, space: SpaceId) -> Result<()> {
        self.execute(
            "UPDATE state SET space_id = ?1, checksum = mmsearch_checksum(id, generation, ?1)",
            params![space.0],
        )
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

fn space(values: Vec<Value>) -> Option<StoredSpace> {
    let [Value::Integer(id), Value::Text(fingerprint), Value::Text(model), Value::Integer(dim)] =
        <[Value; 4]>::try_from(values).ok()?
    else {
        return None;
    };
    Some(StoredSpace { id: SpaceId(id), fingerprint, model, dim: usize::try_from(dim).ok()? })
}
