//! Everyday phrases: what people ask a library of photos for, where it has no captions of its own to learn that from.

use std::ops::ControlFlow;

use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::encoder::each::of_this_space;
use crate::error::{Error, Result};

/// How many there are.
pub(super) const N_PHRASES: usize = 10_000;

/// Phrases that are encoded at a time.
const BATCH: usize = 256;

const WHO: &[&str] = &[
    "a dog",
    "a black dog",
    "two dogs",
    "a puppy",
    "a cat",
    "a kitten",
    "a horse",
    "a bird",
    "a cow",
    "sheep",
    "an elephant",
    "a fish",
    "a man",
    "an old man",
    "a man in a hat",
    "a woman",
    "a woman in a red dress",
    "a young woman",
    "a boy",
    "a little girl",
    "a baby",
    "a child",
    "children",
    "two people",
    "three friends",
    "a group of people",
    "a crowd",
    "a family",
    "a couple",
    "a bride",
    "a team",
    "a soldier",
    "a musician",
    "a cyclist",
    "a surfer",
    "a skier",
    "a climber",
    "a runner",
    "a football player",
    "a car",
    "a red car",
    "a truck",
    "a bus",
    "a train",
    "a bicycle",
    "a motorcycle",
    "a boat",
    "a sailing ship",
    "an airplane",
    "a house",
    "an old house",
    "a church",
    "a castle",
    "a bridge",
    "a tower",
    "a tree",
    "flowers",
    "a red rose",
    "a table with food",
    "a cake",
    "a cup of coffee",
    "a pizza",
    "fruit",
    "a book",
    "a laptop",
    "a guitar",
    "a ball",
    "an umbrella",
    "a chair",
    "a sign",
    "graffiti",
    "a statue",
    "a clock",
    "a mirror",
    "balloons",
];
const WHAT: &[&str] = &[
    "",
    "",
    "",
    "running",
    "jumping",
    "sleeping",
    "playing",
    "standing",
    "sitting",
    "looking at the camera",
    "laughing",
    "swimming",
    "walking",
    "seen from above",
    "seen from behind",
    "close up",
    "with a ball",
    "with a dog",
    "with snow",
    "with lights",
    "covered in mud",
    "wearing sunglasses",
    "holding a sign",
    "holding hands",
    "eating",
    "dancing",
    "waiting",
    "falling",
    "painted blue",
    "in black and white",
];
const WHERE: &[&str] = &[
    "",
    "",
    "",
    "on the beach",
    "in the snow",
    "in the water",
    "in a forest",
    "in the mountains",
    "by a lake",
    "in a garden",
    "on the grass",
    "in a park",
    "in a city at night",
    "on a street",
    "in the rain",
    "in a kitchen",
    "at a table",
    "in a restaurant",
    "in a bedroom",
    "on a sofa",
    "in front of a house",
    "at a wedding",
    "at a party",
    "at a concert",
    "in a museum",
    "at school",
    "at work",
    "at the airport",
    "at sunset",
    "under a blue sky",
    "in fog",
    "in autumn",
    "by a window",
    "on a boat",
    "on a bridge",
    "at a market",
    "in a stadium",
    "on stage",
    "in a field",
    "in the desert",
];
const WHOLE: &[&str] = &[
    "sunset",
    "sunrise over the sea",
    "a snowy mountain",
    "a waterfall",
    "a night sky with stars",
    "fireworks",
    "a birthday party",
    "christmas tree",
    "wedding",
    "holiday on the beach",
    "a selfie",
    "a portrait",
    "a map",
    "a screenshot",
    "a receipt",
    "a page of text",
    "a whiteboard",
    "a menu",
    "a passport",
    "handwriting",
    "a city skyline",
    "an empty street",
    "clouds",
    "a rainbow",
    "a storm",
    "a river",
    "the sea",
    "a cave",
    "an aerial view of a town",
    "a garden in spring",
    "leaves in autumn",
    "a swimming pool",
    "a playground",
    "a living room",
    "a bathroom",
    "a desk",
    "a bookshelf",
    "a train station",
    "a harbour",
    "a zoo",
    "a farm",
    "food on a plate",
    "breakfast",
    "a glass of wine",
    "a football match",
    "a parade",
    "a blurry photo",
];

/// The phrases, all different, the same every time.
pub(super) fn phrases() -> Vec<String> {
    let mut phrases: Vec<String> = WHOLE.iter().map(|&phrase| phrase.into()).collect();
    let n_all = WHO.len() * WHAT.len() * WHERE.len();
    // A step without a common divisor with the number of combinations meets each of them once.
    let step = 7_919;
    let mut seen: std::collections::HashSet<String> = phrases.iter().cloned().collect();
    for i in (0..n_all).map(|i| i * step % n_all) {
        let (who, what) = (WHO[i % WHO.len()], WHAT[i / WHO.len() % WHAT.len()]);
        let place = WHERE[i / WHO.len() / WHAT.len()];
        let parts = [who, what, place].into_iter().filter(|part| !part.is_empty());
        let phrase = parts.collect::<Vec<_>>().join(" ");
        if phrases.len() < N_PHRASES && seen.insert(phrase.clone()) {
            phrases.push(phrase);
        }
    }
    phrases
}

/// The embeddings of every `step`-th phrase, one after the other. `go_on` is asked between batches.
pub(super) fn encoded(
    encoder: &mut dyn Encoder,
    step: usize,
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<Embedding>> {
    let phrases: Vec<String> = phrases().into_iter().step_by(step).collect();
    let mut embeddings = Vec::with_capacity(phrases.len());
    for batch in phrases.chunks(BATCH) {
        if go_on().is_break() {
            return Err(Error::Cancelled);
        }
        let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
        let (n, dim) = (texts.len(), encoder.space().dim);
        embeddings.extend(of_this_space(encoder.encode_texts(&texts), n, dim)?);
    }
    Ok(embeddings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::FakeEncoder;

    #[test]
    fn they_are_many_and_all_different() {
        let all = phrases();
        assert_eq!(all.len(), N_PHRASES);
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|phrase| !phrase.contains("  ") && phrase.trim() == phrase));
        let has_all = |words: &[&str]| {
            words.iter().all(|word| all.iter().any(|phrase| phrase.contains(word)))
        };
        assert!(has_all(WHO) && has_all(WHAT) && has_all(WHERE) && has_all(WHOLE));
        assert!(!has_all(&["xylophone"]), "control");
    }

    #[test]
    fn encoding_them_can_be_stopped() {
        let mut encoder = FakeEncoder::default();
        let all = encoded(&mut encoder, 1, &mut || ControlFlow::Continue(())).unwrap();
        assert_eq!(all.len(), N_PHRASES);
        let some = encoded(&mut encoder, 10, &mut || ControlFlow::Continue(())).unwrap();
        assert_eq!((some.len(), &some[7]), (N_PHRASES / 10, &all[70]));
        let stopped = encoded(&mut encoder, 1, &mut || ControlFlow::Break(()));
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
