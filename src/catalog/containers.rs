//! What is known of tars, manifests and roots, so that an unchanged one is not read again.

use std::path::{Path, PathBuf};

use rusqlite::{Row, params};

use super::{Batch, View, none_if_absent, source, sql};
use crate::error::Result;

/// The kinds of file that hold many items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContainerKind {
    Tar,
    Manifest,
}

/// A tar or manifest as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) path: PathBuf,
    pub(crate) kind: ContainerKind,
    pub(crate) size_bytes: u64,
    pub(crate) modified_ns: i64,
    /// Number of this version of the file, from 1.
    pub(crate) scan: i64,
    /// Whether there is nothing more to be had from this version.
    pub(crate) complete: bool,
    /// Why not all of it could be used.
    pub(crate) reason: Option<String>,
}

impl ContainerKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Manifest => "manifest",
        }
    }
}

impl View<'_> {
    /// What is known of a tar or manifest.
    pub(crate) fn container(&self, path: &Path) -> Result<Option<Container>> {
        let failed = || sql(self.path, "read containers");
        self.connection
            .prepare_cached(&format!("{SELECT} WHERE path = ?1"))
            .map_err(failed())?
            .query_row(params![source::bytes(path)], container)
            .map(Some)
            .or_else(none_if_absent)
            .map_err(failed())
    }

    /// The tars and manifests at or below a path.
    pub(crate) fn containers_under(&self, path: &Path) -> Result<Vec<Container>> {
        let failed = || sql(self.path, "read containers");
        let (from, to) = source::below(path);
        self.connection
            .prepare_cached(&format!(
                "{SELECT} WHERE path = ?1 OR (path > ?2 AND path < ?3) ORDER BY path"
            ))
            .map_err(failed())?
            .query_map(params![source::bytes(path), from, to], container)
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// What `index` was asked to index so far.
    pub(crate) fn roots(&self) -> Result<Vec<PathBuf>> {
        let failed = || sql(self.path, "read roots");
        self.connection
            .prepare_cached("SELECT path FROM roots ORDER BY path")
            .map_err(failed())?
            .query_map([], |row| Ok(source::path(row.get(0)?)))
            .and_then(Iterator::collect)
            .map_err(failed())
    }
}

impl Batch<'_> {
    /// Forgets that a path was one that `index` was asked to index.
    pub(crate) fn remove_root(&mut self, path: &Path) -> Result<()> {
        self.execute("DELETE FROM roots WHERE path = ?1", params![source::bytes(path)])
    }

    /// As if a tar or manifest had not been read to its end: the next reading takes what is not there.
    pub(crate) fn forget_completeness_of(&mut self, path: &Path) -> Result<()> {
        self.execute(
            "UPDATE containers SET complete = 0 WHERE path = ?1",
            params![source::bytes(path)],
        )
    }
}

const SELECT: &str =
    "SELECT path, kind, size_bytes, modified_ns, scan, complete, reason FROM containers";

fn container(row: &Row<'_>) -> rusqlite::Result<Container> {
    let kind: String = row.get(1)?;
    Ok(Container {
        path: source::path(row.get(0)?),
        kind: if kind == "tar" { ContainerKind::Tar } else { ContainerKind::Manifest },
        size_bytes: row.get::<_, i64>(2)?.cast_unsigned(),
        modified_ns: row.get(3)?,
        scan: row.get(4)?,
        complete: row.get(5)?,
        reason: row.get(6)?,
    })
}
