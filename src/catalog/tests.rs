//! The catalog's promises: what is written comes back, what is damaged is named, what is foreign stays untouched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::embedding::Embedding;
use crate::item::{ContentHash, ImageFacts, Item, ItemId, Metadata, Modality, Source, Status};

fn photo(path: &str, content: u8) -> Item {
    Item {
        id: ItemId(0),
        modality: Modality::Image,
        source: Source::File { path: path.into() },
        content_hash: Some(ContentHash([content; 32])),
        size_bytes: 12,
        modified_ns: Some(-5),
        status: Status::Ok,
        reason: None,
        facts: Some(ImageFacts {
            width: 4,
            height: 3,
            format: "png".into(),
            orientation: 6,
            taken_at: Some("2024-05-31T18:02:11".into()),
            camera: None,
            latitude: Some(-1.5),
            longitude: Some(2.25),
            color_profile: Some("Display P3".into()),
        }),
        text: None,
        image: None,
        metadata: Metadata::from([("tag".into(), "a \"b\"".into())]),
    }
}

fn caption(image: ItemId, line: u64, text: &str) -> Item {
    Item {
        modality: Modality::Text,
        source: Source::ManifestRow { manifest: "/m.jsonl".into(), line, caption: 0 },
        content_hash: Some(ContentHash(*blake3::hash(text.as_bytes()).as_bytes())),
        facts: None,
        text: Some(text.into()),
        image: Some(image),
        ..photo("", 0)
    }
}

fn embedding(x: f32) -> Embedding {
    Embedding::normalized(vec![x, 1.0, 0.5]).unwrap()
}

pub(super) fn filled(dir: &Path) -> (Catalog, StoredSpace, ItemId) {
    let mut catalog = Catalog::create_or_open(dir).unwrap();
    let mut batch = catalog.batch().unwrap();
    let space = batch.set_space("f00d", "fake", 3).unwrap();
    let id = batch.add_item(photo("/a.png", 1), 0).unwrap();
    let hash = ContentHash([1; 32]);
    batch.add_embedding(space.id, Modality::Image, hash, embedding(2.0)).unwrap();
    assert_eq!(batch.commit().unwrap(), 1);
    (catalog, space, id)
}

#[test]
fn what_is_written_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (_, space, id) = filled(dir.path());
    let catalog = Catalog::open(dir.path()).unwrap();
    let view = catalog.view();
    let stored = view.item(id).unwrap().unwrap();
    assert_eq!(stored.item, Item { id, ..photo("/a.png", 1) });
    assert_eq!(view.item_at(&stored.item.source).unwrap(), Some(stored));
    assert_eq!(view.space().unwrap(), Some(space.clone()));
    assert_eq!(view.embedding(1).unwrap().unwrap().embedding, embedding(2.0));
    assert_eq!(view.n_embeddings(space.id, Modality::Image, 0).unwrap(), 1);
    assert_eq!(view.n_embeddings(space.id, Modality::Image, 1).unwrap(), 0);
    assert_eq!(view.integrity().unwrap(), Vec::<String>::new());
}

#[test]
fn a_batch_that_is_not_committed_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, ..) = filled(dir.path());
    let mut batch = catalog.batch().unwrap();
    batch.add_item(photo("/b.png", 2), 0).unwrap();
    drop(batch);
    assert_eq!(catalog.view().generation().unwrap(), 1);
    assert_eq!(catalog.view().n_items_under(Path::new("/")).unwrap(), 1);
}

#[test]
fn ids_are_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, space, id) = filled(dir.path());
    let mut batch = catalog.batch().unwrap();
    assert_eq!(batch.remove_item(id).unwrap(), [Modality::Image]);
    batch.commit().unwrap();
    let mut batch = catalog.batch().unwrap();
    let again = batch.add_item(photo("/a.png", 1), 0).unwrap();
    let hash = ContentHash([1; 32]);
    let key = batch.add_embedding(space.id, Modality::Image, hash, embedding(2.0)).unwrap();
    batch.commit().unwrap();
    assert_eq!((again, key), (ItemId(2), 2));
    assert_eq!(catalog.view().dead_keys(space.id, Modality::Image, 1).unwrap(), [1]);
    assert_eq!(catalog.view().dead_keys(space.id, Modality::Image, 2).unwrap(), [0u64; 0]);
}

#[test]
fn an_image_takes_its_captions_along_and_shared_embeddings_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, space, id) = filled(dir.path());
    let mut batch = catalog.batch().unwrap();
    let copy = batch.add_item(photo("/copy.png", 1), 0).unwrap();
    let text = caption(id, 1, "a dog");
    let hash = text.content_hash.unwrap();
    batch.add_item(text, 1).unwrap();
    batch.add_embedding(space.id, Modality::Text, hash, embedding(3.0)).unwrap();
    batch.commit().unwrap();

    let mut batch = catalog.batch().unwrap();
    assert_eq!(batch.remove_item(id).unwrap(), [Modality::Image, Modality::Text]);
    batch.commit().unwrap();
    let view = catalog.view();
    assert!(view.has_embedding(space.id, Modality::Image, ContentHash([1; 32])).unwrap());
    assert!(!view.has_embedding(space.id, Modality::Text, hash).unwrap());
    assert_eq!(view.items_of(Modality::Image, ContentHash([1; 32]), 9).unwrap()[0].item.id, copy);
    assert_eq!(view.integrity().unwrap(), Vec::<String>::new());
}

/// Control: the same read succeeds before the byte is changed.
#[test]
fn a_changed_column_is_named() {
    for column in ["container = x'2f62'", "size_bytes = 13", "latitude = 7.0", "generation = 9"] {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, _, id) = filled(dir.path());
        assert!(catalog.view().item(id).is_ok());
        catalog.connection.execute(&format!("UPDATE items SET {column}"), []).unwrap();
        let error = catalog.view().item(id).unwrap_err();
        assert!(error.to_string().contains("item 1: the checksum does not match"), "{error}");
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
    }
    let dir = tempfile::tempdir().unwrap();
    let (catalog, ..) = filled(dir.path());
    catalog.connection.execute("UPDATE embeddings SET vector = zeroblob(12)", []).unwrap();
    let error = catalog.view().embedding(1).unwrap_err();
    assert!(error.to_string().contains("embedding 1: the checksum"), "{error}");
}

#[test]
fn foreign_newer_and_broken_files_stay_untouched() {
    let foreign = |dir: &Path| {
        let connection = Connection::open(dir.join(FILE_NAME)).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
    };
    let marked = |dir: &Path| {
        let connection = Connection::open(dir.join(FILE_NAME)).unwrap();
        connection.execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x)").unwrap();
    };
    let newer = |dir: &Path| {
        let (catalog, ..) = filled(dir);
        catalog.connection.pragma_update(None, "user_version", 99).unwrap();
    };
    let text = |dir: &Path| fs::write(dir.join(FILE_NAME), "hello").unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let cases = [
        (&foreign as Make<'_>, "its application id is 0x0"),
        (&marked, "its application id is 0x7"),
        (&newer, "has version 99, this mmsearch knows up to 6"),
        (&text, "it is not a SQLite database"),
    ];
    for (make, message) in cases {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let before = crate::error::read(&dir.path().join(FILE_NAME)).unwrap();
        for error in [
            Catalog::create_or_open(dir.path()).unwrap_err(),
            Catalog::open(dir.path()).unwrap_err(),
        ] {
            assert!(error.to_string().contains(message), "{error}");
        }
        assert!(before == crate::error::read(&dir.path().join(FILE_NAME)).unwrap(), "{message}");
    }
}

#[test]
fn nothing_there_is_no_library() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Catalog::open(dir.path()), Err(Error::NoLibrary { .. })));
    fs::write(dir.path().join(FILE_NAME), "").unwrap();
    assert!(matches!(Catalog::open(dir.path()), Err(Error::NoLibrary { .. })));
    assert_eq!(Catalog::create_or_open(dir.path()).unwrap().view().generation().unwrap(), 0);
}

#[test]
fn directory_and_files_are_their_owners_only() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("library");
    let (_catalog, ..) = filled(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let mut n_files = 0;
    for file in fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
        n_files += 1;
    }
    assert!(n_files >= 2, "the database and its write-ahead log");
}

/// `fixtures/catalogs` says how its files were made.
#[test]
fn catalogs_of_older_versions_are_opened_and_go_on() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalogs");
    let dogs: &[(String, u64)] = &[("dog".into(), 1)];
    for (file, generation, tags, writes) in [
        ("v1.db", 8, &[][..], true),
        ("v1.db", 8, &[], false),
        ("v2.db", 9, dogs, true),
        ("v2.db", 9, dogs, false),
        ("v3.db", 9, dogs, true),
        ("v3.db", 9, dogs, false),
        ("v4.db", 9, dogs, true),
        ("v4.db", 9, dogs, false),
        ("v5.db", 11, dogs, true),
        ("v5.db", 11, dogs, false),
    ] {
        let old = fixtures.join(file);
        let dir = tempfile::tempdir().unwrap();
        fs::copy(&old, dir.path().join(FILE_NAME)).unwrap();
        let open = if writes { Catalog::create_or_open } else { Catalog::open };
        let mut catalog = open(dir.path()).unwrap();
        let view = catalog.view();
        let mut names = Vec::new();
        view.each_item(|item| names.push(item.unwrap().item.source.to_string())).unwrap();
        names.iter_mut().for_each(|name| *name = name.rsplit('/').next().unwrap().into());
        assert_eq!(
            names,
            ["a.png", "b.jpg", "bad.png", "captions.jsonl:1#0", "captions.jsonl:2#0"]
        );
        let space = view.space().unwrap().unwrap();
        for modality in Modality::ALL {
            assert_eq!(view.n_embeddings(space.id, modality, 0).unwrap(), 2);
        }
        let red = crate::Condition::parse("caption = 'red wall' and format = png").unwrap();
        let keys = view.keys_where(space.id, Modality::Image, &red).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!(view.tag_counts().unwrap(), tags);
        assert_eq!(view.descriptions_of(ItemId(1)).unwrap(), []);
        assert_eq!(view.integrity().unwrap(), Vec::<String>::new());
        assert_eq!(view.wrong_small_rows().unwrap(), Vec::<String>::new());
        assert_eq!(view.generation().unwrap(), generation, "{file}");
        if writes {
            let mut batch = catalog.batch().unwrap();
            let tag = crate::tag::Tag::new("sea").unwrap();
            assert!(batch.add_tag(ItemId(1), &tag, TagOrigin::User).unwrap());
            batch.set_description(ItemId(1), DescriptionOrigin::File, Some("a wall")).unwrap();
            assert_eq!(batch.commit().unwrap(), generation + 1);
            let wall = crate::Condition::parse("caption = wall and tag = sea").unwrap();
            let keys = catalog.view().keys_where(space.id, Modality::Image, &wall).unwrap();
            assert_eq!(keys.len(), 1);
        }
    }
}

#[test]
fn what_is_wrong_with_derived_rows_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, space, id) = filled(dir.path());
    let (mean, phrase_mean) = (vec![0.5; 3], vec![0.25; 3]);
    let background = Background { generation: 1, mean, phrase_mean, best_scores: vec![-0.25, 0.5] };
    let mut batch = catalog.batch().unwrap();
    batch.set_background(space.id, Modality::Image, &background).unwrap();
    batch.commit().unwrap();
    let read = |catalog: &Catalog| catalog.view().background(space.id, Modality::Image);
    assert_eq!(read(&catalog).unwrap(), Some(background));
    assert_eq!(catalog.view().wrong_words(Modality::Image).unwrap(), [0; 0]);
    catalog.connection.execute("UPDATE backgrounds SET mean = x'00000000'", []).unwrap();
    assert!(read(&catalog).unwrap_err().to_string().contains("background of images"));
    for damage in [
        "UPDATE image_words SET name = 'elephant'",
        "DELETE FROM image_words",
        "INSERT INTO image_words (rowid, body) VALUES (99, 'nothing')",
    ] {
        let n = catalog.connection.execute(damage, []).unwrap();
        assert_eq!(n, 1, "{damage}");
        assert!(!catalog.view().wrong_words(Modality::Image).unwrap().is_empty(), "{damage}");
    }
    let batch = catalog.batch().unwrap();
    batch.write_words(id).unwrap();
    batch.write_words(ItemId(99)).unwrap();
    batch.commit().unwrap();
    assert_eq!(catalog.view().wrong_words(Modality::Image).unwrap(), [0; 0]);
}

/// Control: the same rows are sound before.
#[test]
fn rows_of_small_tables_are_not_believed_when_they_are_damaged() {
    type Holds = fn(&Catalog) -> bool;
    let cases: [(&str, Holds); 7] = [
        ("UPDATE state SET generation = generation + 1", |catalog| {
            is_corrupt(catalog.view().generation())
        }),
        ("UPDATE state SET checksum = 7", |catalog| is_corrupt(catalog.view().space())),
        ("UPDATE spaces SET model = 'other'", |catalog| is_corrupt(catalog.view().space())),
        ("UPDATE tombstones SET embedding_id = 2", |catalog| {
            let space = SpaceId(1);
            catalog.view().dead_keys(space, Modality::Image, 0).unwrap().is_empty()
        }),
        ("UPDATE containers SET complete = 0", |catalog| {
            let known = catalog.view().container(Path::new("/m.jsonl")).unwrap().unwrap();
            known == Container { scan: 3, ..unlike_any() }
        }),
        ("UPDATE roots SET device = 6", |catalog| {
            let view = catalog.view();
            view.root(Path::new("/")).unwrap().is_none() && view.roots().unwrap().is_empty()
        }),
        ("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'items'", |_| true),
    ];
    for (damage, holds) in cases {
        let dir = tempfile::tempdir().unwrap();
        let catalog = with_all_tables(dir.path());
        assert_eq!(catalog.view().wrong_small_rows().unwrap(), Vec::<String>::new());
        assert!(holds(&catalog) == damage.contains("sqlite_sequence"), "{damage}");
        catalog.connection.execute(damage, []).unwrap();
        assert!(holds(&catalog), "{damage}");
        let wrong = catalog.view().wrong_small_rows().unwrap();
        assert_eq!(wrong.len(), 1, "{damage}: {wrong:?}");
    }
}

/// A catalog that has a row in each table.
fn with_all_tables(dir: &Path) -> Catalog {
    let (mut catalog, space, id) = filled(dir);
    let mut batch = catalog.batch().unwrap();
    batch.remove_item(id).unwrap();
    let again = batch.add_item(photo("/b.png", 2), 0).unwrap();
    let hash = ContentHash([2; 32]);
    batch.add_embedding(space.id, Modality::Image, hash, embedding(1.0)).unwrap();
    batch.add_item(caption(again, 1, "a dog"), 3).unwrap();
    let container = Container { size_bytes: 5, modified_ns: 7, complete: true, ..unlike_any() };
    batch.set_container(&Container { kind: ContainerKind::Manifest, ..container }).unwrap();
    batch.set_root(&Root { path: "/".into(), device: Some(5) }).unwrap();
    batch.commit().unwrap();
    catalog
}

fn unlike_any() -> Container {
    Container {
        path: "/m.jsonl".into(),
        kind: ContainerKind::Tar,
        size_bytes: u64::MAX,
        modified_ns: i64::MIN,
        scan: 1,
        complete: false,
        reason: None,
    }
}

fn is_corrupt<T>(result: Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == crate::ErrorKind::Corrupt)
}

#[test]
fn what_the_program_writes_has_the_checksums_that_a_migration_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = with_all_tables(dir.path());
    let mut batch = catalog.batch().unwrap();
    batch.add_space("beef", "other", 2).unwrap();
    // Once more, which changes nothing.
    batch.add_space("beef", "another", 7).unwrap();
    batch.set_space("f00d", "fake", 3).unwrap();
    let other = batch.view().other_spaces().unwrap();
    assert_eq!((other[0].model.as_str(), other[0].dim, other.len()), ("other", 2, 1));
    batch.switch_space(other[0].id).unwrap();
    let text = batch.view().texts_of(ItemId(2)).unwrap().remove(0);
    batch.remove_item(text.item.id).unwrap();
    batch.commit().unwrap();
    let view = catalog.view();
    assert_eq!(view.wrong_small_rows().unwrap(), Vec::<String>::new());
    assert_eq!(view.roots().unwrap(), [Root { path: "/".into(), device: Some(5) }]);
    assert_eq!(view.space().unwrap().unwrap().fingerprint, "beef");
    view.each_item(|item| assert!(item.is_ok())).unwrap();
}

/// The catalog of version 5 after some damage.
fn damaged_v5(dir: &Path, damage: &str) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalogs");
    let path = dir.join(FILE_NAME);
    fs::copy(fixtures.join("v5.db"), &path).unwrap();
    Connection::open(&path).unwrap().execute_batch(damage).unwrap();
}

/// Control: of the other rows the checksums are made anew.
#[test]
fn a_migration_does_not_make_a_damaged_row_a_good_one() {
    let dir = tempfile::tempdir().unwrap();
    damaged_v5(dir.path(), "UPDATE items SET width = 7 WHERE id = 1");
    let catalog = Catalog::create_or_open(dir.path()).unwrap();
    assert!(is_corrupt(catalog.view().item(ItemId(1))));
    assert!(catalog.view().item(ItemId(2)).unwrap().is_some());
}

#[test]
fn a_migration_that_does_not_reach_its_end_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    damaged_v5(dir.path(), "ALTER TABLE items ADD COLUMN color_profile TEXT");
    assert!(is_corrupt(Catalog::create_or_open(dir.path())));
    let connection = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 5);
    // The columns that came before are not there either.
    assert!(connection.prepare("SELECT checksum FROM state").is_err());
    assert!(connection.prepare("SELECT color_profile FROM items").is_ok());
}
