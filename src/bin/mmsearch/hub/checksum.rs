//! What the hub says a file's bytes must be.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// The hash by which the hub names a file, in lower-case hexadecimal.
///
/// Files of its large-file store are named by SHA-256, the others by git's SHA-1 of the blob, which is what the
/// hub's `X-Linked-Etag` and `ETag` carry. SHA-1 guards against damage, not against an attacker; every file that is
/// large enough to hold weights has SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(String);

impl Checksum {
    /// Out of an `ETag`, which may be quoted and marked weak; `None` if it is neither kind of hash.
    pub(crate) fn of_etag(etag: &str) -> Option<Self> {
        let etag = etag.trim().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        let is_hash = [40, 64].contains(&etag.len()) && etag.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash.then_some(Self(etag))
    }

    /// The name of the file's blob in the cache; nothing but hexadecimal digits.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Whether a file of this length has the bytes.
    pub(crate) fn holds(&self, path: &Path, size_bytes: u64) -> io::Result<bool> {
        let mut hash = if self.0.len() == 64 {
            Context::new(&SHA256)
        } else {
            let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
            hash.update(format!("blob {size_bytes}\0").as_bytes());
            hash
        };
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n_read => hash.update(&buffer[..n_read]),
            }
        }
        let found: String =
            hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(found == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_hash_are_those_of_sha256sum_and_git() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        // `sha256sum hello` and `git hash-object hello`.
        for etag in [
            "\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"",
            "W/\"ce013625030ba8dba906f756967f9e9ca394464a\"",
        ] {
            let checksum = Checksum::of_etag(etag).unwrap();
            assert!(checksum.holds(&path, 6).unwrap(), "{etag}");
            std::fs::write(&path, "hellp\n").unwrap();
            assert!(!checksum.holds(&path, 6).unwrap(), "{etag}");
            std::fs::write(&path, "hello\n").unwrap();
        }
    }

    #[test]
    fn what_is_no_hash_names_no_file() {
        for etag in ["", "\"\"", "d41d8cd98f00b204e9800998ecf8427e", "../../../../etc/passwd"] {
            assert_eq!(Checksum::of_etag(etag), None, "{etag}");
        }
        let slashes = "/".repeat(40);
        assert_eq!(Checksum::of_etag(&slashes), None);
    }
}
