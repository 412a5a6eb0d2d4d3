//! A file that refuses to be read further than it was allowed.
//!
//! The tar and CSV readers collect long names and open quotes into memory as far as the file goes; this bounds
//! what one step of theirs can take.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// A file and how many bytes may still be read from it.
pub(super) struct Budgeted {
    file: File,
    left: Cell<u64>,
}

impl Budgeted {
    /// Nothing may be read until [`Budgeted::allow`].
    pub(super) fn new(file: File) -> Self {
        Self { file, left: Cell::new(0) }
    }

    /// Allows the next `n_bytes`, whatever was left before.
    pub(super) fn allow(&self, n_bytes: u64) {
        self.left.set(n_bytes);
    }
}

impl Read for &Budgeted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = (&self.file).read(buffer)? as u64;
        let Some(left) = self.left.get().checked_sub(n_bytes) else {
            return Err(io::Error::other("it goes on for too long"));
        };
        self.left.set(left);
        Ok(n_bytes as usize)
    }
}

impl Read for Budgeted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Seek for &Budgeted {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        (&self.file).seek(position)
    }
}
