//! Libraries where they cannot be written: on a file system that is mounted for reading only.
//!
//! Mounting needs the right to; where it is missing, these tests say so and pass.
#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "these are tests"
)]

mod common;

use std::fs::{self, DirBuilder};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Place;
use common::program::{run, three_photos};
use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{IndexOptions, Library, LibraryOptions};

/// A small file system of its own, gone at the end, also of a test that fails.
struct Disk(PathBuf);

impl Disk {
    /// `None`, and a word about it, where this process may not mount.
    fn mounted(place: &Place) -> Option<Self> {
        let dir = place.root().join("disk");
        fs::create_dir(&dir).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=16m,mode=0700", "none"], &dir);
        if !mounted {
            eprintln!("skipped: this process may not mount a file system");
        }
        mounted.then_some(Self(dir))
    }

    fn set_read_only(&self) {
        assert!(mount(&["-o", "remount,ro"], &self.0), "a tmpfs can be made read-only");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, so that a file that is still open does not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn mount(options: &[&str], dir: &Path) -> bool {
    let output = Command::new("mount").args(options).arg(dir).output();
    output.is_ok_and(|output| output.status.success())
}

fn index(library: &Path, photos: PathBuf) -> Library {
    let mut library = Library::create_or_open(library, LibraryOptions::default()).unwrap();
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let mut encoder = FakeEncoder::default();
    library.index(&mut encoder, &[photos], &IndexOptions::default(), &mut go_on).unwrap();
    library
}

/// Control: the same questions before the file system was made read-only.
#[test]
fn a_library_on_read_only_media_answers_and_refuses_to_be_written() {
    let place = three_photos();
    let Some(disk) = Disk::mounted(&place) else { return };
    let dir = disk.0.join("library");
    let library = dir.to_str().unwrap();
    drop(index(&dir, place.photos()));
    let questions = [
        &["--library", library, "query", "--text", "red", "--json"][..],
        &["--library", library, "query", "red", "--where", "width > 1"],
        &["--library", library, "similar", "photos/red.png"],
        &["--library", library, "status"],
        &["--library", library, "check"],
    ];
    let before = questions.map(|question| run(&place, question));
    assert!(before.iter().all(|(code, ..)| *code == 0), "{before:?}");
    assert!(before.iter().all(|(_, _, stderr)| !stderr.contains("warning")), "{before:?}");
    disk.set_read_only();
    for (question, (code, stdout, stderr)) in questions.iter().zip(before) {
        let warning = format!(
            "warning: library {library} cannot be written here; it is read as it lies there, without locks\n"
        );
        assert_eq!(run(&place, question), (code, stdout, warning + &stderr), "{question:?}");
    }
    for command in [&["index", "photos"][..], &["forget", "photos"], &["tag", "1", "+dog"]] {
        let (code, stdout, stderr) = run(&place, &[&["--library", library], command].concat());
        let error = stderr.lines().last().unwrap();
        assert_eq!((code, stdout.as_str()), (5, ""), "{command:?}: {stderr}");
        assert!(error.contains(library) && error.contains("Read-only file system"), "{stderr}");
    }
}

#[test]
fn what_would_have_to_be_written_first_is_refused_with_what_to_do() {
    let place = three_photos();
    let Some(disk) = Disk::mounted(&place) else { return };
    let [old, busy] = ["old", "busy"].map(|name| {
        let dir = disk.0.join(name);
        DirBuilder::new().mode(0o700).create(&dir).unwrap();
        dir
    });
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalogs/v5.db");
    fs::copy(fixture, old.join("catalog.db")).unwrap();
    // Copied while it is open, with what is in the log only.
    let library = index(&place.library(), place.photos());
    for name in ["catalog.db", "catalog.db-wal"] {
        fs::copy(place.library().join(name), busy.join(name)).unwrap();
    }
    assert!(fs::metadata(busy.join("catalog.db-wal")).unwrap().len() > 0);
    drop(library);
    disk.set_read_only();
    let status = |dir: &Path| run(&place, &["--library", dir.to_str().unwrap(), "status"]);
    let (code, stdout, stderr) = status(&old);
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (7, "", 1), "{stderr}");
    assert!(stderr.contains("has version 5 and cannot be brought to 6"), "{stderr}");
    assert!(stderr.contains("copy the library to where it can"), "{stderr}");
    let (code, stdout, stderr) = status(&busy);
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (5, "", 1), "{stderr}");
    assert!(stderr.contains("write-ahead log must be taken in first; copy it"), "{stderr}");
}

/// Control: nothing is said of a library that only its owner can read.
#[test]
fn the_user_is_told_once_of_a_library_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = three_photos();
    let indexed = run(&place, &["index", "photos"]);
    assert!(indexed.0 == 0 && !indexed.2.contains("warning"), "{indexed:?}");
    fs::set_permissions(place.library(), PermissionsExt::from_mode(0o755)).unwrap();
    for command in [&["status"][..], &["query", "red"], &["tag", "1", "+dog"], &["index", "photos"]]
    {
        let (code, _, stderr) = run(&place, command);
        assert_eq!((code, stderr.matches("chmod -R go-rwx").count()), (0, 1), "{command:?}");
    }
}
