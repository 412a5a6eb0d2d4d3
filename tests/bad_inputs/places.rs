//! Rows 16 to 18, 30 and 37: files and roots that go, disks that are full, and readers that leave.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

use crate::common::program::{check, json_lines, mmsearch, run, three_photos};
use crate::common::{Place, RED, png};
use crate::table::{INDEX, QUERY, Row, Stdout, images, prove};

/// A pipe that holds all it can, so that whoever writes into it waits until it is read.
fn full_pipe() -> (File, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    let writer = OwnedFd::from(writer);
    // Another description of it that does not wait.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
    let mut filler = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path);
    let filler = filler.as_mut().unwrap();
    for size in [4096, 1] {
        while filler.write(&vec![b'\n'; size]).is_ok() {}
    }
    (OwnedFd::from(reader).into(), writer)
}

/// The program tells of each thousand files that it has found, and cannot go on before it is heard: then a file is listed and not
/// yet read.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_goes_between_being_listed_and_being_read_is_told_of() {
    let place = three_photos();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    let listed = place.write("a-new.png", png(RED, 7));
    let changed = place.write("b-new.png", png(RED, 8));
    for n in 0..1_100 {
        place.write(&format!("c{n:04}.png"), "no picture");
    }
    let (mut reader, writer) = full_pipe();
    let mut child = mmsearch(&place)
        .args(["index", "photos", "--json"])
        .stdout(Stdio::from(writer))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It waits in `write` on its standard output.
    let call = format!("/proc/{}/syscall", child.id());
    while !fs::read_to_string(&call).unwrap_or_default().starts_with("1 0x1 ") {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::yield_now();
    }
    fs::remove_file(&listed).unwrap();
    fs::write(&changed, "no picture any more").unwrap();
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let reasons: Vec<_> = json_lines(said.trim_start())
        .into_iter()
        .filter(|line| line["event"] == "skipped")
        .map(|line| (line["path"].as_str().unwrap().to_owned(), line["reason"].clone()))
        .collect();
    let reason = |name: &str| reasons.iter().find(|(path, _)| path.ends_with(name)).unwrap();
    assert_eq!(reason("a-new.png").1, "vanished while it was indexed");
    assert_eq!(reason("b-new.png").1, "not a picture in a known format");
    assert_eq!(images(&place).len(), 3);
    check(&place);
}

#[test]
fn roots_that_are_away() {
    prove(&[
        Row {
            number: 17,
            name: "a root that is gone",
            set_up: |place| fs::rename(place.photos(), place.root().join("away")).unwrap(),
            code: 5,
            says: &[&[
                "/photos is missing, empty or another disk, but held 3 items; nothing was forgotten",
            ]],
            ..INDEX
        },
        Row {
            number: 17,
            name: "a root that is empty",
            set_up: |place| {
                fs::rename(place.photos(), place.root().join("away")).unwrap();
                fs::create_dir(place.root().join("photos")).unwrap();
            },
            code: 5,
            says: &[&[
                "/photos is missing, empty or another disk, but held 3 items; nothing was forgotten",
            ]],
            ..INDEX
        },
        Row {
            number: 17,
            name: "a root that never was",
            command: &["index", "nowhere"],
            code: 5,
            says: &[&["mmsearch: cannot open nowhere: No such file"]],
            ..INDEX
        },
        Row {
            number: 17,
            name: "one of two roots is gone: nothing of the other is indexed either",
            set_up: |place| {
                fs::create_dir(place.root().join("more")).unwrap();
                fs::write(place.root().join("more/new.png"), png(RED, 7)).unwrap();
                fs::rename(place.photos(), place.root().join("away")).unwrap();
            },
            command: &["index", "more", "photos"],
            code: 5,
            says: &[&["/photos is missing, empty or another disk"]],
            ..INDEX
        },
        Row {
            number: 18,
            name: "an empty directory beside",
            set_up: |place| fs::create_dir(place.root().join("empty")).unwrap(),
            command: &["index", "empty"],
            says: &[&["images: 0 added"]],
            ..INDEX
        },
    ]);
    // Only who says so forgets it.
    let place = three_photos();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    fs::rename(place.photos(), place.root().join("away")).unwrap();
    let (code, _, stderr) = run(&place, &["index", "--prune-missing-root", "photos"]);
    assert!(code == 0 && stderr.contains("3 forgotten"), "{stderr}");
    check(&place);
}

#[test]
fn a_library_without_anything_answers_with_nothing() {
    let place = Place::new();
    let (code, stdout, stderr) = run(&place, &["index", "photos"]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    for arguments in [
        &["query", "--text", "red"][..],
        &["query", "--text", "red", "--json"],
        &["query", "--image", "/dev/zero"],
        &["random"],
        &["duplicates"],
    ] {
        let (code, stdout, stderr) = run(&place, arguments);
        assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
    }
    check(&place);
}

#[test]
fn readers_that_leave_and_disks_that_are_full() {
    prove(&[
        Row {
            number: 37,
            name: "control: a report",
            command: &["index", "photos", "--json"],
            stdout: Stdout::AnyJson,
            ..INDEX
        },
        Row {
            name: "control: an answer",
            code: 0,
            says: &[],
            stdout: Stdout::Json(3),
            command: &["query", "--text", "red", "--all", "--json"],
            ..QUERY
        },
    ]);
    let place = three_photos();
    place.write("new.png", png(RED, 7));
    for arguments in [
        &["index", "photos", "--json"][..],
        &["query", "--text", "red"],
        &["query", "--text", "red", "--json"],
        &["status"],
        &["--help"],
        &["completions", "bash"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = mmsearch(&place).args(arguments).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {stderr}");
        assert!(stderr.lines().count() <= 1, "{arguments:?}: {stderr}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = mmsearch(&place).args(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(output.stderr, b"", "{arguments:?}");
    }
    assert_eq!(images(&place).len(), 4, "what was told of nobody is done all the same");
    // Nobody to tell of errors either.
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = mmsearch(&place).args(["index", "nowhere"]).stderr(full).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    check(&place);
}

/// The first page of an answer is read, and the rest is not.
#[test]
fn a_reader_that_wants_a_line_gets_it() {
    let place = Place::new();
    for n in 0..600 {
        place.write(
            &format!("a-photo-with-a-long-name-so-that-a-pipe-is-soon-full-{n:0120}.png"),
            png(RED, n),
        );
    }
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    let mut child = mmsearch(&place)
        .args(["query", "--text", "red", "--all", "-k", "600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("a-photo-with"), "{line}");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    check(&place);
}

/// A file system of 2 MB fills up in the middle, in a name space of mounts that nobody else sees.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing_and_is_gone_on_with() {
    let mount = |place: &Place, script: &str| {
        let script = format!("mount -t tmpfs -o size=2m tmpfs \"$1\" && shift && {script}");
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--map-root-user", "/bin/sh", "-c", &script, "sh"]);
        shell.arg(place.root().join("disk")).arg(mmsearch(place).get_program());
        shell.current_dir(place.root()).env("MMSEARCH_FAKE_ENCODER", "1").env_remove("HOME");
        shell.env("MMSEARCH_LIBRARY", place.root().join("disk/library"));
        shell.output().unwrap()
    };
    let place = three_photos();
    fs::create_dir(place.root().join("disk")).unwrap();
    if !mount(&place, "true").status.success() {
        // Some machines let nobody mount; there this cannot be seen.
        return;
    }
    crate::common::program::long_tar(&place, 3_000);
    let output = mount(
        &place,
        r#"
        "$1" index photos || exit 91
        "$1" index photos/long.tar >told 2>full; code=$?
        tail -n 1 full
        [ $code = 5 ] || { echo "code $code"; exit 92; }
        [ $(wc -l <full) = 1 ] || exit 93
        n=$("$1" query --text red --all -k 10000 --paths | wc -l); echo "$n are there"
        [ $n -ge 3 ] || exit 94
        "$1" query --text blue -k 1 --paths | grep -q deep/blue.png || exit 95
        "$1" check || exit 96
        mount -o remount,size=64m "${MMSEARCH_LIBRARY%/*}" || exit 97
        "$1" index photos/long.tar || exit 98
        n=$("$1" query --text red --all -k 10000 --paths | wc -l); echo "$n are there"
        [ $n = 3003 ] || exit 99
        "$1" check"#,
    );
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(0), "{said:?}");
    assert!(said[0].contains("full") || said[0].contains("No space"), "{said:?}");
}
