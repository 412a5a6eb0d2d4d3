//! The name of an ICC profile, which says by what a picture's numbers were meant.
//!
//! It is noted, never applied: numbers are taken for sRGB, as the models were trained. What is malformed has no name.

/// What a profile without a readable name is called.
const UNNAMED: &str = "unnamed";

/// Longest name that is kept.
const MAX_NAME_CHARS: usize = 80;

/// Entries of the table of tags that are looked at; profiles have a dozen or two.
const MAX_TAGS: usize = 100;

/// Where the table of tags begins, behind the header.
const TAGS: usize = 128;

/// The name of a profile in one line.
pub(super) fn name(profile: &[u8]) -> String {
    let description = tag(profile, b"desc").and_then(text).unwrap_or_default();
    let plain: String = description.chars().filter(|char| !char.is_control()).collect();
    let name: String = plain.trim().chars().take(MAX_NAME_CHARS).collect();
    if name.is_empty() { UNNAMED.into() } else { name }
}

/// The data of a tag.
fn tag<'a>(profile: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let n_tags = number(profile, TAGS)?.min(MAX_TAGS);
    let entries = profile.get(TAGS + 4..)?.chunks_exact(12).take(n_tags);
    let entry = entries.into_iter().find(|entry| entry.starts_with(wanted))?;
    part(profile, number(entry, 4)?, number(entry, 8)?)
}

/// The text of a description: ASCII up to version 2, in several languages since version 4, of which the first is taken.
fn text(data: &[u8]) -> Option<String> {
    match data.get(..4)? {
        b"desc" => {
            let ascii = part(data, 12, number(data, 8)?)?;
            let ascii = ascii.split(|&byte| byte == 0).next()?;
            Some(String::from_utf8_lossy(ascii).into_owned())
        }
        b"mluc" => {
            // Each of the languages has an entry of the size that stands before them; language and country come first.
            let utf16 = part(data, number(data, 24)?, number(data, 20)?)?;
            let (units, _odd) = utf16.as_chunks::<2>();
            let units: Vec<u16> = units.iter().map(|&unit| u16::from_be_bytes(unit)).collect();
            Some(String::from_utf16_lossy(&units))
        }
        _ => None,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let (number, _) = bytes.get(at..)?.split_first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*number)).ok()
}

fn part(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use image::codecs::png::PngEncoder;
    use image::{DynamicImage, ImageEncoder, RgbImage};

    use super::*;
    use crate::media::{Limits, decode};
    use crate::pixels::Detail;

    /// A profile that has nothing but a description.
    fn profile(description: &[u8]) -> Vec<u8> {
        let mut profile = vec![0; TAGS];
        profile[36..40].copy_from_slice(b"acsp");
        for number in [1, u32::from_be_bytes(*b"desc"), 144, description.len() as u32] {
            profile.extend(number.to_be_bytes());
        }
        [profile, description.to_vec()].concat()
    }

    fn of_version_2(text: &str) -> Vec<u8> {
        let length = (text.len() as u32 + 1).to_be_bytes();
        profile(&[b"desc\0\0\0\0", &length[..], text.as_bytes(), b"\0"].concat())
    }

    fn of_version_4(text: &str) -> Vec<u8> {
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let length = (utf16.len() as u32).to_be_bytes();
        let head = b"mluc\0\0\0\0\0\0\0\x01\0\0\0\x0cenUS";
        profile(&[head, &length[..], &28u32.to_be_bytes(), &utf16].concat())
    }

    #[test]
    fn names() {
        assert_eq!(name(&of_version_2("sRGB IEC61966-2.1")), "sRGB IEC61966-2.1");
        assert_eq!(name(&of_version_4("Display P3 é")), "Display P3 é");
        assert_eq!(name(&of_version_4(&"x".repeat(500))), "x".repeat(MAX_NAME_CHARS));
        assert_eq!(name(&of_version_2("a\n\x1b[2J ")), "a[2J");
        for odd in [&b""[..], b"no profile", &[255; 300], &profile(b"text\0\0\0\0name")] {
            assert_eq!(name(odd), UNNAMED);
        }
    }

    /// Every byte is cut off, or set to what is out of bounds.
    #[test]
    fn what_is_malformed_has_no_name_and_does_no_harm() {
        for whole in [of_version_2("a name"), of_version_4("a name")] {
            for at in 0..whole.len() {
                name(&whole[..at]);
                let mut odd = whole.clone();
                odd[at] = 255;
                name(&odd);
            }
        }
    }

    #[test]
    fn a_picture_tells_of_its_profile() {
        let picture = RgbImage::from_pixel(2, 2, image::Rgb([10, 200, 30]));
        let png = |profile: Option<Vec<u8>>| {
            let mut bytes = Vec::new();
            let mut encoder = PngEncoder::new(&mut bytes);
            profile.into_iter().for_each(|profile| encoder.set_icc_profile(profile).unwrap());
            DynamicImage::from(picture.clone()).write_with_encoder(encoder).unwrap();
            decode(&bytes, &Limits::default(), Detail::Full).unwrap()
        };
        let (plain, wide) = (png(None), png(Some(of_version_4("Display P3"))));
        assert_eq!(plain.facts.color_profile, None);
        assert_eq!(wide.facts.color_profile.as_deref(), Some("Display P3"));
        assert_eq!(plain.pixels, wide.pixels, "the numbers are taken for sRGB");
    }
}
