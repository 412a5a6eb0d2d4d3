//! Tags of items: reading, writing, and the checksums of their rows.

use rusqlite::types::Value;
use rusqlite::{Row, params};

use super::{Batch, View, row, sql};
use crate::error::{Error, Result};
use crate::item::ItemId;
use crate::tag::Tag;

/// Who says that an item has a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagOrigin {
    /// A person.
    User,
    /// The item's own file.
    File,
}

/// A tag of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredTag {
    pub(crate) item: ItemId,
    pub(crate) tag: Tag,
    pub(crate) origin: TagOrigin,
}

impl TagOrigin {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::File => "file",
        }
    }
}

impl View<'_> {
    /// The tags of an item, in the order of their texts.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a row is damaged.
    pub(crate) fn tags_of(&self, item: ItemId) -> Result<Vec<StoredTag>> {
        let (mut tags, mut damage) = (Vec::new(), None);
        self.tag_rows(
            "WHERE item_id = ?1 ORDER BY tag, origin",
            params![item.0],
            |tag| match tag {
                Ok(tag) => tags.push(tag),
                Err(reason) => damage = Some(reason),
            },
        )?;
        match damage {
            Some(reason) => Err(Error::Corrupt { path: self.path.into(), reason }),
            None => Ok(tags),
        }
    }

    /// All tags in the order of their texts, and how many items have each.
    pub(crate) fn tag_counts(&self) -> Result<Vec<(String, u64)>> {
        let failed = || sql(self.path, "count tags");
        self.connection
            .prepare("SELECT tag, count(DISTINCT item_id) FROM tags GROUP BY tag ORDER BY tag")
            .map_err(failed())?
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Calls `visit` with every tag of every item, or with the reason why its row is damaged.
    pub(crate) fn each_tag(
        &self,
        visit: impl FnMut(std::result::Result<StoredTag, String>),
    ) -> Result<()> {
        self.tag_rows("ORDER BY item_id, tag, origin", [], visit)
    }

    fn tag_rows(
        &self,
        tail: &str,
        params: impl rusqlite::Params,
        mut visit: impl FnMut(std::result::Result<StoredTag, String>),
    ) -> Result<()> {
        let failed = || sql(self.path, "read tags");
        let query = format!("SELECT item_id, tag, origin, checksum FROM tags {tail}");
        let mut statement = self.connection.prepare_cached(&query).map_err(failed())?;
        let mut rows = statement.query(params).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            visit(stored(row).map_err(failed())?);
        }
        Ok(())
    }
}

impl Batch<'_> {
    /// Puts a tag on an item that is there; whether it had it not yet.
    pub(crate) fn add_tag(&mut self, item: ItemId, tag: &Tag, origin: TagOrigin) -> Result<bool> {
        self.reword_by_id(item);
        let values = values(item, tag, origin);
        self.execute(
            "INSERT INTO tags (item_id, tag, origin, checksum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
            params![item.0, tag.as_str(), origin.name(), row::checksum(&values)],
        )?;
        Ok(self.n_changed() > 0)
    }

    /// Puts the tags on an item that its own file says now, in the place of those that it said before.
    pub(crate) fn set_file_tags(&mut self, item: ItemId, tags: &[Tag]) -> Result<()> {
        self.reword_by_id(item);
        self.execute(
            "DELETE FROM tags WHERE item_id = ?1 AND origin = ?2",
            params![item.0, TagOrigin::File.name()],
        )?;
        for tag in tags {
            self.add_tag(item, tag, TagOrigin::File)?;
        }
        Ok(())
    }

    /// Takes a tag from an item, whoever put it there; whether it had it.
    pub(crate) fn remove_tag(&mut self, item: ItemId, tag: &Tag) -> Result<bool> {
        self.reword_by_id(item);
        self.execute(
            "DELETE FROM tags WHERE item_id = ?1 AND tag = ?2",
            params![item.0, tag.as_str()],
        )?;
        Ok(self.n_changed() > 0)
    }
}

fn values(item: ItemId, tag: &Tag, origin: TagOrigin) -> [Value; 3] {
    [item.0.into(), Value::Text(tag.as_str().into()), Value::Text(origin.name().into())]
}

/// The tag of a row, or a reason that names it.
fn stored(row: &Row<'_>) -> rusqlite::Result<std::result::Result<StoredTag, String>> {
    let (values, checksum) = row::values(row, 3)?;
    let name = match values.first() {
        Some(Value::Integer(id)) => format!("a tag of item {id}"),
        Some(_) | None => "a tag".into(),
    };
    if row::checksum(&values) != checksum {
        return Ok(Err(format!("{name}: the checksum does not match")));
    }
    let parsed = parse(&values);
    Ok(parsed.ok_or_else(|| format!("{name}: a value is out of its range")))
}

fn parse(values: &[Value]) -> Option<StoredTag> {
    let [Value::Integer(id), Value::Text(text), Value::Text(origin)] = values else { return None };
    let tag = Tag::new(text).ok().filter(|tag| tag.as_str() == text)?;
    let origin =
        [TagOrigin::User, TagOrigin::File].into_iter().find(|known| known.name() == origin)?;
    Some(StoredTag { item: ItemId(*id), tag, origin })
}
