//! Every file is made here: drawn and encoded, or written byte by byte where no encoder writes such a thing.

use image::codecs::{gif::GifEncoder, jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{Frame, ImageBuffer, ImageEncoder, Luma, LumaA, Pixel, Rgb, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;
use crate::media::exif::block;

const LIMITS: Limits = Limits { max_file_bytes: 1 << 20, max_pixels: 1_000_000 };

pub(super) fn decoded(bytes: &[u8]) -> Decoded {
    decode(bytes, &LIMITS, Detail::Full).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    decode(bytes, &LIMITS, Detail::Full).unwrap_err()
}

pub(in crate::media) fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Pixels that differ everywhere, and do not compress.
pub(in crate::media) fn noise(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let mixed = (x * 7919 + y * 104_729 + 17).wrapping_mul(2_654_435_761);
        Rgb([mixed as u8, (mixed >> 8) as u8, (mixed >> 16) as u8])
    })
}

pub(super) fn flat<P: Pixel>(pixel: P) -> ImageBuffer<P, Vec<P::Subpixel>> {
    ImageBuffer::from_pixel(16, 16, pixel)
}

/// The one colour of a flat picture.
pub(super) fn colour(bytes: &[u8]) -> [u8; 3] {
    let rgb = decoded(bytes).pixels.into_rgb();
    let first = [rgb[0], rgb[1], rgb[2]];
    assert!(rgb.chunks(3).all(|pixel| pixel == first), "not flat");
    first
}

fn assert_close(found: [u8; 3], expected: [u8; 3]) {
    assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 3), "{found:?} {expected:?}");
}

#[test]
fn every_lossless_format_gives_the_drawn_pixels_and_its_name() {
    let drawn = noise(37, 21);
    for (format, name) in FORMATS.into_iter().filter(|&(_, name)| !["jpeg", "gif"].contains(&name))
    {
        let found = decoded(&encoded(&drawn.clone().into(), format));
        assert_eq!(found.pixels.rgb(), drawn.as_raw().as_slice(), "{name}");
        assert_eq!(found.truncated, None);
        let facts = ImageFacts {
            width: 37,
            height: 21,
            format: name.into(),
            orientation: 1,
            ..ImageFacts::default()
        };
        assert_eq!(found.facts, facts);
    }
}

#[test]
fn jpeg_and_gif_give_the_drawn_colour() {
    let drawn = DynamicImage::ImageRgb8(flat(Rgb([200, 100, 50])));
    for format in [ImageFormat::Jpeg, ImageFormat::Gif] {
        assert_close(colour(&encoded(&drawn, format)), [200, 100, 50]);
    }
}

#[test]
fn the_smallest_and_the_longest_shapes_are_decoded() {
    for (width, height) in [(1, 1), (1, 20_000), (20_000, 1)] {
        let drawn = noise(width, height);
        let found = decoded(&encoded(&drawn.clone().into(), ImageFormat::Png));
        assert_eq!((found.facts.width, found.facts.height), (width, height));
        assert_eq!(found.pixels.rgb(), drawn.as_raw().as_slice());
    }
}

#[test]
fn transparency_shows_white() {
    let png = |picture: DynamicImage| encoded(&picture, ImageFormat::Png);
    assert_eq!(colour(&png(flat(Rgba([10u8, 20, 30, 0])).into())), [255; 3]);
    assert_eq!(colour(&png(flat(Rgba([10u8, 20, 30, 255])).into())), [10, 20, 30]);
    assert_eq!(colour(&png(flat(Rgba([0u8, 100, 200, 128])).into())), [127, 177, 227]);
    assert_eq!(colour(&png(flat(LumaA([0u8, 51])).into())), [204; 3]);
    let webp = encoded(&flat(Rgba([0u8, 0, 0, 0])).into(), ImageFormat::WebP);
    assert_eq!(colour(&webp), [255; 3]);
}

#[test]
fn sixteen_bits_become_eight() {
    let png = |picture: DynamicImage| encoded(&picture, ImageFormat::Png);
    assert_eq!(colour(&png(flat(Luma([0x8080u16])).into())), [0x80; 3]);
    assert_eq!(colour(&png(flat(Rgb([0xFFFFu16, 0, 0x4040])).into())), [255, 0, 0x40]);
    assert_eq!(colour(&png(flat(Rgba([0u16, 0, 0, 0])).into())), [255; 3]);
    let tiff = encoded(&flat(Rgb([1.0f32, 0.0, 0.5])).into(), ImageFormat::Tiff);
    assert_eq!(colour(&tiff), [255, 0, 128]);
}

pub(super) fn png_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(body);
    let length = (body.len() as u32).to_be_bytes();
    [&length, name.as_slice(), body, &crc.sum().to_be_bytes()].concat()
}

/// A PNG with one byte a pixel; `chunks` stand between the header and the pixels.
fn png(width: u32, height: u32, colour_kind: u8, chunks: &[Vec<u8>], rows: &[u8]) -> Vec<u8> {
    let header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = [header.as_slice(), &[8, colour_kind, 0, 0, 0]].concat();
    let parts = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        png_chunk(b"IHDR", &header),
        chunks.concat(),
        png_chunk(b"IDAT", &zlib(rows)),
        png_chunk(b"IEND", &[]),
    ];
    parts.concat()
}

pub(super) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_palette_becomes_colours() {
    let palette = png_chunk(b"PLTE", &[1, 2, 3, 200, 100, 50]);
    let alpha = png_chunk(b"tRNS", &[255, 0]);
    let rows = [0, 0, 1];
    assert_eq!(
        decoded(&png(2, 1, 3, std::slice::from_ref(&palette), &rows)).pixels.rgb(),
        [1, 2, 3, 200, 100, 50]
    );
    assert_eq!(
        decoded(&png(2, 1, 3, &[palette, alpha], &rows)).pixels.rgb(),
        [1, 2, 3, 255, 255, 255]
    );
}

#[test]
fn of_an_animation_the_first_picture_is_taken() {
    let mut gif = vec![];
    let frames = [[255, 0, 0, 255], [0, 0, 255, 255]].map(|rgba| Frame::new(flat(Rgba(rgba))));
    GifEncoder::new(&mut gif).encode_frames(frames).unwrap();
    assert_eq!(colour(&gif), [255, 0, 0]);

    let control = |body: &[u8]| [body, &[0, 0, 0, 1, 0, 0, 0, 1], &[0; 12], &[0, 0]].concat();
    let number = |number: u32| number.to_be_bytes();
    let chunks = [
        png_chunk(b"acTL", &[number(2), number(0)].concat()),
        png_chunk(b"fcTL", &control(&number(0))),
    ];
    let second = [
        png_chunk(b"fcTL", &control(&number(1))),
        png_chunk(b"fdAT", &[&number(2)[..], &zlib(&[0, 99])].concat()),
    ];
    let mut apng = png(1, 1, 0, &chunks, &[0, 33]);
    let end = apng.len() - 12;
    apng.splice(end..end, second.concat());
    assert_eq!(colour(&apng), [33; 3]);

    assert_eq!(colour(&animated_webp([[255, 0, 0, 255], [0, 0, 255, 255]])), [255, 0, 0]);
}

/// Two flat pictures of 16×16 as frames of one file.
fn animated_webp(colours: [[u8; 4]; 2]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], body: &[u8]| {
        [name.as_slice(), &(body.len() as u32).to_le_bytes(), body, &[0][..body.len() % 2]].concat()
    };
    let frame = |rgba: [u8; 4]| {
        let single = encoded(&flat(Rgba(rgba)).into(), ImageFormat::WebP);
        // Position, size - 1, duration and flags stand in front of the picture's own chunk.
        let place = [0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 100, 0, 0, 2];
        chunk(b"ANMF", &[&place[..], &single[12..]].concat())
    };
    let body = [
        b"WEBP".to_vec(),
        chunk(b"VP8X", &[0x12, 0, 0, 0, 15, 0, 0, 15, 0, 0]),
        chunk(b"ANIM", &[0; 6]),
        frame(colours[0]),
        frame(colours[1]),
    ];
    chunk(b"RIFF", &body.concat())
}

/// An 8×8 JPEG of one colour in inverted CMYK, as Adobe's programs write them. Only the mean of each block is
/// coded, by two codes: `0` for seven bits and `10` for eight.
fn cmyk_jpeg(cmyk: [u8; 4]) -> Vec<u8> {
    let segment = |marker: u8, body: &[u8]| {
        [&[0xFF, marker], &(body.len() as u16 + 2).to_be_bytes()[..], body].concat()
    };
    let mut bits = String::new();
    for ink in cmyk {
        let mean = i32::from(255 - ink) - 128;
        match mean {
            64..=127 => bits += &format!("0{mean:07b}0"),
            -127..=-64 => bits += &format!("0{:07b}0", mean + 127),
            -128 => bits += "10011111110",
            _ => panic!("the two codes do not reach {mean}"),
        }
    }
    bits += &"1".repeat(7 - (bits.len() + 7) % 8);
    let scan = bits.as_bytes().chunks(8).flat_map(|bits| {
        let byte = u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap();
        if byte == 0xFF { vec![0xFF, 0] } else { vec![byte] }
    });
    let codes = |kind: u8, n_codes: [u8; 2], symbols: &[u8]| {
        segment(0xC4, &[&[kind][..], &n_codes, &[0; 14], symbols].concat())
    };
    [
        vec![0xFF, 0xD8],
        segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"),
        segment(0xDB, &[&[0][..], &[8; 64]].concat()),
        segment(0xC0, &[8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0]),
        codes(0x00, [1, 1], &[7, 8]),
        codes(0x10, [1, 0], &[0]),
        segment(0xDA, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]),
        scan.collect(),
        vec![0xFF, 0xD9],
    ]
    .concat()
}

#[test]
fn cmyk_becomes_rgb() {
    assert_close(colour(&cmyk_jpeg([0, 255, 255, 0])), [255, 0, 0]);
    assert_close(colour(&cmyk_jpeg([255, 0, 255, 0])), [0, 255, 0]);
    assert_close(colour(&cmyk_jpeg([0, 0, 0, 255])), [0, 0, 0]);
}

/// Where the pixel at column x, row y of the file lies in the upright picture of the given size, by the EXIF
/// standard's words on what row 0 and column 0 are.
fn upright(orientation: u16, (x, y): (u32, u32), (width, height): (u32, u32)) -> (u32, u32) {
    match orientation {
        1 => (x, y),
        2 => (width - 1 - x, y),
        3 => (width - 1 - x, height - 1 - y),
        4 => (x, height - 1 - y),
        5 => (y, x),
        6 => (width - 1 - y, x),
        7 => (width - 1 - y, height - 1 - x),
        8 => (y, height - 1 - x),
        _ => panic!("no orientation"),
    }
}

#[test]
fn every_orientation_comes_out_upright() {
    let drawn = noise(5, 3);
    for orientation in 1..=8 {
        let (width, height) = if orientation < 5 { (5, 3) } else { (3, 5) };
        let stored = RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = upright(orientation, (x, y), (5, 3));
            *drawn.get_pixel(x, y)
        });
        let mut png = vec![];
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(block::orientation(orientation)).unwrap();
        let kind = image::ExtendedColorType::Rgb8;
        encoder.write_image(stored.as_raw(), width, height, kind).unwrap();
        let mut webp = vec![];
        let mut encoder = WebPEncoder::new_lossless(&mut webp);
        encoder.set_exif_metadata(block::orientation(orientation)).unwrap();
        encoder.write_image(stored.as_raw(), width, height, kind).unwrap();
        for file in [png, webp] {
            let found = decoded(&file);
            assert_eq!(found.pixels.rgb(), drawn.as_raw().as_slice(), "{orientation}");
            assert_eq!((found.facts.width, found.facts.height), (5, 3));
            assert_eq!(u16::from(found.facts.orientation), orientation);
        }
    }
}

fn jpeg_with_exif(picture: &RgbImage, exif: Vec<u8>) -> Vec<u8> {
    let mut jpeg = vec![];
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 95);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode_image(picture).unwrap();
    jpeg
}

#[test]
fn a_jpeg_says_when_where_and_with_what() {
    let left_is_red =
        RgbImage::from_fn(64, 32, |x, _| if x < 32 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
    let exif = block::write(
        &[
            (0x010F, block::Field::Ascii(b"Acme\0")),
            (0x0110, block::Field::Ascii(b"Model 1\0")),
            (0x0112, block::Field::Short(6)),
        ],
        &[(0x9003, block::Field::Ascii(b"2024:05:31 18:02:11\0"))],
        &[
            (1, block::Field::Ascii(b"N\0")),
            (2, block::Field::Rationals(&[(47, 1), (30, 1), (0, 1)])),
            (3, block::Field::Ascii(b"W\0")),
            (4, block::Field::Rationals(&[(8, 1), (15, 1), (0, 1)])),
        ],
    );
    let found = decoded(&jpeg_with_exif(&left_is_red, exif));
    let facts = ImageFacts {
        width: 32,
        height: 64,
        format: "jpeg".into(),
        orientation: 6,
        taken_at: Some("2024-05-31T18:02:11".into()),
        camera: Some("Acme Model 1".into()),
        latitude: Some(47.5),
        longitude: Some(-8.25),
        color_profile: None,
    };
    assert_eq!((found.facts, found.truncated), (facts, None));
    // Turned clockwise, left is on top.
    let rgb = found.pixels.rgb();
    assert_close([rgb[0], rgb[1], rgb[2]], [254, 0, 0]);
    assert_close([rgb[32 * 63 * 3], rgb[32 * 63 * 3 + 1], rgb[32 * 63 * 3 + 2]], [0, 0, 254]);
}

/// A grey TIFF without compression; the pixels stand behind the directory.
fn tiff(width: u32, height: u32, orientation: u16, grey: &[u8]) -> Vec<u8> {
    let with_pixels_at = |offset: usize| {
        block::write(
            &[
                (256, block::Field::Long(width)),
                (257, block::Field::Long(height)),
                (258, block::Field::Short(8)),
                (259, block::Field::Short(1)),
                (262, block::Field::Short(1)),
                (271, block::Field::Ascii(b"Scanner\0")),
                (273, block::Field::Long(offset as u32)),
                (274, block::Field::Short(orientation)),
                (277, block::Field::Short(1)),
                (278, block::Field::Long(height)),
                (279, block::Field::Long(grey.len() as u32)),
            ],
            &[],
            &[],
        )
    };
    let head = with_pixels_at(with_pixels_at(0).len());
    [head.as_slice(), grey].concat()
}

#[test]
fn a_tiff_is_turned_and_read_as_its_own_exif() {
    let found = decoded(&tiff(3, 2, 6, &[1, 2, 3, 4, 5, 6]));
    assert_eq!((found.facts.width, found.facts.height, found.facts.orientation), (2, 3, 6));
    let first: Vec<u8> = found.pixels.rgb().iter().step_by(3).copied().collect();
    assert_eq!(first, [4, 1, 5, 2, 6, 3]);
    assert_eq!(found.facts.camera.as_deref(), Some("Scanner"));
}

#[test]
fn broken_exif_does_not_fail_the_picture() {
    for exif in [vec![0xFF; 40], block::orientation(9), block::orientation(6)[..20].to_vec()] {
        let found = decoded(&jpeg_with_exif(&noise(20, 10), exif));
        assert_eq!((found.facts.width, found.facts.orientation), (20, 1));
    }
}

#[test]
fn a_cut_jpeg_is_decoded_and_flagged() {
    let whole = jpeg_with_exif(&noise(400, 400), block::orientation(1));
    assert_eq!(decoded(&whole).truncated, None);
    assert_eq!(decoded(&[&whole, &b"a video"[..]].concat()).truncated, None);
    for percent in [1, 10, 50, 90, 99] {
        let found = decoded(&whole[..whole.len() * percent / 100]);
        assert_eq!(found.truncated.unwrap(), "the jpeg ends too early; what is missing is grey");
        assert_eq!((found.facts.width, found.facts.height), (400, 400), "{percent} %");
    }
    assert!(!refused(&whole[..300]).is_empty());
}

#[test]
fn other_formats_cut_in_half_are_refused() {
    let drawn = DynamicImage::ImageRgb8(noise(64, 64));
    for (format, name) in FORMATS.into_iter().filter(|&(_, name)| name != "jpeg") {
        let whole = encoded(&drawn, format);
        assert_eq!(decoded(&whole).facts.format, name);
        let reason = refused(&whole[..whole.len() / 2]);
        assert!(!reason.contains('\n') && !reason.starts_with(char::is_uppercase), "{reason}");
    }
}

#[test]
fn what_is_no_picture_is_refused_with_a_reason() {
    for (bytes, reason) in [
        (&b""[..], "an empty file"),
        (b"<!DOCTYPE html><html>", "not a picture in a known format"),
        (b"some notes", "not a picture in a known format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "no decoder for heic; convert it to JPEG or PNG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "no decoder for avif; convert it to JPEG or PNG"),
        (b"\0\0\x01\0\x01\0", "not a picture in a known format"),
    ] {
        assert_eq!(refused(bytes), reason);
    }
}

/// Files of a few bytes that claim a size.
fn claims(width: u16, height: u16) -> [(&'static str, Vec<u8>); 8] {
    let (w, h) = (u32::from(width), u32::from(height));
    let webp_size = ((w - 1) & 0x3FFF) | (((h - 1) & 0x3FFF) << 14);
    let webp = [&b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f"[..], &webp_size.to_le_bytes(), &[0; 9]];
    let gif_size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    let gif = [b"GIF89a", &gif_size[..], b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0", &gif_size, &[0]];
    let bmp = [&b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &w.to_le_bytes(), &h.to_le_bytes()];
    let qoi = [b"qoif", &w.to_be_bytes()[..], &h.to_be_bytes(), &[3, 0]];
    let mut jpeg = encoded(&noise(8, 8).into(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap() + 5;
    jpeg[frame..frame + 4].copy_from_slice(&[height.to_be_bytes(), width.to_be_bytes()].concat());
    [
        ("webp", webp.concat()),
        ("png", png(w, h, 2, &[], &[0; 1000])),
        ("gif", gif.concat()),
        ("bmp", [&bmp.concat()[..], &[1, 0, 24, 0], &[0; 24]].concat()),
        ("tiff", tiff(w, h, 1, &[0; 100])),
        ("ppm", format!("P6 {w} {h} 255\n").into_bytes()),
        ("qoi", qoi.concat()),
        ("jpeg", jpeg),
    ]
}

#[test]
fn a_claim_of_too_many_pixels_is_refused_before_they_are_allocated() {
    let limits = Limits::default();
    for ((name, bomb), (_, small)) in claims(16_383, 16_382).into_iter().zip(claims(16, 16)) {
        let reason = decode(&bomb, &limits, Detail::Full).unwrap_err();
        let expected = "too large: 16383×16382 pixels, the limit is 100000000 in all";
        assert_eq!(reason, expected, "{name}");
        // The same file with a modest claim fails for what it lacks, if at all.
        if let Err(reason) = decode(&small, &limits, Detail::Full) {
            assert!(!reason.contains("too large"), "{name}: {reason}");
        }
    }
}

fn reason_within(png: &[u8], max_pixels: u64) -> Option<String> {
    decode(png, &Limits { max_pixels, ..LIMITS }, Detail::Full).err()
}

#[test]
fn the_limits_are_those_given() {
    let png = encoded(&noise(100, 100).into(), ImageFormat::Png);
    assert_eq!(reason_within(&png, 10_000), None);
    assert!(reason_within(&png, 9_999).unwrap().starts_with("too large: 100×100 pixels"));
    let deep: DynamicImage = ImageBuffer::from_pixel(100, 100, Rgba([0u16, 0, 0, 0xFFFF])).into();
    let png = encoded(&deep, ImageFormat::Png);
    assert_eq!(reason_within(&png, 20_000), None);
    assert!(reason_within(&png, 19_999).unwrap().contains("80000 bytes of samples"));
}

#[test]
fn a_panic_of_a_decoder_is_a_reason() {
    let reason = caught::<()>(|| panic!("Index {} out of range\nand more", 7)).unwrap_err();
    assert_eq!(reason, "the decoder failed: Index 7 out of range");
    assert_eq!(caught(|| Ok(3)), Ok(3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the damage, there is an answer in bounds.
    #[test]
    fn damaged_files_never_break_out(
        which in 0..FORMATS.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let rgba: RgbaImage = DynamicImage::from(noise(24, 16)).into_rgba8();
        let (format, name) = FORMATS[which];
        let picture = match name {
            "png" | "webp" | "qoi" | "tiff" => rgba.into(),
            _ => DynamicImage::from(rgba).into_rgb8().into(),
        };
        let mut bytes = encoded(&picture, format);
        for (index, byte) in damage {
            let position = index.index(bytes.len());
            bytes[position] = byte;
        }
        match decode(&bytes, &LIMITS, Detail::Full) {
            Ok(found) => {
                let n_pixels = u64::from(found.facts.width) * u64::from(found.facts.height);
                prop_assert!(n_pixels <= LIMITS.max_pixels);
                prop_assert_eq!(found.pixels.width(), found.facts.width);
            }
            Err(reason) => prop_assert!(!reason.is_empty() && !reason.contains('\n')),
        }
    }
}
