//! Finding items by words: an image by its captions, descriptions, names and tags, a text by itself.
//!
//! The index is derived: a batch writes the rows of all items that it has changed once, when it is committed.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{OptionalExtension, params};

use super::{Batch, SpaceId, View, sql};
use crate::error::Result;
use crate::item::{ItemId, Modality};

/// A word that more items than this have is not ranked by, because that takes about a microsecond for each of them; nor is one
/// that half of all items have, such as the name of the folder that they are in, because it tells nothing.
const MOST_ITEMS: usize = 10_000;

/// Words of a text that are looked for; the rest is left out.
const MOST_WORDS: usize = 64;

/// Which embeddings are looked for by words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordSearch<'a> {
    pub(crate) space: SpaceId,
    pub(crate) modality: Modality,
    /// What a person wrote. Any of its words may be there.
    pub(crate) wanted: &'a str,
    /// Texts of which not all words may be there.
    pub(crate) unwanted: &'a [&'a str],
    /// The keys that may answer, in ascending order; `None` if all may.
    pub(crate) allowed: Option<&'a [u64]>,
    /// How many, at most.
    pub(crate) limit: usize,
    /// If too many items have each of the words: whether to take the newest of those that have all of them, or none.
    pub(crate) even_common: bool,
}

/// An embedding of which an item has words that were looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WordMatch {
    pub(crate) key: u64,
    /// The share of what the words tell that the item's own tell, above 0 and up to 1: a word counts the more the fewer
    /// items have it.
    pub(crate) coverage: f32,
}

/// What is asked of the index.
struct Asked {
    /// In the language of FTS5: any of the telling words, or, where there is none, all of the common ones.
    query: String,
    /// What all telling words weigh.
    of_all: f32,
    /// What those of an item weigh.
    of_items: HashMap<i64, f32>,
}

impl Asked {
    fn is_ranked(&self) -> bool {
        self.of_all > 0.0
    }

    fn coverage(&self, item: i64) -> f32 {
        match self.is_ranked() {
            true => self.of_items.get(&item).map_or(0.0, |weight| weight / self.of_all),
            false => 1.0,
        }
    }
}

impl View<'_> {
    /// The embeddings whose items have any of the words, best first by BM25, each once.
    ///
    /// Takes about a microsecond for each item that has one of the words.
    pub(crate) fn keys_by_words(&self, search: &WordSearch<'_>) -> Result<Vec<WordMatch>> {
        let Some(asked) = self.asked(search)? else { return Ok(Vec::new()) };
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        self.each_match(search.modality, &asked, |item| {
            let Some(key) = self.key_of(search, item)? else { return Ok(true) };
            let is_allowed =
                search.allowed.is_none_or(|allowed| allowed.binary_search(&key).is_ok());
            if is_allowed && seen.insert(key) {
                found.push(WordMatch { key, coverage: asked.coverage(item) });
            }
            Ok(found.len() < search.limit)
        })?;
        Ok(found)
    }

    /// What is asked of the index; `None` if there is no word in the text, or no item that has any.
    fn asked(&self, search: &WordSearch<'_>) -> Result<Option<Asked>> {
        let n_items = self.n_with_words(search.modality)?;
        let mut asked = Asked { query: String::new(), of_all: 0.0, of_items: HashMap::new() };
        let (mut telling, mut common) = (Vec::new(), Vec::new());
        for word in words(search.wanted) {
            let items = self.items_with(search.modality, &word)?;
            if items.len() > MOST_ITEMS || items.len() > n_items / 2 {
                common.push(quoted(&word));
                continue;
            }
            let (n_items, n_with) = (n_items as f32, items.len() as f32);
            // That of BM25. A word that no item has counts too: an item without it has not all that was asked for.
            let weight = (1.0 + (n_items - n_with + 0.5) / (n_with + 0.5)).ln();
            asked.of_all += weight;
            for &item in &items {
                *asked.of_items.entry(item).or_default() += weight;
            }
            telling.push(quoted(&word));
        }
        asked.query = match telling.is_empty() {
            true if search.even_common => common.join(" AND "),
            true => String::new(),
            false => telling.join(" OR "),
        };
        if asked.query.is_empty() {
            return Ok(None);
        }
        for unwanted in search.unwanted {
            let all: Vec<String> = words(unwanted).iter().map(|word| quoted(word)).collect();
            if !all.is_empty() {
                asked.query = format!("({}) NOT ({})", asked.query, all.join(" AND "));
            }
        }
        Ok(Some(asked))
    }

    /// How many items are in an index; no more than are needed to tell a word that half of them have.
    fn n_with_words(&self, modality: Modality) -> Result<usize> {
        let most = 2 * MOST_ITEMS as i64 + 2;
        let query =
            format!("SELECT count(*) FROM (SELECT 1 FROM {}_docsize LIMIT ?1)", table(modality));
        Ok(self.count(&query, params![most])? as usize)
    }

    /// The items that have a word, or more than [`MOST_ITEMS`] of them.
    fn items_with(&self, modality: Modality, word: &str) -> Result<Vec<i64>> {
        let (failed, table) = (|| sql(self.path, "search by words"), table(modality));
        let query = format!("SELECT rowid FROM {table} WHERE {table} MATCH ?1 LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&query).map_err(failed())?;
        statement
            .query_map(params![quoted(word), MOST_ITEMS as i64 + 1], |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// Calls `visit` with the items that are found, best first, until it says that it has enough.
    fn each_match(
        &self,
        modality: Modality,
        asked: &Asked,
        mut visit: impl FnMut(i64) -> Result<bool>,
    ) -> Result<()> {
        let (failed, table) = (|| sql(self.path, "search by words"), table(modality));
        // Too many to be ranked: the newest first.
        let order = if asked.is_ranked() { "rank" } else { "rowid DESC" };
        let query = format!("SELECT rowid FROM {table} WHERE {table} MATCH ?1 ORDER BY {order}");
        let mut statement = self.connection.prepare_cached(&query).map_err(failed())?;
        let mut rows = statement.query(params![asked.query]).map_err(failed())?;
        while let Some(row) = rows.next().map_err(failed())? {
            if !visit(row.get(0).map_err(failed())?)? {
                break;
            }
        }
        Ok(())
    }

    /// Items whose words are not in the index as they should be, and rows of no item.
    pub(crate) fn wrong_words(&self, modality: Modality) -> Result<Vec<i64>> {
        let (failed, table) = (|| sql(self.path, "check words"), table(modality));
        let query = format!(
            "SELECT coalesce(item.id, row.rowid)
             FROM (SELECT * FROM findable_words WHERE modality = ?1) AS item
             FULL JOIN {table} AS row ON row.rowid = item.id
             WHERE (item.id, item.body, item.name, item.tags)
                 IS NOT (row.rowid, row.body, row.name, row.tags)"
        );
        let mut statement = self.connection.prepare(&query).map_err(failed())?;
        statement
            .query_map(params![modality.name()], |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(failed())
    }

    /// The embedding of an item that can be found.
    fn key_of(&self, search: &WordSearch<'_>, item: i64) -> Result<Option<u64>> {
        let failed = || sql(self.path, "search by words");
        self.connection
            .prepare_cached(
                "SELECT e.id FROM items AS i JOIN embeddings AS e
                     ON e.space_id = ?2 AND e.modality = i.modality AND e.content_hash = i.content_hash
                 WHERE i.id = ?1 AND i.status <> 'failed'",
            )
            .and_then(|mut statement| {
                statement.query_row(params![item, search.space.0], |row| row.get::<_, i64>(0)).optional()
            })
            .map(|key| key.map(i64::cast_unsigned))
            .map_err(failed())
    }
}

impl Batch<'_> {
    /// Writes the words of an item as they are now; of one that is gone or cannot be found, none.
    pub(super) fn write_words(&self, id: ItemId) -> Result<()> {
        for modality in Modality::ALL {
            let table = table(modality);
            self.execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), params![id.0])?;
            let insert = format!(
                "INSERT INTO {table} (rowid, body, name, tags)
                 SELECT id, body, name, tags FROM findable_words WHERE id = ?1 AND modality = ?2"
            );
            self.execute(&insert, params![id.0, modality.name()])?;
        }
        Ok(())
    }
}

fn table(modality: Modality) -> &'static str {
    match modality {
        Modality::Image => "image_words",
        Modality::Text => "text_words",
    }
}

/// Each word once, in lower case.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(MOST_WORDS).map(str::to_lowercase).collect()
}

/// A string of FTS5, in which nothing is an operator.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\"\""))
}
