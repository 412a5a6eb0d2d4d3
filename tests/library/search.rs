//! Questions and answers.

use std::ops::ControlFlow;

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::IndexOptions;
use mmsearch::{Embedding, ErrorKind, Pixels, Query, Term};

use crate::common::{BLUE, GREEN, Place, RED, jpeg, picture, png};
use crate::encoders::Counting;
use crate::{added, check, found, index, writer};

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
    assert_eq!(kind(Query { term: short, ..Query::text("") }), ErrorKind::Mismatch);
    check(&library);
}
