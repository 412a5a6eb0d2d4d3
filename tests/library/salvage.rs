//! Pages of the catalog are damaged, so that SQLite cannot read it as a whole: what can be read is salvaged.

use std::fs;

use mmsearch::Error;
use mmsearch::library::{Library, Selector};

use crate::damage::Fixture;

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
