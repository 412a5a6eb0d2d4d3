//! What is in a scene, and the rule of what is held out.

use image::RgbImage;

use super::Split;
use super::places;
use super::raster::{Color, Pen, Point, SIDE};
use super::rng::Rng;
use super::subjects;
use super::words::{Hue, Place, Subject};

/// A coloured thing in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Combination {
    pub(super) subject: Subject,
    pub(super) hue: Hue,
    pub(super) place: Place,
}

impl Combination {
    /// One in five, so spread that each thing is seen in each colour and each place, just not all at once.
    fn is_heldout(self) -> bool {
        (self.subject as usize + 2 * self.hue as usize + 3 * self.place as usize).is_multiple_of(5)
    }

    fn is_allowed(self, split: Split) -> bool {
        let is_in_split = match split {
            Split::Train => !self.is_heldout(),
            Split::Heldout => self.is_heldout(),
            Split::All => true,
        };
        is_in_split && !self.place.hides(self.hue)
    }
}

/// What accompanies the thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// Nothing.
    Alone,
    /// Others like it, this many in all.
    Several(usize),
    /// A second thing.
    With(Relation, Subject, Hue),
}

/// Where the first thing is, seen from the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Under,
    Above,
    NextTo,
}

/// All that the captions tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) main: Combination,
    pub(super) company: Company,
}

/// Deals the combinations of a split, each once before any comes again.
pub(super) struct Deck {
    split: Split,
    all: Vec<Combination>,
    left: Vec<Combination>,
    rng: Rng,
}

impl Deck {
    /// Shuffled by the seed.
    pub(super) fn new(seed: u64, split: Split) -> Self {
        let mut all = vec![];
        for subject in Subject::ALL {
            for hue in Hue::ALL {
                all.extend(Place::ALL.map(|place| Combination { subject, hue, place }));
            }
        }
        all.retain(|combination| combination.is_allowed(split));
        Self { split, all, left: vec![], rng: Rng::new(seed, u64::MAX) }
    }

    /// The split that is dealt.
    pub(super) fn split(&self) -> Split {
        self.split
    }

    /// The next combination.
    pub(super) fn next(&mut self) -> Combination {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            self.rng.shuffle(&mut self.left);
        }
        self.left.pop().expect("no split is empty")
    }
}

impl Scene {
    /// A scene with this thing in it.
    pub(super) fn around(main: Combination, split: Split, rng: &mut Rng) -> Self {
        let company = match rng.below(20) {
            0..10 => Company::Alone,
            10..13 => Company::Several(2),
            13..15 => Company::Several(3),
            _ => second_thing(main, split, rng),
        };
        Self { main, company }
    }

    /// Whether its thing, colour and place never occur together in `train`.
    pub(super) fn is_heldout(&self) -> bool {
        self.main.is_heldout()
    }

    /// Draws it.
    pub(super) fn draw(&self, rng: &mut Rng, grain: i32) -> RgbImage {
        let Combination { subject, hue, place } = self.main;
        let mut canvas = places::draw(place, rng);
        let spots = self.spots(rng);
        // What stands lower is nearer, so that it comes last.
        for (spot_idx, &(center, radius)) in spots.iter().enumerate() {
            let (subject, hue) = match self.company {
                Company::With(_, subject, hue) if spot_idx == 0 => (subject, hue),
                Company::With(..) | Company::Alone | Company::Several(_) => (subject, hue),
            };
            let color = varied(hue.name_and_color().1, rng);
            let is_mirrored = rng.chance(0.5);
            let tilt = rng.between(-0.015, 0.015);
            if !subject.is_airy() && places::has_ground(place) {
                places::shadow(&mut canvas, center, radius);
            }
            let mut pen = Pen { canvas: &mut canvas, center, radius, is_mirrored, tilt };
            subjects::draw(subject, &mut pen, color);
        }
        canvas.finish(rng, grain)
    }

    /// Middle and half side of the frame of each thing, in the order of drawing; a second thing comes first.
    fn spots(&self, rng: &mut Rng) -> Vec<(Point, f32)> {
        let unplaced: Vec<(f32, f32, f32)> = match self.company {
            Company::Alone => vec![(0.5, 0.56, rng.between(0.24, 0.34))],
            Company::Several(2) => vec![(0.27, 0.56, 0.19), (0.73, 0.58, 0.19)],
            Company::Several(_) => vec![(0.5, 0.34, 0.15), (0.24, 0.68, 0.15), (0.76, 0.69, 0.15)],
            Company::With(Relation::Under, ..) => vec![(0.5, 0.22, 0.17), (0.5, 0.69, 0.24)],
            Company::With(Relation::Above, ..) => vec![(0.5, 0.72, 0.21), (0.5, 0.26, 0.2)],
            Company::With(Relation::NextTo, ..) => {
                let mut sides = [0.27, 0.73];
                rng.shuffle(&mut sides);
                vec![(sides[0], 0.57, 0.2), (sides[1], 0.58, 0.21)]
            }
        };
        let is_alone = self.company == Company::Alone;
        let reach = if is_alone { 0.1 } else { 0.035 };
        let mut place = |(x, y, radius): (f32, f32, f32)| {
            let radius = radius * rng.between(0.88, 1.08);
            let (x, y) = (x + rng.between(-reach, reach), y + rng.between(-reach, reach) * 0.8);
            ((x * SIDE, y * SIDE), radius * SIDE)
        };
        unplaced.into_iter().map(&mut place).collect()
    }
}

/// Another thing in another colour, which the split allows in the same place.
fn second_thing(main: Combination, split: Split, rng: &mut Rng) -> Company {
    // The rule holds the first thing out; what stands beside it must only not spoil `train`.
    let split = if split == Split::Train { Split::Train } else { Split::All };
    loop {
        let subject = *rng.pick(&Subject::ALL);
        let hue = *rng.pick(&Hue::ALL);
        let second = Combination { subject, hue, place: main.place };
        if subject == main.subject || hue == main.hue || !second.is_allowed(split) {
            continue;
        }
        let relation = match (main.subject.is_airy(), subject.is_airy()) {
            (false, true) => Relation::Under,
            (true, false) => Relation::Above,
            (true, true) | (false, false) => Relation::NextTo,
        };
        return Company::With(relation, subject, hue);
    }
}

fn varied(color: Color, rng: &mut Rng) -> Color {
    let light = rng.between(-10.0, 10.0);
    color.map(|value| (value + light + rng.between(-7.0, 7.0)).clamp(0.0, 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combinations(split: Split) -> Vec<Combination> {
        Deck::new(1, split).all
    }

    #[test]
    fn one_in_five_is_held_out_but_every_pair_is_seen() {
        let (train, heldout) = (combinations(Split::Train), combinations(Split::Heldout));
        assert_eq!(train.len() + heldout.len(), combinations(Split::All).len());
        assert!(train.iter().all(|combination| !heldout.contains(combination)));
        let part = heldout.len() as f32 / (train.len() + heldout.len()) as f32;
        assert!((0.18..0.22).contains(&part), "{part}");
        for it in heldout {
            assert!(train.iter().any(|seen| (seen.subject, seen.hue) == (it.subject, it.hue)));
            assert!(train.iter().any(|seen| (seen.subject, seen.place) == (it.subject, it.place)));
            assert!(train.iter().any(|seen| (seen.hue, seen.place) == (it.hue, it.place)));
        }
    }

    #[test]
    fn no_scene_of_train_shows_what_is_held_out() {
        for (split, expected) in [(Split::Train, false), (Split::Heldout, true)] {
            let mut deck = Deck::new(5, split);
            let mut rng = Rng::new(5, 0);
            let mut n_seconds = 0;
            for _scene in 0..3000 {
                let scene = Scene::around(deck.next(), split, &mut rng);
                assert_eq!(scene.is_heldout(), expected);
                if let Company::With(_, subject, hue) = scene.company {
                    n_seconds += 1;
                    let second = Combination { subject, hue, ..scene.main };
                    assert!(split == Split::Heldout || !second.is_heldout());
                }
            }
            assert!((600..900).contains(&n_seconds), "{n_seconds}");
        }
    }
}
