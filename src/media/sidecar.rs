//! Sidecars: a text beside a picture that says what it shows, in a file with the picture's name and `.txt` behind it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::words::on_one_line;
use super::{Kind, Skipped, io_reason, kind_of_name, open_regular};
use crate::error::Error;

/// How much of a sidecar is read.
const MAX_BYTES: u64 = 64 << 10;

/// Where the sidecars of pictures are.
///
/// What it costs to know: when the first picture of a directory is asked for, the names in the directory are listed once
/// more than by the walk that found it. No file is looked at, and only the names of sidecars are kept.
#[derive(Debug, Default)]
pub struct Sidecars {
    /// By directory and by the name of the picture; `None` for a directory that cannot be listed.
    names: HashMap<PathBuf, Option<HashMap<OsString, OsString>>>,
}

impl Sidecars {
    /// The sidecar of a picture in a file of its own.
    pub fn of(&mut self, picture: &Path) -> Option<PathBuf> {
        let sidecar = self.beside(picture)?.get(picture.file_name()?)?;
        Some(picture.with_file_name(sidecar))
    }

    /// Whether it can be known if a picture has a sidecar: its directory can be listed.
    pub fn can_tell(&mut self, picture: &Path) -> bool {
        self.beside(picture).is_some()
    }

    fn beside(&mut self, picture: &Path) -> Option<&HashMap<OsString, OsString>> {
        let dir = picture.parent()?;
        if !self.names.contains_key(dir) {
            self.names.insert(dir.into(), list(dir));
        }
        self.names[dir].as_ref()
    }
}

/// The picture beside a file that is its sidecar.
pub(crate) fn picture_of_sidecar(path: &Path) -> Option<PathBuf> {
    let picture = path.with_file_name(path.file_name().and_then(picture_of)?);
    (path.is_file() && picture.is_file()).then_some(picture)
}

/// What a sidecar says, on one line; `None` if it says nothing or is gone.
///
/// # Errors
/// Why it cannot be read: it must be a regular file in UTF-8. What comes after the first 64 KiB is not read.
pub fn read_sidecar(path: &Path) -> Result<Option<String>, Skipped> {
    let skipped = |reason| Skipped { path: path.into(), reason };
    let file = match open_regular(path) {
        Ok((file, _)) => file,
        Err(Error::Io { error, .. }) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(Error::Io { action, error, .. }) => return Err(skipped(io_reason(action, &error))),
        Err(Error::BadInput { reason, .. }) => return Err(skipped(reason)),
        Err(error) => return Err(skipped(error.to_string())),
    };
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| skipped(io_reason("read", &error)))?;
    let text = utf8(&bytes).ok_or_else(|| skipped("not a text in UTF-8".into()))?;
    Ok(on_one_line(text.trim_start_matches('\u{feff}'), usize::MAX))
}

/// The text of bytes, the last character of which may have been cut.
fn utf8(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

/// The sidecars in a directory by the names of their pictures; `None` if it cannot be listed.
fn list(dir: &Path) -> Option<HashMap<OsString, OsString>> {
    let mut names: Vec<OsString> = fs::read_dir(dir)
        .ok()?
        .filter_map(std::result::Result::ok)
        // The kind comes with the name; links are passed over as everywhere.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name())
        .filter(|name| picture_of(name).is_some())
        .collect();
    // Of two whose names differ in case only, the last is kept: `.txt` rather than `.TXT`.
    names.sort();
    let by_picture = |name: OsString| Some((picture_of(&name)?.to_owned(), name));
    Some(names.into_iter().filter_map(by_picture).collect())
}

/// The name of the picture to which a file belongs, if its own name is that of a sidecar.
fn picture_of(name: &OsStr) -> Option<&OsStr> {
    let (picture, ending) = name.as_bytes().split_last_chunk::<4>()?;
    let picture = OsStr::from_bytes(picture);
    let is_picture = kind_of_name(Path::new(picture)) == Some(Kind::Image);
    (ending.eq_ignore_ascii_case(b".txt") && is_picture).then_some(picture)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn read(bytes: impl AsRef<[u8]>) -> Result<Option<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg.txt");
        fs::write(&path, bytes).unwrap();
        read_sidecar(&path).map_err(|skipped| {
            assert_eq!(skipped.path, path);
            skipped.reason
        })
    }

    #[test]
    fn a_picture_has_the_text_of_its_name_in_any_case() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "a.jpg.txt",
            "a.jpg.TXT",
            "B.PNG.Txt",
            "c.txt",
            "d.jpg.txt.jpg",
            "e.jpgtxt",
            "f.heic.txt",
            "caf\u{e9}.webp.txt",
            ".txt",
        ];
        names.iter().for_each(|name| fs::write(dir.path().join(name), "x").unwrap());
        symlink("a.jpg.txt", dir.path().join("g.jpg.txt")).unwrap();
        fs::create_dir(dir.path().join("h.jpg.txt")).unwrap();
        let mut sidecars = Sidecars::default();
        for (picture, sidecar) in [
            ("a.jpg", Some("a.jpg.txt")),
            ("B.PNG", Some("B.PNG.Txt")),
            ("caf\u{e9}.webp", Some("caf\u{e9}.webp.txt")),
            ("A.jpg", None),
            ("c.jpg", None),
            ("c", None),
            ("d.jpg", None),
            ("e.jpg", None),
            ("f.heic", None),
            ("g.jpg", None),
            ("h.jpg", None),
        ] {
            let expected = sidecar.map(|sidecar| dir.path().join(sidecar));
            assert_eq!(sidecars.of(&dir.path().join(picture)), expected, "{picture}");
        }
        assert_eq!(sidecars.of(&dir.path().join("nowhere/a.jpg")), None);
        assert_eq!(sidecars.names.len(), 2);

        let picture = |name| picture_of_sidecar(&dir.path().join(name));
        assert_eq!(picture("a.jpg.txt"), None, "there is no picture");
        fs::write(dir.path().join("a.jpg"), "").unwrap();
        assert_eq!(picture("a.jpg.txt"), Some(dir.path().join("a.jpg")));
        assert_eq!(picture("c.txt"), None);
    }

    #[test]
    fn the_text_is_one_line_of_utf_8() {
        assert_eq!(
            read("\u{feff}A dog\r\n\ton the\x07 beach\n").unwrap().unwrap(),
            "A dog on the beach"
        );
        assert_eq!(read("\n \n").unwrap(), None);
        assert_eq!(read(b"B\xe4r").unwrap_err(), "not a text in UTF-8");
    }

    #[test]
    fn what_comes_after_64_kib_is_not_read() {
        // Two bytes a character behind one of one, so that the end lies within a character.
        let text = read(format!("x{}", "ä".repeat(40_000))).unwrap().unwrap();
        assert_eq!(text.len() as u64, MAX_BYTES - 1);
        assert!(text.ends_with('ä'));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg.txt");
        assert_eq!(read_sidecar(&path).unwrap(), None);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(read_sidecar(&path).unwrap_err().reason, "not a regular file");
    }
}
