//! Any bytes as a picture: pixels of the size that is said, or a reason in one line.
//!
//! A decoder that panics is one picture that cannot be read (`media::decode` catches it), so that is no finding here; what
//! gets past that is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmsearch::Detail;
use mmsearch::media::{Limits, decode};

fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| {
        let limits = Limits { max_file_bytes: 1 << 20, max_pixels: 1 << 18 };
        for detail in [Detail::Full, Detail::ShorterSide(8)] {
            match decode(bytes, &limits, detail) {
                Ok(decoded) => {
                    let n = u64::from(decoded.pixels.width()) * u64::from(decoded.pixels.height());
                    assert!(n > 0 && n <= limits.max_pixels);
                    assert_eq!(decoded.pixels.rgb().len() as u64, n * 3);
                }
                Err(reason) => assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}"),
            }
        }
    }
);
