//! Libraries that older versions have left: each file of `fixtures/catalogs` is opened, searched and found to be sound.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use mmsearch::library::{Library, LibraryOptions};
use mmsearch::{Condition, ItemId, Mode, Query, Target, Term};

use crate::check;
use crate::common::Place;

#[test]
fn libraries_of_every_older_version_are_searched_and_sound() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalogs");
    let mut n_versions = 0;
    for entry in fs::read_dir(fixtures).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".db") {
            continue;
        }
        n_versions += 1;
        let place = Place::new();
        DirBuilder::new().mode(0o700).create(place.library()).unwrap();
        fs::copy(&file, place.library().join("catalog.db")).unwrap();
        // The first opening migrates, once by a reader and once by a writer.
        match n_versions % 2 {
            0 => drop(Library::open(&place.library()).unwrap()),
            _ => drop(writer(&place)),
        }
        let mut library = Library::open(&place.library()).unwrap();
        let mut found = |query: &Query| -> Vec<i64> {
            let hits = library.explained_without_encoder(query).unwrap().hits;
            hits.iter().map(|hit| hit.item.id.0).collect()
        };
        let like_the_first = Query::new(Term::Item(ItemId(1)));
        assert_eq!(found(&like_the_first), [2], "{name}");
        let red = Condition::parse("caption = 'red wall'").unwrap();
        let texts = like_the_first.clone().to(Target::Text);
        assert_eq!(found(&texts).len(), 2, "{name}");
        assert_eq!(found(&texts.filter(red)), [4], "{name}");
        assert_eq!(found(&Query::text("sea").mode(Mode::Keyword)), [2], "{name}");
        check(&library);
    }
    assert_eq!(n_versions, 5);
}

fn writer(place: &Place) -> Library {
    Library::create_or_open(&place.library(), LibraryOptions::default()).unwrap()
}
