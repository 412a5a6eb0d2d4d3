//! One library of drawn embeddings: how long it takes to fill, to link, to open and to ask, and how large it is.
//!
//! `scale DIR N DIM` prints one JSON object; `scripts/bench_scale.py` runs it for several N. A library that is
//! there already is only opened and asked.
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use mmsearch::encoder::{Encoder, FakeEncoder, Fingerprint, Space};
use mmsearch::library::{EmbeddedImage, Library, LibraryOptions};
use mmsearch::{Embedding, Metadata, Query, Term};

type Outcome<T> = Result<T, Box<dyn Error>>;

const N_CLUSTERS: u64 = 2_000;
const N_QUERIES: u64 = 200;

fn main() -> Outcome<()> {
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let arguments: Vec<String> = arguments.collect();
    let [dir, n, dim] = &arguments[..] else {
        println!("usage: scale DIR N DIM");
        return Ok(());
    };
    let (dir, n, dim) = (Path::new(dir), n.parse::<u64>()?, dim.parse::<usize>()?);
    let (mut fill, mut link) = (0.0, 0.0);
    if !dir.exists() {
        let mut library = Library::create_or_open(dir, LibraryOptions::default())?;
        let space = Space { fingerprint: Fingerprint("drawn".into()), model: "drawn".into(), dim };
        let image = |number| EmbeddedImage {
            name: format!("{number:08}"),
            embedding: drawn(number, dim),
            metadata: Metadata::new(),
        };
        let started = Instant::now();
        library.add_embedded_images(&space, (0..n).map(image))?;
        fill = started.elapsed().as_secs_f64();
        let started = Instant::now();
        library.refresh_snapshots(&mut |_| ControlFlow::Continue(()))?;
        link = started.elapsed().as_secs_f64();
    }
    let started = Instant::now();
    let mut library = Library::open(dir)?;
    let mut encoder = FakeEncoder::default();
    ask(&mut library, &mut encoder, n, dim, false)?;
    let open = started.elapsed().as_secs_f64();
    let mut rates = Vec::new();
    let mut answers = Vec::new();
    for exact in [false, true] {
        let started = Instant::now();
        let found = (n + 1..=n + N_QUERIES)
            .map(|number| ask(&mut library, &mut encoder, number, dim, exact))
            .collect::<Outcome<Vec<_>>>()?;
        rates.push(started.elapsed().as_secs_f64() / N_QUERIES as f64);
        answers.push(found);
    }
    let same = |(a, b): (&Vec<i64>, &Vec<i64>)| a.iter().filter(|id| b.contains(id)).count();
    let n_same: usize = answers[0].iter().zip(&answers[1]).map(same).sum();
    let bytes = |prefix: &str| -> Outcome<u64> {
        let mut sum = 0;
        for entry in std::fs::read_dir(dir)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                sum += entry.metadata()?.len();
            }
        }
        Ok(sum)
    };
    println!(
        "{}",
        serde_json::json!({
            "n": n, "dim": dim, "fill_s": fill, "link_s": link, "open_s": open,
            "query_s": rates[0], "exact_s": rates[1],
            "recall": n_same as f64 / (10 * N_QUERIES) as f64,
            "catalog_bytes": bytes("catalog")?, "snapshot_bytes": bytes("snapshot")?,
            "peak_bytes": peak_bytes(),
        })
    );
    Ok(())
}

fn ask(
    library: &mut Library,
    encoder: &mut dyn Encoder,
    number: u64,
    dim: usize,
    exact: bool,
) -> Outcome<Vec<i64>> {
    let query = Query { exact, ..Query::new(Term::Embedding(drawn(number, dim))) };
    Ok(library.search(encoder, &query)?.iter().map(|hit| hit.item.id.0).collect())
}

/// A unit vector around one of the common centres.
fn drawn(number: u64, dim: usize) -> Embedding {
    let (mut centre, mut own) =
        (number % N_CLUSTERS * 977, number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let values = (0..dim).map(|_| noise(&mut centre) + noise(&mut own));
    Embedding::normalized(values.collect()).expect("noise is finite and not zero")
}

/// SplitMix64, summed to something close to a normal distribution.
fn noise(state: &mut u64) -> f32 {
    let mut uniform = || {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..4).map(|_| uniform()).sum::<f32>() - 2.0
}

/// The most memory that this process held, mapped files included; 0 where the system does not say.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
