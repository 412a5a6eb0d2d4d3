//! What a space lacks: items that should be found by it and have no embedding in it yet.

use std::path::{Path, PathBuf};

use rusqlite::params;

use super::{SpaceId, StoredItem, View, source, sql};
use crate::error::Result;
use crate::item::{ItemId, Modality};

/// Which of the items that lack an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// Pictures that are files of their own.
    Files,
    /// Texts of any source.
    Texts,
    /// Everything, also what cannot be read again from where it came from.
    All,
}

/// A condition on `items`, whose first parameter is the space.
const LACKS: &str = "items.status <> 'failed' AND NOT EXISTS (
    SELECT 1 FROM embeddings WHERE space_id = ?1 AND embeddings.modality = items.modality
        AND embeddings.content_hash = items.content_hash)";

impl View<'_> {
    /// Up to `limit` items without an embedding in a space, of ids above `after` and in their order.
    pub(crate) fn items_lacking(
        &self,
        space: SpaceId,
        which: Lacking,
        after: ItemId,
        limit: usize,
    ) -> Result<Vec<StoredItem>> {
        let kind = match which {
            Lacking::Files => "modality = 'image' AND source_kind = 'file'",
            Lacking::Texts => "modality = 'text'",
            Lacking::All => "true",
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.many(
            &format!("WHERE id > ?2 AND {kind} AND {LACKS} ORDER BY id LIMIT ?3"),
            params![space.0, after.0, limit],
        )
    }

    /// How many different contents of a modality should be found.
    pub(crate) fn n_contents(&self, modality: Modality) -> Result<u64> {
        self.count(
            "SELECT count(DISTINCT content_hash) FROM items WHERE modality = ?1 AND status <> 'failed'",
            params![modality.name()],
        )
    }

    /// How many pictures from `path` or from below it have no embedding in a space.
    pub(crate) fn n_lacking_under(&self, space: SpaceId, path: &Path) -> Result<u64> {
        let (from, to) = source::below(path);
        self.count(
            &format!(
                "SELECT count(*) FROM items WHERE modality = 'image' AND source_kind <> 'inline'
                   AND (container = ?2 OR (container > ?3 AND container < ?4)) AND {LACKS}"
            ),
            params![space.0, source::bytes(path), from, to],
        )
    }

    /// The tars with members that have no embedding in a space.
    pub(crate) fn tars_lacking(&self, space: SpaceId) -> Result<Vec<PathBuf>> {
        self.paths(
            &format!(
                "SELECT DISTINCT container FROM items WHERE source_kind = 'tar' AND {LACKS}
                 ORDER BY container"
            ),
            params![space.0],
        )
    }

    /// The members of a tar that have no embedding in a space.
    pub(crate) fn members_lacking(&self, space: SpaceId, tar: &Path) -> Result<Vec<PathBuf>> {
        self.paths(
            &format!(
                "SELECT member FROM items WHERE source_kind = 'tar' AND container = ?2 AND {LACKS}"
            ),
            params![space.0, source::bytes(tar)],
        )
    }

    fn paths(&self, query: &str, params: impl rusqlite::Params) -> Result<Vec<PathBuf>> {
        let failed = || sql(self.path, "read items");
        self.connection
            .prepare_cached(query)
            .map_err(failed())?
            .query_map(params, |row| Ok(source::path(row.get(0)?)))
            .and_then(Iterator::collect)
            .map_err(failed())
    }
}
