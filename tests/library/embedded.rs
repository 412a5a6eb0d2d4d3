//! Images that come with their embeddings, and what is told of a search and of its speed.

use std::ops::ControlFlow;
use std::time::Duration;

use mmsearch::encoder::{Encoder, FakeEncoder, Fingerprint, Space};
use mmsearch::index::Plan;
use mmsearch::library::{EmbeddedImage, Library, LibraryOptions, Selector, Tally};
use mmsearch::{Embedding, Error, Metadata, Modality, Query, Source, Term};

use crate::common::{BLUE, GREEN, Place, RED, png};
use crate::{check, index, writer};

const DIM: usize = 16;

fn space() -> Space {
    Space { fingerprint: Fingerprint("own".into()), model: "own".into(), dim: DIM }
}

/// A point on a circle through two of the dimensions, with a little of the others.
fn embedding(number: usize) -> Embedding {
    let angle = number as f32 * 0.01;
    let rest = (2..DIM).map(|d| 0.3 * ((number * d) as f32).sin());
    Embedding::normalized([angle.cos(), angle.sin()].into_iter().chain(rest).collect()).unwrap()
}

fn images(numbers: std::ops::Range<usize>) -> impl Iterator<Item = EmbeddedImage> {
    numbers.map(|number| EmbeddedImage {
        name: format!("{number}"),
        embedding: embedding(number),
        metadata: Metadata::from([("number".into(), number.into())]),
    })
}

fn query(number: usize) -> Query {
    Query::new(Term::Embedding(embedding(number)))
}

#[test]
fn embedded_images_are_found_before_and_after_a_graph_is_built() {
    let place = Place::new();
    let options = LibraryOptions { graph_threshold: 500, ..LibraryOptions::default() };
    let mut library = Library::create_or_open(&place.library(), options).unwrap();
    let tally = library.add_embedded_images(&space(), images(0..600)).unwrap();
    assert_eq!(tally, Tally { added: 600, ..Tally::default() });
    let mut encoder = FakeEncoder::default();
    let mut nearest = |library: &mut Library, number| {
        let explained = library.explained(&mut encoder, &query(number)).unwrap();
        let hit = &explained.hits[0];
        assert_eq!(hit.item.metadata["number"], number);
        assert_eq!(hit.item.source, Source::Inline { name: number.to_string() });
        assert!(hit.score.unwrap() > 0.9999 && explained.hits.len() == 10);
        explained.steps
    };
    let steps = nearest(&mut library, 77);
    assert_eq!((steps[0].plan, steps[0].n_rows, steps.len()), (None, 600, 1));
    library.refresh_snapshots(&mut |_| ControlFlow::Continue(())).unwrap();
    let step = nearest(&mut library, 77).remove(0);
    assert_eq!((step.modality, step.n_in_snapshot, step.n_rows), (Modality::Image, 600, 0));
    assert!(matches!(step.plan, Some(Plan::Graph { .. } | Plan::Scan)), "{step:?}");
    let tuning = library.status().unwrap().snapshots[0].tuning.clone().unwrap();
    assert!(tuning.own.n_queries > 100 && tuning.foreign.n_queries == 0);

    // What is added now is compared row by row, what has the same name is replaced.
    let tally = library.add_embedded_images(&space(), images(599..610)).unwrap();
    assert_eq!((tally.added, tally.unchanged), (10, 1));
    assert_eq!(nearest(&mut library, 605)[0].n_rows, 10);
    check(&library);
}

#[test]
fn foreign_embeddings_are_refused_and_what_was_added_stays() {
    let place = Place::new();
    let mut library = writer(&place);
    let odd = EmbeddedImage {
        name: "odd".into(),
        embedding: Embedding::normalized(vec![1.0; DIM + 1]).unwrap(),
        metadata: Metadata::new(),
    };
    let refused = library.add_embedded_images(&space(), images(0..300).chain([odd]));
    assert!(matches!(refused, Err(Error::Dimension { expected: DIM, found: 17 })), "{refused:?}");
    assert_eq!(library.status().unwrap().items[0].n_items, 256, "two whole batches");
    let other = Space { fingerprint: Fingerprint("other".into()), ..space() };
    let refused = library.add_embedded_images(&other, images(0..1));
    assert!(matches!(refused, Err(Error::ModelMismatch { .. })), "{refused:?}");
    let mut reader = Library::open(&place.library()).unwrap();
    assert!(reader.add_embedded_images(&space(), images(0..1)).is_err());
    check(&library);
}

/// Inserts, deletions, replacements and copies in turn: the graph answers as the exact scan does all the while.
#[test]
fn storms_of_changes_leave_the_answers_right() {
    let place = Place::new();
    let options = LibraryOptions { graph_threshold: 300, ..LibraryOptions::default() };
    let mut library = Library::create_or_open(&place.library(), options).unwrap();
    let mut encoder = FakeEncoder::default();
    let (mut n_same, mut n_wanted) = (0, 0);
    for round in 0..6 {
        let start = round * 150;
        library.add_embedded_images(&space(), images(start..start + 400)).unwrap();
        // Copies under other names: one node of the index, two items.
        let copies = images(start..start + 40)
            .map(|image| EmbeddedImage { name: format!("copy {}", image.name), ..image });
        library.add_embedded_images(&space(), copies).unwrap();
        if round % 2 == 0 {
            library.refresh_snapshots(&mut |_| ControlFlow::Continue(())).unwrap();
        }
        for number in (start..start + 30).step_by(3) {
            let hits = library.search(&mut encoder, &query(number)).unwrap();
            let gone: Vec<Selector> =
                hits[..2].iter().map(|hit| Selector::Id(hit.item.id)).collect();
            library.forget(&gone).unwrap();
            let hits = library.search(&mut encoder, &query(number)).unwrap();
            assert!(!hits.iter().any(|hit| gone.contains(&Selector::Id(hit.item.id))));
            let exact = Query { exact: true, ..query(number) };
            let exact: Vec<_> = library.search(&mut encoder, &exact).unwrap();
            let ids: Vec<_> = exact.iter().map(|hit| hit.item.id).collect();
            assert_eq!((hits.len(), ids.len()), (10, 10));
            n_same += hits.iter().filter(|hit| ids.contains(&hit.item.id)).count();
            n_wanted += ids.len();
        }
    }
    assert!(n_same * 100 >= n_wanted * 97, "{n_same} of {n_wanted}");
    check(&library);
}

#[test]
fn a_benchmark_measures_and_changes_nothing() {
    let place = Place::new();
    for n in 0..30 {
        place.write(&format!("{n:02}.png"), png([RED, GREEN, BLUE][n as usize % 3], n));
    }
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    std::fs::remove_file(place.photo("07.png")).unwrap();
    let before = library.status().unwrap().generation;
    let mut encoder = FakeEncoder::default();
    let mut go_on = || ControlFlow::Continue(());
    let measured = library.benchmark(&mut encoder, Duration::from_secs(2), &mut go_on).unwrap();
    assert_eq!((measured.decode.n, measured.images.n), (29, 29), "one is gone");
    assert!(measured.texts.n >= 32 && measured.queries.n == measured.exact.n);
    assert_eq!((measured.n_wanted, measured.n_found), (10 * measured.queries.n, measured.n_wanted));
    assert!(measured.queries.per_second() > 0.0);
    assert_eq!(library.status().unwrap().generation, before);
    let stopped =
        library.benchmark(&mut encoder, Duration::from_secs(2), &mut || ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let mut other = FakeEncoder::new("other");
    assert_ne!(other.space().fingerprint, encoder.space().fingerprint, "control");
    let refused = library.benchmark(&mut other, Duration::from_secs(2), &mut go_on);
    assert!(matches!(refused, Err(Error::ModelMismatch { .. })));
    check(&library);
}
