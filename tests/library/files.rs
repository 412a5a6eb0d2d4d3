//! Files of their own: new, changed, moved, gone, bad.

use std::fs;
use std::ops::ControlFlow;

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{IndexOptions, Tally};
use mmsearch::{Error, ErrorKind, Query, Source, Status};

use crate::common::{self, BLUE, GREEN, Place, RED, YELLOW, png, png_bomb, replace_unnoticed};
use crate::{added, check, found, ids, index, try_index, writer};

#[test]
fn what_is_as_it_was_is_not_read_again() {
    let place = Place::new();
    let paths = [place.write("a.png", png(RED, 0)), place.write("b.png", png(GREEN, 0))];
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    // Proof that it is not opened: other bytes of the same size and time stay unnoticed.
    replace_unnoticed(&paths[0], b"not a picture".to_vec());
    let report = index(&mut library, &[place.photos()]);
    assert_eq!(report.images, Tally { unchanged: 2, ..Tally::default() });
    assert!(report.is_clean());
    // Control: with another time it is read.
    fs::write(&paths[0], "not a picture").unwrap();
    assert_eq!(index(&mut library, &[place.photos()]).skipped.n_total, 1);
    check(&library);
}

#[test]
fn changed_moved_and_deleted_files_are_noticed() {
    let place = Place::new();
    for (name, colour) in [("a.png", RED), ("b.png", GREEN), ("c.png", BLUE)] {
        place.write(name, png(colour, 0));
    }
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let green = ids(&mut library, &Query::text("green").k(1));

    place.write("a.png", png(YELLOW, 77));
    fs::create_dir(place.photo("new")).unwrap();
    fs::rename(place.photo("b.png"), place.photo("new/moved.png")).unwrap();
    fs::remove_file(place.photo("c.png")).unwrap();
    let report = index(&mut library, &[place.photos()]);
    let expected = Tally { updated: 1, moved: 1, forgotten: 1, ..Tally::default() };
    assert_eq!(report.images, expected);
    assert_eq!(ids(&mut library, &Query::text("green").k(1)), green);
    assert_eq!(found(&mut library, &Query::text("green").k(1)), ["moved.png"]);
    assert_eq!(found(&mut library, &Query::text("yellow").k(1)), ["a.png"]);
    assert_eq!(found(&mut library, &Query::text("blue").k(9)).len(), 2);
    check(&library);
}

/// While one file loses a content, another gains it: the embedding must survive the batch.
#[test]
fn two_files_may_swap_their_contents() {
    let place = Place::new();
    let (a, b) = (place.write("a.png", png(RED, 0)), place.write("b.png", png(GREEN, 3)));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    fs::rename(&a, place.photo("c")).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(place.photo("c"), &b).unwrap();
    assert_eq!(index(&mut library, &[place.photos()]).images.updated, 2);
    assert_eq!(found(&mut library, &Query::text("red").k(1)), ["b.png"]);
    assert_eq!(found(&mut library, &Query::text("green").k(1)), ["a.png"]);
    check(&library);
}

#[test]
fn bad_files_have_a_reason_and_the_rest_is_indexed() {
    let place = Place::new();
    place.write("good.png", png(RED, 0));
    place.write("text.png", "hello");
    place.write("bomb.png", png_bomb());
    let whole = common::large_jpeg();
    place.write("cut.jpg", &whole[..whole.len() / 2]);
    place.write("photo.heic", "ftypheic");
    place.write("empty.jpg", "");
    let mut library = writer(&place);
    let report = index(&mut library, &[place.photos()]);
    assert_eq!((report.images, report.truncated.n_total), (added(2), 1));
    let mut names: Vec<_> =
        report.skipped.listed.iter().map(|skip| skip.path.file_name().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["bomb.png", "empty.jpg", "photo.heic", "text.png"]);
    assert!(report.skipped.listed.iter().all(|skip| !skip.reason.is_empty()));

    // The same again, without reading: what was wrong is said again.
    let again = index(&mut library, &[place.photos()]);
    assert_eq!((again.images.unchanged, again.skipped.n_total, again.truncated.n_total), (2, 4, 1));
    let statuses: Vec<_> =
        library.status().unwrap().items.iter().map(|n| (n.status, n.n_items)).collect();
    assert_eq!(statuses, [(Status::Failed, 4), (Status::Ok, 1), (Status::Truncated, 1)]);
    check(&library);
}

#[test]
fn a_picture_that_turns_bad_is_not_found_any_more() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("b.png", png(BLUE, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    place.write("a.png", "rubbish");
    assert_eq!(index(&mut library, &[place.photos()]).skipped.n_total, 1);
    assert_eq!(found(&mut library, &Query::text("red").k(9)), ["b.png"]);
    place.write("a.png", png(RED, 0));
    assert_eq!(index(&mut library, &[place.photos()]).images.updated, 1);
    assert_eq!(found(&mut library, &Query::text("red").k(9)).len(), 2);
    check(&library);
}

#[test]
fn a_root_that_is_missing_or_empty_is_not_pruned() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let root = place.photos();
    fs::rename(&root, place.root().join("unmounted")).unwrap();
    let error = try_index(&mut library, &[root.clone()]).unwrap_err();
    assert!(matches!(error, Error::MissingRoot { n_items: 1, .. }), "{error}");
    fs::create_dir(&root).unwrap();
    let error = try_index(&mut library, &[root.clone()]).unwrap_err();
    assert!(matches!(error, Error::MissingRoot { n_items: 1, .. }), "{error}");
    assert_eq!(found(&mut library, &Query::text("red")).len(), 1);

    let options = IndexOptions { prune_missing_root: true, ..IndexOptions::default() };
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let mut encoder = FakeEncoder::default();
    let report = library.index(&mut encoder, &[root], &options, &mut go_on).unwrap();
    assert_eq!(report.images.forgotten, 1);
    // A root that held nothing is a slip of the pen.
    let error = try_index(&mut library, &[place.root().join("nothing")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    check(&library);
}

#[test]
fn names_that_are_no_text_are_kept_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let names = [&b"caf\xe9.png"[..], b"caf\xea.png", b"new\nline.png", b"-rf.png"];
    for (n, name) in names.iter().enumerate() {
        fs::write(place.photos().join(OsStr::from_bytes(name)), png(RED, n as u32)).unwrap();
    }
    let mut library = writer(&place);
    assert_eq!(index(&mut library, &[place.photos()]).images, added(4));
    let hits = library.search(&mut FakeEncoder::default(), &Query::text("red")).unwrap();
    for hit in hits {
        let Source::File { path } = &hit.item.source else { panic!() };
        assert!(path.exists(), "{path:?}");
    }
    assert_eq!(index(&mut library, &[place.photos()]).images.unchanged, 4);
    check(&library);
}

#[test]
fn overlapping_roots_count_once() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("deep/b.png", png(BLUE, 0));
    let mut library = writer(&place);
    let roots = [place.photo("deep"), place.photos(), place.photo("a.png")];
    assert_eq!(index(&mut library, &roots).images, added(2));
    let report = index(&mut library, &roots);
    assert_eq!(report.images, Tally { unchanged: 2, ..Tally::default() });
    check(&library);
}
