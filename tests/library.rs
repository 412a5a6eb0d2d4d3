//! The library's promises, kept with a deterministic encoder. Every test ends with `check`.

mod common;

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use common::{BLUE, GREEN, Place, RED, YELLOW, jpeg, picture, png, png_bomb, replace_unnoticed};
use mmsearch::encoder::{Encoder, FakeEncoder, Preprocess, Space};
use mmsearch::library::{
    IndexOptions, Library, LibraryOptions, Report, Selector, SnapshotState, Tally,
};
use mmsearch::{
    Embedding, Error, ErrorKind, ItemId, Metadata, Pixels, Query, Result, Source, Status, Target,
    Term,
};

/// A fake that counts what it is asked to encode.
struct Counting {
    fake: FakeEncoder,
    n_pictures: Cell<usize>,
    n_texts: Cell<usize>,
}

impl Counting {
    fn new() -> Self {
        Self { fake: FakeEncoder::default(), n_pictures: Cell::new(0), n_texts: Cell::new(0) }
    }
}

impl Encoder for Counting {
    fn space(&self) -> &Space {
        self.fake.space()
    }
    fn preprocess(&self) -> &Preprocess {
        self.fake.preprocess()
    }
    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        self.n_pictures.set(self.n_pictures.get() + pictures.len());
        self.fake.encode_images(pictures)
    }
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.n_texts.set(self.n_texts.get() + texts.len());
        self.fake.encode_texts(texts)
    }
}

fn writer(place: &Place) -> Library {
    Library::create_or_open(&place.library(), LibraryOptions::default()).unwrap()
}

fn try_index(library: &mut Library, roots: &[PathBuf]) -> Result<Report> {
    let mut encoder = FakeEncoder::default();
    let mut go_on = |_: &_| ControlFlow::Continue(());
    library.index(&mut encoder, roots, &IndexOptions::default(), &mut go_on)
}

fn index(library: &mut Library, roots: &[PathBuf]) -> Report {
    try_index(library, roots).unwrap()
}

/// Paths (or texts) of what is found, best first.
fn found(library: &mut Library, query: &Query) -> Vec<String> {
    let hits = library.search(&mut FakeEncoder::default(), query).unwrap();
    hits.iter()
        .map(|hit| match (&hit.item.text, &hit.item.source) {
            (Some(text), _) => text.clone(),
            (None, Source::File { path }) => path.file_name().unwrap().display().to_string(),
            (None, Source::TarMember { member, .. }) => member.display().to_string(),
            (None, source) => source.to_string(),
        })
        .collect()
}

fn ids(library: &mut Library, query: &Query) -> Vec<ItemId> {
    let hits = library.search(&mut FakeEncoder::default(), query).unwrap();
    hits.iter().map(|hit| hit.item.id).collect()
}

fn check(library: &Library) {
    assert_eq!(library.check().unwrap(), []);
}

fn added(added: u64) -> Tally {
    Tally { added, ..Tally::default() }
}

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

/// An encoder that refuses every picture that is mostly green.
struct Picky(FakeEncoder);

impl Encoder for Picky {
    fn space(&self) -> &Space {
        self.0.space()
    }
    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }
    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        if pictures.iter().any(|picture| picture.rgb()[1] > 200) {
            return Err(Error::Encoder { reason: "I do not like green".into() });
        }
        self.0.encode_images(pictures)
    }
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.0.encode_texts(texts)
    }
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

/// An encoder that says one dimension and gives another.
struct Lying(FakeEncoder);

impl Encoder for Lying {
    fn space(&self) -> &Space {
        self.0.space()
    }
    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }
    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        pictures.iter().map(|_| Embedding::new(vec![0.6, 0.8])).collect()
    }
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.0.encode_texts(texts)
    }
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

#[test]
fn the_snapshot_follows_when_enough_has_changed() {
    let place = Place::new();
    for n in 0..20 {
        place.write(&format!("{n:02}.png"), png(RED, n));
    }
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let state = |library: &Library| library.status().unwrap().snapshots[0].state.clone();
    let SnapshotState::Current { generation, has_graph: false, n_tail: 0, n_dead: 0 } =
        state(&library)
    else {
        panic!("{:?}", state(&library));
    };
    // One of 21 is the tail, two of 22 are worth a new snapshot.
    place.write("20.png", png(BLUE, 20));
    index(&mut library, &[place.photos()]);
    let tail = SnapshotState::Current { generation, has_graph: false, n_tail: 1, n_dead: 0 };
    assert_eq!(state(&library), tail);
    assert_eq!(found(&mut library, &Query::text("blue").k(1)), ["20.png"]);
    fs::remove_file(place.photo("00.png")).unwrap();
    index(&mut library, &[place.photos()]);
    let behind = SnapshotState::Current { generation, has_graph: false, n_tail: 1, n_dead: 1 };
    assert_eq!(state(&library), behind);
    assert_eq!(found(&mut library, &Query::text("red").k(20)).len(), 20);
    place.write("21.png", png(GREEN, 21));
    index(&mut library, &[place.photos()]);
    assert!(matches!(state(&library), SnapshotState::Current { n_tail: 0, n_dead: 0, .. }));
    assert_eq!(place.library_files("snapshot-").len(), 1, "the old one is gone");
    check(&library);
}

#[test]
fn a_graph_answers_as_the_exact_scan_does() {
    let place = Place::new();
    let colours = [RED, GREEN, BLUE, YELLOW];
    for n in 0..400u32 {
        let colour = colours[n as usize % 4].map(|c| c.saturating_sub((n / 4) as u8));
        place.write(&format!("{n:03}.png"), png(colour, n.wrapping_mul(0x9E37_79B9)));
    }
    let options = LibraryOptions { graph_threshold: 100 };
    let mut library = Library::create_or_open(&place.library(), options).unwrap();
    index(&mut library, &[place.photos()]);
    let state = library.status().unwrap().snapshots[0].state.clone();
    assert!(matches!(state, SnapshotState::Current { has_graph: true, .. }), "{state:?}");
    let (mut n_same, mut n_all) = (0, 0);
    for text in ["red", "green and yellow", "blue", "a yellow thing", "black", "white cyan"] {
        let query = Query::text(text).k(10);
        let exact = found(&mut library, &Query { exact: true, ..query.clone() });
        let graph = found(&mut library, &query);
        assert_eq!(graph.len(), 10);
        n_same += graph.iter().filter(|name| exact.contains(name)).count();
        n_all += 10;
    }
    assert!(n_same * 10 >= n_all * 9, "{n_same} of {n_all}");
    check(&library);
}

/// Whatever happens to a derived file, the answers stay; what is noticed gives one warning and is mended.
#[test]
fn a_damaged_snapshot_never_changes_an_answer() {
    let place = Place::new();
    for n in 0..30 {
        place.write(&format!("{n:02}.png"), png([RED, GREEN, BLUE][n as usize % 3], n));
    }
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let query = Query::text("green").k(30);
    let answer = |library: &mut Library| -> Vec<(ItemId, f32)> {
        let hits = library.search(&mut FakeEncoder::default(), &query).unwrap();
        hits.iter().map(|hit| (hit.item.id, hit.score)).collect()
    };
    let expected = answer(&mut library);
    assert!(library.take_warnings().is_empty(), "control");
    let snapshot = place.library_files("snapshot-").remove(0);
    let current = place.library().join("CURRENT");
    let good = fs::read(&snapshot).unwrap();
    let good_current = fs::read(&current).unwrap();
    drop(library);

    let mut damages: Vec<(&str, Box<dyn Fn()>)> = vec![
        ("deleted", Box::new(|| fs::remove_file(&snapshot).unwrap())),
        ("empty", Box::new(|| fs::write(&snapshot, "").unwrap())),
        ("half", Box::new(|| fs::write(&snapshot, &good[..good.len() / 2]).unwrap())),
        ("no CURRENT", Box::new(|| fs::remove_file(&current).unwrap())),
        ("rubbish in CURRENT", Box::new(|| fs::write(&current, "{]").unwrap())),
        (
            "another file in CURRENT",
            Box::new(|| {
                fs::write(
                    &current,
                    r#"{"version":1,"snapshots":{"image":"snapshot-../../x.mms"}}"#,
                )
                .unwrap();
            }),
        ),
    ];
    for at in [0, 9, 20, 40, 60] {
        let (snapshot, good) = (&snapshot, &good);
        damages.push((
            "flipped",
            Box::new(move || {
                let mut bytes = good.clone();
                bytes[at] ^= 0x10;
                fs::write(snapshot, bytes).unwrap();
            }),
        ));
    }
    for (name, damage) in damages {
        fs::write(&snapshot, &good).unwrap();
        fs::write(&current, &good_current).unwrap();
        damage();
        let mut reader = Library::open(&place.library()).unwrap();
        assert_eq!(answer(&mut reader), expected, "{name}");
        let warnings = reader.take_warnings();
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert_eq!(answer(&mut reader), expected, "{name}");
        assert!(reader.take_warnings().is_empty(), "{name}: told once");
        assert!(!reader.check().unwrap().is_empty(), "{name}");
    }
    // The next run writes it anew.
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    assert_eq!(answer(&mut library), expected);
    assert!(library.take_warnings().is_empty());
    check(&library);
}

/// A flipped byte of a vector is not noticed when a snapshot is opened: it may cost a candidate, but every score
/// that comes back is right.
#[test]
fn scores_come_from_the_catalog() {
    let place = Place::new();
    for n in 0..30 {
        place.write(&format!("{n:02}.png"), png([RED, GREEN, BLUE][n as usize % 3], n));
    }
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let query = Query::text("green").k(30);
    let mut scores = |library: &mut Library| -> Vec<(ItemId, f32)> {
        let hits = library.search(&mut FakeEncoder::default(), &query).unwrap();
        hits.iter().map(|hit| (hit.item.id, hit.score)).collect()
    };
    let expected = scores(&mut library);
    let snapshot = place.library_files("snapshot-").remove(0);
    let good = fs::read(&snapshot).unwrap();
    drop(library);
    for at in (0..good.len()).step_by(97) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        fs::write(&snapshot, bytes).unwrap();
        let mut reader = Library::open(&place.library()).unwrap();
        assert_eq!(scores(&mut reader), expected, "byte {at}");
    }
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    check(&library);
}

#[test]
fn a_damaged_catalog_row_is_named_and_left_out() {
    let place = Place::new();
    for n in 0..5 {
        place.write(&format!("{n}.png"), png(RED, n));
    }
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    drop(library);
    // One byte of a path inside the database file.
    let file = place.library().join("catalog.db");
    let mut bytes = fs::read(&file).unwrap();
    let needle = b"/photos/3.png";
    let positions: Vec<usize> = (0..bytes.len() - needle.len())
        .filter(|&at| &bytes[at..at + needle.len()] == needle)
        .collect();
    assert!(!positions.is_empty(), "control");
    for at in positions {
        bytes[at + 8] = b'7';
    }
    fs::write(&file, bytes).unwrap();
    let mut reader = Library::open(&place.library()).unwrap();
    let names = found(&mut reader, &Query::text("red").k(9));
    assert_eq!(names.len(), 4);
    assert!(reader.take_warnings()[0].contains("item 4: the checksum does not match"));
    let findings = reader.check().unwrap();
    assert!(findings.iter().any(|finding| finding.reason.contains("item 4")), "{findings:?}");
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
