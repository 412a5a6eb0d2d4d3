//! Row 20: an encoder that gives what is no embedding for one of the pictures.

use std::fs;

use crate::common::program::{check, found, mmsearch, run, three_photos};
use crate::common::{RED, png};
use crate::table::{INDEX, Row, images, prove};

const MAGENTA: [u8; 3] = [250, 5, 250];

const ODD: Row = Row {
    number: 20,
    set_up: |place| {
        place.write("magenta.png", png(MAGENTA, 0));
        place.write("other.png", png(RED, 5));
        place.write("captions.jsonl", "{\"image\":\"red.png\",\"caption\":\"magenta\"}\n{\"image\":\"red.png\",\"caption\":\"a red wall\"}\n");
    },
    code: 3,
    says: &[&["images: 1 added"], &["texts: 1 added"], &["skipped: 2"], &["/magenta.png: "]],
    n_added: 1,
    ..INDEX
};

#[test]
fn what_is_no_embedding_is_never_stored() {
    prove(&[
        Row { name: "NaN", environment: &[("MMSEARCH_FAKE_ENCODER", "1:nan")], ..ODD },
        Row { name: "infinite", environment: &[("MMSEARCH_FAKE_ENCODER", "1:infinite")], ..ODD },
        Row { name: "zero", environment: &[("MMSEARCH_FAKE_ENCODER", "1:zero")], ..ODD },
        Row { name: "too long", environment: &[("MMSEARCH_FAKE_ENCODER", "1:long")], ..ODD },
        Row { name: "dimension", environment: &[("MMSEARCH_FAKE_ENCODER", "1:dimension")], ..ODD },
        Row { name: "none", environment: &[("MMSEARCH_FAKE_ENCODER", "1:count")], ..ODD },
        Row {
            name: "control: a sound one",
            code: 0,
            says: &[&["images: 2 added"], &["texts: 2 added"]],
            n_added: 2,
            ..ODD
        },
    ]);
}

#[test]
fn a_question_that_is_no_embedding_has_no_answer() {
    for fault in ["nan", "infinite", "zero", "long", "dimension", "count"] {
        let place = three_photos();
        assert_eq!(run(&place, &["index", "photos"]).0, 0);
        fs::write(place.root().join("magenta.png"), png(MAGENTA, 0)).unwrap();
        fs::write(place.root().join("labels"), "red\nmagenta\n").unwrap();
        let faulty = |arguments: &[&str]| {
            let mut program = mmsearch(&place);
            program.env("MMSEARCH_FAKE_ENCODER", format!("1:{fault}")).args(arguments);
            let output = program.output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            (output.status.code().unwrap(), output.stdout, stderr)
        };
        for arguments in [
            &["query", "--text", "magenta"][..],
            &["query", "--image", "magenta.png"],
            &["query", "red + magenta"],
            &["query", "--image", "photos/red.png", "--to", "text", "--labels", "labels"],
        ] {
            let (code, stdout, stderr) = faulty(arguments);
            assert!([7, 70].contains(&code), "{fault} {arguments:?}: {code} {stderr}");
            assert_eq!((stdout.as_slice(), stderr.lines().count()), (&b""[..], 1), "{stderr}");
            assert!(stderr.starts_with("mmsearch: ") && !stderr.contains("bug"), "{stderr}");
        }
        // The control: the rest of it is sound.
        assert_eq!(faulty(&["query", "--text", "red", "-k", "1"]).0, 0);
        check(&place);
    }
}

#[test]
fn a_change_to_a_faulty_model_leaves_the_picture_out() {
    for fault in ["nan", "dimension", "count"] {
        let place = three_photos();
        place.write("magenta.png", png(MAGENTA, 0));
        assert_eq!(run(&place, &["index", "photos"]).0, 0);
        let reindex = mmsearch(&place)
            .env("MMSEARCH_FAKE_ENCODER", format!("other:{fault}"))
            .arg("reindex")
            .output()
            .unwrap();
        let stderr = String::from_utf8(reindex.stderr).unwrap();
        assert_eq!(reindex.status.code(), Some(3), "{fault}: {stderr}");
        assert!(stderr.contains("/magenta.png: "), "{stderr}");
        assert_eq!(found_by_other(&place), 3, "{fault}");
        check(&place);
    }
}

fn found_by_other(place: &crate::common::Place) -> usize {
    let query = ["query", "--text", "red", "--all", "-k", "100", "--json"];
    let output =
        mmsearch(place).env("MMSEARCH_FAKE_ENCODER", "other").args(query).output().unwrap();
    output.stdout.iter().filter(|&&byte| byte == b'\n').count()
}

#[test]
fn what_failed_by_a_fault_is_there_when_the_fault_is_mended_and_the_file_is_new() {
    let place = three_photos();
    place.write("magenta.png", png(MAGENTA, 0));
    let mut program = mmsearch(&place);
    program.env("MMSEARCH_FAKE_ENCODER", "1:nan").args(["index", "photos"]);
    assert_eq!(program.output().unwrap().status.code(), Some(3));
    place.write("magenta.png", png(MAGENTA, 1));
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    assert_eq!(images(&place).len(), 4);
    assert_eq!(found(&place, &["query", "--text", "magenta", "-k", "1"]), ["magenta.png"]);
    check(&place);
}
