//! The same pixels at an eighth, whatever the file is like; and what is left to the decoder as it is.

use std::panic::catch_unwind;

use image::{Rgb, RgbImage};
use mozjpeg::{ColorSpace, Compress};

use super::for_an_eighth;
use crate::media::decode::tests::noise;

/// How a file is coded.
#[derive(Clone, Copy, Debug)]
struct Coding {
    /// Pixels that a value of Cb and Cr is of, across and down; `None` for a picture in grey.
    colour: Option<(u8, u8)>,
    is_progressive: bool,
    has_own_codes: bool,
    quality: f32,
}

const USUAL: Coding =
    Coding { colour: Some((2, 2)), is_progressive: false, has_own_codes: false, quality: 90.0 };

fn jpeg(picture: &RgbImage, coding: Coding) -> Vec<u8> {
    let grey = coding.colour.is_none();
    let mut encoder =
        Compress::new(if grey { ColorSpace::JCS_GRAYSCALE } else { ColorSpace::JCS_RGB });
    encoder.set_fastest_defaults();
    encoder.set_size(picture.width() as usize, picture.height() as usize);
    encoder.set_quality(coding.quality);
    encoder.set_optimize_coding(coding.has_own_codes);
    if coding.is_progressive {
        encoder.set_progressive_mode();
    }
    if let Some(sides) = coding.colour {
        encoder.set_chroma_sampling_pixel_sizes(sides, sides);
    }
    let mut started = encoder.start_compress(Vec::new()).unwrap();
    if grey {
        let values: Vec<u8> = picture.pixels().map(|pixel| pixel.0[0]).collect();
        started.write_scanlines(&values).unwrap();
    } else {
        started.write_scanlines(picture.as_raw()).unwrap();
    }
    started.finish().unwrap()
}

/// The plain version: the decoder at an eighth, with nothing taken out.
fn at_an_eighth(jpeg: &[u8]) -> Option<Vec<u8>> {
    catch_unwind(|| {
        let mut decoder = mozjpeg::Decompress::new_mem(jpeg).ok()?;
        decoder.scale(1);
        decoder.rgb().ok()?.read_scanlines::<u8>().ok()
    })
    .ok()
    .flatten()
}

/// Soft shapes with grain of a strength on them, so that blocks end early and late.
fn grained(width: u32, height: u32, strength: i32) -> RgbImage {
    let mut picture = noise(width, height);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let soft = [x + y, 2 * x, x * y / 64].map(|value| (value / 2 % 200) as i32 + 20);
        let grain = pixel.0.map(|value| i32::from(value) * strength / 256);
        *pixel = Rgb([0, 1, 2].map(|at: usize| (soft[at] + grain[at]).clamp(0, 255) as u8));
    }
    picture
}

fn codings() -> impl Iterator<Item = Coding> {
    let colours = [None, Some((1, 1)), Some((2, 1)), Some((1, 2)), Some((2, 2)), Some((4, 1))];
    let kinds = [(false, false), (false, true), (true, true)];
    colours.into_iter().flat_map(move |colour| {
        kinds.into_iter().flat_map(move |(is_progressive, has_own_codes)| {
            [30.0, 90.0, 100.0].map(|quality| Coding {
                colour,
                is_progressive,
                has_own_codes,
                quality,
            })
        })
    })
}

#[test]
fn the_pixels_at_an_eighth_are_the_same() {
    let (mut n_thin, mut n_left) = (0, 0);
    for coding in codings() {
        for (width, height, strength) in
            [(256, 192, 0), (256, 192, 40), (131, 97, 255), (7, 300, 90), (1, 1, 0)]
        {
            let whole = jpeg(&grained(width, height, strength), coding);
            let Some(thin) = for_an_eighth(&whole) else {
                // With codes of its own a picture may have none for the end of a block.
                assert!(coding.has_own_codes && coding.quality == 100.0, "{coding:?} {width}");
                n_left += 1;
                continue;
            };
            n_thin += 1;
            let expected = at_an_eighth(&whole).unwrap();
            assert!(at_an_eighth(&thin).unwrap() == expected, "{coding:?} {width}");
        }
    }
    assert_eq!((n_thin, n_left), (267, 3));
}

#[test]
fn most_of_a_photo_is_taken_out() {
    let picture = grained(512, 384, 120);
    for is_progressive in [false, true] {
        let whole = jpeg(&picture, Coding { is_progressive, ..USUAL });
        let thin = for_an_eighth(&whole).unwrap();
        assert!(thin.len() < whole.len() / 2, "{} of {}", thin.len(), whole.len());
    }
    // The control: at an eighth only. A quarter of the pixels that are shown is another picture.
    let whole = jpeg(&picture, USUAL);
    let thin = for_an_eighth(&whole).unwrap();
    let decoded = |jpeg: &[u8]| {
        let mut decoder = mozjpeg::Decompress::new_mem(jpeg).unwrap();
        decoder.scale(2);
        decoder.rgb().unwrap().read_scanlines::<u8>().unwrap()
    };
    assert!(decoded(&whole) != decoded(&thin));
}

#[test]
fn restarts_are_kept() {
    // 96×56 pixels of 4:2:0 with a restart after every two units, made by Pillow 12 (`restart_marker_blocks=2`).
    let whole: &[u8] = include_bytes!("restarts.jpg");
    let n_restarts = |jpeg: &[u8]| {
        jpeg.windows(2).filter(|pair| pair[0] == 0xFF && (0xD0..=0xD7).contains(&pair[1])).count()
    };
    let thin = for_an_eighth(whole).unwrap();
    assert_eq!(n_restarts(whole), 11);
    assert_eq!(n_restarts(&thin), 11);
    assert!(thin.len() < whole.len());
    assert!(at_an_eighth(&thin).unwrap() == at_an_eighth(whole).unwrap());
    // One restart too few, and one in another's place.
    let first = whole.windows(2).position(|pair| pair == [0xFF, 0xD0]).unwrap();
    let mut other = whole.to_vec();
    other[first + 1] = 0xD3;
    assert!(for_an_eighth(&other).is_none());
    other.drain(first..first + 2);
    assert!(for_an_eighth(&other).is_none());
}

#[test]
fn what_is_cut_short_is_left_as_it_is() {
    for is_progressive in [false, true] {
        let whole = jpeg(&grained(96, 64, 80), Coding { is_progressive, ..USUAL });
        for length in 0..whole.len() - 2 {
            assert!(for_an_eighth(&whole[..length]).is_none(), "{length} of {}", whole.len());
        }
        assert!(for_an_eighth(&whole).is_some());
    }
}

/// Where a progressive file's scans begin (markers), and where they end.
fn scans(jpeg: &[u8]) -> Vec<usize> {
    let starts = jpeg.windows(2).enumerate().filter(|(_, pair)| pair == &[0xFF, 0xDA]);
    starts.map(|(at, _)| at).collect()
}

#[test]
fn a_progressive_file_that_tells_not_everything_is_left_as_it_is() {
    let whole = jpeg(&grained(96, 64, 80), Coding { is_progressive: true, ..USUAL });
    let starts = scans(&whole);
    assert!(starts.len() > 4);
    // Without its last scan, a refinement; the end of the file stays.
    let last = starts[starts.len() - 1];
    let less = [&whole[..last], &[0xFF, 0xD9]].concat();
    assert!(at_an_eighth(&less).is_some());
    assert!(for_an_eighth(&less).is_none());
}

#[test]
fn damage_changes_nothing_that_is_shown() {
    let mut n_thin = 0;
    for is_progressive in [false, true] {
        let whole = jpeg(&grained(96, 64, 80), Coding { is_progressive, ..USUAL });
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            let Some(thin) = for_an_eighth(&damaged) else { continue };
            // Where the decoder refuses what nobody is shown, the picture is still there.
            let Some(expected) = at_an_eighth(&damaged) else { continue };
            n_thin += 1;
            assert!(at_an_eighth(&thin) == Some(expected), "byte {at}, {is_progressive}");
        }
    }
    assert!(n_thin > 500, "only {n_thin} were taken apart");
}

#[test]
fn what_is_not_a_jpeg_is_left_alone() {
    for bytes in
        [&b""[..], b"\xFF", b"\xFF\xD8", b"\xFF\xD8\xFF\xD9", b"\xFF\xD8\xFF\xDA\0\x02", b"GIF89a"]
    {
        assert!(for_an_eighth(bytes).is_none(), "{}", bytes.escape_ascii());
    }
}
