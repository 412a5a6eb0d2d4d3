//! From a decoded picture to the square that an image tower reads.
//!
//! Resizing is antialiased as Pillow's: bilinear by `fast_image_resize`, where a pixel may differ by 1/255 through rounding,
//! bicubic by [`bicubic`], where none does.

use std::borrow::Cow;

use fast_image_resize as fir;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use serde::{Deserialize, Serialize};

use crate::encoder::bicubic;
use crate::error::{Error, Result};
use crate::pixels::{Detail, Pixels};

/// How many times longer than wide a picture may be whose middle is cut out.
const MOST_ELONGATED: u32 = 64;

/// How a picture of any shape becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Both sides to the size, ignoring the aspect.
    Squash,
    /// The shorter side to the size, then the middle square.
    ShortestEdgeCrop,
}

/// Interpolation, antialiased when reducing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Triangle, support 1.
    Bilinear,
    /// Catmull-Rom with a = -0.5, support 2.
    Bicubic,
}

/// Whether large JPEGs are decoded at a half, a quarter or an eighth of their size, which is several times as fast and moves
/// their vectors a little.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JpegScale {
    /// Never.
    None,
    /// As long as the shorter side stays so many times [`Preprocess::size`] at least.
    AtLeast(f32),
}

impl JpegScale {
    /// What imported models get, and `mini` has. Of photos at the very sizes where a scale begins, the cosine with the vector of
    /// the whole photo is 0.9969 at least (`scripts/jpeg_scale.py`); with 1.25 it is 0.9955, with 1 as low as 0.96.
    pub const USUAL: Self = Self::AtLeast(1.5);
}

/// How a picture becomes the input of an image tower. A part of `model.json`; every field changes vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the square in pixels.
    pub size: u32,
    /// Whether large JPEGs are decoded smaller.
    pub jpeg_scale: JpegScale,
    /// How the square is made.
    pub resize: Resize,
    /// Interpolation.
    pub filter: Filter,
    /// Subtracted from each channel, in units of 0..=1.
    pub mean: [f32; 3],
    /// Each channel is divided by it afterwards.
    pub std: [f32; 3],
}

impl Preprocess {
    /// How much of a picture has to be decoded for [`Preprocess::apply`].
    pub fn detail(&self) -> Detail {
        match self.jpeg_scale {
            JpegScale::None => Detail::Full,
            // Within an f64 the product is exact; a side is 4096 at most, and a factor is checked when it is read.
            JpegScale::AtLeast(factor) => {
                Detail::ShorterSide((f64::from(factor) * f64::from(self.size)).ceil() as u32)
            }
        }
    }

    /// The square that the tower reads; [`Preprocess::mean`] and [`Preprocess::std`] are applied by the encoder.
    ///
    /// # Errors
    /// [`Error::Encoder`] if the resizer refuses, which no picture of a positive size makes it do.
    pub fn apply(&self, picture: &Pixels) -> Result<Pixels> {
        let (width, height) = (picture.width(), picture.height());
        if (width, height) == (self.size, self.size) {
            return Ok(picture.clone());
        }
        let square = match self.resize {
            Resize::Squash => resize(picture, self.size, self.size, self.filter)?,
            Resize::ShortestEdgeCrop => {
                let middle = without_ends(picture)?;
                let (to_width, to_height) =
                    shortest_edge(middle.width(), middle.height(), self.size);
                crop_middle(&resize(&middle, to_width, to_height, self.filter)?, self.size)?
            }
        };
        Ok(square)
    }
}

/// A picture that is longer than [`MOST_ELONGATED`] loses its ends before it is resized, not after: a line of 100 million
/// pixels would grow to terabytes.
fn without_ends(picture: &Pixels) -> Result<Cow<'_, Pixels>> {
    let (width, height) = (picture.width(), picture.height());
    let most = |short: u32| short.saturating_mul(MOST_ELONGATED);
    if width > most(height) {
        return crop(picture, (width - most(height)) / 2, 0, most(height), height).map(Cow::Owned);
    }
    if height > most(width) {
        return crop(picture, 0, (height - most(width)) / 2, width, most(width)).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(picture))
}

fn crop(picture: &Pixels, left: u32, top: u32, width: u32, height: u32) -> Result<Pixels> {
    let (start, end) = (left as usize * 3, (left + width) as usize * 3);
    let rows = picture.rgb().chunks_exact(picture.width() as usize * 3);
    let rows = rows.skip(top as usize).take(height as usize);
    Pixels::new(width, height, rows.flat_map(|row| &row[start..end]).copied().collect())
}

/// The size whose shorter side is `size`; the longer is rounded down, as torchvision does.
fn shortest_edge(width: u32, height: u32, size: u32) -> (u32, u32) {
    let longer = |long: u32, short: u32| {
        u32::try_from(u64::from(size) * u64::from(long) / u64::from(short)).unwrap_or(u32::MAX)
    };
    if width <= height { (size, longer(height, width)) } else { (longer(width, height), size) }
}

fn resize(picture: &Pixels, width: u32, height: u32, filter: Filter) -> Result<Pixels> {
    match filter {
        Filter::Bilinear => resize_bilinear(picture, width, height),
        Filter::Bicubic => {
            let (from, to) = (picture.width() as usize, width as usize);
            let rows = match from == to {
                true => Cow::Borrowed(picture.rgb()),
                false => Cow::Owned(bicubic::narrowed(picture.rgb(), from, to)),
            };
            let rgb = match picture.height() == height {
                true => rows.into_owned(),
                false => bicubic::shortened(&rows, to * 3, height as usize),
            };
            Pixels::new(width, height, rgb)
        }
    }
}

fn resize_bilinear(picture: &Pixels, width: u32, height: u32) -> Result<Pixels> {
    let refused = |reason: String| Error::Encoder {
        reason: format!("cannot resize to {width}×{height}: {reason}"),
    };
    let source =
        TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.rgb())
            .map_err(|error| refused(error.to_string()))?;
    let mut rgb = vec![0; width as usize * height as usize * 3];
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut rgb)
        .map_err(|error| refused(error.to_string()))?;
    let filter = fir::ResizeAlg::Convolution(fir::FilterType::Bilinear);
    let options = fir::ResizeOptions::new().resize_alg(filter).use_alpha(false);
    // The typed call compiles the code of one pixel type into this crate; the other compiles all of them.
    fir::Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| refused(error.to_string()))?;
    Pixels::new(width, height, rgb)
}

/// The middle `size × size` pixels; both sides are at least `size`. Half pixels round as in torchvision's
/// `center_crop`: to the nearest even.
fn crop_middle(picture: &Pixels, size: u32) -> Result<Pixels> {
    let half = |excess: u32| (f64::from(excess) / 2.0).round_ties_even() as u32;
    let (left, top) = (half(picture.width() - size), half(picture.height() - size));
    crop(picture, left, top, size, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preprocess(size: u32, resize: Resize) -> Preprocess {
        Preprocess {
            size,
            jpeg_scale: JpegScale::AtLeast(1.5),
            resize,
            filter: Filter::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    fn gradient(width: u32, height: u32) -> Pixels {
        let rgb =
            (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 7])).collect();
        Pixels::new(width, height, rgb).unwrap()
    }

    #[test]
    fn crop_takes_the_middle() {
        let square = preprocess(4, Resize::ShortestEdgeCrop).apply(&gradient(4, 10)).unwrap();
        let rows: Vec<u8> = square.rgb().chunks(12).map(|row| row[1]).collect();
        assert_eq!(rows, [3, 4, 5, 6]);
    }

    /// Reference values: Pillow 11 `Image.resize((2, 2), BILINEAR)` of the same 4×4 gradient scaled by 16.
    #[test]
    fn squash_is_antialiased() {
        let rgb = (0..16).flat_map(|i| [16 * (i % 4) as u8, 16 * (i / 4) as u8, 9]).collect();
        let square = preprocess(2, Resize::Squash).apply(&Pixels::new(4, 4, rgb).unwrap()).unwrap();
        assert_eq!(square.rgb(), [11, 11, 9, 37, 11, 9, 11, 37, 9, 37, 37, 9]);
    }

    #[test]
    fn extreme_shapes_stay_square() {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (3, 2), (1, 3_000_000)] {
            for resize in [Resize::Squash, Resize::ShortestEdgeCrop] {
                let square = preprocess(8, resize).apply(&gradient(width, height)).unwrap();
                assert_eq!((square.width(), square.height()), (8, 8));
                assert_eq!(square.rgb()[2], 7);
            }
        }
    }
}
