//! One writer at a time: an operating-system lock on a file in the library, which a dead process cannot hold.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Result, io_at};

/// The right to write to a library, given back when dropped.
#[derive(Debug)]
pub(super) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock without waiting, and writes this process's id into the file for others to read.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("LOCK");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(io_at("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked { path: dir.into(), pid: read_pid(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(io_at("lock", &path)(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io_at("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Whether a writer is at work. It looks by taking the lock for a moment, so ask only where the answer decides.
pub(super) fn is_held(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join("LOCK")) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The holder may not have written it yet.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
