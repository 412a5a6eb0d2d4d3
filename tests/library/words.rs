//! Words beside meaning: what they find, how they are fused, and that they follow the items.

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{Library, Selector};
use mmsearch::{Condition, ErrorKind, Hit, ItemId, Mode, Query, Tag, Target, Term};

use crate::common::{BLUE, GREEN, Place, RED, YELLOW, png};
use crate::{check, found, index, writer};

/// Four photos, two of which have captions.
fn described() -> (Place, Library) {
    let place = Place::new();
    place.write("one.png", png(RED, 0));
    place.write("two.png", png(GREEN, 0));
    place.write("holiday/three.png", png(BLUE, 0));
    place.write("four.png", png(YELLOW, 0));
    place.write(
        "captions.jsonl",
        "{\"image\": \"one.png\", \"caption\": \"a dog runs\"}\n\
         {\"image\": \"two.png\", \"caption\": \"two dogs and a café\"}\n",
    );
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    (place, library)
}

fn by_words(library: &mut Library, text: &str) -> Vec<String> {
    found(library, &Query::text(text).mode(Mode::Keyword))
}

#[test]
fn words_find_captions_names_and_tags_without_an_encoder() {
    let (_place, mut library) = described();
    let query = Query::text("cafe").mode(Mode::Keyword);
    let hits = library.explained_without_encoder(&query).unwrap().hits;
    assert_eq!((hits.len(), hits[0].score), (1, None));
    assert!(hits[0].keyword.is_some_and(|words| (words.rank, words.coverage) == (1, 1.0)));
    // Another form of the word, the name of a file, that of a folder.
    assert_eq!(by_words(&mut library, "running"), ["one.png"]);
    assert_eq!(by_words(&mut library, "FOUR"), ["four.png"]);
    assert_eq!(by_words(&mut library, "holiday"), ["three.png"]);
    assert!(by_words(&mut library, "elephant").is_empty());
    let texts = Query::text("dogs").mode(Mode::Keyword).to(Target::Text);
    assert_eq!(found(&mut library, &texts).len(), 2);
    // Common words follow rare ones, and absent ones take nothing away. An accent may be a character of its own.
    assert_eq!(by_words(&mut library, "png elephant").len(), 4);
    let dogs_first = by_words(&mut library, "png dogs");
    assert!(dogs_first.len() == 4 && dogs_first[..2].contains(&"one.png".into()), "{dogs_first:?}");
    assert_eq!(by_words(&mut library, "cafe\u{301}"), ["two.png"]);
    // More of what was asked for comes first.
    assert_eq!(by_words(&mut library, "a dog in a café"), ["two.png", "one.png"]);

    let three = library.select(&Selector::Path(_place.photo("holiday"))).unwrap();
    library.tag(&three, &[Tag::new("sea lion").unwrap()], &[]).unwrap();
    assert_eq!(by_words(&mut library, "lion"), ["three.png"]);
    library.tag(&three, &[], &[Tag::new("sea lion").unwrap()]).unwrap();
    assert!(by_words(&mut library, "lion").is_empty());
    check(&library);
}

#[test]
fn words_follow_the_items() {
    let (place, mut library) = described();
    assert_eq!(by_words(&mut library, "runs"), ["one.png"]);
    place.write("captions.jsonl", "{\"image\": \"one.png\", \"caption\": \"a cat sleeps\"}\n");
    std::fs::rename(place.photo("four.png"), place.photo("five.png")).unwrap();
    index(&mut library, &[place.photos()]);
    assert_eq!(by_words(&mut library, "cat"), ["one.png"]);
    assert_eq!(by_words(&mut library, "five"), ["five.png"]);
    for gone in ["runs", "four", "dogs"] {
        assert!(by_words(&mut library, gone).is_empty(), "{gone}");
    }
    library.forget(&[Selector::Path(place.photo("one.png"))]).unwrap();
    assert!(by_words(&mut library, "cat").is_empty());
    check(&library);
}

#[test]
fn what_has_the_words_comes_first_and_the_rest_stays_in_order() {
    let (_place, mut library) = described();
    let order =
        |library: &mut Library, text: &str, mode| found(library, &Query::text(text).mode(mode));
    let semantic = order(&mut library, "blue holiday", Mode::Semantic);
    assert_eq!(semantic[0], "three.png");
    // No word of it is anywhere: both are the same.
    let plain = order(&mut library, "yellow", Mode::Semantic);
    assert_eq!(order(&mut library, "yellow", Mode::Hybrid), plain);
    // The word is on the photo that is like the text the least.
    let red = order(&mut library, "red", Mode::Semantic);
    let last = red.last().unwrap().clone();
    let word = last.trim_end_matches(".png");
    let fused = order(&mut library, &format!("red {word}"), Mode::Hybrid);
    assert!(fused.iter().position(|name| *name == last).unwrap() < 3, "{fused:?}");
    let hits = hits(&mut library, &Query::text("dog"));
    assert!(hits.iter().all(|hit| hit.score.is_some() && hit.semantic_rank.is_some()));
    assert_eq!(hits.iter().filter(|hit| hit.keyword.is_some()).count(), 2);
    check(&library);
}

#[test]
fn operators_of_the_index_are_words() {
    let (_place, mut library) = described();
    for text in [
        "\"dog",
        "dog*",
        "body:dog",
        "NEAR(dog runs)",
        "dog NOT runs",
        "^dog",
        "dog) OR (x",
        "'; --",
    ] {
        for mode in [Mode::Keyword, Mode::Hybrid] {
            let query = Query::text(text).mode(mode);
            let found = library.search(&mut FakeEncoder::default(), &query);
            assert!(found.is_ok(), "{text}: {found:?}");
        }
    }
    assert_eq!(by_words(&mut library, "\"runs"), ["one.png"]);
    check(&library);
}

#[test]
fn conditions_hold_and_other_terms_are_refused() {
    let (_place, mut library) = described();
    let query = Query::text("dog").mode(Mode::Keyword);
    let only = query.clone().filter(Condition::parse("name = two.png").unwrap());
    assert_eq!(found(&mut library, &only), ["two.png"]);
    let without = query.clone().and(Term::Text("a café".into()), -1.0);
    assert_eq!(found(&mut library, &without), ["one.png"]);
    for refused in [
        Query::new(Term::Item(ItemId(1))).mode(Mode::Keyword),
        query.clone().and(Term::Item(ItemId(1)), 1.0),
    ] {
        let error = library.explained_without_encoder(&refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    let error = library.explained_without_encoder(&Query::text("dog")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
}

fn hits(library: &mut Library, query: &Query) -> Vec<Hit> {
    library.search(&mut FakeEncoder::default(), query).unwrap()
}

/// Control: the same cursor goes on while the words are there.
#[test]
fn a_page_of_ranks_does_not_go_on_as_one_of_scores() {
    let (place, mut library) = described();
    let page = |library: &mut Library, after| {
        let query = Query { after, ..Query::text("dog").k(1) };
        library.explained(&mut FakeEncoder::default(), &query)
    };
    let next = page(&mut library, None).unwrap().next;
    assert_eq!(page(&mut library, next).unwrap().hits.len(), 1);
    place.write("captions.jsonl", "{\"image\": \"one.png\", \"caption\": \"a cat\"}\n");
    index(&mut library, &[place.photos()]);
    let error = page(&mut library, next).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("ask from the first page"), "{error}");
    check(&library);
}

#[test]
fn after_forgetting_something_hits_have_a_probability_still() {
    let (place, mut library) = described();
    library.forget(&[Selector::Path(place.photo("four.png"))]).unwrap();
    let hits = hits(&mut library, &Query::text("red"));
    assert!(hits.len() == 3 && hits.iter().all(|hit| hit.probability.is_some()));
    check(&library);
}
