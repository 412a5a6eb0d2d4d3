//! Backups: what is in them, what is refused, and that a library is replaced whole or not at all.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{
    BackupOptions, EmbeddedImage, ItemCount, Library, LibraryOptions, RestoreOptions,
};
use mmsearch::{Embedding, Error, ErrorKind, ItemId, Metadata, Query, Result, Tag, Target};
use rusqlite::Connection;

use crate::common::{BLUE, GREEN, Place, RED, png};
use crate::{check, index, writer};

const KEEP: BackupOptions = BackupOptions { force: false };
const FORCE: RestoreOptions = RestoreOptions { force: true };

fn restore(dir: &Path, backup: &Path, options: &RestoreOptions) -> Result<Library> {
    Library::restore(dir, backup, options, LibraryOptions::default())
}

/// Photos, captions, a tar, what failed, and a tag; the backup of the library.
fn backed_up(place: &Place) -> PathBuf {
    for n in 0..40 {
        place.write(&format!("{n:02}.png"), png([RED, GREEN, BLUE][n as usize % 3], n));
    }
    place.write("bad.png", "no picture");
    place.write("captions.jsonl", "{\"image\": \"00.png\", \"caption\": \"a red wall\"}\n");
    place.tar("t.tar", &[("m.png", png(GREEN, 77))]);
    let mut library = writer(place);
    index(&mut library, &[place.photos(), place.photo("t.tar")]);
    library.tag(&[ItemId(1)], &[Tag::new("kept").unwrap()], &[]).unwrap();
    let file = place.root().join("backup.db");
    let backup = library.backup(&file, &KEEP).unwrap();
    assert_eq!((backup.n_items, backup.size_bytes), (43, fs::metadata(&file).unwrap().len()));
    file
}

/// What a library says: counts, tags, and answers with the bits of their scores.
type Says = (Vec<ItemCount>, Vec<(String, u64)>, Vec<(ItemId, u32)>);

fn says(library: &mut Library) -> Says {
    let mut answers = Vec::new();
    for query in [
        Query::text("something green").k(20),
        Query::text("red").to(Target::Any).k(50),
        Query::text("wall").to(Target::Text),
    ] {
        let hits = library.search(&mut FakeEncoder::default(), &query).unwrap();
        answers.extend(hits.iter().map(|hit| (hit.item.id, hit.score.unwrap_or(0.0).to_bits())));
    }
    (library.status().unwrap().items, library.tag_counts().unwrap(), answers)
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_restored_library_says_what_the_old_one_said() {
    let place = Place::new();
    let backup = backed_up(&place);
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(place.root()), ["backup.db", "library", "photos"]);
    let mut old = Library::open(&place.library()).unwrap();
    let expected = says(&mut old);
    assert!(!expected.2.is_empty() && expected.1 == [("kept".into(), 1)]);

    let dir = place.root().join("deep/restored");
    let mut library = restore(&dir, &backup, &RestoreOptions::default()).unwrap();
    assert_eq!(says(&mut library), expected);
    check(&library);
    // With snapshots it says the same, and the photos are known.
    library.refresh_snapshots(&mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    assert_eq!(library.take_warnings(), [""; 0]);
    assert_eq!(says(&mut library), expected);
    let report = index(&mut library, &[place.photos()]);
    assert_eq!((report.images.unchanged, report.images.added), (40, 0));
    check(&library);
    for file in fs::read_dir(&dir).unwrap().map(std::result::Result::unwrap) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// Each backup is one state between two batches, though somebody writes all the time.
#[test]
fn a_backup_is_one_state_while_others_write() {
    let place = Place::new();
    let mut encoder = FakeEncoder::default();
    let space = encoder.space().clone();
    let embedding = encoder.encode_texts(&["red"]).unwrap().remove(0);
    let image = |n: usize, embedding: &Embedding| {
        let mut values = embedding.as_slice().to_vec();
        values[n % 16] += 1.0 + n as f32 / 100.0;
        let embedding = Embedding::normalized(values).unwrap();
        EmbeddedImage { name: n.to_string(), embedding, metadata: Metadata::new() }
    };
    let mut library = writer(&place);
    library.add_embedded_images(&space, (0..10).map(|n| image(n, &embedding))).unwrap();
    let reader = Library::open(&place.library()).unwrap();
    let ended = AtomicBool::new(false);
    let counts: Vec<u64> = thread::scope(|scope| {
        scope.spawn(|| {
            // In tens: any other number in a backup is half a batch.
            for tens in (1..).take_while(|_| !ended.load(Ordering::SeqCst)) {
                let images = (tens * 10..tens * 10 + 10).map(|n| image(n, &embedding));
                library.add_embedded_images(&space, images).unwrap();
            }
        });
        let backups = (0..8).map(|n| {
            let file = place.root().join(format!("{n}.db"));
            let backup = reader.backup(&file, &KEEP).unwrap();
            let restored = restore(&place.root().join(n.to_string()), &file, &FORCE).unwrap();
            check(&restored);
            backup.n_items
        });
        let counts = backups.collect();
        ended.store(true, Ordering::SeqCst);
        counts
    });
    assert!(counts.iter().all(|n| n % 10 == 0) && counts.is_sorted(), "{counts:?}");
    assert!(counts[0] < counts[7], "control: somebody wrote meanwhile");
    check(&library);
}

#[test]
fn where_no_backup_is_written() {
    let place = Place::new();
    let backup = backed_up(&place);
    let library = Library::open(&place.library()).unwrap();
    let before = fs::read(&backup).unwrap();
    let refused = |file: &Path, kind: ErrorKind, reason: &str| {
        let error = library.backup(file, &KEEP).unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == kind && text.contains(reason), "{error}");
        assert!(text.contains(&*file.file_name().unwrap().to_string_lossy()), "{error}");
    };
    refused(&backup, ErrorKind::Usage, "is there already; --force replaces it");
    refused(&place.photos(), ErrorKind::Io, "directory");
    refused(&place.root().join("nowhere/b.db"), ErrorKind::Io, "No such file");
    refused(&place.library().join("b.db"), ErrorKind::Usage, "would be lost with the library");
    refused(&place.library().join("catalog.db"), ErrorKind::Usage, "would be lost");
    assert_eq!(fs::read(&backup).unwrap(), before);
    assert_eq!(names(place.root()), ["backup.db", "library", "photos"]);
    fs::write(&backup, "something else").unwrap();
    library.backup(&backup, &BackupOptions { force: true }).unwrap();
    assert_eq!(fs::read(&backup).unwrap().len(), before.len());
    check(&library);
}

/// One byte of a path in the database file; what SQLite says of its file itself is as good as before.
fn damage(file: &Path) {
    let bytes = fs::read(file).unwrap();
    let needle = b"/photos/07.png";
    let at = bytes.windows(needle.len()).position(|at| at == needle).unwrap();
    File::options().write(true).open(file).unwrap().write_all_at(b"9", at as u64 + 8).unwrap();
}

#[test]
fn a_damaged_library_is_not_backed_up() {
    let place = Place::new();
    fs::remove_file(backed_up(&place)).unwrap();
    damage(&place.library().join("catalog.db"));
    let library = Library::open(&place.library()).unwrap();
    let error = library.backup(&place.root().join("b.db"), &KEEP).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("catalog.db is damaged: "), "{error}");
    assert_eq!(names(place.root()), ["library", "photos"]);
}

#[test]
fn what_is_no_good_backup_is_refused_and_the_library_stays() {
    let place = Place::new();
    let backup = backed_up(&place);
    let expected = says(&mut Library::open(&place.library()).unwrap());
    let good = fs::read(&backup).unwrap();
    let files_before = names(&place.library());
    let refused = |name: &str, bytes: &[u8], kind: ErrorKind| {
        let file = place.root().join(name);
        fs::write(&file, bytes).unwrap();
        let error = restore(&place.library(), &file, &FORCE).err().unwrap();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(names(&place.library()), files_before, "{name}");
        // Nor is a library made of it where there is none.
        let dir = place.root().join("other");
        assert!(restore(&dir, &file, &RestoreOptions::default()).is_err());
        assert_eq!(Library::open(&dir).err().unwrap().kind(), ErrorKind::NotFound);
    };
    refused("text.db", b"hello, this is a text and no database at all", ErrorKind::Corrupt);
    refused("empty.db", b"", ErrorKind::Corrupt);
    refused("cut.db", &good[..good.len() / 2], ErrorKind::Corrupt);
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&[0, 0, 1, 0]);
    refused("newer.db", &newer, ErrorKind::Mismatch);
    let flipped = place.root().join("flipped.db");
    fs::write(&flipped, &good).unwrap();
    damage(&flipped);
    refused("flipped.db", &fs::read(&flipped).unwrap(), ErrorKind::Corrupt);
    let foreign = place.root().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
    refused("foreign.db", &fs::read(&foreign).unwrap(), ErrorKind::Mismatch);
    let error = restore(&place.library(), &place.photos(), &FORCE).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    let error = restore(&place.library(), &place.root().join("none.db"), &FORCE).err().unwrap();
    assert!(error.to_string().contains("none.db"), "{error}");

    let mut library = writer(&place);
    assert_eq!(says(&mut library), expected);
    check(&library);
}

#[test]
fn a_library_is_replaced_only_by_force_and_by_no_one_else_meanwhile() {
    let place = Place::new();
    let backup = backed_up(&place);
    let expected = says(&mut Library::open(&place.library()).unwrap());
    let mut library = writer(&place);
    place.write("later.png", png(RED, 4_711));
    index(&mut library, &[place.photos()]);
    let newer = says(&mut library);
    assert_ne!(newer, expected);
    let error = restore(&place.library(), &backup, &FORCE).err().unwrap();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(library);
    let error = restore(&place.library(), &backup, &RestoreOptions::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let mut reader = Library::open(&place.library()).unwrap();
    let error = restore(&place.library(), &backup, &FORCE).err().unwrap();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert_eq!(says(&mut reader), newer);
    drop(reader);

    let mut library = restore(&place.library(), &backup, &FORCE).unwrap();
    assert_eq!(says(&mut library), expected);
    // Nothing that is derived of the old one is taken for the new one's.
    assert_eq!(place.library_files("snapshot-").len(), 0);
    index(&mut library, &[place.photos()]);
    assert_eq!(says(&mut library).0, newer.0);
    check(&library);
}

/// A log that a killed writer left belongs to the library that is replaced; applied to the new one it would destroy it.
#[test]
fn the_log_of_the_old_library_does_not_reach_the_new_one() {
    let place = Place::new();
    let backup = backed_up(&place);
    let expected = says(&mut Library::open(&place.library()).unwrap());
    let mut library = writer(&place);
    library.tag(&[ItemId(2), ItemId(3)], &[Tag::new("later").unwrap()], &[]).unwrap();
    for damaged in [false, true] {
        let dir = place.root().join(format!("killed-{damaged}"));
        fs::create_dir(&dir).unwrap();
        for name in names(&place.library()) {
            fs::copy(place.library().join(&name), dir.join(&name)).unwrap();
        }
        assert!(fs::metadata(dir.join("catalog.db-wal")).unwrap().len() > 0, "control");
        if damaged {
            fs::write(dir.join("catalog.db"), "no database any more").unwrap();
        }
        let mut restored = restore(&dir, &backup, &FORCE).unwrap();
        assert_eq!(says(&mut restored), expected);
        check(&restored);
    }
}

#[test]
fn what_a_crash_left_of_a_restored_backup_goes() {
    let place = Place::new();
    let backup = backed_up(&place);
    let left = place.library().join("catalog.db.restoring");
    fs::copy(&backup, &left).unwrap();
    let mut reader = Library::open(&place.library()).unwrap();
    let expected = says(&mut reader);
    drop(reader);
    let mut library = writer(&place);
    assert!(!left.exists());
    assert_eq!(says(&mut library), expected);
    check(&library);
}

/// A catalog of the first version is brought to the newest one on the way.
#[test]
fn old_catalogs_can_be_restored() {
    let place = Place::new();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalogs/v1.db");
    let before = fs::read(&old).unwrap();
    let library = restore(&place.library(), &old, &RestoreOptions::default()).unwrap();
    assert!(!library.status().unwrap().items.is_empty());
    check(&library);
    assert_eq!(fs::read(&old).unwrap(), before);
}
