//! What scores are compared with: the row of a space and modality, its values and its checksum.

use rusqlite::params;
use rusqlite::types::Value;

use super::{Batch, SpaceId, View, none_if_absent, row, sql};
use crate::error::{Error, Result};
use crate::item::Modality;

/// How the items of a modality answer what has nothing to do with them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Background {
    /// Of the snapshot that it was measured on.
    pub(crate) generation: u64,
    /// The mean of the modality's embeddings.
    pub(crate) mean: Vec<f32>,
    /// The mean of the phrases' own embeddings: where texts lie.
    pub(crate) phrase_mean: Vec<f32>,
    /// The best score that each of some phrases has with an item, in ascending order.
    pub(crate) best_scores: Vec<f32>,
}

impl View<'_> {
    /// The background of a modality's items; `None` if it was not measured yet.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the row is damaged.
    pub(crate) fn background(
        &self,
        space: SpaceId,
        modality: Modality,
    ) -> Result<Option<Background>> {
        let failed = || sql(self.path, "read a background");
        let read = self
            .connection
            .prepare_cached(
                "SELECT space_id, modality, generation, mean, phrase_mean, best_scores, checksum
                 FROM backgrounds WHERE space_id = ?1 AND modality = ?2",
            )
            .and_then(|mut statement| {
                statement.query_row(params![space.0, modality.name()], |row| row::values(row, 6))
            })
            .map(Some)
            .or_else(none_if_absent)
            .map_err(failed())?;
        let Some((values, checksum)) = read else { return Ok(None) };
        let found = (row::checksum(&values) == checksum).then(|| parse(&values)).flatten();
        let damaged = || Error::Corrupt {
            path: self.path.into(),
            reason: format!("the background of {}s is damaged", modality.name()),
        };
        found.map(Some).ok_or_else(damaged)
    }
}

impl Batch<'_> {
    /// Writes the background of a modality's items over the one before.
    pub(crate) fn set_background(
        &mut self,
        space: SpaceId,
        modality: Modality,
        background: &Background,
    ) -> Result<()> {
        let values = [
            Value::from(space.0),
            Value::Text(modality.name().into()),
            background.generation.cast_signed().into(),
            bytes(&background.mean).into(),
            bytes(&background.phrase_mean).into(),
            bytes(&background.best_scores).into(),
        ];
        let [space, modality, generation, mean, phrase_mean, best_scores] = &values;
        self.execute(
            "INSERT OR REPLACE INTO backgrounds
             (space_id, modality, generation, mean, phrase_mean, best_scores, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                space,
                modality,
                generation,
                mean,
                phrase_mean,
                best_scores,
                row::checksum(&values)
            ],
        )
    }

    /// Forgets the background of a modality's items.
    pub(crate) fn remove_background(&mut self, space: SpaceId, modality: Modality) -> Result<()> {
        self.execute(
            "DELETE FROM backgrounds WHERE space_id = ?1 AND modality = ?2",
            params![space.0, modality.name()],
        )
    }
}

fn parse(values: &[Value]) -> Option<Background> {
    let [_, _, Value::Integer(generation), blobs @ ..] = values else { return None };
    let [Value::Blob(mean), Value::Blob(phrase_mean), Value::Blob(best_scores)] = blobs else {
        return None;
    };
    Some(Background {
        generation: generation.cast_unsigned(),
        mean: floats(mean)?,
        phrase_mean: floats(phrase_mean)?,
        best_scores: floats(best_scores)?,
    })
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Option<Vec<f32>> {
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}
