//! Descriptions of images: reading, writing, and the checksums of their rows.

use std::collections::HashSet;

use rusqlite::types::Value;
use rusqlite::{Row, params};

use super::{Batch, View, row, sql};
use crate::error::{Error, Result};
use crate::item::ItemId;

/// Who says what an image shows. Each says one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DescriptionOrigin {
    /// The image's own file.
    File,
    /// The text beside it.
    Sidecar,
}

/// A description of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredDescription {
    pub(crate) item: ItemId,
    pub(crate) origin: DescriptionOrigin,
    pub(crate) text: String,
}

impl DescriptionOrigin {
    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Sidecar => "sidecar",
        }
    }
}

impl View<'_> {
    /// The descriptions of an image.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a row is damaged.
    pub(crate) fn descriptions_of(&self, item: ItemId) -> Result<Vec<StoredDescription>> {
        let mut descriptions = Vec::new();
        self.description_rows("WHERE item_id = ?1 ORDER BY origin", params![item.0], |found| {
            let damaged = |reason| Error::Corrupt { path: self.path.into(), reason };
            descriptions.push(found.map_err(damaged)?);
            Ok(())
        })?;
        Ok(descriptions)
    }

    /// The images whose sidecar says something.
    pub(crate) fn items_with_sidecar(&self) -> Result<HashSet<ItemId>> {
        let failed = || sql(self.path, "read descriptions");
        self.connection
            .prepare("SELECT item_id FROM descriptions WHERE origin = 'sidecar'")
            .map_err(failed())?
            .query_map([], |row| row.get(0).map(ItemId))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Calls `visit` with every description, or with the reason why its row is damaged.
    pub(crate) fn each_description(
        &self,
        mut visit: impl FnMut(std::result::Result<StoredDescription, String>),
    ) -> Result<()> {
        self.description_rows("ORDER BY item_id, origin", [], |found| {
            visit(found);
            Ok(())
        })
    }

    fn description_rows(
        &self,
        tail: &str,
        params: impl rusqlite::Params,
        mut visit: impl FnMut(std::result::Result<StoredDescription, String>) -> Result<()>,
    ) -> Result<()> {
        let failed = || sql(self.path, "read descriptions");
        let query = format!("SELECT item_id, origin, text, checksum FROM descriptions {tail}");
        let mut statement = self.connection.prepare_cached(&query).map_err(failed())?;
        let mut rows = statement.query(params).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            visit(stored(row).map_err(failed())?)?;
        }
        Ok(())
    }
}

impl Batch<'_> {
    /// Writes what one of the two says of an image, which is nothing if there is no text.
    pub(crate) fn set_description(
        &mut self,
        item: ItemId,
        origin: DescriptionOrigin,
        text: Option<&str>,
    ) -> Result<()> {
        self.reword_by_id(item);
        let Some(text) = text else {
            return self.execute(
                "DELETE FROM descriptions WHERE item_id = ?1 AND origin = ?2",
                params![item.0, origin.name()],
            );
        };
        let values = [item.0.into(), Value::Text(origin.name().into()), Value::Text(text.into())];
        self.execute(
            "INSERT INTO descriptions (item_id, origin, text, checksum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (item_id, origin) DO UPDATE SET text = ?3, checksum = ?4",
            params![item.0, origin.name(), text, row::checksum(&values)],
        )
    }
}

/// The description of a row, or a reason that names it.
fn stored(row: &Row<'_>) -> rusqlite::Result<std::result::Result<StoredDescription, String>> {
    let (values, checksum) = row::values(row, 3)?;
    let name = match values.first() {
        Some(Value::Integer(id)) => format!("a description of item {id}"),
        Some(_) | None => "a description".into(),
    };
    if row::checksum(&values) != checksum {
        return Ok(Err(format!("{name}: the checksum does not match")));
    }
    Ok(parse(values).ok_or_else(|| format!("{name}: a value is out of its range")))
}

fn parse(values: Vec<Value>) -> Option<StoredDescription> {
    let [Value::Integer(id), Value::Text(origin), Value::Text(text)] =
        <[Value; 3]>::try_from(values).ok()?
    else {
        return None;
    };
    let origin = [DescriptionOrigin::File, DescriptionOrigin::Sidecar]
        .into_iter()
        .find(|known| known.name() == origin)?;
    Some(StoredDescription { item: ItemId(id), origin, text })
}
