//! Pages of hits, their order, and hits that stand for images that are nearly the same.

use std::collections::BTreeSet;

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::Library;
use mmsearch::{Cursor, ErrorKind, ItemId, Mode, Query, Sort, Target, Term};

use crate::common::{BLUE, GREEN, Place, RED, picture, png};
use crate::{check, found, ids, index, writer};

/// Sixty photos, some of equal content, some with captions.
fn many() -> (Place, Library) {
    let place = Place::new();
    let mut captions = String::new();
    for n in 0..20 {
        place.write(&format!("red{n:02}.png"), png(RED, n));
        place.write(&format!("green{n:02}.png"), png(GREEN, n / 2));
        place.write(&format!("blue{n:02}.png"), png(BLUE, n));
        if n % 3 == 0 {
            captions += &format!(
                "{{\"image\": \"blue{n:02}.png\", \"caption\": \"red dog number {n}\"}}\n"
            );
        }
    }
    place.write("captions.jsonl", captions);
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    (place, library)
}

fn page(library: &mut Library, query: &Query) -> (Vec<ItemId>, Option<Cursor>) {
    let explained = library.explained(&mut FakeEncoder::default(), query).unwrap();
    (explained.hits.iter().map(|hit| hit.item.id).collect(), explained.next)
}

/// All pages, one after the other.
fn pages(library: &mut Library, query: &Query) -> Vec<ItemId> {
    let (mut all, mut next) = page(library, query);
    while let Some(cursor) = next {
        let cursor = cursor.to_string().parse().unwrap();
        let (more, behind) = page(library, &query.clone().after(cursor));
        all.extend(more);
        next = behind;
    }
    all
}

#[test]
fn pages_are_the_whole_in_parts() {
    let (_place, mut library) = many();
    for query in [
        Query::text("red dog"),
        Query::text("red dog").mode(Mode::Semantic),
        Query::text("red dog").mode(Mode::Keyword),
        Query::text("red").and(Term::Text("blue".into()), -1.0),
        Query::text("dog").to(Target::Any),
        Query { group_duplicates: true, ..Query::text("green") },
    ] {
        let whole = ids(&mut library, &query.clone().k(1000));
        assert!(whole.len() > 2 && whole.iter().collect::<BTreeSet<_>>().len() == whole.len());
        for k in [1, 7, 60] {
            assert_eq!(pages(&mut library, &query.clone().k(k)), whole, "{k} of {query:?}");
        }
    }
    check(&library);
}

#[test]
fn what_is_added_between_two_pages_repeats_nothing() {
    let (place, mut library) = many();
    let query = Query::text("red").mode(Mode::Semantic).k(10);
    let (first, next) = page(&mut library, &query);
    for n in 100..120 {
        place.write(&format!("new{n}.png"), png(RED, n));
    }
    index(&mut library, &[place.photos()]);
    let (second, _) = page(&mut library, &query.clone().after(next.unwrap()));
    assert_eq!(second.len(), 10);
    assert!(second.iter().all(|id| !first.contains(id)));
    check(&library);
}

#[test]
fn a_cursor_belongs_to_its_query() {
    let (_place, mut library) = many();
    let next = page(&mut library, &Query::text("red").k(3)).1.unwrap();
    for other in [
        Query::text("blue"),
        Query::text("red").to(Target::Any),
        Query::text("red").mode(Mode::Keyword),
        Query { group_duplicates: true, ..Query::text("red") },
    ] {
        let refused = library.explained(&mut FakeEncoder::default(), &other.after(next));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
    }
    let deep = Query::text("red").k(10_000).after(next);
    assert_eq!(
        library.search(&mut FakeEncoder::default(), &deep).unwrap_err().kind(),
        ErrorKind::Usage
    );
}

#[test]
fn the_best_ones_in_another_order() {
    let (_place, mut library) = many();
    let query = Query::text("green").mode(Mode::Semantic).k(5);
    let best: BTreeSet<String> = found(&mut library, &query).into_iter().collect();
    let by_path = found(&mut library, &Query { sort: Sort::Path, ..query.clone() });
    assert_eq!(by_path, best.iter().cloned().collect::<Vec<_>>());
    for (n, name) in by_path.iter().enumerate() {
        let file = std::fs::File::options().write(true).open(_place.photo(name)).unwrap();
        let time =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000 * n as u64);
        file.set_modified(time).unwrap();
    }
    index(&mut library, &[_place.photos()]);
    let by_date = found(&mut library, &Query { sort: Sort::Date, ..query });
    assert_eq!(by_date, by_path.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn nearly_the_same_images_are_one_hit() {
    let place = Place::new();
    // A picture with structure, the same a little brighter, a copy; and another of that colour.
    let wave = |bright: u8| {
        let mut wave = picture(RED, 0);
        wave.enumerate_pixels_mut().for_each(|(x, y, pixel)| {
            pixel.0[0] =
                190 + bright + (20.0 * (1.0 + (x as f32 / 3.0 + y as f32 / 5.0).sin())) as u8;
        });
        crate::common::encoded(&wave, image::ImageFormat::Png)
    };
    place.write("a.png", wave(0));
    place.write("b.png", wave(4));
    place.write("copy.png", wave(0));
    place.write("other.png", png(BLUE, 5));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let query = Query::text("red").mode(Mode::Semantic);
    assert_eq!(ids(&mut library, &query).len(), 4, "the control");
    let grouped = Query { group_duplicates: true, ..query };
    let hits = library.search(&mut FakeEncoder::default(), &grouped).unwrap();
    let of_hits: Vec<usize> = hits.iter().map(|hit| hit.duplicates.len()).collect();
    assert_eq!(of_hits, [2, 0]);
    check(&library);
}
