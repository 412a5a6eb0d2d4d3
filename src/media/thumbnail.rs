//! Small versions of pictures, for showing.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, RgbImage};

use crate::error::{Error, Result};
use crate::pixels::Pixels;

/// Of a JPEG: small, and without visible blocks.
const QUALITY: u8 = 80;

/// The picture with a longer side of at most `longest` pixels; a smaller one stays as it is.
///
/// # Errors
/// [`Error::BadPixels`] if `longest` is 0.
pub fn thumbnail(pixels: Pixels, longest: u32) -> Result<Pixels> {
    let (width, height) = (pixels.width(), pixels.height());
    if width.max(height) <= longest {
        return Ok(pixels);
    }
    let scaled = |side: u32| {
        let side = u64::from(side) * u64::from(longest) / u64::from(width.max(height));
        (side as u32).max(longest.min(1))
    };
    let (to_width, to_height) = (scaled(width), scaled(height));
    let picture =
        RgbImage::from_raw(width, height, pixels.into_rgb()).expect("pixels have three bytes each");
    let small = resize(&picture, to_width, to_height, FilterType::Triangle);
    Pixels::new(to_width, to_height, small.into_raw())
}

/// The file of a picture as a JPEG.
///
/// # Errors
/// [`Error::BadPixels`] if a side is longer than the 65,535 pixels that a JPEG may have.
pub fn jpeg_bytes(pixels: &Pixels) -> Result<Vec<u8>> {
    let (width, height) = (pixels.width(), pixels.height());
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(pixels.rgb(), width, height, ExtendedColorType::Rgb8)
        .map_err(|_| Error::BadPixels { width, height, n_bytes: pixels.rgb().len() })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Limits, decode};
    use crate::pixels::Detail;

    fn sides(width: u32, height: u32, longest: u32) -> (u32, u32) {
        let rgb = [10, 200, 30].repeat((width * height) as usize);
        let small = thumbnail(Pixels::new(width, height, rgb).unwrap(), longest).unwrap();
        assert!(small.rgb().chunks_exact(3).all(|rgb| rgb == [10, 200, 30]));
        (small.width(), small.height())
    }

    #[test]
    fn the_longer_side_is_bounded_and_the_shape_kept() {
        assert_eq!(sides(640, 480, 320), (320, 240));
        assert_eq!(sides(300, 900, 320), (106, 320));
        assert_eq!(sides(2000, 1, 320), (320, 1));
        assert_eq!(sides(20, 10, 320), (20, 10));
        let pixel = Pixels::new(1, 1, vec![0; 3]).unwrap();
        assert!(thumbnail(pixel, 0).is_err());
    }

    #[test]
    fn a_jpeg_reads_back() {
        let pixels = Pixels::new(16, 8, [10, 200, 30].repeat(128)).unwrap();
        let bytes = jpeg_bytes(&pixels).unwrap();
        let back = decode(&bytes, &Limits::default(), Detail::Full).unwrap().pixels;
        assert_eq!((back.width(), back.height()), (16, 8));
        let far = |(a, b): (&u8, &u8)| a.abs_diff(*b) > 3;
        assert!(!back.rgb().iter().zip(pixels.rgb()).any(far));
        assert!(jpeg_bytes(&Pixels::new(70_000, 1, vec![0; 210_000]).unwrap()).is_err());
    }
}
