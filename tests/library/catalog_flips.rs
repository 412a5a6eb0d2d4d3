//! Any byte of the catalog may be another than it was: then `check` says so, or it makes no difference.
//!
//! Whatever `check` finds, nothing that is returned is wrong: a row that is damaged is left out with a warning, or fails what
//! needs it.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{Library, Selector};
use mmsearch::{
    Condition, Error, ErrorKind, Hit, Item, ItemId, Mode, Query, Result, Tag, Target, Term,
};

use crate::common::{BLUE, GREEN, Place, RED, Said, YELLOW, jpeg_saying, png};
use crate::{check, index, writer};

/// Bytes that are changed, one at a time.
const N_FLIPS: u64 = 400;

/// Items that are asked for one by one: all there are, and some that there are not.
const N_IDS: i64 = 24;

/// What a library answers to one question.
#[derive(Debug)]
struct Answer {
    question: String,
    /// What came back, piece by piece: hits, captions, tags, counts.
    pieces: Result<Vec<String>>,
    warnings: Vec<String>,
    /// Whether what is missing must be told at once. What indexes of values and words say is believed until `check` is asked,
    /// and a row that is not where its id says is as if it had been forgotten.
    must_tell: bool,
}

/// A library that has rows in every table, and files of its own that tell where it was damaged.
fn filled() -> Place {
    let place = Place::new();
    for (n, colour) in [RED, GREEN, BLUE, YELLOW, RED, GREEN].into_iter().enumerate() {
        place.write(&format!("{n}.png"), png(colour, n as u32));
    }
    place.write("copy.png", png(RED, 0));
    place.write("gone.png", png(BLUE, 99));
    let said = Said { xmp: (&["holiday", "beach"], "a quiet bay"), ..Said::default() };
    place.write("said.jpg", jpeg_saying(YELLOW, &said));
    place.write("1.txt", "what the sidecar says");
    place.write("bad.png", "no picture");
    let members = [("m/a.png", png(GREEN, 40)), ("m/b.png", png(BLUE, 41))];
    place.tar("some.tar", &members);
    place.write(
        "captions.jsonl",
        "{\"image\": \"0.png\", \"caption\": \"a dog runs\"}\n\
         {\"image\": \"2.png\", \"captions\": [\"the blue sea\", \"waves\"], \"year\": 1999}\n",
    );
    let mut library = writer(&place);
    index(&mut library, &[place.photos()]);
    fs::remove_file(place.photo("gone.png")).unwrap();
    place.write("new.png", png(RED, 77));
    index(&mut library, &[place.photos()]);
    let tags = ["dog", "old"].map(|tag| Tag::new(tag).unwrap());
    library.tag(&[ItemId(1), ItemId(3)], &tags, &[]).unwrap();
    check(&library);
    place
}

fn pieces<T: Debug>(answer: impl IntoIterator<Item = T>) -> Vec<String> {
    answer.into_iter().map(|piece| format!("{piece:?}")).collect()
}

/// Of a hit what does not depend on the others: the item and its score.
fn hit(hit: Hit) -> (Item, Option<f32>) {
    (hit.item, hit.score)
}

fn ask(library: &mut Library, photos: &Path) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut note = |library: &mut Library, question: String, must_tell, pieces| {
        let warnings = library.take_warnings();
        answers.push(Answer { question, pieces, warnings, must_tell });
    };
    for id in (1..=N_IDS).map(ItemId) {
        let item = library.item(id).map(pieces);
        note(library, format!("item {id}"), false, item);
        let captions = library.captions_of(id).map(pieces);
        note(library, format!("captions of {id}"), false, captions);
        let tags = library.tags_of(id).map(pieces);
        note(library, format!("tags of {id}"), false, tags);
        let embedding = library.embedding_of(id).map(pieces);
        note(library, format!("embedding of {id}"), false, embedding);
    }
    for (name, query) in queries() {
        let by_meaning = query.mode != Mode::Keyword && query.filter.is_none();
        let hits = library.search(&mut FakeEncoder::default(), &query);
        let hits = hits.map(|hits| pieces(hits.into_iter().map(hit)));
        note(library, name, by_meaning, hits);
    }
    let selected = library.select(&Selector::Path(photos.into())).map(pieces);
    note(library, "all".into(), false, selected);
    let counts = library.tag_counts().map(pieces);
    note(library, "tags".into(), false, counts);
    let status = library.status().map(|status| {
        let (items, roots) = (pieces(status.items), pieces(status.roots));
        [items, roots, pieces(status.snapshots), pieces(status.space), pieces(status.reindexing)]
            .concat()
    });
    note(library, "status".into(), false, status);
    answers
}

fn queries() -> Vec<(String, Query)> {
    let mut queries = Vec::new();
    for to in [Target::Image, Target::Text, Target::Any] {
        for exact in [false, true] {
            let query = Query { exact, ..Query::text("a red dog").to(to).k(50) };
            queries.push((format!("text to {to:?}, exact: {exact}"), query));
        }
        let words = Query::text("dog sea holiday sidecar").mode(Mode::Keyword).to(to).k(50);
        queries.push((format!("words to {to:?}"), words));
    }
    queries.push(("like the first".into(), Query::new(Term::Item(ItemId(1))).k(50)));
    for condition in [
        "tag = dog",
        "not tag = dog",
        "width >= 16",
        "caption = sea",
        "format = jpeg",
        "path glob '*/m/*'",
        "size > 100",
        "type = image",
    ] {
        let filter = Condition::parse(condition).unwrap();
        queries.push((condition.into(), Query::text("blue").k(50).filter(filter)));
    }
    queries
}

/// What differs from the answers of the library as it was.
#[derive(Debug, Default)]
struct Differences {
    /// Something came back that is in no answer of the library as it was, or is missing where that must be told.
    wrong: Vec<String>,
    /// Something is missing, and nothing was said.
    missing: Vec<String>,
    /// Something is missing with a warning, or an error came instead.
    told: Vec<String>,
}

fn compare(before: &[Answer], after: &[Answer]) -> Differences {
    let mut differences = Differences::default();
    for (before, after) in before.iter().zip(after) {
        let expected = before.pieces.as_ref().unwrap();
        match &after.pieces {
            Ok(pieces) if pieces == expected => {}
            Ok(pieces) => {
                // What a status or a list of tags says of a damaged library is what there is.
                let is_count = ["status", "tags"].contains(&after.question.as_str());
                let extra = pieces.iter().find(|piece| !expected.contains(piece));
                if let Some(extra) = extra.filter(|_| !is_count) {
                    differences.wrong.push(format!("{}: {extra}", after.question));
                }
                let list = match (after.warnings.is_empty(), after.must_tell) {
                    (true, true) => &mut differences.wrong,
                    (true, false) => &mut differences.missing,
                    (false, _) => &mut differences.told,
                };
                list.push(after.question.clone());
            }
            Err(error) => {
                assert!(is_told(error), "{}: {error:?}", after.question);
                differences.told.push(after.question.clone());
            }
        }
    }
    differences
}

/// Damage is called so, unless what is asked for cannot be found any more.
fn is_told(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Usage)
}

/// SplitMix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn no_byte_of_the_catalog_can_change_an_answer_unnoticed() {
    let place = filled();
    let file = place.library().join("catalog.db");
    let sound = fs::read(&file).unwrap();
    let mut library = Library::open(&place.library()).unwrap();
    let before = ask(&mut library, &place.photos());
    assert!(before.iter().all(|answer| answer.pieces.is_ok() && answer.warnings.is_empty()));
    assert_eq!(compare(&before, &ask(&mut library, &place.photos())).told, [""; 0]);
    drop(library);

    let (mut seed, mut n_named, mut n_refused, mut n_harmless) = (7, 0, 0, 0);
    let mut faults = Vec::new();
    for _ in 0..N_FLIPS {
        let mut bytes = sound.clone();
        let at = random(&mut seed) as usize % bytes.len();
        let bits = (random(&mut seed) % 255 + 1) as u8;
        bytes[at] ^= bits;
        place.library_files("catalog.db-").iter().for_each(|file| fs::remove_file(file).unwrap());
        fs::write(&file, &bytes).unwrap();
        let mut library = match Library::open(&place.library()) {
            Ok(library) => library,
            Err(error) => {
                let kinds = [ErrorKind::Corrupt, ErrorKind::Mismatch, ErrorKind::NotFound];
                assert!(kinds.contains(&error.kind()), "byte {at}: {error:?}");
                n_refused += 1;
                continue;
            }
        };
        let is_named = match library.check() {
            Ok(findings) => !findings.is_empty(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error:?}");
                true
            }
        };
        let differences = compare(&before, &ask(&mut library, &place.photos()));
        let Differences { wrong, missing, told } = &differences;
        let is_poorer = !missing.is_empty() || !told.is_empty();
        if !wrong.is_empty() || (is_poorer && !is_named) {
            faults.push(format!("byte {at} ^ {bits:#x}, named: {is_named}: {differences:?}"));
        }
        n_named += u64::from(is_named);
        n_harmless += u64::from(!is_named);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // All three happen, or these bytes tell nothing.
    assert!(
        n_refused > 0 && n_named > N_FLIPS / 10 && n_harmless > 0,
        "{n_refused} refused, {n_named} named, {n_harmless} harmless"
    );
    fs::write(&file, &sound).unwrap();
    place.library_files("catalog.db-").iter().for_each(|file| fs::remove_file(file).unwrap());
    check(&Library::open(&place.library()).unwrap());
}

/// Control: a change that comes with its right checksum, which `check` cannot see, is seen by the comparison.
#[test]
fn a_change_with_its_right_checksum_is_seen_by_the_comparison() {
    let place = filled();
    let mut library = writer(&place);
    let before = ask(&mut library, &place.photos());
    library.tag(&[ItemId(2)], &[Tag::new("dog").unwrap()], &[]).unwrap();
    check(&library);
    let Differences { wrong, missing, .. } = compare(&before, &ask(&mut library, &place.photos()));
    assert!(wrong.iter().any(|it| it.starts_with("tags of 2: ")), "{wrong:?}");
    assert!(wrong.iter().any(|it| it.starts_with("tag = dog: ")), "{wrong:?}");
    assert!(missing.contains(&"not tag = dog".into()), "{missing:?}");
}
