//! The program as a user or a script meets it: what it prints, and how it ends.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::assert::OutputAssertExt;
use common::program::{check, found, json_lines, long_tar, mmsearch, run, three_photos};
use common::{BLUE, GREEN, Place, RED, large_jpeg, png, png_bomb, replace_unnoticed};
use mmsearch::library::{Library, LibraryOptions};
use serde_json::Value;

#[test]
fn index_then_query_in_every_direction() {
    let place = three_photos();
    place.write("captions.jsonl", "{\"image\": \"red.png\", \"caption\": \"a red wall\"}\n{\"image\": \"deep/blue.png\", \"caption\": \"blue sea\"}\n");
    let (code, stdout, stderr) = run(&place, &["index", "photos"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert_eq!(
        stderr,
        "images: 3 added, 0 updated, 0 moved, 0 unchanged, 0 forgotten\n\
         texts: 2 added, 0 updated, 0 moved, 0 unchanged, 0 forgotten\n"
    );
    assert_eq!(found(&place, &["query", "--text", "something blue", "-k", "1"]), ["blue.png"]);
    assert_eq!(found(&place, &["query", "--image", "photos/green.png", "-k", "1"]), ["green.png"]);
    let (_, stdout, _) = run(&place, &["query", "--text", "red", "--to", "text", "-k", "1"]);
    let red = place.photo("red.png");
    assert!(stdout.ends_with(&format!("  \"a red wall\"  {}\n", red.display())), "{stdout}");
    let image = ["query", "--image", "photos/deep/blue.png", "--to", "text", "-k", "1", "--json"];
    let line = &json_lines(&run(&place, &image).1)[0];
    assert_eq!(
        (&line["version"], &line["rank"], &line["text"]),
        (&1.into(), &1.into(), &"blue sea".into())
    );
    assert!(line["image"]["path"].as_str().unwrap().ends_with("deep/blue.png"));
    assert_eq!(
        run(&place, &["query", "--text", "red", "--to", "any", "--exact", "--all"])
            .1
            .lines()
            .count(),
        5
    );

    let mut child = mmsearch(&place)
        .args(["query", "--image", "-", "-k", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &png(GREEN, 0)).unwrap();
    let stdout = child.wait_with_output().unwrap().stdout;
    assert!(String::from_utf8(stdout).unwrap().ends_with("green.png\n"));
    check(&place);
}

#[test]
fn timings_name_the_steps_and_leave_the_answer_alone() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let query = ["query", "--text", "red", "--json"];
    let (code, plain, _) = run(&place, &query);
    let (timed_code, timed, stderr) = run(&place, &[&query[..], &["--timings"]].concat());
    assert_eq!((code, plain), (timed_code, timed));
    let rows: Vec<(&str, f64)> = stderr
        .lines()
        .map(|line| {
            let (name, took) = line.split_at(14);
            (name.trim(), took.trim().strip_suffix(" ms").unwrap().parse().unwrap())
        })
        .collect();
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["library", "encoder start", "input", "encode", "search", "rows", "all"]);
    let steps: f64 = rows[..6].iter().map(|(_, took)| took).sum();
    // Each is rounded to a tenth.
    assert!((steps - rows[6].1).abs() < 1.0, "{stderr}");
}

#[test]
fn the_plan_is_told_and_the_bench_measures() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let query = ["query", "--text", "red", "--json"];
    let (code, plain, _) = run(&place, &query);
    let (told_code, told, stderr) = run(&place, &[&query[..], &["--explain-plan"]].concat());
    assert_eq!((code, plain), (told_code, told));
    assert_eq!(
        stderr,
        "plan: images by scan of 3 in the snapshot; 0 rows compared one by one, 3 scored again\n"
    );
    let (_, _, stderr) = run(&place, &[&query[..], &["--explain-plan", "--exact"]].concat());
    assert!(stderr.contains("by exact comparison of 3"), "{stderr}");

    let (code, stdout, stderr) = run(&place, &["bench", "--seconds", "1", "--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let line = &json_lines(&stdout)[0];
    assert_eq!((&line["images"], &line["recall"]), (&Value::from(3), &Value::from(1.0)));
    assert!(line["queries_per_s"].as_f64().unwrap() > 0.0);
    let (code, stdout, _) = run(&place, &["bench", "--seconds", "1"]);
    assert!(code == 0 && stdout.lines().count() == 6 && stdout.contains("recall@10"), "{stdout}");
    let (code, _, stderr) = run(&Place::new(), &["bench"]);
    assert!(code == 1 && stderr.contains("there is no library"), "{stderr}");
}

#[test]
fn a_second_run_reads_nothing() {
    let place = three_photos();
    let tar = place.tar("t.tar", &[("m.png", png(RED, 3))]);
    let index = ["index", "photos", "photos/t.tar"];
    assert_eq!(run(&place, &index).0, 0);
    replace_unnoticed(&tar, b"rubbish".to_vec());
    replace_unnoticed(&place.photo("red.png"), b"rubbish".to_vec());
    let (code, _, stderr) = run(&place, &index);
    assert_eq!(stderr, "images: 0 added, 0 updated, 0 moved, 4 unchanged, 0 forgotten\n");
    assert_eq!(code, 0);
    check(&place);
}

#[test]
fn every_bad_file_has_a_reason_and_the_rest_is_indexed() {
    let place = three_photos();
    place.write("text.png", "hello");
    let whole = large_jpeg();
    place.write("cut.jpg", &whole[..whole.len() / 2]);
    place.write("bomb.png", png_bomb());
    let fifo = place.photo("pipe.jpg");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::write(place.photos().join(OsStr::from_bytes(b"caf\xe9.png")), png(RED, 9)).unwrap();
    fs::write(place.photos().join(OsStr::from_bytes(b"caf\xea.png")), "rubbish").unwrap();
    let secret = place.write("secret.png", png(BLUE, 9));
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything; then that file is simply indexed.
    let is_readable = File::open(&secret).is_ok();

    let (code, stdout, stderr) = run(&place, &["index", "photos"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    let n_good = if is_readable { 6 } else { 5 };
    assert!(stderr.starts_with(&format!("images: {n_good} added")), "{stderr}");
    let expect = |name: &str, reason: &str| {
        let line = stderr.lines().find(|line| line.contains(name));
        assert!(line.is_some_and(|line| line.contains(reason)), "{name}: {stderr}");
    };
    expect("/text.png: ", "");
    expect("/cut.jpg: ", "");
    expect("/bomb.png: ", "60000");
    expect("/pipe.jpg: ", "named pipe");
    expect(r"/caf\xea.png: ", "");
    assert!(!stderr.contains("xe9"), "{stderr}");
    if !is_readable {
        expect("/secret.png: ", "ermission denied");
    }
    let (code, stdout, _) = run(&place, &["query", "--text", "red", "-k", "9", "--all", "--json"]);
    assert_eq!(code, 0);
    let lines = json_lines(&stdout);
    assert_eq!(lines.len(), n_good);
    assert!(lines.iter().any(|line| {
        line["path_hex"].as_str().is_some_and(|hex| hex.ends_with("636166e92e706e67"))
    }));
    check(&place);
}

/// What a progress line says is done is there after kill -9, and the next run ends where an unbroken one does.
#[test]
fn killed_in_the_middle() {
    let place = Place::new();
    long_tar(&place, 2_000);
    let mut child = mmsearch(&place)
        .args(["index", "--json", "photos/long.tar"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut n_promised = 0;
    for _ in 0..5 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["stage"], "images");
        n_promised = line["done"].as_u64().unwrap();
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "control: it was still at work");

    check(&place);
    let count = |place: &Place| {
        let status = &json_lines(&run(place, &["status", "--json"]).1)[0];
        status["items"][0]["count"].as_u64().unwrap()
    };
    let n_kept = count(&place);
    assert!(
        n_promised <= n_kept && n_kept < 2_000,
        "{n_promised} were promised, {n_kept} are there"
    );
    let (code, _, stderr) = run(&place, &["index", "photos/long.tar"]);
    assert_eq!(code, 0);
    let expected = format!(
        "images: {} added, 0 updated, 0 moved, {n_kept} unchanged, 0 forgotten\n",
        2_000 - n_kept
    );
    assert_eq!(stderr, expected);
    assert_eq!(count(&place), 2_000);
    check(&place);
}

#[test]
fn interrupted_it_ends_with_its_batch() {
    let place = Place::new();
    long_tar(&place, 2_000);
    let mut child = mmsearch(&place)
        .args(["index", "--json", "photos/long.tar"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().peekable();
    // The signal comes when the first line of progress is there; more may follow, or none.
    assert!(lines.peek().is_some());
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let n_done = lines.map(|line| {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        line["done"].as_u64().unwrap()
    });
    let n_done = n_done.last().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(output.stderr, b"mmsearch: cancelled; what was committed stays\n");
    let status = &json_lines(&run(&place, &["status", "--json"]).1)[0];
    assert_eq!(status["items"][0]["count"], n_done);
    assert!(n_done < 2_000);
    check(&place);
}

#[test]
fn the_wrong_model_and_the_wrong_file_end_with_7() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    for arguments in [&["query", "--text", "red"][..], &["index", "photos"]] {
        let other =
            mmsearch(&place).env("MMSEARCH_FAKE_ENCODER", "other").args(arguments).assert().code(7);
        let stderr = String::from_utf8(other.get_output().stderr.clone()).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.contains("was filled by model fake (") && stderr.contains("not by other ("),
            "{stderr}"
        );
    }
    // The version lies at byte 60 of the header, most significant byte first.
    let catalog = place.library().join("catalog.db");
    OpenOptions::new().write(true).open(&catalog).unwrap().write_all_at(&[0, 0, 0, 9], 60).unwrap();
    let before = fs::read(&catalog).unwrap();
    for arguments in
        [&["query", "--text", "red"][..], &["index", "photos"], &["status"], &["check"]]
    {
        let (code, _, stderr) = run(&place, arguments);
        assert_eq!((code, stderr.lines().count()), (7, 1), "{stderr}");
        assert!(stderr.contains("has version 9, this mmsearch knows up to 6"), "{stderr}");
    }
    assert_eq!(fs::read(&catalog).unwrap(), before);
}

#[test]
fn a_text_in_the_catalogs_place_is_corruption() {
    let place = three_photos();
    fs::create_dir(place.library()).unwrap();
    fs::write(place.library().join("catalog.db"), "hello").unwrap();
    for arguments in [&["query", "--text", "red"][..], &["index", "photos"]] {
        let (code, _, stderr) = run(&place, arguments);
        assert_eq!((code, stderr.lines().count()), (6, 1), "{stderr}");
    }
    assert_eq!(fs::read(place.library().join("catalog.db")).unwrap(), b"hello");
}

#[test]
fn damage_is_found_and_named() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    check(&place);
    let snapshot = place.library_files("snapshot-1-image").remove(0);
    let length = fs::metadata(&snapshot).unwrap().len();
    let file = OpenOptions::new().write(true).open(&snapshot).unwrap();
    file.set_len(length / 2).unwrap();
    let (code, stdout, _) = run(&place, &["check"]);
    assert_eq!(code, 6);
    assert!(stdout.starts_with("the snapshot of images: "), "{stdout}");
    // The answer is right all the same, with a warning; the next run mends it.
    let (code, stdout, stderr) = run(&place, &["query", "--text", "blue", "-k", "1"]);
    assert!(
        code == 0 && stdout.ends_with("blue.png\n") && stderr.starts_with("warning: "),
        "{stderr}"
    );
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    check(&place);
}

#[test]
fn a_second_writer_is_told_who_writes() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let library = Library::create_or_open(&place.library(), LibraryOptions::default()).unwrap();
    let (code, _, stderr) = run(&place, &["index", "photos"]);
    assert_eq!(code, 4);
    assert!(stderr.contains(&format!("(process {})", std::process::id())), "{stderr}");
    assert_eq!(run(&place, &["query", "--text", "red"]).0, 0, "readers do not wait");
    drop(library);
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
}

#[test]
fn where_stdout_ends() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let query = ["query", "--text", "red", "--json"];
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = mmsearch(&place).args(query).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8(output.stderr).unwrap().contains("No space left"));

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = mmsearch(&place).args(query).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn nothing_to_find() {
    let place = Place::new();
    let (code, _, stderr) = run(&place, &["query", "--text", "red"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("there is no library"), "{stderr}");
    assert!(!place.library().exists(), "asking makes nothing");
    assert_eq!(run(&place, &["forget", "7"]).0, 1);
    assert!(!place.library().exists());
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    let (code, stdout, _) = run(&place, &["query", "--text", "red"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(run(&place, &["status"]).0, 0);
    check(&place);
}

#[test]
fn where_the_library_lies() {
    let place = three_photos();
    let index = |command: &mut Command| {
        command.args(["index", "photos"]).assert().success();
    };
    index(mmsearch(&place).env("MMSEARCH_LIBRARY", ""));
    assert!(place.root().join("data/mmsearch/default/catalog.db").exists());
    assert!(!place.library().exists());
    index(&mut mmsearch(&place));
    assert!(place.library().exists());
    index(mmsearch(&place).args(["--library", "third"]));
    assert!(place.root().join("third/catalog.db").exists());
}

/// The fake model knows the colours by name, so it names them all; and all but one where two labels are exchanged.
#[test]
fn classes_are_named_by_their_labels() {
    let place = three_photos();
    let rows = |labels: [&str; 3]| {
        let files = ["red.png", "green.png", "deep/blue.png"];
        let row = |(file, label)| format!("{{\"image\":\"{file}\",\"label\":\"{label}\"}}\n");
        let unlabelled = r#"{"image":"red.png","captions":["no label"],"split":"other"}"#;
        files.into_iter().zip(labels).map(row).collect::<String>() + unlabelled + "\n"
    };
    let path = place.root().join("photos/labels.jsonl");
    let top1 = |labels: [&str; 3], more: &[&str]| {
        fs::write(&path, rows(labels)).unwrap();
        let arguments = ["eval", "--labels", "photos/labels.jsonl", "--json"];
        let (code, stdout, stderr) = run(&place, &[&arguments, more].concat());
        assert_eq!((code, stderr.as_str()), (0, ""));
        let line = json_lines(&stdout).remove(0);
        assert_eq!((&line["images"], &line["classes"]), (&3.into(), &3.into()), "{line}");
        line["top1"].as_f64().unwrap()
    };
    assert_eq!(top1(["red", "green", "blue"], &[]), 100.0);
    assert_eq!(top1(["red", "green", "blue"], &["--prompt", "{}", "--prompt", "one {}"]), 100.0);
    assert!((top1(["red", "blue", "green"], &[]) - 100.0 / 3.0).abs() < 0.01, "the control");
    let (_, table, _) = run(&place, &["eval", "--labels", "photos/labels.jsonl"]);
    assert!(table.starts_with("top-1  top-5") && table.contains(" 33.3  100.0"), "{table}");
}

#[test]
fn wrong_usage() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    fs::write(place.root().join("photos/labels.jsonl"), r#"{"image":"red.png","label":"red"}"#)
        .unwrap();
    for arguments in [
        &["query"][..],
        &["query", "--text", " "],
        &["query", "--text", "red", "-k", "0"],
        &["query", "--text", "red", "-k", "10001"],
        &["query", "red -"],
        &["query", "-k5"],
        &["query", "--text", "red", "-n"],
        &["query", "red + 0*blue"],
        &["query", "#77"],
        &["query", "--like", "77"],
        &["query", "--image", "-", "--image", "-"],
        &["query", "red", "--where", "width >"],
        &["query", "red", "--where", "wdth > 5"],
        &["index"],
        &["eval"],
        &["eval", "--pairs", "photos", "--labels", "photos/labels.jsonl"],
        &["eval", "--labels", "photos/labels.jsonl", "--prompt", "a dog"],
        &["train", "--out", "run"],
        &["train", "--out", "run", "--pairs", "photos"],
        &["dance"],
    ] {
        let (code, stdout, stderr) = run(&place, arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!stderr.is_empty());
    }
    assert_eq!(run(&place, &["--help"]).0, 0);
    assert_eq!(run(&place, &["index", "nowhere"]).0, 5);
    assert_eq!(run(&place, &["query", "--image", "photos/nothing.png"]).0, 5);
    assert!(run(&place, &["completions", "bash"]).1.contains("_mmsearch"));
}

#[test]
fn forget_by_path_and_by_id() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let line = &json_lines(&run(&place, &["query", "--text", "red", "-k", "1", "--json"]).1)[0];
    let id = line["id"].to_string();
    let (code, _, stderr) = run(&place, &["forget", &id, "photos/deep"]);
    assert_eq!((code, stderr.as_str()), (0, "forgot 2 images and 0 texts\n"));
    assert_eq!(found(&place, &["query", "--text", "red", "--all"]), ["green.png"]);
    assert_eq!(run(&place, &["forget", &id]).0, 1);
    assert!(place.photo("red.png").exists(), "the file stays");
    check(&place);
}

#[test]
fn an_unmounted_root_is_not_forgotten() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    fs::rename(place.photos(), place.root().join("away")).unwrap();
    let (code, _, stderr) = run(&place, &["index", "photos"]);
    assert_eq!(code, 5);
    assert!(stderr.contains("held 3 items"), "{stderr}");
    assert_eq!(run(&place, &["query", "--text", "red"]).0, 0);
    let (code, _, stderr) = run(&place, &["index", "--prune-missing-root", "photos"]);
    assert!(code == 0 && stderr.contains("3 forgotten"), "{stderr}");
    check(&place);
}

/// The library is as private as the photos.
#[test]
fn the_library_is_its_owners_only() {
    let place = three_photos();
    let index = "umask 000; exec \"$0\" index photos";
    let status = mmsearch(&place);
    let program = status.get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args([OsStr::new("-c"), OsStr::new(index), &program]).current_dir(place.root());
    shell.env("MMSEARCH_FAKE_ENCODER", "1").env("MMSEARCH_LIBRARY", place.library());
    shell.env("XDG_DATA_HOME", place.root().join("data"));
    assert!(shell.status().unwrap().success());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.library()), 0o700);
    let files = place.library_files("");
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
