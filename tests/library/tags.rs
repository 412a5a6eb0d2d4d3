//! Tags: what the library keeps, refuses and forgets.

use mmsearch::library::{Library, Selector, Tagged};
use mmsearch::{Error, ErrorKind, ItemId, Tag};

use crate::common::{BLUE, Place, RED, png};
use crate::{check, index, writer};

fn tags(words: &[&str]) -> Vec<Tag> {
    words.iter().map(|word| Tag::new(word).unwrap()).collect()
}

#[test]
fn tags_are_changed_all_or_nothing() {
    let place = Place::new();
    place.write("a.png", png(RED, 0));
    place.write("b.png", png(BLUE, 0));
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    let items = library.select(&Selector::Path(place.photos())).unwrap();
    assert_eq!(items.len(), 2);
    let generation = |library: &Library| library.status().unwrap().generation;
    let before = generation(&library);

    let tagged = library.tag(&items, &tags(&["dog", "sea"]), &tags(&["cat"])).unwrap();
    assert_eq!(tagged, Tagged { n_added: 4, n_removed: 0 });
    let tagged = library.tag(&items[..1], &tags(&["dog", "cat"]), &tags(&["sea", "cat"])).unwrap();
    assert_eq!(tagged, Tagged { n_added: 1, n_removed: 1 });
    assert_eq!(generation(&library), before + 2);
    assert_eq!(library.tags_of(items[0]).unwrap(), tags(&["cat", "dog"]));
    let counts = [("cat".to_owned(), 1), ("dog".to_owned(), 2), ("sea".to_owned(), 1)];
    assert_eq!(library.tag_counts().unwrap(), counts);

    let refused = library.tag(&[items[0], ItemId(99)], &tags(&["x"]), &[]).unwrap_err();
    assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
    assert_eq!(library.tag_counts().unwrap(), counts);
    let nowhere = library.select(&Selector::Path(place.photo("c.png"))).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);

    let mut reader = Library::open(&place.library()).unwrap();
    assert_eq!(reader.tags_of(items[1]).unwrap(), tags(&["dog", "sea"]));
    assert!(reader.tag(&items, &tags(&["x"]), &[]).is_err(), "opened for reading");
    library.forget(&[Selector::Id(items[0])]).unwrap();
    assert_eq!(library.tags_of(items[0]).unwrap(), []);
    let counts = [("dog".to_owned(), 1), ("sea".to_owned(), 1)];
    assert_eq!(library.tag_counts().unwrap(), counts);
    check(&library);
}
