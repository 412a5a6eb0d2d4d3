//! Snapshots: any bytes, and a good one with some of its bytes changed, with and without hashes that say it is right.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mmsearch::index::{BuildOptions, Filter, SearchOptions, Snapshot, SnapshotDraft, SnapshotMeta};
use mmsearch::{Embedding, Modality};

const DIM: usize = 16;
const N_NODES: u64 = 300;

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, rest)) = bytes.split_first() else { return };
    match how % 4 {
        0 => search(rest),
        1 => search(&mmsearch::fuzzing::rehashed(rest.to_vec())),
        2 => search(&changed(rest)),
        _ => search(&mmsearch::fuzzing::rehashed(changed(rest))),
    }
});

/// The good one with a byte changed for each five of these: four say where.
fn changed(edits: &[u8]) -> Vec<u8> {
    let mut bytes = good().clone();
    for edit in edits.as_chunks::<5>().0 {
        let [place @ .., value] = edit;
        let at = u32::from_le_bytes(*place) as usize % bytes.len();
        bytes[at] = *value;
    }
    bytes
}

fn good() -> &'static Vec<u8> {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let vectors: Vec<f32> = (0..N_NODES).flat_map(|n| vector(n).as_slice().to_vec()).collect();
        let fingerprint = "fingerprint".to_owned();
        let meta = SnapshotMeta { generation: 7, fingerprint, modality: Modality::Image, dim: DIM };
        let mut draft = SnapshotDraft::new(meta, &vectors, 300).unwrap();
        for n in 0..N_NODES {
            draft.push(n + 1, vector(n).as_slice()).unwrap();
        }
        let mut go_on = |_| std::ops::ControlFlow::Continue(());
        draft.link(&vectors[..100 * DIM], &BuildOptions::default(), &mut go_on).unwrap();
        draft.write(file()).unwrap();
        fs::read(file()).unwrap()
    })
}

/// Numbers of a small generator, so that the vectors are always the same.
fn vector(n: u64) -> Embedding {
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
    let values = (0..DIM).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    });
    Embedding::normalized(values.collect()).unwrap()
}

/// In memory where that is possible; one for each process.
fn file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let dir = if memory.is_dir() { memory } else { std::env::temp_dir() };
        dir.join(format!("mmsearch-fuzz-{}.mms", std::process::id()))
    })
}

fn search(bytes: &[u8]) {
    fs::write(file(), bytes).unwrap();
    let opened = Snapshot::open(file());
    fs::remove_file(file()).unwrap();
    let Ok(snapshot) = opened else { return };
    let _ = snapshot.verify();
    let (keys, query) = (snapshot.keys().to_vec(), vector(1000));
    let mut allowed: Vec<u64> = keys.iter().copied().step_by(3).collect();
    allowed.sort_unstable();
    for exact in [false, true] {
        for (foreign, ef) in [(false, None), (true, Some(1)), (true, Some(64))] {
            for filter in [Filter::All, Filter::Only(&allowed), Filter::Except(&allowed)] {
                let options = SearchOptions { k: 10, foreign, ef, exact, filter };
                let Ok(answer) = snapshot.search(&query, &options) else { continue };
                assert!(answer.neighbors.len() <= 10);
                for neighbor in &answer.neighbors {
                    assert!(keys.contains(&neighbor.key));
                }
            }
        }
    }
}
