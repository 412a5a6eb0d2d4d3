//! JPEG by libjpeg-turbo (as MozJPEG ships it): its pixels are bit for bit those of Pillow, which published models were trained
//! and measured with. Other decoders round and interpolate colours differently by up to 5/255.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::RgbImage;

/// The picture as it lies in the file, or `None` for what this decoder does not do (CMYK, arithmetic coding, lossless)
/// or cannot read; the caller has another, which also says what is wrong. Sizes must have been checked.
pub(super) fn decode(bytes: &[u8]) -> Option<RgbImage> {
    // The library reports errors by unwinding; the message comes from the other decoder.
    catch_unwind(AssertUnwindSafe(|| scanlines(bytes))).ok().flatten()
}

fn scanlines(bytes: &[u8]) -> Option<RgbImage> {
    let mut rows = mozjpeg::Decompress::new_mem(bytes).ok()?.rgb().ok()?;
    let (width, height) = (rows.width(), rows.height());
    let rgb: Vec<u8> = rows.read_scanlines().ok()?;
    RgbImage::from_raw(u32::try_from(width).ok()?, u32::try_from(height).ok()?, rgb)
}
