//! JPEG by libjpeg-turbo (as MozJPEG ships it): its pixels are bit for bit those of Pillow, which published models were trained
//! and measured with. Other decoders round and interpolate colours differently by up to 5/255.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::RgbImage;

/// The picture as it lies in the file, or `None` for what this decoder does not do (CMYK, arithmetic coding, lossless)
/// or cannot read; the caller has another, which also says what is wrong. Nothing is allocated for a picture of another size
/// than the one that the caller has checked.
pub(super) fn decode(bytes: &[u8], size: (u32, u32)) -> Option<RgbImage> {
    // The library reports errors by unwinding; the message comes from the other decoder.
    catch_unwind(AssertUnwindSafe(|| scanlines(bytes, size))).ok().flatten()
}

fn scanlines(bytes: &[u8], (width, height): (u32, u32)) -> Option<RgbImage> {
    let decoder = mozjpeg::Decompress::new_mem(bytes).ok()?;
    if decoder.size() != (width as usize, height as usize) {
        return None;
    }
    let rgb: Vec<u8> = decoder.rgb().ok()?.read_scanlines().ok()?;
    RgbImage::from_raw(width, height, rgb)
}
