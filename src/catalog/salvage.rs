//! Salvaging a catalog that SQLite itself cannot read as a whole: what can be read goes into a new file, which takes its place.
//!
//! The damaged file is kept beside it. What was lost is not known, so whoever salvages reads all sources again afterwards.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::backup::leave_wal;
use super::damage;
use super::mend::mend_state;
use super::migrate::migrate;
use super::open::{Journal, connect, create_file};
use super::row::{self, EMBEDDING_COLUMNS, ITEM_COLUMNS, N_EMBEDDING_COLUMNS, N_ITEM_COLUMNS};
use super::{Catalog, FILE_NAME, StoredItem, View, remove_if_there, sql};
use crate::error::{Error, Result, io_at};
use crate::item::ItemId;

/// Ids that are looked for where nobody knows the last one.
const MOST_IDS: i64 = 1 << 20;

/// After so many questions in a row that gave nothing, the rest is given up: a root page is lost.
const MAX_FAILURES: u32 = 100_000;

/// Says that the sources of a salvaged catalog were not read again yet, whoever was stopped in between.
const DEBT: &str = ".salvaged";

/// Small tables, whose rows are taken over as they are. Containers are not: their files are read again.
const AS_THEY_ARE: [&str; 5] = ["spaces", "state", "roots", "tombstones", "backgrounds"];

/// What became of a damaged catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// Items that were taken over, the damaged ones included.
    pub(crate) n_items: u64,
    /// Embeddings that were taken over.
    pub(crate) n_embeddings: u64,
    /// Where the damaged file is kept.
    pub(crate) kept: PathBuf,
    /// What is known to be lost, a line each.
    pub(crate) lost: Vec<String>,
}

/// What salvages one row: the values of its columns, and its checksum.
type Take<'a> = &'a mut dyn FnMut(Vec<Value>, i64) -> Result<()>;

impl Catalog {
    /// Writes what can be read of the catalog in `dir` into a new one, which takes its place in one step. The caller holds
    /// the writer's lock, and no connection.
    pub(crate) fn salvage(dir: &Path) -> Result<Salvaged> {
        let (path, new_path) = (dir.join(FILE_NAME), dir.join(format!("{FILE_NAME}.new")));
        remove_if_there(&new_path)?;
        remove_if_there(&dir.join(format!("{FILE_NAME}.new-journal")))?;
        let old = connect(&path, Journal::Wal)?;
        let new = create(&new_path)?;
        let salvage =
            Salvage { old: View { connection: &old, path: &path }, new: &new, new_path: &new_path };
        let (n_items, n_embeddings, lost) = salvage.all()?;
        drop(new);
        drop(old);
        // Its log belongs into the old file, where that is possible, and whoever reads it would go on reading it.
        if let Err(error @ Error::InUse { .. }) = leave_wal(&path, dir) {
            remove_if_there(&new_path)?;
            return Err(error);
        }
        if n_items == 0 && n_embeddings == 0 {
            remove_if_there(&new_path)?;
            let reason = "nothing of it can be read; restore it from a backup, or move it away and run `mmsearch index` again";
            return Err(Error::Corrupt { path, reason: reason.into() });
        }
        create_file(&debt(dir))?;
        let kept = put_in_place(dir, &path, &new_path)?;
        Ok(Salvaged { n_items, n_embeddings, kept, lost })
    }

    /// Whether the catalog in `dir` was salvaged, and its sources were not read again yet.
    pub(crate) fn is_salvaged(dir: &Path) -> bool {
        debt(dir).exists()
    }

    /// Notes that they were.
    pub(crate) fn settle_salvage(dir: &Path) -> Result<()> {
        remove_if_there(&debt(dir))?;
        sync(dir)
    }

    /// What is kept in `dir` of damaged catalogs.
    pub(crate) fn kept_in(dir: &Path) -> Result<Vec<PathBuf>> {
        let prefix = format!("{FILE_NAME}.damaged-");
        let entries = fs::read_dir(dir).map_err(io_at("list", dir))?.flatten();
        let is_kept = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(&prefix);
        Ok(entries.filter(|entry| is_kept(&entry.file_name())).map(|entry| entry.path()).collect())
    }
}

/// The old file and the new one.
struct Salvage<'a> {
    old: View<'a>,
    new: &'a Connection,
    new_path: &'a Path,
}

impl Salvage<'_> {
    fn all(&self) -> Result<(u64, u64, Vec<String>)> {
        self.execute("BEGIN IMMEDIATE", &[])?;
        for table in AS_THEY_ARE {
            self.table(table)?;
        }
        let mut lost = Vec::new();
        let n_items = self.items(&mut lost)? + self.items_of_index()?;
        let n_embeddings = self.embeddings(&mut lost)?;
        self.lost_tags(&mut lost)?;
        mend_state(self.new).map_err(sql(self.new_path, "salvage"))?;
        for table in ["items", "embeddings", "spaces"] {
            // No id is given twice.
            if let Some(last) = self.last_id(table) {
                self.execute(
                    "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
                    &[Value::Text(table.into()), last.into()],
                )?;
            }
        }
        self.execute("COMMIT", &[])?;
        Ok((n_items, n_embeddings, lost))
    }

    /// The rows of a small table, up to where it cannot be read on.
    fn table(&self, table: &str) -> Result<()> {
        let Ok(mut statement) = self.old.connection.prepare(&format!("SELECT * FROM {table}"))
        else {
            return Ok(());
        };
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let columns = columns.join(", ");
        let n_columns = statement.column_count();
        let Ok(mut rows) = statement.query([]) else { return Ok(()) };
        while let Ok(Some(row)) = rows.next() {
            let values: rusqlite::Result<Vec<Value>> =
                (0..n_columns).map(|at| row.get(at)).collect();
            if let Ok(values) = values {
                self.insert(&format!("{table} ({columns})"), values)?;
            }
        }
        Ok(())
    }

    /// Items, with their tags and descriptions. A damaged one waits for being read again.
    fn items(&self, lost: &mut Vec<String>) -> Result<u64> {
        let mut n_items = 0;
        let is_whole =
            self.each("items", ITEM_COLUMNS, N_ITEM_COLUMNS, &mut |mut values, checksum| {
                let Some(Value::Integer(id)) = values.first().cloned() else { return Ok(()) };
                let is_good = row::item((values.clone(), checksum)).is_ok();
                if !is_good {
                    let Ok(item) = self.old.guess(ItemId(id)) else { return Ok(()) };
                    values = row::item_values(&StoredItem { item, scan: 0, generation: 0 });
                }
                let checksum = row::checksum(&values);
                values.push(checksum.into());
                self.insert(&format!("items ({ITEM_COLUMNS}, checksum)"), values)?;
                n_items += 1;
                self.notes("tags", "item_id, tag, origin", id)?;
                self.notes("descriptions", "item_id, origin, text", id)
            })?;
        lost.extend((!is_whole).then(|| "no more items could be looked for".to_owned()));
        Ok(n_items)
    }

    /// Items whose rows are lost, as far as the index of sources tells of them: they keep their ids and tags, and wait for
    /// being read again.
    fn items_of_index(&self) -> Result<u64> {
        let query = "SELECT NULL, source_kind, container, member, NULL, 0, id
             FROM items INDEXED BY sqlite_autoindex_items_1 WHERE source_kind <> 'inline'";
        let (mut n_items, Ok(mut statement)) = (0, self.old.connection.prepare(query)) else {
            return Ok(0);
        };
        let Ok(mut rows) = statement.query([]) else { return Ok(0) };
        while let Ok(Some(row)) = rows.next() {
            let Ok(id) = row.get::<_, i64>(6) else { continue };
            if self.has_item(id)? {
                continue;
            }
            let Ok(item) = damage::guess(ItemId(id), row) else { continue };
            let mut values = row::item_values(&StoredItem { item, scan: 0, generation: 0 });
            values.push(row::checksum(&values).into());
            self.insert(&format!("items ({ITEM_COLUMNS}, checksum)"), values)?;
            n_items += 1;
            self.notes("tags", "item_id, tag, origin", id)?;
            self.notes("descriptions", "item_id, origin, text", id)?;
        }
        Ok(n_items)
    }

    fn has_item(&self, id: i64) -> Result<bool> {
        self.new
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM items WHERE id = ?1)")
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)))
            .map_err(sql(self.new_path, "salvage"))
    }

    /// Tags that a person gave to items that are lost.
    fn lost_tags(&self, lost: &mut Vec<String>) -> Result<()> {
        let query = "SELECT item_id, tag FROM tags WHERE origin = 'user'";
        let Ok(mut statement) = self.old.connection.prepare(query) else { return Ok(()) };
        let Ok(mut rows) = statement.query([]) else { return Ok(()) };
        while let Ok(Some(row)) = rows.next() {
            let (Ok(id), Ok(tag)) = (row.get::<_, i64>(0), row.get::<_, String>(1)) else {
                continue;
            };
            if !self.has_item(id)? {
                lost.push(format!(
                    "item {id} cannot be read, nor where it was; it had the tag `{tag}`"
                ));
            }
        }
        Ok(())
    }

    fn notes(&self, table: &str, columns: &str, item: i64) -> Result<()> {
        let query = format!("SELECT {columns}, checksum FROM {table} WHERE item_id = ?1");
        let Ok(mut statement) = self.old.connection.prepare_cached(&query) else { return Ok(()) };
        let Ok(mut rows) = statement.query(params![item]) else { return Ok(()) };
        while let Ok(Some(row)) = rows.next() {
            let Ok((mut values, checksum)) = row::values(row, 3) else { continue };
            if row::checksum(&values) == checksum {
                values.push(checksum.into());
                self.insert(&format!("{table} ({columns}, checksum)"), values)?;
            }
        }
        Ok(())
    }

    fn embeddings(&self, lost: &mut Vec<String>) -> Result<u64> {
        let mut n_embeddings = 0;
        let is_whole = self.each(
            "embeddings",
            EMBEDDING_COLUMNS,
            N_EMBEDDING_COLUMNS,
            &mut |values, checksum| {
                if row::embedding((values.clone(), checksum)).is_err() {
                    return Ok(());
                }
                n_embeddings += 1;
                let values = values.into_iter().chain([checksum.into()]).collect();
                self.insert(&format!("embeddings ({EMBEDDING_COLUMNS}, checksum)"), values)
            },
        )?;
        lost.extend((!is_whole).then(|| "no more embeddings could be looked for".to_owned()));
        Ok(n_embeddings)
    }

    /// Calls `take` with every row of a table that can be read: what lies on a damaged page is left out by halving again and
    /// again what is asked for. Whether all ids that there may be were asked for.
    fn each(&self, table: &str, columns: &str, n_columns: usize, take: Take<'_>) -> Result<bool> {
        let query = format!(
            "SELECT {columns}, checksum FROM {table} WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        );
        // Where even the schema cannot be read, no row can.
        if self.old.connection.prepare(&query).is_err() {
            return Ok(false);
        }
        let known_last = self.last_id(table);
        let last = known_last.unwrap_or(MOST_IDS);
        let (mut ranges, mut n_failures) = (vec![(1, last)], 0);
        while let Some((from, to)) = ranges.pop() {
            let mut next = from;
            let is_read = self.range(&query, n_columns, (from, to), &mut next, take)?;
            n_failures = if is_read || next > from { 0 } else { n_failures + 1 };
            if n_failures > MAX_FAILURES {
                return Ok(false);
            }
            // A single row that cannot be read is lost.
            if is_read || next > to || from == to {
                continue;
            }
            let middle = next + (to - next) / 2;
            ranges.extend([(middle + 1, to), (next, middle)]);
        }
        Ok(known_last.is_some())
    }

    /// Whether a range of ids could be read to its end; `next` is behind the last row that was.
    fn range(
        &self,
        query: &str,
        n_columns: usize,
        (from, to): (i64, i64),
        next: &mut i64,
        take: Take<'_>,
    ) -> Result<bool> {
        let Ok(mut statement) = self.old.connection.prepare_cached(query) else { return Ok(false) };
        let Ok(mut rows) = statement.query(params![from, to]) else { return Ok(false) };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            };
            let Ok((values, checksum)) = row::values(row, n_columns) else { return Ok(false) };
            match values.first() {
                // Pages that are out of order could lead round in circles.
                Some(Value::Integer(id)) if (*next..=to).contains(id) => *next = id + 1,
                Some(_) | None => return Ok(false),
            }
            take(values, checksum)?;
        }
    }

    /// The last id that a table gave, if either of the two places that know it can be read.
    fn last_id(&self, table: &str) -> Option<i64> {
        let one = |query: &str| -> Option<i64> {
            self.old.connection.query_row(query, [], |row| row.get(0)).ok().flatten()
        };
        let greatest = one(&format!("SELECT max(id) FROM {table}"));
        let given = one(&format!("SELECT max(seq) FROM sqlite_sequence WHERE name = '{table}'"));
        greatest.max(given).filter(|last| (1..=1 << 40).contains(last))
    }

    /// What breaks a rule of the schema was damaged.
    fn insert(&self, into: &str, values: Vec<Value>) -> Result<()> {
        let places: Vec<String> = (1..=values.len()).map(|i| format!("?{i}")).collect();
        let or = if into.starts_with("state ") { "REPLACE" } else { "IGNORE" };
        self.execute(&format!("INSERT OR {or} INTO {into} VALUES ({})", places.join(", ")), &values)
    }

    fn execute(&self, statement: &str, values: &[Value]) -> Result<()> {
        self.new
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(params_from_iter(values)))
            .map(|_| ())
            .map_err(sql(self.new_path, "salvage"))
    }
}

/// A new catalog in a file of its own, without a log beside it.
fn create(path: &Path) -> Result<Connection> {
    create_file(path)?;
    let mut connection = connect(path, Journal::Rollback)?;
    migrate(&mut connection, path)?;
    let configure = || {
        connection.pragma_update(None, "synchronous", "full")?;
        // What refers to a lost row is found by `check`.
        connection.pragma_update(None, "foreign_keys", false)
    };
    configure().map_err(sql(path, "configure"))?;
    Ok(connection)
}

/// Keeps the damaged file under another name and gives the new one its own; where it is kept.
fn put_in_place(dir: &Path, path: &Path, new_path: &Path) -> Result<PathBuf> {
    let named = |end: &str| dir.join(format!("{FILE_NAME}{end}"));
    let number = (1..).find(|n| !named(&format!(".damaged-{n}")).exists()).unwrap_or(1);
    let kept = named(&format!(".damaged-{number}"));
    fs::hard_link(path, &kept).map_err(io_at("keep", path))?;
    let log = named("-wal");
    if log.exists() {
        // It belongs to the old file: SQLite would write it into the new one.
        let kept_log = named(&format!(".damaged-{number}-wal"));
        fs::rename(&log, &kept_log).map_err(io_at("keep", &log))?;
    }
    remove_if_there(&named("-shm"))?;
    sync(dir)?;
    fs::rename(new_path, path).map_err(io_at("replace", path))?;
    sync(dir)?;
    Ok(kept)
}

fn debt(dir: &Path) -> PathBuf {
    dir.join(format!("{FILE_NAME}{DEBT}"))
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_at("sync", dir))
}
