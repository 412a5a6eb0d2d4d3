//! The key under which an item's source is stored: a kind and two byte strings, unique together.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::item::Source;

/// A [`Source`] as the columns `source_kind`, `container` and `member`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceKey {
    pub(super) kind: &'static str,
    pub(super) container: Vec<u8>,
    pub(super) member: Vec<u8>,
}

impl SourceKey {
    pub(super) fn new(source: &Source) -> Self {
        let (kind, container, member) = match source {
            Source::File { path } => ("file", bytes(path), Vec::new()),
            Source::TarMember { tar, member } => ("tar", bytes(tar), bytes(member)),
            Source::ManifestRow { manifest, line, caption } => {
                ("manifest", bytes(manifest), format!("{line}#{caption}").into_bytes())
            }
            Source::Inline { name } => ("inline", name.clone().into_bytes(), Vec::new()),
        };
        Self { kind, container, member }
    }
}

/// The source of a key; `None` if no [`SourceKey`] looks like this.
pub(super) fn parse(kind: &str, container: Vec<u8>, member: Vec<u8>) -> Option<Source> {
    Some(match kind {
        "file" => Source::File { path: path(container) },
        "tar" => Source::TarMember { tar: path(container), member: path(member) },
        "manifest" => {
            let member = String::from_utf8(member).ok()?;
            let (line, caption) = member.split_once('#')?;
            let (line, caption) = (line.parse().ok()?, caption.parse().ok()?);
            Source::ManifestRow { manifest: path(container), line, caption }
        }
        "inline" => Source::Inline { name: String::from_utf8(container).ok()? },
        _ => return None,
    })
}

/// The bytes of a path, which need not be UTF-8.
pub(super) fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// The path of these bytes.
pub(super) fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// The half-open range of keys of everything below `dir`: from `dir/` to `dir0`, since `0` follows `/`.
pub(super) fn below(dir: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut prefix = bytes(dir);
    while prefix.last() == Some(&b'/') {
        prefix.pop();
    }
    let (mut from, mut to) = (prefix.clone(), prefix);
    from.push(b'/');
    to.push(b'0');
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_comes_back() {
        let odd: PathBuf = path(b"/caf\xe9\n".to_vec());
        for source in [
            Source::File { path: odd.clone() },
            Source::TarMember { tar: odd.clone(), member: "a/b.jpg".into() },
            Source::ManifestRow { manifest: odd, line: 12, caption: 3 },
            Source::Inline { name: "a photo".into() },
        ] {
            let key = SourceKey::new(&source);
            assert_eq!(parse(key.kind, key.container, key.member), Some(source));
        }
        assert_eq!(parse("manifest", b"/m".to_vec(), b"12".to_vec()), None);
        assert_eq!(parse("", vec![], vec![]), None);
    }

    #[test]
    fn below_a_directory_is_a_range() {
        let inside = |dir: &str, name: &str| {
            let (from, to) = below(Path::new(dir));
            from.as_slice() <= name.as_bytes() && name.as_bytes() < to.as_slice()
        };
        assert!(inside("/a", "/a/b") && inside("/a/", "/a/b/c") && inside("/", "/a"));
        assert!(!inside("/a", "/a") && !inside("/a", "/ab") && !inside("/a", "/a.jpg"));
    }
}
