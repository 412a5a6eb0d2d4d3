//! A snapshot gives back what was written, and damage is noticed or harmless.

use std::fs;
use std::ops::ControlFlow;

use super::format::{BYTE_ORDER_MARK, VERSION, header_len};
use super::*;
use crate::index::testing::{Nodes, keys_of, recall};
use crate::index::{BuildOptions, scan as oracle};

const DIM: usize = 8;

fn meta() -> SnapshotMeta {
    SnapshotMeta { generation: 7, fingerprint: "abc".into(), modality: Modality::Image, dim: DIM }
}

fn draft_with(meta: SnapshotMeta, nodes: &Nodes) -> SnapshotDraft {
    let mut draft = SnapshotDraft::new(meta, &nodes.vectors, nodes.keys.len()).unwrap();
    for (&key, vector) in nodes.keys.iter().zip(nodes.vectors.chunks_exact(nodes.dim)) {
        draft.push(key, vector).unwrap();
    }
    draft
}

fn link(draft: &mut SnapshotDraft) {
    let options = BuildOptions { max_links: 8, ..BuildOptions::default() };
    draft.link(&[], &options, &mut |_| ControlFlow::Continue(())).unwrap();
}

/// A snapshot with a graph that is made out to be cheap to walk, whatever this machine measured, and of which two
/// nodes are said to be orphans so that the section is not empty.
fn linked(nodes: &Nodes) -> SnapshotDraft {
    let mut draft = draft_with(meta(), nodes);
    link(&mut draft);
    let (graph, tuning) = draft.graph.as_mut().unwrap();
    graph.orphans = vec![3, 5];
    tuning.walk_ns = tuning.scan_ns / 1000.0;
    draft
}

fn embedding(nodes: &Nodes, node: usize) -> Embedding {
    Embedding::new(nodes.vector(node).to_vec()).unwrap()
}

fn keys_in_order(keys: &[u64]) -> Vec<u64> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys
}

/// Codes round: scores agree to a few digits, and what is nearly equal may change places.
fn assert_near(found: &[Neighbor], expected: &[Neighbor]) {
    assert_eq!(found.len(), expected.len());
    let is_near = |(a, b): (&Neighbor, &Neighbor)| (a.score - b.score).abs() < 1e-3;
    assert!(found.iter().zip(expected).all(is_near), "{found:?} for {expected:?}");
    assert!(found.is_empty() || recall(found, expected) >= 0.9);
}

/// A directory that holds one snapshot of `n_nodes` nodes.
struct Fixture {
    dir: tempfile::TempDir,
    nodes: Nodes,
}

impl Fixture {
    fn new(n_nodes: usize) -> Self {
        let fixture =
            Self { dir: tempfile::tempdir().unwrap(), nodes: Nodes::clustered(n_nodes, DIM, 9, 1) };
        linked(&fixture.nodes).write(&fixture.path()).unwrap();
        fixture
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("snapshot.mms")
    }

    fn open(&self) -> Result<Snapshot> {
        Snapshot::open(&self.path())
    }

    fn bytes(&self) -> Vec<u8> {
        crate::error::read(&self.path()).unwrap()
    }

    /// Opens the snapshot as it would be with other bytes.
    fn open_with(&self, bytes: &[u8]) -> Result<Snapshot> {
        let path = self.dir.path().join("damaged.mms");
        // The one before may still be mapped, so it is replaced, not overwritten.
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        Snapshot::open(&path)
    }

    /// The reason why those bytes cannot be opened.
    fn refusal(&self, bytes: &[u8]) -> String {
        match self.open_with(bytes) {
            Err(Error::Corrupt { reason, .. }) => reason,
            Err(other) => panic!("not corrupt: {other}"),
            Ok(_) => panic!("it opened"),
        }
    }
}

#[test]
fn gives_back_what_was_written() {
    let fixture = Fixture::new(600);
    let (nodes, snapshot) = (&fixture.nodes, fixture.open().unwrap());
    assert_eq!(snapshot.meta(), &meta());
    assert_eq!(keys_in_order(snapshot.keys()), nodes.keys);
    assert!(!snapshot.keys().is_sorted(), "near nodes lie together");
    assert!(snapshot.has_graph() && !snapshot.is_empty());
    let draft = linked(nodes);
    let (graph, _) = draft.graph.as_ref().unwrap();
    assert_eq!(snapshot.codes().coarse, draft.codes.coarse);
    assert_eq!(snapshot.section::<i8>(Kind::Fine), draft.codes.fine);
    assert_eq!(snapshot.scale, draft.codes.quantizer.scale);
    assert_eq!(snapshot.section::<u32>(Kind::Layer0), graph.layer0.links);
    let small = snapshot.graph.as_ref().unwrap();
    assert_eq!((&small.upper, &small.orphans), (&graph.upper, &vec![3, 5]));
    assert!(small.tuning.own.n_queries > 100);
    snapshot.verify().unwrap();
}

#[test]
fn all_kinds_of_meta_and_sizes_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    for (n_nodes, fingerprint, modality) in [
        (0, "", Modality::Text),
        (1, "f", Modality::Image),
        (2, "f", Modality::Image),
        (17, &*"ü".repeat(300), Modality::Text),
    ] {
        let nodes = Nodes::clustered(n_nodes, DIM, 9, 1);
        let meta = SnapshotMeta {
            generation: u64::MAX,
            fingerprint: fingerprint.into(),
            modality,
            dim: DIM,
        };
        for has_graph in [false, true] {
            let mut draft = draft_with(meta.clone(), &nodes);
            if has_graph {
                link(&mut draft);
            }
            draft.write(&path).unwrap();
            let snapshot = Snapshot::open(&path).unwrap();
            snapshot.verify().unwrap();
            assert_eq!(snapshot.meta(), &meta);
            assert_eq!((snapshot.len(), snapshot.has_graph()), (n_nodes, has_graph));
            assert_eq!(keys_in_order(snapshot.keys()), nodes.keys);
            let query = Embedding::new(Nodes::clustered(1, DIM, 1, 2).vectors).unwrap();
            let found = snapshot.search(&query, &SearchOptions::top(50)).unwrap().neighbors;
            assert_near(&found, &oracle(nodes.view(), query.as_slice(), 50, None).unwrap());
        }
    }
}

#[test]
fn every_way_of_searching_answers_as_the_exact_scan_does() {
    let fixture = Fixture::new(2_000);
    let snapshot = fixture.open().unwrap();
    let mut sum = 0.0;
    for node in 0..100 {
        let query = embedding(&fixture.nodes, node * 19);
        let oracle = oracle(fixture.nodes.view(), query.as_slice(), 10, None).unwrap();
        let options = SearchOptions { ef: Some(100), ..SearchOptions::top(10) };
        let exact = snapshot.search(&query, &SearchOptions { exact: true, ..options }).unwrap();
        assert_eq!(exact.plan, Plan::Exact);
        assert_near(&exact.neighbors, &oracle);
        let scan = SearchOptions { ef: Some(2_000), ..options };
        let scan = snapshot.search(&query, &scan).unwrap();
        assert_eq!(scan.plan, Plan::Scan);
        assert_near(&scan.neighbors, &oracle);
        let walk = snapshot.search(&query, &options).unwrap();
        assert_eq!(walk.plan, Plan::Graph { ef: 100 });
        sum += recall(&walk.neighbors, &oracle);
    }
    assert!(sum / 100.0 >= 0.95, "recall@10 is {}", sum / 100.0);
}

#[test]
fn k_come_back_if_k_may_answer() {
    let fixture = Fixture::new(2_000);
    let snapshot = fixture.open().unwrap();
    let query = embedding(&fixture.nodes, 0);
    let keys = |modulus: u64| -> Vec<u64> {
        fixture.nodes.keys.iter().copied().filter(|key| key.is_multiple_of(modulus)).collect()
    };
    let answer = |modulus: u64, k: usize| {
        let only = keys(modulus);
        let options = SearchOptions { filter: Filter::Only(&only), ..SearchOptions::top(k) };
        let answer = snapshot.search(&query, &options).unwrap();
        let accept = |key: u64| key.is_multiple_of(modulus);
        let expected = oracle(fixture.nodes.view(), query.as_slice(), k, Some(&accept)).unwrap();
        assert_eq!(answer.n_allowed, only.len());
        assert!(recall(&answer.neighbors, &expected) >= 0.9 || expected.is_empty());
        (answer.neighbors.len(), answer.plan)
    };
    assert!(matches!(answer(1, 10), (10, Plan::Graph { .. })));
    // What is excluded makes the beam wider.
    let (wide, plan) = answer(2, 10);
    let (Plan::Graph { ef: wide_ef }, (_, Plan::Graph { ef })) = (plan, answer(1, 10)) else {
        panic!("{plan:?}");
    };
    assert!(wide == 10 && wide_ef > ef);
    assert_eq!(answer(199, 10), (10, Plan::Scan));
    assert_eq!(answer(199, 100), (10, Plan::Scan)); // 10 keys of 100..2100 are multiples of 199
    assert_eq!(answer(5_000, 10), (0, Plan::Scan));
    assert_eq!(answer(1, 0).0, 0);
    assert_eq!(answer(1, usize::MAX).0, 2_000);
    // Control: a walk that is not wide enough for the filter finds too few.
    let few = snapshot.allowed(Filter::Only(&keys(199)));
    let query = snapshot.codes().query(query.as_slice());
    assert!(snapshot.walk(&query, 10, 40, few.as_ref()).len() < 10);
}

/// All that may answer lies far from the query, so that the walk meets none of it.
#[test]
fn a_walk_that_meets_nothing_that_may_answer_gives_way_to_a_scan() {
    let fixture = Fixture::new(2_000);
    let snapshot = fixture.open().unwrap();
    let query = embedding(&fixture.nodes, 0);
    let mut all = oracle(fixture.nodes.view(), query.as_slice(), 2_000, None).unwrap();
    let mut far = keys_of(&all.split_off(1_000));
    far.sort_unstable();
    let options = SearchOptions { ef: Some(20), ..SearchOptions::top(10) };
    let walked = snapshot.search(&query, &options).unwrap();
    assert!(matches!(walked.plan, Plan::Graph { .. }), "control: nothing excluded, nothing missed");
    let options = SearchOptions { filter: Filter::Only(&far), ..options };
    let found = snapshot.search(&query, &options).unwrap();
    assert_eq!((found.plan, found.neighbors.len()), (Plan::Scan, 10));
    let is_far = |key: u64| far.binary_search(&key).is_ok();
    let expected = oracle(fixture.nodes.view(), query.as_slice(), 10, Some(&is_far)).unwrap();
    assert_near(&found.neighbors, &expected);
}

#[test]
fn equal_scores_are_ordered_by_key_in_all_ways_of_searching() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut nodes = Nodes::clustered(1_000, DIM, 9, 1);
    let copy = nodes.vector(0).to_vec();
    for node in [10, 500, 999] {
        nodes.vectors[node * DIM..(node + 1) * DIM].copy_from_slice(&copy);
    }
    linked(&nodes).write(&path).unwrap();
    let snapshot = Snapshot::open(&path).unwrap();
    let query = embedding(&nodes, 0);
    for (ef, exact) in [(Some(64), false), (Some(1_000), false), (None, true)] {
        let options = SearchOptions { ef, exact, ..SearchOptions::top(4) };
        let found = keys_of(&snapshot.search(&query, &options).unwrap().neighbors);
        assert_eq!(found, [100, 110, 600, 1_099]);
    }
}

#[test]
fn what_is_no_node_is_refused() {
    let nodes = Nodes::clustered(2, DIM, 1, 1);
    let mut draft = draft_with(meta(), &nodes);
    draft.push(200, nodes.vector(0)).unwrap();
    for (key, vector, reason) in [
        (200, nodes.vector(0), "key 200 is out of order"),
        (201, &[0.0; DIM], "key 201 is not of unit length"),
        (201, &[f32::NAN; DIM], "key 201 is not of unit length"),
        (201, &nodes.vector(0)[1..], "dimension"),
    ] {
        let refused = draft.push(key, vector).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}, not {reason}");
    }
    assert_eq!(draft.len(), 3);
    assert!(SnapshotDraft::new(SnapshotMeta { dim: 0, ..meta() }, &[], 0).is_err());
    let uneven =
        draft.link(&[1.0; 3], &BuildOptions::default(), &mut |_| ControlFlow::Continue(()));
    assert!(uneven.is_err());
}

#[test]
fn wrong_dimensions_are_an_error() {
    let fixture = Fixture::new(20);
    let short = Embedding::normalized(vec![1.0; DIM - 1]).unwrap();
    let refused = fixture.open().unwrap().search(&short, &SearchOptions::top(1));
    assert!(matches!(refused, Err(Error::Dimension { expected: DIM, found: 7 })));
    fixture.open().unwrap().verify().unwrap();
}

#[test]
fn writing_replaces_in_one_step() {
    let fixture = Fixture::new(30);
    let (old, more) = (fixture.open().unwrap(), Nodes::clustered(40, DIM, 9, 2));
    // What a crash may leave behind is in nobody's way: opened in its place, it is refused.
    let temp = write::temp_path(&fixture.path());
    fs::write(&temp, b"half a snapshot").unwrap();
    assert!(matches!(Snapshot::open(&temp), Err(Error::Corrupt { .. })));
    assert_eq!(fixture.open().unwrap().len(), 30);
    linked(&more).write(&fixture.path()).unwrap();
    assert!(!temp.exists());
    assert_eq!(keys_in_order(fixture.open().unwrap().keys()), more.keys);
    // A reader keeps what it opened.
    assert_eq!((old.len(), old.verify().is_ok()), (30, true));
}

#[test]
fn a_failed_write_names_the_file_and_leaves_the_old_one() {
    let fixture = Fixture::new(30);
    fs::create_dir(write::temp_path(&fixture.path())).unwrap();
    let refused = linked(&fixture.nodes).write(&fixture.path());
    assert!(matches!(&refused, Err(Error::Io { path, .. }) if path.ends_with("snapshot.mms.tmp")));
    fixture.open().unwrap().verify().unwrap();
    let missing = fixture.dir.path().join("no/such/place");
    let refused = Snapshot::open(&missing).map(|_| ());
    assert!(matches!(&refused, Err(Error::Io { path, .. }) if *path == missing));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new(3);
    let temp = write::temp_path(&fixture.path());
    fs::write(&temp, b"left over").unwrap();
    fs::set_permissions(&temp, fs::Permissions::from_mode(0o666)).unwrap();
    linked(&fixture.nodes).write(&fixture.path()).unwrap();
    assert_eq!(fs::metadata(fixture.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Every byte of the header and of the small sections, their padding included.
#[test]
fn damage_to_small_parts_is_noticed_at_once() {
    let fixture = Fixture::new(60);
    let mut bytes = fixture.bytes();
    let header = fixture.open().unwrap().header;
    let mut parts = vec![("header", 0..header_len(&header.meta, header.sections.len()))];
    let small = header.sections.iter().filter(|section| !section.kind.is_bulk());
    parts.extend(small.map(|section| (section.kind.name(), section.hashed_range())));
    assert_eq!(parts.len(), 7);
    for (name, range) in parts {
        assert!(!range.is_empty(), "{name}");
        for position in range {
            bytes[position] ^= 1 << (position % 8);
            let reason = fixture.refusal(&bytes);
            assert!(name == "header" || reason.contains(&format!("`{name}`")), "{name}: {reason}");
            bytes[position] ^= 1 << (position % 8);
        }
    }
    fixture.open_with(&bytes).unwrap().verify().unwrap();
}

#[test]
fn a_file_of_another_length_is_noticed_at_once() {
    let fixture = Fixture::new(60);
    let bytes = fixture.bytes();
    for len in (0..bytes.len()).step_by(7).chain(0..200).chain([bytes.len() - 1]) {
        fixture.refusal(&bytes[..len]);
    }
    fixture.refusal(&[&bytes[..], &[0]].concat());
    fixture.refusal(&[&bytes[..], &bytes[..]].concat());
    fixture.open_with(&bytes).unwrap().verify().unwrap();
}

/// Damage in vectors and links never panics, never gives a score that is no number, and `verify` names it.
#[test]
fn damage_to_bulk_parts_is_harmless_and_found_by_verify() {
    let fixture = Fixture::new(300);
    let bytes = fixture.bytes();
    let header = fixture.open().unwrap().header;
    let queries: Vec<Embedding> = (0..3).map(|node| embedding(&fixture.nodes, node * 90)).collect();
    for section in header.sections.iter().filter(|section| section.kind.is_bulk()) {
        let range = section.hashed_range();
        let mut damages: Vec<Vec<u8>> = Vec::new();
        for position in range.clone().step_by(37).chain([range.end - 1]) {
            for mask in [0x01, 0x80, 0xff] {
                damages.push(bytes.clone());
                damages.last_mut().unwrap()[position] ^= mask;
            }
        }
        for garbage in [0x00, 0x7f, 0xff] {
            damages.push(bytes.clone());
            damages.last_mut().unwrap()[section.range()].fill(garbage);
        }
        for damaged in damages {
            let snapshot = fixture.open_with(&damaged).unwrap();
            for query in &queries {
                for exact in [false, true] {
                    let options = SearchOptions { ef: Some(40), exact, ..SearchOptions::top(3) };
                    let found = snapshot.search(query, &options).unwrap().neighbors;
                    assert!(found.iter().all(|found| found.score.is_finite()));
                }
            }
            let error = snapshot.verify().unwrap_err().to_string();
            assert!(error.contains(&format!("`{}`", section.kind.name())), "{error}");
        }
    }
}

/// Without one usable link the scan answers.
#[test]
fn what_remains_of_a_damaged_file_answers() {
    let fixture = Fixture::new(900);
    let query = embedding(&fixture.nodes, 9);
    let search = |snapshot: &Snapshot| snapshot.search(&query, &SearchOptions::top(10)).unwrap();
    let header = fixture.open().unwrap().header;
    assert!(matches!(search(&fixture.open().unwrap()).plan, Plan::Graph { .. }), "control");
    let mut bytes = fixture.bytes();
    bytes[header.section(Kind::Layer0).unwrap().range()].fill(0xee);
    let found = search(&fixture.open_with(&bytes).unwrap());
    let expected = oracle(fixture.nodes.view(), query.as_slice(), 10, None).unwrap();
    assert_eq!(found.plan, Plan::Scan);
    assert_near(&found.neighbors, &expected);
}

/// Changes a header and puts its hash right again.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let len = u32::from_ne_bytes(bytes[16..20].try_into().unwrap()) as usize;
    change(&mut bytes[..len - 32]);
    let hash = blake3::hash(&bytes[..len - 32]);
    bytes[len - 32..len].copy_from_slice(hash.as_bytes());
    bytes
}

#[test]
fn foreign_files_are_refused_with_the_reason() {
    let fixture = Fixture::new(20);
    let bytes = fixture.bytes();
    fixture.open_with(&with_header(&bytes, |_| ())).unwrap();
    let put = |at: usize, value: u32| {
        with_header(&bytes, |header| header[at..at + 4].copy_from_slice(&value.to_ne_bytes()))
    };
    for (damaged, reason) in [
        (put(0, 0), "it is not a snapshot"),
        (put(8, VERSION + 1), "its version 4 is newer than 3, the one known here"),
        (put(8, 1), "its version 1 is older than 3, the one known here"),
        (
            put(12, BYTE_ORDER_MARK.swap_bytes()),
            "it was written on a machine of the other byte order",
        ),
        (put(12, 9), "the header is malformed"),
        (put(32, 21), "section `ids` has 160 bytes"),
        (put(40, 9), "section `quantizer` has"),
        (put(40, 33), "section `quantizer` has"),
        (put(44, 2), "modality 2 is unknown"),
        (put(48, 5), "section `layer0` has"),
        (put(52, 4_000), "the header is cut off"),
        (put(56, 64), "it should have 64 bytes"),
        (put(20, 10), "the header is cut off"),
        (put(20, 5), "it has 0 sections `layer0`, not 1"),
        // The offset and the length of the first section.
        (put(64 + 3 + 8, 1), "section `ids` does not lie within the file"),
        (put(64 + 3 + 8, u32::MAX - 63), "section `ids` does not lie within the file"),
        (put(64 + 3 + 16, 152), "section `ids` has 152 bytes"),
    ] {
        let found = fixture.refusal(&damaged);
        assert!(found.contains(reason), "{found}, not {reason}");
    }
    assert_eq!(fixture.refusal(b"SQLite format 3\0"), "it is not a snapshot");
}

#[test]
fn sections_of_a_later_kind_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let nodes = Nodes::clustered(20, DIM, 9, 1);
    draft_with(meta(), &nodes).write(&path).unwrap();
    let mut header = Snapshot::open(&path).unwrap().header;
    let old = crate::error::read(&path).unwrap();
    // One more section: a longer header, an empty section of an unknown kind at the end of the file.
    let old_len = header_len(&header.meta, 5);
    let shift = header_len(&header.meta, 6) - old_len;
    header.file_len += shift;
    header.sections.iter_mut().for_each(|section| section.offset += shift);
    header.sections.push(header.sections[1].clone());
    let bytes = [header.encode(), old[old_len..].to_vec()].concat();
    let unknown = with_header(&bytes, |header| header[64 + 3 + 5 * 56] = 77);
    let refused = dir.path().join("twice");
    fs::write(&refused, &bytes).unwrap();
    assert!(Snapshot::open(&refused).is_err(), "control: a known kind may not come twice");
    fs::write(&path, unknown).unwrap();
    let snapshot = Snapshot::open(&path).unwrap();
    snapshot.verify().unwrap();
    assert_eq!(snapshot.keys(), nodes.keys);
}
