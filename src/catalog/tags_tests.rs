//! Tags and descriptions: what is written comes back, what is damaged is named, and they go with their item.

use super::tests::filled;
use super::*;
use crate::tag::Tag;

fn tags(texts: &[&str]) -> Vec<Tag> {
    texts.iter().map(|text| Tag::new(text).unwrap()).collect()
}

/// Control: the same tag is read before the byte is changed.
#[test]
fn a_damaged_tag_is_named_and_tags_go_with_their_item() {
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, _, id) = filled(dir.path());
    let tag = |text: &str| Tag::new(text).unwrap();
    let mut batch = catalog.batch().unwrap();
    assert!(batch.add_tag(id, &tag("dog"), TagOrigin::User).unwrap());
    assert!(!batch.add_tag(id, &tag("dog"), TagOrigin::User).unwrap());
    assert!(batch.add_tag(id, &tag("dog"), TagOrigin::File).unwrap());
    assert!(batch.add_tag(id, &tag("sea"), TagOrigin::File).unwrap());
    batch.commit().unwrap();
    let view = catalog.view();
    let tags: Vec<_> =
        view.tags_of(id).unwrap().into_iter().map(|it| (it.tag, it.origin)).collect();
    let expected = [
        (tag("dog"), TagOrigin::File),
        (tag("dog"), TagOrigin::User),
        (tag("sea"), TagOrigin::File),
    ];
    assert_eq!(tags, expected);
    assert_eq!(view.tag_counts().unwrap(), [("dog".into(), 1), ("sea".into(), 1)]);
    for damage in ["tag = 'cat'", "origin = 'user'", "checksum = 1"] {
        let savepoint = format!("SAVEPOINT s; UPDATE tags SET {damage} WHERE tag = 'sea'");
        catalog.connection.execute_batch(&savepoint).unwrap();
        let error = catalog.view().tags_of(id).unwrap_err().to_string();
        assert!(error.contains("a tag of item 1: the checksum does not match"), "{error}");
        let mut reasons = Vec::new();
        catalog.view().each_tag(|tag| reasons.extend(tag.err())).unwrap();
        assert_eq!(reasons.len(), 1);
        catalog.connection.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
    }
    let mut batch = catalog.batch().unwrap();
    assert!(
        batch.remove_tag(id, &tag("dog")).unwrap() && !batch.remove_tag(id, &tag("x")).unwrap()
    );
    batch.remove_item(id).unwrap();
    batch.commit().unwrap();
    assert_eq!(catalog.view().tag_counts().unwrap(), []);
    assert_eq!(catalog.view().integrity().unwrap(), Vec::<String>::new());
}

/// Control: the same description is read before the byte is changed.
#[test]
fn a_damaged_description_is_named_and_descriptions_go_with_their_item() {
    use DescriptionOrigin::{File, Sidecar};
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, _, id) = filled(dir.path());
    let mut batch = catalog.batch().unwrap();
    batch.set_description(id, File, Some("a dog")).unwrap();
    batch.set_description(id, Sidecar, Some("an old text")).unwrap();
    batch.set_description(id, Sidecar, Some("our dog")).unwrap();
    batch.commit().unwrap();
    let said = |catalog: &Catalog| -> Vec<_> {
        let found = catalog.view().descriptions_of(id).unwrap();
        found.into_iter().map(|it| (it.item, it.origin, it.text)).collect()
    };
    let both = [(id, File, "a dog".to_owned()), (id, Sidecar, "our dog".to_owned())];
    assert_eq!(said(&catalog), both);
    assert_eq!(catalog.view().items_with_sidecar().unwrap(), [id].into());
    for damage in ["text = 'a cat'", "checksum = 1"] {
        let savepoint =
            format!("SAVEPOINT s; UPDATE descriptions SET {damage} WHERE origin = 'file'");
        catalog.connection.execute_batch(&savepoint).unwrap();
        let error = catalog.view().descriptions_of(id).unwrap_err().to_string();
        assert!(error.contains("a description of item 1: the checksum does not match"), "{error}");
        let mut reasons = Vec::new();
        catalog.view().each_description(|found| reasons.extend(found.err())).unwrap();
        assert_eq!(reasons.len(), 1);
        catalog.connection.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
    }
    let mut batch = catalog.batch().unwrap();
    batch.set_description(id, Sidecar, None).unwrap();
    batch.commit().unwrap();
    assert_eq!(said(&catalog), both[..1]);
    let mut batch = catalog.batch().unwrap();
    batch.remove_item(id).unwrap();
    batch.commit().unwrap();
    assert_eq!(said(&catalog), []);
    assert_eq!(catalog.view().integrity().unwrap(), Vec::<String>::new());
}

/// What a person says stays, what the file says is what it says now.
#[test]
fn tags_of_the_file_replace_those_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, _, id) = filled(dir.path());
    let mut batch = catalog.batch().unwrap();
    batch.add_tag(id, &tags(&["dog"])[0], TagOrigin::User).unwrap();
    batch.set_file_tags(id, &tags(&["dog", "cat"])).unwrap();
    batch.set_file_tags(id, &tags(&["sea"])).unwrap();
    batch.commit().unwrap();
    let stored = catalog.view().tags_of(id).unwrap();
    let stored: Vec<_> = stored.iter().map(|it| (it.tag.as_str(), it.origin)).collect();
    assert_eq!(stored, [("dog", TagOrigin::User), ("sea", TagOrigin::File)]);
}
