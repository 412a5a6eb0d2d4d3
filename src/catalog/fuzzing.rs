//! What the fuzz target of rows needs: rows of any values, which know nothing of the types of SQLite.

use rusqlite::types::Value;

use super::row::{self, checksum};

/// Reads an item and an embedding out of values that these bytes make, under a right and under a wrong checksum.
pub fn read_rows(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else { return };
    let item = change(
        match how & 1 {
            0 => Vec::new(),
            _ => item(),
        },
        rest,
    );
    assert!(row::item((item.clone(), !checksum(&item))).is_err());
    if let Ok(read) = row::item((item.clone(), checksum(&item))) {
        let written = row::item_values(&read);
        assert_eq!(row::item((written.clone(), checksum(&written))), Ok(read));
    }
    let embedding = change(
        match how & 1 {
            0 => Vec::new(),
            _ => embedding(),
        },
        rest,
    );
    assert!(row::embedding((embedding.clone(), !checksum(&embedding))).is_err());
    if let Ok(read) = row::embedding((embedding.clone(), checksum(&embedding))) {
        let written = row::embedding_values(&read);
        assert_eq!(row::embedding((written.clone(), checksum(&written))), Ok(read));
    }
}

/// A row that is right.
fn item() -> Vec<Value> {
    let text = |text: &str| Value::Text(text.into());
    let facts = [640.into(), 480.into(), text("jpeg"), 1.into(), Value::Null, text("camera")];
    let mut values: Vec<Value> = vec![7.into(), text("image"), text("file")];
    values.extend([b"/photos/a.jpg".to_vec().into(), Vec::new().into(), 0.into()]);
    values.extend([vec![7u8; 32].into(), 1000.into(), 5.into(), text("ok"), Value::Null]);
    values.extend(facts);
    values.extend([Value::Real(1.5), Value::Real(-2.5), Value::Null, Value::Null, text("{}")]);
    values.push(3.into());
    values
}

/// A row that is right.
fn embedding() -> Vec<Value> {
    let vector = [0.6f32, 0.8].iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let hash = vec![7u8; 32];
    vec![7.into(), 1.into(), Value::Text("image".into()), hash.into(), vector.into(), 3.into()]
}

/// Puts values that the bytes make in the place of some, or behind the last.
fn change(mut values: Vec<Value>, mut bytes: &[u8]) -> Vec<Value> {
    while let [place, kind, len, rest @ ..] = bytes {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        bytes = rest;
        let mut number = [0; 8];
        number[..content.len().min(8)].copy_from_slice(&content[..content.len().min(8)]);
        let value = match kind % 5 {
            0 => Value::Null,
            1 => Value::Integer(i64::from_le_bytes(number)),
            // SQLite has no NaN.
            2 => Value::Real(
                Some(f64::from_le_bytes(number)).filter(|it| !it.is_nan()).unwrap_or(0.0),
            ),
            3 => Value::Text(String::from_utf8_lossy(content).into_owned()),
            _ => Value::Blob(content.to_vec()),
        };
        match values.get_mut(usize::from(*place)) {
            Some(old) => *old = value,
            None => values.push(value),
        }
    }
    values
}
