use std::fs::{File, create_dir};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::*;

fn touch(path: impl AsRef<Path>) {
    File::create(path).unwrap();
}

type Found = Vec<(PathBuf, Kind)>;

/// Found entries and skipped paths with reasons, both relative to the root.
fn list(root: &Path) -> (Found, Vec<(PathBuf, String)>) {
    let base = root_path(root).unwrap();
    let relative = |path: PathBuf| path.strip_prefix(&base).unwrap().to_path_buf();
    let (mut found, mut skipped) = (vec![], vec![]);
    for entry in walk(root).unwrap() {
        match entry {
            Ok(entry) => found.push((relative(entry.path), entry.kind)),
            Err(skip) => skipped.push((relative(skip.path), skip.reason)),
        }
    }
    (found, skipped)
}

fn names(found: &[(PathBuf, Kind)]) -> Vec<&str> {
    found.iter().map(|(path, _)| path.to_str().unwrap()).collect()
}

#[test]
fn names_decide_what_a_directory_offers() {
    let dir = tempfile::tempdir().unwrap();
    create_dir(dir.path().join("sub")).unwrap();
    for name in [
        "b.JPG",
        "a.png",
        "notes.txt",
        "c.HEIC",
        "d.tar",
        "captions.jsonl",
        "other.csv",
        "plain",
        "sub/e.webp",
        "sub/captions.csv",
        ".png",
        "x.jsonl.gz",
        "captions.jsonl.gz",
    ] {
        touch(dir.path().join(name));
    }
    let (found, skipped) = list(dir.path());
    assert_eq!(
        found,
        [
            ("a.png", Kind::Image),
            ("b.JPG", Kind::Image),
            ("c.HEIC", Kind::Unsupported),
            ("captions.jsonl", Kind::Manifest),
            ("captions.jsonl.gz", Kind::Manifest),
            ("sub/captions.csv", Kind::Manifest),
            ("sub/e.webp", Kind::Image),
        ]
        .map(|(path, kind)| (PathBuf::from(path), kind))
    );
    assert_eq!(skipped, []);
}

#[test]
fn a_root_may_be_a_file_of_any_kind() {
    let dir = tempfile::tempdir().unwrap();
    for (name, kind) in [
        ("a.png", Kind::Image),
        ("a.dng", Kind::Unsupported),
        ("a.tar", Kind::Tar),
        ("my list.CSV", Kind::Manifest),
        ("l.jsonl.gz", Kind::Manifest),
        ("no-extension", Kind::Image),
    ] {
        let path = dir.path().join(name);
        touch(&path);
        let entries: Vec<_> = walk(&path).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(entries.len(), 1);
        assert_eq!((&entries[0].path, entries[0].kind), (&root_path(&path).unwrap(), kind));
    }
}

#[test]
fn a_missing_root_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let message = walk(&dir.path().join("gone")).err().unwrap().to_string();
    assert!(message.contains("gone") && message.starts_with("cannot open"), "{message}");
    assert_eq!(walk(dir.path()).unwrap().count(), 0);
}

#[test]
fn facts_are_those_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    std::fs::write(&path, b"12345").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
    File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let entry = walk(dir.path()).unwrap().next().unwrap().unwrap();
    assert_eq!((entry.size_bytes, entry.modified_ns), (5, 1_700_000_000_123_456_789));
    assert_ne!(entry.ino, 0);
}

#[test]
fn links_are_passed_over_and_loops_end() {
    let dir = tempfile::tempdir().unwrap();
    touch(dir.path().join("real.jpg"));
    symlink("real.jpg", dir.path().join("link.jpg")).unwrap();
    symlink("nowhere", dir.path().join("dangling.jpg")).unwrap();
    symlink("/dev/zero", dir.path().join("zero.jpg")).unwrap();
    symlink(".", dir.path().join("loop")).unwrap();
    let (found, skipped) = list(dir.path());
    assert_eq!((names(&found), skipped), (vec!["real.jpg"], vec![]));
}

#[test]
fn a_link_named_as_the_root_is_what_it_points_to() {
    let dir = tempfile::tempdir().unwrap();
    create_dir(dir.path().join("photos")).unwrap();
    touch(dir.path().join("photos/a.jpg"));
    symlink("photos", dir.path().join("link")).unwrap();
    let entry = walk(&dir.path().join("link")).unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path, root_path(dir.path()).unwrap().join("photos/a.jpg"));
}

#[test]
fn special_files_and_directories_with_a_picture_name_are_skipped_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    create_dir(dir.path().join("dir.jpg")).unwrap();
    touch(dir.path().join("dir.jpg/inside.png"));
    assert!(Command::new("mkfifo").arg(dir.path().join("fifo.jpg")).status().unwrap().success());
    assert!(Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket.png")).unwrap();
    touch(dir.path().join("z.jpg"));
    let (found, skipped) = list(dir.path());
    assert_eq!(names(&found), ["dir.jpg/inside.png", "z.jpg"]);
    let skipped: Vec<_> =
        skipped.iter().map(|(path, reason)| (path.to_str().unwrap(), reason.as_str())).collect();
    assert_eq!(
        skipped,
        [
            ("dir.jpg", "a directory with the name of a file; what it holds was looked at"),
            ("fifo.jpg", "a named pipe, not a file"),
            ("socket.png", "a socket, not a file"),
        ]
    );
}

#[test]
fn an_unreadable_directory_does_not_stop_the_walk() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    create_dir(&closed).unwrap();
    touch(closed.join("a.jpg"));
    touch(dir.path().join("z.jpg"));
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    let is_refused = std::fs::read_dir(&closed).is_err();
    let (found, skipped) = list(dir.path());
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    if is_refused {
        assert_eq!(names(&found), ["z.jpg"]);
        assert_eq!(skipped[0].0, Path::new("closed"));
        assert!(skipped[0].1.starts_with("cannot read it: Permission denied"));
    } else {
        // The superuser may read everything.
        assert_eq!((names(&found), skipped), (vec!["closed/a.jpg", "z.jpg"], vec![]));
    }
    assert_eq!(names(&list(dir.path()).0), ["closed/a.jpg", "z.jpg"]);
}

#[test]
fn odd_names_stay_distinct_and_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let odd: [&[u8]; 6] = [
        b"-rf.jpg",
        b"a\nb.jpg",
        b"caf\xe9.jpg",
        b"caf\xea.jpg",
        b"x\xe2\x80\xaegpj.jpg",
        b"~.jpg",
    ];
    for name in odd {
        touch(dir.path().join(OsStr::from_bytes(name)));
    }
    let mut found: Vec<_> =
        list(dir.path()).0.into_iter().map(|(path, _)| path.into_os_string()).collect();
    assert!(found.iter().all(|name| File::open(dir.path().join(name)).is_ok()));
    let mut expected: Vec<_> = odd.iter().map(|name| OsStr::from_bytes(name)).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn deep_and_wide_trees_are_walked() {
    let dir = tempfile::tempdir().unwrap();
    let mut deep = dir.path().to_path_buf();
    for _ in 0..370 {
        deep.push("d");
        create_dir(&deep).unwrap();
    }
    touch(deep.join("deep.png"));
    (0..2000).for_each(|i| touch(dir.path().join(format!("{i:04}.jpg"))));
    let (found, skipped) = list(dir.path());
    assert_eq!((found.len(), skipped), (2001, vec![]));
    assert_eq!(found[1999].0, Path::new("1999.jpg"));
    assert!(found[2000].0.ends_with("deep.png"));
}
