//! Rows 23 to 27 and 35: other models, other catalogs, other writers.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use mmsearch::library::{Library, LibraryOptions};

use crate::common::Place;
use crate::common::program::{mmsearch, run, three_photos};
use crate::table::{INDEX, Row, prove};

/// Without libtorch there is no encoder, with it no such model: both are the wrong one.
#[test]
fn models_that_are_none() {
    prove(&[
        Row {
            number: 23,
            name: "a model that is not there",
            command: &["--model", "no/such/model", "query", "--text", "red"],
            code: 7,
            says: &[&["mmsearch: "]],
            ..INDEX
        },
        Row {
            number: 25,
            name: "a program in the place of weights",
            set_up: |place| fs::write(place.root().join("model.pt"), b"PK\x03\x04").unwrap(),
            command: &["--model", "model.pt", "index", "photos"],
            code: 7,
            says: &[&["mmsearch: "]],
            ..INDEX
        },
        Row {
            number: 26,
            name: "a question by another model",
            command: &["query", "--text", "red"],
            environment: &[("MMSEARCH_FAKE_ENCODER", "other")],
            code: 7,
            says: &[&[
                "was filled by model fake (",
                "not by other (",
                "`mmsearch reindex --model`",
            ]],
            ..INDEX
        },
        Row {
            number: 26,
            name: "indexing by another model",
            environment: &[("MMSEARCH_FAKE_ENCODER", "other")],
            code: 7,
            says: &[&["was filled by model fake (", "`mmsearch reindex --model`"]],
            ..INDEX
        },
    ]);
}

/// What is called with each catalog that is none of ours, or of a later day.
const CALLS: [&[&str]; 7] = [
    &["index", "photos"],
    &["query", "--text", "red"],
    &["status"],
    &["check"],
    &["reindex"],
    &["forget", "1"],
    &["tag"],
];

/// The catalog is put in place by `set_up`; every call ends with `code` and a line that has `said`, and changes no byte.
fn refused(set_up: impl Fn(&Place), code: i32, said: &str) {
    for call in CALLS {
        let place = three_photos();
        set_up(&place);
        let catalog = place.library().join("catalog.db");
        let before = fs::read(&catalog).unwrap();
        let (found, stdout, stderr) = run(&place, call);
        assert_eq!((found, stdout.as_str()), (code, ""), "{call:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{call:?}: {stderr}");
        assert!(stderr.contains(said) && stderr.contains("catalog.db"), "{call:?}: {stderr}");
        assert_eq!(fs::read(&catalog).unwrap(), before, "{call:?} changed it");
    }
}

#[test]
fn catalogs_of_others_are_left_alone() {
    let indexed = |place: &Place| assert_eq!(run(place, &["index", "photos"]).0, 0);
    let write_at = |place: &Place, offset: u64, bytes: &[u8]| {
        let catalog = place.library().join("catalog.db");
        File::options().write(true).open(catalog).unwrap().write_all_at(bytes, offset).unwrap();
    };
    // In the header lie the version of the schema at byte 60, and the mark of the application at 68.
    refused(
        |place| {
            indexed(place);
            write_at(place, 60, &[0, 0, 0, 99]);
        },
        7,
        "has version 99, this mmsearch knows up to ",
    );
    refused(
        |place| {
            indexed(place);
            write_at(place, 68, b"MOZZ");
        },
        7,
        "is not a catalog of mmsearch",
    );
    refused(
        |place| {
            fs::create_dir(place.library()).unwrap();
            let catalog = rusqlite::Connection::open(place.library().join("catalog.db")).unwrap();
            catalog.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)").unwrap();
        },
        7,
        "is not a catalog of mmsearch",
    );
    refused(
        |place| {
            fs::create_dir(place.library()).unwrap();
            fs::write(place.library().join("catalog.db"), "Dear diary, ".repeat(100)).unwrap();
        },
        6,
        "",
    );
}

#[test]
fn a_second_writer_is_refused_at_once() {
    let place = three_photos();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    let library = Library::create_or_open(&place.library(), LibraryOptions::default()).unwrap();
    for call in [&["index", "photos"][..], &["forget", "1"], &["reindex"], &["tag", "1", "+x"]] {
        let (code, stdout, stderr) = run(&place, call);
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (4, "", 1), "{stderr}");
        assert!(stderr.contains(&format!("(process {})", std::process::id())), "{stderr}");
    }
    let query = mmsearch(&place).args(["query", "--text", "red"]).output().unwrap();
    assert!(query.status.success(), "a reader does not wait");
    drop(library);
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    crate::common::program::check(&place);
}
