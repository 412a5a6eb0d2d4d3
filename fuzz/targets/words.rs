//! Any bytes as an XMP packet, as IPTC records, and as a sidecar: what is taken out keeps within its bounds.
#![no_main]

use std::fs;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use mmsearch::fuzzing::words_of;
use mmsearch::media::read_sidecar;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let words = match kind % 3 {
        0 => words_of(Some(rest), None),
        1 => words_of(None, Some(rest)),
        _ => {
            let path = PathBuf::from(format!("/dev/shm/mmsearch-fuzz-{}.txt", std::process::id()));
            fs::write(&path, rest).unwrap();
            let text = read_sidecar(&path);
            fs::remove_file(&path).unwrap();
            if let Ok(Some(text)) = text {
                assert!(!text.contains(['\n', '\0', '\x1b']));
            }
            return;
        }
    };
    assert!(words.tags.len() <= 256);
    if let Some(description) = words.description {
        assert!(description.chars().count() <= 2_000 && !description.contains(['\n', '\0']));
    }
});
