use std::os::unix::fs::PermissionsExt;

use super::super::tests::filled;
use super::*;

#[test]
fn an_old_sqlite_is_refused() {
    let path = Path::new("/c.db");
    assert!(rusqlite::version_number() >= OLDEST_SQLITE);
    assert!(require_sqlite(3_051_003, path).is_ok());
    let error = require_sqlite(3_051_002, path).unwrap_err();
    assert!(error.to_string().contains("SQLite 3051002 is older"), "{error}");
}

/// Control: the rows are the same as through a plain connection.
#[test]
fn what_cannot_be_written_is_read_as_it_lies() {
    let parent = tempfile::tempdir().unwrap();
    // Nothing of a name may be taken for a part of an address.
    let dir = parent.path().join("a b?mode=rw#é%41&");
    let (catalog, _, id) = filled(&dir);
    let item = catalog.view().item(id).unwrap();
    // What is in the log only would be missing.
    let error = open_as_it_lies(&dir).unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
    drop(catalog);
    let mut lying = open_as_it_lies(&dir).unwrap();
    assert_eq!(lying.view().item(id).unwrap(), item);
    assert!(lying.take_warnings()[0].contains("cannot be written here"));
    assert!(lying.take_warnings().is_empty());
    let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, [FILE_NAME], "nothing was made beside it");
}

#[test]
fn an_older_catalog_that_cannot_be_written_is_refused() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalogs");
    let dir = tempfile::tempdir().unwrap();
    fs::copy(fixtures.join("v5.db"), dir.path().join(FILE_NAME)).unwrap();
    let error = open_as_it_lies(dir.path()).unwrap_err();
    assert!(error.to_string().contains("has version 5 and cannot be brought to 6"), "{error}");
    assert_eq!(error.kind(), crate::ErrorKind::Mismatch);
}

/// Where machines share files, no memory is shared: there is no log, and what one had written is taken in.
#[test]
fn a_network_gets_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, _, id) = filled(dir.path());
    drop(catalog);
    let journal = |catalog: &Catalog| -> String {
        let connection = &catalog.connection;
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap()
    };
    assert_eq!(journal(&Catalog::open(dir.path()).unwrap()), "wal");
    let mut writer = open_for_writing(dir.path(), Journal::Rollback).unwrap();
    assert_eq!(journal(&writer), "delete");
    let reader = open_for_reading(dir.path(), Journal::Rollback).unwrap();
    assert_eq!(reader.view().generation().unwrap(), 1);
    writer.batch().unwrap().commit().unwrap();
    assert_eq!(reader.view().generation().unwrap(), 2);
    assert!(reader.view().item(id).unwrap().is_some());
    assert!(!dir.path().join("catalog.db-wal").exists());
    drop((writer, reader));
    assert_eq!(journal(&Catalog::create_or_open(dir.path()).unwrap()), "wal");
}

/// Control: as they are made, nothing is said.
#[test]
fn it_is_said_when_other_users_can_look_in() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("library");
    drop(filled(&dir));
    let file = dir.join(FILE_NAME);
    for (path, mode, is_open) in [
        (&dir, 0o700, false),
        (&dir, 0o711, false),
        (&dir, 0o750, true),
        (&dir, 0o702, true),
        (&file, 0o640, true),
        (&file, 0o606, true),
    ] {
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        for open in [Catalog::open, Catalog::create_or_open] {
            let warnings = open(&dir).unwrap().take_warnings();
            assert_eq!(warnings.len(), usize::from(is_open), "{mode:o}: {warnings:?}");
            let says_how = warnings.iter().all(|it| it.contains("`chmod -R go-rwx "));
            assert!(says_how, "{warnings:?}");
        }
        fs::set_permissions(path, before).unwrap();
    }
}
