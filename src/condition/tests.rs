//! The language: what is read, what is written, and what is said of mistakes.

use proptest::prelude::*;

use super::samples;
use super::*;
use crate::item::{Item, ItemId, Metadata, Modality, Source, Status};

fn read(text: &str) -> Condition {
    Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn conditions_are_written_as_they_are_read() {
    for (text, written) in [
        ("tag=dog", "tag = 'dog'"),
        ("TAG == \"Dog \"", "tag = 'dog'"),
        ("width>300 AND height<=200 or has_gps", "width > 300 and height <= 200 or has_gps"),
        (
            "(width > 300 or has_gps) and not (tag = a)",
            "(width > 300 or has_gps) and not tag = 'a'",
        ),
        ("not not (has_gps and has_gps)", "not not (has_gps and has_gps)"),
        ("has_gps=false", "not has_gps"),
        ("has_gps != false", "has_gps"),
        ("name = 'it''s'", "name = 'it''s'"),
        ("name = \"say \"\"hi\"\"\"", "name = 'say \"hi\"'"),
        ("size not between 300KB and 1.5MiB", "size not between 300000 and 1572864"),
        ("taken between 2023 and 2024-05-31T18:02", "taken between 2023 and 2024-05-31T18:02"),
        ("modified <> 2024", "modified != 2024"),
        ("tag not in (dog,cat , 'b c')", "tag not in ('dog', 'cat', 'b c')"),
        ("tag in (dog)", "tag = 'dog'"),
        ("path glob *.jpg", "path glob '*.jpg'"),
        ("camera NOT LIKE canon%", "camera not like 'canon%'"),
        ("format = JPG", "format = 'jpeg'"),
        ("type in (image, TEXT)", "type in (image, text)"),
        ("near(48.1,-11.6,25)", "near(48.1, -11.6, 25)"),
        ("root = /home/me", "root = '/home/me'"),
        ("caption = 'beach dog'", "caption = 'beach dog'"),
        ("meta.rating>=4", "meta.rating >= 4"),
        ("META.Author.\"first name\".'x' = Ann", "meta.Author.\"first name\".x = 'Ann'"),
        ("meta.a = '5'", "meta.a = '5'"),
        ("meta.done != TRUE", "meta.done != true"),
        ("meta.made >= 2024-05", "meta.made >= '2024-05'"),
        ("caption = meta.x", "caption = 'meta.x'"),
    ] {
        let condition = read(text);
        assert_eq!(condition.to_string(), written, "{text}");
        assert_eq!(read(written), condition, "{text}");
    }
}

#[test]
fn the_examples_of_the_documentation_are_conditions() {
    let page = include_str!("../../docs/conditions.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let n =
        rows.map(|(example, _)| read(example)).filter(|it| read(&it.to_string()) == *it).count();
    assert!(n >= 16, "{n} examples");
}

#[test]
fn mistakes_are_named_with_their_column() {
    for (text, column, reason) in [
        ("", 1, "expected a field, found the end"),
        ("widht > 3", 1, "unknown field `widht`; did you mean `width`? the fields are path, "),
        ("has_gps and colour = red", 13, "unknown field `colour`; the fields are path, "),
        ("width > wide", 9, "expected a number, found 'wide'"),
        ("width height", 7, "expected a comparison"),
        ("width > height", 9, "expected a number, found 'height'"),
        ("taken = may", 9, "expected a date, such as 2024-05"),
        ("taken = 2023-02-29", 9, "expected a date"),
        ("size > 5XB", 8, "expected a number of bytes, such as 5MB"),
        ("tag = ", 7, "expected a value, found the end"),
        ("tag = and", 7, "found `and`; quote it"),
        ("tag = 'dog", 7, "expected a closing '"),
        ("ä = 'dog", 5, "expected a closing '"),
        ("tag in dog", 8, "expected `(`"),
        ("tag in (dog cat)", 13, "expected `,` or `)`, found `cat`"),
        ("tag in ()", 9, "expected a value, found `)`"),
        ("tag not = dog", 9, "expected `in`, `between`, `like` or `glob`, found `=`"),
        ("(has_gps", 9, "expected `and`, `or` or `)`, found the end"),
        ("has_gps)", 8, "expected `and`, `or` or the end, found `)`"),
        ("has_gps or", 11, "expected a field"),
        ("has_gps = maybe", 11, "expected `true` or `false`"),
        ("width ! 3", 7, "expected `!=` or `not`"),
        ("width between 3 or 4", 17, "expected `and`, found `or`"),
        ("width like 'x%'", 12, "`width` is no text"),
        ("type = video", 8, "expected `image` or `text`"),
        ("type < image", 8, "`type` can be compared by = != in only"),
        ("root like '/a%'", 11, "`root` is no text"),
        ("root = ''", 8, "expected a path"),
        ("caption < dog", 11, "`caption` can be compared by = != in like glob only"),
        ("caption = '--'", 11, "expected a word"),
        ("near(91, 0, 1)", 6, "expected a latitude from -90 to 90"),
        ("near(1, 0, -1)", 12, "expected a distance in km"),
        ("meta. = 3", 5, "expected a key"),
        ("meta.a in (1, b)", 15, "expected a number, as before it"),
        ("meta.a in (b, 1)", 15, "expected a text; quote it"),
        ("meta.a in (1, '2')", 15, "expected a number, as before it"),
        ("tag = 'a\0b'", 9, "NUL"),
    ] {
        let error = Condition::parse(text).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Usage);
        let message = error.to_string();
        assert!(message.starts_with(&format!("condition, column {column}: ")), "{text}: {message}");
        assert!(message.contains(reason) && message.lines().count() == 1, "{text}: {message}");
    }
}

#[test]
fn depth_and_length_have_a_limit() {
    let nested = |n: usize| format!("{}has_gps{}", "(".repeat(n), ")".repeat(n));
    assert!(Condition::parse(&nested(100)).is_ok());
    assert!(Condition::parse(&nested(101)).unwrap_err().to_string().contains("more deeply"));
    for text in
        ["(".repeat(10_000), "not ".repeat(2_500), format!("{}has_gps", "not(".repeat(2_000))]
    {
        assert!(Condition::parse(&text).is_err());
    }
    let hundred = format!("{}has_gps", "not ".repeat(100));
    assert_eq!(read(&read(&hundred).to_string()), read(&hundred));
    assert!(Condition::parse(&format!("{}has_gps = false", "not ".repeat(100))).is_err());
    assert!(Condition::parse(&format!("tag = '{}'", "x".repeat(9_990))).is_ok());
    let long = format!("tag = '{}'", "x".repeat(10_000));
    assert!(Condition::parse(&long).unwrap_err().to_string().contains("at most 10000 bytes"));
}

#[test]
fn roots_can_be_replaced() {
    let condition = read("root in (a, /b) or not (root != c and has_gps)");
    let replaced = condition.map_roots(&mut |root| Ok(format!("/x/{root}"))).unwrap();
    let expected = "root in ('/x/a', '/x//b') or not (root != '/x/c' and has_gps)";
    assert_eq!(replaced.to_string(), expected);
}

#[test]
fn what_is_missing_satisfies_nothing() {
    let item = Item {
        id: ItemId(1),
        modality: Modality::Text,
        source: Source::Inline { name: "note".into() },
        content_hash: None,
        size_bytes: 5,
        modified_ns: None,
        status: Status::Ok,
        reason: None,
        facts: None,
        text: Some("Dogs on a Beach".into()),
        image: None,
        metadata: Metadata::from([("n".into(), 3.into()), ("t".into(), "3".into())]),
    };
    let facts = Facts { item: &item, tags: &[], captions: &[] };
    let matches = |text: &str| read(text).matches(facts);
    for text in [
        "camera = x",
        "camera != x",
        "camera not in (x)",
        "camera not like x",
        "width < 3",
        "width >= 3",
        "width not between 1 and 2",
        "tag = x",
        "tag != x",
        "taken != 2024",
        "modified < 2024",
        "has_gps",
        "near(0, 0, 30000)",
        "root != /a",
        "meta.x != 1",
        "meta.n != x",
        "meta.t = 3",
        "meta.t != 3",
        "meta.n.n = 3",
        "caption = dog",
        "caption != 'dogs beach'",
    ] {
        assert!(!matches(text), "{text}");
        assert!(matches(&format!("not {text}")), "{text}");
    }
    for text in [
        "caption = 'beach dogs'",
        "caption != cat",
        "caption like '%ON A%'",
        "caption glob 'Dogs*'",
        "type = text",
        "type != image",
        "size = 5",
        "size < 1KB",
        "name = note",
        "path glob n*",
        "meta.n = 3",
        "meta.n > 2.5",
        "meta.t = '3'",
        "meta.t >= '2'",
        "type = text and (has_gps or size = 5)",
    ] {
        assert!(matches(text), "{text}");
    }
}

#[test]
fn distances_are_those_of_the_globe() {
    // Berlin to Munich, by the great circle; and two points on either side of the date line.
    assert!((distance_km((52.52, 13.405), (48.137, 11.575)) - 504.0).abs() < 1.0);
    assert!((distance_km((0.0, 179.5), (0.0, -179.5)) - 111.2).abs() < 0.1);
    assert_eq!(distance_km((10.0, 20.0), (10.0, 20.0)), 0.0);
    assert!((distance_km((-90.0, 0.0), (90.0, 0.0)) - 20_015.1).abs() < 0.1);
    assert!(latitudes_of(111.195_1) > 1.0);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(condition in samples::condition()) {
        let text = condition.to_string();
        if text.len() <= MAX_CONDITION_BYTES {
            prop_assert_eq!(Condition::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?, condition);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Condition::parse(&text);
        let _ = Condition::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_mixture_of_its_own_words_makes_it_panic(words in prop::collection::vec(prop::sample::select(vec![
        "and", "or", "not", "(", ")", "in", "between", "like", "glob", "=", "!=", "<", ">=", ",", "'", "\"", "meta.",
        "meta.a", ".", "tag", "width", "taken", "has_gps", "near", "root", "type", "5", "2024-05", "5MB", "x", "\0", "ä",
        "true", "caption", "!", "''",
    ]), 0..40), spaced in any::<bool>()) {
        let text = words.join(if spaced { " " } else { "" });
        if let Ok(condition) = Condition::parse(&text) {
            prop_assert_eq!(Condition::parse(&condition.to_string()).unwrap(), condition);
        }
    }
}
