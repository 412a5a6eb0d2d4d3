//! From the bytes of a file to a picture in RGB, within limits.
//!
//! The rules: the content decides the format, never the name. The declared size is checked before pixels are
//! allocated. EXIF orientation is applied. Transparency is laid over white. 16-bit and floating-point samples are
//! brought to 8 bits, palettes and CMYK to RGB; of an animation or a file with several pages the first is taken.
//! ICC profiles are noted and not applied: the numbers are taken for sRGB.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage,
    metadata::Orientation,
};

use super::exif::ExifFacts;
use super::external::no_decoder_for;
use super::{Limits, Words, color_profile, jpeg, jpeg_end};
use crate::item::ImageFacts;
use crate::pixels::{Detail, Pixels};

/// The formats that are decoded, with their names.
const FORMATS: [(ImageFormat, &str); 8] = [
    (ImageFormat::Jpeg, "jpeg"),
    (ImageFormat::Png, "png"),
    (ImageFormat::WebP, "webp"),
    (ImageFormat::Gif, "gif"),
    (ImageFormat::Tiff, "tiff"),
    (ImageFormat::Bmp, "bmp"),
    (ImageFormat::Pnm, "pnm"),
    (ImageFormat::Qoi, "qoi"),
];

/// Longest reason that a decoder may give.
const MAX_REASON_CHARS: usize = 200;

/// A picture and what its file says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The picture, upright; a JPEG may be smaller than its file says where not all of its [`Detail`] was asked for.
    pub pixels: Pixels,
    /// What its file says.
    pub facts: ImageFacts,
    /// What its file says in words.
    pub words: Words,
    /// Why a part of the picture is missing, where one is.
    pub truncated: Option<String>,
}

/// Decodes a picture of any known format.
///
/// # Errors
/// The reason in one line, lower case, without the name of the file.
pub fn decode(bytes: &[u8], limits: &Limits, detail: Detail) -> Result<Decoded, String> {
    caught(|| decode_within(bytes, limits, detail, Turn::AsTheFileSays))
}

/// Decodes a picture that is upright as it lies in its file, whatever that says: another program has turned it already.
pub(super) fn decode_upright(
    bytes: &[u8],
    limits: &Limits,
    detail: Detail,
) -> Result<Decoded, String> {
    caught(|| decode_within(bytes, limits, detail, Turn::Not))
}

/// Whether a picture is turned by its EXIF orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    AsTheFileSays,
    Not,
}

/// Turns a panic of a decoder into a reason: one odd file must not end a run over a million.
pub(super) fn caught<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(one_line(&format!("the decoder failed: {}", said.unwrap_or("it did not say why"))))
    })
}

fn decode_within(
    bytes: &[u8],
    limits: &Limits,
    detail: Detail,
    turn: Turn,
) -> Result<Decoded, String> {
    let (format, format_name) = sniff(bytes)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(decoder_limits(limits));
    let mut decoder = reader.into_decoder().map_err(|error| reason(&error))?;
    // `DynamicImage::from_decoder` heeds no limit, and it is the only way that leaves room for orientation.
    let (width, height) = decoder.dimensions();
    check_size(width, height, decoder.total_bytes(), limits)?;
    check_memory(width, height, decoder.total_bytes())?;
    let orientation = match turn {
        Turn::AsTheFileSays => decoder.orientation().unwrap_or(Orientation::NoTransforms),
        Turn::Not => Orientation::NoTransforms,
    };
    let mut exif = exif_of(&mut decoder, format, bytes);
    let words = words_of(&mut decoder, exif.description.take());
    let profile = decoder.icc_profile().ok().flatten();
    let picture = match (format == ImageFormat::Jpeg)
        .then(|| jpeg::decode(bytes, (width, height), detail))
        .flatten()
    {
        Some(picture) => picture,
        None => over_white(DynamicImage::from_decoder(decoder).map_err(|error| reason(&error))?),
    };
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation);
    let (width, height) = upright(width, height, orientation);
    Ok(Decoded {
        pixels: Pixels::new(picture.width(), picture.height(), picture.into_rgb8().into_raw())
            .map_err(|error| error.to_string())?,
        facts: ImageFacts {
            width,
            height,
            format: format_name.into(),
            orientation: orientation.to_exif(),
            taken_at: exif.taken_at,
            camera: exif.camera,
            latitude: exif.latitude,
            longitude: exif.longitude,
            color_profile: profile.map(|profile| color_profile::name(&profile)),
        },
        words,
        truncated: (format == ImageFormat::Jpeg && !jpeg_end::is_complete(bytes))
            .then(|| "the jpeg ends too early; what is missing is grey".into()),
    })
}

/// The sides after the orientation is applied.
fn upright(width: u32, height: u32, orientation: Orientation) -> (u32, u32) {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => (height, width),
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => (width, height),
    }
}

/// The format by content, or why there is none.
fn sniff(bytes: &[u8]) -> Result<(ImageFormat, &'static str), String> {
    if bytes.is_empty() {
        return Err("an empty file".into());
    }
    let guess = image::guess_format(bytes).ok();
    let known = FORMATS.into_iter().find(|&(format, _)| Some(format) == guess);
    known.ok_or_else(|| match foreign(bytes) {
        Some(name) => no_decoder_for(name),
        None => "not a picture in a known format".into(),
    })
}

/// Whether the content is in one of the formats that are decoded here.
pub(super) fn is_known(bytes: &[u8]) -> bool {
    sniff(bytes).is_ok()
}

/// Formats worth naming in the reason.
pub(super) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let starts = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|it| it.starts_with(magic));
    [
        (4, &b"ftypavif"[..], "avif"),
        (4, b"ftypavis", "avif"),
        (4, b"ftyphei", "heic"),
        (4, b"ftyphev", "heic"),
        (4, b"ftypmif1", "heif"),
        (4, b"ftypcrx", "camera raw"),
        (0, b"\xFF\x0A", "jpeg xl"),
        (4, b"JXL \r\n\x87\n", "jpeg xl"),
        (4, b"jP  \r\n\x87\n", "jpeg 2000"),
        (0, b"FUJIFILMCCD-RAW", "camera raw"),
        (0, b"%PDF", "pdf"),
        (0, b"<svg", "svg"),
        (0, b"8BPS", "photoshop files"),
    ]
    .into_iter()
    .find_map(|(at, magic, name)| starts(at, magic).then_some(name))
}

/// Bounds what a decoder takes for itself: palettes, text chunks, tiles, frames.
fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(max_sample_bytes(limits));
    bounds
}

fn max_sample_bytes(limits: &Limits) -> u64 {
    limits.max_pixels.saturating_mul(4)
}

fn check_size(width: u32, height: u32, sample_bytes: u64, limits: &Limits) -> Result<(), String> {
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(format!(
            "too large: {width}×{height} pixels, the limit is {} in all",
            limits.max_pixels
        ));
    }
    let most = max_sample_bytes(limits);
    if sample_bytes > most {
        return Err(format!("too large: {sample_bytes} bytes of samples, the limit is {most}"));
    }
    Ok(())
}

/// Whether there is memory for the samples and for the picture. A decoder that finds out half way ends the program.
fn check_memory(width: u32, height: u32, sample_bytes: u64) -> Result<(), String> {
    let picture_bytes = u64::from(width) * u64::from(height) * 3;
    let n_bytes = usize::try_from(sample_bytes.saturating_add(picture_bytes));
    let mut room = Vec::<u8>::new();
    let reserved = room.try_reserve_exact(n_bytes.unwrap_or(usize::MAX));
    // Nobody writes into it, so the compiler would leave it out.
    std::hint::black_box(&room);
    reserved.map_err(|_| format!("not enough memory for its {width}×{height} pixels"))
}

fn exif_of(decoder: &mut impl ImageDecoder, format: ImageFormat, bytes: &[u8]) -> ExifFacts {
    // A TIFF file is its own EXIF block.
    let block = if format == ImageFormat::Tiff {
        Some(bytes.to_vec())
    } else {
        decoder.exif_metadata().ok().flatten()
    };
    block.map(ExifFacts::read).unwrap_or_default()
}

/// The decoder of JPEG walks the segments in front of the picture once more for each packet, which takes microseconds.
fn words_of(decoder: &mut impl ImageDecoder, description: Option<String>) -> Words {
    let xmp = decoder.xmp_metadata().ok().flatten();
    let iptc = decoder.iptc_metadata().ok().flatten();
    Words::read(xmp.as_deref(), iptc.as_deref(), description)
}

/// 8-bit RGB; what is transparent shows white, as on paper.
fn over_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let (width, height) = rgba.dimensions();
    let blend = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    // In place, since a second copy could be as large as the limit allows.
    let mut bytes = rgba.into_raw();
    let n_pixels = bytes.len() / 4;
    for pixel in 0..n_pixels {
        let alpha = bytes[4 * pixel + 3];
        for channel in 0..3 {
            bytes[3 * pixel + channel] = blend(bytes[4 * pixel + channel], alpha);
        }
    }
    bytes.truncate(3 * n_pixels);
    RgbImage::from_raw(width, height, bytes).expect("three bytes are left of each pixel")
}

fn reason(error: &ImageError) -> String {
    if matches!(error, ImageError::Limits(_)) {
        return "too large: decoding it takes more memory than the limit".into();
    }
    one_line(&error.to_string())
}

/// The first line, beginning in lower case.
fn one_line(text: &str) -> String {
    let mut chars =
        text.lines().next().unwrap_or_default().chars().filter(|char| !char.is_control());
    let first = chars.next().map(|char| char.to_lowercase().to_string()).unwrap_or_default();
    first.chars().chain(chars).take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
mod words_tests;
