//! Conditions and words over a library of 200,000 images: what they add to a query.
//!
//! `filters DIR N --bench` makes a library of N images with drawn embeddings in DIR, unless it is there, and prints for each
//! query how many may answer and the median of its milliseconds.
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{EmbeddedImage, Library, LibraryOptions, Selector};
use mmsearch::{Condition, Embedding, ItemId, Metadata, Mode, Query, Tag};

const N_ROUNDS: usize = 9;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut words = args.iter().filter(|arg| !arg.starts_with('-'));
    let scratch = tempfile::tempdir()?;
    let dir = words.next().map_or(scratch.path().join("library"), PathBuf::from);
    // Run as a test, without `--bench`, it only shows that it works.
    let n = words.next().map_or(Ok(2_000), |n| n.parse())?;
    if !dir.exists() {
        make_library(&dir, n)?;
    }
    let mut library = Library::open(&dir)?;
    let query = Query::text("red").mode(Mode::Semantic);
    println!("{n} images, median of {N_ROUNDS}, in milliseconds");
    report(&mut library, "without a condition", &query)?;
    for condition in [
        "name = 'IMG_001234.jpg'",
        "tag = chosen",
        "meta.rating > 4",
        "path glob 'trip-01/*'",
        "name like '%7.jpg'",
        "not tag = chosen",
    ] {
        let filtered = query.clone().filter(Condition::parse(condition)?);
        report(&mut library, condition, &filtered)?;
    }
    for text in ["img_001234", "trip 07", "chosen red", "img jpg"] {
        let words = Query::text(text).mode(Mode::Keyword);
        report(&mut library, &format!("the words `{text}`"), &words)?;
        let both = Query::text(text);
        report(&mut library, &format!("`{text}` by words and meaning"), &both)?;
    }
    Ok(())
}

/// Images in 100 folders, one of five ratings each, one in 500 of them chosen.
fn make_library(dir: &Path, n: u64) -> Outcome<()> {
    let mut library = Library::create_or_open(dir, LibraryOptions::default())?;
    let space = FakeEncoder::default().space().clone();
    let image = |number: u64| EmbeddedImage {
        name: format!("trip-{:02}/IMG_{number:06}.jpg", number % 100),
        embedding: drawn(number, space.dim),
        metadata: Metadata::from([("rating".into(), (1 + number % 5).into())]),
    };
    library.add_embedded_images(&space, (0..n).map(image))?;
    let mut chosen: Vec<ItemId> = Vec::new();
    for number in (0..n).step_by(500) {
        chosen.extend(library.select(&Selector::Id(ItemId(number as i64 + 1)))?);
    }
    for some in chosen.chunks(100) {
        library.tag(some, &[Tag::new("chosen")?], &[])?;
    }
    library.refresh_snapshots(&mut |_| ControlFlow::Continue(()))?;
    Ok(())
}

fn report(library: &mut Library, name: &str, query: &Query) -> Outcome<()> {
    let mut encoder = FakeEncoder::default();
    let mut times = Vec::with_capacity(N_ROUNDS);
    let mut n_hits = 0;
    for _ in 0..N_ROUNDS {
        let began = Instant::now();
        n_hits = library.search(&mut encoder, query)?.len();
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{:9.2}  {n_hits:3} hits  {name}", times[N_ROUNDS / 2]);
    Ok(())
}

/// A point by its number, as even as a small generator makes it.
fn drawn(number: u64, dim: usize) -> Embedding {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let values = (0..dim).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    });
    Embedding::normalized(values.collect()).expect("no point of so many values is zero")
}
