//! A query as numbers: the point that is searched for, and what takes from the score of an item.

use crate::catalog::{StoredSpace, View};
use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::encoder::each::of_this_space;
use crate::error::{Error, Result};
use crate::item::{ItemId, Modality};
use crate::query::{MAX_K, MAX_TERMS, Mode, Query, Term, WEIGHTS, WeightedTerm};

/// Items that the spread of a term's scores is measured by.
const SAMPLE_SIZE: usize = 1_000;

/// How many spreads above the mean an item's score with an unwanted term may be before it counts.
///
/// 0.5 with weight 1 is what kept the most of the wanted for the least of the unwanted (docs/retrieval.md).
const MARGIN: f32 = 0.5;

/// A spread below this says that all items score the same, so that a term tells nothing about them.
const MIN_SPREAD: f32 = 1e-4;

/// A term of a query as a point.
pub(super) struct Point {
    pub(super) embedding: Embedding,
    weight: f32,
    /// What it was made of; `None` where nobody knows.
    modality: Option<Modality>,
}

/// What the items of one modality are compared with.
pub(super) struct Question {
    /// Candidates are those nearest to it.
    pub(super) point: Embedding,
    /// All terms, for what is told of a hit.
    terms: Vec<Embedding>,
    unwanted: Vec<Unwanted>,
    /// What `point` was made of, if it is one term.
    modality: Option<Modality>,
}

/// What should not be there.
struct Unwanted {
    embedding: Embedding,
    /// The score up to which an item is forgiven.
    floor: f32,
    /// What a score above it costs.
    rate: f32,
}

/// Refuses what no query can be.
pub(super) fn check(query: &Query) -> Result<()> {
    let bad = |reason: String| Err(Error::BadQuery { reason });
    if query.k == 0 || query.k > MAX_K {
        return bad(format!("k is {}, but must be 1 to {MAX_K}", query.k));
    }
    if query.terms.is_empty() || query.terms.len() > MAX_TERMS {
        return bad(format!("{} terms, but there must be 1 to {MAX_TERMS}", query.terms.len()));
    }
    if !(0.0..=1.0).contains(&query.least_probability) {
        let least = query.least_probability;
        return bad(format!("the least probability is {least}, but must be 0 to 1"));
    }
    let are_texts = query.terms.iter().all(|term| matches!(term.term, Term::Text(_)));
    if query.mode == Mode::Keyword && !(are_texts && words(query).is_some()) {
        return bad("by words alone only texts can be looked for, and one must be wanted".into());
    }
    for term in &query.terms {
        if !WEIGHTS.contains(&term.weight.abs()) {
            let (least, most) = (WEIGHTS.start(), WEIGHTS.end());
            return bad(format!("the weight of a term is {}, not {least} to {most}", term.weight));
        }
        match &term.term {
            Term::Text(text) if text.trim().is_empty() => {
                return bad("the text to look for is empty".into());
            }
            Term::Text(_) | Term::Image(_) | Term::Embedding(_) | Term::Item(_) => {}
        }
    }
    Ok(())
}

/// Whether any term must be encoded.
pub(super) fn needs_encoder(query: &Query) -> bool {
    query.mode != Mode::Keyword
        && query.terms.iter().any(|term| match term.term {
            Term::Text(_) | Term::Image(_) => true,
            Term::Embedding(_) | Term::Item(_) => false,
        })
}

/// What is looked for by words.
#[derive(Debug)]
pub(super) struct Words<'q> {
    /// All wanted texts, one behind the other.
    pub(super) wanted: String,
    /// Texts of which an item must not have all words.
    pub(super) unwanted: Vec<&'q str>,
}

/// The words of a query; `None` if meaning alone decides.
pub(super) fn words(query: &Query) -> Option<Words<'_>> {
    let mut words = Words { wanted: String::new(), unwanted: Vec::new() };
    for term in &query.terms {
        match (&term.term, term.weight > 0.0) {
            (Term::Text(text), true) => words.wanted.extend([text.as_str(), " "]),
            (Term::Text(text), false) => words.unwanted.push(text),
            // A photo says more than the words beside it, and words cannot say how like it an item is.
            (Term::Image(_) | Term::Embedding(_) | Term::Item(_), true) => return None,
            (Term::Image(_) | Term::Embedding(_) | Term::Item(_), false) => {}
        }
    }
    (query.mode != Mode::Semantic && !words.wanted.is_empty()).then_some(words)
}

/// What tells a query from others, but for k and the order of a page.
pub(super) fn digest(query: &Query, points: &[Point]) -> u32 {
    let mut hasher = blake3::Hasher::new();
    let filter = query.filter.as_ref().map(ToString::to_string);
    let what = (query.to, query.mode, query.group_duplicates, words(query), filter);
    hasher.update(format!("{what:?}").as_bytes());
    for point in points {
        hasher.update(&point.weight.to_le_bytes());
        point.embedding.as_slice().iter().for_each(|value| {
            hasher.update(&value.to_le_bytes());
        });
    }
    let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The items that are terms of the query.
pub(super) fn named_items(query: &Query) -> Vec<ItemId> {
    let id = |term: &WeightedTerm| match term.term {
        Term::Item(id) => Some(id),
        Term::Text(_) | Term::Image(_) | Term::Embedding(_) => None,
    };
    query.terms.iter().filter_map(id).collect()
}

/// The terms of a query as points of the library's space.
///
/// # Errors
/// [`Error::BadQuery`] for an item that is not there or cannot be found, [`Error::Dimension`], the encoder's.
pub(super) fn points(
    view: View<'_>,
    space: &StoredSpace,
    mut encoder: Option<&mut dyn Encoder>,
    query: &Query,
) -> Result<Vec<Point>> {
    if query.mode == Mode::Keyword {
        return Ok(Vec::new());
    }
    let point = |term: &WeightedTerm| {
        let (embedding, modality) = match &term.term {
            Term::Text(text) => {
                let encoder = needed(&mut encoder)?;
                (only(encoder.encode_texts(&[text.as_str()]), space)?, Some(Modality::Text))
            }
            Term::Image(picture) => {
                let encoder = needed(&mut encoder)?;
                let square = encoder.preprocess().apply(picture)?;
                (only(encoder.encode_images(&[square]), space)?, Some(Modality::Image))
            }
            Term::Embedding(embedding) => (embedding.clone(), None),
            Term::Item(id) => stored(view, space, *id)?,
        };
        if embedding.dim() != space.dim {
            return Err(Error::Dimension { expected: space.dim, found: embedding.dim() });
        }
        Ok(Point { embedding, weight: term.weight, modality })
    };
    query.terms.iter().map(point).collect()
}

fn needed<'e>(encoder: &'e mut Option<&mut dyn Encoder>) -> Result<&'e mut dyn Encoder> {
    let reason = || "a text or a picture is looked for, but there is no encoder".into();
    match encoder {
        Some(encoder) => Ok(&mut **encoder),
        None => Err(Error::BadQuery { reason: reason() }),
    }
}

fn only(encoded: Result<Vec<Embedding>>, space: &StoredSpace) -> Result<Embedding> {
    Ok(of_this_space(encoded, 1, space.dim)?.swap_remove(0))
}

fn stored(
    view: View<'_>,
    space: &StoredSpace,
    id: ItemId,
) -> Result<(Embedding, Option<Modality>)> {
    let absent = |reason: &str| Error::BadQuery { reason: format!("item {id} {reason}") };
    let item = view.item(id)?.ok_or_else(|| absent("is not in the library"))?.item;
    let embedding = match item.content_hash {
        Some(hash) => view.embedding_of(space.id, item.modality, hash)?,
        None => None,
    };
    let embedding = embedding.ok_or_else(|| absent("has no embedding: it could not be read"))?;
    Ok((embedding.embedding, Some(item.modality)))
}

impl Question {
    /// What items of a modality are compared with. One term is compared with as it is; of several, each is taken from
    /// the mean of its modality and measured by the spread of its scores over a sample of these items.
    pub(super) fn new(
        view: View<'_>,
        space: &StoredSpace,
        modality: Modality,
        points: &[Point],
    ) -> Result<Self> {
        let terms = points.iter().map(|point| point.embedding.clone()).collect();
        if let [only] = points
            && only.weight > 0.0
        {
            let point = only.embedding.clone();
            return Ok(Self { point, terms, unwanted: Vec::new(), modality: only.modality });
        }
        let sample = sample(view, space, modality)?;
        let means = Means::read(view, space)?;
        let has_wanted = points.iter().any(|point| point.weight > 0.0);
        // If nothing is wanted, the least like what is unwanted comes first.
        let adds_up = |point: &&Point| point.weight > 0.0 || !has_wanted;
        let mut sum = vec![0.0f32; space.dim];
        for point in points.iter().filter(adds_up) {
            let values = means.taken_off(point);
            let share = point.weight / Spread::of(&values, &sample).deviation;
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
        }
        let cancelled = |_| {
            let reason = "the terms cancel each other out; give one of them another weight";
            Error::BadQuery { reason: reason.into() }
        };
        let point = Embedding::normalized(sum).map_err(cancelled)?;
        let own = Spread::of(point.as_slice(), &sample);
        let unwanted = points.iter().filter(|point| !adds_up(point)).map(|point| {
            let spread = Spread::of(point.embedding.as_slice(), &sample);
            Unwanted {
                embedding: point.embedding.clone(),
                floor: spread.mean + MARGIN * spread.deviation,
                rate: -point.weight * own.deviation / spread.deviation,
            }
        });
        Ok(Self { unwanted: unwanted.collect(), point, terms, modality: None })
    }

    /// Whether the index must expect a query unlike what it holds.
    pub(super) fn is_foreign(&self, modality: Modality) -> bool {
        // Where nobody knows what it was made of, the wider beam is safe.
        self.modality != Some(modality)
    }

    /// Whether one text alone is wanted, so that scores are those of that text.
    pub(super) fn is_one_text(&self) -> bool {
        self.modality == Some(Modality::Text)
    }

    /// Whether an item may score less than by [`Question::point`] alone; never more.
    pub(super) fn has_unwanted(&self) -> bool {
        !self.unwanted.is_empty()
    }

    /// The score of an item.
    pub(super) fn score(&self, item: &Embedding) -> f32 {
        let taken: f32 = (self.unwanted.iter())
            .map(|unwanted| {
                unwanted.rate * (item.score(&unwanted.embedding) - unwanted.floor).max(0.0)
            })
            .sum();
        self.point.score(item) - taken
    }

    /// The cosine of an item with each term.
    pub(super) fn term_scores(&self, item: &Embedding) -> Vec<f32> {
        self.terms.iter().map(|term| term.score(item)).collect()
    }
}

/// Where the embeddings of each modality lie: photos and texts of the same things are a long way apart (the *gap*).
///
/// Texts are taken to lie where the everyday phrases do: a library need not have any of its own, and that measured better than
/// the mean of captions (docs/retrieval.md).
struct Means(Option<[Vec<f32>; 2]>);

impl Means {
    /// None unless both are known, because one alone would only move terms of that modality.
    fn read(view: View<'_>, space: &StoredSpace) -> Result<Self> {
        let images = match view.background(space.id, Modality::Image) {
            // What is damaged is told where probabilities are read.
            Err(Error::Corrupt { .. }) => None,
            known => known?,
        };
        let means = images.map(|images| [images.mean, images.phrase_mean]);
        Ok(Self(means.filter(|means| means.iter().all(|mean| mean.len() == space.dim))))
    }

    /// The point from where the embeddings of its modality lie.
    fn taken_off(&self, point: &Point) -> Vec<f32> {
        let values = point.embedding.as_slice();
        let (Some([images, texts]), Some(modality)) = (&self.0, point.modality) else {
            return values.to_vec();
        };
        let mean = match modality {
            Modality::Image => images,
            Modality::Text => texts,
        };
        values.iter().zip(mean).map(|(value, mean)| value - mean).collect()
    }
}

/// Where the scores of a term lie.
struct Spread {
    mean: f32,
    deviation: f32,
}

impl Spread {
    fn of(point: &[f32], sample: &[Embedding]) -> Self {
        let n = sample.len().max(1) as f32;
        let score = |item: &Embedding| -> f32 {
            item.as_slice().iter().zip(point).map(|(item, value)| item * value).sum()
        };
        let scores: Vec<f32> = sample.iter().map(score).collect();
        let mean = scores.iter().sum::<f32>() / n;
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f32>() / n;
        Self { mean, deviation: variance.sqrt().max(MIN_SPREAD) }
    }
}

/// Embeddings of a modality at even steps through all of them; what is damaged is left out.
fn sample(view: View<'_>, space: &StoredSpace, modality: Modality) -> Result<Vec<Embedding>> {
    let keys = view.embedding_keys(space.id, modality)?;
    let mut sample = Vec::new();
    for &key in keys.iter().step_by(keys.len().div_ceil(SAMPLE_SIZE).max(1)) {
        match view.embedding(key) {
            Ok(Some(stored)) if stored.embedding.dim() == space.dim => {
                sample.push(stored.embedding)
            }
            Ok(_) | Err(Error::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sample)
}
