//! The catalog: a SQLite file that is the truth about every item. The only place that speaks SQL.
//!
//! It knows items, embeddings and what was read from where; it does not know encoders, indexes or the user's
//! files. Reads go through [`View`], writes through [`Batch`], one transaction each. Nothing of rusqlite
//! leaves this module.

mod backgrounds;
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
mod items;
mod lacking;
mod migrate;
mod open;
mod repair;
mod row;
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
pub(crate) use batch::Batch;
pub(crate) use containers::{Container, ContainerKind};
pub(crate) use damage::{DamagedNote, UNREAD};
pub(crate) use descriptions::DescriptionOrigin;
pub(crate) use embeddings::StoredEmbedding;
pub(crate) use items::StoredItem;
pub(crate) use lacking::Lacking;
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

    /// Moves the write-ahead log into the database and empties it, so that what was deleted is in neither.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(sql(&self.path, "checkpoint"))
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
    pub(crate) fn generation(&self) -> Result<u64> {
        self.connection
            .query_row("SELECT generation FROM state", [], |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
            .map_err(sql(self.path, "read the generation"))
    }
}

/// Names the file and the action in an error of SQLite.
fn sql(path: &Path, action: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    let path = path.to_path_buf();
    move |error| {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let corrupt = matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase));
        Error::Catalog { path, action, reason: error.to_string(), corrupt }
    }
}

/// For [`Result::or_else`] after a `query_row` whose row need not exist.
fn none_if_absent<T>(error: rusqlite::Error) -> rusqlite::Result<Option<T>> {
    if matches!(error, rusqlite::Error::QueryReturnedNoRows) { Ok(None) } else { Err(error) }
}
