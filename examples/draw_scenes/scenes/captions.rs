//! Says what is in a scene, in several ways.

use super::rng::Rng;
use super::scene::{Company, Relation, Scene};
use super::words::{Hue, Subject};

/// The plainest caption, which tells all.
pub(super) fn main(scene: &Scene) -> String {
    let place = scene.main.place.phrases()[0];
    format!("{} {place}", things(scene, |_n_names| 0))
}

/// Five captions, [`main`] first; no two are the same.
pub(super) fn all(scene: &Scene, rng: &mut Rng) -> Vec<String> {
    let place = scene.main.place;
    let mut captions = vec![main(scene)];
    let phrases = place.phrases();
    for template in [0, 1, 2, 3] {
        let things = things(scene, |n_names| rng.below(n_names));
        // Phrases change from caption to caption, whatever their order.
        let phrase = phrases[(template + 1) % phrases.len()];
        let verb = place.verb(scene.main.subject);
        let (is, that) = match scene.company {
            Company::Several(_) => ("are", "that are"),
            Company::Alone | Company::With(..) => ("is", "that is"),
        };
        captions.push(match (template, scene.company) {
            (0, Company::With(..)) => format!("{things}, {phrase}"),
            (0, Company::Alone | Company::Several(_)) => format!("{things} {verb} {phrase}"),
            (1, _) => format!("there {is} {things} {phrase}"),
            (2, Company::With(relation, subject, hue)) => turned(scene, relation, subject, hue),
            (2, Company::Alone | Company::Several(_)) => {
                format!("{} with {things}", rng.pick(place.nouns()))
            }
            (_, Company::With(..)) => format!("{things} can be seen {phrase}"),
            (_, Company::Alone) => {
                let name = rng.pick(scene.main.subject.names()).0;
                format!("{} {name} {that} {}", article(name), predicate(scene, phrase))
            }
            (_, Company::Several(n)) => {
                let name = rng.pick(scene.main.subject.names()).1;
                format!("{} {name} {that} {}", number(n), predicate(scene, phrase))
            }
        });
    }
    captions
}

fn predicate(scene: &Scene, phrase: &str) -> String {
    format!("{}, {phrase}", scene.main.hue.name())
}

/// The same pair, told from the second thing.
fn turned(scene: &Scene, relation: Relation, subject: Subject, hue: Hue) -> String {
    let turned = match relation {
        Relation::Under => "above",
        Relation::Above => "below",
        Relation::NextTo => "beside",
    };
    let first = one(scene.main.hue, scene.main.subject.names()[0].0);
    let second = one(hue, subject.names()[0].0);
    format!("{second} {turned} {first} {}", scene.main.place.phrases()[1])
}

/// "a red ball", "two red balls", "a red ball next to a blue car"; `name_idx(n)` chooses among n names.
fn things(scene: &Scene, mut name_idx: impl FnMut(usize) -> usize) -> String {
    let names = scene.main.subject.names();
    let (singular, plural) = names[name_idx(names.len())];
    let first = one(scene.main.hue, singular);
    match scene.company {
        Company::Alone => first,
        Company::Several(n) => format!("{} {} {plural}", number(n), scene.main.hue.name()),
        Company::With(relation, subject, hue) => {
            let names = subject.names();
            let second = one(hue, names[name_idx(names.len())].0);
            let relation = match relation {
                Relation::Under => "under",
                Relation::Above => "above",
                Relation::NextTo => "next to",
            };
            format!("{first} {relation} {second}")
        }
    }
}

fn one(hue: Hue, name: &str) -> String {
    format!("{} {} {name}", article(hue.name()), hue.name())
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn number(n: usize) -> &'static str {
    if n == 2 { "two" } else { "three" }
}
