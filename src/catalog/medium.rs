//! What a library lies on: a file system of one machine or of a network, and whether it may be written.

use std::path::Path;

use nix::sys::statfs::{Statfs, statfs};
use nix::unistd::{AccessFlags, access};

use crate::error::{Error, Result};

/// File systems that several machines may share, by the number that Linux gives them. FUSE may be a local one, which it does
/// not say.
#[cfg(target_os = "linux")]
const NETWORKS: [(u32, &str); 15] = [
    (0x0000_6969, "nfs"),
    (0x0000_517B, "smb"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x00C3_6400, "ceph"),
    (0x0BD0_0BD0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0x786F_4256, "vboxsf"),
    (0x0000_564C, "ncp"),
];

/// The same by their names.
#[cfg(not(target_os = "linux"))]
const NETWORKS: [&str; 9] =
    ["nfs", "smbfs", "afpfs", "webdav", "ftp", "macfuse", "osxfuse", "fusefs", "9p"];

/// Refuses a place on a network: the processes of SQLite's write-ahead log share memory, which machines cannot, and locks of
/// network file systems are not to be relied on (HAZARDS H42).
///
/// # Errors
/// [`Error::NetworkFs`].
pub(super) fn require_local(dir: &Path) -> Result<()> {
    match network(dir) {
        Some(kind) => Err(Error::NetworkFs { path: dir.into(), kind }),
        None => Ok(()),
    }
}

/// The kind of network file system that a place is on, or will be on once it is made; `None` if it is none, or nobody can say.
pub(super) fn network(dir: &Path) -> Option<&'static str> {
    let dir = std::path::absolute(dir).ok()?;
    dir.ancestors().find_map(|there| statfs(there).ok()).and_then(|stat| network_of(&stat))
}

/// Whether nobody can write into a directory, because its file system is mounted so. What only this user may not write, its owner
/// may be writing meanwhile.
pub(super) fn is_read_only(dir: &Path) -> bool {
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK) == Err(nix::errno::Errno::EROFS)
}

#[cfg(target_os = "linux")]
fn network_of(stat: &Statfs) -> Option<&'static str> {
    // Some machines have the number with a sign, and some in 64 bits.
    named(stat.filesystem_type().0 as u32)
}

#[cfg(target_os = "linux")]
fn named(number: u32) -> Option<&'static str> {
    NETWORKS.into_iter().find(|&(known, _)| known == number).map(|(_, name)| name)
}

#[cfg(not(target_os = "linux"))]
fn network_of(stat: &Statfs) -> Option<&'static str> {
    let name = stat.filesystem_type_name();
    NETWORKS.into_iter().find(|known| *known == name)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_from_disks() {
        use nix::sys::statfs::{
            BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, TMPFS_MAGIC,
            XFS_SUPER_MAGIC,
        };
        for disk in [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC] {
            assert_eq!(named(disk.0 as u32), None);
        }
        assert_eq!(named(NFS_SUPER_MAGIC.0 as u32), Some("nfs"));
        assert_eq!(named(FUSE_SUPER_MAGIC.0 as u32), Some("fuse"));
        // As a machine of 32 bits has it, and one of 64.
        assert_eq!(named(-11_317_950_i32 as u32), Some("cifs"));
        assert_eq!(named(0xFF53_4D42_i64 as u32), Some("cifs"));
    }

    #[test]
    fn what_is_not_there_yet_is_on_what_it_will_be_made_on() {
        let dir = tempfile::tempdir().unwrap();
        let there = network(dir.path());
        assert_eq!(network(&dir.path().join("a/b/c")), there);
        assert!(!is_read_only(dir.path()) && !is_read_only(&dir.path().join("absent")));
    }
}
