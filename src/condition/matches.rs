//! What a condition means for one item: the plain evaluation, which the catalog's SQL must agree with.

use super::ast::{
    CaptionTest, DateField, Leaf, MetaTest, Near, Node, NumberField, Ordered, Test, TextField,
    TextTest,
};
use super::{Condition, Pattern};
use crate::item::{ImageFacts, Item, Metadata, Source};

/// The mean radius of the Earth.
const EARTH_KM: f64 = 6_371.008_8;

/// What is known of an item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) item: &'a Item,
    pub(crate) tags: &'a [String],
    /// The texts that describe an image: captions of manifests, and descriptions.
    pub(crate) captions: &'a [String],
}

impl Condition {
    /// Whether an item is one of those that it selects.
    pub(crate) fn matches(&self, facts: Facts<'_>) -> bool {
        holds(self.root(), facts)
    }

    /// Whether it asks about tags, so that [`Facts::tags`] must be read.
    pub(crate) fn asks_tags(&self) -> bool {
        self.root().any(&|test| matches!(test, Test::Text(TextField::Tag, _)))
    }

    /// Whether it asks about captions, so that [`Facts::captions`] must be read.
    pub(crate) fn asks_captions(&self) -> bool {
        self.root().any(&|test| matches!(test, Test::Caption(_)))
    }
}

/// Kilometres along the great circle, by the haversine formula, which is exact enough for near places too.
pub(crate) fn distance_km(from: (f64, f64), to: (f64, f64)) -> f64 {
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let between = half(from.0, to.0)
        + from.0.to_radians().cos() * to.0.to_radians().cos() * half(from.1, to.1);
    2.0 * EARTH_KM * between.sqrt().min(1.0).asin()
}

/// Degrees of latitude that are certainly not less than so many kilometres.
pub(crate) fn latitudes_of(km: f64) -> f64 {
    (km / EARTH_KM).to_degrees() * 1.000_001 + 1e-9
}

/// Whether a text has all of these words, which are in lower case.
pub(crate) fn has_words(text: &str, wanted: &[String]) -> bool {
    let text = text.to_lowercase();
    wanted.iter().all(|wanted| split(&text).any(|word| word == wanted))
}

/// The words of a text, in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    split(&text.to_lowercase()).map(str::to_owned).collect()
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// What follows the last slash that is not the end.
pub(crate) fn last_component(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let start = path[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    &path[start..end]
}

/// The value of the metadata that these keys lead to.
pub(crate) fn meta_value<'a>(
    metadata: &'a Metadata,
    keys: &[String],
) -> Option<&'a serde_json::Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(metadata.get(first)?, |value, key| value.as_object()?.get(key))
}

fn holds(node: &Node, facts: Facts<'_>) -> bool {
    match node {
        Node::And(parts) => parts.iter().all(|part| holds(part, facts)),
        Node::Or(parts) => parts.iter().any(|part| holds(part, facts)),
        Node::Not(inner) => !holds(inner, facts),
        Node::HasGps => place(facts).is_some(),
        Node::Near(Near { latitude, longitude, km }) => {
            place(facts).is_some_and(|place| distance_km(place, (*latitude, *longitude)) <= *km)
        }
        Node::Leaf(Leaf { negated, test }) => outcome(test, facts).is_some_and(|it| it != *negated),
    }
}

fn place(facts: Facts<'_>) -> Option<(f64, f64)> {
    let facts = facts.item.facts.as_ref()?;
    Some((facts.latitude?, facts.longitude?))
}

/// Whether a test holds; `None` if the item has nothing to be tested.
fn outcome(test: &Test, facts: Facts<'_>) -> Option<bool> {
    match test {
        Test::Number(field, test) => number(*field, facts.item).map(|it| number_holds(it, test)),
        Test::Date(field, test) => date(*field, facts.item, test),
        Test::Text(TextField::Tag, test) => {
            any_of(facts.tags.iter().map(String::as_str), |tag| text_holds(tag.as_bytes(), test))
        }
        Test::Text(
            field @ (TextField::Path | TextField::Name | TextField::Format | TextField::Camera),
            test,
        ) => text(*field, facts.item).map(|text| text_holds(&text, test)),
        Test::Root(roots) => {
            let path = container(&facts.item.source)?;
            Some(roots.iter().any(|root| path.starts_with(root)))
        }
        Test::Type(types) => Some(types.contains(&facts.item.modality)),
        Test::Caption(test) => {
            let own = facts.item.text.as_deref();
            let captions = facts.captions.iter().map(String::as_str).chain(own);
            any_of(captions, |caption| caption_holds(caption, test))
        }
        Test::Meta(keys, test) => meta(meta_value(&facts.item.metadata, keys)?, test),
    }
}

/// `None` if there is nothing.
fn any_of<'a>(values: impl Iterator<Item = &'a str>, holds: impl Fn(&str) -> bool) -> Option<bool> {
    values.map(holds).reduce(|a, b| a || b)
}

fn number(field: NumberField, item: &Item) -> Option<f64> {
    let facts = || item.facts.as_ref();
    match field {
        NumberField::Width => facts().map(|facts| facts.width.into()),
        NumberField::Height => facts().map(|facts| facts.height.into()),
        NumberField::Megapixels => facts().map(megapixels),
        NumberField::Size => Some(item.size_bytes as f64),
        NumberField::Latitude => facts()?.latitude,
        NumberField::Longitude => facts()?.longitude,
    }
}

fn megapixels(facts: &ImageFacts) -> f64 {
    f64::from(facts.width) * f64::from(facts.height) / 1e6
}

fn number_holds(number: f64, test: &Ordered<f64>) -> bool {
    test.holds(|&bound| number < bound, |&bound| number <= bound)
}

fn date(field: DateField, item: &Item, test: &Ordered<super::Period>) -> Option<bool> {
    match field {
        DateField::Taken => {
            let at = item.facts.as_ref()?.taken_at.as_deref()?;
            Some(test.holds(|it| *at < *it.start_text(), |it| *at < *it.end_text()))
        }
        DateField::Modified => {
            let at = item.modified_ns?;
            Some(test.holds(|it| at < it.start_ns(), |it| at < it.end_ns()))
        }
    }
}

/// The text of a field that has one value at most, as it is compared.
fn text(field: TextField, item: &Item) -> Option<Vec<u8>> {
    let facts = item.facts.as_ref();
    match field {
        TextField::Path => Some(path(&item.source)),
        TextField::Name => Some(match &item.source {
            Source::TarMember { member, .. } => last_component(bytes(member)).to_vec(),
            source @ (Source::File { .. } | Source::ManifestRow { .. } | Source::Inline { .. }) => {
                last_component(&path(source)).to_vec()
            }
        }),
        TextField::Format => facts.map(|facts| facts.format.clone().into_bytes()),
        TextField::Camera => {
            facts?.camera.as_ref().map(|camera| camera.to_ascii_lowercase().into_bytes())
        }
        TextField::Tag => None,
    }
}

/// The whole path of a source.
fn path(source: &Source) -> Vec<u8> {
    match source {
        Source::File { path } => bytes(path).to_vec(),
        Source::ManifestRow { manifest, .. } => bytes(manifest).to_vec(),
        Source::TarMember { tar, member } => [bytes(tar), b"!", bytes(member)].concat(),
        Source::Inline { name } => name.clone().into_bytes(),
    }
}

fn container(source: &Source) -> Option<&std::path::Path> {
    match source {
        Source::File { path } => Some(path),
        Source::ManifestRow { manifest, .. } => Some(manifest),
        Source::TarMember { tar, .. } => Some(tar),
        Source::Inline { .. } => None,
    }
}

fn bytes(path: &std::path::Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn text_holds(text: &[u8], test: &TextTest) -> bool {
    match test {
        TextTest::Order(test) => {
            test.holds(|bound| text < bound.as_bytes(), |bound| text <= bound.as_bytes())
        }
        TextTest::Like(pattern) => Pattern::like(pattern).matches(text),
        TextTest::Glob(pattern) => Pattern::glob(pattern).matches(text),
    }
}

fn caption_holds(caption: &str, test: &CaptionTest) -> bool {
    match test {
        CaptionTest::Words(wanted) => {
            wanted.iter().any(|wanted| has_words(caption, &words(wanted)))
        }
        CaptionTest::Like(pattern) => Pattern::like(pattern).matches(caption.as_bytes()),
        CaptionTest::Glob(pattern) => Pattern::glob(pattern).matches(caption.as_bytes()),
    }
}

fn meta(value: &serde_json::Value, test: &MetaTest) -> Option<bool> {
    match test {
        MetaTest::Number(test) => value.as_f64().map(|number| number_holds(number, test)),
        MetaTest::Text(test) => value.as_str().map(|text| text_holds(text.as_bytes(), test)),
        MetaTest::Boolean(wanted) => value.as_bool().map(|it| it == *wanted),
    }
}
