//! Keywords and caption of IPTC records (IIM 4.2): bare, inside the resource blocks of Photoshop as in a JPEG, or
//! in hexadecimal digits as ImageMagick puts those into a PNG.

use super::{Written, guessed};

/// What data set 1:90 says of UTF-8 (ISO 2022).
const UTF8: &[u8] = b"\x1b%G";

/// The resource block that holds the records.
const RECORDS: u16 = 0x0404;

/// Reads a profile.
pub(super) fn read(profile: &[u8]) -> Written {
    let bytes = bytes_of_digits(profile);
    let profile = bytes.as_deref().unwrap_or(profile);
    let mut written = Written::default();
    let mut is_utf8 = false;
    for (record, number, value) in data_sets(in_resources(profile).unwrap_or(profile)) {
        match (record, number) {
            (1, 90) => is_utf8 = value == UTF8,
            (2, 25) => written.keywords.push(text(value, is_utf8)),
            (2, 120) => written.description = written.description.or(Some(text(value, is_utf8))),
            _ => {}
        }
    }
    written
}

/// The data sets of records: their record, their number and their value.
fn data_sets(mut rest: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[0x1C, record, number, high, low], behind) = rest.split_first_chunk()? else {
            return None;
        };
        // With the highest bit set this is the length of a length: a preview, which comes behind all texts.
        let n_bytes = i16::from_be_bytes([high, low]).try_into().ok()?;
        let (value, behind) = behind.split_at_checked(n_bytes)?;
        rest = behind;
        Some((record, number, value))
    })
}

/// The records among resource blocks, each of which is `8BIM`, an id, a name, and data with its length; name and data
/// are padded to an even number of bytes.
fn in_resources(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (id, block) = rest.strip_prefix(b"8BIM")?.split_first_chunk()?;
        let n_name_bytes = 1 + usize::from(*block.first()?);
        let block = block.get(n_name_bytes.next_multiple_of(2)..)?;
        let (n_bytes, data) = block.split_first_chunk()?;
        let n_bytes = u32::from_be_bytes(*n_bytes) as usize;
        if u16::from_be_bytes(*id) == RECORDS {
            return Some(data.get(..n_bytes).unwrap_or(data));
        }
        rest = data.get(n_bytes.checked_next_multiple_of(2)?..)?;
    }
}

/// A line with a name, one with a length, and lines of digits.
fn bytes_of_digits(profile: &[u8]) -> Option<Vec<u8>> {
    let mut lines = std::str::from_utf8(profile).ok()?.strip_prefix('\n')?.lines().skip(1);
    lines.next()?.trim().parse::<usize>().ok()?;
    let digits: Option<Vec<u32>> =
        lines.flat_map(|line| line.trim().chars()).map(|char| char.to_digit(16)).collect();
    let (pairs, _) = digits.as_deref()?.as_chunks::<2>();
    Some(pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect())
}

fn text(value: &[u8], is_utf8: bool) -> String {
    let text = if is_utf8 { String::from_utf8_lossy(value) } else { guessed(value) };
    // Some programs write C strings.
    text.trim_matches('\0').to_owned()
}
