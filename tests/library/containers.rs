//! Tars and manifests.

use std::fs;
use std::ops::ControlFlow;

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{IndexOptions, Selector, Tally};
use mmsearch::{Error, Query, Target};

use crate::common::{self, BLUE, GREEN, Place, RED, png, replace_unnoticed};
use crate::encoders::Counting;
use crate::{added, check, found, index, writer};

#[test]
fn a_tar_that_did_not_change_is_not_opened() {
    let place = Place::new();
    let members =
        [("a/red.png", png(RED, 0)), ("notes.txt", b"x".to_vec()), ("bad.png", b"no".to_vec())];
    let tar = place.tar("photos.tar", &members);
    let mut library = writer(&place);
    let report = index(&mut library, &[tar.clone()]);
    assert_eq!((report.images, report.skipped.n_total), (added(1), 1));
    assert!(report.skipped.listed[0].path.ends_with("photos.tar!bad.png"), "{report:?}");
    assert_eq!(found(&mut library, &Query::text("red")), ["a/red.png"]);

    replace_unnoticed(&tar, b"rubbish".to_vec());
    let report = index(&mut library, &[tar.clone()]);
    assert_eq!(report.images, Tally { unchanged: 1, ..Tally::default() });
    assert_eq!(report.skipped.n_total, 1, "what failed before is said again");

    // Control: another version is read; its members are compared by content.
    let members = [("a/red.png", png(RED, 0)), ("new.png", png(GREEN, 0))];
    place.tar("photos.tar", &members);
    let report = index(&mut library, &[tar]);
    let expected = Tally { added: 1, unchanged: 1, ..Tally::default() };
    assert_eq!(
        (report.images.added, report.images.unchanged),
        (expected.added, expected.unchanged)
    );
    assert_eq!(found(&mut library, &Query::text("red").k(9)).len(), 2);
    assert!(report.is_clean());
    check(&library);
}

#[test]
fn a_damaged_tar_gives_what_it_can() {
    let place = Place::new();
    let mut bytes = common::tar(&[("a.png", png(RED, 0)), ("b.png", png(GREEN, 0))]);
    bytes.truncate(1024 + 512 + 20);
    let tar = place.write("cut.tar", bytes);
    let mut library = writer(&place);
    for _ in 0..2 {
        let report = index(&mut library, &[tar.clone()]);
        assert_eq!((report.images.added + report.images.unchanged, report.skipped.n_total), (1, 1));
        assert!(report.skipped.listed[0].reason.contains("ends inside a member"), "{report:?}");
    }
    check(&library);
}

#[test]
fn captions_become_texts_of_their_images() {
    let place = Place::new();
    place.write("images/a.png", png(RED, 0));
    place.tar("more.tar", &[("t.png", png(BLUE, 0))]);
    let manifest = place.write(
        "captions.jsonl",
        r#"{"image": "images/a.png", "split": "val", "captions": ["a red wall", "so red"]}
{"image": "t.png", "caption": "a blue thing"}
not json
{"image": "nowhere.png", "caption": "lost"}
{"image": "lost.png", "caption": "lost too"}
"#,
    );
    let mut library = writer(&place);
    let report = index(&mut library, &[manifest.clone(), place.photo("more.tar")]);
    assert_eq!((report.images, report.texts), (added(2), added(3)));
    assert_eq!((report.skipped.n_total, report.skipped.listed.len()), (3, 2), "{report:?}");
    assert!(report.skipped.listed[1].reason.starts_with("2 rows name a picture"), "{report:?}");

    let to_text = Query::text("blue").to(Target::Text);
    assert_eq!(found(&mut library, &to_text.clone().k(1)), ["a blue thing"]);
    let hit = &library.search(&mut FakeEncoder::default(), &to_text).unwrap()[0];
    let image = library.item(hit.item.image.unwrap()).unwrap().unwrap();
    assert_eq!(image.source.to_string(), format!("{}!t.png", place.photo("more.tar").display()));
    let any = Query::text("red").to(Target::Any).k(2);
    assert_eq!(found(&mut library, &any), ["a.png", "so red"]);

    // Rows without an image keep it incomplete: it is read again, and the new image found.
    place.write("nowhere.png", png(GREEN, 0));
    let report = index(&mut library, &[manifest.clone()]);
    assert_eq!((report.images.added, report.texts.added, report.texts.unchanged), (1, 1, 3));

    // Without its image a caption is gone too, and comes back with it.
    fs::rename(place.photo("images/a.png"), place.root().join("away.png")).unwrap();
    let report = index(&mut library, &[place.photos()]);
    assert_eq!((report.images.forgotten, report.texts.forgotten), (1, 2));
    fs::rename(place.root().join("away.png"), place.photo("images/a.png")).unwrap();
    let report = index(&mut library, &[place.photos()]);
    assert_eq!((report.images.added, report.texts.added), (1, 2));
    check(&library);
}

#[test]
fn a_complete_manifest_is_not_read_again_but_its_pictures_are_looked_at() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("b.png", png(BLUE, 0));
    let rows = "image,caption\na.png,red\na.png,very red\nb.png,blue\n";
    let manifest = place.write("list.csv", rows);
    let mut library = writer(&place);
    let report = index(&mut library, &[manifest.clone()]);
    assert_eq!((report.images, report.texts), (added(2), added(3)));
    replace_unnoticed(&manifest, b"rubbish".to_vec());
    place.write("a.png", png(GREEN, 99));
    fs::remove_file(place.photo("b.png")).unwrap();
    let report = index(&mut library, &[manifest]);
    assert_eq!((report.images.updated, report.images.forgotten, report.texts.unchanged), (1, 1, 3));
    assert_eq!(found(&mut library, &Query::text("green")), ["a.png"]);
    check(&library);
}

#[test]
fn cancelling_keeps_what_was_committed_and_the_next_run_goes_on() {
    let place = Place::new();
    let members: Vec<(String, Vec<u8>)> =
        (0..90).map(|n| (format!("m{n:02}.png"), png(RED, n))).collect();
    let members: Vec<_> =
        members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let tar = place.tar("t.tar", &members);
    let mut library = writer(&place);
    let mut encoder = Counting::new();
    let mut n_told = 0;
    let mut stop = |progress: &mmsearch::library::Progress| {
        n_told = progress.n_done;
        ControlFlow::Break(())
    };
    let options = IndexOptions::default();
    let error = library.index(&mut encoder, &[tar.clone()], &options, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    assert_eq!(n_told as usize, encoder.n_pictures.get());
    assert!(0 < n_told && n_told < 90);
    check(&library);
    let report = index(&mut library, &[tar]);
    assert_eq!((report.images.unchanged, report.images.added), (n_told, 90 - n_told));
    assert_eq!(found(&mut library, &Query::text("red").k(200)).len(), 90);
    check(&library);
}

#[test]
fn a_forgotten_tar_comes_back_when_it_is_indexed_again() {
    let place = Place::new();
    let tar = place.tar("t.tar", &[("a.png", png(RED, 0)), ("b.png", png(BLUE, 0))]);
    let mut library = writer(&place);
    index(&mut library, &[tar.clone()]);
    assert_eq!(library.forget(&[Selector::Path(tar.clone())]).unwrap().n_images, 2);
    assert_eq!(found(&mut library, &Query::text("red")), [""; 0]);
    check(&library);
    assert_eq!(index(&mut library, &[tar]).images, added(2));
    check(&library);
}
