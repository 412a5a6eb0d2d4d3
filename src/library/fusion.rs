//! Two rankings made one: reciprocal-rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), in which the words of an item
//! count by how much of the query they cover.
//!
//! Of a library only some items have captions or telling names. With one weight for all, whatever shares a word with the query
//! pushes out what has none; with the square of the coverage as the weight, items without words keep their places, and those
//! that have the words come first (docs/retrieval.md has the measurements).

use std::collections::{BTreeMap, BTreeSet};

use super::page::Found;
use crate::catalog::WordMatch;
use crate::query::KeywordMatch;

/// Ranks up to this one are fused: the first so many of either channel.
pub(super) const DEPTH: usize = 200;

/// The constant of the formula, as in the paper.
const K: f32 = 60.0;

/// What was found by either channel, each best first.
#[derive(Default)]
pub(super) struct Channels {
    pub(super) semantic: Vec<Found>,
    /// By key; places are those within a modality.
    pub(super) keyword: BTreeMap<u64, KeywordMatch>,
    /// What only words have found.
    pub(super) others: Vec<Found>,
}

impl Channels {
    /// Whether words have found nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.keyword.is_empty()
    }

    /// The most that either channel has found.
    pub(super) fn n_found(&self) -> usize {
        self.semantic.len().max(self.keyword.len())
    }

    /// Whether the last by meaning, and with it all behind it, is less probable than this.
    pub(super) fn ends_below(&self, least_probability: f32) -> bool {
        let last = self.semantic.last().and_then(|found| found.probability);
        last.is_some_and(|probability| probability < least_probability)
    }

    /// Takes what words have found, best first.
    pub(super) fn set_words(&mut self, found: &[WordMatch]) {
        let ranked = found.iter().zip(1..);
        let ranked = ranked
            .map(|(&WordMatch { key, coverage }, rank)| (key, KeywordMatch { rank, coverage }));
        self.keyword = ranked.collect();
    }

    /// The keys of what only words have found, once the other channel has been searched.
    pub(super) fn unscored(&self) -> Vec<u64> {
        let known: BTreeSet<u64> = self.semantic.iter().map(Found::key).collect();
        self.keyword.keys().filter(|key| !known.contains(key)).copied().collect()
    }

    /// Takes in what was found in another modality.
    pub(super) fn add(&mut self, other: Self) {
        self.semantic.extend(other.semantic);
        self.keyword.extend(other.keyword);
        self.others.extend(other.others);
    }

    /// All of it with the values that it is ordered by, best first.
    ///
    /// Without words the value is the score, so that adding items does not change it; otherwise it is the sum of the paper.
    pub(super) fn fused(mut self) -> Vec<Found> {
        let is_semantic = !self.semantic.is_empty();
        let score = |found: &Found| found.score.unwrap_or(f32::MIN);
        self.semantic.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.key().cmp(&b.key())));
        for (i, found) in self.semantic.iter_mut().enumerate() {
            found.semantic_rank = Some(i + 1);
        }
        let mut all = self.semantic;
        all.extend(self.others);
        for found in &mut all {
            found.keyword = self.keyword.get(&found.key()).copied();
            found.value = match (self.keyword.is_empty(), is_semantic) {
                (true, _) => score(found),
                (false, true) => sum(found),
                (false, false) => found.keyword.map_or(0.0, |words| reciprocal(words.rank)),
            };
        }
        all.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.key().cmp(&b.key())));
        all
    }
}

/// The value of what is found by meaning or by words.
fn sum(found: &Found) -> f32 {
    let by_meaning = found.semantic_rank.map_or(0.0, reciprocal);
    let Some(words) = found.keyword else { return by_meaning };
    let by_words = words.coverage.powi(2) * reciprocal(words.rank);
    match found.semantic_rank {
        Some(rank) if rank <= DEPTH => by_meaning + by_words,
        // Not the sum: how far down ranks are known depends on the page, and the value must not.
        Some(_) | None => by_meaning.max(by_words),
    }
}

fn reciprocal(rank: usize) -> f32 {
    1.0 / (K + rank as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::page::testing::found;

    fn order(semantic: &[u64], keyword: &[(u64, f32)]) -> Vec<u64> {
        let mut channels = Channels::default();
        let n = semantic.len() as f32;
        let scored = semantic.iter().enumerate();
        channels.semantic = scored.map(|(i, &key)| found(key, 1.0 - i as f32 / n)).collect();
        let words: Vec<WordMatch> =
            keyword.iter().map(|&(key, coverage)| WordMatch { key, coverage }).collect();
        channels.set_words(&words);
        channels.others = channels.unscored().iter().map(|&key| found(key, -1.0)).collect();
        channels.fused().iter().map(Found::key).collect()
    }

    #[test]
    fn without_words_the_scores_decide() {
        assert_eq!(order(&[3, 1, 2], &[]), [3, 1, 2]);
    }

    #[test]
    fn what_has_all_words_comes_first_and_what_has_few_moves_little() {
        let many: Vec<u64> = (1..=50).collect();
        assert_eq!(order(&many, &[(99, 1.0)])[..2], [1, 99], "as good as the best of the other");
        assert_eq!(order(&many, &[(50, 1.0)])[0], 50, "both say so");
        let little = order(&many, &[(50, 0.3)]);
        let place = little.iter().position(|&key| key == 50).unwrap();
        assert!((20..49).contains(&place), "{place}");
        assert_eq!(order(&many, &[(99, 0.1)]).last(), Some(&99));
    }

    #[test]
    fn the_order_of_the_first_ones_does_not_depend_on_how_many_are_asked_for() {
        let keyword: Vec<(u64, f32)> =
            (0..40).map(|i| (1 + i * 17, 1.0 / (1.0 + i as f32 / 7.0))).collect();
        let all: Vec<u64> = (1..=900).collect();
        let whole = order(&all, &keyword);
        for n in [DEPTH, 210, 300, 450, 899] {
            assert_eq!(order(&all[..n], &keyword)[..n], whole[..n], "of {n}");
        }
    }
}
