//! Opening a catalog: what must hold of the file and the directory before anything is read from them.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::migrate::{self, APPLICATION_ID, NEWEST, migrate};
use super::{Catalog, FILE_NAME, functions, medium, source, sql};
use crate::error::{Error, Result, io_at};

/// SQLite before 3.51.3 can corrupt a database whose write-ahead log is reset (HAZARDS H39).
const OLDEST_SQLITE: i32 = 3_051_003;

/// A writer waits so long for another process to finish its batch.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Emptying the log waits so long for who reads an older state, which should be no more than one search.
pub(super) const READERS_TIMEOUT: Duration = Duration::from_secs(2);

/// Bits of a file's mode that let others than its owner read or write it.
const OTHERS: u32 = 0o066;

/// How a transaction becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Journal {
    /// By a write-ahead log: readers and the writer do not wait for each other.
    Wal,
    /// By a journal of what was there before, which needs no shared memory: readers wait for the writer.
    Rollback,
}

impl Catalog {
    /// Makes a library's directory, for its owner only, if it is absent.
    pub(crate) fn create_dir(dir: &Path) -> Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_at("create", dir))
    }

    /// Refuses a directory on a network file system.
    ///
    /// # Errors
    /// [`Error::NetworkFs`].
    pub(crate) fn require_local(dir: &Path) -> Result<()> {
        medium::require_local(dir)
    }

    /// Opens the catalog in `dir` for writing; makes directory and file, for their owner only, if absent.
    pub(crate) fn create_or_open(dir: &Path) -> Result<Self> {
        medium::require_local(dir)?;
        open_for_writing(dir, Journal::Wal)
    }

    /// The same where a network file system is allowed, which it is without a write-ahead log.
    pub(crate) fn create_or_open_on_network(dir: &Path) -> Result<Self> {
        open_for_writing(dir, journal_on(dir))
    }

    /// Opens the catalog in `dir` for reading. Where it cannot be written, not even the files beside it that readers need, it
    /// is read as it lies there, and [`Catalog::take_warnings`] says so.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        require_file(dir)?;
        medium::require_local(dir)?;
        open_for_reading(dir, Journal::Wal)
    }

    /// The same where a network file system is allowed.
    pub(crate) fn open_on_network(dir: &Path) -> Result<Self> {
        require_file(dir)?;
        open_for_reading(dir, journal_on(dir))
    }
}

fn journal_on(dir: &Path) -> Journal {
    medium::network(dir).map_or(Journal::Wal, |_| Journal::Rollback)
}

fn open_for_writing(dir: &Path, journal: Journal) -> Result<Catalog> {
    Catalog::create_dir(dir)?;
    let path = dir.join(FILE_NAME);
    create_file(&path)?;
    verify_header(&path)?;
    let mut connection = connect(&path, journal)?;
    // In this order: a foreign file must be refused before WAL mode would be written into its header.
    migrate(&mut connection, &path)?;
    configure(&connection, journal).map_err(sql(&path, "configure"))?;
    let warnings = seen_by_others(dir, &path)?;
    Ok(Catalog { connection, path, warnings })
}

fn open_for_reading(dir: &Path, journal: Journal) -> Result<Catalog> {
    let path = dir.join(FILE_NAME);
    verify_header(&path)?;
    let (mut connection, version) = match plain(&path, journal) {
        Err(Error::Catalog { corrupt: false, .. }) if medium::is_read_only(dir) => {
            return open_as_it_lies(dir);
        }
        opened => opened?,
    };
    match version {
        0 => return Err(Error::NoLibrary { path: dir.into() }),
        NEWEST => {}
        found if medium::is_read_only(dir) => return Err(older(path, found)),
        _ => migrate(&mut connection, &path)?,
    }
    let failed = || sql(&path, "configure");
    if journal == Journal::Rollback {
        set_journal(&connection, journal).map_err(failed())?;
    }
    connection.pragma_update(None, "query_only", true).map_err(failed())?;
    let warnings = seen_by_others(dir, &path)?;
    Ok(Catalog { connection, path, warnings })
}

/// Opens the file as usual; its version.
fn plain(path: &Path, journal: Journal) -> Result<(Connection, i64)> {
    let connection = connect(path, journal)?;
    let version = migrate::verify(&connection, path)?;
    Ok((connection, version))
}

/// Opens a file that nobody can write, without locks and without files beside it (HAZARDS H43).
fn open_as_it_lies(dir: &Path) -> Result<Catalog> {
    let path = dir.join(FILE_NAME);
    let log = dir.join(format!("{FILE_NAME}-wal"));
    if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0) {
        // Without it, what was committed last would be missing.
        let reason = "its write-ahead log must be taken in first".into();
        return Err(Error::ReadOnly { path: dir.into(), reason });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let uri = immutable_uri(&path)?;
    let connection = prepared(Connection::open_with_flags(uri, flags), &path)?;
    match migrate::verify(&connection, &path)? {
        0 => return Err(Error::NoLibrary { path: dir.into() }),
        NEWEST => {}
        found => return Err(older(path, found)),
    }
    let warning = format!(
        "library {} cannot be written here; it is read as it lies there, without locks",
        dir.display()
    );
    Ok(Catalog { connection, path, warnings: vec![warning] })
}

/// The file's address, in which every byte that could mean something else is escaped.
fn immutable_uri(path: &Path) -> Result<OsString> {
    let path = std::path::absolute(path).map_err(io_at("look at", path))?;
    let escaped = source::bytes(&path).into_iter().map(|byte| match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02x}"),
    });
    Ok(format!("file://{}?mode=ro&immutable=1", escaped.collect::<String>()).into())
}

fn older(path: PathBuf, found: i64) -> Error {
    Error::OlderCatalog { path, found, known: NEWEST }
}

/// What to do about a library that others than its owner can read or write.
fn seen_by_others(dir: &Path, file: &Path) -> Result<Vec<String>> {
    let is_open = |path: &Path| -> Result<bool> {
        let metadata = fs::metadata(path).map_err(io_at("look at", path))?;
        Ok(metadata.mode() & OTHERS != 0)
    };
    if !is_open(dir)? && !is_open(file)? {
        return Ok(Vec::new());
    }
    let dir = dir.display();
    Ok(vec![format!(
        "library {dir} is open to other users, and what it holds is as private as the photos; close it by `chmod -R go-rwx {dir}`"
    )])
}

/// Whether there is a library at all.
fn require_file(dir: &Path) -> Result<()> {
    let path = dir.join(FILE_NAME);
    let is_there = path.try_exists().map_err(io_at("look at", &path))?;
    if !is_there || fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0) {
        return Err(Error::NoLibrary { path: dir.into() });
    }
    Ok(())
}

/// SQLite gives its side files the mode of the database file, so only this one needs care.
pub(super) fn create_file(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io_at("create", path)(error)),
    }
}

/// Refuses from the first bytes what SQLite must not even open: opening can roll back a foreign journal.
pub(super) fn verify_header(path: &Path) -> Result<()> {
    let mut header = Vec::with_capacity(100);
    let file = File::open(path).map_err(io_at("open", path))?;
    file.take(100).read_to_end(&mut header).map_err(io_at("read", path))?;
    if header.is_empty() {
        return Ok(());
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        let reason = "it is not a SQLite database".into();
        return Err(Error::Corrupt { path: path.into(), reason });
    }
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        i64::from(i32::from_be_bytes(bytes))
    };
    let (version, application_id) = (number(60), number(68));
    if application_id != 0 && application_id != APPLICATION_ID {
        let reason = format!("its application id is {application_id:#x}, not {APPLICATION_ID:#x}");
        return Err(Error::NotACatalog { path: path.into(), reason });
    }
    if application_id == APPLICATION_ID && version > NEWEST {
        return Err(Error::NewerCatalog { path: path.into(), found: version, known: NEWEST });
    }
    Ok(())
}

pub(super) fn connect(path: &Path, journal: Journal) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = prepared(Connection::open_with_flags(path, flags), path)?;
    if journal == Journal::Rollback {
        // A log that a local disk left behind is read without shared memory, until it is taken in.
        set(&connection, "locking_mode", "exclusive").map_err(sql(path, "configure"))?;
    }
    Ok(connection)
}

/// What every connection needs.
fn prepared(opened: rusqlite::Result<Connection>, path: &Path) -> Result<Connection> {
    require_sqlite(rusqlite::version_number(), path)?;
    let connection = opened.map_err(sql(path, "open"))?;
    let failed = || sql(path, "configure");
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed())?;
    // A page that is damaged is noticed when it is read, not when it has led astray.
    connection.pragma_update(None, "cell_size_check", true).map_err(failed())?;
    functions::register(&connection).map_err(failed())?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn require_sqlite(version: i32, path: &Path) -> Result<()> {
    if version >= OLDEST_SQLITE {
        return Ok(());
    }
    let reason = format!("SQLite {version} is older than {OLDEST_SQLITE}, which is 3.51.3");
    Err(Error::Catalog { path: path.into(), action: "open", reason, corrupt: false })
}

fn configure(connection: &Connection, journal: Journal) -> rusqlite::Result<()> {
    set_journal(connection, journal)?;
    connection.pragma_update(None, "synchronous", "full")?;
    // What fsync promises elsewhere needs this on macOS; other systems ignore it.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))
}

fn set_journal(connection: &Connection, journal: Journal) -> rusqlite::Result<()> {
    match journal {
        Journal::Wal => set(connection, "journal_mode", "wal"),
        Journal::Rollback => {
            set(connection, "journal_mode", "delete")?;
            set(connection, "locking_mode", "normal")?;
            // Only when it reads again does it let go.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        }
    }
}

fn set(connection: &Connection, pragma: &str, value: &str) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, pragma, value, |_| Ok(()))
}

#[cfg(test)]
mod tests;
