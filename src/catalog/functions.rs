//! Functions for what SQL cannot express of a condition. Each gives NULL for a value that is missing, and for one that
//! is damaged, so that no row can fail a query; all but the checksum, which everything has.

use std::convert::Infallible;
use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Result};

use super::row;
use crate::condition::{Pattern, distance_km, has_words, last_component, meta_value, words};
use crate::item::Metadata;

/// Makes the functions known to a connection:
/// - `mmsearch_like(value, pattern)`, `mmsearch_glob(value, pattern)`, `mmsearch_words(value, words)`: whether a text, or
///   a blob as a text, is as the pattern says or has all the words;
/// - `mmsearch_name(path)`: the last component of a path;
/// - `mmsearch_km(latitude, longitude, latitude, longitude)`: the distance of two places;
/// - `mmsearch_meta(metadata, keys, kind)`: the value that a JSON list of keys leads to, if it is a `number`, `text`
///   or `boolean` as said;
/// - `mmsearch_checksum(value, ...)`: the checksum of a row of these values.
pub(super) fn register(connection: &Connection) -> Result<()> {
    // SQLITE_DIRECTONLY: a schema that somebody has tampered with cannot call them.
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("mmsearch_like", 2, flags, |context| {
        pattern(context, Pattern::like)
    })?;
    connection.create_scalar_function("mmsearch_glob", 2, flags, |context| {
        pattern(context, Pattern::glob)
    })?;
    connection.create_scalar_function("mmsearch_words", 2, flags, |context| {
        let wanted = constant(context, 1, words)?;
        let text = bytes(context.get_raw(0)).map(String::from_utf8_lossy);
        Ok(text.map(|text| has_words(&text, &wanted)))
    })?;
    connection.create_scalar_function("mmsearch_name", 1, flags, |context| {
        Ok(bytes(context.get_raw(0)).map(|path| last_component(path).to_vec()))
    })?;
    connection.create_scalar_function("mmsearch_km", 4, flags, |context| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| real(context.get_raw(at)));
        Ok((|| Some(distance_km((a?, b?), (c?, d?))))())
    })?;
    connection.create_scalar_function("mmsearch_checksum", -1, flags, |context| {
        Ok(row::checksum_of((0..context.len()).map(|at| context.get_raw(at))))
    })?;
    connection.create_scalar_function("mmsearch_meta", 3, flags, meta)
}

fn pattern(context: &Context<'_>, compile: fn(&str) -> Pattern) -> Result<Option<bool>> {
    let pattern = constant(context, 1, compile)?;
    Ok(bytes(context.get_raw(0)).map(|text| pattern.matches(text)))
}

fn meta(context: &Context<'_>) -> Result<Value> {
    let keys =
        constant(context, 1, |keys| serde_json::from_str::<Vec<String>>(keys).unwrap_or_default())?;
    let kind = bytes(context.get_raw(2)).unwrap_or_default();
    let metadata = bytes(context.get_raw(0)).unwrap_or_default();
    // Most items have none.
    let metadata: Metadata = match metadata {
        b"{}" => return Ok(Value::Null),
        json => serde_json::from_slice(json).unwrap_or_default(),
    };
    let Some(value) = meta_value(&metadata, &keys) else { return Ok(Value::Null) };
    Ok(match kind {
        b"number" => value.as_f64().into(),
        b"boolean" => value.as_bool().map(i64::from).into(),
        _ => value.as_str().map(str::to_owned).into(),
    })
}

/// An argument that is the same for every row, made ready once.
fn constant<T: Send + Sync + 'static>(
    context: &Context<'_>,
    argument: i32,
    ready: impl Fn(&str) -> T,
) -> Result<Arc<T>> {
    context.get_or_create_aux(argument, |value| {
        Ok::<T, Infallible>(ready(&String::from_utf8_lossy(bytes(value).unwrap_or_default())))
    })
}

/// The bytes of a text or blob.
fn bytes(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}

fn real(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Real(real) => Some(real),
        ValueRef::Integer(integer) => Some(integer as f64),
        ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    }
}
