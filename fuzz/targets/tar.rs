//! Any bytes as a tar archive: members or reasons, within the limits.
#![no_main]

use std::fs;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use mmsearch::media::{Limits, tar_members};

fuzz_target!(|bytes: &[u8]| {
    let path = PathBuf::from(format!("/dev/shm/mmsearch-fuzz-{}.tar", std::process::id()));
    fs::write(&path, bytes).unwrap();
    let limits = Limits { max_file_bytes: 1 << 16, ..Limits::default() };
    let read = tar_members(
        &path,
        &limits,
        |_, _| true,
        |member| {
            if let Ok(member) = member {
                assert!(member.bytes.len() as u64 <= limits.max_file_bytes);
            }
            Ok(())
        },
    );
    read.unwrap();
    fs::remove_file(&path).unwrap();
});
