//! Brings a catalog to the newest version, inside one exclusive transaction.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::sql;
use crate::error::{Error, Result};

/// "mmsr" in ASCII: what the header of every catalog says at byte 68.
pub(super) const APPLICATION_ID: i64 = 0x6d6d_7372;

/// One file a version, in order; appended to, never edited.
const MIGRATIONS: [&str; 6] = [
    include_str!("../../migrations/0001_initial.sql"),
    include_str!("../../migrations/0002_tags.sql"),
    include_str!("../../migrations/0003_descriptions.sql"),
    include_str!("../../migrations/0004_words.sql"),
    include_str!("../../migrations/0005_backgrounds.sql"),
    include_str!("../../migrations/0006_checksums.sql"),
];

/// The newest version that this program knows.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// Runs the migrations that the file lacks.
///
/// The version is read again inside the transaction, because another process may have migrated meanwhile.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let failed = || sql(path, "migrate");
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed())?;
    let version = verify(&transaction, path)?;
    if version == NEWEST {
        return Ok(());
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed())?;
    for migration in &MIGRATIONS[usize::try_from(version).unwrap_or(0)..] {
        transaction.execute_batch(migration).map_err(failed())?;
    }
    transaction.pragma_update(None, "user_version", NEWEST).map_err(failed())?;
    transaction.commit().map_err(failed())
}

/// The version of a file that is a catalog or empty; an error for any other.
pub(super) fn verify(connection: &Connection, path: &Path) -> Result<i64> {
    let pragma = |name: &str| -> Result<i64> {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(sql(path, "read the header"))
    };
    let (application_id, version) = (pragma("application_id")?, pragma("user_version")?);
    let n_tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql(path, "read the schema"))?;
    if n_tables == 0 && application_id == 0 && version == 0 {
        return Ok(0);
    }
    if application_id != APPLICATION_ID {
        let reason = format!("its application id is {application_id:#x}, not {APPLICATION_ID:#x}");
        return Err(Error::NotACatalog { path: path.into(), reason });
    }
    if version > NEWEST {
        return Err(Error::NewerCatalog { path: path.into(), found: version, known: NEWEST });
    }
    if version < 1 {
        let reason = format!("its version is {version}, the oldest is 1");
        return Err(Error::NotACatalog { path: path.into(), reason });
    }
    Ok(version)
}
