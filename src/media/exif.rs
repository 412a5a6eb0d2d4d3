//! When, with what and where a photo was taken, and what it shows, as its EXIF block says.
//!
//! What is malformed or out of range is left out; it never fails a picture.

use std::io::Cursor;

use exif::{DateTime, Exif, In, Rational, Reader, Tag, Value};

use super::words::guessed;

/// Longest text that is taken out of a file.
const MAX_TEXT_CHARS: usize = 120;

/// What is kept of an EXIF block.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ExifFacts {
    pub(super) taken_at: Option<String>,
    pub(super) camera: Option<String>,
    pub(super) latitude: Option<f64>,
    pub(super) longitude: Option<f64>,
    /// As it is written there.
    pub(super) description: Option<String>,
}

impl ExifFacts {
    /// Reads a block, from its TIFF header on.
    pub(super) fn read(block: Vec<u8>) -> Self {
        Self::of(reader().read_raw(block))
    }

    /// Looks for the block in a whole file, which may be in a format that is not decoded here, such as HEIC.
    pub(super) fn of_file(bytes: &[u8]) -> Self {
        Self::of(reader().read_from_container(&mut Cursor::new(bytes)))
    }

    fn of(read: Result<Exif, exif::Error>) -> Self {
        let Ok(exif) = read.or_else(|error| error.distill_partial_result(|_errors| ())) else {
            return Self::default();
        };
        let (latitude, longitude) = place(&exif).unzip();
        Self {
            taken_at: taken_at(&exif),
            camera: camera(&exif),
            latitude,
            longitude,
            description: description(&exif),
        }
    }
}

fn reader() -> Reader {
    let mut reader = Reader::new();
    reader.continue_on_error(true);
    reader
}

fn taken_at(exif: &Exif) -> Option<String> {
    let Value::Ascii(texts) = value(exif, Tag::DateTimeOriginal)? else { return None };
    let time = DateTime::from_ascii(texts.first()?).ok()?;
    let DateTime { year, month, day, hour, minute, second, .. } = time;
    let is_real = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    is_real.then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

/// Maker and model; many models begin with the maker's name already.
fn camera(exif: &Exif) -> Option<String> {
    let maker = text(exif, Tag::Make);
    let Some(model) = text(exif, Tag::Model) else { return maker };
    let Some(maker) = maker else { return Some(model) };
    if model.to_lowercase().starts_with(&maker.to_lowercase()) {
        return Some(model);
    }
    Some(format!("{maker} {model}"))
}

/// Degrees north and east; half a place is none.
fn place(exif: &Exif) -> Option<(f64, f64)> {
    let latitude = degrees(exif, Tag::GPSLatitude, Tag::GPSLatitudeRef, "N", "S")?;
    let longitude = degrees(exif, Tag::GPSLongitude, Tag::GPSLongitudeRef, "E", "W")?;
    (latitude.abs() <= 90.0 && longitude.abs() <= 180.0).then_some((latitude, longitude))
}

fn degrees(exif: &Exif, tag: Tag, ref_tag: Tag, plus: &str, minus: &str) -> Option<f64> {
    let Value::Rational(parts) = value(exif, tag)? else { return None };
    let units = [1.0, 60.0, 3600.0];
    let sum: f64 = parts.iter().zip(units).map(|(part, unit)| Rational::to_f64(part) / unit).sum();
    // 0/0 is NaN and 1/0 is infinite; cameras without a fix write both.
    if parts.is_empty() || !sum.is_finite() {
        return None;
    }
    let direction = text(exif, ref_tag)?.to_ascii_uppercase();
    if direction == plus {
        Some(sum)
    } else if direction == minus {
        Some(-sum)
    } else {
        None
    }
}

/// The standard wants ASCII; programs write what they like.
fn description(exif: &Exif) -> Option<String> {
    let Value::Ascii(texts) = value(exif, Tag::ImageDescription)? else { return None };
    Some(guessed(texts.first()?).into_owned())
}

fn value(exif: &Exif, tag: Tag) -> Option<&Value> {
    Some(&exif.get_field(tag, In::PRIMARY)?.value)
}

/// A text without padding and control characters; `None` if nothing is left.
fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let Value::Ascii(texts) = value(exif, tag)? else { return None };
    let text = String::from_utf8_lossy(texts.first()?);
    let text: String =
        text.chars().filter(|char| !char.is_control()).take(MAX_TEXT_CHARS).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// EXIF blocks written by hand.
#[cfg(test)]
pub(super) mod block {
    /// A value of a field.
    #[derive(Clone, Copy)]
    pub(crate) enum Field<'a> {
        Short(u16),
        Long(u32),
        Ascii(&'a [u8]),
        Rationals(&'a [(u32, u32)]),
    }

    impl Field<'_> {
        fn kind_count_bytes(self) -> (u16, u32, Vec<u8>) {
            match self {
                Field::Short(value) => (3, 1, value.to_le_bytes().to_vec()),
                Field::Long(value) => (4, 1, value.to_le_bytes().to_vec()),
                Field::Ascii(text) => (2, text.len() as u32, text.to_vec()),
                Field::Rationals(values) => {
                    let bytes = values.iter().flat_map(|&(over, under)| [over, under]);
                    (5, values.len() as u32, bytes.flat_map(u32::to_le_bytes).collect())
                }
            }
        }
    }

    /// One directory of fields at `offset` of the block, with its values behind it.
    fn directory(fields: &[(u16, Field<'_>)], offset: usize) -> Vec<u8> {
        let mut head = (fields.len() as u16).to_le_bytes().to_vec();
        let values_at = offset + 2 + fields.len() * 12 + 4;
        let mut values = vec![];
        for &(tag, field) in fields {
            let (kind, count, mut bytes) = field.kind_count_bytes();
            head.extend(tag.to_le_bytes());
            head.extend(kind.to_le_bytes());
            head.extend(count.to_le_bytes());
            if bytes.len() <= 4 {
                bytes.resize(4, 0);
                head.extend(bytes);
            } else {
                head.extend(((values_at + values.len()) as u32).to_le_bytes());
                values.extend(bytes);
            }
        }
        head.extend([0; 4]);
        [head, values].concat()
    }

    /// A block with the main, the EXIF and the GPS directory.
    pub(crate) fn write(
        main: &[(u16, Field<'_>)],
        exif: &[(u16, Field<'_>)],
        gps: &[(u16, Field<'_>)],
    ) -> Vec<u8> {
        let exif_dir = directory(exif, 8);
        let gps_at = 8 + exif_dir.len();
        let gps_dir = directory(gps, gps_at);
        let main_at = gps_at + gps_dir.len();
        let pointers = [(0x8769, Field::Long(8)), (0x8825, Field::Long(gps_at as u32))];
        let main_dir = directory(&[main, &pointers].concat(), main_at);
        let header = [b"II*\0".as_slice(), &(main_at as u32).to_le_bytes()].concat();
        [header, exif_dir, gps_dir, main_dir].concat()
    }

    /// A block that says nothing but the orientation.
    pub(crate) fn orientation(orientation: u16) -> Vec<u8> {
        write(&[(0x0112, Field::Short(orientation))], &[], &[])
    }
}

#[cfg(test)]
mod tests {
    use super::block::{Field, write};
    use super::*;

    const MAKE: u16 = 0x010F;
    const MODEL: u16 = 0x0110;
    const TAKEN: u16 = 0x9003;
    const DESCRIPTION: u16 = 0x010E;

    fn camera_of(make: &[u8], model: &[u8]) -> Option<String> {
        let fields = [(MAKE, Field::Ascii(make)), (MODEL, Field::Ascii(model))];
        ExifFacts::read(write(&fields, &[], &[])).camera
    }

    fn taken_at_of(text: &[u8]) -> Option<String> {
        ExifFacts::read(write(&[], &[(TAKEN, Field::Ascii(text))], &[])).taken_at
    }

    type Angle = [(u32, u32); 3];

    fn place_of(north: &[u8], latitude: Angle, east: &[u8], longitude: Angle) -> [Option<f64>; 2] {
        let fields = [
            (1, Field::Ascii(north)),
            (2, Field::Rationals(&latitude)),
            (3, Field::Ascii(east)),
            (4, Field::Rationals(&longitude)),
        ];
        let facts = ExifFacts::read(write(&[], &[], &fields));
        [facts.latitude, facts.longitude]
    }

    #[test]
    fn camera_is_maker_and_model_once() {
        for (make, model, expected) in [
            (&b"SONY\0"[..], &b"ILCE-7M3\0"[..], Some("SONY ILCE-7M3")),
            (b"Canon\0", b"Canon EOS R5\0\0\0", Some("Canon EOS R5")),
            (b"NIKON CORPORATION\0", b"NIKON D850 \0", Some("NIKON CORPORATION NIKON D850")),
            (b"  \0", b"Pixel 8\0", Some("Pixel 8")),
            (b"Acme\0", b"\0", Some("Acme")),
            (b"A\x1b[31m\nB\0", b"\xff\0", Some("A[31mB \u{fffd}")),
            (b"\0", b"   \0", None),
        ] {
            assert_eq!(camera_of(make, model).as_deref(), expected);
        }
        assert_eq!(camera_of(&[b'x'; 5000], b"\0").unwrap().len(), MAX_TEXT_CHARS);
    }

    #[test]
    fn time_is_written_as_iso_or_left_out() {
        for (text, expected) in [
            (&b"2024:05:31 18:02:11\0"[..], Some("2024-05-31T18:02:11")),
            (b"1998:01:01 00:00:00\0", Some("1998-01-01T00:00:00")),
            (b"0000:00:00 00:00:00\0", None),
            (b"    :  :     :  :  \0", None),
            (b"2024:13:31 18:02:11\0", None),
            (b"2024:05:31 24:02:11\0", None),
            (b"2024:05\0", None),
            (b"\0", None),
        ] {
            assert_eq!(taken_at_of(text).as_deref(), expected);
        }
    }

    #[test]
    fn description_is_utf_8_or_latin_1() {
        for (text, expected) in [
            (&b"A dog\0"[..], Some("A dog")),
            ("Bär\0".as_bytes(), Some("Bär")),
            (b"B\xe4r\0", Some("Bär")),
        ] {
            let block = write(&[(DESCRIPTION, Field::Ascii(text))], &[], &[]);
            assert_eq!(ExifFacts::read(block).description.as_deref(), expected);
        }
    }

    #[test]
    fn place_is_in_signed_degrees() {
        let zermatt = [(46, 1), (1, 1), (1212, 100)];
        let place = place_of(b"N\0", zermatt, b"E\0", [(7, 1), (44, 1), (5712, 100)]);
        assert!((place[0].unwrap() - 46.020_033_3).abs() < 1e-6);
        assert!((place[1].unwrap() - 7.749_2).abs() < 1e-6);
        let south_west =
            place_of(b"S\0", [(33, 1), (30, 1), (0, 1)], b"W\0", [(70, 1), (4512, 100), (0, 1)]);
        assert_eq!(south_west, [Some(-33.5), Some(-70.752)]);
    }

    #[test]
    fn an_impossible_place_is_left_out() {
        let fine = [(10, 1), (0, 1), (0, 1)];
        let at = |degrees| [(degrees, 1), (0, 1), (0, 1)];
        assert_eq!(place_of(b"N\0", fine, b"E\0", at(180)), [Some(10.0), Some(180.0)]);
        assert_eq!(place_of(b"N\0", fine, b"E\0", at(181)), [None, None]);
        assert_eq!(place_of(b"N\0", at(91), b"E\0", fine), [None, None]);
        assert_eq!(place_of(b"N\0", [(0, 0); 3], b"E\0", fine), [None, None]);
        assert_eq!(place_of(b"N\0", [(1, 0); 3], b"E\0", fine), [None, None]);
        assert_eq!(place_of(b"Q\0", fine, b"E\0", fine), [None, None]);
    }

    #[test]
    fn rubbish_says_nothing() {
        for block in [vec![], b"II*\0\x08\0\0\0".to_vec(), vec![0xFF; 300], b"<html>".to_vec()] {
            assert_eq!(ExifFacts::read(block), ExifFacts::default());
        }
        let whole = write(&[(MAKE, Field::Ascii(b"Acme\0"))], &[], &[]);
        for n_bytes in 0..whole.len() {
            ExifFacts::read(whole[..n_bytes].to_vec());
        }
        assert_eq!(ExifFacts::read(whole).camera.as_deref(), Some("Acme"));
    }
}
