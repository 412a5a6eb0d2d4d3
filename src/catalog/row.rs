//! Rows as lists of values, and the checksum over them. A row is written, verified and read here only.

use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};

use super::source::{self, SourceKey};
use super::{SpaceId, StoredEmbedding, StoredItem};
use crate::embedding::Embedding;
use crate::item::{ContentHash, ImageFacts, Item, ItemId, Metadata, Modality, Status};

/// The columns of an item in the order of [`item_values`], without the checksum.
pub(super) const ITEM_COLUMNS: &str = "id, modality, source_kind, container, member, scan, content_hash, \
     size_bytes, modified_ns, status, reason, width, height, format, orientation, taken_at, camera, latitude, \
     longitude, color_profile, text, image_id, metadata, generation";

/// How many columns [`ITEM_COLUMNS`] names.
pub(super) const N_ITEM_COLUMNS: usize = 24;

/// The columns of an embedding in the order of [`embedding_values`], without the checksum.
pub(super) const EMBEDDING_COLUMNS: &str =
    "id, space_id, modality, content_hash, vector, generation";

/// How many columns [`EMBEDDING_COLUMNS`] names.
pub(super) const N_EMBEDDING_COLUMNS: usize = 6;

/// What an item's row holds.
pub(super) fn item_values(stored: &StoredItem) -> Vec<Value> {
    let item = &stored.item;
    let key = SourceKey::new(&item.source);
    let facts = item.facts.as_ref();
    let metadata =
        serde_json::to_string(&item.metadata).expect("keys of a JSON object are strings");
    vec![
        item.id.0.into(),
        text(item.modality.name()),
        text(key.kind),
        key.container.into(),
        key.member.into(),
        stored.scan.into(),
        item.content_hash.map(|hash| hash.0.to_vec()).into(),
        item.size_bytes.cast_signed().into(),
        item.modified_ns.into(),
        text(status_name(item.status)),
        item.reason.clone().into(),
        facts.map(|facts| i64::from(facts.width)).into(),
        facts.map(|facts| i64::from(facts.height)).into(),
        facts.map(|facts| facts.format.clone()).into(),
        facts.map(|facts| i64::from(facts.orientation)).into(),
        facts.and_then(|facts| facts.taken_at.clone()).into(),
        facts.and_then(|facts| facts.camera.clone()).into(),
        facts.and_then(|facts| finite(facts.latitude)).into(),
        facts.and_then(|facts| finite(facts.longitude)).into(),
        facts.and_then(|facts| facts.color_profile.clone()).into(),
        item.text.clone().into(),
        item.image.map(|id| id.0).into(),
        metadata.into(),
        stored.generation.cast_signed().into(),
    ]
}

/// What an embedding's row holds.
pub(super) fn embedding_values(stored: &StoredEmbedding) -> Vec<Value> {
    let vector = stored.embedding.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect();
    vec![
        stored.key.cast_signed().into(),
        stored.space.0.into(),
        text(stored.modality.name()),
        stored.content_hash.0.to_vec().into(),
        Value::Blob(vector),
        stored.generation.cast_signed().into(),
    ]
}

/// 64 bits of BLAKE3 over every value with its type and length, so that no two rows read the same.
pub(super) fn checksum(values: &[Value]) -> i64 {
    checksum_of(values.iter().map(ValueRef::from))
}

/// The same of values that SQLite lends.
pub(super) fn checksum_of<'a>(values: impl Iterator<Item = ValueRef<'a>>) -> i64 {
    let mut hasher = blake3::Hasher::new();
    for value in values {
        let (tag, bytes): (u8, &[u8]) = match value {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(integer) => (1, &integer.to_le_bytes()),
            ValueRef::Real(real) => (2, &real.to_le_bytes()),
            ValueRef::Text(text) => (3, text),
            ValueRef::Blob(blob) => (4, blob),
        };
        hasher.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    let hash = hasher.finalize();
    i64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// The first `n` columns of a row, and the checksum that follows them. Never fails because of what a damaged row holds: the
/// checksum tells of it.
pub(super) fn values(row: &Row<'_>, n: usize) -> rusqlite::Result<(Vec<Value>, i64)> {
    let owned = |value: ValueRef<'_>| match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => integer.into(),
        ValueRef::Real(real) => real.into(),
        // A text that is none is damaged; as bytes it has another checksum.
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.into()),
            Err(_) => Value::Blob(text.into()),
        },
        ValueRef::Blob(blob) => Value::Blob(blob.into()),
    };
    let values = (0..n).map(|column| row.get_ref(column).map(owned));
    let checksum = match row.get_ref(n)? {
        ValueRef::Integer(checksum) => checksum,
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => 0,
    };
    Ok((values.collect::<rusqlite::Result<_>>()?, checksum))
}

/// The first `n` columns of a row if the checksum that follows them is theirs.
pub(super) fn sound_values(row: &Row<'_>, n: usize) -> rusqlite::Result<Option<Vec<Value>>> {
    let (values, stored) = values(row, n)?;
    Ok((checksum(&values) == stored).then_some(values))
}

/// The item of a row.
///
/// # Errors
/// A reason that names the row, if the checksum is wrong or the values make no item.
pub(super) fn item((values, stored): (Vec<Value>, i64)) -> Result<StoredItem, String> {
    let name = name_of("item", &values);
    if checksum(&values) != stored {
        return Err(format!("{name}: the checksum does not match"));
    }
    parse_item(values).ok_or_else(|| format!("{name}: a value is out of its range"))
}

/// The embedding of a row.
///
/// # Errors
/// A reason that names the row, if the checksum is wrong or the values make no embedding.
pub(super) fn embedding((values, stored): (Vec<Value>, i64)) -> Result<StoredEmbedding, String> {
    let name = name_of("embedding", &values);
    if checksum(&values) != stored {
        return Err(format!("{name}: the checksum does not match"));
    }
    parse_embedding(values).ok_or_else(|| format!("{name}: a value is out of its range"))
}

fn name_of(what: &str, values: &[Value]) -> String {
    match values.first() {
        Some(Value::Integer(id)) => format!("{what} {id}"),
        Some(_) | None => format!("{what} ?"),
    }
}

fn parse_item(values: Vec<Value>) -> Option<StoredItem> {
    let mut columns = Columns(values.into_iter());
    let id = ItemId(columns.integer()??);
    let modality = parse_modality(&columns.text()??)?;
    let kind = columns.text()??;
    let source = source::parse(&kind, columns.blob()??, columns.blob()??)?;
    let scan = columns.integer()??;
    let content_hash = match columns.blob()? {
        Some(bytes) => Some(ContentHash(bytes.try_into().ok()?)),
        None => None,
    };
    let size_bytes = columns.integer()??.cast_unsigned();
    let modified_ns = columns.integer()?;
    let status = parse_status(&columns.text()??)?;
    let reason = columns.text()?;
    let facts = parse_facts(&mut columns)?;
    let text = columns.text()?;
    let image = columns.integer()?.map(ItemId);
    let metadata: Metadata = serde_json::from_str(&columns.text()??).ok()?;
    let generation = columns.integer()??.cast_unsigned();
    let item = Item {
        id,
        modality,
        source,
        content_hash,
        size_bytes,
        modified_ns,
        status,
        reason,
        facts,
        text,
        image,
        metadata,
    };
    Some(StoredItem { item, scan, generation })
}

/// The nine columns of [`ImageFacts`]; they are all there or all absent.
fn parse_facts(columns: &mut Columns) -> Option<Option<ImageFacts>> {
    let (width, height) = (columns.integer()?, columns.integer()?);
    let (format, orientation) = (columns.text()?, columns.integer()?);
    let (taken_at, camera) = (columns.text()?, columns.text()?);
    let (latitude, longitude) = (columns.real()?, columns.real()?);
    let color_profile = columns.text()?;
    let Some(width) = width else { return Some(None) };
    Some(Some(ImageFacts {
        width: width.try_into().ok()?,
        height: height?.try_into().ok()?,
        format: format?,
        orientation: orientation?.try_into().ok()?,
        taken_at,
        camera,
        latitude,
        longitude,
        color_profile,
    }))
}

fn parse_embedding(values: Vec<Value>) -> Option<StoredEmbedding> {
    let mut columns = Columns(values.into_iter());
    let key = columns.integer()??.cast_unsigned();
    let space = SpaceId(columns.integer()??);
    let modality = parse_modality(&columns.text()??)?;
    let content_hash = ContentHash(columns.blob()??.try_into().ok()?);
    let vector = columns.blob()??;
    let (floats, rest) = vector.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let floats = floats.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let embedding = Embedding::new(floats).ok()?;
    let generation = columns.integer()??.cast_unsigned();
    Some(StoredEmbedding { key, space, modality, content_hash, embedding, generation })
}

/// The values of a row, taken one by one; the outer `None` means a value of the wrong type.
struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    fn integer(&mut self) -> Option<Option<i64>> {
        match self.0.next()? {
            Value::Null => Some(None),
            Value::Integer(integer) => Some(Some(integer)),
            Value::Real(_) | Value::Text(_) | Value::Blob(_) => None,
        }
    }

    fn real(&mut self) -> Option<Option<f64>> {
        match self.0.next()? {
            Value::Null => Some(None),
            Value::Real(real) => Some(Some(real)),
            Value::Integer(_) | Value::Text(_) | Value::Blob(_) => None,
        }
    }

    fn text(&mut self) -> Option<Option<String>> {
        match self.0.next()? {
            Value::Null => Some(None),
            Value::Text(text) => Some(Some(text)),
            Value::Integer(_) | Value::Real(_) | Value::Blob(_) => None,
        }
    }

    fn blob(&mut self) -> Option<Option<Vec<u8>>> {
        match self.0.next()? {
            Value::Null => Some(None),
            Value::Blob(blob) => Some(Some(blob)),
            Value::Integer(_) | Value::Real(_) | Value::Text(_) => None,
        }
    }
}

/// SQLite stores NaN as NULL, which would read back as another row.
fn finite(degrees: Option<f64>) -> Option<f64> {
    degrees.filter(|degrees| degrees.is_finite())
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

pub(super) fn parse_modality(name: &str) -> Option<Modality> {
    Modality::ALL.into_iter().find(|modality| modality.name() == name)
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Truncated => "truncated",
        Status::Failed => "failed",
    }
}

pub(super) fn parse_status(name: &str) -> Option<Status> {
    [Status::Ok, Status::Truncated, Status::Failed]
        .into_iter()
        .find(|status| status_name(*status) == name)
}
