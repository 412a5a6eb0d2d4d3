//! Random conditions and items for property tests, drawn from so few values that they meet often.

use proptest::prelude::*;
use proptest::sample::select;

use super::ast::{
    CaptionTest, DateField, Leaf, MetaTest, Near, Node, NumberField, Ordered, Test, TextField,
    TextTest,
};
use super::comparison::folded;
use super::{Condition, Period};
use crate::item::{ContentHash, ImageFacts, Item, ItemId, Metadata, Modality, Source, Status};

/// Texts that are values, words, names and attempts to break out of a statement.
const TEXTS: [&str; 12] = [
    "dog",
    "beach",
    "a dog",
    "beach dog",
    "b.jpg",
    "canon",
    "it's",
    "",
    "'; DROP TABLE items; --",
    "a\"b",
    "%",
    "ä狗",
];
const PATTERNS: [&str; 8] = ["%dog%", "*dog*", "/a/%", "/a/*.jpg", "c_n%", "[a-c]*", "%", "*'*"];
const DATES: [&str; 8] = [
    "2023",
    "2024",
    "2024-05",
    "2024-05-31",
    "2024-05-31T18",
    "2024-05-31T18:02",
    "2024-05-31T18:02:11",
    "1970",
];
const NUMBERS: [f64; 8] = [0.0, 1.0, 2.5, 4.0, -1.5, 100.0, 12_000_000.0, 0.000_012];

fn text() -> impl Strategy<Value = String> {
    select(&TEXTS[..]).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = f64> {
    select(&NUMBERS[..])
}

fn ordered<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Ordered<T>> {
    let value = value.boxed();
    prop_oneof![
        value.clone().prop_map(Ordered::Below),
        value.clone().prop_map(Ordered::AtMost),
        prop::collection::vec(value.clone(), 1..3).prop_map(Ordered::OneOf),
        (value.clone(), value).prop_map(|(low, high)| Ordered::Between(low, high)),
    ]
}

fn text_test() -> impl Strategy<Value = TextTest> {
    let pattern = || select(&PATTERNS[..]).prop_map(str::to_owned);
    prop_oneof![
        ordered(text()).prop_map(TextTest::Order),
        pattern().prop_map(TextTest::Like),
        pattern().prop_map(TextTest::Glob),
    ]
}

/// As the parser leaves it.
fn folded_test(field: TextField, test: TextTest) -> TextTest {
    match test {
        TextTest::Order(test) => TextTest::Order(mapped(test, |text| folded(field, &text))),
        TextTest::Like(pattern) => TextTest::Like(folded(field, &pattern)),
        TextTest::Glob(pattern) => TextTest::Glob(folded(field, &pattern)),
    }
}

fn mapped<T>(test: Ordered<T>, f: impl Fn(T) -> T) -> Ordered<T> {
    match test {
        Ordered::Below(bound) => Ordered::Below(f(bound)),
        Ordered::AtMost(bound) => Ordered::AtMost(f(bound)),
        Ordered::OneOf(values) => Ordered::OneOf(values.into_iter().map(f).collect()),
        Ordered::Between(low, high) => Ordered::Between(f(low), f(high)),
    }
}

fn test() -> impl Strategy<Value = Test> {
    use NumberField::{Height, Latitude, Longitude, Megapixels, Size, Width};
    use TextField::{Camera, Format, Name, Path, Tag};
    let numbers = select(vec![Width, Height, Megapixels, Size, Latitude, Longitude]);
    let dates = select(vec![DateField::Taken, DateField::Modified]);
    let date = select(&DATES[..]).prop_map(|date| Period::parse(date).unwrap());
    let words = select(vec!["dog", "Beach dog", "a", "ä狗"]).prop_map(str::to_owned);
    let roots =
        select(vec!["/a", "/a/", "/a/b.jpg", "/", "/a/t.tar", "/b"]).prop_map(str::to_owned);
    let keys = select(vec![vec!["n"], vec!["t"], vec!["o", "n"], vec!["o", "a\"b.'"], vec!["x"]]);
    let keys = keys.prop_map(|keys| keys.into_iter().map(str::to_owned).collect());
    let meta = prop_oneof![
        ordered(number()).prop_map(MetaTest::Number),
        text_test().prop_map(MetaTest::Text),
        any::<bool>().prop_map(MetaTest::Boolean),
    ];
    let pattern = || select(&PATTERNS[..]).prop_map(str::to_owned);
    let caption = prop_oneof![
        prop::collection::vec(words, 1..3).prop_map(CaptionTest::Words),
        pattern().prop_map(CaptionTest::Like),
        pattern().prop_map(CaptionTest::Glob),
    ];
    prop_oneof![
        (numbers, ordered(number())).prop_map(|(field, test)| match field {
            Size => Test::Number(field, mapped(test, |bytes| bytes.round() + 0.0)),
            Width | Height | Megapixels | Latitude | Longitude => Test::Number(field, test),
        }),
        (dates, ordered(date)).prop_map(|(field, test)| Test::Date(field, test)),
        (select(vec![Path, Name, Format, Camera, Tag]), text_test())
            .prop_map(|(field, test)| Test::Text(field, folded_test(field, test))),
        prop::collection::vec(roots, 1..3).prop_map(Test::Root),
        prop::sample::subsequence(Modality::ALL.to_vec(), 1..=2).prop_map(Test::Type),
        caption.prop_map(Test::Caption),
        (keys, meta).prop_map(|(keys, test)| Test::Meta(keys, test)),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let near = (
        select(&[0.0, 1.5, 89.9][..]),
        select(&[0.0, 2.25, -179.9][..]),
        select(&[0.0, 300.0, 21_000.0][..]),
    )
        .prop_map(|(latitude, longitude, km)| Node::Near(Near { latitude, longitude, km }));
    let leaf =
        (any::<bool>(), test()).prop_map(|(negated, test)| Node::Leaf(Leaf { negated, test }));
    let simple = prop_oneof![1 => Just(Node::HasGps), 1 => near, 8 => leaf];
    simple.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::Or),
            inner.prop_map(|inner| Node::Not(Box::new(inner))),
        ]
    })
}

/// Any condition.
pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    node().prop_map(|root| Condition { root })
}

/// An item with its tags and, for an image, captions. Ids and sources are the caller's to make unique.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) item: Item,
    pub(crate) tags: Vec<String>,
    pub(crate) captions: Vec<String>,
}

/// Any item; `number` must be another for each.
pub(crate) fn sample(number: i64) -> impl Strategy<Value = Sample> {
    let stored = select(vec!["dog", "beach", "a dog", "it's", "ä狗"]).prop_map(str::to_owned);
    let tags =
        prop::collection::btree_set(stored, 0..3).prop_map(|tags| tags.into_iter().collect());
    let captions =
        prop::collection::vec(text().prop_filter("empty", |text| !text.is_empty()), 0..3);
    let content = (0..6u8, 0..10u8);
    let rest = (source(number), prop::option::of(modified()), metadata(), tags, captions);
    (prop::option::of(facts()), text(), content, rest).prop_map(
        move |(facts, text, (content, luck), (source, modified_ns, metadata, tags, captions))| {
            let is_text = content == 5;
            let item = Item {
                id: ItemId(0),
                modality: if is_text { Modality::Text } else { Modality::Image },
                source,
                content_hash: Some(ContentHash([content; 32])),
                size_bytes: u64::from(luck) * 25,
                modified_ns,
                status: if luck == 0 { Status::Failed } else { Status::Ok },
                reason: None,
                facts: facts.filter(|_| !is_text),
                text: is_text.then_some(text),
                image: None,
                metadata,
            };
            let captions = if is_text { Vec::new() } else { captions };
            Sample { item, tags, captions }
        },
    )
}

fn source(number: i64) -> impl Strategy<Value = Source> {
    use std::os::unix::ffi::OsStringExt;
    let odd =
        std::ffi::OsString::from_vec(format!("/a/{number}caf_").bytes().chain([0xe9]).collect());
    select(vec![
        Source::File { path: format!("/a/{number}.jpg").into() },
        Source::File { path: format!("/a-{number}/dog's.JPG").into() },
        Source::File { path: odd.clone().into() },
        Source::TarMember { tar: "/a/t.tar".into(), member: format!("{number}/b.jpg").into() },
        Source::ManifestRow {
            manifest: "/b/captions.jsonl".into(),
            line: number.cast_unsigned(),
            caption: 0,
        },
        Source::Inline { name: format!("{number}/dog/") },
    ])
}

fn modified() -> impl Strategy<Value = i64> {
    let near = select(&DATES[..]).prop_map(|date| Period::parse(date).unwrap().start_ns());
    (near, -1..2i64).prop_map(|(at, off)| at + off)
}

fn facts() -> impl Strategy<Value = ImageFacts> {
    let taken = select(vec![
        "2023-12-31T23:59:59",
        "2024-01-01T00:00:00",
        "2024-05-31T18:02:11",
        "2024-05-31T18:02:12",
        "2024-06-01T00:00:00",
        "1970-01-01T00:00:00",
    ]);
    let camera = select(vec!["Canon", "canon", "It's", "dog"]);
    let size = (select(vec![1u32, 4, 4000]), select(vec![3u32, 3000]));
    let place = (
        prop::option::of(select(vec![0.0, 1.5, -1.5, 90.0])),
        prop::option::of(select(vec![0.0, 2.5, 180.0])),
    );
    (
        size,
        select(vec!["jpeg", "png", "dog"]),
        prop::option::of(taken),
        prop::option::of(camera),
        place,
    )
        .prop_map(|((width, height), format, taken, camera, (latitude, longitude))| {
            ImageFacts {
                width,
                height,
                format: format.into(),
                orientation: 1,
                taken_at: taken.map(str::to_owned),
                camera: camera.map(str::to_owned),
                latitude,
                longitude,
                color_profile: None,
            }
        })
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let texts: Vec<serde_json::Value> = TEXTS.iter().map(|&text| text.into()).collect();
    let numbers = NUMBERS.iter().map(|&number| number.into());
    let others = [true.into(), false.into(), serde_json::Value::Null, 4.into(), u64::MAX.into()];
    let value = || select([texts.clone(), numbers.clone().collect(), others.to_vec()].concat());
    let inner = (value(), value()).prop_map(|(n, odd)| serde_json::json!({"n": n, "a\"b.'": odd}));
    (value(), value(), prop_oneof![inner, value()])
        .prop_map(|(n, t, o)| [("n".into(), n), ("t".into(), t), ("o".into(), o)].into())
}
