//! Opens and reads files that somebody else may be writing, replacing or using as a trap.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::Limits;
use crate::error::{Error, Result, io_at};

/// What tells whether a file is still the one that was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Length.
    pub size_bytes: u64,
    /// Last change, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Device it lies on.
    pub dev: u64,
    /// Its number on that device.
    pub ino: u64,
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let seconds_ns = metadata.mtime().saturating_mul(1_000_000_000);
        Self {
            size_bytes: metadata.len(),
            modified_ns: seconds_ns.saturating_add(metadata.mtime_nsec()),
            dev: metadata.dev(),
            ino: metadata.ino(),
        }
    }
}

/// Reads a regular file whole, and says which state of it was read.
///
/// # Errors
/// [`Error::Io`] if it cannot be opened or read (a symbolic link cannot), [`Error::BadInput`] if it is not a
/// regular file, [`Error::BadImage`] if it is larger than `limits` allow (nothing is read then), or was changed
/// while it was read, twice.
pub fn read_regular(path: &Path, limits: &Limits) -> Result<(Vec<u8>, Stat)> {
    read_at_rest(path, limits, || ())
}

/// Opens a regular file for reading, without waiting for anybody and without following a symbolic link.
///
/// # Errors
/// [`Error::Io`] if it cannot be opened, [`Error::BadInput`] if it is a pipe, a directory or a device.
pub fn open_regular(path: &Path) -> Result<(File, Stat)> {
    // Without O_NONBLOCK, opening a named pipe waits for a writer for ever. Regular files do not care.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOCTTY)
        .open(path)
        .map_err(io_at("open", path))?;
    let metadata = file.metadata().map_err(io_at("look at", path))?;
    if !metadata.is_file() {
        return Err(Error::BadInput { path: path.into(), reason: "not a regular file".into() });
    }
    Ok((file, Stat::of(&metadata)))
}

/// [`read_regular`]; `after_read` runs between reading and the second look, for tests.
fn read_at_rest(
    path: &Path,
    limits: &Limits,
    mut after_read: impl FnMut(),
) -> Result<(Vec<u8>, Stat)> {
    for _attempt in 0..2 {
        let (mut file, before) = open_regular(path)?;
        let bytes = read_capped(path, &mut file, before.size_bytes, limits)?;
        after_read();
        // A writer that keeps length and time within one tick of the clock stays unseen; the content hash of the
        // bytes in hand is right all the same.
        let after = Stat::of(&file.metadata().map_err(io_at("look at", path))?);
        if before == after && bytes.len() as u64 == before.size_bytes {
            return Ok((bytes, before));
        }
    }
    let reason = "changed while it was read; index it again when nobody writes to it".into();
    Err(Error::BadImage { path: path.into(), reason })
}

fn read_capped(path: &Path, file: &mut File, size_bytes: u64, limits: &Limits) -> Result<Vec<u8>> {
    let cap = limits.max_file_bytes;
    let too_large =
        |n_bytes| Error::BadImage { path: path.into(), reason: too_large(n_bytes, cap) };
    if size_bytes > cap {
        return Err(too_large(size_bytes));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
    // One byte more than allowed tells a file that grew past the cap meanwhile.
    file.take(cap + 1).read_to_end(&mut bytes).map_err(io_at("read", path))?;
    if bytes.len() as u64 > cap {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

pub(super) fn too_large(n_bytes: u64, cap: u64) -> String {
    format!("too large: {n_bytes} bytes, the limit is {cap}")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    const SMALL: Limits = Limits { max_file_bytes: 100, max_pixels: 1 };

    fn file_with(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jpg");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    fn append(path: &Path, bytes: &[u8]) {
        File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn a_file_is_read_whole_with_its_stat() {
        let (_dir, path) = file_with(&[7; 100]);
        let (bytes, stat) = read_regular(&path, &SMALL).unwrap();
        assert_eq!((bytes, stat.size_bytes), (vec![7; 100], 100));
        assert_eq!(stat, Stat::of(&std::fs::metadata(&path).unwrap()));
    }

    #[test]
    fn a_file_over_the_limit_is_refused_unread() {
        let (_dir, path) = file_with(&[7; 101]);
        let message = read_regular(&path, &SMALL).unwrap_err().to_string();
        assert!(message.ends_with("a.jpg: too large: 101 bytes, the limit is 100"), "{message}");
        // 3 GB without content: reading it would take seconds.
        File::options().write(true).open(&path).unwrap().set_len(3 << 30).unwrap();
        let start = Instant::now();
        assert!(read_regular(&path, &Limits::default()).is_err());
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn pipes_links_directories_and_devices_are_refused_at_once() {
        let (dir, path) = file_with(b"x");
        let at = |name: &str| dir.path().join(name);
        assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        symlink(&path, at("link")).unwrap();
        for (path, reason) in [
            (at("fifo"), "not a regular file"),
            (dir.path().into(), "not a regular file"),
            ("/dev/zero".into(), "not a regular file"),
            (at("link"), "cannot open"),
            (at("gone"), "No such file"),
        ] {
            let message = read_regular(&path, &SMALL).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
        assert_eq!(read_regular(&path, &SMALL).unwrap().0, b"x");
    }

    #[test]
    fn an_unreadable_file_is_an_error_that_names_it() {
        let (_dir, path) = file_with(b"x");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
        let is_refused = File::open(&path).is_err();
        match read_regular(&path, &SMALL) {
            Ok(_) => assert!(!is_refused, "the superuser may read everything, nobody else"),
            Err(error) => assert!(error.to_string().contains("a.jpg: Permission denied")),
        }
    }

    #[test]
    fn a_change_while_reading_is_noticed_and_read_again_once() {
        let (_dir, path) = file_with(b"abc");
        let mut n_reads = 0;
        let (bytes, stat) = read_at_rest(&path, &SMALL, || {
            n_reads += 1;
            if n_reads == 1 {
                append(&path, b"def");
            }
        })
        .unwrap();
        assert_eq!((bytes.as_slice(), stat.size_bytes, n_reads), (&b"abcdef"[..], 6, 2));

        let mut n_reads = 0;
        let error = read_at_rest(&path, &SMALL, || {
            n_reads += 1;
            append(&path, b"!");
        })
        .unwrap_err();
        assert_eq!(n_reads, 2);
        assert!(error.to_string().contains("a.jpg: changed while it was read"), "{error}");
    }

    #[test]
    fn a_change_of_the_time_alone_is_noticed() {
        let (_dir, path) = file_with(b"abc");
        let mut n_reads = 0;
        read_at_rest(&path, &SMALL, || {
            n_reads += 1;
            if n_reads == 1 {
                let file = File::options().write(true).open(&path).unwrap();
                file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
            }
        })
        .unwrap();
        assert_eq!(n_reads, 2);
    }

    #[test]
    fn a_file_replaced_while_reading_gives_the_bytes_of_one_of_them() {
        let (dir, path) = file_with(b"old");
        let mut replaced = false;
        let (bytes, _) = read_at_rest(&path, &SMALL, || {
            if !std::mem::replace(&mut replaced, true) {
                std::fs::write(dir.path().join("new"), b"newer").unwrap();
                std::fs::rename(dir.path().join("new"), &path).unwrap();
            }
        })
        .unwrap();
        assert_eq!(bytes, b"old");
    }
}
