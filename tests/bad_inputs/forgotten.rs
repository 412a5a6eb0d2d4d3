//! Row 40: what was forgotten is in no file any more, and what is shown tells nothing of where it was taken.

use std::fs;

use mmsearch::Query;
use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::Library;

use crate::common::program::{check, run, three_photos};
use crate::common::{Place, RED, Said, jpeg_saying, picture};

/// The files of the library that hold these bytes.
fn holding(place: &Place, bytes: &[u8]) -> Vec<String> {
    let files = place.library_files("").into_iter();
    let holds = |file: &std::path::PathBuf| {
        file.is_file() && fs::read(file).unwrap().windows(bytes.len()).any(|at| at == bytes)
    };
    files.filter(holds).map(|file| file.display().to_string()).collect()
}

#[test]
fn a_forgotten_photo_is_in_no_file() {
    let place = three_photos();
    let said = Said { xmp: (&["rendezvous"], "behind the harbour"), ..Said::default() };
    place.write("holiday-2019.jpg", jpeg_saying(RED, &said));
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    let (hash, embedding) = {
        let mut library = Library::open(&place.library()).unwrap();
        let mut encoder = FakeEncoder::default();
        let hits = library.search(&mut encoder, &Query::text("red")).unwrap();
        let item =
            &hits.iter().find(|hit| hit.item.source.to_string().contains("2019")).unwrap().item;
        let pixels = mmsearch::media::read_picture(
            &place.photo("holiday-2019.jpg"),
            &mmsearch::media::Limits::default(),
            encoder.preprocess().detail(),
        );
        let square = encoder.preprocess().apply(&pixels.unwrap().pixels).unwrap();
        let embedding = encoder.encode_images(&[square]).unwrap().remove(0);
        let bytes: Vec<u8> = embedding.as_slice().iter().flat_map(|it| it.to_le_bytes()).collect();
        (item.content_hash.unwrap().0, bytes)
    };
    let traces: [&[u8]; 5] =
        [b"holiday-2019", b"rendezvous", b"behind the harbour", &hash, &embedding];
    for trace in traces {
        assert!(!holding(&place, trace).is_empty(), "control: it is there before");
    }
    assert_eq!(run(&place, &["forget", "photos/holiday-2019.jpg"]).0, 0);
    for trace in traces {
        assert_eq!(holding(&place, trace), [""; 0], "{}", String::from_utf8_lossy(trace));
    }
    assert!(!holding(&place, b"green.png").is_empty(), "control: the rest is there");
    check(&place);
}

/// A JPEG whose EXIF block says where it was taken.
fn jpeg_with_place() -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0".to_vec();
    // The directory of places follows at 26: north, 47° 30'; east, 8° 15'.
    exif.extend([0x25, 0x88, 4, 0, 1, 0, 0, 0, 26, 0, 0, 0, 0, 0, 0, 0]);
    exif.extend([4, 0]);
    let field = |tag: u8, kind: u8, count: u8, value: [u8; 4]| {
        [&[tag, 0, kind, 0, count, 0, 0, 0][..], &value].concat()
    };
    exif.extend(field(1, 2, 2, *b"N\0\0\0"));
    exif.extend(field(2, 5, 3, [80, 0, 0, 0]));
    exif.extend(field(3, 2, 2, *b"E\0\0\0"));
    exif.extend(field(4, 5, 3, [104, 0, 0, 0]));
    exif.extend([0; 4]);
    assert_eq!(exif.len(), 80);
    for part in [47u32, 1, 30, 1, 0, 1, 8, 1, 15, 1, 0, 1] {
        exif.extend(part.to_le_bytes());
    }
    let mut jpeg = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 90);
    image::ImageEncoder::set_exif_metadata(&mut encoder, exif).unwrap();
    encoder.encode_image(&picture(RED, 77)).unwrap();
    jpeg
}

#[test]
fn a_shown_photo_says_nothing_of_where_it_was_taken() {
    let place = three_photos();
    let path = place.write("somewhere.jpg", jpeg_with_place());
    assert!(fs::read(path).unwrap().windows(4).any(|at| at == b"Exif"), "control");
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    let near = ["query", "--text", "red", "--all", "--paths", "--where", "latitude > 47"];
    assert!(run(&place, &near).1.ends_with("somewhere.jpg\n"), "control: the place is known");
    let page = ["query", "--text", "red", "--all", "--html", "page.html"];
    assert_eq!(run(&place, &page).0, 0);
    let html = fs::read_to_string(place.root().join("page.html")).unwrap();
    let pictures: Vec<Vec<u8>> = html
        .split("data:image/jpeg;base64,")
        .skip(1)
        .map(|rest| decoded(rest.split('"').next().unwrap()))
        .collect();
    assert_eq!(pictures.len(), 4);
    for picture in pictures {
        assert!(picture.starts_with(&[0xFF, 0xD8]));
        assert!(!picture.windows(4).any(|at| at == b"Exif"));
    }
    assert!(!html.contains("47.5"), "{html:.300}");
    check(&place);
}

/// Base64, the plain way.
fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: u8| DIGITS.iter().position(|&known| known == byte);
    let (mut bytes, mut bits, mut n_bits) = (Vec::new(), 0u32, 0);
    for value in text.bytes().filter_map(digit) {
        (bits, n_bits) = (bits << 6 | value as u32, n_bits + 6);
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
        }
    }
    bytes
}
