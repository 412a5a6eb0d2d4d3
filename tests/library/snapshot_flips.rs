//! Any byte of a snapshot or of `CURRENT` flipped, cut off or deleted: never a crash, never a wrong score or item.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::index::Plan;
use mmsearch::library::{EmbeddedImage, Explained, FindingKind, Library, LibraryOptions};
use mmsearch::{Embedding, ItemId, Metadata, Query, Term};

use crate::check;
use crate::common::Place;

const N_IMAGES: u32 = 600;

const K: usize = 10;

/// SplitMix64: the same cases in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn embedding(&mut self) -> Embedding {
        let values = (0..16).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32 - 0.5).collect();
        Embedding::normalized(values).unwrap()
    }
}

/// A part of a snapshot's file: the number of its kind, where it lies with its padding, and where its entry in the header is.
struct Section {
    kind: u32,
    bytes: Range<usize>,
    entry: usize,
}

const IDS: u32 = 1;
const LAYER0: u32 = 3;
const COARSE: u32 = 7;
const FINE: u32 = 8;
const TUNING: u32 = 9;

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Read as src/index/snapshot/format.rs describes it.
fn sections(bytes: &[u8]) -> Vec<Section> {
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let first = 64 + number(bytes, 52);
    let section = |n: usize| {
        let entry = first + 56 * n;
        let (offset, len) = (long(entry + 8), long(entry + 16));
        let kind = number(bytes, entry) as u32;
        Section { kind, bytes: offset..offset + len.next_multiple_of(64), entry }
    };
    (0..number(bytes, 20)).map(section).collect()
}

/// Changes a section, and makes its hash and that of the header fit.
fn forged(bytes: &[u8], kind: u32, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let section = sections(bytes).into_iter().find(|section| section.kind == kind).unwrap();
    let mut bytes = bytes.to_vec();
    change(&mut bytes[section.bytes.clone()]);
    let hash = blake3::hash(&bytes[section.bytes]);
    bytes[section.entry + 24..section.entry + 56].copy_from_slice(hash.as_bytes());
    let header_len = number(&bytes, 16);
    let hash = blake3::hash(&bytes[..header_len - 32]);
    bytes[header_len - 32..header_len].copy_from_slice(hash.as_bytes());
    bytes
}

/// A library whose snapshot has a graph that every query walks, and what queries must find.
struct Fixture {
    place: Place,
    snapshot: PathBuf,
    /// Its undamaged bytes, and those of `CURRENT`.
    good: Vec<u8>,
    good_current: Vec<u8>,
    queries: Vec<Query>,
    /// For each query the score of every item, and the best in their order.
    scores: Vec<BTreeMap<ItemId, u32>>,
    best: Vec<Vec<ItemId>>,
}

impl Fixture {
    fn new() -> Self {
        let place = Place::new();
        let mut random = Random(1);
        let options = LibraryOptions { graph_threshold: 100, ..LibraryOptions::default() };
        let mut library = Library::create_or_open(&place.library(), options).unwrap();
        let images = (0..N_IMAGES).map(|n| EmbeddedImage {
            name: n.to_string(),
            embedding: random.embedding(),
            metadata: Metadata::new(),
        });
        let images: Vec<_> = images.collect();
        library.add_embedded_images(FakeEncoder::default().space(), images).unwrap();
        library.refresh_snapshots(&mut |_| ControlFlow::Continue(())).unwrap();
        drop(library);
        let snapshot = place.library_files("snapshot-").remove(0);
        // Whatever this machine measured: scanning costs as much as all the time there is, so that the graph is walked.
        let good = forged(&fs::read(&snapshot).unwrap(), TUNING, |tuning| {
            tuning[0..4].copy_from_slice(&1e9f32.to_ne_bytes());
            tuning[4..8].copy_from_slice(&1f32.to_ne_bytes());
            // The beam for queries of which nobody knows what they are.
            tuning[40..44].copy_from_slice(&64u32.to_ne_bytes());
        });
        fs::write(&snapshot, &good).unwrap();
        let good_current = fs::read(place.library().join("CURRENT")).unwrap();
        let queries: Vec<Query> =
            (0..3).map(|_| Query::new(Term::Embedding(random.embedding())).k(K)).collect();
        let mut library = Library::open(&place.library()).unwrap();
        let (mut scores, mut best) = (Vec::new(), Vec::new());
        for query in &queries {
            let all = Query { exact: true, ..query.clone().k(N_IMAGES as usize) };
            let all = hits(&library.explained_without_encoder(&all).unwrap());
            best.push(all.iter().take(K).map(|(id, _)| *id).collect());
            scores.push(all.into_iter().collect());
        }
        Self { place, snapshot, good, good_current, queries, scores, best }
    }

    fn current(&self) -> PathBuf {
        self.place.library().join("CURRENT")
    }

    /// Everything as it was.
    fn restore(&self) {
        fs::write(&self.snapshot, &self.good).unwrap();
        fs::write(self.current(), &self.good_current).unwrap();
    }

    /// Opens the library and asks. Whatever comes back is right; whether it is the best, and what was warned of.
    fn ask(&self, case: &str) -> (bool, Vec<String>) {
        let mut library = Library::open(&self.place.library()).unwrap();
        let mut is_best = true;
        for ((query, scores), best) in self.queries.iter().zip(&self.scores).zip(&self.best) {
            let found = hits(&library.explained_without_encoder(query).unwrap());
            assert_eq!(found.len(), K, "{case}: k come back");
            for (id, score) in &found {
                assert_eq!(scores.get(id), Some(score), "{case}: the score of item {id}");
            }
            let ids: Vec<ItemId> = found.iter().map(|(id, _)| *id).collect();
            let mut different = ids.clone();
            different.sort();
            different.dedup();
            assert_eq!(different.len(), K, "{case}: an item comes twice");
            is_best &= ids == *best;
        }
        (is_best, library.take_warnings())
    }

    fn finds(&self) -> Vec<FindingKind> {
        let findings = Library::open(&self.place.library()).unwrap().check().unwrap();
        findings.into_iter().map(|finding| finding.kind).collect()
    }
}

/// Items and the bits of their scores, best first.
fn hits(explained: &Explained) -> Vec<(ItemId, u32)> {
    explained.hits.iter().map(|hit| (hit.item.id, hit.score.unwrap().to_bits())).collect()
}

fn write_flipped(path: &Path, good: &[u8], at: usize, bit: usize) {
    let mut bytes = good.to_vec();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_byte_costs_a_candidate_at_most() {
    let fixture = Fixture::new();
    let Fixture { snapshot, good, good_current, .. } = &fixture;
    // Control: nothing is wrong, and it is the graph that answers.
    assert_eq!(fixture.ask("control").1, [""; 0]);
    assert_eq!(fixture.finds(), []);
    let mut library = Library::open(&fixture.place.library()).unwrap();
    let explained = library.explained_without_encoder(&fixture.queries[0]).unwrap();
    assert!(matches!(explained.steps[0].plan, Some(Plan::Graph { .. })), "{:?}", explained.steps);
    drop(library);

    let mut random = Random(7);
    let (mut n_cases, mut n_lost) = (0, 0);
    // What is small is noticed at once, and answers are exact.
    let mut small = |case: &str| {
        let (is_best, warnings) = fixture.ask(case);
        assert!(is_best, "{case}: the answer is not exact");
        assert_eq!(warnings.len(), 1, "{case}: {warnings:?}");
        assert!(!fixture.finds().is_empty(), "{case}: check finds nothing");
        fixture.restore();
        n_cases += 1;
    };
    for _ in 0..40 {
        let (at, bit) = (random.below(number(good, 16)), random.below(8));
        write_flipped(snapshot, good, at, bit);
        small(&format!("bit {bit} of byte {at} of the header"));
    }
    let sections = sections(good);
    let is_bulk = |section: &&Section| [LAYER0, COARSE, FINE].contains(&section.kind);
    for section in sections.iter().filter(|it| !is_bulk(it) && !it.bytes.is_empty()) {
        for _ in 0..20 {
            let at = section.bytes.start + random.below(section.bytes.len());
            let bit = random.below(8);
            write_flipped(snapshot, good, at, bit);
            small(&format!("bit {bit} of byte {at}, in section {}", section.kind));
        }
    }
    for n in 0..20 {
        let len = if n == 0 { 0 } else { random.below(good.len()) };
        fs::write(snapshot, &good[..len]).unwrap();
        small(&format!("cut to {len} bytes"));
    }
    for n in [1, 64, 4096] {
        fs::write(snapshot, [&good[..], &vec![0; n]].concat()).unwrap();
        small(&format!("{n} bytes longer"));
    }
    fs::remove_file(snapshot).unwrap();
    small("no snapshot");
    let current = fixture.current();
    for at in 0..good_current.len() {
        write_flipped(&current, good_current, at, random.below(8));
        small(&format!("byte {at} of CURRENT"));
    }
    for len in 0..good_current.len() {
        fs::write(&current, &good_current[..len]).unwrap();
        small(&format!("CURRENT cut to {len} bytes"));
    }
    fs::remove_file(&current).unwrap();
    small("no CURRENT");
    // What is large may cost candidates until it is hashed.
    for section in sections.iter().filter(is_bulk) {
        for _ in 0..50 {
            let at = section.bytes.start + random.below(section.bytes.len());
            let bit = random.below(8);
            let case = format!("bit {bit} of byte {at}, in section {}", section.kind);
            write_flipped(snapshot, good, at, bit);
            let (is_best, warnings) = fixture.ask(&case);
            n_lost += u32::from(!is_best);
            assert_eq!(warnings, [""; 0], "{case}");
            assert_eq!(fixture.finds(), [FindingKind::Snapshot], "{case}");
            fixture.restore();
            n_cases += 1;
        }
    }
    assert!(n_cases >= 300, "{n_cases} cases");
    assert!(n_lost < 50, "{n_lost} of 150 flips changed what comes first");
    check(&Library::open(&fixture.place.library()).unwrap());
}

/// Whoever makes the hash fit is not noticed by it, which shows that it is the hash that notices.
#[test]
fn the_hash_is_what_notices_and_the_rows_are_what_else_does() {
    let fixture = Fixture::new();
    let Fixture { snapshot, good, .. } = &fixture;
    let verify = || {
        let mut library = Library::open(&fixture.place.library()).unwrap();
        let found = library.verify_snapshots().unwrap();
        // What was found to be damaged is not used any more.
        let warned = library.explained_without_encoder(&fixture.queries[0]).is_ok()
            && !library.take_warnings().is_empty();
        assert_eq!(warned, !found.is_empty());
        found.len()
    };
    let coarse = sections(good).into_iter().find(|section| section.kind == COARSE).unwrap();
    write_flipped(snapshot, good, coarse.bytes.start + 5, 6);
    assert_eq!(verify(), 1);

    fs::write(snapshot, forged(good, COARSE, |codes| codes[5] ^= 64)).unwrap();
    assert_eq!(verify(), 0);
    let reasons = || -> Vec<String> {
        let library = Library::open(&fixture.place.library()).unwrap();
        library.check().unwrap().into_iter().map(|finding| finding.reason).collect()
    };
    assert!(reasons()[0].contains("other codes in it than its row gives"), "{:?}", reasons());

    let cut_off = forged(good, LAYER0, |links| links.fill(0xff));
    fs::write(snapshot, cut_off).unwrap();
    assert_eq!(verify(), 0);
    assert!(reasons()[0].contains("a walk through its graph does not find"), "{:?}", reasons());

    let stray = forged(good, LAYER0, |links| links[0..4].copy_from_slice(&7_000u32.to_ne_bytes()));
    fs::write(snapshot, stray).unwrap();
    assert!(reasons()[0].contains("links to one that is not there"), "{:?}", reasons());

    let other = forged(good, IDS, |keys| keys[0..8].copy_from_slice(&9_999u64.to_ne_bytes()));
    fs::write(snapshot, other).unwrap();
    let reasons = reasons();
    for reason in ["is not the order of its keys", "neither in the catalog nor removed since"] {
        assert!(reasons.iter().any(|it| it.contains(reason)), "{reason}: {reasons:?}");
    }
}
