//! The exact pixels of every storage that a format knows and this decoder reads, from files made byte by byte.

use image::{ImageBuffer, Rgb, Rgba};

use super::tests::{colour, decoded, encoded, flat, noise, png_chunk, zlib};
use super::*;

fn pixels(bytes: &[u8]) -> Vec<u8> {
    decoded(bytes).pixels.into_rgb()
}

/// A PNG of one row of four pixels.
fn png_row(depth: u8, colour_kind: u8, chunks: &[Vec<u8>], row: &[u8]) -> Vec<u8> {
    let header = [0, 0, 0, 4, 0, 0, 0, 1, depth, colour_kind, 0, 0, 0];
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        png_chunk(b"IHDR", &header),
        chunks.concat(),
        png_chunk(b"IDAT", &zlib(&[&[0], row].concat())),
        png_chunk(b"IEND", &[]),
    ]
    .concat()
}

/// Each shade three times.
fn grey(shades: &[u8]) -> Vec<u8> {
    shades.iter().flat_map(|&shade| [shade; 3]).collect()
}

#[test]
fn png_of_every_depth() {
    assert_eq!(pixels(&png_row(1, 0, &[], &[0b0101_0000])), grey(&[0, 255, 0, 255]));
    assert_eq!(pixels(&png_row(2, 0, &[], &[0b0001_1011])), grey(&[0, 85, 170, 255]));
    assert_eq!(pixels(&png_row(4, 0, &[], &[0x08, 0xF1])), grey(&[0, 136, 255, 17]));
    assert_eq!(pixels(&png_row(8, 0, &[], &[0, 7, 200, 255])), grey(&[0, 7, 200, 255]));
    let sixteen = [0, 0, 0x12, 0x12, 0x80, 0x80, 255, 255];
    assert_eq!(pixels(&png_row(16, 0, &[], &sixteen)), grey(&[0, 0x12, 0x80, 255]));
    let with_alpha = [0, 255, 0, 0, 100, 255, 0, 51];
    assert_eq!(pixels(&png_row(8, 4, &[], &with_alpha)), grey(&[0, 255, 100, 204]));
    let palette = png_chunk(b"PLTE", &[9, 8, 7, 255, 0, 0, 0, 255, 0, 0, 0, 255]);
    assert_eq!(
        pixels(&png_row(2, 3, std::slice::from_ref(&palette), &[0b1110_0100])),
        [0, 0, 255, 0, 255, 0, 255, 0, 0, 9, 8, 7]
    );
    // One shade and one colour may be transparent without an alpha channel.
    let shade = png_chunk(b"tRNS", &[0, 7]);
    assert_eq!(pixels(&png_row(8, 0, &[shade], &[0, 7, 200, 7])), grey(&[0, 255, 200, 255]));
    let half = png_chunk(b"tRNS", &[255, 0, 128]);
    assert_eq!(
        pixels(&png_row(2, 3, &[palette, half], &[0b1110_0100])),
        [0, 0, 255, 127, 255, 127, 255, 255, 255, 9, 8, 7]
    );
}

#[test]
fn every_pnm() {
    for (bytes, expected) in [
        (&b"P1 2 1\n1 0"[..], grey(&[0, 255])),
        (b"P2 2 1 100\n0 100", grey(&[0, 255])),
        (b"P3 # said\n1 1 255\n1 2 3", vec![1, 2, 3]),
        (b"P4 2 1\n\x80", grey(&[0, 255])),
        (b"P5 2 1 255\n\x05\xfa", grey(&[5, 250])),
        (b"P5 1 1 65535\n\x80\x80", grey(&[0x80])),
        (b"P6 1 1 255\n\x01\x02\x03", vec![1, 2, 3]),
        (b"P6 1 1 65535\n\x01\x01\x80\x80\xff\xff", vec![1, 0x80, 255]),
        (
            b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n\x00\x64\xc8\x80",
            vec![127, 177, 227],
        ),
    ] {
        assert_eq!(pixels(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn bmp_has_palettes_and_stands_on_its_head() {
    let bmp = |height: i32, rows: &[[u8; 4]]| {
        let size = |value: u32| value.to_le_bytes();
        [
            &b"BM"[..],
            &size(62 + 4 * rows.len() as u32),
            &[0; 4],
            &size(62),
            &size(40),
            &size(2),
            &height.to_le_bytes(),
            &[1, 0, 8, 0],
            &[0; 16],
            &size(2),
            &[0; 4],
            // Blue, green, red, nothing.
            &[30, 20, 10, 0, 3, 2, 1, 0],
            &rows.concat(),
        ]
        .concat()
    };
    let rows = [[0, 0, 0, 0], [1, 0, 0, 0]];
    assert_eq!(pixels(&bmp(2, &rows)), [1, 2, 3, 10, 20, 30, 10, 20, 30, 10, 20, 30]);
    assert_eq!(pixels(&bmp(-2, &rows)), [10, 20, 30, 10, 20, 30, 1, 2, 3, 10, 20, 30]);
}

/// A TIFF of one pixel, whose samples and their depths stand behind the directory.
fn tiff(photometric: u16, depths: &[u16], more: &[(u16, u16)], samples: &[u8]) -> Vec<u8> {
    let short = |(tag, value): (u16, u16)| {
        let (tag, value) = (tag.to_le_bytes(), u32::from(value).to_le_bytes());
        [&tag[..], &[3, 0, 1, 0, 0, 0], &value].concat()
    };
    let n_depths = depths.len() as u16;
    let n_entries = 9 + more.len() as u16;
    let behind = 8 + 2 + 12 * n_entries + 4;
    let depths_at = [
        &258u16.to_le_bytes()[..],
        &[3, 0],
        &u32::from(n_depths).to_le_bytes(),
        &u32::from(behind).to_le_bytes(),
    ];
    let entries = [
        short((256, 1)),
        short((257, 1)),
        depths_at.concat(),
        short((259, 1)),
        short((262, photometric)),
        short((273, behind + 2 * n_depths)),
        short((277, n_depths)),
        short((278, 1)),
        short((279, samples.len() as u16)),
        more.iter().map(|&field| short(field)).collect::<Vec<_>>().concat(),
    ];
    [
        b"II*\0\x08\0\0\0".as_slice(),
        &n_entries.to_le_bytes(),
        &entries.concat(),
        &[0; 4],
        &depths.iter().flat_map(|depth| depth.to_le_bytes()).collect::<Vec<_>>(),
        samples,
    ]
    .concat()
}

#[test]
fn tiff_of_every_kind() {
    assert_eq!(pixels(&tiff(2, &[8; 3], &[], &[1, 2, 3])), [1, 2, 3]);
    assert_eq!(pixels(&tiff(2, &[16; 3], &[], &[1, 1, 0x80, 0x80, 255, 255])), [1, 0x80, 255]);
    assert_eq!(pixels(&tiff(5, &[8; 4], &[], &[0, 255, 255, 0])), [255, 0, 0]);
    assert_eq!(pixels(&tiff(5, &[8; 4], &[], &[255, 0, 255, 0])), [0, 255, 0]);
    assert_eq!(pixels(&tiff(5, &[8; 4], &[], &[0, 0, 0, 255])), [0, 0, 0]);
    // The fourth sample is an alpha that is not multiplied in.
    let found = pixels(&tiff(2, &[8; 4], &[(338, 2)], &[0, 100, 200, 128]));
    assert_eq!(found, [127, 177, 227]);
}

#[test]
fn transparency_shows_white_in_every_format() {
    let clear = DynamicImage::from(flat(Rgba([0u8, 100, 200, 0])));
    let half = DynamicImage::from(flat(Rgba([0u8, 100, 200, 128])));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Qoi] {
        assert_eq!(colour(&encoded(&clear, format)), [255; 3], "{format:?}");
        assert_eq!(colour(&encoded(&half, format)), [127, 177, 227], "{format:?}");
    }
    assert_eq!(colour(&encoded(&clear, ImageFormat::Gif)), [255; 3]);
    // Whatever is behind it, and in deep samples too.
    let deep = ImageBuffer::from_pixel(16, 16, Rgba([0u16, 0, 0, 0]));
    assert_eq!(colour(&encoded(&deep.into(), ImageFormat::Png)), [255; 3]);
}

/// Transparent pixels are blended in place; each must still get its own.
#[test]
fn blending_mixes_no_pixels() {
    let drawn = noise(31, 17);
    let rgba = image::RgbaImage::from_fn(31, 17, |x, y| {
        let Rgb([r, g, b]) = *drawn.get_pixel(x, y);
        Rgba([r, g, b, (x * 8) as u8])
    });
    let blend = |value: u8, alpha: u8| {
        let (value, alpha) = (f64::from(value), f64::from(alpha) / 255.0);
        (value * alpha + 255.0 * (1.0 - alpha)).round() as u8
    };
    let expected: Vec<u8> = rgba
        .pixels()
        .flat_map(|Rgba([r, g, b, alpha])| [r, g, b].map(|value| blend(*value, *alpha)))
        .collect();
    assert_eq!(pixels(&encoded(&rgba.into(), ImageFormat::Png)), expected);
}
