//! From embeddings in the order of the answer to the items of one page.

use std::cmp::Reverse;

use super::background;
use super::duplicates::Looks;
use super::nearest::Scored;
use super::question::{self, Point, Question};
use super::search::warn;
use crate::catalog::{Background, StoredEmbedding, View};
use crate::condition::Period;
use crate::error::{Error, Result};
use crate::item::{Item, ItemId, Modality};
use crate::query::{Cursor, Hit, KeywordMatch, MAX_K, Query, Sort};

/// The least cosine of images that may be duplicates, as [`crate::library::DuplicatesOptions`] has it.
const NEARLY_THE_SAME: f32 = 0.98;

/// An item whose words tell at least this share of what those of the query tell is no guess.
const SAYS_SO: f32 = 0.5;

/// An embedding that answers.
pub(super) struct Found {
    /// What answers are ordered by, falling.
    pub(super) value: f32,
    /// `None` where only words were asked for.
    pub(super) score: Option<f32>,
    /// What the score means, where that is known.
    pub(super) probability: Option<f32>,
    pub(super) semantic_rank: Option<usize>,
    pub(super) keyword: Option<KeywordMatch>,
    term_scores: Vec<f32>,
    stored: StoredEmbedding,
}

impl Found {
    pub(super) fn by_meaning(
        (score, stored): Scored,
        question: &Question,
        background: Option<&Background>,
    ) -> Self {
        let term_scores = question.term_scores(&stored.embedding);
        let probability = background.and_then(|known| background::probability(known, score));
        Self { score: Some(score), probability, term_scores, ..Self::by_words(stored) }
    }

    pub(super) fn by_words(stored: StoredEmbedding) -> Self {
        Self {
            value: 0.0,
            score: None,
            probability: None,
            semantic_rank: None,
            keyword: None,
            term_scores: Vec::new(),
            stored,
        }
    }

    pub(super) fn key(&self) -> u64 {
        self.stored.key
    }
}

/// The part of an answer that is wanted.
pub(super) struct Page<'a> {
    query: &'a Query,
    /// Items that the query names, which do not come back.
    named: Vec<ItemId>,
    /// What tells this query from others.
    digest: u32,
}

impl<'a> Page<'a> {
    /// # Errors
    /// [`Error::BadQuery`] if the cursor belongs to another query, or more than 10,000 hits lie before the page's end.
    pub(super) fn new(query: &'a Query, points: &[Point]) -> Result<Self> {
        let digest = question::digest(query, points);
        let bad = |reason: String| Err(Error::BadQuery { reason });
        if let Some(cursor) = &query.after {
            if cursor.query >> 1 != digest >> 1 {
                return bad("the cursor belongs to another query; ask the same one again".into());
            }
            if query.k + cursor.n_shown as usize > MAX_K {
                return bad(format!("pages end at {MAX_K} hits; narrow the query by a condition"));
            }
        }
        Ok(Self { query, named: question::named_items(query), digest })
    }

    /// How many embeddings are enough, if each has an item of its own.
    pub(super) fn n_wanted(&self) -> usize {
        self.query.k + self.n_shown() + self.named.len()
    }

    fn n_shown(&self) -> usize {
        self.query.after.map_or(0, |cursor| cursor.n_shown as usize)
    }

    /// The hits of the page, and the cursor behind it if it is full.
    ///
    /// # Errors
    /// [`Error::BadQuery`] if the values of the cursor are scores and these are of ranks, or the other way round; the catalog's.
    pub(super) fn hits(
        &self,
        view: View<'_>,
        found: &[Found],
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<Hit>, Option<Cursor>)> {
        let by_ranks = found.iter().any(|found| found.keyword.is_some());
        let query = self.digest & !1 | u32::from(by_ranks);
        let is_another = |cursor: Cursor| !found.is_empty() && cursor.query != query;
        if self.query.after.is_some_and(is_another) {
            let reason = "the words of this query came or went meanwhile; ask from the first page";
            return Err(Error::BadQuery { reason: reason.into() });
        }
        let (mut hits, mut values) = (Vec::new(), Vec::new());
        let mut groups = Groups::default();
        for equal in found.chunk_by(|a, b| a.value == b.value) {
            if hits.len() >= self.query.k {
                break;
            }
            for (item, others, found) in self.in_order(view, equal, warnings)? {
                if hits.len() == self.query.k {
                    break;
                }
                if self.query.group_duplicates && item.modality == Modality::Image {
                    groups.add(view, self, found, (item, others), &mut hits)?;
                } else if self.is_behind(found.value, item.id) {
                    hits.push(found.hit(item));
                }
                values.resize(hits.len(), found.value);
            }
        }
        warnings.extend(groups.looks.into_warnings());
        let is_full = hits.len() == self.query.k;
        let last = hits.last().zip(values.last()).filter(|_| is_full);
        let next = last.map(|(hit, &value)| {
            let n_shown = u32::try_from(self.n_shown() + hits.len()).unwrap_or(u32::MAX);
            Cursor { value, id: hit.item.id, n_shown, query }
        });
        sort(&mut hits, self.query.sort);
        Ok((hits, next))
    }

    /// What comes first of all that was found, if nothing of it is probable enough to be a hit.
    pub(super) fn best_guess(
        &self,
        view: View<'_>,
        found: &[Found],
        warnings: &mut Vec<String>,
    ) -> Result<Option<Hit>> {
        if self.query.after.is_some() || found.iter().any(|found| self.is_probable(found)) {
            return Ok(None);
        }
        for found in found {
            if let Some(item) = self.items(view, found, warnings)?.into_iter().next() {
                return Ok(Some(found.hit(item)));
            }
        }
        Ok(None)
    }

    /// Where nobody knows how probable it is, and where words say so, it is.
    fn is_probable(&self, found: &Found) -> bool {
        let says_so = found.keyword.is_some_and(|words| words.coverage >= SAYS_SO);
        says_so || found.probability.is_none_or(|it| it >= self.query.least_probability)
    }

    fn is_behind(&self, value: f32, id: ItemId) -> bool {
        self.query.after.is_none_or(|cursor| cursor.is_before(value, id))
    }

    /// The items of embeddings of equal value, in the order of their ids; where duplicates are grouped, one for each embedding,
    /// with the others of the same content beside it.
    fn in_order<'f>(
        &self,
        view: View<'_>,
        equal: &'f [Found],
        warnings: &mut Vec<String>,
    ) -> Result<Vec<(Item, Vec<Item>, &'f Found)>> {
        let mut all = Vec::new();
        let is_past = |found: &Found| {
            let is_before = |cursor: Cursor| found.value > cursor.value;
            !self.query.group_duplicates && self.query.after.is_some_and(is_before)
        };
        for found in equal.iter().filter(|found| self.is_probable(found) && !is_past(found)) {
            let mut items = self.items(view, found, warnings)?.into_iter();
            if self.query.group_duplicates && found.stored.modality == Modality::Image {
                all.extend(items.next().map(|first| (first, items.collect(), found)));
            } else {
                all.extend(items.map(|item| (item, Vec::new(), found)));
            }
        }
        all.sort_by_key(|(item, ..)| item.id);
        Ok(all)
    }

    /// The items of an embedding that may answer, in the order of their ids; none if a row is damaged, which is a warning.
    fn items(
        &self,
        view: View<'_>,
        found: &Found,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Item>> {
        let (modality, content_hash) = (found.stored.modality, found.stored.content_hash);
        // Of a page behind a cursor some were shown already, and of a group all are told.
        let limit = match self.query.after.is_some() || self.query.group_duplicates {
            true => usize::MAX,
            false => self.query.k + self.named.len(),
        };
        let items = match &self.query.filter {
            None => view.items_of(modality, content_hash, limit),
            Some(filter) => view.items_of_where(modality, content_hash, filter, limit),
        };
        match items {
            Ok(items) => {
                if items.is_empty() && view.has_key(found.key())? {
                    let key = found.key();
                    warn(
                        warnings,
                        &format!("embedding {key}: its items are not where an index says"),
                    );
                }
                let items = items.into_iter().map(|stored| stored.item);
                Ok(items.filter(|item| !self.named.contains(&item.id)).collect())
            }
            Err(Error::Corrupt { reason, .. }) => {
                warn(warnings, &reason);
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

impl Found {
    fn hit(&self, item: Item) -> Hit {
        Hit {
            item,
            score: self.score,
            probability: self.probability,
            term_scores: self.term_scores.clone(),
            semantic_rank: self.semantic_rank,
            keyword: self.keyword,
            duplicates: Vec::new(),
        }
    }
}

/// Images that are nearly the same, by what [`crate::library::DuplicatesOptions`] takes for that, and that look the same.
#[derive(Default)]
struct Groups {
    /// The best embedding of each group, and where its hit is, if it is on this page.
    firsts: Vec<(StoredEmbedding, Option<usize>)>,
    looks: Looks,
}

impl Groups {
    /// Makes an item and those of the same content a hit, or duplicates of an earlier one.
    fn add(
        &mut self,
        view: View<'_>,
        page: &Page<'_>,
        found: &Found,
        (item, others): (Item, Vec<Item>),
        hits: &mut Vec<Hit>,
    ) -> Result<()> {
        for (first, place) in &self.firsts {
            let is_near = first.embedding.score(&found.stored.embedding) >= NEARLY_THE_SAME;
            if is_near && self.looks.are_the_same(view, first, &found.stored)? {
                // That of an earlier page is past.
                if let Some(hit) = place.and_then(|place| hits.get_mut(place)) {
                    hit.duplicates.extend([item].into_iter().chain(others));
                }
                return Ok(());
            }
        }
        let is_shown = page.is_behind(found.value, item.id);
        self.firsts.push((found.stored.clone(), is_shown.then_some(hits.len())));
        if is_shown {
            hits.push(Hit { duplicates: others, ..found.hit(item) });
        }
        Ok(())
    }
}

/// The order that was asked for; hits that it does not tell apart stay as they are.
fn sort(hits: &mut [Hit], order: Sort) {
    match order {
        Sort::Score => {}
        Sort::Date => hits.sort_by_cached_key(|hit| Reverse(date(&hit.item))),
        Sort::Path => hits.sort_by_cached_key(|hit| hit.item.source.clone()),
    }
}

/// In nanoseconds since 1970; cameras write local time, which is taken for UTC. `None`, which comes last, if nobody knows.
fn date(item: &Item) -> Option<i64> {
    let taken = item.facts.as_ref().and_then(|facts| facts.taken_at.as_deref());
    taken.and_then(Period::parse).map(|moment| moment.start_ns()).or(item.modified_ns)
}

#[cfg(test)]
pub(super) mod testing {
    use crate::catalog::StoredEmbedding;

    use super::*;

    /// An embedding of a key, with a score.
    pub(in crate::library) fn found(key: u64, score: f32) -> Found {
        let embedding = crate::Embedding::normalized(vec![1.0, 0.0]).unwrap();
        let (space, modality) = (crate::catalog::SpaceId(1), Modality::Image);
        let content_hash = crate::ContentHash([0; 32]);
        let stored =
            StoredEmbedding { key, space, modality, content_hash, embedding, generation: 1 };
        Found { score: Some(score), ..Found::by_words(stored) }
    }
}
