//! Whether a JPEG is all there: the decoder fills what is missing with grey and says nothing.

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;

/// Whether the end marker of the picture itself follows its scans.
///
/// Segments are stepped over by their length, so that the end marker of a thumbnail in EXIF does not count; what
/// follows the end marker (a video, a second picture, padding) does not matter.
pub(super) fn is_complete(jpeg: &[u8]) -> bool {
    let mut has_scan = false;
    let mut position = 2;
    while let Some((marker, after)) = next_marker(jpeg, position) {
        match marker {
            END_OF_IMAGE => return has_scan,
            START_OF_SCAN => has_scan = true,
            _ => {}
        }
        let Some(length) = jpeg.get(after..after + 2) else { return false };
        position = after + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
    }
    false
}

/// The next marker that is followed by something other than compressed data, and the position behind it.
pub(super) fn next_marker(jpeg: &[u8], from: usize) -> Option<(u8, usize)> {
    let mut position = from;
    loop {
        position += memchr::memchr(0xFF, jpeg.get(position..)?)? + 1;
        match *jpeg.get(position)? {
            // A stuffed 0xFF, a lone marker, a restart, a fill byte.
            0x00 | 0x01 | 0xD0..=0xD7 | 0xFF => {}
            marker => return Some((marker, position + 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    const SOI: &[u8] = &[0xFF, 0xD8];
    const SCAN: &[u8] = &[0xFF, 0xDA, 0, 3, 9, 1, 2, 0xFF, 0x00, 3, 0xFF, 0xD3, 4];
    const EOI: &[u8] = &[0xFF, 0xD9];
    /// An APP1 segment that holds a whole small JPEG, as EXIF with a thumbnail does.
    const THUMBNAIL: &[u8] = &[0xFF, 0xE1, 0, 10, 0xFF, 0xD8, 0xFF, 0xDA, 0, 2, 0xFF, 0xD9];

    #[test]
    fn only_the_end_of_the_picture_itself_counts() {
        for (parts, expected) in [
            (vec![SOI, SCAN, EOI], true),
            (vec![SOI, THUMBNAIL, SCAN, EOI], true),
            (vec![SOI, SCAN, &[0xFF], EOI], true),
            (vec![SOI, SCAN, SCAN, EOI, b"a video follows"], true),
            (vec![SOI, SCAN], false),
            (vec![SOI, THUMBNAIL, SCAN], false),
            (vec![SOI, SCAN, &[0xFF]], false),
            (vec![SOI, SCAN, &[0xFF, 0xC4, 0]], false),
            (vec![SOI, SCAN, &[0xFF, 0xC4, 0xFF, 0xFF], EOI], false),
            (vec![SOI, EOI], false),
            (vec![SOI], false),
            (vec![], false),
        ] {
            assert_eq!(is_complete(&parts.concat()), expected, "{parts:?}");
        }
    }
}
