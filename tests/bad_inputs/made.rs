//! Files that no program would write, made byte by byte.

use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;

use image::codecs::gif::GifEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, Frame, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

use crate::common::{Place, large_jpeg};

pub(crate) fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Pixels that do not compress.
pub(crate) fn noise(side: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| {
        let mixed = (x * 7919 + y * 104_729 + 17).wrapping_mul(2_654_435_761);
        Rgb([mixed as u8, (mixed >> 8) as u8, (mixed >> 16) as u8])
    };
    RgbImage::from_fn(side, side, pixel).into()
}

/// So many hundredths of a file.
pub(crate) fn part(bytes: &[u8], percent: usize) -> &[u8] {
    &bytes[..bytes.len() * percent / 100]
}

/// White above and black below, as a camera that was held in this way stores it.
pub(crate) fn held(orientation: u8) -> Vec<u8> {
    let stored = RgbImage::from_fn(16, 16, |x, y| {
        // What is left, right, above and below of the stored picture by the EXIF standard.
        let is_white = match orientation {
            1 | 2 => y < 8,
            3 | 4 => y >= 8,
            5 | 6 => x < 8,
            _ => x >= 8,
        };
        Rgb(if is_white { [255; 3] } else { [0; 3] })
    });
    png_with(orientation, &stored.into())
}

/// A picture whose camera was held on its side.
pub(crate) fn turned(picture: &DynamicImage) -> Vec<u8> {
    png_with(6, picture)
}

fn png_with(orientation: u8, picture: &DynamicImage) -> Vec<u8> {
    // A directory of one field: tag 0x0112, a short.
    let exif = [
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(),
        &[orientation, 0, 0, 0, 0, 0, 0, 0],
    ];
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_exif_metadata(exif.concat()).unwrap();
    let (width, height, colour) = (picture.width(), picture.height(), picture.color());
    encoder.write_image(picture.as_bytes(), width, height, colour.into()).unwrap();
    png
}

/// Files of a few bytes that claim a size, by their extensions.
pub(crate) fn claims(side: u16) -> [(&'static str, Vec<u8>); 8] {
    let wide = u32::from(side);
    let webp_side = wide.min(16_383) - 1;
    let webp_size = webp_side | (webp_side << 14);
    let webp = [&b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f"[..], &webp_size.to_le_bytes(), &[0; 9]];
    let gif_size = [side.to_le_bytes(), side.to_le_bytes()].concat();
    let gif = [b"GIF89a", &gif_size[..], b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0", &gif_size, &[0]];
    let bmp_size = [wide.to_le_bytes(), wide.to_le_bytes()].concat();
    let bmp = [b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", &bmp_size[..], &[1, 0, 24, 0], &[0; 24]];
    let qoi = [b"qoif", &wide.to_be_bytes()[..], &wide.to_be_bytes(), &[3, 0]];
    let tga = [&[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &gif_size, &[24, 0]];
    [
        ("webp", webp.concat()),
        ("gif", gif.concat()),
        ("bmp", bmp.concat()),
        ("tif", tiff(wide)),
        ("ppm", format!("P6 {wide} {wide} 255\n").into_bytes()),
        ("qoi", qoi.concat()),
        ("jpg", jpeg_claim(side)),
        // Without a mark of its own, TGA is nothing that is known.
        ("png", tga.concat()),
    ]
}

/// A JPEG of 128×128 pixels that says it has others.
pub(crate) fn jpeg_claim(side: u16) -> Vec<u8> {
    let mut jpeg = large_jpeg();
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap() + 5;
    jpeg[frame..frame + 4].copy_from_slice(&[side.to_be_bytes(), side.to_be_bytes()].concat());
    jpeg
}

/// A TIFF in grey whose pixels are not there.
fn tiff(side: u32) -> Vec<u8> {
    let short = |tag: u16, value: u16| entry(tag, 3, u32::from(value));
    let long = |tag: u16, value: u32| entry(tag, 4, value);
    let entries = [
        long(256, side),
        long(257, side),
        short(258, 8),
        short(259, 1),
        short(262, 1),
        long(273, 8),
        short(277, 1),
        long(278, side),
        long(279, side.saturating_mul(side)),
    ];
    let count = (entries.len() as u16).to_le_bytes();
    [&b"II*\0\x08\0\0\0"[..], &count, &entries.concat(), &[0; 4]].concat()
}

/// A field of a TIFF directory.
fn entry(tag: u16, kind: u16, value: u32) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &1u32.to_le_bytes(), &value.to_le_bytes()]
        .concat()
}

/// A TIFF of one pixel in CMYK: pure magenta and yellow, which is red.
fn cmyk_tiff() -> Vec<u8> {
    let entries = [
        entry(256, 4, 1),
        entry(257, 4, 1),
        // Four times eight bits, behind the directory.
        [
            &258u16.to_le_bytes()[..],
            &3u16.to_le_bytes(),
            &4u32.to_le_bytes(),
            &122u32.to_le_bytes(),
        ]
        .concat(),
        entry(259, 3, 1),
        entry(262, 3, 5),
        entry(273, 4, 130),
        entry(277, 3, 4),
        entry(278, 4, 1),
        entry(279, 4, 4),
    ];
    let head = [&b"II*\0\x08\0\0\0\x09\0"[..], &entries.concat(), &[0; 4]].concat();
    assert_eq!(head.len(), 122);
    [head.as_slice(), &[8, 0, 8, 0, 8, 0, 8, 0], &[0, 255, 255, 0]].concat()
}

/// Pictures of every kind that is brought to 8-bit RGB by a rule, with the colour that they must have.
pub(crate) fn odd_kinds() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let png = |picture: DynamicImage| file(&picture, ImageFormat::Png);
    let flat = |rgba: [u8; 4]| RgbaImage::from_pixel(16, 16, Rgba(rgba));
    let red = [255, 0, 0, 255];
    let mut animation = Vec::new();
    let frames = [red, [0, 0, 255, 255]].map(|rgba| Frame::new(flat(rgba)));
    GifEncoder::new(&mut animation).encode_frames(frames).unwrap();
    let deep = image::ImageBuffer::from_pixel(16, 16, Luma([0xFFFFu16]));
    let deep_red = image::ImageBuffer::from_pixel(16, 16, Rgb([0xFFFFu16, 0, 0]));
    vec![
        ("grey16.png", png(deep.into()), "white"),
        ("rgb16.png", png(deep_red.into()), "red"),
        ("transparent.png", png(flat([255, 0, 0, 0]).into()), "white"),
        ("transparent.webp", file(&flat([255, 0, 0, 0]).into(), ImageFormat::WebP), "white"),
        ("palette.gif", file(&flat(red).into(), ImageFormat::Gif), "red"),
        ("animated.gif", animation, "red"),
        ("cmyk.tif", cmyk_tiff(), "red"),
        ("dot.png", png(RgbImage::from_pixel(1, 1, Rgb([255, 0, 0])).into()), "red"),
        ("line.png", png(RgbImage::from_pixel(1, 20_000, Rgb([255, 0, 0])).into()), "red"),
        ("row.png", png(RgbImage::from_pixel(20_000, 1, Rgb([255, 0, 0])).into()), "red"),
    ]
}

/// Writes a program for a shell.
pub(crate) fn script(place: &Place, name: &str, text: &str) {
    let path = place.root().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}
