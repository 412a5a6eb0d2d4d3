//! Derived files may be missing, old or damaged; answers stay right.

use std::fs;

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{Library, LibraryOptions, Selector, SnapshotState};
use mmsearch::{ItemId, Query};

use crate::common::{BLUE, GREEN, Place, RED, YELLOW, png};
use crate::{check, found, index, writer};

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
    let options = LibraryOptions { graph_threshold: 100, ..LibraryOptions::default() };
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

    // Forgetting does not wait for a new graph; the next run builds it.
    let has_graph = |library: &Library| match library.status().unwrap().snapshots[0].state {
        SnapshotState::Current { has_graph, n_dead: 0, .. } => has_graph,
        ref state @ (SnapshotState::None
        | SnapshotState::Current { .. }
        | SnapshotState::Unusable(_)) => panic!("{state:?}"),
    };
    library.forget(&[Selector::Path(place.photo("000.png"))]).unwrap();
    assert!(!has_graph(&library));
    assert_eq!(found(&mut library, &Query::text("red").k(10)).len(), 10);
    index(&mut library, &[place.photos()]);
    assert!(has_graph(&library));
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
        hits.iter().map(|hit| (hit.item.id, hit.score.unwrap())).collect()
    };
    let expected = answer(&mut library);
    assert!(library.take_warnings().is_empty(), "control");
    let snapshot = place.library_files("snapshot-").remove(0);
    let current = place.library().join("CURRENT");
    let good = fs::read(&snapshot).unwrap();
    let good_current = fs::read(&current).unwrap();
    drop(library);

    type Damage<'a> = Box<dyn Fn() + 'a>;
    let mut damages: Vec<(&str, Damage<'_>)> = vec![
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
    let scores = |library: &mut Library| -> Vec<(ItemId, f32)> {
        let hits = library.search(&mut FakeEncoder::default(), &query).unwrap();
        hits.iter().map(|hit| (hit.item.id, hit.score.unwrap())).collect()
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
