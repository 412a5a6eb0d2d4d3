//! JPEGs that are decoded at a half, a quarter or an eighth: what stays as it was, and how little the vectors move.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, RgbImage};
use mmsearch::Detail;
use mmsearch::media::{Decoded, Limits, decode};

fn jpeg(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    // Little-endian TIFF with the one entry 0x0112, a SHORT.
    let exif = [
        &b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..],
        &[orientation, 0, 0, 0, 0, 0, 0, 0],
    ];
    encoder.set_exif_metadata(exif.concat()).unwrap();
    encoder.encode_image(picture).unwrap();
    bytes
}

fn decoded(jpeg: &[u8], detail: Detail) -> Decoded {
    decode(jpeg, &Limits::default(), detail).unwrap()
}

#[test]
fn a_smaller_picture_keeps_its_facts_and_stands_upright() {
    // The left half is black, so that the lower half is when the picture is upright.
    let picture = RgbImage::from_fn(803, 600, |x, _| [if x < 400 { 0 } else { 255 }; 3].into());
    let bytes = jpeg(&picture, 8);
    for (least, size) in [(300, (300, 402)), (150, (150, 201)), (75, (75, 101)), (20, (75, 101))] {
        let found = decoded(&bytes, Detail::ShorterSide(least));
        assert_eq!((found.facts.width, found.facts.height), (600, 803));
        assert_eq!((found.pixels.width(), found.pixels.height()), size, "{least}");
        let rgb = found.pixels.rgb();
        assert!(rgb[0] > 250 && rgb[rgb.len() - 1] < 5);
    }
    for detail in [Detail::ShorterSide(301), Detail::Full] {
        assert_eq!(decoded(&bytes, detail).pixels.width(), 600);
    }
}

#[cfg(all(feature = "embedded-model", feature = "torch"))]
mod drift {
    use std::path::{Path, PathBuf};

    use mmsearch::encoder::{Device, DualEncoder, Encoder as _};

    use super::*;

    /// Pictures that are so many at least.
    const N_SCENES: usize = 8;
    /// What a vector may move, as `JpegScale::USUAL` says.
    const LEAST_COSINE: f32 = 0.995;

    fn scenes() -> Vec<PathBuf> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenes");
        let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|it| it == "png")).collect();
        files.sort();
        assert!(files.len() >= N_SCENES);
        files.truncate(N_SCENES);
        files
    }

    /// The least cosine between the vectors of whole JPEGs and those of JPEGs whose shorter side is just so long that
    /// they are decoded at an eighth.
    fn least_cosine(encoder: &mut DualEncoder, detail: Detail) -> f32 {
        let Detail::ShorterSide(least) = detail else { return 1.0 };
        let mut pictures = Vec::new();
        for scene in scenes() {
            let scene = image::open(scene).unwrap();
            let large = scene.resize_exact(least * 10, least * 8, image::imageops::CatmullRom);
            let bytes = jpeg(&large.into_rgb8(), 1);
            for detail in [Detail::Full, detail] {
                let square = encoder.preprocess().apply(&decoded(&bytes, detail).pixels);
                pictures.push(square.unwrap());
            }
        }
        let rows = encoder.encode_images(&pictures).unwrap();
        rows.chunks(2).map(|pair| pair[0].score(&pair[1])).fold(1.0, f32::min)
    }

    #[test]
    fn the_vectors_of_drawn_pictures_hardly_move() {
        let mut encoder = DualEncoder::mini(Device::Cpu).unwrap();
        let detail = encoder.preprocess().detail();
        assert_eq!(detail, Detail::ShorterSide(288));
        let found = least_cosine(&mut encoder, detail);
        assert!(found >= LEAST_COSINE, "{found}");
        // The control: a picture that is made smaller than the model's input is another one.
        let found = least_cosine(&mut encoder, Detail::ShorterSide(96));
        assert!(found < LEAST_COSINE, "{found}");
    }
}
