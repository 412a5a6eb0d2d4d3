//! What the help texts and the documentation say can be done, completions and man pages.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::program::{mmsearch, run, three_photos};
use crate::common::{Place, RED, jpeg};

/// A place in which `mmsearch` is a command, and a viewer that opens nothing.
fn with_commands() -> (Place, std::ffi::OsString) {
    let place = three_photos();
    fs::write(place.root().join("sofa.jpg"), jpeg(RED, 0)).unwrap();
    for name in ["sofa.jpg", "copy.jpg"] {
        place.write(name, jpeg(RED, 0));
    }
    fs::write(place.root().join("words.txt"), "a sofa\na chair\n").unwrap();
    place.write("IMG_2034.jpg", jpeg(RED, 1));
    for name in ["holiday.jpg", "IMG_1234.jpg", "Pictures/sofa.jpg", "Pictures/private/me.jpg"] {
        let path = place.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, jpeg(RED, 2)).unwrap();
    }
    fs::write(place.root().join("labels.txt"), "a dog\na cat\n").unwrap();
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), place.root().join("fixtures"))
        .unwrap();
    let rows = ["sofa", "red sofa", "a dog on the beach"]
        .map(|caption| format!("{{\"image\": \"sofa.jpg\", \"caption\": \"{caption}\"}}\n"));
    place.write("captions.jsonl", rows.concat());
    assert_eq!(run(&place, &["index", "photos", "Pictures", "holiday.jpg"]).0, 0);
    let bin = place.root().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_mmsearch"), bin.join("mmsearch")).unwrap();
    for viewer in ["xdg-open", "open"] {
        fs::write(bin.join(viewer), "#!/bin/sh\n").unwrap();
        fs::set_permissions(bin.join(viewer), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut path = bin.into_os_string();
    path.push(":/usr/bin:/bin");
    (place, path)
}

/// What comes of a line in a shell: the exit code, and stderr.
fn typed(place: &Place, path: &OsStr, line: &str) -> (Option<i32>, String) {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).env("PATH", path).env("HOME", place.root());
    shell.env("MMSEARCH_FAKE_ENCODER", "1").env("MMSEARCH_LIBRARY", place.library());
    let output = shell.current_dir(place.root()).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Commands of the documentation that other tests run, because they need a network, a model on the disk, or a minute; and a line of Cargo.toml.
const ELSEWHERE: [&str; 6] = ["model", "train", "eval", "reindex", "bench", "="];

/// Of a small library nothing may match; then that is what must be said.
#[test]
fn every_command_of_the_documentation_works() {
    let (place, path) = with_commands();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (page, n_least) in [("README.md", 25), ("docs/queries.md", 20)] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        // Every second piece between fences is code.
        let code = text.split("\n```").skip(1).step_by(2);
        let lines = code.flat_map(str::lines).map(|line| line.trim_start_matches("$ "));
        let is_ours = |line: &&str| {
            let mut words = line.split_whitespace();
            words.next() == Some("mmsearch")
                && words.next().is_some_and(|it| !ELSEWHERE.contains(&it))
                && !line.contains("--model")
                && !line.contains("--watch")
        };
        let mut n_lines = 0;
        for line in lines.filter(is_ours) {
            n_lines += 1;
            let (code, stderr) = typed(&place, &path, line);
            match line.split_once("# exit ") {
                Some((_, expected)) => {
                    let (expected, message) = expected.split_once(": ").unwrap();
                    assert_eq!(code, Some(expected.parse().unwrap()), "{line}: {stderr}");
                    assert!(stderr.contains(message), "{line}: {stderr}");
                }
                None if code == Some(1) && line.contains("query") => {
                    let is_said =
                        stderr.contains("nothing matches") || stderr.contains("satisfies");
                    assert!(is_said, "{line}: {stderr}");
                }
                None => assert_eq!(code, Some(0), "{line}: {stderr}"),
            }
        }
        assert!(n_lines >= n_least, "{page} has {n_lines}");
    }
}

#[test]
fn every_example_of_the_help_works() {
    let (place, path) = with_commands();
    for command in ["query", "similar", "duplicates", "random"] {
        let (code, help, _) = run(&place, &[command, "--help"]);
        assert_eq!(code, 0);
        let (_, examples) = help.split_once("\nExamples:\n").unwrap();
        let examples: Vec<&str> = examples.lines().map(str::trim).collect();
        assert!(examples.len() >= 3, "{help}");
        for example in examples {
            assert!(example.starts_with(&format!("mmsearch {command}")), "{example}");
            let (code, stderr) = typed(&place, &path, example);
            assert_eq!(code, Some(0), "{example}: {stderr}");
        }
    }
    for page in ["dogs.html", "duplicates.html", "sample.html", "groups.jsonl"] {
        assert!(fs::metadata(place.root().join(page)).unwrap().len() > 0, "{page}");
    }
}

#[test]
fn shells_know_the_subcommands_and_their_flags() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, stderr) = run(&place, &["completions", shell]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        for word in ["similar", "duplicates", "random", "thumbnails", "threshold", "html"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        let path = place.root().join(shell);
        fs::write(&path, script).unwrap();
        // Whether the shell reads its script, where that shell is installed.
        match Command::new(shell).arg("-n").arg(&path).output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => assert_ne!(shell, "bash", "{error}"),
        }
    }
}

#[test]
fn a_man_page_for_each_subcommand() {
    let place = Place::new();
    assert_eq!(run(&place, &["man", "man1"]), (0, String::new(), String::new()));
    let page = |name: &str| fs::read_to_string(place.root().join("man1").join(name)).unwrap();
    assert!(page("mmsearch.1").contains(".TH mmsearch 1"));
    for command in ["index", "query", "similar", "duplicates", "random", "model-pull"] {
        let page = page(&format!("mmsearch-{command}.1"));
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{command}");
    }
    let query = page("mmsearch-query.1");
    assert!(query.contains("Examples") && query.contains("sofa.jpg"), "{query}");
    let hidden = ["mmsearch-man.1", "mmsearch-completions.1"];
    assert!(!hidden.iter().any(|name| place.root().join("man1").join(name).exists()));
    fs::write(place.root().join("file"), "").unwrap();
    assert_eq!(mmsearch(&place).args(["man", "file"]).output().unwrap().status.code(), Some(5));
}
