//! The catalog's answers to conditions: the same as the plain evaluation's, whatever the values are.

use proptest::prelude::*;

use super::*;
use crate::condition::samples::{self, Sample};
use crate::condition::{Condition, Facts};
use crate::embedding::Embedding;
use crate::item::{ContentHash, Item, ItemId, Metadata, Modality, Source, Status};
use crate::tag::Tag;

/// A catalog of the samples, their captions and descriptions, and all its items with what is known of them.
fn filled(dir: &Path, samples: Vec<Sample>) -> (Catalog, SpaceId, Vec<Sample>) {
    let mut catalog = Catalog::create_or_open(dir).unwrap();
    let mut batch = catalog.batch().unwrap();
    let space = batch.set_space("f00d", "fake", 2).unwrap().id;
    let mut all = Vec::new();
    for mut sample in samples {
        sample.item.id = batch.add_item(sample.item.clone(), 0).unwrap();
        for tag in &sample.tags {
            batch.add_tag(sample.item.id, &Tag::new(tag).unwrap(), TagOrigin::User).unwrap();
        }
        // In turn an item, what the file says, and what the text beside it says, beginning with any of them.
        for (n, text) in sample.captions.iter().enumerate() {
            let origins = [None, Some(DescriptionOrigin::File), Some(DescriptionOrigin::Sidecar)];
            if let Some(origin) = origins[(n + sample.tags.len()) % 3] {
                batch.set_description(sample.item.id, origin, Some(text)).unwrap();
                continue;
            }
            let mut caption = caption(sample.item.id, n as u32, text);
            caption.id = batch.add_item(caption.clone(), 0).unwrap();
            all.push(Sample { item: caption, tags: vec![], captions: vec![] });
        }
        all.push(sample);
    }
    for Sample { item, .. } in &all {
        let hash = item.content_hash.unwrap();
        if item.status != Status::Failed
            && !batch.view().has_embedding(space, item.modality, hash).unwrap()
        {
            let embedding = Embedding::normalized(vec![1.0, 2.0]).unwrap();
            batch.add_embedding(space, item.modality, hash, embedding).unwrap();
        }
    }
    batch.commit().unwrap();
    (catalog, space, all)
}

fn caption(image: ItemId, n: u32, text: &str) -> Item {
    Item {
        id: ItemId(0),
        modality: Modality::Text,
        source: Source::ManifestRow {
            manifest: "/b/c.jsonl".into(),
            line: image.0.cast_unsigned(),
            caption: n,
        },
        content_hash: Some(ContentHash(*blake3::hash(text.as_bytes()).as_bytes())),
        size_bytes: text.len() as u64,
        modified_ns: None,
        status: Status::Ok,
        reason: None,
        facts: None,
        text: Some(text.into()),
        image: Some(image),
        metadata: Metadata::new(),
    }
}

/// Asks both, for both modalities; how many embeddings were allowed.
fn compare(
    catalog: &Catalog,
    space: SpaceId,
    all: &[Sample],
    condition: &Condition,
) -> Result<usize> {
    let view = catalog.view();
    let mut n_allowed = 0;
    for modality in Modality::ALL {
        let matching: Vec<&Item> = all
            .iter()
            .filter(|sample| {
                let Sample { item, tags, captions } = sample;
                let is_findable = item.modality == modality && item.status != Status::Failed;
                is_findable && condition.matches(Facts { item, tags, captions })
            })
            .map(|sample| &sample.item)
            .collect();
        let mut expected = Vec::new();
        for key in view.embedding_keys(space, modality)? {
            let hash = view.embedding(key)?.unwrap().content_hash;
            let mut of_content: Vec<ItemId> = matching
                .iter()
                .filter(|item| item.content_hash == Some(hash))
                .map(|item| item.id)
                .collect();
            of_content.sort_unstable();
            let found = view.items_of_where(modality, hash, condition, usize::MAX)?;
            let found: Vec<ItemId> = found.iter().map(|stored| stored.item.id).collect();
            assert_eq!(found, of_content, "{condition}");
            if !found.is_empty() {
                expected.push(key);
            }
        }
        let keys = view.keys_where(space, modality, condition)?;
        assert_eq!(keys, expected, "{modality:?}: {condition}");
        n_allowed += keys.len();
    }
    Ok(n_allowed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn sqlite_and_the_plain_evaluation_agree(
        samples in (1..13i64).map(samples::sample).collect::<Vec<_>>(),
        conditions in prop::collection::vec(samples::condition(), 60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, space, all) = filled(dir.path(), samples);
        for condition in conditions {
            compare(&catalog, space, &all, &condition).unwrap();
        }
    }
}

fn photo(path: &str, content: u8) -> Item {
    Item {
        modality: Modality::Image,
        source: Source::File { path: path.into() },
        content_hash: Some(ContentHash([content; 32])),
        text: None,
        image: None,
        ..caption(ItemId(0), 0, "")
    }
}

fn sample(path: &str, content: u8) -> Sample {
    Sample { item: photo(path, content), tags: vec![], captions: vec![] }
}

#[test]
fn an_attempt_to_break_out_is_a_value() {
    let attempts = [
        "'; DROP TABLE items; --",
        "\"; DELETE FROM items; --",
        "x' OR '1'='1",
        "?1",
        ":a",
        "\\'",
        "%'; --",
        "1); DROP TABLE tags; --",
        "x\u{1}\n",
        "𝔻'\"`",
    ];
    for attempt in attempts {
        let dir = tempfile::tempdir().unwrap();
        let mut named = sample(&format!("/a/{attempt}"), 1);
        named.item.metadata = Metadata::from([(attempt.to_owned(), attempt.into())]);
        let (catalog, space, all) = filled(dir.path(), vec![named, sample("/a/b", 2)]);
        let quoted = format!("'{}'", attempt.replace('\'', "''"));
        let key = format!("\"{}\"", attempt.replace('"', "\"\""));
        for (condition, n_allowed) in [
            (format!("name = {quoted}"), 1),
            (format!("path = '/a/{}'", &quoted[1..quoted.len() - 1]), 1),
            (format!("name != {quoted}"), 1),
            (format!("tag = {quoted}"), 0),
            (format!("camera in (x, {quoted})"), 0),
            (format!("format != {quoted}"), 0),
            (format!("camera like {quoted} or tag glob {quoted}"), 0),
            (format!("root = {quoted}"), 0),
            (format!("caption like {quoted}"), 0),
            (format!("meta.{key} = {quoted}"), 1),
            (format!("not meta.{key}.{key} = {quoted}"), 2),
        ] {
            let condition = Condition::parse(&condition).unwrap();
            assert_eq!(
                compare(&catalog, space, &all, &condition).unwrap(),
                n_allowed,
                "{condition}"
            );
        }
        assert_eq!(catalog.view().integrity().unwrap(), Vec::<String>::new());
        assert_eq!(catalog.view().n_items_under(Path::new("/a")).unwrap(), 2);
    }
}

#[test]
fn the_longest_and_deepest_conditions_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, space, all) = filled(dir.path(), vec![sample("/a/b", 1)]);
    let long = format!("has_gps{}", " or has_gps".repeat(900));
    let list = format!("size in (0{})", ",0".repeat(4_900));
    let deep = format!("{}type=text{}", "not(".repeat(50), " or has_gps and has_gps)".repeat(50));
    let dates = format!("modified not in (1970{}) and has_gps", ",1970".repeat(1_900));
    let wide = format!("tag=a{}", " and tag=a".repeat(999));
    let captions = format!("caption not in (a{}) or has_gps", ",a".repeat(4_900));
    let both = format!("(taken=1970 or modified=1970){}", " and tag=a".repeat(997));
    for text in [long, list, deep, dates, wide, captions, both] {
        let condition = Condition::parse(&text).unwrap();
        compare(&catalog, space, &all, &condition).unwrap();
    }
}

#[test]
fn a_damaged_value_fails_no_filter() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, space, _) = filled(dir.path(), vec![sample("/a/b", 1), sample("/a/c", 2)]);
    let damage = "UPDATE items SET metadata = '{\"n\": ' WHERE id = 1";
    catalog.connection.execute(damage, []).unwrap();
    let damage = "UPDATE items SET text = CAST(x'ff' AS TEXT) WHERE id = 1";
    catalog.connection.execute(damage, []).unwrap();
    for (text, expected) in [("meta.n = 1", &[][..]), ("caption = x", &[]), ("name = c", &[2])] {
        let condition = Condition::parse(text).unwrap();
        assert_eq!(
            catalog.view().keys_where(space, Modality::Image, &condition).unwrap(),
            expected
        );
    }
}
