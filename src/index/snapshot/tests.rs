//! A snapshot gives back what was written, and damage is noticed or harmless.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::format::{BYTE_ORDER_MARK, VERSION, header_len};
use super::*;
use crate::index::testing::{Nodes, keys_of, recall};
use crate::index::{BuildOptions, Graph, build, scan};

const DIM: usize = 8;

fn meta() -> SnapshotMeta {
    SnapshotMeta { generation: 7, fingerprint: "abc".into(), modality: Modality::Image, dim: DIM }
}

fn graph_of(nodes: &Nodes) -> Graph {
    let options = BuildOptions { max_links: 4, parallel: false, ..BuildOptions::default() };
    build(nodes.view(), &options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Writes a snapshot with a graph, of which two nodes are said to be orphans so that the section is not empty.
fn write(path: &Path, nodes: &Nodes) {
    let mut graph = graph_of(nodes);
    graph.orphans = vec![3, 5];
    write_snapshot(path, &meta(), nodes.view(), Some(&graph)).unwrap();
}

fn embedding(nodes: &Nodes, node: usize) -> Embedding {
    Embedding::new(nodes.vector(node).to_vec()).unwrap()
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
        write(&fixture.path(), &fixture.nodes);
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
    assert_eq!(snapshot.keys(), nodes.keys);
    assert_eq!(snapshot.vectors(), nodes.vectors);
    assert!(snapshot.has_graph() && !snapshot.is_empty());
    let graph = graph_of(nodes);
    assert_eq!(snapshot.section::<u32>(Kind::Layer0), graph.layer0);
    let small = snapshot.graph.as_ref().unwrap();
    assert_eq!((&small.upper, &small.orphans), (&graph.upper, &vec![3, 5]));
    snapshot.verify().unwrap();
}

#[test]
fn all_kinds_of_meta_and_sizes_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    for (n_nodes, fingerprint, modality) in [
        (0, "", Modality::Text),
        (1, "f", Modality::Image),
        (17, &*"ü".repeat(300), Modality::Text),
    ] {
        let nodes = Nodes::clustered(n_nodes, DIM, 9, 1);
        let meta = SnapshotMeta {
            generation: u64::MAX,
            fingerprint: fingerprint.into(),
            modality,
            dim: DIM,
        };
        for graph in [None, Some(graph_of(&nodes))] {
            write_snapshot(&path, &meta, nodes.view(), graph.as_ref()).unwrap();
            let snapshot = Snapshot::open(&path).unwrap();
            snapshot.verify().unwrap();
            assert_eq!(snapshot.meta(), &meta);
            assert_eq!((snapshot.len(), snapshot.has_graph()), (n_nodes, graph.is_some()));
            assert_eq!(snapshot.keys(), nodes.keys);
            let query = Embedding::new(Nodes::clustered(1, DIM, 1, 2).vectors).unwrap();
            let found = snapshot.search(&query, &SearchOptions::top(50)).unwrap();
            assert_eq!(found, scan(nodes.view(), query.as_slice(), 50, None).unwrap());
        }
    }
}

#[test]
fn the_graph_answers_as_the_exact_scan_does() {
    let fixture = Fixture::new(2_000);
    let snapshot = fixture.open().unwrap();
    let mut sum = 0.0;
    for node in 0..100 {
        let query = embedding(&fixture.nodes, node * 19);
        let options = SearchOptions { ef: 100, ..SearchOptions::top(10) };
        let exact = snapshot.search(&query, &SearchOptions { exact: true, ..options }).unwrap();
        assert_eq!(exact, scan(fixture.nodes.view(), query.as_slice(), 10, None).unwrap());
        sum += recall(&snapshot.search(&query, &options).unwrap(), &exact);
    }
    assert!(sum / 100.0 >= 0.95, "recall@10 is {}", sum / 100.0);
}

#[test]
fn k_come_back_if_k_exist() {
    let fixture = Fixture::new(2_000);
    let snapshot = fixture.open().unwrap();
    let query = embedding(&fixture.nodes, 0);
    let n_found = |modulus: u64, k: usize| {
        let accept = move |key: u64| key.is_multiple_of(modulus);
        let options = SearchOptions { accept: Some(&accept), ..SearchOptions::top(k) };
        let found = snapshot.search(&query, &options).unwrap();
        assert!(found.iter().all(|found| accept(found.key)));
        found.len()
    };
    assert_eq!(n_found(1, 10), 10);
    assert_eq!(n_found(2, 10), 10);
    assert_eq!(n_found(199, 10), 10);
    assert_eq!(n_found(199, 100), 10); // 10 keys of 100..2100 are multiples of 199
    assert_eq!(n_found(5_000, 10), 0);
    assert_eq!(n_found(1, 0), 0);
    assert_eq!(n_found(1, usize::MAX), 2_000);
    // Control: what the walk alone returns under the selective filter is short.
    let accept = |key: u64| key.is_multiple_of(199);
    assert!(snapshot.search_graph(&query, 10, 40, Some(&accept)).len() < 10);
}

#[test]
fn equal_scores_are_ordered_by_key_in_both_ways_of_searching() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut nodes = Nodes::clustered(1_000, DIM, 9, 1);
    nodes.keys.reverse();
    let copy = nodes.vector(0).to_vec();
    for node in [10, 500, 999] {
        nodes.vectors[node * DIM..(node + 1) * DIM].copy_from_slice(&copy);
    }
    write_snapshot(&path, &meta(), nodes.view(), Some(&graph_of(&nodes))).unwrap();
    let snapshot = Snapshot::open(&path).unwrap();
    let query = embedding(&nodes, 0);
    for exact in [false, true] {
        let options = SearchOptions { exact, ..SearchOptions::top(4) };
        let found = keys_of(&snapshot.search(&query, &options).unwrap());
        assert_eq!(found, [100, 599, 1_089, 1_099]);
    }
}

#[test]
fn wrong_dimensions_are_an_error() {
    let fixture = Fixture::new(20);
    let short = Embedding::normalized(vec![1.0; DIM - 1]).unwrap();
    let refused = fixture.open().unwrap().search(&short, &SearchOptions::top(1));
    assert!(matches!(refused, Err(Error::Dimension { expected: DIM, found: 7 })));
    let other = SnapshotMeta { dim: DIM + 1, ..meta() };
    let refused = write_snapshot(&fixture.path(), &other, fixture.nodes.view(), None);
    assert!(matches!(refused, Err(Error::Dimension { expected: 9, found: DIM })));
    let foreign = graph_of(&Nodes::clustered(19, DIM, 9, 1));
    assert!(
        write_snapshot(&fixture.path(), &meta(), fixture.nodes.view(), Some(&foreign)).is_err()
    );
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
    write(&fixture.path(), &more);
    assert!(!temp.exists());
    assert_eq!(fixture.open().unwrap().keys(), more.keys);
    // A reader keeps what it opened.
    assert_eq!((old.len(), old.verify().is_ok()), (30, true));
}

#[test]
fn a_failed_write_names_the_file_and_leaves_the_old_one() {
    let fixture = Fixture::new(30);
    fs::create_dir(write::temp_path(&fixture.path())).unwrap();
    let refused = write_snapshot(&fixture.path(), &meta(), fixture.nodes.view(), None);
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
    write(&fixture.path(), &fixture.nodes);
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
    assert_eq!(parts.len(), 4);
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
                    let options = SearchOptions { ef: 40, exact, ..SearchOptions::top(3) };
                    let found = snapshot.search(query, &options).unwrap();
                    assert!(found.iter().all(|found| found.score.is_finite()));
                }
            }
            let error = snapshot.verify().unwrap_err().to_string();
            assert!(error.contains(&format!("`{}`", section.kind.name())), "{error}");
        }
    }
}

/// Without one usable link the exact scan answers, and vectors that are no numbers are left out.
#[test]
fn what_remains_of_a_damaged_file_answers() {
    let fixture = Fixture::new(900);
    let query = embedding(&fixture.nodes, 9);
    let header = fixture.open().unwrap().header;
    let whole = fixture.open().unwrap().search(&query, &SearchOptions::top(10)).unwrap();
    let mut bytes = fixture.bytes();
    bytes[header.section(Kind::Layer0).unwrap().range()].fill(0xee);
    let found = fixture.open_with(&bytes).unwrap().search(&query, &SearchOptions::top(10)).unwrap();
    assert_eq!(found, scan(fixture.nodes.view(), query.as_slice(), 10, None).unwrap());

    let mut bytes = fixture.bytes();
    let start = header.section(Kind::Vectors).unwrap().offset + 9 * DIM * 4;
    bytes[start..start + 4].copy_from_slice(&f32::NAN.to_ne_bytes());
    let found = fixture.open_with(&bytes).unwrap().search(&query, &SearchOptions::top(10)).unwrap();
    assert_eq!((whole[0].key, found.len()), (109, 10));
    assert_eq!(keys_of(&found)[..9], keys_of(&whole)[1..]);
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
        (put(8, VERSION + 1), "its version 2 is newer than 1, the one known here"),
        (put(8, 0), "the header is malformed"),
        (
            put(12, BYTE_ORDER_MARK.swap_bytes()),
            "it was written on a machine of the other byte order",
        ),
        (put(12, 9), "the header is malformed"),
        (put(32, 21), "section `ids` has 160 bytes"),
        (put(40, 9), "section `vectors` has"),
        (put(44, 2), "modality 2 is unknown"),
        (put(48, 5), "section `layer0` has"),
        (put(52, 4_000), "the header is cut off"),
        (put(56, 64), "it should have 64 bytes"),
        (put(20, 9), "the header is cut off"),
        (put(20, 4), "it has 0 sections `orphans`, not 1"),
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
    write_snapshot(&path, &meta(), nodes.view(), None).unwrap();
    let mut header = Snapshot::open(&path).unwrap().header;
    let old = crate::error::read(&path).unwrap();
    // One more section: a longer header, an empty section of an unknown kind at the end of the file.
    let old_len = header_len(&header.meta, 2);
    let shift = header_len(&header.meta, 3) - old_len;
    header.file_len += shift;
    header.sections.iter_mut().for_each(|section| section.offset += shift);
    header.sections.push(header.sections[1].clone());
    let bytes = [header.encode(), old[old_len..].to_vec()].concat();
    let unknown = with_header(&bytes, |header| header[64 + 3 + 2 * 56] = 77);
    let refused = dir.path().join("twice");
    fs::write(&refused, &bytes).unwrap();
    assert!(Snapshot::open(&refused).is_err(), "control: a known kind may not come twice");
    fs::write(&path, unknown).unwrap();
    let snapshot = Snapshot::open(&path).unwrap();
    snapshot.verify().unwrap();
    assert_eq!(snapshot.keys(), nodes.keys);
}
