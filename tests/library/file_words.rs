//! What pictures' own files say in words: keywords become tags, descriptions count as captions.

use std::fs;

use mmsearch::library::{Library, Selector};
use mmsearch::{Condition, ItemId, Metadata, Mode, Query, Tag};

use crate::common::{self, BLUE, GREEN, Place, RED, Said, jpeg_saying, png};
use crate::{added, check, found, index, writer};

fn id(library: &Library, place: &Place, name: &str) -> ItemId {
    library.select(&Selector::Path(place.photo(name))).unwrap()[0]
}

fn tags(library: &Library, place: &Place, name: &str) -> Vec<String> {
    let tags = library.tags_of(id(library, place, name)).unwrap();
    tags.iter().map(ToString::to_string).collect()
}

/// Names of the images of which a condition holds, in order.
fn with(library: &mut Library, condition: &str) -> Vec<String> {
    let query = Query::text("red").k(99).filter(Condition::parse(condition).unwrap());
    let mut names = found(library, &query);
    names.sort();
    names
}

/// Names of the images that have the words, in order.
fn by_words(library: &mut Library, words: &str) -> Vec<String> {
    let mut names = found(library, &Query::text(words).mode(Mode::Keyword));
    names.sort();
    names
}

const BEACH: Said<'_> =
    Said { xmp: (&["Dog", "North &amp; Sea"], "Our dog on the beach"), iptc: &["dog", "holiday"] };

#[test]
fn keywords_are_tags_and_descriptions_are_captions() {
    let place = Place::new();
    place.write("a.jpg", jpeg_saying(RED, &BEACH));
    place.write(
        "b.jpg",
        jpeg_saying(BLUE, &Said { xmp: (&[], "OLYMPUS DIGITAL CAMERA"), iptc: &[] }),
    );
    place.write("c.png", png(GREEN, 0));
    let rows = "image,caption\nc.png,a green beach\n";
    place.write("captions.csv", rows);
    place.tar("t.tar", &[("d.jpg", jpeg_saying(GREEN, &BEACH))]);
    let mut library = writer(&place);
    assert_eq!(index(&mut library, &[place.photos(), place.photo("t.tar")]).images, added(4));
    assert_eq!(tags(&library, &place, "a.jpg"), ["dog", "holiday", "north & sea"]);
    assert_eq!(tags(&library, &place, "t.tar"), ["dog", "holiday", "north & sea"]);
    assert_eq!(tags(&library, &place, "b.jpg"), [""; 0]);
    assert_eq!(library.tag_counts().unwrap()[0], ("dog".into(), 2));
    assert_eq!(with(&mut library, "tag = holiday and name = a.jpg"), ["a.jpg"]);
    assert_eq!(with(&mut library, "caption = 'beach dog'"), ["a.jpg", "d.jpg"]);
    assert_eq!(with(&mut library, "caption = beach"), ["a.jpg", "c.png", "d.jpg"]);
    assert_eq!(with(&mut library, "caption like 'our%'"), ["a.jpg", "d.jpg"]);
    assert_eq!(with(&mut library, "caption != dog"), ["c.png"]);
    assert_eq!(with(&mut library, "not caption = beach"), ["b.jpg"]);
    assert_eq!(with(&mut library, "caption = olympus"), [""; 0]);
    for (words, names) in
        [("holidays", &["a.jpg", "d.jpg"][..]), ("our beach", &["a.jpg", "c.png", "d.jpg"])]
    {
        assert_eq!(by_words(&mut library, words), names, "{words}");
    }
    check(&library);
}

#[test]
fn a_file_that_is_read_again_says_what_it_says_now() {
    let place = Place::new();
    place.write("a.jpg", jpeg_saying(RED, &BEACH));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let a = id(&library, &place, "a.jpg");
    let tag = |text: &str| [Tag::new(text).unwrap()];
    library.tag(&[a], &tag("mine"), &tag("dog")).unwrap();
    library.tag(&[a], &tag("holiday"), &[]).unwrap();
    let after_all = ["holiday", "mine", "north & sea"];
    assert_eq!(tags(&library, &place, "a.jpg"), after_all);
    index(&mut library, &[place.photos()]);
    assert_eq!(tags(&library, &place, "a.jpg"), after_all, "it was not read again");

    place.write("a.jpg", jpeg_saying(RED, &Said { xmp: (&["Dog"], "A wolf"), iptc: &[] }));
    assert_eq!(index(&mut library, &[place.photos()]).images.updated, 1);
    assert_eq!(tags(&library, &place, "a.jpg"), ["dog", "holiday", "mine"]);
    assert_eq!(with(&mut library, "caption = wolf"), ["a.jpg"]);
    assert_eq!(with(&mut library, "caption = beach"), [""; 0]);
    assert_eq!(by_words(&mut library, "wolf"), ["a.jpg"]);
    assert_eq!(by_words(&mut library, "beach"), [""; 0]);

    place.write("a.jpg", "rubbish");
    index(&mut library, &[place.photos()]);
    assert_eq!(tags(&library, &place, "a.jpg"), ["holiday", "mine"]);
    check(&library);
}

#[test]
fn a_moved_file_keeps_its_tags() {
    let place = Place::new();
    place.write("a.jpg", jpeg_saying(RED, &BEACH));
    place.write("b.png", png(BLUE, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let a = id(&library, &place, "a.jpg");
    library.tag(&[a], &[Tag::new("mine").unwrap()], &[]).unwrap();
    fs::rename(place.photo("a.jpg"), place.photo("z.jpg")).unwrap();
    assert_eq!(index(&mut library, &[place.photos()]).images.moved, 1);
    assert_eq!(id(&library, &place, "z.jpg"), a);
    assert_eq!(tags(&library, &place, "z.jpg"), ["dog", "holiday", "mine", "north & sea"]);
    assert_eq!(with(&mut library, "caption = beach and tag = mine"), ["z.jpg"]);
    check(&library);
    library.forget(&[Selector::Id(a)]).unwrap();
    assert_eq!(library.tag_counts().unwrap(), []);
    check(&library);
}

#[test]
fn pictures_that_an_app_hands_over_say_it_too() {
    let place = Place::new();
    let mut library = writer(&place);
    let mut encoder = mmsearch::encoder::FakeEncoder::default();
    let mut add = |library: &mut Library, bytes: &[u8]| {
        library.add_image(&mut encoder, "mine", bytes, Metadata::new()).unwrap()
    };
    let mine = add(&mut library, &jpeg_saying(RED, &BEACH));
    assert_eq!(library.tags_of(mine).unwrap().len(), 3);
    assert_eq!(with(&mut library, "caption = 'our dog'"), ["mine"]);
    assert_eq!(add(&mut library, &common::jpeg(RED, 3)), mine);
    assert_eq!(library.tags_of(mine).unwrap(), []);
    assert_eq!(with(&mut library, "caption = 'our dog'"), [""; 0]);
    check(&library);
}
