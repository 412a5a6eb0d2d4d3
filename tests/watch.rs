//! `index --watch`, `backup` and `restore` as a user meets them: real events, real signals, exit codes.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use common::program::{check, found, json_lines, mmsearch, run, three_photos};
use common::{BLUE, GREEN, Place, RED, png};
use mmsearch::library::{Library, LibraryOptions};
use serde_json::Value;

/// Longer than anything here takes; reached only by what is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that watches, and the lines that it prints.
struct Watching {
    child: Child,
    lines: Receiver<Value>,
}

impl Watching {
    fn start(place: &Place, roots: &[&str]) -> Self {
        let mut command = mmsearch(place);
        command.args(["index", "--watch", "--json"]).args(roots);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The sums of what the reports say of images, until they are as expected: one change may be seen in two runs.
    fn until(&self, effects: &[(&str, u64)]) {
        let mut sums = vec![0; effects.len()];
        while sums.iter().zip(effects).any(|(sum, (_, expected))| sum < expected) {
            let line = self.lines.recv_timeout(PATIENCE).expect("a report");
            if line["event"] == "report" {
                for (sum, (effect, _)) in sums.iter_mut().zip(effects) {
                    *sum += line["images"][effect].as_u64().unwrap();
                }
            }
        }
        let expected: Vec<u64> = effects.iter().map(|(_, n)| *n).collect();
        assert_eq!(sums, expected, "{effects:?}");
    }

    /// Sends a signal; the exit code and what was told.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (status.code(), told)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_happens_to_photos_is_taken_in() {
    let place = three_photos();
    let watching = Watching::start(&place, &["photos"]);
    watching.until(&[("added", 3)]);
    place.write("album/new/yellow.png", png(RED, 7));
    watching.until(&[("added", 1)]);
    place.write("red.png", png(BLUE, 9));
    watching.until(&[("updated", 1)]);
    fs::rename(place.photo("album"), place.photo("renamed")).unwrap();
    watching.until(&[("moved", 1)]);
    // Moved out is gone, moved in is new.
    fs::rename(place.photo("deep"), place.root().join("out")).unwrap();
    watching.until(&[("forgotten", 1)]);
    fs::rename(place.root().join("out"), place.photo("in")).unwrap();
    watching.until(&[("added", 1)]);
    fs::remove_file(place.photo("green.png")).unwrap();
    watching.until(&[("forgotten", 1)]);
    // Nothing is watched that was not asked for, least of all the library.
    let (code, told) = watching.stop("-INT");
    assert_eq!((code, told.as_str()), (Some(130), "watching for changes; Ctrl-C ends it\n"));
    assert_eq!(found(&place, &["query", "blue", "-k", "9", "--all"]).len(), 3);
    check(&place);
}

#[test]
fn a_flood_is_taken_in_whole() {
    let place = three_photos();
    let watching = Watching::start(&place, &["photos"]);
    watching.until(&[("added", 3)]);
    let bytes = png(GREEN, 5);
    for n in 0..10_000 {
        place.write(&format!("flood-{}/{n:05}.png", n % 50), &bytes);
    }
    watching.until(&[("added", 10_000)]);
    let (code, told) = watching.stop("-TERM");
    assert_eq!((code, told.lines().count()), (Some(130), 1), "{told}");
    check(&place);
}

/// Between two runs others may write; while they do, the change waits.
#[test]
fn others_may_write_between_runs() {
    let place = three_photos();
    let watching = Watching::start(&place, &["photos"]);
    watching.until(&[("added", 3)]);
    let mut n_tries = 0;
    // The run that made the report may not have given the lock back yet.
    while run(&place, &["tag", "photos/red.png", "+mine"]).0 == 4 {
        n_tries += 1;
        assert!(n_tries < 10_000);
    }
    let writer = loop {
        match Library::create_or_open(&place.library(), LibraryOptions::default()) {
            Ok(library) => break library,
            Err(error) => assert_eq!(error.kind(), mmsearch::ErrorKind::Locked),
        }
    };
    place.write("late.png", png(RED, 8));
    let mut told = String::new();
    let mut watching = watching;
    let mut stderr = BufReader::new(watching.child.stderr.take().unwrap());
    while !told.contains("waiting: ") {
        assert_ne!(stderr.read_line(&mut told).unwrap(), 0, "{told}");
    }
    assert!(told.contains(&format!("(process {})", std::process::id())), "{told}");
    drop(writer);
    watching.until(&[("added", 1)]);
    watching.child.stderr = Some(stderr.into_inner());
    assert_eq!(watching.stop("-INT").0, Some(130));
    assert_eq!(run(&place, &["tag", "photos/red.png"]).1.lines().count(), 1);
    check(&place);
}

#[test]
fn a_root_that_vanishes_is_waited_for() {
    let place = three_photos();
    let other = place.root().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.png"), png(RED, 3)).unwrap();
    let watching = Watching::start(&place, &["photos", "other"]);
    watching.until(&[("added", 4)]);
    fs::rename(&other, place.root().join("away")).unwrap();
    // The others are indexed meanwhile, and nothing is forgotten.
    place.write("new.png", png(BLUE, 3));
    watching.until(&[("added", 1), ("forgotten", 0)]);
    fs::write(place.root().join("away/b.png"), png(GREEN, 3)).unwrap();
    fs::rename(place.root().join("away"), &other).unwrap();
    watching.until(&[("added", 1), ("forgotten", 0)]);
    // It is listened to again.
    fs::write(other.join("c.png"), png(GREEN, 4)).unwrap();
    watching.until(&[("added", 1)]);
    let (code, told) = watching.stop("-INT");
    assert_eq!(code, Some(130));
    let line = "other is missing or empty; what is known of it stays";
    assert_eq!(told.matches(line).count(), 1, "{told}");
    check(&place);
}

/// A single photo, a tar and a manifest are roots as well.
#[test]
fn files_are_watched_too() {
    let place = Place::new();
    place.write("one.png", png(RED, 0));
    place.tar("t.tar", &[("a.png", png(GREEN, 0))]);
    place.write("beside.png", png(BLUE, 0));
    let watching = Watching::start(&place, &["photos/one.png", "photos/t.tar"]);
    watching.until(&[("added", 2)]);
    place.write("one.png", png(RED, 1));
    watching.until(&[("updated", 1)]);
    // As programs write that want it whole: another file, renamed over the old one.
    place.tar("new.tar", &[("a.png", png(GREEN, 0)), ("b.png", png(GREEN, 1))]);
    fs::rename(place.photo("new.tar"), place.photo("t.tar")).unwrap();
    watching.until(&[("added", 1)]);
    assert_eq!(watching.stop("-INT").0, Some(130));
    check(&place);
}

#[test]
fn what_cannot_be_watched_ends_at_once() {
    let place = three_photos();
    let (code, _, stderr) = run(&place, &["index", "--watch", "nowhere"]);
    assert!(code == 5 && stderr.contains("nowhere"), "{stderr}");
    assert_eq!(run(&place, &["index", "--watch", "--prune-missing-root", "photos"]).0, 2);
    run(&place, &["index", "photos"]);
    let mut other = mmsearch(&place);
    other.env("MMSEARCH_FAKE_ENCODER", "other").args(["index", "--watch", "photos"]);
    assert_eq!(other.output().unwrap().status.code(), Some(7));
}

#[test]
fn failed_files_are_tried_again_when_asked() {
    let place = three_photos();
    place.write("bad.png", "no picture");
    let line = |arguments: &[&str]| {
        let (code, stdout, _) = run(&place, arguments);
        let report = json_lines(&stdout).pop().unwrap();
        (code, report["skipped"].as_u64().unwrap())
    };
    assert_eq!(line(&["index", "--json", "photos"]), (3, 1));
    assert_eq!(line(&["index", "--json", "--retry-failed", "photos"]), (3, 1));
    check(&place);
}

#[test]
fn a_backup_and_its_way_back() {
    let place = three_photos();
    assert_eq!(run(&place, &["backup", "b.db"]).0, 1, "there is no library");
    assert!(!place.root().join("b.db").exists());
    run(&place, &["index", "photos"]);
    let (code, stdout, stderr) = run(&place, &["backup", "--json", "b.db"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let line = &json_lines(&stdout)[0];
    let size = fs::metadata(place.root().join("b.db")).unwrap().len();
    assert_eq!(
        (&line["items"], &line["bytes"], &line["path"]),
        (&3.into(), &size.into(), &"b.db".into())
    );
    let (code, _, stderr) = run(&place, &["backup", "b.db"]);
    assert!(code == 2 && stderr.contains("b.db is there already"), "{stderr}");
    assert_eq!(run(&place, &["backup", "--force", "b.db"]).0, 0);

    run(&place, &["forget", "photos/red.png"]);
    let (code, _, stderr) = run(&place, &["restore", "b.db"]);
    assert!(code == 2 && stderr.contains("--force replaces it"), "{stderr}");
    let (code, stdout, stderr) = run(&place, &["restore", "--force", "--json", "b.db"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(json_lines(&stdout)[0]["items"], 3);
    assert_eq!(found(&place, &["query", "red", "-k", "1"]), ["red.png"]);
    assert_eq!(place.library_files("snapshot-").len(), 1, "it is made at once");
    check(&place);
    let (code, _, stderr) = run(&place, &["index", "photos"]);
    assert!(code == 0 && stderr.contains("3 unchanged"), "{stderr}");

    fs::write(place.root().join("text"), "a text").unwrap();
    let (code, _, stderr) = run(&place, &["restore", "--force", "text"]);
    assert!(code == 6 && stderr.contains("text is damaged"), "{stderr}");
    assert_eq!(run(&place, &["--library", "new", "restore", "nothing"]).0, 5);
    assert_eq!(run(&place, &["--library", "new", "restore", "b.db"]).0, 0);
    assert_eq!(found(&place, &["--library", "new", "query", "green", "-k", "1"]), ["green.png"]);
    check(&place);
}
