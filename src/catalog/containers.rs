//! What is known of tars, manifests and roots, so that an unchanged one is not read again.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Params, params};

use super::{Batch, View, row, source, sql};
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

/// What `index` was asked to index, as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    /// The device that it was found on (`st_dev`); `None` if it was not there, or nobody looked.
    pub(crate) device: Option<u64>,
}

impl View<'_> {
    /// What is known of a tar or manifest. Of one whose row is damaged nothing is known but how often it was read, so that it
    /// is read again.
    pub(crate) fn container(&self, path: &Path) -> Result<Option<Container>> {
        let rows = self.container_rows("WHERE path = ?1", params![source::bytes(path)])?;
        match rows.into_iter().next() {
            Some(None) => self.unlike_any(path).map(Some),
            known => Ok(known.flatten()),
        }
    }

    /// The tars and manifests at or below a path, without those whose rows are damaged.
    pub(crate) fn containers_under(&self, path: &Path) -> Result<Vec<Container>> {
        let (from, to) = source::below(path);
        let rows = self.container_rows(
            "WHERE path = ?1 OR (path > ?2 AND path < ?3) ORDER BY path",
            params![source::bytes(path), from, to],
        )?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// What `index` was asked to index so far, without those whose rows are damaged.
    pub(crate) fn roots(&self) -> Result<Vec<Root>> {
        Ok(self.root_rows("ORDER BY path", [])?.into_iter().flatten().collect())
    }

    /// What is known of a root; nothing if its row is damaged.
    pub(crate) fn root(&self, path: &Path) -> Result<Option<Root>> {
        let rows = self.root_rows("WHERE path = ?1", params![source::bytes(path)])?;
        Ok(rows.into_iter().next().flatten())
    }

    /// A version of a tar or manifest that no file is like, after all that were read.
    pub(super) fn unlike_any(&self, path: &Path) -> Result<Container> {
        let scan = self.count(
            "SELECT coalesce(max(scan), 0) FROM items WHERE source_kind IN ('tar', 'manifest') AND container = ?1",
            params![source::bytes(path)],
        )?;
        Ok(Container {
            path: path.into(),
            kind: ContainerKind::Tar,
            size_bytes: u64::MAX,
            modified_ns: i64::MIN,
            scan: scan.cast_signed(),
            complete: false,
            reason: None,
        })
    }

    /// Rows of containers; `None` for one that is damaged.
    fn container_rows(&self, tail: &str, params: impl Params) -> Result<Vec<Option<Container>>> {
        let failed = || sql(self.path, "read containers");
        self.connection
            .prepare_cached(&format!(
                "SELECT path, kind, size_bytes, modified_ns, scan, complete, reason, checksum FROM containers {tail}"
            ))
            .map_err(failed())?
            .query_map(params, |row| Ok(row::sound_values(row, 7)?.and_then(container)))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Rows of roots; `None` for one that is damaged.
    fn root_rows(&self, tail: &str, params: impl Params) -> Result<Vec<Option<Root>>> {
        let failed = || sql(self.path, "read roots");
        self.connection
            .prepare_cached(&format!("SELECT path, device, checksum FROM roots {tail}"))
            .map_err(failed())?
            .query_map(params, |row| Ok(row::sound_values(row, 2)?.and_then(root)))
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
            "UPDATE containers SET complete = 0,
                 checksum = mmsearch_checksum(path, kind, size_bytes, modified_ns, scan, 0, reason)
             WHERE path = ?1
                 AND checksum = mmsearch_checksum(path, kind, size_bytes, modified_ns, scan, complete, reason)",
            params![source::bytes(path)],
        )
    }
}

fn container(values: Vec<Value>) -> Option<Container> {
    let [
        Value::Blob(path),
        Value::Text(kind),
        Value::Integer(size_bytes),
        Value::Integer(modified_ns),
        Value::Integer(scan),
        Value::Integer(complete),
        reason,
    ] = <[Value; 7]>::try_from(values).ok()?
    else {
        return None;
    };
    let kind = [ContainerKind::Tar, ContainerKind::Manifest]
        .into_iter()
        .find(|known| known.name() == kind)?;
    let reason = match reason {
        Value::Text(reason) => Some(reason),
        Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_) => None,
    };
    Some(Container {
        path: source::path(path),
        kind,
        size_bytes: size_bytes.cast_unsigned(),
        modified_ns,
        scan,
        complete: complete == 1,
        reason,
    })
}

fn root(values: Vec<Value>) -> Option<Root> {
    let [Value::Blob(path), device] = <[Value; 2]>::try_from(values).ok()? else { return None };
    let device = match device {
        Value::Integer(device) => Some(device.cast_unsigned()),
        Value::Null | Value::Real(_) | Value::Text(_) | Value::Blob(_) => None,
    };
    Some(Root { path: source::path(path), device })
}
