//! Finding by meaning: candidates out of the snapshot and the tail, scored again from the catalog's own rows.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::question::Question;
use super::search::{SearchStep, warn};
use crate::catalog::{StoredEmbedding, StoredSpace, View};
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::index::{self, Answer, Filter, NodeVectors, SearchOptions, Snapshot};
use crate::item::Modality;
use crate::query::{MAX_K, Neighbor};

/// Rows of the catalog that are compared at a time, so that a scan's memory does not grow with the library.
const ROWS_PER_SCAN: usize = 4_096;

/// How many more candidates are looked at each time until unwanted terms cannot change the best ones any more.
pub(super) const WIDENING: usize = 4;

/// Candidates of a snapshot beyond k that are scored again.
const SPARE: usize = 16;

/// The embeddings of one modality that are nearest to a question.
pub(super) struct Nearest<'a> {
    pub(super) view: View<'a>,
    pub(super) space: &'a StoredSpace,
    pub(super) modality: Modality,
    pub(super) question: &'a Question,
    pub(super) snapshot: Option<&'a Snapshot>,
    /// The keys of what may answer, in ascending order; `None` if all may.
    pub(super) allowed: Option<&'a [u64]>,
    /// Compare with everything.
    pub(super) exact: bool,
    /// Keys of the snapshot that are not dead and have no row: of damage, unless the snapshot was replaced meanwhile.
    pub(super) n_missing: Cell<usize>,
}

/// An embedding that may answer, and its score.
pub(super) type Scored = (f32, StoredEmbedding);

impl Nearest<'_> {
    /// At least the `n` best if there are so many, best first, and how they were found.
    pub(super) fn find(
        &self,
        n: usize,
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<Scored>, SearchStep)> {
        // One more, which shows whether others score as much as the last.
        let mut n_wanted = n + 1;
        if self.question.has_unwanted() {
            n_wanted = n_wanted.saturating_mul(WIDENING);
        }
        loop {
            let (found, step) = self.found(n_wanted, warnings)?;
            if found.len() < n_wanted || self.is_settled(&found, n) {
                return Ok((found, step));
            }
            n_wanted = n_wanted.saturating_mul(WIDENING);
            if n_wanted > MAX_K {
                // More than a snapshot gives: all rows are compared, once.
                n_wanted = self.n_live()? + 1;
            }
        }
    }

    /// The score of an embedding that was found by other means; `None` if it is gone or damaged, which is a warning.
    pub(super) fn score(&self, key: u64, warnings: &mut Vec<String>) -> Result<Option<Scored>> {
        let stored = self.good_row(key, warnings)?;
        Ok(stored.map(|stored| (self.question.score(&stored.embedding), stored)))
    }

    /// Whether nothing that was left out can be as good as the n best: what is left out is further from the point than all
    /// that is here, or as far, and unwanted terms only take away.
    fn is_settled(&self, found: &[Scored], n: usize) -> bool {
        let furthest = found.iter().map(|(_, stored)| self.question.point.score(&stored.embedding));
        let furthest = furthest.min_by(f32::total_cmp).unwrap_or(f32::MIN);
        found.get(n - 1).is_some_and(|(score, _)| *score > furthest)
    }

    /// The `n_wanted` embeddings nearest to the point, best first by their scores.
    fn found(
        &self,
        n_wanted: usize,
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<Scored>, SearchStep)> {
        let (plan, n_in_snapshot, n_rows, n_rescored) = (None, 0, 0, 0);
        let modality = self.modality;
        let mut step = SearchStep { modality, plan, n_in_snapshot, n_rows, n_rescored };
        let mut found = Vec::new();
        if let Some(snapshot) = self.snapshot.filter(|_| n_wanted <= MAX_K) {
            let candidates = self.candidates(snapshot, n_wanted, &mut step, warnings)?;
            found = self.score_again(&candidates, n_wanted, warnings)?;
        }
        // Counting takes long in a large library, so it is done only where it decides.
        let n_live = if found.len() < n_wanted { self.n_live()? } else { 0 };
        if found.len() < n_live {
            let rows = self.scan_rows(0, n_wanted, &mut step, warnings)?;
            if rows.n_seen < n_live {
                warn(warnings, "there are fewer embeddings than an index says");
            }
            found = self.score_again(&rows.best, n_wanted, warnings)?;
        }
        Ok((found, step))
    }

    /// How many embeddings may answer.
    fn n_live(&self) -> Result<usize> {
        if let Some(allowed) = self.allowed {
            return Ok(allowed.len());
        }
        let n_live = self.view.n_embeddings(self.space.id, self.modality, 0)?;
        Ok(usize::try_from(n_live).unwrap_or(usize::MAX))
    }

    /// The best of the snapshot without what is dead, and of what is newer.
    fn candidates(
        &self,
        snapshot: &Snapshot,
        n_wanted: usize,
        step: &mut SearchStep,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Neighbor>> {
        let generation = snapshot.meta().generation;
        let dead = self.view.dead_keys(self.space.id, self.modality, generation)?;
        let (foreign, exact) = (self.question.is_foreign(self.modality), self.exact);
        // What is allowed is alive.
        let filter = self.allowed.map_or(Filter::Except(&dead), Filter::Only);
        // The codes of a snapshot round in the fifth digit: a few more, so that the rows decide about the last ones.
        let mut k = n_wanted + SPARE.max(n_wanted / 8);
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
        candidates.extend(self.scan_rows(generation, n_wanted, step, warnings)?.best);
        step.n_rescored = candidates.len();
        Ok(candidates)
    }

    /// The best of the rows that are newer than a generation, by comparing with each of them.
    fn scan_rows(
        &self,
        newer_than: u64,
        n_wanted: usize,
        step: &mut SearchStep,
        warnings: &mut Vec<String>,
    ) -> Result<Rows> {
        let mut rows = Rows::default();
        self.view.each_embedding(self.space.id, self.modality, newer_than, |embedding| {
            step.n_rows += 1;
            let may_answer =
                |key| self.allowed.is_none_or(|allowed| allowed.binary_search(&key).is_ok());
            match embedding {
                Ok(stored) if !may_answer(stored.key) => return Ok(()),
                Ok(stored) if stored.embedding.dim() == self.space.dim => rows.push(&stored),
                Ok(stored) => warn(warnings, &format!("embedding {}: another space", stored.key)),
                Err(reason) => warn(warnings, &reason),
            }
            rows.n_seen += 1;
            if rows.keys.len() == ROWS_PER_SCAN {
                rows.compare(&self.question.point, n_wanted)?;
            }
            Ok(())
        })?;
        rows.compare(&self.question.point, n_wanted)?;
        Ok(rows)
    }

    /// The candidates nearest to the point by their catalog rows, best first by their scores; what has no good row is left out.
    fn score_again(
        &self,
        candidates: &[Neighbor],
        n_wanted: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Scored>> {
        let mut scored = BTreeMap::new();
        for candidate in candidates {
            if let Some(stored) = self.good_row(candidate.key, warnings)? {
                let nearness = self.question.point.score(&stored.embedding);
                scored.insert(candidate.key, (nearness, stored));
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

    /// The embedding of a key by its checksummed row; `None` if it is gone, of another space, or damaged, which is a warning.
    fn good_row(&self, key: u64, warnings: &mut Vec<String>) -> Result<Option<StoredEmbedding>> {
        match self.view.embedding(key) {
            Ok(None) => {
                self.n_missing.set(self.n_missing.get() + 1);
                Ok(None)
            }
            Ok(stored) => Ok(stored.filter(|stored| stored.embedding.dim() == self.space.dim)),
            Err(Error::Corrupt { reason, .. }) => {
                warn(warnings, &reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the last neighbour is surely worse than the last one that is wanted: of a burst of photos many are as good.
fn decides(answer: &Answer, n_wanted: usize) -> bool {
    let score = |place: usize| answer.neighbors.get(place).map_or(f32::MIN, |found| found.score);
    let last = score(answer.neighbors.len().saturating_sub(1));
    score(n_wanted.saturating_sub(1)) - last > 2.0 * answer.rounding
}

/// Rows that wait to be compared, and the best of those that were.
#[derive(Default)]
struct Rows {
    keys: Vec<u64>,
    vectors: Vec<f32>,
    best: Vec<Neighbor>,
    /// How many may answer, with those that are damaged.
    n_seen: usize,
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
