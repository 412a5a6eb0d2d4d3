//! What a disk may hold after the power went: put together from what was synced and what was only written.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::sample::Random;

/// What had reached the disk beside what was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// Every name, but no content: what a rename without a sync before it leaves.
    Names,
    /// Every name, and of what was written some sectors and not others.
    Sectors,
}

pub(crate) const LEFT: [Left; 3] = [Left::Nothing, Left::Names, Left::Sectors];

const SECTOR: usize = 512;

/// Puts what the disk holds in the place of `library`; `shadow` is what `faults.c` kept.
pub(crate) fn cut(library: &Path, shadow: &Path, left: Left, random: &mut Random) {
    let durable = names(&shadow.join("durable"));
    // Written by who was killed only.
    let live =
        if shadow.join("live").exists() { names(&shadow.join("live")) } else { durable.clone() };
    let names = if left == Left::Nothing { durable } else { live.clone() };
    let mut files = BTreeMap::new();
    for (name, id) in names {
        // What was never synced has a name and no content.
        let synced = fs::read(shadow.join(format!("inode-{id}"))).unwrap_or_default();
        let content = match left {
            Left::Sectors if live.get(&name) == Some(&id) => {
                let written = fs::read(library.join(&name)).unwrap_or_default();
                mixed(&synced, &written, random)
            }
            Left::Nothing | Left::Names | Left::Sectors => synced,
        };
        files.insert(name, content);
    }
    if library.exists() {
        fs::remove_dir_all(library).unwrap();
    }
    fs::create_dir(library).unwrap();
    fs::set_permissions(library, Permissions::from_mode(0o700)).unwrap();
    for (name, content) in files {
        fs::write(library.join(&name), content).unwrap();
        fs::set_permissions(library.join(name), Permissions::from_mode(0o600)).unwrap();
    }
}

/// Each sector as it was synced or as it was written; the length as either.
fn mixed(synced: &[u8], written: &[u8], random: &mut Random) -> Vec<u8> {
    let len = if random.below(2) == 0 { synced.len() } else { written.len() };
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let from = if random.below(2) == 0 { synced } else { written };
        let end = (bytes.len() + SECTOR).min(len);
        let sector = from.get(bytes.len()..end.min(from.len())).unwrap_or_default();
        bytes.extend_from_slice(sector);
        // Behind the end of what was synced a file that has grown is zeros.
        bytes.resize(end, 0);
    }
    bytes
}

fn names(table: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(id, name)| (name.to_owned(), id.parse().unwrap())).collect()
}
