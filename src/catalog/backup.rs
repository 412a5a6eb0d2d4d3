//! Copies of a catalog: written out of one state of it, looked through before they count, and put in its place.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::migrate::migrate;
use super::open::{Journal, READERS_TIMEOUT, connect, verify_header};
use super::{Catalog, FILE_NAME, View, sql};
use crate::error::{Error, Result, io_at};

/// What SQLite may have put beside a database; applied to another one it would destroy it.
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

impl Catalog {
    /// Writes one state of the catalog into a file that is there and empty, while others go on reading and writing.
    ///
    /// The copy is packed: of what was deleted it holds nothing. It is not yet safe on the disk.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        // SQLite takes what begins with `file:` for more than a name.
        let target = std::path::absolute(path).map_err(io_at("look at", path))?;
        let failed = |error: rusqlite::Error| {
            let is_ours = error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt);
            sql(if is_ours { &self.path } else { path }, "write the copy")(error)
        };
        let is_reader: bool = self
            .connection
            .pragma_query_value(None, "query_only", |row| row.get(0))
            .map_err(failed)?;
        // A path is bytes, which SQLite takes as they are.
        let target = ToSqlOutput::Borrowed(ValueRef::Text(target.as_os_str().as_bytes()));
        self.connection.pragma_update(None, "query_only", false).map_err(failed)?;
        let copied = self.connection.execute("VACUUM INTO ?1", [target]);
        self.connection.pragma_update(None, "query_only", is_reader).map_err(failed)?;
        copied.map(|_| ()).map_err(failed)
    }

    /// Brings a copy that nobody else uses to the newest version, and reads every row; how many items it has. All of it is
    /// in its one file then.
    ///
    /// # Errors
    /// What [`Catalog::create_or_open`] refuses, and [`Error::Corrupt`] with the first thing that is damaged; they name
    /// `path`.
    pub(crate) fn verify_copy(path: &Path) -> Result<u64> {
        verify_header(path)?;
        let mut connection = connect(path, Journal::Wal)?;
        connection
            .pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))
            .map_err(sql(path, "read the copy"))?;
        migrate(&mut connection, path)?;
        let view = View { connection: &connection, path };
        if let Some(reason) = first_damage(view)? {
            return Err(Error::Corrupt { path: path.into(), reason });
        }
        view.count("SELECT count(*) FROM items", [])
    }

    /// Refuses from the first bytes what cannot be a backup, or is the catalog of a library in use.
    pub(crate) fn verify_backup(path: &Path) -> Result<()> {
        let metadata = std::fs::metadata(path).map_err(io_at("open", path))?;
        if !metadata.is_file() {
            return Err(Error::BadInput { path: path.into(), reason: "not a regular file".into() });
        }
        if metadata.len() == 0 {
            return Err(Error::Corrupt { path: path.into(), reason: "it is empty".into() });
        }
        verify_header(path)?;
        let log = side_file(path, "-wal");
        if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
            let reason =
                "a part of it is still in the log beside it; make a backup by `mmsearch backup`";
            return Err(Error::BadInput { path: path.into(), reason: reason.into() });
        }
        Ok(())
    }

    /// Whether there is a catalog in `dir` with anything in it.
    pub(crate) fn is_in(dir: &Path) -> Result<bool> {
        let path = dir.join(FILE_NAME);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len() > 0),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_at("look at", &path)(error)),
        }
    }

    /// Makes the catalog in `dir` ready to be replaced: all of it is in its one file, and nothing lies beside it that would
    /// be taken for a part of its successor. Whoever opens it now sees it as it was.
    ///
    /// One that is no database any more is ready as it is.
    ///
    /// # Errors
    /// [`Error::InUse`] if somebody else has it open: what SQLite does when that one closes it would hit the successor.
    /// [`Error::NewerCatalog`] and [`Error::NotACatalog`], which stay untouched.
    pub(crate) fn settle(dir: &Path) -> Result<()> {
        let path = dir.join(FILE_NAME);
        let settled = if Self::is_in(dir)? { leave_wal(&path, dir) } else { Ok(()) };
        match settled {
            Ok(()) | Err(Error::Corrupt { .. } | Error::Catalog { corrupt: true, .. }) => {}
            Err(error) => return Err(error),
        }
        for side in SIDE_FILES {
            remove_if_there(&side_file(&path, side))?;
        }
        Ok(())
    }
}

/// Removes a file that need not be there.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_at("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn side_file(path: &Path, side: &str) -> PathBuf {
    let mut file = path.as_os_str().to_owned();
    file.push(side);
    file.into()
}

/// Only the last one to have a database open can leave the mode in which it has a log.
pub(super) fn leave_wal(path: &Path, dir: &Path) -> Result<()> {
    verify_header(path)?;
    let connection = connect(path, Journal::Wal)?;
    let left: rusqlite::Result<String> = connection.busy_timeout(READERS_TIMEOUT).and_then(|()| {
        connection.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0))
    });
    match left {
        Ok(mode) if mode == "delete" => Ok(()),
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => {
            Err(sql(path, "put aside")(error))
        }
        Ok(_) | Err(_) => Err(Error::InUse { path: dir.into() }),
    }
}

fn first_damage(view: View<'_>) -> Result<Option<String>> {
    let mut reason = view.integrity()?.into_iter().chain(view.wrong_small_rows()?).next();
    let mut note = |found: Option<String>| reason = reason.take().or(found);
    view.each_item(|item| note(item.err()))?;
    view.each_tag(|tag| note(tag.err()))?;
    view.each_description(|description| note(description.err()))?;
    view.each_embedding_of_all(|embedding| {
        note(embedding.err());
        Ok(())
    })?;
    Ok(reason)
}
