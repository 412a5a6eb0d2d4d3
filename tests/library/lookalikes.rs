//! Neighbours of an item, items drawn by lot, and duplicates.

use std::fs;
use std::ops::ControlFlow;

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{DuplicateGroup, DuplicatesOptions, EmbeddedImage, Library};
use mmsearch::{Embedding, Error, ErrorKind, ItemId, Metadata, Query, Target};

use crate::common::{BLUE, GREEN, Place, RED, YELLOW, png};
use crate::{check, ids, index, writer};

fn names<'a>(items: impl IntoIterator<Item = &'a mmsearch::Item>) -> Vec<String> {
    let name = |item: &mmsearch::Item| item.source.to_string();
    items.into_iter().map(|item| name(item).rsplit(['/', '!']).next().unwrap().into()).collect()
}

fn id_of(library: &Library, place: &Place, name: &str) -> ItemId {
    library.item_at(&place.photo(name)).unwrap().unwrap().id
}

fn similar(library: &mut Library, id: ItemId, to: Target, k: usize) -> Vec<String> {
    names(library.similar(id, to, k).unwrap().iter().map(|hit| &hit.item))
}

/// A picture of 8×8 pixels, as the fake encoder sees it, of which so many are blue and the others red.
fn red_and_blue(n_blue: usize) -> Vec<u8> {
    [b"P6 8 8 255\n".to_vec(), RED.repeat(64 - n_blue), BLUE.repeat(n_blue)].concat()
}

fn duplicates(library: &mut Library, options: DuplicatesOptions) -> Vec<DuplicateGroup> {
    library.duplicates(&options, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn group_names(groups: &[DuplicateGroup]) -> Vec<Vec<String>> {
    groups.iter().map(|group| names(group.hits.iter().map(|hit| &hit.item))).collect()
}

#[test]
fn an_item_is_asked_about_by_what_the_library_knows_of_it() {
    let place = Place::new();
    place.write("red.png", png(RED, 0));
    place.write("copy.png", png(RED, 0));
    place.write("nearly.png", png(RED, 1));
    place.write("blue.png", png(BLUE, 0));
    let tar = place.tar("t.tar", &[("deep/reddish.png", png(RED, 3))]);
    place.write("captions.jsonl", "{\"image\": \"red.png\", \"caption\": \"a red wall\"}\n");
    let mut library = writer(&place);
    index(&mut library, &[place.photos(), tar.clone()]);
    let red = id_of(&library, &place, "red.png");
    // The file is not needed any more.
    fs::remove_file(place.photo("red.png")).unwrap();
    let (image, all) = (Target::Image, ["copy.png", "nearly.png", "reddish.png", "blue.png"]);
    assert_eq!(similar(&mut library, red, image, 9), all);
    assert_eq!(similar(&mut library, red, image, 1), ["copy.png"]);
    let hits = library.similar(red, image, 9).unwrap();
    assert!(hits[0].score.unwrap() > 0.9999 && hits[2].score > hits[3].score);
    let text = library.similar(red, Target::Text, 1).unwrap().remove(0).item;
    assert_eq!(text.text.as_deref(), Some("a red wall"));
    // From a text to the images.
    assert_eq!(similar(&mut library, text.id, image, 5).len(), 5);
    assert_eq!(library.captions_of(red).unwrap(), [text]);
    let member = library.item_at(&tar.with_file_name("t.tar!deep/reddish.png")).unwrap().unwrap();
    assert_eq!(similar(&mut library, member.id, image, 9).len(), 4);

    let kind = |library: &mut Library, id, k| library.similar(id, image, k).unwrap_err().kind();
    assert_eq!(kind(&mut library, ItemId(99), 1), ErrorKind::NotFound);
    assert_eq!(kind(&mut library, red, 0), ErrorKind::Usage);
    assert_eq!(kind(&mut library, red, 10_001), ErrorKind::Usage);
    assert_eq!(library.embedding_of(ItemId(99)).unwrap(), None);
    assert_eq!(library.item_at(&place.photo("never.png")).unwrap(), None);
    check(&library);
}

#[test]
fn a_stored_embedding_is_the_one_that_was_encoded() {
    let place = Place::new();
    place.write("captions.jsonl", "{\"image\": \"red.png\", \"caption\": \"a red wall\"}\n");
    place.write("red.png", png(RED, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let text = ids(&mut library, &Query::text("red").to(Target::Text).k(1))[0];
    let expected = FakeEncoder::default().encode_texts(&["a red wall"]).unwrap().remove(0);
    assert_eq!(library.embedding_of(text).unwrap(), Some(expected));
    check(&library);
}

#[test]
fn items_are_drawn_by_their_seed() {
    let place = Place::new();
    for n in 0..30 {
        place.write(&format!("{n:02}.png"), png(RED, n));
    }
    place.write("bad.png", "rubbish");
    place.write("captions.jsonl", "{\"image\": \"01.png\", \"caption\": \"a red wall\"}\n");
    let mut library = writer(&place);
    assert!(library.random(Target::Any, 5, 1).unwrap().is_empty());
    index(&mut library, &[place.photos()]);
    let drawn = |to, k, seed| names(&library.random(to, k, seed).unwrap());
    assert_eq!(drawn(Target::Image, 5, 1), drawn(Target::Image, 5, 1));
    assert_ne!(drawn(Target::Image, 5, 1), drawn(Target::Image, 5, 2));
    let mut all = drawn(Target::Image, 100, 3);
    all.sort();
    assert_eq!((all.len(), &*all[0], &*all[29]), (30, "00.png", "29.png"), "not the bad one");
    assert_eq!(drawn(Target::Text, 9, 1).len(), 1);
    assert_eq!(drawn(Target::Any, 99, 1).len(), 31);
    let error = library.random(Target::Image, 0, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    check(&library);
}

#[test]
fn duplicates_are_grouped_with_identical_ones_first() {
    let place = Place::new();
    // A chain: each has two blue pixels more than the one before, and is near to that alone.
    for (name, n_blue) in [("a.ppm", 0), ("b.ppm", 2), ("c.ppm", 4), ("d.ppm", 4)] {
        place.write(name, red_and_blue(n_blue));
    }
    place.write("blue1.png", png(BLUE, 0));
    place.write("blue2.png", png(BLUE, 0));
    place.write("green.png", png(GREEN, 0));
    let mut library = writer(&place);
    assert!(duplicates(&mut library, DuplicatesOptions::default()).is_empty());
    index(&mut library, &[place.photos()]);
    let near = DuplicatesOptions { threshold: 0.999, verify: false };
    let groups = duplicates(&mut library, near);
    let expected = [vec!["blue1.png", "blue2.png"], vec!["c.ppm", "d.ppm", "a.ppm", "b.ppm"]];
    assert_eq!(group_names(&groups), expected);
    assert_eq!((groups[0].is_identical, groups[1].is_identical), (true, false));
    let scores: Vec<f32> = groups[1].hits.iter().map(|hit| hit.score.unwrap()).collect();
    assert_eq!(scores[..2], [1.0, 1.0]);
    assert!(scores[2] < 0.999 && scores[3] > 0.999 && scores[3] < 1.0, "{scores:?}");
    // Only what is identical reaches 1.
    let strict = DuplicatesOptions { threshold: 1.0, verify: false };
    let strict = duplicates(&mut library, strict);
    assert!(strict.iter().all(|group| group.is_identical) && strict.len() == 2);
    // What is newer than the snapshot counts too, in both directions.
    place.write("new1.png", png(YELLOW, 0));
    index(&mut library, &[place.photos()]);
    place.write("new2.png", png(GREEN, 1));
    index(&mut library, &[place.photos()]);
    let names = group_names(&duplicates(&mut library, near));
    assert_eq!(names[2], ["green.png", "new2.png"]);
    for threshold in [0.0, 1.5, f32::NAN] {
        let options = DuplicatesOptions { threshold, verify: false };
        let error = library.duplicates(&options, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
    let stop = library.duplicates(&DuplicatesOptions::default(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(stop, Err(Error::Cancelled)));
    check(&library);
}

#[test]
fn the_looks_decide_where_the_embeddings_cannot() {
    let place = Place::new();
    // To the fake encoder, which counts colours, a picture and its mirror image are nearly one.
    let stripes = |mirrored: bool| {
        let shade = |x: u8| if mirrored { 120 - x * 2 } else { x * 2 };
        let row: Vec<u8> = (0..60).flat_map(|x| [shade(x), 0, 0]).collect();
        [b"P6 60 60 255\n".as_slice(), &row.repeat(60)].concat()
    };
    let brighter: Vec<u8> = {
        let mut bytes = stripes(false);
        bytes[13..].iter_mut().for_each(|value| *value = value.saturating_add(4));
        bytes
    };
    place.write("picture.ppm", stripes(false));
    place.write("mirror.ppm", stripes(true));
    place.write("brighter.ppm", brighter);
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let unsure = DuplicatesOptions { threshold: 0.9, verify: false };
    assert_eq!(duplicates(&mut library, unsure)[0].hits.len(), 3);
    let sure = DuplicatesOptions { verify: true, ..unsure };
    let names = group_names(&duplicates(&mut library, sure));
    assert_eq!(names, [["brighter.ppm", "picture.ppm"]]);
    assert_eq!(library.take_warnings(), [""; 0]);
    // What is gone is not confirmed, and is told of once.
    fs::remove_file(place.photo("brighter.ppm")).unwrap();
    assert!(duplicates(&mut library, sure).is_empty());
    assert_eq!(library.take_warnings().len(), 1);
    check(&library);
}

/// Groups are found by the neighbours of each image alone, also where a group is larger than what is asked for.
#[test]
fn many_images_are_not_compared_one_by_one() {
    let place = Place::new();
    let mut library = writer(&place);
    let angle = |n: u32| (n / 20) as f32 * 0.3 + (n % 20) as f32 * 1e-3;
    let image = |n: u32| {
        let mut values = vec![0.0; 16];
        (values[0], values[1]) = (angle(n).cos(), angle(n).sin());
        let embedding = Embedding::new(values).unwrap();
        EmbeddedImage { name: format!("{n:03}"), embedding, metadata: Metadata::new() }
    };
    let space = FakeEncoder::default().space().clone();
    library.add_embedded_images(&space, (0..400).map(image)).unwrap();
    let options = DuplicatesOptions { threshold: 0.999, verify: false };
    let without_snapshot = group_names(&duplicates(&mut library, options));
    assert_eq!(without_snapshot.len(), 20);
    assert!(without_snapshot.iter().all(|group| group.len() == 20));
    library.refresh_snapshots(&mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(group_names(&duplicates(&mut library, options)), without_snapshot);
    check(&library);
}
