//! Models, writers, readers and what an app adds or takes out.

use std::fs;
use std::ops::ControlFlow;

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{IndexOptions, Library, LibraryOptions, Selector};
use mmsearch::{Error, ErrorKind, Metadata, Pixels, Query, Target};

use crate::common::{BLUE, GREEN, Place, RED, picture, png};
use crate::encoders::{Broken, Lying, Picky};
use crate::{added, check, found, ids, index, try_index, writer};

#[test]
fn forgetting_leaves_no_trace() {
    let place = Place::new();
    place.write("secret-name.png", png(RED, 5));
    place.write("deep/a.png", png(GREEN, 0));
    place.write("deep/b.png", png(GREEN, 1));
    place.write("last.png", png(BLUE, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let hit = &library.search(&mut FakeEncoder::default(), &Query::text("red").k(1)).unwrap()[0];
    let (id, hash) = (hit.item.id, hit.item.content_hash.unwrap());
    let everywhere = |needle: &[u8]| {
        let files = place.library_files("");
        files
            .iter()
            .any(|file| fs::read(file).unwrap().windows(needle.len()).any(|at| at == needle))
    };
    let square = FakeEncoder::default()
        .preprocess()
        .apply(&Pixels::new(16, 16, picture(RED, 5).into_raw()).unwrap())
        .unwrap();
    let embedding = &FakeEncoder::default().encode_images(&[square]).unwrap()[0];
    let vector: Vec<u8> =
        embedding.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect();
    let traces = [b"secret-name".to_vec(), hash.0.to_vec(), vector];
    assert!(traces.iter().all(|trace| everywhere(trace)), "control");

    assert_eq!(library.forget(&[Selector::Id(id)]).unwrap().n_images, 1);
    assert!(!traces.iter().any(|trace| everywhere(trace)));
    assert_eq!(library.forget(&[Selector::Path(place.photo("deep"))]).unwrap().n_images, 2);
    assert_eq!(found(&mut library, &Query::text("red").k(9)), ["last.png"]);
    let error = library.forget(&[Selector::Id(id)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // An id is never given again.
    let report = index(&mut library, &[place.photos()]);
    assert_eq!(report.images.added, 3);
    assert!(ids(&mut library, &Query::text("red").k(1))[0] > id);
    check(&library);
}

#[test]
fn another_model_is_refused() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let mut other = FakeEncoder::new("other");
    let error = library.search(&mut other, &Query::text("red")).unwrap_err();
    assert!(matches!(error, Error::ModelMismatch { .. }), "{error}");
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let options = IndexOptions::default();
    let error = library.index(&mut other, &[place.photos()], &options, &mut go_on).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    check(&library);
}

#[test]
fn one_writer_and_any_number_of_readers() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let error = Library::create_or_open(&place.library(), LibraryOptions::default()).err().unwrap();
    assert!(matches!(error, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    let mut reader = Library::open(&place.library()).unwrap();
    assert_eq!(found(&mut reader, &Query::text("red")), ["a.png"]);
    assert_eq!(try_index(&mut reader, &[place.photos()]).unwrap_err().kind(), ErrorKind::Usage);
    // A reader sees what is committed after it was opened.
    place.write("b.png", png(BLUE, 0));
    index(&mut library, &[place.photos()]);
    assert_eq!(found(&mut reader, &Query::text("blue").k(1)), ["b.png"]);
    drop(library);
    check(&writer(&place));
}

#[test]
fn pictures_and_texts_of_an_app() {
    let place = Place::new();
    let mut library = writer(&place);
    let mut encoder = FakeEncoder::default();
    let metadata = Metadata::from([("rating".into(), 5.into())]);
    let red = library.add_image(&mut encoder, "one", &png(RED, 0), metadata.clone()).unwrap();
    library.add_image(&mut encoder, "two", &png(BLUE, 0), Metadata::new()).unwrap();
    library.add_text(&mut encoder, "note", "a red note", Metadata::new()).unwrap();
    let hits = library.search(&mut encoder, &Query::text("red").to(Target::Any).k(2)).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.item.text.is_some()).collect::<Vec<_>>(), [false, true]);
    assert_eq!((hits[0].item.id, &hits[0].item.metadata), (red, &metadata));
    // The same name again replaces.
    let again = library.add_image(&mut encoder, "one", &png(GREEN, 0), metadata).unwrap();
    assert_eq!(again, red);
    assert_eq!(found(&mut library, &Query::text("green").k(9)), ["one", "two"]);
    let error = library.add_image(&mut encoder, "bad", b"rubbish", Metadata::new()).unwrap_err();
    assert!(matches!(error, Error::BadImage { .. }), "{error}");
    assert!(library.take_warnings().is_empty(), "no snapshot is missed");
    check(&library);
}

#[test]
fn a_picture_that_the_encoder_refuses_costs_only_itself() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("b.png", png(GREEN, 0));
    place.write("c.png", png(GREEN, 0));
    let mut library = writer(&place);
    let (options, mut go_on) = (IndexOptions::default(), |_: &_| ControlFlow::Continue(()));
    let mut picky = Picky(FakeEncoder::default());
    let report = library.index(&mut picky, &[place.photos()], &options, &mut go_on).unwrap();
    assert_eq!((report.images, report.skipped.n_total), (added(1), 2));
    assert!(report.skipped.listed[0].reason.contains("I do not like green"));
    check(&library);
}

#[test]
fn pictures_that_are_all_refused_do_not_end_the_run() {
    let place = Place::new();
    for n in 0..3 {
        place.write(&format!("{n}.png"), png(GREEN, n));
    }
    let mut library = writer(&place);
    let (options, mut go_on) = (IndexOptions::default(), |_: &_| ControlFlow::Continue(()));
    let mut picky = Picky(FakeEncoder::default());
    let report = library.index(&mut picky, &[place.photos()], &options, &mut go_on).unwrap();
    assert_eq!((report.images, report.skipped.n_total), (added(0), 3));
    check(&library);
}

/// The control: an encoder that takes nothing at all says nothing about the pictures, which are tried again.
#[test]
fn a_broken_encoder_ends_the_run_and_marks_no_picture() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    let mut library = writer(&place);
    let (options, mut go_on) = (IndexOptions::default(), |_: &_| ControlFlow::Continue(()));
    let error =
        library.index(&mut Broken(FakeEncoder::default()), &[place.photos()], &options, &mut go_on);
    assert!(error.unwrap_err().to_string().contains("the card is gone"));
    assert_eq!(index(&mut library, &[place.photos()]).images, added(1));
    check(&library);
}

#[test]
fn vectors_of_a_wrong_dimension_are_never_stored() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    let mut library = writer(&place);
    let (options, mut go_on) = (IndexOptions::default(), |_: &_| ControlFlow::Continue(()));
    let mut lying = Lying(FakeEncoder::default());
    let error = library.index(&mut lying, &[place.photos()], &options, &mut go_on).unwrap_err();
    assert!(matches!(error, Error::Dimension { expected: 16, found: 2 }), "{error}");
    assert_eq!(index(&mut library, &[place.photos()]).images, added(1));
    check(&library);
}
