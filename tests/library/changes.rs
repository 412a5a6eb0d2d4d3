//! What becomes of items whose files are moved, copied, changed while they are read, or bad.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{IndexOptions, Library, Report, Selector, Tally};
use mmsearch::{ItemId, Query, Status, Tag};

use crate::common::{BLUE, GREEN, Place, RED, png};
use crate::encoders::{Counting, Picky};
use crate::{added, check, found, ids, index, writer};

fn index_with(
    library: &mut Library,
    encoder: &mut dyn Encoder,
    roots: &[PathBuf],
    retry_failed: bool,
) -> Report {
    let options = IndexOptions { retry_failed, ..IndexOptions::default() };
    library.index(encoder, roots, &options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The item of a file.
fn id_of(library: &Library, path: &Path) -> ItemId {
    let ids = library.select(&Selector::Path(path.into())).unwrap();
    assert_eq!(ids.len(), 1, "{}", path.display());
    ids[0]
}

/// Gives a file another time and leaves its bytes.
fn touch(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(77)).unwrap();
}

#[test]
fn a_renamed_directory_keeps_its_items_across_roots() {
    let place = Place::new();
    let name = |n: u32| format!("{n:03}.png");
    for n in 0..150 {
        place.write(&format!("old/{}", name(n)), png([RED, GREEN, BLUE][n as usize % 3], n));
    }
    let other = place.root().join("other");
    fs::create_dir(&other).unwrap();
    let other = other.canonicalize().unwrap();
    fs::write(other.join("here.png"), png(RED, 9_999)).unwrap();
    let mut library = writer(&place);
    let roots = [place.photos(), other.clone()];
    index(&mut library, &roots);
    let before: Vec<ItemId> =
        (0..150).map(|n| id_of(&library, &place.photo("old").join(name(n)))).collect();
    library.tag(&before[..1], &[Tag::new("kept").unwrap()], &[]).unwrap();

    fs::rename(place.photo("old"), other.join("new")).unwrap();
    place.write("left.png", png(BLUE, 9_998));
    let mut encoder = Counting::new();
    let report = index_with(&mut library, &mut encoder, &roots, false);
    let expected = Tally { added: 1, moved: 150, unchanged: 1, ..Tally::default() };
    assert_eq!((report.images, encoder.n_pictures.get()), (expected, 1));
    let after: Vec<ItemId> =
        (0..150).map(|n| id_of(&library, &other.join("new").join(name(n)))).collect();
    assert_eq!(after, before);
    assert_eq!(library.tags_of(before[0]).unwrap(), [Tag::new("kept").unwrap()]);
    check(&library);
}

#[test]
fn moved_while_a_copy_stays_or_appears() {
    let place = Place::new();
    let a = place.write("a.png", png(RED, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let id = id_of(&library, &a);
    // A copy is an item of its own; where it was copied from stays what it was. Nothing is encoded again.
    fs::copy(&a, place.photo("copy.png")).unwrap();
    let mut encoder = Counting::new();
    let report = index_with(&mut library, &mut encoder, &[place.photos()], false);
    let expected = Tally { added: 1, unchanged: 1, ..Tally::default() };
    assert_eq!((report.images, encoder.n_pictures.get()), (expected, 0));
    assert_eq!(id_of(&library, &a), id);
    let copy = id_of(&library, &place.photo("copy.png"));

    // Moved to one place and copied to another: one of the two is the item, the other is new; the old copy is neither.
    fs::copy(&a, place.photo("z.png")).unwrap();
    fs::rename(&a, place.photo("m.png")).unwrap();
    let report = index_with(&mut library, &mut encoder, &[place.photos()], false);
    let expected = Tally { added: 1, moved: 1, unchanged: 1, ..Tally::default() };
    assert_eq!((report.images, encoder.n_pictures.get()), (expected, 0));
    assert_eq!(id_of(&library, &place.photo("m.png")), id);
    assert_eq!(id_of(&library, &place.photo("copy.png")), copy);
    assert_eq!(ids(&mut library, &Query::text("red").k(9)).len(), 3);
    check(&library);
}

#[test]
fn a_renamed_tar_keeps_its_items() {
    let place = Place::new();
    let tar = place.tar("old.tar", &[("a.png", png(RED, 0)), ("b.png", png(BLUE, 0))]);
    let mut library = writer(&place);
    index(&mut library, &[tar.clone()]);
    let before = library.select(&Selector::Path(tar.clone())).unwrap();
    fs::rename(&tar, place.photo("new.tar")).unwrap();
    let report = index(&mut library, &[place.photo("new.tar")]);
    assert_eq!(report.images, Tally { moved: 2, ..Tally::default() });
    assert_eq!(library.select(&Selector::Path(place.photo("new.tar"))).unwrap(), before);
    assert_eq!(library.select(&Selector::Path(tar)).map_or(0, |left| left.len()), 0);
    check(&library);
}

#[test]
fn a_failed_file_that_is_moved_keeps_its_item() {
    let place = Place::new();
    let bad = place.write("bad.png", "no picture");
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let id = id_of(&library, &bad);
    fs::rename(&bad, place.photo("worse.png")).unwrap();
    assert_eq!(index(&mut library, &[place.photos()]).skipped.n_total, 1);
    assert_eq!(id_of(&library, &place.photo("worse.png")), id);
    check(&library);
}

/// The encoder refused green; another would take it, which shows what is tried again and what is not.
#[test]
fn what_failed_is_tried_again_when_its_bytes_change_or_when_asked() {
    let place = Place::new();
    let file = place.write("green.png", png(GREEN, 0));
    place.write("red.png", png(RED, 0));
    let tar = place.tar("t.tar", &[("g.png", png(GREEN, 1)), ("b.png", png(BLUE, 1))]);
    let roots = [place.photos(), tar.clone()];
    let mut library = writer(&place);
    let report = index_with(&mut library, &mut Picky(FakeEncoder::default()), &roots, false);
    assert_eq!((report.images.added, report.skipped.n_total), (2, 2));

    // As they were, or with another time: the same bytes are not decoded again, and what was wrong is said again.
    for _ in 0..2 {
        let mut encoder = Counting::new();
        let report = index_with(&mut library, &mut encoder, &roots, false);
        assert_eq!((report.skipped.n_total, encoder.n_pictures.get()), (2, 0));
        assert!(report.skipped.listed.iter().all(|skip| skip.reason.contains("green")));
        touch(&file);
        touch(&tar);
    }
    assert_eq!(found(&mut library, &Query::text("green").k(9)).len(), 2);

    // Asked for, all that failed is tried, and nothing else.
    let mut encoder = Counting::new();
    let report = index_with(&mut library, &mut encoder, &roots, true);
    assert_eq!((report.skipped.n_total, encoder.n_pictures.get()), (0, 2));
    let mut green = found(&mut library, &Query::text("green").k(2));
    green.sort();
    assert_eq!(green, ["g.png", "green.png"]);
    check(&library);

    // Other bytes are tried without being asked for.
    place.write("green.png", png(GREEN, 5));
    index_with(&mut library, &mut Picky(FakeEncoder::default()), &roots, false);
    place.write("green.png", png(GREEN, 6));
    let report = index_with(&mut library, &mut FakeEncoder::default(), &roots, false);
    assert!(report.is_clean(), "{report:?}");
    check(&library);
}

/// While somebody writes to a file without end, it is a failed one; afterwards it is read.
#[test]
fn a_file_that_changes_while_it_is_read_is_told_and_taken_later() {
    let place = Place::new();
    place.write("good.png", png(RED, 0));
    let growing = place.write("growing.png", png(GREEN, 0));
    let mut library = writer(&place);
    // Long enough that reading it takes longer than to write another byte.
    let mut file = File::options().append(true).open(&growing).unwrap();
    file.write_all(&vec![0; 32 << 20]).unwrap();
    let (begun, ended) = (Barrier::new(2), AtomicBool::new(false));
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            file.write_all(b"!").unwrap();
            begun.wait();
            // An end in any case, far below the limit of a file.
            for _ in 0..100_000_000 {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                file.write_all(b"!").unwrap();
            }
        });
        begun.wait();
        let report = index(&mut library, &[place.photos()]);
        ended.store(true, Ordering::SeqCst);
        report
    });
    assert_eq!((report.images, report.skipped.n_total), (added(1), 1));
    let reason = &report.skipped.listed[0].reason;
    assert!(reason.starts_with("changed while it was read"), "{reason}");
    let item = library.item(id_of(&library, &growing)).unwrap().unwrap();
    assert_eq!((item.status, item.content_hash), (Status::Failed, None));

    fs::write(&growing, png(GREEN, 0)).unwrap();
    assert!(index(&mut library, &[place.photos()]).is_clean());
    assert_eq!(found(&mut library, &Query::text("green").k(1)), ["growing.png"]);
    check(&library);
}
