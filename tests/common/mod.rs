//! Pictures, directories and libraries for the tests: a small language, so that a test says only what it is about.
#![allow(dead_code, unreachable_pub, reason = "every test program uses its own part")]

#[cfg(feature = "cli")]
pub mod program;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

/// A directory for photos beside one for a library, both gone at the end.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// The same below a directory of the caller's choice.
    pub fn below(parent: &Path) -> Self {
        let dir = tempfile::tempdir_in(parent).unwrap();
        fs::create_dir(dir.path().join("photos")).unwrap();
        Self { dir }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn library(&self) -> PathBuf {
        self.dir.path().join("library")
    }

    /// The photos' directory, as `index` names it.
    pub fn photos(&self) -> PathBuf {
        self.dir.path().join("photos").canonicalize().unwrap()
    }

    pub fn photo(&self, name: &str) -> PathBuf {
        self.photos().join(name)
    }

    /// Writes a file below the photos' directory.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.photo(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes a tar of the given members.
    pub fn tar(&self, name: &str, members: &[(&str, Vec<u8>)]) -> PathBuf {
        self.write(name, tar(members))
    }

    /// The library's files whose names begin so.
    pub fn library_files(&self, prefix: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.library()).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
        files.sort();
        files
    }
}

pub const RED: [u8; 3] = [250, 5, 5];
pub const GREEN: [u8; 3] = [5, 250, 5];
pub const BLUE: [u8; 3] = [5, 5, 250];
pub const YELLOW: [u8; 3] = [250, 250, 5];

/// A picture of one colour; `n` makes its content differ from others of that colour.
pub fn picture(colour: [u8; 3], n: u32) -> RgbImage {
    RgbImage::from_fn(16, 16, |x, y| {
        let at = y * 16 + x;
        let bit = at < 32 && n >> at & 1 == 1;
        Rgb(if bit { [colour[0] / 2, colour[1] / 2, colour[2] / 2] } else { colour })
    })
}

pub fn png(colour: [u8; 3], n: u32) -> Vec<u8> {
    encoded(&picture(colour, n), ImageFormat::Png)
}

pub fn jpeg(colour: [u8; 3], n: u32) -> Vec<u8> {
    encoded(&picture(colour, n), ImageFormat::Jpeg)
}

/// A picture whose data is long enough to be cut in the middle.
pub fn large_jpeg() -> Vec<u8> {
    let picture = RgbImage::from_fn(128, 128, |x, y| Rgb([(x * y) as u8, (x ^ y) as u8, x as u8]));
    encoded(&picture, ImageFormat::Jpeg)
}

pub fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The first bytes of a PNG that claims to be 60000×60000, with nothing behind them.
pub fn png_bomb() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&60_000u32.to_be_bytes());
    header.extend_from_slice(&60_000u32.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\r".to_vec();
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&crc32(&header).to_be_bytes());
    bytes.extend_from_slice(b"\0\0\0\x08IDAT\0\0\0\0\0\0\0\0\0\0\0\0");
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xEDB8_8320 * (crc & 1)))
    };
    !bytes.iter().fold(!0, step)
}

pub fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_000);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Gives a file new content, with the size and the time of the old.
pub fn replace_unnoticed(path: &Path, mut bytes: Vec<u8>) {
    let metadata = fs::metadata(path).unwrap();
    bytes.resize(usize::try_from(metadata.len()).unwrap(), 0);
    fs::write(path, bytes).unwrap();
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(metadata.modified().unwrap())
        .unwrap();
}

/// What a picture's file says in words.
#[derive(Default)]
pub struct Said<'a> {
    /// Keywords and description in its XMP packet.
    pub xmp: (&'a [&'a str], &'a str),
    /// Keywords in its IPTC records.
    pub iptc: &'a [&'a str],
}

/// A JPEG of one colour whose file says something.
pub fn jpeg_saying(colour: [u8; 3], said: &Said<'_>) -> Vec<u8> {
    let segment = |marker: u8, name: &[u8], body: &[u8]| {
        let length = u16::try_from(name.len() + body.len() + 2).unwrap().to_be_bytes();
        [&[0xFF, marker], &length[..], name, body].concat()
    };
    let (keywords, description) = said.xmp;
    let keywords: String = keywords.iter().map(|word| format!("<rdf:li>{word}</rdf:li>")).collect();
    let xmp = format!(
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
         <rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/'>
          <dc:subject><rdf:Bag>{keywords}</rdf:Bag></dc:subject>
          <dc:description><rdf:Alt><rdf:li xml:lang='x-default'>{description}</rdf:li></rdf:Alt></dc:description>
         </rdf:Description></rdf:RDF>"
    );
    let record = |word: &&str| [&[0x1C, 2, 25, 0, word.len() as u8], word.as_bytes()].concat();
    let records: Vec<u8> = said.iptc.iter().flat_map(record).collect();
    let length = u32::try_from(records.len()).unwrap().to_be_bytes();
    let iptc = [b"8BIM\x04\x04\0\0", &length[..], &records].concat();
    let jpeg = jpeg(colour, 0);
    [
        &jpeg[..2],
        &segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0", xmp.as_bytes()),
        &segment(0xED, b"Photoshop 3.0\0", &iptc),
        &jpeg[2..],
    ]
    .concat()
}
