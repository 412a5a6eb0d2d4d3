//! Reads lists of pictures with captions or labels, one row after another.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

use super::{NOT_READ_ON, csv_rows, open_regular, plain_name};
use crate::error::{Error, Result};
use crate::item::Metadata;

/// Longest line of a manifest.
pub(super) const MAX_LINE_BYTES: u64 = 1 << 20;

/// Names under which a manifest may give the picture's file.
pub(super) const IMAGE_KEYS: [&str; 4] = ["image", "file", "filename", "file_name"];

/// A row of a manifest, or its line and why it cannot be used.
pub(super) type RowResult = std::result::Result<Row, (u64, String)>;

/// What a manifest says about one picture; several rows may be about the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Line in the manifest, from 1.
    pub line: u64,
    /// The picture's file, as written: relative to the manifest's directory, or a member of an archive.
    pub image: PathBuf,
    /// The part of the data set it belongs to.
    pub split: Option<String>,
    /// Sentences that describe it.
    pub captions: Vec<String>,
    /// The class it belongs to.
    pub label: Option<String>,
    /// All other fields.
    pub metadata: Metadata,
}

/// Reads a manifest: `.jsonl`, `.jsonl.gz`, or `.csv` with a header.
///
/// The picture is the field `image` (or `file`, `filename`, `file_name`). A JSON row has `caption` (a text) or
/// `captions` (a list); a CSV row has one `caption`, and one picture may have several rows. `split` and `label`
/// are texts; every other field is metadata. A row that cannot be used comes as its line and the reason, and the
/// rest goes on.
///
/// # Errors
/// As [`open_regular`]; [`Error::BadInput`] if the name has another extension, or the CSV header no such field.
pub fn read_manifest(path: &Path) -> Result<impl Iterator<Item = RowResult> + use<>> {
    let name = path.file_name().unwrap_or_default().to_ascii_lowercase();
    let has_end = |end: &str| name.as_bytes().ends_with(end.as_bytes());
    let (file, _stat) = open_regular(path)?;
    let rows: Box<dyn Iterator<Item = RowResult> + Send> = if has_end(".jsonl") {
        Box::new(json_rows(file))
    } else if has_end(".jsonl.gz") {
        Box::new(json_rows(MultiGzDecoder::new(BufReader::new(file))))
    } else if has_end(".csv") {
        Box::new(csv_rows::rows(path, file)?)
    } else {
        let reason = "not a manifest; one is a .jsonl, .jsonl.gz or .csv file".into();
        return Err(Error::BadInput { path: path.into(), reason });
    };
    Ok(rows)
}

/// The image's path out of its raw bytes; `None` if there are none.
pub(super) fn image_path(bytes: &[u8]) -> Option<PathBuf> {
    let bytes = bytes.trim_ascii();
    (!bytes.is_empty()).then(|| plain_name(Path::new(OsStr::from_bytes(bytes))).to_path_buf())
}

pub(super) fn json_rows(reader: impl Read + Send) -> impl Iterator<Item = RowResult> + Send {
    let mut lines = Lines { reader: BufReader::new(reader), line: 0, is_over: false };
    std::iter::from_fn(move || {
        loop {
            let text = match lines.next_line()? {
                Ok(text) => text,
                Err(reason) => return Some(Err((lines.line, reason))),
            };
            let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text).trim_ascii();
            if !text.is_empty() {
                return Some(json_row(lines.line, text).map_err(|reason| (lines.line, reason)));
            }
        }
    })
}

fn json_row(line: u64, text: &[u8]) -> std::result::Result<Row, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| format!("not a row in JSON: {error}"))?;
    let image = IMAGE_KEYS.iter().find_map(|key| fields.remove(*key));
    let image = image.ok_or("it has no field `image`")?;
    let image = image.as_str().and_then(|name| image_path(name.as_bytes()));
    let image = image.ok_or("its `image` is not the name of a file")?;
    let mut captions = vec![];
    for key in ["caption", "captions"] {
        match fields.remove(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(caption)) => captions.push(caption),
            Some(Value::Array(list)) => {
                for caption in list {
                    let Value::String(caption) = caption else {
                        return Err(format!("its `{key}` holds something that is not a text"));
                    };
                    captions.push(caption);
                }
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
                return Err(format!("its `{key}` is neither a text nor a list of texts"));
            }
        }
    }
    captions.retain(|caption| !caption.trim().is_empty());
    let split = word(&mut fields, "split")?;
    let label = word(&mut fields, "label")?;
    Ok(Row { line, image, split, captions, label, metadata: fields.into_iter().collect() })
}

/// A text or a whole number, as data sets write their labels.
fn word(fields: &mut Map<String, Value>, key: &str) -> std::result::Result<Option<String>, String> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) => Ok((!word.trim().is_empty()).then_some(word)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            Err(format!("its `{key}` is not a text"))
        }
    }
}

/// Lines of bounded length.
struct Lines<R> {
    reader: BufReader<R>,
    line: u64,
    is_over: bool,
}

impl<R: Read> Lines<R> {
    /// The next line, or why it cannot be had; `None` at the end.
    fn next_line(&mut self) -> Option<std::result::Result<Vec<u8>, String>> {
        if self.is_over {
            return None;
        }
        self.line += 1;
        let mut text = vec![];
        match (&mut self.reader).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut text) {
            Ok(0) => None,
            Ok(n_bytes) if n_bytes as u64 > MAX_LINE_BYTES => Some(self.skip_line()),
            Ok(_) => Some(Ok(text)),
            Err(error) => Some(Err(self.give_up(&error))),
        }
    }

    fn skip_line(&mut self) -> std::result::Result<Vec<u8>, String> {
        self.reader.skip_until(b'\n').map_err(|error| self.give_up(&error))?;
        Err(format!("longer than {MAX_LINE_BYTES} bytes"))
    }

    fn give_up(&mut self, error: &std::io::Error) -> String {
        self.is_over = true;
        format!("cannot read on: {error}{NOT_READ_ON}")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn read(name: &str, content: &[u8]) -> Vec<RowResult> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        File::create(&path).unwrap().write_all(content).unwrap();
        read_manifest(&path).unwrap().collect()
    }

    fn row(line: u64, image: &str, captions: &[&str]) -> Row {
        Row {
            line,
            image: image.into(),
            split: None,
            captions: captions.iter().map(|&caption| caption.into()).collect(),
            label: None,
            metadata: Metadata::new(),
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn json_rows_of_every_form_are_read() {
        let content = b"\xEF\xBB\xBF{\"image\": \"a.jpg\", \"split\": \"val\", \"captions\": [\"one\", \" \", \"two\"]}\n\
            \n\
            {\"file_name\": \"sub/b \xc3\xa9.png\", \"caption\": \"three\", \"label\": 7, \"stars\": 4, \"tags\": [\"x\"]}\r\n\
            {\"filename\": \"c.png\", \"label\": \"dog\", \"split\": null}";
        let expected = vec![
            Ok(Row { split: Some("val".into()), ..row(1, "a.jpg", &["one", "two"]) }),
            Ok(Row {
                label: Some("7".into()),
                metadata: [("stars".into(), json!(4)), ("tags".into(), json!(["x"]))].into(),
                ..row(3, "sub/b é.png", &["three"])
            }),
            Ok(Row { label: Some("dog".into()), ..row(4, "c.png", &[]) }),
        ];
        assert_eq!(read("captions.jsonl", content), expected);
        assert_eq!(read("captions.JSONL.gz", &gzip(content)), expected);
    }

    #[test]
    fn a_bad_line_is_reported_and_the_rest_goes_on() {
        let long = format!(r#"{{"image": "l.png", "caption": "{}"}}"#, "x".repeat(1 << 20));
        let bad = [
            (r#"{"image": "a.png""#, "not a row in JSON"),
            (r#"["a.png"]"#, "not a row in JSON"),
            (r#"{"caption": "no image"}"#, "no field `image`"),
            (r#"{"image": 3}"#, "not the name of a file"),
            (r#"{"image": " "}"#, "not the name of a file"),
            (r#"{"image": "a.png", "captions": ["x", 3]}"#, "not a text"),
            (r#"{"image": "a.png", "caption": {"en": "x"}}"#, "neither a text nor a list"),
            (r#"{"image": "a.png", "split": []}"#, "its `split` is not a text"),
            (long.as_str(), "longer than 1048576 bytes"),
        ];
        for (text, reason) in bad {
            let content = format!("{text}\n{{\"image\": \"ok.png\", \"caption\": \"fine\"}}\n");
            let rows = read("captions.jsonl", content.as_bytes());
            let (line, said) = rows[0].as_ref().unwrap_err();
            assert_eq!(*line, 1);
            assert!(said.contains(reason), "{said}");
            assert_eq!(rows[1..], [Ok(row(2, "ok.png", &["fine"]))]);
        }
    }

    #[test]
    fn a_long_line_within_the_limit_is_read() {
        let caption = "x".repeat(1_000_000);
        let content = format!(r#"{{"image": "l.png", "caption": "{caption}"}}"#);
        assert_eq!(read("a.jsonl", content.as_bytes()), [Ok(row(1, "l.png", &[&caption]))]);
    }

    #[test]
    fn a_damaged_gzip_ends_with_a_reason() {
        let lines: String =
            (0..5000).map(|i| format!("{{\"image\": \"{i}.png\", \"n\": {}}}\n", i * i)).collect();
        let whole = gzip(lines.as_bytes());
        assert_eq!(read("a.jsonl.gz", &whole).iter().filter(|row| row.is_ok()).count(), 5000);
        let cut = read("a.jsonl.gz", &whole[..whole.len() / 2]);
        assert!(cut.len() > 100 && cut.len() < 4000);
        assert_eq!(cut.iter().filter(|row| row.is_err()).count(), 1);
        assert!(cut.last().unwrap().as_ref().unwrap_err().1.starts_with("cannot read on"));
        let plain = read("a.jsonl.gz", b"{\"image\": \"a.png\"}\n");
        assert_eq!(plain.len(), 1);
        assert!(plain[0].is_err());
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        File::create(&path).unwrap();
        let message = read_manifest(&path).err().unwrap().to_string();
        assert!(
            message.ends_with("list.txt: not a manifest; one is a .jsonl, .jsonl.gz or .csv file")
        );
        assert!(read_manifest(&dir.path().join("gone.jsonl")).is_err());
        assert_eq!(read("empty.jsonl", b""), []);
    }
}
