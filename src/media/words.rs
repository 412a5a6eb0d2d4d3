//! What a picture's file says in words: keywords, and a description.
//!
//! Programs write both into an XMP packet, into IPTC records, or into either; cameras write a description into EXIF.
//! The keywords of all places count. Of the descriptions the first is taken in the order XMP, IPTC, EXIF: who knows a
//! newer place copies there what an older one said. What is malformed is left out; it never fails a picture.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::tag::Tag;

mod iptc;
mod xmp;

/// Longer packets are not read; those that say anything have a few kilobytes.
const MAX_PACKET_BYTES: usize = 1 << 20;

/// Most keywords that are taken out of a file.
const MAX_KEYWORDS: usize = 256;

/// Longest description that is taken out of a file; IPTC allows 2,000 bytes.
const MAX_DESCRIPTION_CHARS: usize = 2_000;

/// What cameras write where a description belongs, and editors copy on.
const BOILERPLATE: [&str; 20] = [
    "OLYMPUS DIGITAL CAMERA",
    "KONICA MINOLTA DIGITAL CAMERA",
    "MINOLTA DIGITAL CAMERA",
    "SAMSUNG DIGITAL CAMERA",
    "SAMSUNG CAMERA PICTURES",
    "SAMSUNG",
    "SONY DSC",
    "KODAK Digital Still Camera",
    "Digital Still Camera",
    "Digital Camera",
    "Exif_JPEG_PICTURE",
    "Created by Imlib",
    "Default",
    "Untitled",
    "cof",
    "dav",
    "edf",
    "hdrpl",
    "mde",
    "oznor",
];

/// What a picture's file says in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// Its keywords, as far as they are tags; each once and in order.
    pub tags: Vec<Tag>,
    /// What it shows, on one line.
    pub description: Option<String>,
}

/// What is written in one place.
#[derive(Debug, Default, PartialEq, Eq)]
struct Written {
    keywords: Vec<String>,
    description: Option<String>,
}

impl Words {
    /// Reads an XMP packet and a profile with IPTC records, beside the description in EXIF.
    pub(super) fn read(xmp: Option<&[u8]>, iptc: Option<&[u8]>, exif: Option<String>) -> Self {
        let xmp = xmp.filter(|it| it.len() <= MAX_PACKET_BYTES).map(xmp::read).unwrap_or_default();
        let iptc =
            iptc.filter(|it| it.len() <= MAX_PACKET_BYTES).map(iptc::read).unwrap_or_default();
        let descriptions = [xmp.description, iptc.description, exif];
        Self {
            tags: tags(xmp.keywords.into_iter().chain(iptc.keywords)),
            description: descriptions.into_iter().flatten().find_map(|text| description(&text)),
        }
    }
}

fn tags(keywords: impl Iterator<Item = String>) -> Vec<Tag> {
    let mut tags = BTreeSet::new();
    for keyword in keywords {
        if tags.len() == MAX_KEYWORDS {
            break;
        }
        tags.extend(Tag::new(&keyword));
    }
    tags.into_iter().collect()
}

fn description(written: &str) -> Option<String> {
    let text = on_one_line(written, MAX_DESCRIPTION_CHARS)?;
    let is_boilerplate = BOILERPLATE.iter().any(|known| known.eq_ignore_ascii_case(&text));
    (!is_boilerplate).then_some(text)
}

/// A text without control characters and with single spaces, cut to so many characters; `None` if nothing is left.
pub(super) fn on_one_line(text: &str, max_chars: usize) -> Option<String> {
    let text: String = text.chars().filter(|c| c.is_whitespace() || !c.is_control()).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().take(max_chars).collect();
    let line = line.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The text of bytes whose encoding nobody says: UTF-8 if they can be that, else Latin-1.
pub(super) fn guessed(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests;
