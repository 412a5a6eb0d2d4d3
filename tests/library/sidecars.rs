//! Texts beside pictures: they count as captions, and their changes are noticed without encoding anything.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use mmsearch::library::{IndexOptions, Library, Report, Tally};
use mmsearch::{Condition, Query};

use crate::common::{self, BLUE, GREEN, Place, RED, png};
use crate::encoders::Counting;
use crate::{added, check, found, index, writer};

/// Indexes, and says how many pictures were encoded for it.
fn counted(library: &mut Library, roots: &[PathBuf]) -> (Report, usize) {
    let mut encoder = Counting::new();
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let report = library.index(&mut encoder, roots, &IndexOptions::default(), &mut go_on).unwrap();
    (report, encoder.n_pictures.get())
}

/// Names of the images with a caption that has these words, in order.
fn captioned(library: &mut Library, words: &str) -> Vec<String> {
    let condition = Condition::parse(&format!("caption = '{words}'")).unwrap();
    let mut names = found(library, &Query::text("red").k(99).filter(condition));
    names.sort();
    names
}

#[test]
fn what_changes_beside_a_picture_is_noticed_and_nothing_is_encoded() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("a.png.txt", "Our dog\non the beach\n");
    place.write("deep/b.png", png(BLUE, 0));
    place.write("notes.txt", "a dog");
    let mut library = writer(&place);
    let (report, n_encoded) = counted(&mut library, &[place.photos()]);
    assert_eq!((report.images, report.is_clean(), n_encoded), (added(2), true, 2));
    assert_eq!(captioned(&mut library, "beach dog"), ["a.png"]);
    let again = |library: &mut Library, updated, unchanged| {
        let (report, n_encoded) = counted(library, &[place.photos()]);
        assert_eq!(report.images, Tally { updated, unchanged, ..Tally::default() });
        assert_eq!((n_encoded, report.is_clean()), (0, true));
    };
    again(&mut library, 0, 2);

    // Edited, without another length or time.
    common::replace_unnoticed(&place.photo("a.png.txt"), b"Our cat\non the beach\n".to_vec());
    again(&mut library, 1, 1);
    assert_eq!(captioned(&mut library, "beach cat"), ["a.png"]);
    assert_eq!(captioned(&mut library, "dog"), [""; 0]);

    place.write("deep/b.png.TXT", "a cat too");
    again(&mut library, 1, 1);
    assert_eq!(captioned(&mut library, "cat"), ["a.png", "b.png"]);

    fs::remove_file(place.photo("a.png.txt")).unwrap();
    place.write("deep/b.png.TXT", " \n");
    again(&mut library, 2, 0);
    assert_eq!(captioned(&mut library, "cat"), [""; 0]);
    again(&mut library, 0, 2);
    check(&library);
}

#[test]
fn a_sidecar_moves_and_changes_with_its_picture() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("a.png.txt", "a dog");
    place.write("b.png", png(BLUE, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    for ending in ["", ".txt"] {
        let name = |name: &str| place.photo(&format!("{name}{ending}"));
        fs::rename(name("a.png"), name("z.png")).unwrap();
    }
    assert_eq!(index(&mut library, &[place.photos()]).images.moved, 1);
    assert_eq!(captioned(&mut library, "dog"), ["z.png"]);
    place.write("z.png", png(GREEN, 5));
    place.write("z.png.txt", "a meadow");
    assert_eq!(index(&mut library, &[place.photos()]).images.updated, 1);
    assert_eq!(captioned(&mut library, "meadow"), ["z.png"]);
    // The picture alone goes elsewhere.
    fs::rename(place.photo("z.png"), place.photo("y.png")).unwrap();
    index(&mut library, &[place.photos()]);
    assert_eq!(captioned(&mut library, "meadow"), [""; 0]);
    check(&library);
}

#[test]
fn a_picture_may_be_named_alone_or_by_a_manifest() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("a.png.txt", "a dog");
    place.write("b.png", png(BLUE, 0));
    place.write("b.png.txt", "a cat");
    let manifest = place.write("list.csv", "image,caption\nb.png,blue\n");
    place.tar("t.tar", &[("c.png", png(GREEN, 0)), ("c.png.txt", b"a cow".to_vec())]);
    // As `photos/*` would name them.
    let roots = ["a.png", "a.png.txt", "list.csv", "t.tar"].map(|name| place.photo(name));
    let mut library = writer(&place);
    let report = index(&mut library, &roots);
    assert_eq!((report.images, report.is_clean()), (added(3), true));
    assert_eq!(captioned(&mut library, "dog"), ["a.png"]);
    assert_eq!(captioned(&mut library, "cat"), ["b.png"]);
    assert_eq!(captioned(&mut library, "cow"), [""; 0]);
    assert!(!library.status().unwrap().roots.contains(&place.photo("a.png.txt")));
    // Named alone it stands for its picture.
    place.write("a.png.txt", "a wolf");
    assert_eq!(index(&mut library, &[place.photo("a.png.txt")]).images.updated, 1);
    assert_eq!(captioned(&mut library, "wolf"), ["a.png"]);
    // One manifest is not read again, another one is.
    place.write("b.png.txt", "a lion");
    assert_eq!(counted(&mut library, &[manifest.clone()]).1, 0);
    assert_eq!(captioned(&mut library, "lion"), ["b.png"]);
    fs::write(&manifest, "image,caption\nb.png,blue\nb.png,very blue\n").unwrap();
    place.write("b.png.txt", "a tiger");
    assert_eq!(counted(&mut library, &[manifest]).1, 0);
    assert_eq!(captioned(&mut library, "tiger"), ["b.png"]);
    check(&library);
}

#[test]
fn a_sidecar_that_cannot_be_read_is_told_of_and_fails_no_picture() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("a.png.txt", "a dog");
    place.write("b.png", png(BLUE, 0));
    place.write("b.png.txt", b"B\xe4r");
    let mut library = writer(&place);
    let told = |report: &Report| {
        let skips = report.skipped.listed.iter();
        let name = |skip: &mmsearch::library::Skip| skip.path.file_name().unwrap().to_owned();
        skips.map(|skip| (name(skip), skip.reason.clone())).collect::<Vec<_>>()
    };
    let reason = || "not a text in UTF-8".to_owned();
    let report = index(&mut library, &[place.photos()]);
    assert_eq!((report.images, told(&report)), (added(2), vec![("b.png.txt".into(), reason())]));
    place.write("a.png.txt", b"\xff\xff");
    let (report, n_encoded) = counted(&mut library, &[place.photos()]);
    let both = vec![("a.png.txt".into(), reason()), ("b.png.txt".into(), reason())];
    assert_eq!((report.images.unchanged, told(&report), n_encoded), (2, both, 0));
    assert_eq!(captioned(&mut library, "dog"), ["a.png"], "what it said before stays");
    place.write("a.png.txt", "a cat");
    place.write("b.png.txt", "a bear");
    assert!(index(&mut library, &[place.photos()]).is_clean());
    assert_eq!(captioned(&mut library, "bear"), ["b.png"]);
    check(&library);
}
