//! Rows of a manifest in CSV.

use std::fs::File;
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder, Trim};

use super::NOT_READ_ON;
use super::budget::Budgeted;
use super::manifest::{IMAGE_KEYS, MAX_LINE_BYTES, Row, RowResult, image_path};
use crate::error::{Error, Result};
use crate::item::Metadata;

/// What one record may take; an open quote makes the CSV reader collect the rest of the file. The reader fetches
/// blocks ahead, hence the addition.
const MAX_RECORD_BYTES: u64 = MAX_LINE_BYTES + (64 << 10);

/// What a column holds.
enum Column {
    Image,
    Caption,
    Split,
    Label,
    Metadata(String),
}

/// The rows of a file with a header.
pub(super) fn rows(
    path: &Path,
    file: File,
) -> Result<impl Iterator<Item = RowResult> + Send + use<>> {
    let mut reader = ReaderBuilder::new().trim(Trim::Headers).from_reader(Budgeted::new(file));
    let columns = columns(path, &mut reader)?;
    let mut record = ByteRecord::new();
    let mut is_over = false;
    Ok(std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        reader.get_ref().allow(MAX_RECORD_BYTES);
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => None,
            Ok(true) => {
                let line = record.position().map_or(line, csv::Position::line);
                Some(row(line, &columns, &record).map_err(|reason| (line, reason)))
            }
            Err(error) => {
                is_over = error.is_io_error();
                let line = error.position().map_or(line, csv::Position::line);
                let rest = if is_over { NOT_READ_ON } else { "" };
                Some(Err((line, format!("not a row in CSV: {error}{rest}"))))
            }
        }
    }))
}

fn columns(path: &Path, reader: &mut Reader<Budgeted>) -> Result<Vec<Column>> {
    let bad = |reason: String| Error::BadInput { path: path.into(), reason };
    reader.get_ref().allow(MAX_RECORD_BYTES);
    let header =
        reader.headers().map_err(|error| bad(format!("cannot read the header: {error}")))?;
    let mut has_image = false;
    let columns = header.iter().map(|name| {
        let lower = name.to_lowercase();
        match lower.as_str() {
            "caption" => Column::Caption,
            "split" => Column::Split,
            "label" => Column::Label,
            lower if !has_image && IMAGE_KEYS.contains(&lower) => {
                has_image = true;
                Column::Image
            }
            _ => Column::Metadata(name.to_owned()),
        }
    });
    let columns = columns.collect();
    if !has_image {
        return Err(bad("its header has no column `image`".into()));
    }
    Ok(columns)
}

fn row(line: u64, columns: &[Column], record: &ByteRecord) -> std::result::Result<Row, String> {
    let mut image = None;
    let (mut captions, mut split, mut label) = (vec![], None, None);
    let mut metadata = Metadata::new();
    for (column, bytes) in columns.iter().zip(record) {
        // Names of files need not be UTF-8; everything else does.
        if let Column::Image = column {
            image = image_path(bytes);
            continue;
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "a field is not in UTF-8")?;
        if text.trim().is_empty() {
            continue;
        }
        match column {
            Column::Image => {}
            Column::Caption => captions.push(text.to_owned()),
            Column::Split => split = Some(text.to_owned()),
            Column::Label => label = Some(text.to_owned()),
            Column::Metadata(name) => {
                metadata.insert(name.clone(), text.into());
            }
        }
    }
    let image = image.ok_or("its `image` is empty")?;
    Ok(Row { line, image, split, captions, label, metadata })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;

    use serde_json::json;

    use super::*;
    use crate::media::read_manifest;

    fn read(content: &[u8]) -> Result<Vec<RowResult>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("captions.csv");
        File::create(&path).unwrap().write_all(content).unwrap();
        Ok(read_manifest(&path)?.collect())
    }

    fn row(line: u64, image: &[u8], caption: &str) -> Row {
        Row {
            line,
            image: OsStr::from_bytes(image).into(),
            split: None,
            captions: vec![caption.into()],
            label: None,
            metadata: Metadata::new(),
        }
    }

    #[test]
    fn rows_are_read_with_quotes_metadata_and_raw_names() {
        let rows = read(
            b"\xEF\xBB\xBFImage, caption ,split,label,Rating\n\
            a.jpg,\"one, with a comma\nand a line\",train,dog,5\n\
            a.jpg,two,,,\n\
            caf\xe9.png,three,val,,\r\n",
        );
        let first = Row {
            split: Some("train".into()),
            label: Some("dog".into()),
            metadata: [("Rating".into(), json!("5"))].into(),
            ..row(2, b"a.jpg", "one, with a comma\nand a line")
        };
        let third = Row { split: Some("val".into()), ..row(5, b"caf\xe9.png", "three") };
        assert_eq!(rows.unwrap(), [Ok(first), Ok(row(4, b"a.jpg", "two")), Ok(third)]);
    }

    #[test]
    fn a_bad_row_is_reported_and_the_rest_goes_on() {
        for (text, reason) in [
            (&b"a.jpg"[..], "not a row in CSV"),
            (b"a.jpg,x,y", "not a row in CSV"),
            (b",no image", "its `image` is empty"),
            (b"a.jpg,\xff", "a field is not in UTF-8"),
        ] {
            let rows = read(&[b"file,caption\n", text, b"\nok.png,fine\n"].concat()).unwrap();
            let (line, said) = rows[0].as_ref().unwrap_err();
            assert_eq!(*line, 2);
            assert!(said.contains(reason), "{said}");
            assert_eq!(rows[1..], [Ok(row(3, b"ok.png", "fine"))]);
        }
    }

    #[test]
    fn an_open_quote_does_not_fill_the_memory() {
        let open = [b"image,caption\nok.png,fine\na.png,\"".to_vec(), vec![b'x'; 3 << 20]].concat();
        let rows = read(&open).unwrap();
        assert_eq!((rows.len(), &rows[0]), (2, &Ok(row(2, b"ok.png", "fine"))));
        assert!(rows[1].as_ref().unwrap_err().1.contains("it goes on for too long"));
        let closed = [b"image,caption\na.png,\"".to_vec(), vec![b'x'; 1 << 20], b"\"".to_vec()];
        assert!(read(&closed.concat()).unwrap()[0].is_ok());
    }

    #[test]
    fn a_header_without_the_image_is_refused() {
        let message = read(b"photo,caption\na.jpg,one\n").unwrap_err().to_string();
        assert!(message.ends_with("captions.csv: its header has no column `image`"), "{message}");
        assert!(read(b"").is_err());
        assert_eq!(read(b"filename\n").unwrap(), []);
    }
}
