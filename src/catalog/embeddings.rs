//! Reading embeddings, and which of a snapshot's keys are dead.

use rusqlite::types::Value;
use rusqlite::{Params, Row, params};

use super::row::{self, EMBEDDING_COLUMNS, N_EMBEDDING_COLUMNS};
use super::{SpaceId, View, sql};
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::item::{ContentHash, Modality};

/// An embedding and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredEmbedding {
    /// Its name in every index; never used again.
    pub(crate) key: u64,
    pub(crate) space: SpaceId,
    pub(crate) modality: Modality,
    pub(crate) content_hash: ContentHash,
    pub(crate) embedding: Embedding,
    /// The batch that added it.
    pub(crate) generation: u64,
}

impl View<'_> {
    /// The embedding of this key; `None` if it is gone.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if its row is damaged.
    pub(crate) fn embedding(&self, key: u64) -> Result<Option<StoredEmbedding>> {
        self.one_embedding("WHERE id = ?1", params![key.cast_signed()])
    }

    /// The embedding of this content; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if its row is damaged.
    pub(crate) fn embedding_of(
        &self,
        space: SpaceId,
        modality: Modality,
        content_hash: ContentHash,
    ) -> Result<Option<StoredEmbedding>> {
        self.one_embedding(
            "WHERE space_id = ?1 AND modality = ?2 AND content_hash = ?3",
            params![space.0, modality.name(), content_hash.0],
        )
    }

    /// Whether this content has an embedding already.
    pub(crate) fn has_embedding(
        &self,
        space: SpaceId,
        modality: Modality,
        content_hash: ContentHash,
    ) -> Result<bool> {
        let n = self.count(
            "SELECT count(*) FROM embeddings WHERE space_id = ?1 AND modality = ?2 AND content_hash = ?3",
            params![space.0, modality.name(), content_hash.0],
        )?;
        Ok(n > 0)
    }

    /// Whether there is an embedding of this key, damaged or not.
    pub(crate) fn has_key(&self, key: u64) -> Result<bool> {
        Ok(self
            .count("SELECT count(*) FROM embeddings WHERE id = ?1", params![key.cast_signed()])?
            > 0)
    }

    /// How many embeddings of a modality there are, and how many of them are newer than a generation.
    pub(crate) fn n_embeddings(
        &self,
        space: SpaceId,
        modality: Modality,
        newer_than: u64,
    ) -> Result<u64> {
        self.count(
            "SELECT count(*) FROM embeddings WHERE space_id = ?1 AND modality = ?2 AND generation > ?3",
            params![space.0, modality.name(), newer_than.cast_signed()],
        )
    }

    /// The keys of all embeddings of a modality, in ascending order.
    pub(crate) fn embedding_keys(&self, space: SpaceId, modality: Modality) -> Result<Vec<u64>> {
        self.keys(
            "SELECT id FROM embeddings WHERE space_id = ?1 AND modality = ?2 ORDER BY id",
            params![space.0, modality.name()],
            "read the keys of embeddings",
        )
    }

    /// Whether a space has any embedding; needs no counting.
    pub(crate) fn has_embeddings(&self, space: SpaceId) -> Result<bool> {
        let n = self.count(
            "SELECT EXISTS (SELECT 1 FROM embeddings WHERE space_id = ?1)",
            params![space.0],
        )?;
        Ok(n > 0)
    }

    /// Calls `visit` with every embedding of a modality that is newer than a generation, or with the reason
    /// why its row is damaged; in the order of keys.
    pub(crate) fn each_embedding(
        &self,
        space: SpaceId,
        modality: Modality,
        newer_than: u64,
        mut visit: impl FnMut(std::result::Result<StoredEmbedding, String>) -> Result<()>,
    ) -> Result<()> {
        let params = params![space.0, modality.name(), newer_than.cast_signed()];
        // Without `+`, SQLite would sort by the index of generations even where it selects nearly all rows.
        let query = if newer_than == 0 {
            select("WHERE +space_id = ?1 AND +modality = ?2 AND +generation > ?3 ORDER BY id")
        } else {
            select("WHERE space_id = ?1 AND modality = ?2 AND generation > ?3 ORDER BY id")
        };
        self.embedding_rows(&query, params, &mut visit)
    }

    /// Calls `visit` with every embedding of every space, as [`View::each_embedding`] does.
    pub(crate) fn each_embedding_of_all(
        &self,
        mut visit: impl FnMut(std::result::Result<StoredEmbedding, String>) -> Result<()>,
    ) -> Result<()> {
        self.embedding_rows(&select("ORDER BY id"), [], &mut visit)
    }

    /// Keys that were removed after a generation, in ascending order. Of a damaged row nothing is believed: its key has no
    /// embedding any more, which is seen when that is read.
    pub(crate) fn dead_keys(
        &self,
        space: SpaceId,
        modality: Modality,
        newer_than: u64,
    ) -> Result<Vec<u64>> {
        let failed = || sql(self.path, "read tombstones");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT embedding_id, space_id, modality, generation, checksum FROM tombstones
                 WHERE space_id = ?1 AND modality = ?2 AND generation > ?3 ORDER BY embedding_id",
            )
            .map_err(failed())?;
        let key = |row: &Row<'_>| {
            let values = row::sound_values(row, 4)?;
            Ok(values.and_then(|values| match values.first() {
                Some(Value::Integer(key)) => Some(key.cast_unsigned()),
                Some(_) | None => None,
            }))
        };
        let keys: Vec<Option<u64>> = statement
            .query_map(params![space.0, modality.name(), newer_than.cast_signed()], key)
            .and_then(Iterator::collect)
            .map_err(failed())?;
        Ok(keys.into_iter().flatten().collect())
    }

    fn keys(&self, query: &str, params: impl Params, action: &'static str) -> Result<Vec<u64>> {
        let failed = || sql(self.path, action);
        let mut statement = self.connection.prepare_cached(query).map_err(failed())?;
        statement
            .query_map(params, |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Whether any item that can be found has this content.
    pub(crate) fn content_is_live(&self, modality: Modality, hash: ContentHash) -> Result<bool> {
        let n = self.count(
            "SELECT EXISTS (SELECT 1 FROM items WHERE modality = ?1 AND content_hash = ?2 AND status <> 'failed')",
            params![modality.name(), hash.0],
        )?;
        Ok(n > 0)
    }

    fn one_embedding(&self, tail: &str, params: impl Params) -> Result<Option<StoredEmbedding>> {
        let mut found = None;
        self.embedding_rows(&select(tail), params, |embedding| {
            let damaged = |reason| Error::Corrupt { path: self.path.into(), reason };
            found = Some(embedding.map_err(damaged)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn embedding_rows(
        &self,
        query: &str,
        params: impl Params,
        mut visit: impl FnMut(std::result::Result<StoredEmbedding, String>) -> Result<()>,
    ) -> Result<()> {
        let failed = || sql(self.path, "read embeddings");
        let mut statement = self.connection.prepare_cached(query).map_err(failed())?;
        let mut rows = statement.query(params).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            visit(row::embedding(row::values(row, N_EMBEDDING_COLUMNS).map_err(failed())?))?;
        }
        Ok(())
    }
}

fn select(tail: &str) -> String {
    format!("SELECT {EMBEDDING_COLUMNS}, checksum FROM embeddings {tail}")
}
