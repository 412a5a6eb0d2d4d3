//! Rows 11 to 15: what lies in directories beside files, and names that no program likes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::program::{check, mmsearch, run, three_photos};
use crate::common::{GREEN, RED, png};
use crate::table::{INDEX, Row, prove, write_named};

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_is_no_file_is_passed_over() {
    prove(&[
        Row {
            number: 11,
            name: "a pipe, a socket, a device and a directory with the names of pictures",
            set_up: |place| {
                mkfifo(&place.photo("pipe.jpg"));
                UnixListener::bind(place.photo("socket.jpg")).unwrap();
                symlink("/dev/zero", place.photo("zero.jpg")).unwrap();
                place.write("dir.jpg/inside.png", png(RED, 7));
            },
            code: 3,
            says: &[
                &["skipped: 3"],
                &["/pipe.jpg: a named pipe, not a file"],
                &["/socket.jpg: a socket, not a file"],
                &["/dir.jpg: a directory with the name of a file; what it holds was looked at"],
            ],
            n_added: 1,
            ..INDEX
        },
        Row {
            number: 11,
            name: "a pipe that is named itself",
            set_up: |place| mkfifo(&place.photo("pipe.jpg")),
            command: &["index", "photos/pipe.jpg"],
            code: 3,
            says: &[&["/pipe.jpg: a named pipe, not a file"]],
            ..INDEX
        },
        Row {
            number: 11,
            name: "a pipe that is asked for",
            set_up: |place| mkfifo(&place.photo("pipe.jpg")),
            command: &["query", "--image", "photos/pipe.jpg"],
            code: 5,
            says: &[&["mmsearch: photos/pipe.jpg: not a regular file"]],
            ..INDEX
        },
        Row {
            number: 11,
            name: "an endless device that is asked for",
            command: &["query", "--image", "/dev/zero"],
            code: 5,
            says: &[&["mmsearch: /dev/zero: not a regular file"]],
            ..INDEX
        },
        Row {
            number: 12,
            name: "loops of links, and links to nothing",
            set_up: |place| {
                symlink(".", place.photo("loop")).unwrap();
                symlink("..", place.photo("up")).unwrap();
                symlink("self.jpg", place.photo("self.jpg")).unwrap();
                symlink("nothing.jpg", place.photo("dangling.jpg")).unwrap();
                symlink("red.png", place.photo("link.png")).unwrap();
            },
            says: &[&["images: 0 added", "3 unchanged"]],
            ..INDEX
        },
    ]);
}

/// For the superuser nothing is unreadable, so it runs the program as somebody else.
#[test]
fn what_may_not_be_read_is_listed_and_the_rest_is_indexed() {
    const NOBODY: u32 = 65_534;
    let place = three_photos();
    place.write("locked/inside.png", png(RED, 8));
    place.write("secret.png", png(RED, 9));
    let is_root = fs::metadata(place.photos()).is_ok_and(|_| fs::read_dir("/proc/1/fd").is_ok());
    // Where it was built, nobody else may be able to go.
    let program = place.root().join("mmsearch");
    fs::copy(env!("CARGO_BIN_EXE_mmsearch"), &program).unwrap();
    if is_root {
        chown_all(place.root(), NOBODY);
    }
    let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode));
    mode(&place.photo("locked"), 0o000).unwrap();
    mode(&place.photo("secret.png"), 0o000).unwrap();
    let run = |arguments: &[&str]| {
        let mut usual = mmsearch(&place);
        usual.args(arguments);
        let mut command = Command::new(&program);
        command.args(usual.get_args()).current_dir(place.root()).env_remove("HOME");
        command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = run(&["index", "photos"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.starts_with("images: 3 added"), "{stderr}");
    assert!(stderr.contains("/locked: cannot read it: Permission denied"), "{stderr}");
    assert!(stderr.contains("/secret.png: cannot open it: Permission denied"), "{stderr}");
    let (code, stderr) = run(&["query", "--image", "photos/secret.png"]);
    assert_eq!((code, stderr.lines().count()), (Some(5), 1), "{stderr}");
    assert!(stderr.contains("cannot open photos/secret.png: Permission denied"), "{stderr}");
    // What became unreadable is not forgotten, and what became readable is read.
    mode(&place.photo("deep"), 0o000).unwrap();
    mode(&place.photo("secret.png"), 0o600).unwrap();
    let (code, stderr) = run(&["index", "photos"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.starts_with("images: 1 added, 0 updated") || stderr.contains("1 updated"));
    assert!(stderr.contains(" 0 forgotten"), "{stderr}");
    // A library that may not be written is not written.
    mode(&place.library(), 0o500).unwrap();
    mode(&place.library().join("catalog.db"), 0o000).unwrap();
    let (code, stderr) = run(&["index", "photos"]);
    assert_eq!((code, stderr.lines().count()), (Some(5), 1), "{stderr}");
    mode(&place.library(), 0o700).unwrap();
    mode(&place.library().join("catalog.db"), 0o600).unwrap();
    assert_eq!(run(&["check"]).0, Some(0));
    for dir in ["locked", "deep"] {
        mode(&place.photo(dir), 0o700).unwrap();
    }
}

fn chown_all(path: &Path, owner: u32) {
    chown(path, Some(owner), Some(owner)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| chown_all(&entry.unwrap().path(), owner));
    }
}

#[test]
fn names_are_kept_as_they_are_and_shown_escaped() {
    let place = three_photos();
    let names: [&[u8]; 8] = [
        b"caf\xe9.png",
        b"caf\xea.png",
        b"new\nline.png",
        b"tab\t\x1b[31m.png",
        "gnp.\u{202e}evil.png".as_bytes(),
        b"-rf.png",
        b"--library.png",
        b" .png",
    ];
    for (n, name) in (0..).zip(names) {
        write_named(&place, name, &png(RED, n));
    }
    // Nearly as long as a path may be.
    let mut deep = place.photos();
    while deep.as_os_str().len() < 3_800 {
        deep.push("d".repeat(200));
        fs::create_dir(&deep).unwrap();
    }
    fs::write(deep.join("long.png"), png(GREEN, 100)).unwrap();
    let (code, stdout, stderr) = run(&place, &["index", "photos"]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert!(stderr.starts_with("images: 12 added"), "{stderr}");

    let query = ["query", "--text", "red", "--all", "-k", "100", "--null"];
    let output = mmsearch(&place).args(query).output().unwrap();
    let paths: BTreeSet<PathBuf> = output
        .stdout
        .split(|&byte| byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| OsStr::from_bytes(path).into())
        .collect();
    assert_eq!(paths.len(), 12, "all are different");
    assert!(paths.iter().all(|path| fs::metadata(path).unwrap().is_file()), "all can be opened");
    for name in names {
        assert!(paths.contains(&place.photos().join(OsStr::from_bytes(name))), "{name:?}");
    }

    for arguments in [&["query", "--text", "red", "--all", "-k", "100"][..], &["check"]] {
        let (_, stdout, stderr) = run(&place, arguments);
        let shown = format!("{stdout}{stderr}");
        let is_raw = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
        assert!(!shown.contains(is_raw), "{shown}");
        assert_eq!(stdout.lines().count(), if arguments[0] == "query" { 12 } else { 0 });
    }
    // Each is found by its own bytes, and can be forgotten by them.
    for name in names {
        let path = place.photos().join(OsStr::from_bytes(name));
        let forget = mmsearch(&place).arg("forget").arg(&path).output().unwrap();
        assert_eq!(forget.status.code(), Some(0), "{name:?}");
    }
    let output = mmsearch(&place).args(query).output().unwrap();
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == 0).count(), 4);
    check(&place);
}

#[test]
fn many_files_and_deep_directories() {
    prove(&[
        Row {
            number: 15,
            name: "a directory of very many files",
            set_up: |place| {
                let is_long = std::env::var_os("MMSEARCH_TORTURE").is_some();
                let n_files = if is_long { 100_000 } else { 20_000 };
                for n in 0..n_files {
                    fs::write(place.photo(&format!("{n}.dat")), "").unwrap();
                }
                place.write("last.png", png(RED, 7));
            },
            memory_mb: Some(350),
            says: &[&["images: 1 added", "3 unchanged"]],
            n_added: 1,
            ..INDEX
        },
        Row {
            number: 15,
            name: "directories in directories",
            set_up: |place| {
                let deep = "d/".repeat(370) + "last.png";
                place.write(&deep, png(RED, 7));
            },
            memory_mb: Some(350),
            says: &[&["images: 1 added", "3 unchanged"]],
            n_added: 1,
            ..INDEX
        },
        Row {
            number: 14,
            name: "a path that is longer than the system takes",
            set_up: |place| {
                let walk = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23; do mkdir $0 && cd -P $0 || exit 1; done";
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", walk, &"d".repeat(200)]).current_dir(place.photos());
                assert!(shell.status().unwrap().success());
            },
            code: 3,
            says: &[&["skipped: 1"], &["File name too long"]],
            ..INDEX
        },
    ]);
}
