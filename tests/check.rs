//! `mmsearch check` as a user or a script meets it: exit codes, lines, and what `--repair` leaves.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use std::fs;

use common::program::{check, found, json_lines, run, three_photos};
use common::{Place, RED, png, replace_unnoticed};
use serde_json::json;

fn indexed() -> Place {
    let place = three_photos();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    place
}

fn damage(place: &Place, statement: &str) {
    let connection = rusqlite::Connection::open(place.library().join("catalog.db")).unwrap();
    assert_eq!(connection.execute(statement, []).unwrap(), 1);
}

#[test]
fn damage_is_named_and_mended() {
    let place = indexed();
    check(&place);
    let before = found(&place, &["query", "--text", "red"]);
    damage(&place, "UPDATE items SET width = 1 WHERE id = 3");
    damage(&place, "UPDATE embeddings SET vector = zeroblob(64) WHERE id = 1");
    let catalog = place.library().join("catalog.db").display().to_string();
    let lines = [
        format!("{catalog}: item 3: the checksum does not match\n"),
        format!("{catalog}: embedding 1: the checksum does not match\n"),
    ];
    assert_eq!(run(&place, &["check"]), (6, lines.concat(), String::new()));
    let (code, stdout, stderr) = run(&place, &["check", "--json"]);
    assert_eq!((code, stderr.as_str()), (6, ""));
    assert_eq!(
        json_lines(&stdout),
        [
            json!({"version": 1, "event": "finding", "kind": "item", "place": catalog,
                "reason": "item 3: the checksum does not match", "damage": true, "repairable": true}),
            json!({"version": 1, "event": "finding", "kind": "embedding", "place": catalog,
                "reason": "embedding 1: the checksum does not match", "damage": true, "repairable": true}),
            json!({"version": 1, "event": "report", "found": 2, "repaired": 0, "left": 2, "damaged": 2}),
        ]
    );
    let (code, stdout, stderr) = run(&place, &["check", "--repair", "--json"]);
    assert_eq!((code, stderr.as_str()), (0, "all is well\n"));
    let lines = json_lines(&stdout);
    let repaired = |what: &str| {
        lines.iter().any(|line| {
            line["event"] == "repaired" && line["what"].as_str().unwrap().contains(what)
        })
    };
    assert!(repaired("item 3 was read again from"), "{lines:?}");
    assert!(repaired("1 images and 0 texts were encoded again"), "{lines:?}");
    let report = json!({"version": 1, "event": "report", "found": 2, "repaired": lines.len() - 1,
        "left": 0, "damaged": 0});
    assert_eq!(*lines.last().unwrap(), report);
    check(&place);
    assert_eq!(found(&place, &["query", "--text", "red"]), before);
    let (code, stdout, stderr) = run(&place, &["check", "--repair"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "all is well\n"), "no more to do");
}

#[test]
fn what_was_indexed_is_told_apart_from_damage() {
    let place = indexed();
    let ask = |arguments: &[&str]| {
        let (code, stdout, _) = run(&place, arguments);
        (code, stdout)
    };
    assert_eq!(ask(&["check", "--read-data"]), (0, String::new()));
    let path = place.photo("red.png").display().to_string();
    place.write("red.png", png(RED, 1));
    let changed = format!("{path}: it was changed after it was indexed; run `mmsearch index`\n");
    assert_eq!(ask(&["check", "--read-data"]), (3, changed));
    assert_eq!(ask(&["check"]), (0, String::new()), "the library itself is well");
    assert_eq!(ask(&["index", "photos"]).0, 0);
    replace_unnoticed(&place.photo("red.png"), png(RED, 2));
    let (code, stdout) = ask(&["check", "--read-data"]);
    assert_eq!(code, 6);
    assert!(stdout.starts_with(&format!("{path}: item ")), "{stdout}");
    assert!(stdout.contains("restore it from a backup"), "{stdout}");
    assert_eq!(ask(&["check", "--read-data", "--repair"]), (6, stdout), "a disk is not mended");
    let leftover = place.library().join("snapshot-1-image-1.mms.tmp");
    fs::write(&leftover, "half").unwrap();
    let (code, stdout) = ask(&["check"]);
    assert_eq!(code, 3);
    assert!(stdout.contains("an interrupted run left it"), "{stdout}");
    assert_eq!(ask(&["check", "--repair"]), (0, String::new()));
    assert!(!leftover.exists());
}

#[test]
fn nothing_is_made_where_there_is_no_library() {
    let place = Place::new();
    assert_eq!(run(&place, &["check", "--repair"]).0, 1);
    assert!(!place.library().exists());
    assert_eq!(run(&place, &["check", "--progress"]).0, 2, "only with --json");
}
