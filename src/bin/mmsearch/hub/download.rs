//! One file out of the hub into the cache: begun or gone on with, checked, and only then given its name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mmsearch::{Error, Result};

use super::fetch::{Client, RemoteFile};

/// How often in a row a connection may break and the download go on at once, if each brought something.
const MAX_BREAKS: usize = 5;

/// How far a file is; [`ControlFlow::Break`] ends the download, which keeps what has arrived.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// A file that is being downloaded into a blob of the cache.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) url: &'a str,
    pub(crate) remote: &'a RemoteFile,
    /// Where it goes when it is whole.
    pub(crate) blob: &'a Path,
}

impl Download<'_> {
    /// Brings the file, unless it is there and whole.
    ///
    /// # Errors
    /// [`Error::Io`] if it could not be fetched whole, which keeps what has arrived; [`Error::BadModel`] if it is whole
    /// and wrong, which keeps nothing.
    pub(crate) fn run(&self, watch: Watch) -> Result<()> {
        if self.blob.is_file() && self.is_right(self.blob)? {
            return Ok(());
        }
        let part = self.blob.with_extension("part");
        let mut file = open_alone(&part)?;
        self.fill(&mut file, &part, watch)?;
        file.sync_all().map_err(at("sync", &part))?;
        if !self.is_right(&part)? {
            std::fs::remove_file(&part).map_err(at("remove", &part))?;
            return Err(Error::BadModel {
                path: self.url.into(),
                reason: "its bytes are not those the hub promised (size or hash differs), and were thrown away; \
                         run it again, or look at what is between here and the hub"
                    .into(),
            });
        }
        std::fs::rename(&part, self.blob).map_err(at("rename", &part))
    }

    fn is_right(&self, path: &Path) -> Result<bool> {
        let size_bytes = std::fs::metadata(path).map_err(at("read", path))?.len();
        let RemoteFile { checksum, size_bytes: expected } = self.remote;
        Ok(size_bytes == *expected && checksum.holds(path, size_bytes).map_err(at("read", path))?)
    }

    /// Goes on from what is there; a connection that breaks after it brought something is made again.
    fn fill(&self, file: &mut File, part: &Path, watch: Watch) -> Result<()> {
        let size_bytes = self.remote.size_bytes;
        let mut n_breaks = 0;
        loop {
            let before = file.metadata().map_err(at("read", part))?.len();
            if before == size_bytes {
                return Ok(());
            }
            let broken = self.append(file, part, before, watch)?;
            let after = file.metadata().map_err(at("read", part))?.len();
            let Some(reason) = broken else { continue };
            n_breaks += 1;
            if after <= before || n_breaks > MAX_BREAKS {
                let reason = format!(
                    "the connection ended after {after} of {size_bytes} bytes ({reason}); they are kept, \
                     so that running it again goes on from there"
                );
                let (path, error) = (self.url.into(), io::Error::other(reason));
                return Err(Error::Io { action: "fetch", path, error });
            }
        }
    }

    /// One request; says why it broke off, if it did.
    fn append(
        &self,
        file: &mut File,
        part: &Path,
        n_there: u64,
        watch: Watch,
    ) -> Result<Option<String>> {
        let size_bytes = self.remote.size_bytes;
        // More than the whole file is some other file's beginning.
        let wanted = if n_there > size_bytes { 0 } else { n_there };
        let mut tail = self.client.tail(self.url, wanted)?;
        if tail.start > wanted {
            let error = io::Error::other("the server left out a part; run it again");
            return Err(Error::Io { action: "fetch", path: self.url.into(), error });
        }
        file.set_len(tail.start).map_err(at("write", part))?;
        let mut at_byte = file.seek(SeekFrom::End(0)).map_err(at("write", part))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            if watch(at_byte, size_bytes).is_break() {
                return Err(Error::Cancelled);
            }
            if at_byte == size_bytes {
                return Ok(None);
            }
            // What is beyond the promised size is never asked for.
            let room = buffer.len().min((size_bytes - at_byte) as usize);
            match tail.bytes.read(&mut buffer[..room]) {
                Ok(0) => return Ok(Some("the server closed it".into())),
                Ok(n_read) => {
                    file.write_all(&buffer[..n_read]).map_err(at("write", part))?;
                    at_byte += n_read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Some(error.to_string())),
            }
        }
    }
}

/// Opens a part file that no other process is writing.
fn open_alone(part: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    let file = options.open(part).map_err(at("create", part))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Io {
            action: "write",
            path: part.into(),
            error: io::Error::other("another download is writing it; wait for that one to end"),
        }),
        Err(TryLockError::Error(error)) => Err(at("lock", part)(error)),
    }
}

/// Names the file and the action in an [`io::Error`].
pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = PathBuf::from(path);
    move |error| Error::Io { action, path, error }
}
