//! `reindex` as a user or a script meets it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use common::program::{check, json_lines, long_tar, mmsearch, run, three_photos};
use common::{Place, png};
use mmsearch::library::{Library, LibraryOptions};
use serde_json::Value;

/// The program with another fake model.
fn other(place: &Place) -> Command {
    let mut command = mmsearch(place);
    command.env("MMSEARCH_FAKE_ENCODER", "other");
    command
}

/// The same, run to its end.
fn run_other(place: &Place, arguments: &[&str]) -> (i32, String, String) {
    let output = other(place).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn status(place: &Place) -> Value {
    json_lines(&run(place, &["status", "--json"]).1).remove(0)
}

/// What the message about the wrong model says to do, done.
#[test]
fn the_wrong_model_names_the_way_out_and_the_way_leads_out() {
    let place = three_photos();
    place.write("captions.jsonl", r#"{"image":"red.png","caption":"a red wall"}"#);
    run(&place, &["index", "photos"]);
    let query = ["query", "--text", "red", "-k", "1"];
    let (code, _, stderr) = run_other(&place, &query);
    assert_eq!(code, 7);
    assert!(stderr.contains("`mmsearch reindex --model`"), "{stderr}");

    let (code, stdout, stderr) = run_other(&place, &["reindex"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    let said = "the library's model is other: 3 images and 1 texts encoded, 0 were so already\n";
    assert_eq!(stderr, said);
    let (code, stdout, stderr) = run_other(&place, &query);
    assert!(code == 0 && stdout.ends_with("red.png\n") && stderr.is_empty(), "{stderr}");
    assert_eq!(run(&place, &query).0, 7, "the old model is the wrong one now");
    assert_eq!(status(&place)["model"], "other");
    check(&place);
    // Once more there is nothing to do.
    let (code, _, stderr) = run_other(&place, &["reindex"]);
    assert!(code == 0 && stderr.contains("0 images and 0 texts encoded, 4 were"), "{stderr}");
}

#[test]
fn json_lines_of_a_run_that_leaves_something_out() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    fs::remove_file(place.photo("red.png")).unwrap();
    let (code, stdout, stderr) = run_other(&place, &["reindex", "--json"]);
    assert_eq!((code, stderr.as_str()), (3, ""));
    let lines = json_lines(&stdout);
    assert!(lines.iter().all(|line| line["version"] == 1));
    assert_eq!(lines[0]["event"], "progress");
    assert_eq!((&lines[0]["stage"], &lines[0]["done"]), (&"images".into(), &2.into()));
    let [skipped, report] = &lines[lines.len() - 2..] else { panic!("{stdout}") };
    assert_eq!(
        (&skipped["event"], &skipped["reason"]),
        (&"skipped".into(), &"its file is gone".into())
    );
    assert!(skipped["path"].as_str().unwrap().ends_with("/red.png"));
    assert_eq!((&report["event"], &report["model"]), (&"report".into(), &"other".into()));
    let numbers = ["images", "texts", "known", "skipped"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(numbers, [2, 0, 0, 1]);
    check(&place);
    place.write("red.png", png(common::RED, 0));
    let (code, _, stderr) = run_other(&place, &["index", "photos"]);
    assert!(code == 0 && stderr.starts_with("images: 0 added, 1 updated"), "{stderr}");
    check(&place);
}

/// Half done by kill -9: the old model answers, the status says so, and the next run goes on.
#[test]
fn killed_in_the_middle() {
    let place = Place::new();
    long_tar(&place, 2_000);
    run(&place, &["index", "photos/long.tar"]);
    let query = ["query", "--text", "red", "-k", "2000", "--json"];
    let before = run(&place, &query);
    assert_eq!(before.1.lines().count(), 2_000);
    let mut child = other(&place)
        .args(["reindex", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut n_promised = 0;
    for _ in 0..5 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        n_promised = line["done"].as_u64().unwrap();
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "control: it was still at work");

    check(&place);
    assert_eq!(run(&place, &query), before);
    let begun = status(&place)["reindexing"][0].clone();
    let n_done = begun["done"].as_u64().unwrap();
    assert_eq!((&begun["model"], &begun["total"]), (&"other".into(), &2_000.into()));
    assert!(n_promised <= n_done && n_done < 2_000, "{n_promised} promised, {n_done} there");
    let (_, text, _) = run(&place, &["status"]);
    assert!(
        text.contains("reindex     to other (") && text.contains(&format!("): {n_done} of 2000;")),
        "{text}"
    );

    let (code, _, stderr) = run_other(&place, &["reindex"]);
    let said = format!("{} images and 0 texts encoded, {n_done} were so already", 2_000 - n_done);
    assert!(code == 0 && stderr.contains(&said), "{stderr}");
    let after = run_other(&place, &query);
    assert_eq!(after, before, "the fakes give the same vectors");
    assert_eq!(status(&place)["reindexing"], Value::Array(vec![]));
    check(&place);
}

#[test]
fn interrupted_it_ends_with_its_batch() {
    let place = Place::new();
    long_tar(&place, 2_000);
    run(&place, &["index", "photos/long.tar"]);
    let mut child = other(&place)
        .args(["reindex", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    // It may end with the very batch that was told first.
    let last: Value = serde_json::from_str(&lines.last().unwrap_or(first).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(output.stderr, b"mmsearch: cancelled; what was committed stays\n");
    assert_eq!(status(&place)["reindexing"][0]["done"], last["done"]);
    check(&place);
}

#[test]
fn how_it_ends_where_it_cannot_begin() {
    let place = three_photos();
    let (code, _, stderr) = run_other(&place, &["reindex"]);
    assert!(code == 1 && stderr.contains("there is no library"), "{stderr}");
    assert!(!place.library().exists(), "no library is made");
    run(&place, &["index", "photos"]);
    let library = Library::create_or_open(&place.library(), LibraryOptions::default()).unwrap();
    assert_eq!(run_other(&place, &["reindex"]).0, 4);
    drop(library);
    fs::rename(place.photos(), place.root().join("away")).unwrap();
    let (code, _, stderr) = run_other(&place, &["reindex"]);
    assert!(code == 5 && stderr.contains("held 3 items"), "{stderr}");
    assert_eq!(run(&place, &["query", "--text", "red"]).0, 0, "the old model answers");
    check(&place);
}
