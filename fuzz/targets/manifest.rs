//! Any bytes as a manifest of each kind: rows or reasons, and an end.
#![no_main]

use std::fs;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use mmsearch::media::read_manifest;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let end = ["jsonl", "csv", "jsonl.gz"][usize::from(kind) % 3];
    let path = PathBuf::from(format!("/dev/shm/mmsearch-fuzz-{}.{end}", std::process::id()));
    fs::write(&path, rest).unwrap();
    if let Ok(rows) = read_manifest(&path) {
        // What is packed may be long; it is read row by row.
        for row in rows.take(10_000) {
            if let Ok(row) = row {
                assert!(!row.image.as_os_str().is_empty() && row.line > 0);
            }
        }
    }
    fs::remove_file(&path).unwrap();
});
