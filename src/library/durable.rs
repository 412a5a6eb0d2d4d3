//! Replacing a small file so that a crash leaves the old one or the new one, whole.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Result, io_at};

/// Syncs a sibling that is written, renames it over `path`, and syncs the directory.
pub(super) fn put_in_place(temporary: &Path, path: &Path) -> Result<()> {
    File::open(temporary).and_then(|file| file.sync_all()).map_err(io_at("sync", temporary))?;
    fs::rename(temporary, path).map_err(io_at("replace", path))?;
    sync_dir_of(path)
}

/// Writes a sibling, syncs it, renames it over `path`, and syncs the directory.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_added_extension("tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(io_at("create", &temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_at("write", &temporary))?;
    fs::rename(&temporary, path).map_err(io_at("replace", path))?;
    sync_dir_of(path)
}

/// Makes durable which files are beside this one.
pub(super) fn sync_dir_of(path: &Path) -> Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_at("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_and_nothing_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("CURRENT");
        for content in ["old and long", "new"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(crate::error::read(&path).unwrap(), content.as_bytes());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
