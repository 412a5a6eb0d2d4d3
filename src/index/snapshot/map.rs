//! Mapping a snapshot into memory: the only file that needs unsafe code.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Result, io_at};

/// A file in memory, read only.
pub(super) struct Map(Mmap);

impl Map {
    /// Maps the whole file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(io_at("open", path))?;
        // SAFETY: the mapped bytes must not change or be cut off while they are borrowed. Snapshots are written
        // to another file, renamed into place, and from then on only replaced by rename or unlinked, which
        // leaves the mapped file as it was; the library directory is private to its user (mode 0700).
        #[expect(unsafe_code, reason = "a mapping is unsafe by nature; see SAFETY")]
        let map = unsafe { Mmap::map(&file) };
        map.map(Self).map_err(io_at("map", path))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
