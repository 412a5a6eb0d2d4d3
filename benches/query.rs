//! Answers text queries in rounds, as asked for on stdin, so that `make bench-query` can take turns with Python.
//!
//! `query DIR N [MODEL] --bench` makes a library of N pictures in DIR/library, with embeddings that are drawn and not
//! computed, and the same vectors in DIR/vectors.f32, unless they are there. Every line on stdin is a query; its answer is
//! the milliseconds that it took.
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mmsearch::encoder::{
    Device, DualEncoder, Encoder, Filter, JpegScale, Logit, Preprocess, Resize, Space,
};
use mmsearch::library::{IndexOptions, Library, LibraryOptions};
use mmsearch::{Embedding, Pixels, Query};

const N_CLUSTERS: u64 = 1_000;

/// Side of the pictures, which are numbers in the form of pixels.
const SIDE: u32 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut words = args.iter().filter(|arg| !arg.starts_with('-'));
    let scratch = tempfile::tempdir()?;
    let dir = words.next().map_or(scratch.path().to_path_buf(), PathBuf::from);
    let n = words.next().map_or(Ok(300), |n| n.parse())?;
    let model = words.next().map_or("models/mini", |arg| arg);
    let mut encoder = DualEncoder::load(&PathBuf::from(model), Device::Cpu)?;
    if !dir.join("vectors.f32").exists() {
        make_library(&dir, n, encoder.space().clone())?;
    }
    let mut library = Library::open(&dir.join("library"))?;
    library.search(&mut encoder, &Query::text("the first loads the text tower"))?;
    // Run as a test, without `--bench`, it only shows that it works.
    if !args.iter().any(|arg| arg == "--bench") {
        return Ok(());
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let query = Query::text(line?);
        let began = Instant::now();
        library.search(&mut encoder, &query)?;
        println!("{}", began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// Indexes a tar of N pictures as `mmsearch index` would; the vectors come last, since they say that all is there.
fn make_library(dir: &Path, n: u64, space: Space) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let tar = dir.join("pictures.tar");
    let mut builder = tar::Builder::new(BufWriter::new(File::create(&tar)?));
    for number in 0..n {
        let mut header = tar::Header::new_gnu();
        let mut picture = format!("P6 {SIDE} {SIDE} 255\n").into_bytes();
        picture.extend(number.to_le_bytes());
        picture.extend([0; 4]);
        header.set_size(picture.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{number}.ppm"), picture.as_slice())?;
    }
    builder.into_inner()?.flush()?;
    let mut drawn = Drawn::new(space);
    let mut library = Library::create_or_open(&dir.join("library"), LibraryOptions::default())?;
    let mut go_on = |_: &_| ControlFlow::Continue(());
    library.index(&mut drawn, &[tar], &IndexOptions::default(), &mut go_on)?;
    let mut vectors = BufWriter::new(File::create(dir.join("vectors.part"))?);
    for number in 0..n {
        for value in drawn.vector(number)?.as_slice() {
            vectors.write_all(&value.to_le_bytes())?;
        }
    }
    vectors.into_inner()?;
    Ok(std::fs::rename(dir.join("vectors.part"), dir.join("vectors.f32"))?)
}

/// An encoder of a real model's space that draws its vectors around common centres.
struct Drawn {
    space: Space,
    preprocess: Preprocess,
    logit: Logit,
}

impl Drawn {
    fn new(space: Space) -> Self {
        let (resize, filter) = (Resize::Squash, Filter::Bilinear);
        let (mean, std) = ([0.0; 3], [1.0; 3]);
        let jpeg_scale = JpegScale::None;
        let preprocess = Preprocess { size: SIDE, resize, filter, mean, std, jpeg_scale };
        Self { space, preprocess, logit: Logit::Softmax { scale: 1.0 } }
    }

    fn vector(&self, number: u64) -> mmsearch::Result<Embedding> {
        let mut centre = fastrand::Rng::with_seed(number % N_CLUSTERS);
        let mut own = fastrand::Rng::with_seed(N_CLUSTERS + number);
        let mut value = |_| centre.f32() + own.f32() - 1.0;
        Embedding::normalized((0..self.space.dim).map(&mut value).collect())
    }
}

impl Encoder for Drawn {
    fn space(&self) -> &Space {
        &self.space
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn logit(&self) -> &Logit {
        &self.logit
    }

    fn encode_images(&mut self, pictures: &[Pixels]) -> mmsearch::Result<Vec<Embedding>> {
        let number = |picture: &Pixels| {
            picture.rgb()[..8].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
        };
        pictures.iter().map(|picture| self.vector(number(picture))).collect()
    }

    fn encode_texts(&mut self, texts: &[&str]) -> mmsearch::Result<Vec<Embedding>> {
        texts.iter().map(|_| self.vector(0)).collect()
    }

    fn reads_whole(&mut self, _: &str) -> mmsearch::Result<bool> {
        Ok(true)
    }
}
