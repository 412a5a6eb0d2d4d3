//! Questions and answers.

use std::ops::ControlFlow;

use image::{ImageFormat, Rgb};
use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{IndexOptions, Library, LibraryOptions};
use mmsearch::{
    Condition, Embedding, ErrorKind, Hit, ItemId, Metadata, Mode, Pixels, Query, Target, Term,
};

use crate::common::{BLUE, GREEN, Place, RED, encoded, jpeg, picture, png};
use crate::encoders::Counting;
use crate::{added, check, found, ids, index, writer};

#[test]
fn photos_are_found_by_text_by_image_and_by_each_other() {
    let place = Place::new();
    place.write("red.png", png(RED, 0));
    place.write("green.jpg", jpeg(GREEN, 0));
    place.write("deep/blue.png", png(BLUE, 0));
    let mut library = writer(&place);
    assert_eq!(index(&mut library, &[place.photos()]).images, added(3));
    assert_eq!(found(&mut library, &Query::text("something blue").k(1)), ["blue.png"]);
    assert_eq!(found(&mut library, &Query::text("green").k(1)), ["green.jpg"]);
    let red = picture(RED, 9);
    let red = Pixels::new(16, 16, red.into_raw()).unwrap();
    assert_eq!(found(&mut library, &Query::image(red).k(1)), ["red.png"]);
    assert_eq!(found(&mut library, &Query::text("red").k(100)).len(), 3);
    check(&library);
}

#[test]
fn equal_pictures_are_encoded_once_and_all_found() {
    let place = Place::new();
    for n in 0..40 {
        place.write(&format!("copy{n:02}.png"), png(RED, 0));
    }
    place.write("other.png", png(BLUE, 0));
    let mut library = writer(&place);
    let mut encoder = Counting::new();
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let options = IndexOptions::default();
    let report = library.index(&mut encoder, &[place.photos()], &options, &mut go_on).unwrap();
    assert_eq!((report.images, encoder.n_pictures.get()), (added(41), 2));
    let names = found(&mut library, &Query::text("red").k(41));
    assert_eq!(
        (names.len(), &*names[0], &*names[39], &*names[40]),
        (41, "copy00.png", "copy39.png", "other.png")
    );
    assert_eq!(found(&mut library, &Query::text("red").k(7)).len(), 7);
    check(&library);
}

#[test]
fn questions_without_an_answer_are_refused() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    let mut library = writer(&place);
    // An empty library has no model that could mismatch, and nothing to find.
    assert_eq!(found(&mut library, &Query::text("red")), [""; 0]);
    index(&mut library, &[place.photos()]);
    let mut kind =
        |query: Query| library.search(&mut FakeEncoder::default(), &query).unwrap_err().kind();
    assert_eq!(kind(Query::text("red").k(0)), ErrorKind::Usage);
    assert_eq!(kind(Query::text("red").k(10_001)), ErrorKind::Usage);
    assert_eq!(kind(Query::text(" \n")), ErrorKind::Usage);
    let short = Term::Embedding(Embedding::new(vec![1.0, 0.0]).unwrap());
    assert_eq!(kind(Query::new(short)), ErrorKind::Mismatch);
    assert_eq!(kind(Query { terms: vec![], ..Query::text("red") }), ErrorKind::Usage);
    let red = |weight| Query::text("green").and(Term::Text("red".into()), weight);
    for weight in [0.0, f32::NAN, f32::INFINITY, 1e38, -1e-9] {
        assert_eq!(kind(red(weight)), ErrorKind::Usage, "weight {weight}");
    }
    assert_eq!(kind(Query::new(Term::Item(ItemId(77)))), ErrorKind::Usage);
    assert_eq!(
        kind(Query { terms: vec![red(1.0).terms.remove(0); 65], ..red(1.0) }),
        ErrorKind::Usage
    );
    check(&library);
}

/// Two colours a picture, side by side.
fn striped(left: [u8; 3], right: [u8; 3], variant: u32) -> Vec<u8> {
    let mut picture = picture(left, variant);
    for (_, _, pixel) in picture.enumerate_pixels_mut().filter(|(x, _, _)| *x >= 8) {
        *pixel = Rgb(right);
    }
    encoded(&picture, ImageFormat::Png)
}

/// All pairs of three colours, and each alone; several of each.
fn coloured_library(place: &Place) -> Library {
    let colours = [("red", RED), ("green", GREEN), ("blue", BLUE)];
    for variant in 0..4 {
        for (i, (a, left)) in colours.into_iter().enumerate() {
            place.write(&format!("{a}{variant}.png"), png(left, variant));
            for (b, right) in colours.into_iter().skip(i + 1) {
                place.write(&format!("{a}-{b}{variant}.png"), striped(left, right, variant));
            }
        }
    }
    let mut library = writer(place);
    index(&mut library, &[place.photos()]);
    library
}

#[test]
fn several_terms_make_one_question() {
    let place = Place::new();
    let mut library = coloured_library(&place);
    let text = |text: &str| Term::Text(text.into());
    let all_begin_with = |names: Vec<String>, start: &str| {
        assert!(names.iter().all(|name| name.starts_with(start)), "{names:?} for {start}");
    };
    let both = meant("red").and(text("blue"), 1.0).k(4);
    all_begin_with(found(&mut library, &both), "red-blue");
    // A photo and a text count the same, although scores between photos lie elsewhere.
    let red = Pixels::new(16, 16, picture(RED, 9).into_raw()).unwrap();
    let with_photo = Query::image(red).and(text("blue"), 1.0).k(4);
    all_begin_with(found(&mut library, &with_photo), "red-blue");
    // Control: one of them alone finds what is of one colour only.
    let alone = found(&mut library, &meant("red").k(4));
    assert!(alone.iter().all(|name| name.starts_with("red") && !name.contains('-')), "{alone:?}");
}

#[test]
fn what_is_unwanted_does_not_come_first() {
    let place = Place::new();
    let mut library = coloured_library(&place);
    let unwanted = |query: Query, weight: f32| query.and(Term::Text("blue".into()), weight);
    let names = |library: &mut _, query: &Query| found(library, query);
    // Of twelve pictures with red in them, four have blue beside it.
    let with_red = names(&mut library, &meant("red").k(12));
    assert!(with_red.iter().any(|name| name.contains("blue")), "control");
    let without = names(&mut library, &unwanted(meant("red").k(8), -1.0));
    assert!(
        without.iter().all(|name| name.contains("red") && !name.contains("blue")),
        "{without:?}"
    );
    // Nothing is lost: who asks for all gets all, in the same order as who asks for few.
    let all = names(&mut library, &unwanted(meant("red").k(100), -1.0));
    assert_eq!((all.len(), &all[..8]), (24, &without[..]));
    // Only unwanted: the least like it comes first.
    let least = Query { terms: unwanted(meant(""), -1.0).terms.split_off(1), ..meant("").k(12) };
    let least = names(&mut library, &least);
    assert!(least.iter().all(|name| !name.contains("blue")), "{least:?}");
    let hits =
        library.search(&mut FakeEncoder::default(), &unwanted(meant("red").k(1), -1.0)).unwrap();
    assert!(
        hits[0].term_scores[0] > 0.9 && hits[0].term_scores[1] < 0.1,
        "{:?}",
        hits[0].term_scores
    );
}

/// With and without a graph, for what is in the snapshot and what is newer, for images and texts.
#[test]
fn a_filter_leaves_the_best_of_what_it_allows() {
    let place = Place::new();
    for n in 0..300 {
        place.write(&format!("{n:03}.png"), png([RED, GREEN, BLUE][n as usize % 3], n));
    }
    let options = LibraryOptions { graph_threshold: 100, ..LibraryOptions::default() };
    let mut library = Library::create_or_open(&place.library(), options).unwrap();
    index(&mut library, &[place.photos()]);
    for n in 0..9u8 {
        let metadata = Metadata::from([("n".into(), n.into())]);
        let (bytes, name) = (png([n * 20, 0, 0], 1_000), format!("tail{n}"));
        library.add_image(&mut FakeEncoder::default(), &name, &bytes, metadata.clone()).unwrap();
        library
            .add_text(
                &mut FakeEncoder::default(),
                &format!("text{n}"),
                &format!("red {n}"),
                metadata,
            )
            .unwrap();
    }
    for condition in [
        "name glob '*0.png'",
        "name glob '29*'",
        "meta.n < 5",
        "meta.n >= 0 or name = 003.png",
        "width > 1",
        "meta.n = 77",
    ] {
        let query = Query::text("red").to(Target::Any).filter(Condition::parse(condition).unwrap());
        let everything = Query { filter: None, ..query.clone() }.k(10_000);
        let mut all = library.search(&mut FakeEncoder::default(), &everything).unwrap();
        let allowed: std::collections::HashSet<ItemId> =
            ids(&mut library, &query.clone().k(10_000)).into_iter().collect();
        all.retain(|hit| allowed.contains(&hit.item.id));
        let scores = |hits: &[Hit]| hits.iter().map(|hit| hit.score).collect::<Vec<_>>();
        let hits = library.search(&mut FakeEncoder::default(), &query).unwrap();
        assert_eq!(scores(&hits), scores(&all[..all.len().min(10)]), "{condition}");
        let n_expected = match condition {
            "name glob '*0.png'" => 30,
            "name glob '29*'" => 10,
            "meta.n < 5" => 10,
            "meta.n >= 0 or name = 003.png" => 19,
            "width > 1" => 309,
            _ => 0,
        };
        assert_eq!(allowed.len(), n_expected, "{condition}");
    }
    check(&library);
}

/// The answer is the same as by scoring everything, however far down unwanted terms push what is near.
#[test]
fn unwanted_terms_are_honoured_beyond_the_first_candidates() {
    let place = Place::new();
    // Three hundred that are both, many more than are looked at first, as many that are neither, and one that is wanted
    // but less red than all that are both.
    for variant in 0..300 {
        place.write(&format!("both{variant}.png"), striped(RED, BLUE, variant));
        place.write(&format!("neither{variant}.png"), png(GREEN, variant));
    }
    let mut little = picture(GREEN, 0);
    little
        .enumerate_pixels_mut()
        .filter(|(x, ..)| *x < 6)
        .for_each(|(.., pixel)| *pixel = Rgb(RED));
    place.write("wanted.png", encoded(&little, ImageFormat::Png));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let query = Query::text("red").and(Term::Text("blue".into()), -3.0).k(1);
    assert_eq!(found(&mut library, &query), ["wanted.png"]);
    let red = found(&mut library, &Query::text("red").k(301));
    assert_eq!(red[300], "wanted.png", "control: it comes last of what is red");
}

#[test]
fn items_can_be_terms() {
    let place = Place::new();
    let mut library = coloured_library(&place);
    let id = |library: &mut Library, query: &Query| {
        library.search(&mut FakeEncoder::default(), query).unwrap()[0].item.id
    };
    let red = id(&mut library, &meant("red").k(1));
    let blue = id(&mut library, &meant("blue").k(1));
    let like = Query::new(Term::Item(red));
    let names = found(&mut library, &like.clone().k(3));
    assert!(names.iter().all(|name| name.starts_with("red") && !name.contains('-')), "{names:?}");
    let hits = library.search(&mut FakeEncoder::default(), &like.clone().k(100)).unwrap();
    assert!(hits.len() == 23 && hits.iter().all(|hit| hit.item.id != red), "not the item itself");
    let both = found(&mut library, &like.and(Term::Item(blue), 1.0).k(4));
    assert!(both.iter().all(|name| name.starts_with("red-blue")), "{both:?}");
    assert_eq!(found(&mut library, &Query::new(Term::Item(red)).to(Target::Text)), [""; 0]);
}

/// By meaning alone, because the names of the files say the colours too.
fn meant(text: &str) -> Query {
    Query::text(text).mode(Mode::Semantic)
}

/// Control: before a background is measured, nothing is taken off.
#[test]
fn without_texts_of_its_own_a_library_knows_where_texts_lie() {
    let place = Place::new();
    let mut library = writer(&place);
    for (n, color) in (0..).zip([RED, GREEN, BLUE, RED, GREEN]) {
        let (name, bytes) = (format!("{n}.png"), png(color, n));
        let encoder = &mut FakeEncoder::default();
        library.add_image(encoder, &name, &bytes, Metadata::new()).unwrap();
    }
    let red = Pixels::new(16, 16, picture(RED, 9).into_raw()).unwrap();
    let query = Query::image(red).and(Term::Text("green".into()), 1.0);
    let score = |library: &mut Library| {
        library.search(&mut FakeEncoder::default(), &query).unwrap()[0].score.unwrap()
    };
    let plain = score(&mut library);
    let mut go_on = |_: &_| ControlFlow::Continue(());
    library.refresh_snapshots_with(&mut FakeEncoder::default(), &mut go_on).unwrap();
    assert!((score(&mut library) - plain).abs() > 1e-3);
    check(&library);
}
