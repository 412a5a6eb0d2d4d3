//! Searching: candidates out of the snapshot and the tail, scored again from the catalog's own rows.

use std::collections::BTreeMap;

use super::Library;
use super::snapshots::Snapshots;
use crate::catalog::{Catalog, StoredEmbedding, StoredSpace, View};
use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::index::{self, Filter, NodeVectors, Plan, SearchOptions, Snapshot};
use crate::item::Modality;
use crate::query::{Hit, MAX_K, Neighbor, Query, Target, Term};

/// Rows of the catalog that are compared at a time, so that a scan's memory does not grow with the library.
const ROWS_PER_SCAN: usize = 4_096;

/// Candidates of a snapshot beyond k that are scored again.
const SPARE: usize = 16;

impl Library {
    /// The items nearest to the query, best first; equal scores in the order of their ids. If k items exist, k
    /// come back; pictures of equal content all do.
    ///
    /// A damaged snapshot costs time and gives a warning ([`Library::take_warnings`]), never a wrong answer.
    ///
    /// # Errors
    /// [`Error::BadQuery`] for an empty text or k outside 1..=10,000; [`Error::ModelMismatch`] if the encoder is
    /// not the library's; [`Error::Dimension`] for an embedding of another space; [`Error::Catalog`].
    pub fn search(&mut self, encoder: &mut dyn Encoder, query: &Query) -> Result<Vec<Hit>> {
        Ok(self.explained(encoder, query)?.hits)
    }

    /// The same, with how it was found.
    ///
    /// # Errors
    /// As [`Library::search`].
    pub fn explained(&mut self, encoder: &mut dyn Encoder, query: &Query) -> Result<Explained> {
        check(query)?;
        let Some(space) = self.catalog.view().space()? else { return Ok(Explained::default()) };
        let point = match &query.term {
            Term::Embedding(embedding) => embedding.clone(),
            Term::Text(_) | Term::Image(_) => {
                if self.space_of(encoder.space())?.is_none() {
                    return Ok(Explained::default());
                }
                encode(encoder, &query.term)?
            }
        };
        if point.dim() != space.dim {
            return Err(Error::Dimension { expected: space.dim, found: point.dim() });
        }
        let modalities = match query.to {
            Target::Image => &[Modality::Image][..],
            Target::Text => &[Modality::Text],
            Target::Any => &Modality::ALL,
        };
        let (mut hits, mut steps) = (Vec::new(), Vec::new());
        for &modality in modalities {
            let search = Search { space: &space, modality, point: &point, query };
            let Self { catalog, snapshots, warnings, .. } = self;
            let (found, step) = search.hits(catalog, snapshots, warnings)?;
            hits.extend(found);
            steps.push(step);
        }
        if self.catalog.view().space()?.as_ref() != Some(&space) {
            // The model was changed meanwhile, and some of what should have been compared is gone.
            self.space_of(encoder.space())?;
            return self.explained(encoder, query);
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

fn check(query: &Query) -> Result<()> {
    if query.k == 0 || query.k > MAX_K {
        let reason = format!("k is {}, but must be 1 to {MAX_K}", query.k);
        return Err(Error::BadQuery { reason });
    }
    match &query.term {
        Term::Text(text) if text.trim().is_empty() => {
            Err(Error::BadQuery { reason: "the text to look for is empty".into() })
        }
        Term::Text(_) | Term::Image(_) | Term::Embedding(_) => Ok(()),
    }
}

fn encode(encoder: &mut dyn Encoder, term: &Term) -> Result<Embedding> {
    let embeddings = match term {
        Term::Text(text) => encoder.encode_texts(&[text.as_str()])?,
        Term::Image(picture) => {
            let square = encoder.preprocess().apply(picture)?;
            encoder.encode_images(&[square])?
        }
        Term::Embedding(embedding) => vec![embedding.clone()],
    };
    let nothing = || Error::Encoder { reason: "nothing came back for the query".into() };
    embeddings.into_iter().next().ok_or_else(nothing)
}

/// A query to one modality.
struct Search<'a> {
    space: &'a StoredSpace,
    modality: Modality,
    point: &'a Embedding,
    query: &'a Query,
}

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
        let (plan, n_in_snapshot, n_rows, n_rescored) = (None, 0, 0, 0);
        let modality = self.modality;
        let mut step = SearchStep { modality, plan, n_in_snapshot, n_rows, n_rescored };
        let mut found = Vec::new();
        if let Some(snapshot) = snapshot {
            let candidates = self.candidates(view, snapshot, &mut step, warnings)?;
            found = self.score_again(view, &candidates, warnings)?;
        }
        if found.len() < self.query.k && found.len() < self.n_live(view)? {
            let candidates = self.scan_rows(view, 0, &mut step, warnings)?;
            found = self.score_again(view, &candidates, warnings)?;
        }
        Ok((self.items(view, found, warnings)?, step))
    }

    fn n_live(&self, view: View<'_>) -> Result<usize> {
        let n_live = view.n_embeddings(self.space.id, self.modality, 0)?;
        Ok(usize::try_from(n_live).unwrap_or(usize::MAX))
    }

    /// The best of the snapshot without what is dead, and of what is newer.
    fn candidates(
        &self,
        view: View<'_>,
        snapshot: &Snapshot,
        step: &mut SearchStep,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Neighbor>> {
        let generation = snapshot.meta().generation;
        let dead = view.dead_keys(self.space.id, self.modality, generation)?;
        let Query { k, exact, ref term, .. } = *self.query;
        let foreign = match term {
            Term::Text(_) => self.modality != Modality::Text,
            Term::Image(_) => self.modality != Modality::Image,
            // Nobody knows what it was made of, so the wider beam is safe.
            Term::Embedding(_) => true,
        };
        let filter = Filter::Except(&dead);
        // The codes of a snapshot round in the fifth digit: a few more, so that the rows decide about the last ones.
        let k = k + SPARE;
        let options = SearchOptions { k, foreign, ef: None, exact, filter };
        let answer = snapshot.search(self.point, &options)?;
        (step.plan, step.n_in_snapshot) = (Some(answer.plan), answer.n_allowed);
        let mut candidates = answer.neighbors;
        candidates.extend(self.scan_rows(view, generation, step, warnings)?);
        step.n_rescored = candidates.len();
        Ok(candidates)
    }

    /// The best of the rows that are newer than a generation, by comparing with each of them.
    fn scan_rows(
        &self,
        view: View<'_>,
        newer_than: u64,
        step: &mut SearchStep,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Neighbor>> {
        let mut rows = Rows { keys: Vec::new(), vectors: Vec::new(), best: Vec::new() };
        view.each_embedding(self.space.id, self.modality, newer_than, |embedding| {
            step.n_rows += 1;
            match embedding {
                Ok(stored) if stored.embedding.dim() == self.space.dim => rows.push(&stored),
                Ok(stored) => warn(warnings, &format!("embedding {}: another space", stored.key)),
                Err(reason) => warn(warnings, &reason),
            }
            if rows.keys.len() == ROWS_PER_SCAN {
                rows.compare(self.point, self.query.k)?;
            }
            Ok(())
        })?;
        rows.compare(self.point, self.query.k)?;
        Ok(rows.best)
    }

    /// The best k candidates by the score of their catalog rows; what has no good row is left out.
    fn score_again(
        &self,
        view: View<'_>,
        candidates: &[Neighbor],
        warnings: &mut Vec<String>,
    ) -> Result<Vec<(f32, StoredEmbedding)>> {
        let mut scored = BTreeMap::new();
        for candidate in candidates {
            match view.embedding(candidate.key) {
                Ok(Some(stored)) if stored.embedding.dim() == self.space.dim => {
                    scored.insert(candidate.key, (self.point.score(&stored.embedding), stored));
                }
                Ok(_) => {}
                Err(Error::Corrupt { reason, .. }) => warn(warnings, &reason),
                Err(error) => return Err(error),
            }
        }
        let mut scored: Vec<_> = scored.into_values().collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.key.cmp(&b.1.key)));
        scored.truncate(self.query.k);
        Ok(scored)
    }

    /// All items of each embedding, up to k of them.
    fn items(
        &self,
        view: View<'_>,
        found: Vec<(f32, StoredEmbedding)>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Hit>> {
        let mut hits = Vec::new();
        for (score, stored) in found {
            let n_wanted = self.query.k - hits.len();
            if n_wanted == 0 {
                break;
            }
            match view.items_of(self.modality, stored.content_hash, n_wanted) {
                Ok(items) => {
                    hits.extend(items.into_iter().map(|stored| Hit { item: stored.item, score }));
                }
                Err(Error::Corrupt { reason, .. }) => warn(warnings, &reason),
                Err(error) => return Err(error),
            }
        }
        Ok(hits)
    }
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
