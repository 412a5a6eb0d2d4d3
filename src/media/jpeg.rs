//! JPEG by libjpeg-turbo (as MozJPEG ships it): its pixels are bit for bit those of Pillow, which published models were trained
//! and measured with. Other decoders round and interpolate colours differently by up to 5/255.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::RgbImage;

use super::jpeg_thin;
use crate::pixels::Detail;

/// The picture as it lies in the file, or `None` for what this decoder does not do (CMYK, arithmetic coding, lossless)
/// or cannot read; the caller has another, which also says what is wrong. Nothing is allocated for a picture of another size
/// than the one that the caller has checked. It is smaller than in the file where that leaves the detail that is needed.
pub(super) fn decode(bytes: &[u8], size: (u32, u32), detail: Detail) -> Option<RgbImage> {
    let eighths = eighths(size, detail);
    // The library reports errors by unwinding; the message comes from the other decoder.
    let decode = || {
        let thin = (eighths == 1).then(|| jpeg_thin::for_an_eighth(bytes)).flatten();
        scanlines(thin.as_deref().unwrap_or(bytes), size, eighths)
    };
    catch_unwind(AssertUnwindSafe(decode)).ok().flatten()
}

fn scanlines(bytes: &[u8], size: (u32, u32), eighths: u8) -> Option<RgbImage> {
    let mut decoder = mozjpeg::Decompress::new_mem(bytes).ok()?;
    let (width, height) = size;
    if decoder.size() != (width as usize, height as usize) {
        return None;
    }
    decoder.scale(eighths);
    let mut rows = decoder.rgb().ok()?;
    let (width, height) = (rows.width() as u32, rows.height() as u32);
    RgbImage::from_raw(width, height, rows.read_scanlines().ok()?)
}

/// The smallest of a whole, a half, a quarter and an eighth that leaves the detail, in eighths. The decoder knows those between
/// as well, but not in a fast form.
fn eighths((width, height): (u32, u32), detail: Detail) -> u8 {
    let Detail::ShorterSide(least) = detail else { return 8 };
    let shorter = u64::from(width.min(height));
    let leaves_detail = |eighths: &u8| shorter * u64::from(*eighths) / 8 >= u64::from(least);
    [1, 2, 4].into_iter().find(leaves_detail).unwrap_or(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_side_keeps_what_is_needed() {
        let needed = Detail::ShorterSide(288);
        for (size, expected) in [
            ((4032, 3024), 1),
            ((2304, 9999), 1),
            ((9999, 2303), 2),
            ((1152, 1152), 2),
            ((1151, 1152), 4),
            ((576, 576), 4),
            ((575, 576), 8),
            ((1, 1), 8),
        ] {
            assert_eq!(eighths(size, needed), expected, "{size:?}");
            assert_eq!(eighths(size, Detail::Full), 8);
        }
    }
}
