//! Words come out of a file wherever its format has them.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder, ImageFormat};

use super::tests::{decoded, encoded, noise, png_chunk};
use crate::media::exif::block;

const XMP: &[u8] = b"<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:dc='http://purl.org/dc/elements/1.1/'>
    <r:Description><dc:subject><r:Bag><r:li>from xmp</r:li></r:Bag></dc:subject></r:Description></r:RDF>";

/// A resource block with the record 2:25.
const IPTC: &[u8] = b"8BIM\x04\x04\0\0\0\0\0\x0E\x1C\x02\x19\0\x09from iptc";

fn picture(format: ImageFormat) -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(noise(16, 16)), format)
}

/// Tags, and what was said of the picture.
fn words(file: &[u8]) -> (Vec<String>, Option<String>) {
    let found = decoded(file).words;
    (found.tags.iter().map(ToString::to_string).collect(), found.description)
}

/// With something put between the first bytes and the rest.
fn with(file: &[u8], at: usize, parts: &[Vec<u8>]) -> Vec<u8> {
    [&file[..at], &parts.concat(), &file[at..]].concat()
}

#[test]
fn a_jpeg_has_segments_of_all_three() {
    let exif = block::write(&[(0x010E, block::Field::Ascii(b"from exif\0"))], &[], &[]);
    let mut jpeg = vec![];
    let mut encoder = JpegEncoder::new(&mut jpeg);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.encode_image(&noise(16, 16)).unwrap();
    assert_eq!(words(&jpeg), (vec![], Some("from exif".into())));
    let segment = |marker: u8, name: &[u8], body: &[u8]| {
        let length = ((name.len() + body.len() + 2) as u16).to_be_bytes();
        [&[0xFF, marker], &length[..], name, body].concat()
    };
    let xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0", XMP);
    let iptc = segment(0xED, b"Photoshop 3.0\0", IPTC);
    let both = (vec!["from iptc".into(), "from xmp".into()], Some("from exif".into()));
    assert_eq!(words(&with(&jpeg, 2, &[xmp, iptc])), both);
}

#[test]
fn a_png_has_texts_of_both() {
    let png = picture(ImageFormat::Png);
    assert_eq!(words(&png), (vec![], None));
    let xmp = png_chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", XMP].concat());
    let digits: String = IPTC.iter().map(|byte| format!("{byte:02x}")).collect();
    let profile = format!("Raw profile type iptc\0\niptc\n{:8}\n{digits}\n", IPTC.len());
    let iptc = png_chunk(b"tEXt", profile.as_bytes());
    // Behind the signature and the header.
    let (tags, _) = words(&with(&png, 33, &[xmp, iptc]));
    assert_eq!(tags, ["from iptc", "from xmp"]);
}

#[test]
fn a_webp_has_a_chunk_of_xmp() {
    let simple = picture(ImageFormat::WebP);
    let chunk = |name: &[u8; 4], body: &[u8]| {
        let length = (body.len() as u32).to_le_bytes();
        [name.as_slice(), &length, body, &[0][..body.len() % 2]].concat()
    };
    let extended = chunk(b"VP8X", &[0x04, 0, 0, 0, 15, 0, 0, 15, 0, 0]);
    let body = [b"WEBP".to_vec(), extended, simple[12..].to_vec(), chunk(b"XMP ", XMP)];
    assert_eq!(words(&chunk(b"RIFF", &body.concat())).0, ["from xmp"]);
}
