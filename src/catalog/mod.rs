//! The catalog: a SQLite file that is the truth about every item. The only place that speaks SQL.
//!
//! It knows items, embeddings and what was read from where; it does not know encoders, indexes or the user's
//! files. Reads go through [`View`], writes through [`Batch`], one transaction each. Nothing of rusqlite
//! leaves this module.

mod backgrounds;
mod backup;
mod batch;
mod check;
mod condition;
#[cfg(test)]
mod condition_tests;
mod containers;
mod damage;
mod descriptions;
mod embeddings;
mod functions;
#[cfg(fuzzing)]
mod fuzzing;
mod items;
mod lacking;
mod medium;
mod mend;
mod migrate;
mod open;
mod repair;
mod row;
mod rows;
mod salvage;
mod source;
mod spaces;
mod tags;
#[cfg(test)]
mod tags_tests;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{Error, Result};

pub(crate) use backgrounds::Background;
pub(crate) use backup::remove_if_there;
pub(crate) use batch::Batch;
pub(crate) use containers::{Container, ContainerKind, Root};
pub(crate) use damage::{DamagedNote, UNREAD};
pub(crate) use descriptions::DescriptionOrigin;
pub(crate) use embeddings::StoredEmbedding;
#[cfg(fuzzing)]
pub use fuzzing::read_rows;
pub(crate) use items::StoredItem;
pub(crate) use lacking::Lacking;
pub(crate) use mend::Mended;
pub(crate) use spaces::StoredSpace;
pub(crate) use tags::TagOrigin;
pub(crate) use words::{WordMatch, WordSearch};

/// The name of the database file in a library's directory.
pub(crate) const FILE_NAME: &str = "catalog.db";

/// Rows that one transaction may write.
pub(crate) const MAX_BATCH_ROWS: usize = 256;

/// Identity of a space within its catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpaceId(pub(crate) i64);

/// An open catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    connection: Connection,
    path: PathBuf,
    warnings: Vec<String>,
}

/// One consistent state of the catalog, for reading.
pub(crate) struct ReadTransaction<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
}

/// The reading half of SQL, over a connection or inside a transaction.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    connection: &'a Connection,
    path: &'a Path,
}

impl Catalog {
    /// The database file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was noticed when it was opened and changes no answer.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Reads what is committed at each statement.
    pub(crate) fn view(&self) -> View<'_> {
        View { connection: &self.connection, path: &self.path }
    }

    /// Reads one state until it is dropped. Keep it short: it holds back checkpoints.
    pub(crate) fn read(&mut self) -> Result<ReadTransaction<'_>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(sql(&self.path, "begin reading"))?;
        Ok(ReadTransaction { transaction, path: &self.path })
    }

    /// Begins a transaction that writes. It changes nothing unless [`Batch::commit`] is reached.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql(&self.path, "begin writing"))?;
        Batch::new(transaction, &self.path)
    }

    /// Writes the database anew, without anything that is no part of it any more.
    ///
    /// `secure_delete` overwrites what is deleted where it is, but not the copies that SQLite leaves in the free space of pages
    /// when it moves rows about: of a few hundred rows that were deleted, some could still be read there. Nor does FTS5 forget
    /// the words by which it finds the pages of its index, so that is made anew too.
    pub(crate) fn pack(&self) -> Result<()> {
        self.connection
            .execute_batch(
                "INSERT INTO image_words (image_words) VALUES ('rebuild');
                 INSERT INTO text_words (text_words) VALUES ('rebuild');
                 VACUUM",
            )
            .map_err(sql(&self.path, "pack"))
    }

    /// Moves the write-ahead log into the database and empties it, so that what was deleted is in neither.
    ///
    /// False if somebody else reads an older state, for which the log is still needed. It is emptied by the next writer, or
    /// when the last one closes the catalog.
    pub(crate) fn checkpoint(&self) -> Result<bool> {
        let failed = || sql(&self.path, "checkpoint");
        self.connection.busy_timeout(open::READERS_TIMEOUT).map_err(failed())?;
        let is_busy: rusqlite::Result<bool> =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        self.connection.busy_timeout(open::BUSY_TIMEOUT).map_err(failed())?;
        is_busy.map(|is_busy| !is_busy).map_err(failed())
    }
}

impl ReadTransaction<'_> {
    /// The state that this transaction sees.
    pub(crate) fn view(&self) -> View<'_> {
        View { connection: &self.transaction, path: self.path }
    }
}

impl View<'_> {
    /// How many batches were committed so far.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the row is damaged.
    pub(crate) fn generation(&self) -> Result<u64> {
        Ok(self.state()?.0)
    }
}

/// Names the file and the action in an error of SQLite.
fn sql(path: &Path, action: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    let path = path.to_path_buf();
    move |error| {
        let corrupt = is_damage(&error);
        Error::Catalog { path, action, reason: error.to_string(), corrupt }
    }
}

/// What SQLite says, without a code of its own, that the file is not to blame for.
const NOT_OF_DAMAGE: [&str; 5] =
    ["cannot ", "unable to open ", "output file ", "too many ", "Expression tree "];

/// Whether it is the file that an error tells of.
///
/// All statements are ours and fit the schema of the version that was verified. So a table or column that is not there, a
/// value of another type, and a row that breaks a rule of the schema are damage, whatever SQLite calls them.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{
        ConstraintViolation, DatabaseCorrupt, NotADatabase, TooBig, TypeMismatch, Unknown,
    };
    use rusqlite::{Error, ErrorCode};
    const CODES: [ErrorCode; 5] =
        [ConstraintViolation, DatabaseCorrupt, NotADatabase, TooBig, TypeMismatch];
    // A statement that SQLite cannot make sense of has its code elsewhere.
    let code = if let Error::SqlInputError { error, .. } = error {
        Some(error.code)
    } else {
        error.sqlite_error_code()
    };
    match code {
        Some(Unknown) => {
            let text = error.to_string();
            !NOT_OF_DAMAGE.iter().any(|start| text.starts_with(start))
        }
        Some(code) => CODES.contains(&code),
        None => matches!(
            error,
            Error::FromSqlConversionFailure(..)
                | Error::IntegralValueOutOfRange(..)
                | Error::InvalidColumnType(..)
                | Error::Utf8Error(..)
        ),
    }
}

/// For [`Result::or_else`] after a `query_row` whose row need not exist.
fn none_if_absent<T>(error: rusqlite::Error) -> rusqlite::Result<Option<T>> {
    if matches!(error, rusqlite::Error::QueryReturnedNoRows) { Ok(None) } else { Err(error) }
}
