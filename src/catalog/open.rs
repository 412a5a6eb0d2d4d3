//! Opening a catalog: what must hold of the file and the directory before anything is read from them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::migrate::{self, APPLICATION_ID, NEWEST, migrate};
use super::{Catalog, FILE_NAME, functions, sql};
use crate::error::{Error, Result, io_at};

/// SQLite before 3.51.3 can corrupt a database whose write-ahead log is reset (HAZARDS H39).
const OLDEST_SQLITE: i32 = 3_051_003;

/// A writer waits so long for another process to finish its batch.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl Catalog {
    /// Makes a library's directory, for its owner only, if it is absent.
    pub(crate) fn create_dir(dir: &Path) -> Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_at("create", dir))
    }

    /// Opens the catalog in `dir` for writing; makes directory and file, for their owner only, if absent.
    pub(crate) fn create_or_open(dir: &Path) -> Result<Self> {
        Self::create_dir(dir)?;
        let path = dir.join(FILE_NAME);
        create_file(&path)?;
        verify_header(&path)?;
        let mut connection = connect(&path)?;
        // In this order: a foreign file must be refused before WAL mode would be written into its header.
        migrate(&mut connection, &path)?;
        configure(&connection).map_err(sql(&path, "configure"))?;
        Ok(Self { connection, path })
    }

    /// Opens the catalog in `dir` for reading.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0) || !exists(&path)? {
            return Err(Error::NoLibrary { path: dir.into() });
        }
        verify_header(&path)?;
        let mut connection = connect(&path)?;
        match migrate::verify(&connection, &path)? {
            0 => return Err(Error::NoLibrary { path: dir.into() }),
            NEWEST => {}
            _ => migrate(&mut connection, &path)?,
        }
        connection.pragma_update(None, "query_only", true).map_err(sql(&path, "configure"))?;
        Ok(Self { connection, path })
    }
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(io_at("look at", path))
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
fn verify_header(path: &Path) -> Result<()> {
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

pub(super) fn connect(path: &Path) -> Result<Connection> {
    let version = rusqlite::version_number();
    if version < OLDEST_SQLITE {
        let reason = format!("SQLite {} is older than 3.51.3", rusqlite::version());
        return Err(Error::Catalog { path: path.into(), action: "open", reason, corrupt: false });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql(path, "open"))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sql(path, "configure"))?;
    functions::register(&connection).map_err(sql(path, "configure"))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // What fsync promises elsewhere needs this on macOS; other systems ignore it.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))
}
