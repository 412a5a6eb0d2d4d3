//! The program and the process that encodes for it: who starts whom, and what happens when one of them goes.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Place;
use common::program::{mmsearch, run, three_photos};

/// The program alone in a directory, as after an installation that went wrong.
fn alone(place: &Place) -> PathBuf {
    let bin = place.root().join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_mmsearch"), bin.join("mmsearch")).unwrap();
    bin
}

/// What stands in the place of the encoder.
fn put_encoder(bin: &Path, script: &str) {
    let path = bin.join("mmsearch-encoder");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Exit code and stderr of the program in `bin`, which has no fake encoder.
fn run_in(bin: &Path, place: &Place, arguments: &[&str]) -> (i32, String) {
    let template = mmsearch(place);
    let mut command = Command::new(bin.join("mmsearch"));
    command.current_dir(place.root());
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let output = command.env_remove("MMSEARCH_FAKE_ENCODER").args(arguments).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn filled() -> Place {
    let place = three_photos();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    place
}

const QUERY: [&str; 3] = ["query", "--text", "red"];

#[test]
fn without_the_encoder_everything_else_works() {
    let place = filled();
    let bin = alone(&place);
    for arguments in [
        &QUERY[..],
        &["query", "--image", "photos/red.png"],
        &["index", "photos"],
        &["reindex"],
        &["classify", "--labels", "red,blue", "photos/red.png"],
        &["eval", "--pairs", "photos/pairs.jsonl"],
        &["model", "info"],
        &["model", "list"],
        &["model", "import", "photos"],
        &["model", "pull", "someone/tiny"],
        &["train", "--pairs", "photos", "--val", "photos", "--out", "run"],
    ] {
        fs::write(place.photo("pairs.jsonl"), r#"{"image":"red.png","caption":"red"}"#).unwrap();
        let (code, stderr) = run_in(&bin, &place, arguments);
        assert_eq!((code, stderr.lines().count()), (7, 1), "{arguments:?}: {stderr}");
        assert!(stderr.contains("there is no mmsearch-encoder in "), "{stderr}");
    }
    for arguments in [&["status"][..], &["check"], &["--help"], &["model", "list", "--available"]] {
        assert_eq!(run_in(&bin, &place, arguments).0, 0, "{arguments:?}");
    }
    // It is not even looked for where there is nothing to encode.
    assert_eq!(run_in(&bin, &place, &["query", "--text", " "]).0, 2);
    assert_eq!(run_in(&bin, &place, &["forget", "photos"]).0, 0);
    let empty = Place::new();
    assert_eq!(run(&empty, &["index", "photos"]).0, 0);
    assert_eq!(run_in(&alone(&empty), &empty, &QUERY).0, 1);
}

#[test]
fn an_encoder_of_another_version_is_refused() {
    let place = filled();
    let bin = alone(&place);
    put_encoder(
        &bin,
        r#"printf 'mms1\023\000\000\000\000\000\000\000\000\000\000\000{"version":"0.0.1"}'"#,
    );
    let (code, stderr) = run_in(&bin, &place, &QUERY);
    assert_eq!((code, stderr.lines().count()), (7, 1), "{stderr}");
    assert!(stderr.contains("mmsearch-encoder has version 0.0.1"), "{stderr}");

    put_encoder(&bin, "echo usage: something else entirely");
    let (code, stderr) = run_in(&bin, &place, &QUERY);
    assert_eq!((code, stderr.lines().count()), (7, 1), "{stderr}");
    assert!(stderr.contains("install mmsearch again"), "{stderr}");

    put_encoder(&bin, "exit 3");
    let (code, stderr) = run_in(&bin, &place, &QUERY);
    assert_eq!((code, stderr.lines().count()), (70, 1), "{stderr}");
    assert!(stderr.contains("mmsearch-encoder ended (exit status: 3)"), "{stderr}");
}

#[test]
fn the_encoder_is_told_to_keep_its_memory_unless_its_user_says_otherwise() {
    let place = filled();
    let bin = alone(&place);
    put_encoder(&bin, "env > told");
    run_in(&bin, &place, &QUERY);
    let told = || fs::read_to_string(place.root().join("told")).unwrap();
    let has = |line: &str| told().lines().any(|it| it == line);
    assert!(has("MALLOC_MMAP_THRESHOLD_=33554432") && has("MALLOC_TRIM_THRESHOLD_=1073741824"));

    let mut command = Command::new(bin.join("mmsearch"));
    command.current_dir(place.root()).args(QUERY).env("MMSEARCH_LIBRARY", place.library());
    command.env("MALLOC_TRIM_THRESHOLD_", "7").env_remove("MMSEARCH_FAKE_ENCODER");
    command.output().unwrap();
    assert!(has("MALLOC_MMAP_THRESHOLD_=33554432") && has("MALLOC_TRIM_THRESHOLD_=7"));
}

/// The program as `make` builds it loads nothing of libtorch; that is what makes it start at once.
#[cfg(all(target_os = "linux", not(feature = "torch")))]
#[test]
fn the_program_does_not_load_libtorch() {
    assert!(!names_libtorch(env!("CARGO_BIN_EXE_mmsearch")));
}

/// Whether a program has libtorch among the libraries it is linked with.
#[cfg(target_os = "linux")]
fn names_libtorch(program: &str) -> bool {
    let name = b"libtorch_cpu.so";
    fs::read(program).unwrap().windows(name.len()).any(|bytes| bytes == name)
}

/// What needs the real encoder.
#[cfg(feature = "torch")]
mod real {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Stdio};

    use super::*;
    use common::program::{check, json_lines, long_tar};
    use serde_json::Value;

    const ENCODER: &str = env!("CARGO_BIN_EXE_mmsearch-encoder");
    const N_PHOTOS: u64 = 160;

    /// An `index` with the model inside that has committed its first batch.
    fn indexing(place: &Place) -> (Child, impl Iterator<Item = u64> + use<>) {
        long_tar(place, N_PHOTOS as u32);
        let mut command = mmsearch(place);
        command.env_remove("MMSEARCH_FAKE_ENCODER").args(["index", "--json", "photos/long.tar"]);
        // A group of its own, so that a signal to the group is like Ctrl-C on a terminal.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut done = lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).unwrap()["done"].as_u64());
        assert!(done.next().unwrap() < N_PHOTOS);
        (child, done)
    }

    fn signal(signal: &str, target: &str) {
        assert!(Command::new("kill").args([signal, "--", target]).status().unwrap().success());
    }

    /// How many items there are.
    fn n_items(place: &Place) -> u64 {
        let status = json_lines(&run(place, &["status", "--json"]).1).remove(0);
        status["items"][0]["count"].as_u64().unwrap()
    }

    /// The run goes on where it was, and to the end: the control, in which nobody kills anything.
    fn goes_on(place: &Place) {
        let mut again = mmsearch(place);
        again.env_remove("MMSEARCH_FAKE_ENCODER").args(["index", "photos/long.tar"]);
        let output = again.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(n_items(place), N_PHOTOS);
        check(place);
    }

    /// The process that `parent` has started.
    #[cfg(target_os = "linux")]
    fn child_of(parent: u32) -> String {
        let is_child = |pid: &String| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let behind_name = stat.rsplit(')').next().unwrap_or_default().to_owned();
            behind_name.split_whitespace().nth(1) == Some(&parent.to_string())
        };
        let pids = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        pids.map(|pid| pid.into_string().unwrap()).find(is_child).unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_encoder_that_is_killed_costs_its_batch() {
        let place = Place::new();
        let (child, done) = indexing(&place);
        signal("-KILL", &child_of(child.id()));
        let n_done = done.last();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(70), 1), "{stderr}");
        assert!(stderr.contains("mmsearch-encoder ended (signal: 9"), "{stderr}");
        let n_kept = n_items(&place);
        assert!(n_done.is_none_or(|n_done| n_done == n_kept) && n_kept < N_PHOTOS, "{n_kept}");
        check(&place);
        goes_on(&place);
    }

    /// The encoder holds stderr as long as it lives, so reading that to its end waits for it.
    #[test]
    fn the_encoder_ends_with_the_program() {
        let place = Place::new();
        let (child, _) = indexing(&place);
        signal("-KILL", &child.id().to_string());
        assert_eq!(child.wait_with_output().unwrap().stderr, b"");
        check(&place);
    }

    #[test]
    fn ctrl_c_on_a_terminal_ends_with_the_batch() {
        let place = Place::new();
        let (child, done) = indexing(&place);
        signal("-INT", &format!("-{}", child.id()));
        let n_done = done.last();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stderr, b"mmsearch: cancelled; what was committed stays\n");
        assert_eq!(output.status.code(), Some(130));
        let n_kept = n_items(&place);
        assert!(n_done.is_none_or(|n_done| n_done == n_kept) && n_kept < N_PHOTOS, "{n_kept}");
        goes_on(&place);
    }

    #[test]
    fn the_encoder_does_only_what_its_own_program_asks() {
        let encoder = |arguments: &[&str]| {
            let output = Command::new(ENCODER).args(arguments).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            (output.status.code().unwrap(), stderr.lines().count(), stderr)
        };
        let (code, n_lines, stderr) = encoder(&["run", "0.0.1", "model", "info"]);
        assert_eq!((code, n_lines), (7, 1), "{stderr}");
        assert!(stderr.contains("mmsearch has 0.0.1; install both again"), "{stderr}");
        for arguments in [&[][..], &["index", "photos"], &["encode", "abacus", "f32"]] {
            let (code, n_lines, stderr) = encoder(arguments);
            assert_eq!((code, n_lines), (2, 1), "{arguments:?}: {stderr}");
        }
        #[cfg(target_os = "linux")]
        assert!(names_libtorch(ENCODER), "the control of the_program_does_not_load_libtorch");
    }

    #[test]
    fn a_model_that_is_not_there_is_told_in_one_line() {
        let place = filled();
        let mut query = mmsearch(&place);
        let output = query.args(QUERY).args(["--model", "./nowhere"]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(7), 1), "{stderr}");
        assert!(stderr.starts_with("mmsearch: model ./nowhere: does not exist"), "{stderr}");
    }
}
