//! Searching: what is found by meaning and by words, put into one order, a page at a time.

use std::cell::Cell;

use super::nearest::Nearest;
use super::page::{Found, Page};
use super::question::{self, Point, Question};
use super::snapshots::Snapshots;
use super::{Library, background, fusion};
use crate::catalog::{Catalog, StoredSpace, View, WordSearch};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::index::Plan;
use crate::item::Modality;
use crate::query::{Cursor, Hit, Mode, Query, Target};

/// How many times as many are looked for when a page is not full.
const WIDENING: usize = 4;

impl Library {
    /// The items that answer a query, best first; equal ones in the order of their ids. If k items exist that may answer, k
    /// come back (by words alone: if so many have any of them); pictures of equal content all do.
    ///
    /// A damaged snapshot costs time and gives a warning ([`Library::take_warnings`]), never a wrong answer.
    ///
    /// # Errors
    /// [`Error::BadQuery`] for an empty text, an item that is not there, a weight of 0, k outside 1..=10,000, a cursor of
    /// another query, or anything but texts by [`Mode::Keyword`]; [`Error::ModelMismatch`] if the encoder is not the
    /// library's; [`Error::Dimension`] for an embedding of another space; [`Error::Catalog`].
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

    /// The same for a query of items and embeddings only, or by words only, which needs no encoder.
    ///
    /// # Errors
    /// [`Error::BadQuery`] if a text or a picture would have to be encoded; otherwise as [`Library::search`].
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
        let page = Page::new(query, &points)?;
        let mut n = page.n_wanted();
        let explained = loop {
            let (found, steps, is_all) = self.find(&space, &points, query, n)?;
            let (view, warnings) = (self.catalog.view(), &mut self.warnings);
            let (hits, next) = page.hits(view, &found, warnings)?;
            if is_all || hits.len() == query.k {
                let best_guess = page.best_guess(view, &found, warnings)?;
                break Explained { hits, steps, next, best_guess };
            }
            // What was damaged or like another hit has left a gap.
            n = n.saturating_mul(WIDENING);
        };
        if self.catalog.view().space()?.as_ref() != Some(&space) {
            // The model was changed meanwhile, and some of what should have been compared is gone.
            return self.answer(encoder, query);
        }
        Ok(explained)
    }

    /// At least the `n` first embeddings in the order of the answer, and whether these are all.
    fn find(
        &mut self,
        space: &StoredSpace,
        points: &[Point],
        query: &Query,
        n: usize,
    ) -> Result<(Vec<Found>, Vec<SearchStep>, bool)> {
        let modalities = match query.to {
            Target::Image => &[Modality::Image][..],
            Target::Text => &[Modality::Text],
            Target::Any => &Modality::ALL,
        };
        let (mut channels, mut steps, mut is_all) = (fusion::Channels::default(), Vec::new(), true);
        for &modality in modalities {
            let Self { catalog, snapshots, warnings, .. } = self;
            let mut search = Search { space, modality, points, query, n, warnings };
            let (found, step) = search.channels(catalog, snapshots)?;
            is_all &= found.n_found() < n || found.ends_below(query.least_probability);
            channels.add(found);
            steps.extend(step);
        }
        Ok((channels.fused(), steps, is_all))
    }
}

/// What was found, and how.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// Best first, unless the query asked for another order.
    pub hits: Vec<Hit>,
    /// One for each modality that was searched by embeddings.
    pub steps: Vec<SearchStep>,
    /// Behind the last hit, if there may be more: for [`Query::after`].
    pub next: Option<Cursor>,
    /// What would have come first, if nothing that was found is as probable as [`Query::least_probability`] asks.
    pub best_guess: Option<Hit>,
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
    points: &'a [Point],
    query: &'a Query,
    n: usize,
    warnings: &'a mut Vec<String>,
}

impl Search<'_> {
    /// What is found by meaning and by words, in one state of the catalog.
    fn channels(
        &mut self,
        catalog: &mut Catalog,
        snapshots: &mut Snapshots,
    ) -> Result<(fusion::Channels, Option<SearchStep>)> {
        // Opened before the transaction: what is published meanwhile would be newer than what it sees.
        let generation = catalog.view().generation()?;
        let (space, modality) = (self.space, self.modality);
        let snapshot = snapshots.current_or_warn(space, modality, generation, self.warnings);
        let transaction = catalog.read()?;
        let view = transaction.view();
        let filter = self.query.filter.as_ref();
        let allowed =
            filter.map(|filter| view.keys_where(space.id, modality, filter)).transpose()?;
        let mut channels = fusion::Channels::default();
        self.find_by_words(view, allowed.as_deref(), &mut channels)?;
        if self.query.mode == Mode::Keyword {
            return Ok((channels, None));
        }
        let question = &Question::new(view, space, modality, self.points)?;
        let (allowed, exact) = (allowed.as_deref(), self.query.exact);
        let n_missing = Cell::new(0);
        let nearest =
            Nearest { view, space, modality, question, snapshot, allowed, exact, n_missing };
        // Ranks by meaning are compared with ranks by words, so as many of them must be known; where modalities are mixed, words
        // may be in the other one.
        let is_fused = !channels.is_empty()
            || (self.query.to == Target::Any && question::words(self.query).is_some());
        let n = if is_fused { self.n.max(fusion::DEPTH) } else { self.n };
        let (found, step) = nearest.find(n, self.warnings)?;
        let background = match question.is_one_text() {
            true => background::good(view, space, modality, self.warnings)?,
            false => None,
        };
        let by_meaning = |scored| Found::by_meaning(scored, question, background.as_ref());
        channels.semantic.extend(found.into_iter().map(by_meaning));
        for key in channels.unscored() {
            let scored = nearest.score(key, self.warnings)?;
            channels.others.extend(scored.map(by_meaning));
        }
        let n_missing = nearest.n_missing.get();
        // A snapshot that was replaced meanwhile may hold what is long gone.
        if n_missing > 0 && snapshots.is_current(modality) {
            warn(self.warnings, &format!("{n_missing} embeddings of the snapshot are missing"));
        }
        Ok((channels, Some(step)))
    }

    /// What words find. In a hybrid search a damaged index of words costs its share only.
    fn find_by_words(
        &mut self,
        view: View<'_>,
        allowed: Option<&[u64]>,
        channels: &mut fusion::Channels,
    ) -> Result<()> {
        let Some(words) = question::words(self.query) else { return Ok(()) };
        let limit = match self.query.mode {
            Mode::Keyword => self.n,
            Mode::Hybrid | Mode::Semantic => fusion::DEPTH,
        };
        let (space, modality) = (self.space.id, self.modality);
        let (wanted, unwanted) = (words.wanted.as_str(), &*words.unwanted);
        let even_common = self.query.mode == Mode::Keyword;
        let search = WordSearch { space, modality, wanted, unwanted, allowed, limit, even_common };
        let found = match view.keys_by_words(&search) {
            Err(Error::Catalog { reason, corrupt: true, .. })
                if self.query.mode == Mode::Hybrid =>
            {
                warn(self.warnings, &format!("searching without words: {reason}"));
                Vec::new()
            }
            found => found?,
        };
        channels.set_words(&found);
        if self.query.mode == Mode::Keyword {
            for word_match in found {
                match view.embedding(word_match.key) {
                    Ok(stored) => channels.others.extend(stored.map(Found::by_words)),
                    Err(Error::Corrupt { reason, .. }) => warn(self.warnings, &reason),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

pub(super) fn warn(warnings: &mut Vec<String>, reason: &str) {
    let warning = format!("{reason}; run `mmsearch check`");
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}
