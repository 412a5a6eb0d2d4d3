//! Searching: candidates out of the snapshot and the tail, scored again from the catalog's own rows.

use std::collections::BTreeMap;

use super::Library;
use super::question::{self, Question};
use super::snapshots::Snapshots;
use crate::catalog::{Catalog, StoredEmbedding, StoredSpace, View};
use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::index::{self, Answer, Filter, NodeVectors, Plan, SearchOptions, Snapshot};
use crate::item::{ItemId, Modality};
use crate::query::{Hit, MAX_K, Neighbor, Query, Target};

/// Rows of the catalog that are compared at a time, so that a scan's memory does not grow with the library.
const ROWS_PER_SCAN: usize = 4_096;

/// How many more candidates are looked at each time until unwanted terms cannot change the best ones any more.
const WIDENING: usize = 4;

/// Candidates of a snapshot beyond k that are scored again.
const SPARE: usize = 16;

impl Library {
    /// The items nearest to the query, best first; equal scores in the order of their ids. If k items exist, k
    /// come back; pictures of equal content all do.
    ///
    /// A damaged snapshot costs time and gives a warning ([`Library::take_warnings`]), never a wrong answer.
    ///
    /// # Errors
    /// [`Error::BadQuery`] for an empty text, an item that is not there, a weight of 0, or k outside 1..=10,000; [`Error::ModelMismatch`] if the encoder is
    /// not the library's; [`Error::Dimension`] for an embedding of another space; [`Error::Catalog`].
    pub fn search(&mut self, encoder: &mut dyn Encoder, query: &Query) -> Result<Vec<Hit>> {
        Ok(self.explained(encoder, query)?.hits)
    }

    /// The same, with how it was found.
    ///
    /// # Errors
    /// As [`Library::search`].
    pub fn explained(&mut self, encoder: &mut dyn Encoder, query: &Query) -> Result<Explained> {
        self.answer(Some(encoder), query)
    }

    /// The same for a query of items and embeddings only, which needs no encoder.
    ///
    /// # Errors
    /// [`Error::BadQuery`] if there is a text or a picture in it; otherwise as [`Library::search`].
    pub fn explained_without_encoder(&mut self, query: &Query) -> Result<Explained> {
        self.answer(None, query)
    }

    fn answer(
        &mut self,
        mut encoder: Option<&mut dyn Encoder>,
        query: &Query,
    ) -> Result<Explained> {
        question::check(query)?;
        let Some(space) = self.catalog.view().space()? else { return Ok(Explained::default()) };
        if let Some(encoder) = &encoder
            && question::needs_encoder(query)
            && self.space_of(encoder.space())?.is_none()
        {
            return Ok(Explained::default());
        }
        // Written out because a mutable reference in an option cannot be lent twice otherwise.
        let lent: Option<&mut dyn Encoder> = match &mut encoder {
            Some(encoder) => Some(&mut **encoder),
            None => None,
        };
        let points = question::points(self.catalog.view(), &space, lent, query)?;
        let modalities = match query.to {
            Target::Image => &[Modality::Image][..],
            Target::Text => &[Modality::Text],
            Target::Any => &Modality::ALL,
        };
        let (mut hits, mut steps) = (Vec::new(), Vec::new());
        for &modality in modalities {
            let question = Question::new(self.catalog.view(), &space, modality, &points)?;
            let named = question::named_items(query);
            let search =
                Search { space: &space, modality, question: &question, query, named: &named };
            let Self { catalog, snapshots, warnings, .. } = self;
            let (found, step) = search.hits(catalog, snapshots, warnings)?;
            hits.extend(found);
            steps.push(step);
        }
        if self.catalog.view().space()?.as_ref() != Some(&space) {
            // The model was changed meanwhile, and some of what should have been compared is gone.
            return self.answer(encoder, query);
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.id.cmp(&b.item.id)));
        hits.truncate(query.k);
        Ok(Explained { hits, steps })
    }
}

/// What was found, and how.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// Best first.
    pub hits: Vec<Hit>,
    /// One for each modality that was searched.
    pub steps: Vec<SearchStep>,
}

/// How one modality was searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchStep {
    /// Images or texts.
    pub modality: Modality,
    /// What was done with the snapshot; `None` if there was none to use.
    pub plan: Option<Plan>,
    /// Embeddings in the snapshot that could answer.
    pub n_in_snapshot: usize,
    /// Rows of the catalog that were compared with one by one: all that is newer than the snapshot.
    pub n_rows: usize,
    /// Candidates that were scored again by their rows.
    pub n_rescored: usize,
}

/// A query to one modality.
struct Search<'a> {
    space: &'a StoredSpace,
    modality: Modality,
    question: &'a Question,
    query: &'a Query,
    /// Items that the query names, which do not come back.
    named: &'a [ItemId],
}

/// An embedding that may answer, and its score.
type Scored = (f32, StoredEmbedding);

impl Search<'_> {
    fn hits(
        &self,
        catalog: &mut Catalog,
        snapshots: &mut Snapshots,
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<Hit>, SearchStep)> {
        // Opened before the transaction: what is published meanwhile would be newer than what it sees.
        let generation = catalog.view().generation()?;
        let snapshot = snapshots.current_or_warn(self.space, self.modality, generation, warnings);
        let transaction = catalog.read()?;
        let view = transaction.view();
        let allowed = self.allowed(view)?;
        let allowed = allowed.as_deref();
        let mut n_wanted = self.query.k + self.named.len();
        if self.question.has_unwanted() {
            n_wanted = n_wanted.saturating_mul(WIDENING);
        }
        loop {
            let (found, step) = self.found(view, snapshot, allowed, n_wanted, warnings)?;
            if found.len() < n_wanted || self.is_settled(&found) {
                return Ok((self.items(view, found, warnings)?, step));
            }
            n_wanted = n_wanted.saturating_mul(WIDENING);
            if n_wanted > MAX_K {
                // More than a snapshot gives: all rows are compared, once.
                n_wanted = self.n_live(view, allowed)? + 1;
            }
        }
    }

    /// Whether nothing that was left out can be better than the k best: what is left out is further from the point than
    /// all that is here, and unwanted terms only take away.
    fn is_settled(&self, found: &[Scored]) -> bool {
        if !self.question.has_unwanted() {
            return true;
        }
        let furthest = found.iter().map(|(_, stored)| self.question.point.score(&stored.embedding));
        let furthest = furthest.min_by(f32::total_cmp).unwrap_or(f32::MIN);
        let last = found.get(self.query.k + self.named.len() - 1);
        last.is_some_and(|(score, _)| *score >= furthest)
    }

    /// The `n_wanted` embeddings nearest to the point, best first by their scores.
    fn found(
        &self,
        view: View<'_>,
        snapshot: Option<&Snapshot>,
        allowed: Option<&[u64]>,
        n_wanted: usize,
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<Scored>, SearchStep)> {
        let (plan, n_in_snapshot, n_rows, n_rescored) = (None, 0, 0, 0);
        let modality = self.modality;
        let mut step = SearchStep { modality, plan, n_in_snapshot, n_rows, n_rescored };
        let mut found = Vec::new();
        if let Some(snapshot) = snapshot.filter(|_| n_wanted <= MAX_K) {
            let candidates =
                self.candidates(view, snapshot, allowed, n_wanted, &mut step, warnings)?;
            found = self.score_again(view, &candidates, n_wanted, warnings)?;
        }
        // Counting takes long in a large library, so it is done only where it decides.
        if found.len() < n_wanted && found.len() < self.n_live(view, allowed)? {
            let candidates = self.scan_rows(view, 0, allowed, n_wanted, &mut step, warnings)?;
            found = self.score_again(view, &candidates, n_wanted, warnings)?;
        }
        Ok((found, step))
    }

    /// The keys of what may answer, in ascending order; `None` if all may.
    fn allowed(&self, view: View<'_>) -> Result<Option<Vec<u64>>> {
        let filter = self.query.filter.as_ref();
        filter.map(|filter| view.keys_where(self.space.id, self.modality, filter)).transpose()
    }

    /// How many embeddings may answer.
    fn n_live(&self, view: View<'_>, allowed: Option<&[u64]>) -> Result<usize> {
        if let Some(allowed) = allowed {
            return Ok(allowed.len());
        }
        let n_live = view.n_embeddings(self.space.id, self.modality, 0)?;
        Ok(usize::try_from(n_live).unwrap_or(usize::MAX))
    }

    /// The best of the snapshot without what is dead, and of what is newer.
    fn candidates(
        &self,
        view: View<'_>,
        snapshot: &Snapshot,
        allowed: Option<&[u64]>,
        n_wanted: usize,
        step: &mut SearchStep,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Neighbor>> {
        let generation = snapshot.meta().generation;
        let dead = view.dead_keys(self.space.id, self.modality, generation)?;
        let (foreign, exact) = (self.question.is_foreign(self.modality), self.query.exact);
        // What is allowed is alive.
        let filter = allowed.map_or(Filter::Except(&dead), Filter::Only);
        // The codes of a snapshot round in the fifth digit: a few more, so that the rows decide about the last ones.
        let mut k = n_wanted + SPARE;
        let answer = loop {
            let options = SearchOptions { k, foreign, ef: None, exact, filter };
            let answer = snapshot.search(&self.question.point, &options)?;
            if k >= MAX_K || answer.neighbors.len() < k || decides(&answer, n_wanted) {
                break answer;
            }
            k = k.saturating_mul(WIDENING).min(MAX_K);
        };
        (step.plan, step.n_in_snapshot) = (Some(answer.plan), answer.n_allowed);
        let mut candidates = answer.neighbors;
        candidates.extend(self.scan_rows(view, generation, allowed, n_wanted, step, warnings)?);
        step.n_rescored = candidates.len();
        Ok(candidates)
    }

    /// The best of the rows that are newer than a generation, by comparing with each of them.
    fn scan_rows(
        &self,
        view: View<'_>,
        newer_than: u64,
        allowed: Option<&[u64]>,
        n_wanted: usize,
        step: &mut SearchStep,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Neighbor>> {
        let mut rows = Rows { keys: Vec::new(), vectors: Vec::new(), best: Vec::new() };
        view.each_embedding(self.space.id, self.modality, newer_than, |embedding| {
            step.n_rows += 1;
            let may_answer =
                |key| allowed.is_none_or(|allowed| allowed.binary_search(&key).is_ok());
            match embedding {
                Ok(stored) if !may_answer(stored.key) => {}
                Ok(stored) if stored.embedding.dim() == self.space.dim => rows.push(&stored),
                Ok(stored) => warn(warnings, &format!("embedding {}: another space", stored.key)),
                Err(reason) => warn(warnings, &reason),
            }
            if rows.keys.len() == ROWS_PER_SCAN {
                rows.compare(&self.question.point, n_wanted)?;
            }
            Ok(())
        })?;
        rows.compare(&self.question.point, n_wanted)?;
        Ok(rows.best)
    }

    /// The candidates nearest to the point by their catalog rows, best first by their scores; what has no good row is left out.
    fn score_again(
        &self,
        view: View<'_>,
        candidates: &[Neighbor],
        n_wanted: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Scored>> {
        let mut scored = BTreeMap::new();
        for candidate in candidates {
            match view.embedding(candidate.key) {
                Ok(Some(stored)) if stored.embedding.dim() == self.space.dim => {
                    let nearness = self.question.point.score(&stored.embedding);
                    scored.insert(candidate.key, (nearness, stored));
                }
                Ok(_) => {}
                Err(Error::Corrupt { reason, .. }) => warn(warnings, &reason),
                Err(error) => return Err(error),
            }
        }
        let best_first = |a: &Scored, b: &Scored| b.0.total_cmp(&a.0).then(a.1.key.cmp(&b.1.key));
        let mut scored: Vec<Scored> = scored.into_values().collect();
        scored.sort_by(best_first);
        scored.truncate(n_wanted);
        if self.question.has_unwanted() {
            scored
                .iter_mut()
                .for_each(|(score, stored)| *score = self.question.score(&stored.embedding));
            scored.sort_by(best_first);
        }
        Ok(scored)
    }

    /// All items of each embedding, up to k of them.
    fn items(
        &self,
        view: View<'_>,
        found: Vec<Scored>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Hit>> {
        let mut hits = Vec::new();
        for (score, stored) in found {
            let n_wanted = self.query.k - hits.len();
            if n_wanted == 0 {
                break;
            }
            let n_asked = n_wanted + self.named.len();
            let items = match &self.query.filter {
                None => view.items_of(self.modality, stored.content_hash, n_asked),
                Some(filter) => {
                    view.items_of_where(self.modality, stored.content_hash, filter, n_asked)
                }
            };
            match items {
                Ok(items) => {
                    let term_scores = self.question.term_scores(&stored.embedding);
                    let hit = |item| Hit { item, score, term_scores: term_scores.clone() };
                    let items = items.into_iter().map(|stored| stored.item);
                    let others = items.filter(|item| !self.named.contains(&item.id));
                    hits.extend(others.take(n_wanted).map(hit));
                }
                Err(Error::Corrupt { reason, .. }) => warn(warnings, &reason),
                Err(error) => return Err(error),
            }
        }
        Ok(hits)
    }
}

/// Whether the last neighbour is surely worse than the last one that is wanted: of a burst of photos many are as good.
fn decides(answer: &Answer, n_wanted: usize) -> bool {
    let score = |place: usize| answer.neighbors.get(place).map_or(f32::MIN, |found| found.score);
    let last = score(answer.neighbors.len().saturating_sub(1));
    score(n_wanted.saturating_sub(1)) - last > 2.0 * answer.rounding
}

/// Rows that wait to be compared, and the best of those that were.
struct Rows {
    keys: Vec<u64>,
    vectors: Vec<f32>,
    best: Vec<Neighbor>,
}

impl Rows {
    fn push(&mut self, stored: &StoredEmbedding) {
        self.keys.push(stored.key);
        self.vectors.extend_from_slice(stored.embedding.as_slice());
    }

    fn compare(&mut self, point: &Embedding, k: usize) -> Result<()> {
        let nodes = NodeVectors { keys: &self.keys, vectors: &self.vectors, dim: point.dim() };
        self.best.extend(index::scan(nodes, point.as_slice(), k, None)?);
        self.best.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.key.cmp(&b.key)));
        self.best.truncate(k);
        self.keys.clear();
        self.vectors.clear();
        Ok(())
    }
}

fn warn(warnings: &mut Vec<String>, reason: &str) {
    let warning = format!("{reason}; run `mmsearch check`");
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}
