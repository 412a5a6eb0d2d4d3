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
    /// Whether to go on with the newest of those that have a word that too many have, if there are not enough others.
    pub(crate) even_common: bool,
}

/// An embedding of which an item has words that were looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WordMatch {
    pub(crate) key: u64,
    /// The share of what the words tell that the item's own tell, from 0 for common words alone up to 1: a word counts the
    /// more the fewer items have it.
    pub(crate) coverage: f32,
}

/// What is asked of the index, in the language of FTS5.
#[derive(Default)]
struct Asked {
    /// Words that some items have, but not too many.
    telling: Vec<String>,
    common: Vec<String>,
    /// What all words weigh that are not common.
    of_all: f32,
    /// What those of an item weigh.
    of_items: HashMap<i64, f32>,
}

impl Asked {
    /// What to look for one after the other, and in which order: any telling word, ranked; then, if wanted, all of the common
    /// ones, and any of them. Those are too many to be ranked: the newest come first.
    fn queries(&self, even_common: bool) -> Vec<(String, &'static str)> {
        let newest = "rowid DESC";
        let mut queries = vec![(self.telling.join(" OR "), "rank")];
        if even_common {
            queries.push((self.common.join(" AND "), newest));
            queries.push((self.common.join(" OR "), newest));
        }
        queries.retain(|(query, _)| !query.is_empty());
        queries
    }

    fn coverage(&self, item: i64) -> f32 {
        match self.of_all > 0.0 {
            true => self.of_items.get(&item).map_or(0.0, |weight| weight / self.of_all),
            false => 1.0,
        }
    }
}

/// A query of which no item may have all words of one of these texts.
fn without(mut query: String, unwanted: &[&str]) -> String {
    for unwanted in unwanted {
        let all: Vec<String> = words(unwanted).iter().map(|word| quoted(word)).collect();
        if !all.is_empty() {
            query = format!("({query}) NOT ({})", all.join(" AND "));
        }
    }
    query
}

impl View<'_> {
    /// The embeddings whose items have any of the words, best first by BM25, each once.
    ///
    /// Takes about a microsecond for each item that has one of the words.
    pub(crate) fn keys_by_words(&self, search: &WordSearch<'_>) -> Result<Vec<WordMatch>> {
        let asked = self.asked(search)?;
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for (query, order) in asked.queries(search.even_common) {
            if found.len() == search.limit {
                break;
            }
            let query = without(query, search.unwanted);
            self.each_match(search.modality, &query, order, |item| {
                let Some(key) = self.key_of(search, item)? else { return Ok(true) };
                let is_allowed =
                    search.allowed.is_none_or(|allowed| allowed.binary_search(&key).is_ok());
                if is_allowed && seen.insert(key) {
                    found.push(WordMatch { key, coverage: asked.coverage(item) });
                }
                Ok(found.len() < search.limit)
            })?;
        }
        Ok(found)
    }

    /// What is asked of the index.
    fn asked(&self, search: &WordSearch<'_>) -> Result<Asked> {
        let n_items = self.n_with_words(search.modality)?;
        let mut asked = Asked::default();
        for word in words(search.wanted) {
            let items = self.items_with(search.modality, &word)?;
            if items.len() > MOST_ITEMS || items.len() > n_items / 2 {
                asked.common.push(quoted(&word));
                continue;
            }
            let (n_items, n_with) = (n_items as f32, items.len() as f32);
            // That of BM25. A word that no item has counts too: an item without it has not all that was asked for.
            let weight = (1.0 + (n_items - n_with + 0.5) / (n_with + 0.5)).ln();
            asked.of_all += weight;
            for &item in &items {
                *asked.of_items.entry(item).or_default() += weight;
            }
            if !items.is_empty() {
                asked.telling.push(quoted(&word));
            }
        }
        Ok(asked)
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
        query: &str,
        order: &str,
        mut visit: impl FnMut(i64) -> Result<bool>,
    ) -> Result<()> {
        let (failed, table) = (|| sql(self.path, "search by words"), table(modality));
        let statement =
            format!("SELECT rowid FROM {table} WHERE {table} MATCH ?1 ORDER BY {order}");
        let mut statement = self.connection.prepare_cached(&statement).map_err(failed())?;
        let mut rows = statement.query(params![query]).map_err(failed())?;
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
    // Accents that are characters of their own belong to their words; the index takes them off as it does others.
    let is_accent = |c: char| ('\u{300}'..='\u{36f}').contains(&c);
    let words = text.split(|c: char| !c.is_alphanumeric() && !is_accent(c));
    let words = words.filter(|word| word.contains(char::is_alphanumeric));
    words.take(MOST_WORDS).map(str::to_lowercase).collect()
}

/// A string of FTS5, in which nothing is an operator.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\"\""))
}
