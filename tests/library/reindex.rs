//! Changing the model: nothing is lost, whenever it is interrupted.

use std::fs::{self, DirBuilder};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{
    IndexOptions, Library, LibraryOptions, Progress, ReindexOptions, Reindexed, Selector,
    SnapshotState, Stage,
};
use mmsearch::{Error, ErrorKind, ItemId, Metadata, Mode, Pixels, Query, Result, Status, Target};

use crate::common::{BLUE, GREEN, Place, RED, YELLOW, picture, png};
use crate::encoders::{Other, Picky};
use crate::{added, check, found, ids, index, writer};

/// Different contents of [`filled`].
const N_IMAGES: u64 = 40 + 50;
const N_TEXTS: u64 = 70;

/// A library of the fake model, long enough for some batches of each source: files, one of them twice, a tar and a
/// manifest.
fn filled(place: &Place) -> Library {
    let colours = [RED, GREEN, BLUE, YELLOW];
    for n in 0..40 {
        place.write(&format!("{n:02}.png"), png(colours[n as usize % 4], n));
    }
    place.write("copy.png", png(RED, 0));
    let members: Vec<(String, Vec<u8>)> =
        (0..50).map(|n| (format!("m{n:02}.png"), png(colours[n as usize % 4], 100 + n))).collect();
    let members: Vec<_> =
        members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    place.tar("photos.tar", &members);
    let names = ["red", "green", "blue", "yellow"];
    let row = |n: usize| {
        let name = names[n % 4];
        format!("{{\"image\":\"{:02}.png\",\"caption\":\"a {name} thing {n}\"}}\n", n % 40)
    };
    place.write("captions.jsonl", (0..70).map(row).collect::<String>());
    let mut library = writer(place);
    let report = index(&mut library, &[place.photos(), place.photo("photos.tar")]);
    assert_eq!((report.images.added, report.texts.added), (N_IMAGES + 1, N_TEXTS));
    library
}

/// Reindexes, and stops at a progress call for which `stop` says so.
fn reindex_until(
    library: &mut Library,
    encoder: &mut dyn Encoder,
    mut stop: impl FnMut(&Progress) -> bool,
) -> Result<Reindexed> {
    let mut progress = |progress: &Progress| match stop(progress) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    library.reindex(encoder, &ReindexOptions::default(), &mut progress)
}

fn reindex(library: &mut Library, encoder: &mut dyn Encoder) -> Reindexed {
    reindex_until(library, encoder, |_| false).unwrap()
}

fn index_by(
    library: &mut Library,
    encoder: &mut dyn Encoder,
    place: &Place,
) -> mmsearch::library::Report {
    let mut go_on = |_: &_| ControlFlow::Continue(());
    library.index(encoder, &[place.photos()], &IndexOptions::default(), &mut go_on).unwrap()
}

/// Everything that is found, with its scores.
fn answers(library: &mut Library, encoder: &mut dyn Encoder) -> Vec<(ItemId, f32)> {
    let mut answers = Vec::new();
    for text in ["red", "green", "blue", "a yellow thing"] {
        for exact in [false, true] {
            let query = Query::text(text).mode(Mode::Semantic).to(Target::Any).k(1_000);
            let query = Query { exact, ..query };
            let hits = library.search(encoder, &query).unwrap();
            answers.extend(hits.iter().map(|hit| (hit.item.id, hit.score.unwrap())));
        }
    }
    assert!(library.take_warnings().is_empty());
    answers
}

fn best(library: &mut Library, encoder: &mut dyn Encoder, text: &str) -> String {
    let hits = library.search(encoder, &Query::text(text).k(1)).unwrap();
    hits[0].item.source.to_string()
}

/// The library's directory as it is now, in another place.
fn copied(from: &Path, to: &Path) -> Library {
    DirBuilder::new().mode(0o700).create(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    Library::create_or_open(to, LibraryOptions::default()).unwrap()
}

fn is_in_a_file(place: &Place, needle: &[u8]) -> bool {
    let files = place.library_files("");
    files.iter().any(|file| fs::read(file).unwrap().windows(needle.len()).any(|at| at == needle))
}

/// The bytes of the vector of a picture.
fn vector(encoder: &mut dyn Encoder, colour: [u8; 3], n: u32) -> Vec<u8> {
    let pixels = Pixels::new(16, 16, picture(colour, n).into_raw()).unwrap();
    let square = encoder.preprocess().apply(&pixels).unwrap();
    let embedding = &encoder.encode_images(&[square]).unwrap()[0];
    embedding.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn the_model_changes_and_everything_else_stays() {
    let place = Place::new();
    let mut library = filled(&place);
    let (mut fake, mut other) = (FakeEncoder::default(), Other::new());
    let all = ids(&mut library, &Query::text("red").to(Target::Any).k(1_000));
    let (old, new) = (vector(&mut fake, RED, 0), vector(&mut Other::new(), RED, 0));
    assert!(is_in_a_file(&place, &old) && !is_in_a_file(&place, &new), "control");

    let report = reindex(&mut library, &mut other);
    let expected = Reindexed { n_images: N_IMAGES, n_texts: N_TEXTS, ..Reindexed::default() };
    assert_eq!(report, expected);
    assert_eq!((other.n_pictures as u64, other.n_texts as u64), (N_IMAGES, N_TEXTS));
    assert_eq!(library.space().unwrap().unwrap(), *other.space());
    assert!(!is_in_a_file(&place, &old), "the old vectors are nowhere");
    assert!(is_in_a_file(&place, &new));
    let names: Vec<_> = place.library_files("snapshot-");
    assert_eq!(names.len(), 2, "{names:?}");
    for snapshot in library.status().unwrap().snapshots {
        assert!(matches!(snapshot.state, SnapshotState::Current { n_tail: 0, n_dead: 0, .. }));
    }
    let error = library.search(&mut fake, &Query::text("red")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    check(&library);

    // It answers as a library that never had another model.
    let mut found: Vec<_> = answers(&mut library, &mut other);
    let mut fresh =
        Library::create_or_open(&place.root().join("fresh"), LibraryOptions::default()).unwrap();
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let roots = [place.photos(), place.photo("photos.tar")];
    fresh.index(&mut other, &roots, &IndexOptions::default(), &mut go_on).unwrap();
    let mut expected = answers(&mut fresh, &mut other);
    for list in [&mut found, &mut expected] {
        list.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    }
    assert_eq!(found, expected);
    let mut now: Vec<ItemId> = found.iter().map(|(id, _)| *id).collect();
    let mut before = all;
    now.dedup();
    before.sort();
    assert_eq!(now, before, "every item is the one it was");
    // What is as it was is not read again under the new model either.
    let report = index_by(&mut library, &mut other, &place);
    assert_eq!((report.images.unchanged, report.images.added), (41, 0));
}

/// Stopped at every call of the progress, among them the one right before the change: the old model answers fully,
/// nothing is encoded twice, and the end is that of a run that was not interrupted.
#[test]
fn interrupted_anywhere_it_goes_on_and_ends_the_same() {
    let place = Place::new();
    let mut library = filled(&place);
    let before = answers(&mut library, &mut FakeEncoder::default());
    drop(library);
    let (from, whole) = (place.library(), place.root().join("whole"));
    let mut whole = copied(&from, &whole);
    let mut stages = Vec::new();
    reindex_until(&mut whole, &mut Other::new(), |progress| {
        stages.push(progress.stage);
        false
    })
    .unwrap();
    let expected = answers(&mut whole, &mut Other::new());
    assert_ne!(before, expected, "control: the two models answer differently");
    for stage in [Stage::Images, Stage::Texts, Stage::Switch, Stage::Forget] {
        assert!(stages.contains(&stage), "control: {stage:?} is among the calls");
    }

    let mut n_first_runs = Vec::new();
    for (at, stage) in stages.iter().enumerate() {
        let dir = place.root().join(format!("cut-{at}"));
        let mut library = copied(&from, &dir);
        let mut first = Other::new();
        let mut n_calls = 0;
        let error = reindex_until(&mut library, &mut first, |_| {
            n_calls += 1;
            n_calls > at
        });
        assert!(matches!(error, Err(Error::Cancelled)), "{at}");
        // Everything in memory is lost, as after kill -9.
        drop(library);
        let mut library = Library::create_or_open(&dir, LibraryOptions::default()).unwrap();
        check(&library);
        let n_first = (first.n_pictures + first.n_texts) as u64;
        let status = library.status().unwrap();
        if *stage == Stage::Forget {
            assert_eq!(status.reindexing, [], "{at}: it is changed");
            assert_eq!(answers(&mut library, &mut Other::new()), expected, "{at}");
        } else {
            let other = &status.reindexing[0];
            assert_eq!((other.n_done, other.n_total), (n_first, N_IMAGES + N_TEXTS), "{at}");
            assert_eq!(answers(&mut library, &mut FakeEncoder::default()), before, "{at}");
        }
        n_first_runs.push(n_first);

        let mut second = Other::new();
        let report = reindex(&mut library, &mut second);
        assert_eq!(report.n_known, n_first, "{at}");
        let n_second = (second.n_pictures + second.n_texts) as u64;
        assert_eq!(n_first + n_second, N_IMAGES + N_TEXTS, "{at}: nothing is encoded twice");
        assert_eq!(answers(&mut library, &mut Other::new()), expected, "{at}");
        assert_eq!(library.status().unwrap().reindexing, []);
        check(&library);
    }
    assert!(n_first_runs.is_sorted() && n_first_runs[0] < N_IMAGES, "control: {n_first_runs:?}");
}

#[test]
fn a_change_that_is_half_done_does_not_hinder_index_and_forget() {
    let place = Place::new();
    let mut library = filled(&place);
    let mut other = Other::new();
    reindex_until(&mut library, &mut other, |_| true).unwrap_err();
    assert_eq!(library.status().unwrap().reindexing[0].n_done, 32);
    place.write("new.png", png(BLUE, 77));
    fs::remove_file(place.photo("39.png")).unwrap();
    let report = index(&mut library, &[place.photos()]);
    assert_eq!((report.images.added, report.images.forgotten), (1, 1));
    assert_eq!(library.forget(&[Selector::Path(place.photo("00.png"))]).unwrap().n_images, 1);
    let status = library.status().unwrap();
    assert_eq!(status.space.unwrap().model, "fake");
    assert_eq!(status.reindexing[0].n_done, 32, "the copy of 00.png needs its embedding");
    assert_eq!(library.forget(&[Selector::Path(place.photo("copy.png"))]).unwrap().n_images, 1);
    assert_eq!(library.status().unwrap().reindexing[0].n_done, 31);
    check(&library);
    let report = reindex(&mut library, &mut other);
    assert_eq!((report.n_images, report.left_out.n_total), (N_IMAGES - 1 - 31, 0));
    let hits = library.search(&mut other, &Query::text("red").k(99)).unwrap();
    let new = place.photo("new.png").display().to_string();
    assert!(hits.iter().any(|hit| hit.item.source.to_string() == new));
    assert_eq!(hits.len() as u64, N_IMAGES + 1 + 1 - 3);
    check(&library);
}

/// What is gone or has changed stays as it is, unfound, until it is back.
#[test]
fn items_whose_picture_is_away_stay_and_come_back() {
    let place = Place::new();
    let names = ["gone.png", "changed.png", "here.png", "secret.png"];
    for (n, name) in names.iter().enumerate() {
        place.write(name, png(RED, n as u32));
    }
    place.write("captions.jsonl", r#"{"image":"gone.png","caption":"a red thing"}"#);
    let members = [("a.png", png(GREEN, 0)), ("b.png", png(BLUE, 0))];
    let tar = place.tar("t.tar", &members);
    let mut library = writer(&place);
    let mut fake = FakeEncoder::default();
    index(&mut library, &[place.photos(), tar.clone()]);
    let inline = library.add_image(&mut fake, "inline", &png(YELLOW, 0), Metadata::new()).unwrap();
    let all = ids(&mut library, &Query::text("red").k(99));
    assert_eq!(all.len(), 7, "control");

    fs::rename(place.photo("gone.png"), place.root().join("gone.png")).unwrap();
    let good = fs::read(place.photo("changed.png")).unwrap();
    place.write("changed.png", png(BLUE, 9));
    place.tar("t.tar", &members[..1]);
    let mut other = Other::new();
    let report = reindex(&mut library, &mut other);
    assert_eq!((report.n_images, report.n_texts), (3, 1));
    let reasons: Vec<String> =
        report.left_out.listed.iter().map(|skip| skip.reason.clone()).collect();
    let paths = report.left_out.listed.iter().map(|skip| skip.path.display().to_string());
    let paths: Vec<String> = paths.map(|path| path.rsplit('/').next().unwrap().into()).collect();
    let mut sorted: Vec<_> = paths.iter().zip(&reasons).collect();
    sorted.sort();
    assert_eq!(
        sorted.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["changed.png", "gone.png", "inline", "t.tar!b.png"]
    );
    for ((_, reason), expected) in
        sorted.iter().zip(["has changed", "is gone", "app handed it over", "not in its archive"])
    {
        assert!(reason.contains(expected), "{reason}");
    }
    check(&library);
    let hits = library.search(&mut other, &Query::text("red").to(Target::Any).k(99)).unwrap();
    assert_eq!(hits.len(), 4, "three pictures and the caption of one that is away");
    let gone = library.item(hits.iter().find_map(|hit| hit.item.image).unwrap()).unwrap().unwrap();
    assert_eq!((gone.status, gone.facts.is_some()), (Status::Failed, true));
    assert!(gone.reason.unwrap().contains("is gone"));

    // Back where they were, one of them under another name, they are the items that they were.
    fs::rename(place.root().join("gone.png"), place.photo("back.png")).unwrap();
    fs::write(place.photo("changed.png"), good).unwrap();
    place.tar("t.tar", &members);
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let roots = [place.photos(), tar];
    let report = library.index(&mut other, &roots, &IndexOptions::default(), &mut go_on).unwrap();
    assert_eq!(
        (report.images.added, report.images.moved, report.images.updated),
        (0, 1, 2),
        "{report:?}"
    );
    assert_eq!(
        library.add_image(&mut other, "inline", &png(YELLOW, 0), Metadata::new()).unwrap(),
        inline
    );
    let hits = library.search(&mut other, &Query::text("red").k(99)).unwrap();
    let mut now: Vec<ItemId> = hits.iter().map(|hit| hit.item.id).collect();
    let mut before = all;
    now.sort();
    before.sort();
    assert_eq!(now, before);
    check(&library);
}

/// Neither its size nor its time has changed, so only the failure says that it is to be read again.
#[test]
fn a_tar_that_was_away_is_read_again() {
    let place = Place::new();
    let tar = place.tar("t.tar", &[("a.png", png(GREEN, 0)), ("b.png", png(BLUE, 0))]);
    place.write("c.png", png(RED, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos(), tar.clone()]);
    let away = place.root().join("away.tar");
    fs::rename(&tar, &away).unwrap();
    // The tar is a root of its own: that it is gone is noticed before anything is done.
    let mut other = Other::new();
    let error = reindex_until(&mut library, &mut other, |_| false).unwrap_err();
    assert!(matches!(error, Error::MissingRoot { n_items: 2, .. }), "{error}");
    fs::create_dir(&tar).unwrap();
    fs::write(tar.join("x"), "").unwrap();
    let report = reindex(&mut library, &mut other);
    assert_eq!((report.n_images, report.left_out.n_total), (1, 2));
    check(&library);
    fs::remove_dir_all(&tar).unwrap();
    fs::rename(&away, &tar).unwrap();
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let report = library.index(&mut other, &[tar], &IndexOptions::default(), &mut go_on).unwrap();
    assert_eq!((report.images.updated, report.images.added, report.images.forgotten), (2, 0, 0));
    assert_eq!(library.search(&mut other, &Query::text("red").k(9)).unwrap().len(), 3);
    check(&library);
}

#[test]
fn a_library_whose_pictures_are_all_away_keeps_its_model() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let root = place.photos();
    fs::rename(&root, place.root().join("unmounted")).unwrap();
    for _ in 0..2 {
        let error = reindex_until(&mut library, &mut Other::new(), |_| false).unwrap_err();
        assert!(matches!(error, Error::MissingRoot { n_items: 1, .. }), "{error}");
        assert_eq!(found(&mut library, &Query::text("red")), ["a.png"]);
        check(&library);
        let _there_but_empty = fs::create_dir(&root);
    }

    let place = Place::new();
    let mut library = writer(&place);
    let mut fake = FakeEncoder::default();
    library.add_image(&mut fake, "inline", &png(RED, 0), Metadata::new()).unwrap();
    library.add_text(&mut fake, "note", "red", Metadata::new()).unwrap();
    let error = reindex_until(&mut library, &mut Other::new(), |_| false).unwrap_err();
    assert!(matches!(error, Error::NoSources { n_images: 1, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(found(&mut library, &Query::text("red")), ["inline"]);
    check(&library);
}

#[test]
fn what_was_begun_is_given_up_for_the_librarys_own_model_or_for_a_third() {
    let place = Place::new();
    let mut library = filled(&place);
    let mut fake = FakeEncoder::default();
    let before = answers(&mut library, &mut fake);
    reindex_until(&mut library, &mut Other::new(), |_| true).unwrap_err();
    assert_eq!(library.status().unwrap().reindexing.len(), 1, "control");
    let begun = vector(&mut Other::new(), RED, 0);
    assert!(is_in_a_file(&place, &begun), "control");
    let report = reindex(&mut library, &mut fake);
    assert_eq!((report.n_images, report.n_known), (0, N_IMAGES + N_TEXTS));
    assert_eq!(library.status().unwrap().reindexing, []);
    assert!(!is_in_a_file(&place, &begun));
    assert_eq!(answers(&mut library, &mut fake), before);
    check(&library);

    reindex_until(&mut library, &mut Other::new(), |_| true).unwrap_err();
    let mut third = FakeEncoder::new("third");
    assert_eq!(reindex(&mut library, &mut third).n_images, N_IMAGES);
    assert_eq!(library.status().unwrap().reindexing, []);
    assert!(!is_in_a_file(&place, &begun));
    check(&library);
    // And back to a model that it had before.
    assert_eq!(reindex(&mut library, &mut fake).n_images, N_IMAGES);
    assert_eq!(answers(&mut library, &mut fake), before);
    check(&library);
}

/// More embeddings than one transaction removes, and a stop after the first of them.
#[test]
fn what_a_crash_left_of_the_old_model_is_removed_by_the_next_index() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    let texts: Vec<String> = (0..300).map(|n| format!("w{n} x{} y{}", n * 7, n * 13)).collect();
    let row = |text| format!("{{\"image\":\"a.png\",\"caption\":\"{text}\"}}\n");
    place.write("captions.jsonl", texts.iter().map(row).collect::<String>());
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let bytes = |embedding: &mmsearch::Embedding| -> Vec<u8> {
        embedding.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let old = FakeEncoder::default().encode_texts(&texts).unwrap();
    let n_left = || old.iter().filter(|old| is_in_a_file(&place, &bytes(old))).count();
    assert_eq!(n_left(), 300, "control");

    let mut other = Other::new();
    let at_forget = |progress: &Progress| progress.stage == Stage::Forget;
    reindex_until(&mut library, &mut other, at_forget).unwrap_err();
    assert!((1..300).contains(&n_left()), "control: {} are left", n_left());
    check(&library);
    drop(library);
    let mut library = writer(&place);
    index_by(&mut library, &mut other, &place);
    assert_eq!(n_left(), 0);
    check(&library);
}

/// The snapshot that was written for the change is no one's yet, but holds vectors.
#[test]
fn forgetting_reaches_into_a_change_that_is_half_done() {
    let at_switch = |progress: &Progress| progress.stage == Stage::Switch;
    let place = Place::new();
    let mut library = filled(&place);
    reindex_until(&mut library, &mut Other::new(), at_switch).unwrap_err();
    let trace = vector(&mut Other::new(), RED, 0);
    assert!(is_in_a_file(&place, &trace), "control");
    let paths = ["00.png", "copy.png"].map(|name| Selector::Path(place.photo(name)));
    library.forget(&paths).unwrap();
    assert!(!is_in_a_file(&place, &trace));
    check(&library);
    reindex(&mut library, &mut Other::new());
    check(&library);

    // A library that has no snapshot of its own, so that forgetting writes none either.
    let place = Place::new();
    let mut library = writer(&place);
    let mut fake = FakeEncoder::default();
    let note = library.add_text(&mut fake, "note", "red", Metadata::new()).unwrap();
    reindex_until(&mut library, &mut Other::new(), at_switch).unwrap_err();
    assert_eq!(place.library_files("snapshot-2").len(), 1, "control");
    assert_eq!(found(&mut library, &Query::text("red").to(Target::Text)), ["red"]);
    assert!(library.take_warnings().is_empty());
    library.forget(&[Selector::Id(note)]).unwrap();
    assert!(place.library_files("snapshot-").is_empty());
    check(&library);
}

#[test]
fn a_picture_that_the_new_model_refuses_is_left_out_for_good() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("b.png", png(GREEN, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let mut picky = Picky(FakeEncoder::new("picky"));
    let report = reindex(&mut library, &mut picky);
    assert_eq!((report.n_images, report.left_out.n_total), (1, 1));
    assert!(report.left_out.listed[0].reason.contains("I do not like green"));
    assert_eq!(library.search(&mut picky, &Query::text("red").k(9)).unwrap().len(), 1);
    let report = index_by(&mut library, &mut picky, &place);
    assert_eq!((report.images.unchanged, report.skipped.n_total), (1, 1));
    check(&library);
}

#[test]
fn readers_and_empty_libraries() {
    let place = Place::new();
    let mut library = writer(&place);
    assert_eq!(reindex(&mut library, &mut Other::new()), Reindexed::default());
    assert_eq!(library.space().unwrap().unwrap().model, "other");
    place.write("a.png", png(RED, 0));
    assert_eq!(index(&mut library, &[place.photos()]).images, added(1));
    let mut reader = Library::open(&place.library()).unwrap();
    let error = reindex_until(&mut reader, &mut Other::new(), |_| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(
        best(&mut reader, &mut FakeEncoder::default(), "red"),
        place.photo("a.png").display().to_string()
    );
    reindex(&mut library, &mut Other::new());
    // A reader that was open all the time is told by what its library is filled now.
    let error = reader.search(&mut FakeEncoder::default(), &Query::text("red")).unwrap_err();
    assert!(error.to_string().contains("was filled by model other"), "{error}");
    assert_eq!(reader.search(&mut Other::new(), &Query::text("blue")).unwrap().len(), 1);
    check(&library);
}
