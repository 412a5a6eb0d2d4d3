//! Pages of the catalog are damaged, so that SQLite cannot read it as a whole: what can be read is salvaged.

use std::fs;
use std::ops::ControlFlow;

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{CheckOptions, Library, LibraryOptions, Selector};
use mmsearch::{Error, Tag};

use crate::common::{RED, png};
use crate::damage::Fixture;
use crate::{index, writer};

const PAGE: usize = 4096;

#[test]
fn any_page_may_be_lost_and_what_was_indexed_comes_back() {
    let fixture = Fixture::new();
    let catalog = fixture.place.library().join("catalog.db");
    let good = fs::read(&catalog).unwrap();
    let (mut n_salvaged, mut n_refused) = (0, 0);
    // The first page says that it is a catalog; without it nothing is.
    for page in 1..good.len() / PAGE {
        fixture.restore();
        let mut bytes = good.clone();
        bytes[page * PAGE..][..PAGE].fill(0xa5);
        fs::write(&catalog, &bytes).unwrap();
        let repaired = match fixture.try_repair(0) {
            Ok(repaired) => repaired,
            Err(Error::Corrupt { reason, .. }) => {
                assert!(reason.contains("nothing of it can be read"), "page {page}: {reason}");
                assert_eq!(fs::read(&catalog).unwrap(), bytes, "page {page}: it was touched");
                n_refused += 1;
                continue;
            }
            Err(error) => panic!("page {page}: {error}"),
        };
        assert_eq!(repaired.left, [], "page {page}: {repaired:?}");
        assert_eq!(fixture.check(true), [], "page {page}");
        let library = Library::open(&fixture.place.library()).unwrap();
        for name in ["a.jpg", "b.png", "c.png", "deep/d.png", "t.tar", "captions.csv"] {
            let found = library.select(&Selector::Path(fixture.place.photo(name))).unwrap();
            assert!(!found.is_empty(), "page {page}: {name}");
        }
        // What cannot be read again may be lost, which the file that is kept may still hold.
        n_salvaged += fixture.place.library_files("catalog.db.damaged-1").len();
    }
    assert!(n_salvaged > 5, "{n_salvaged} salvaged, {n_refused} refused");
    assert!(n_refused <= 4, "{n_refused} refused: only the schema is as precious as that");
}

/// A library of many photos, so that their rows fill pages of their own, and the pages that hold nothing but rows of items.
fn many() -> (Fixture, Vec<u8>, Vec<usize>) {
    let fixture = Fixture::new();
    for n in 0..120 {
        fixture.place.write(&format!("many/{n:03}.png"), png(RED, 100 + n));
    }
    let mut library = writer(&fixture.place);
    index(&mut library, &[fixture.place.photos()]);
    let tagged = library.select(&Selector::Path(fixture.place.photo("many"))).unwrap();
    library.tag(&tagged, &[Tag::new("precious").unwrap()], &[]).unwrap();
    library.forget(&[Selector::Path(fixture.place.photo("deep"))]).unwrap();
    drop(library);
    let good = fs::read(fixture.place.library().join("catalog.db")).unwrap();
    let holds = |page: &[u8]| {
        let rows = page.windows(9).filter(|it| *it == b"imagefile").count();
        // Byte 13 begins a leaf of a table, 10 one of an index.
        page[0] == 13 && rows > 3
    };
    let pages = (1..good.len() / PAGE).filter(|page| holds(&good[page * PAGE..][..PAGE])).collect();
    (fixture, good, pages)
}

fn smash(fixture: &Fixture, good: &[u8], page: usize) {
    let mut bytes = good.to_vec();
    bytes[page * PAGE..][..PAGE].fill(0xa5);
    fs::write(fixture.place.library().join("catalog.db"), bytes).unwrap();
}

/// Items whose rows are lost come back under their ids and with their tags, because an index still says where they were.
#[test]
fn rows_that_are_lost_come_back_as_they_were() {
    let (fixture, good, pages) = many();
    assert!(pages.len() > 3, "{pages:?}");
    let all = |library: &mut Library| {
        let selected = library.select(&Selector::Path(fixture.place.photo("many"))).unwrap();
        selected.iter().map(|&id| (id, library.tags_of(id).unwrap())).collect::<Vec<_>>()
    };
    let before = all(&mut Library::open(&fixture.place.library()).unwrap());
    assert_eq!(before.len(), 120);
    for page in [pages[0], pages[pages.len() / 2]] {
        smash(&fixture, &good, page);
        let repaired = fixture.try_repair(0).unwrap();
        assert_eq!(repaired.left, [], "page {page}: {repaired:?}");
        let mut library = Library::open(&fixture.place.library()).unwrap();
        assert_eq!(all(&mut library), before, "page {page}");
    }
}

/// What a salvage owes is not forgotten when it is stopped: not by a model that is not the library's, and at no step.
#[test]
fn a_salvage_that_is_stopped_goes_on() {
    let (fixture, good, pages) = many();
    let page = pages[1];
    smash(&fixture, &good, page);
    let mut library =
        Library::open_for_repair(&fixture.place.library(), LibraryOptions::default()).unwrap();
    let mut other = || Ok(Box::new(FakeEncoder::new("other")) as Box<dyn Encoder>);
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let error = library.repair(&mut other, &CheckOptions::default(), &mut go_on).unwrap_err();
    assert!(matches!(error, Error::ModelMismatch { .. }), "{error}");
    drop(library);
    assert!(!fixture.check(false).is_empty(), "what is owed is told");
    for stop_at in (1..).step_by(3) {
        match fixture.try_repair(stop_at) {
            Ok(_) => break,
            Err(Error::Cancelled) => {}
            Err(error) => panic!("stopped at {stop_at}: {error}"),
        }
    }
    assert_eq!(fixture.check(true), []);
    let library = Library::open(&fixture.place.library()).unwrap();
    let found = library.select(&Selector::Path(fixture.place.photo("many"))).unwrap();
    assert_eq!(found.len(), 120);
}

/// What is kept of a damaged catalog does not outlive what is forgotten.
#[test]
fn forgetting_reaches_into_what_was_kept() {
    let (fixture, good, pages) = many();
    smash(&fixture, &good, pages[1]);
    fixture.try_repair(0).unwrap();
    assert_eq!(fixture.place.library_files("catalog.db.damaged-1").len(), 1, "control");
    let mut library = writer(&fixture.place);
    library.forget(&[Selector::Path(fixture.place.photo("many/000.png"))]).unwrap();
    assert_eq!(fixture.place.library_files("catalog.db.damaged-").len(), 0);
    assert!(library.take_warnings().iter().any(|it| it.contains("catalog.db.damaged-1")));
}

/// Nobody reads a file that another one replaces.
#[test]
fn a_library_in_use_is_not_salvaged() {
    let (fixture, good, pages) = many();
    let reader = Library::open(&fixture.place.library()).unwrap();
    assert!(reader.status().is_ok());
    smash(&fixture, &good, pages[1]);
    match Library::open_for_repair(&fixture.place.library(), LibraryOptions::default()) {
        Err(Error::InUse { .. }) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was salvaged"),
    }
    drop(reader);
    assert_eq!(fixture.try_repair(0).unwrap().left, []);
}
