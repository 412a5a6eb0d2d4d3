//! A library on a network is refused before anything is made, or replaced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use crate::faults::{Fault, Watch};
use crate::scene::{self, Ended, Site, ended};

/// That of NFS.
const NFS: u32 = 0x6969;

/// Runs a command where the library claims to be on a file system.
fn on(fs_type: u32, site: &Site<'_>, mut command: Command) -> Ended {
    let watch = Watch::new();
    watch.arm(&mut command, &site.library, Fault { fs_type, ..Fault::NONE });
    ended(&mut command)
}

#[test]
fn a_place_on_a_network_is_refused() {
    let place = scene::place();
    let site = Site::new(&place);
    let index = |fs_type| on(fs_type, &site, site.program(&["index", "photos"]));
    let refused = index(NFS);
    assert!(refused.code == Some(5) && refused.stderr.contains("nfs"), "{refused:?}");
    assert!(!site.library.exists());
    assert_eq!(index(0).code, Some(0), "the control");
}

#[test]
fn a_library_on_a_network_is_not_replaced() {
    let place = scene::place();
    let site = Site::new(&place);
    let other = Site { library: place.root().join("other"), ..site.clone() };
    assert_eq!(other.run(&["index", "photos/long.tar"]).code, Some(0));
    assert_eq!(other.run(&["backup", "backup.db"]).code, Some(0));
    assert_eq!(site.run(&["index", "photos"]).code, Some(0));
    let (old, files) = (site.hits(site.program(&[])), files(&site));
    let restore = ["restore", "backup.db", "--force"];
    let refused = on(NFS, &site, site.program(&restore));
    assert!(refused.code == Some(5) && refused.stderr.contains("nfs"), "{refused:?}");
    assert!(self::files(&site) == files, "a file was changed");
    assert_eq!(site.hits(site.program(&[])), old);
    site.is_well();
    let mut command = site.program(&restore);
    command.arg("--allow-network-fs");
    let allowed = on(NFS, &site, command);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert_eq!(site.hits(site.program(&[])), other.hits(other.program(&[])));
    site.is_well();
}

/// What the library's files hold, but for the name of its last writer.
fn files(site: &Site<'_>) -> BTreeMap<OsString, Vec<u8>> {
    let files = fs::read_dir(&site.library).unwrap().map(|file| file.unwrap());
    let files = files.filter(|file| file.file_name() != "LOCK");
    files.map(|file| (file.file_name(), fs::read(file.path()).unwrap())).collect()
}
