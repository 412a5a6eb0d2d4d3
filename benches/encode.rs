//! Encodes pictures in rounds, as asked for on stdin, so that the scripts of `make bench-encode` can take turns with PyTorch.
//!
//! The line `text` on stdin encodes one short text. Every other line is a round; its answer is the milliseconds that a picture
//! took. A round is `ROUND` batches of noise, or with a directory all of its photos, from their files to unit vectors; `prepare`
//! only reads, decodes and resizes them, `squares` only encodes batches as large as those of `mmsearch index`.
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::error::Error;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use mmsearch::Pixels;
use mmsearch::encoder::{Device, DualEncoder, Encoder as _, Preprocess};
use mmsearch::media::{Limits, decode, read_regular};

/// Pictures encoded at once, as `mmsearch index` does.
const BATCH: usize = 8;

/// Batches in a round.
const ROUND: usize = 6;

/// Pictures that `mmsearch index` hands to the encoder at once.
const INDEX_BATCH: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut paths = args.iter().filter(|arg| !arg.starts_with('-'));
    let model = paths.next().map_or("models/mini", |arg| arg);
    let mut encoder = DualEncoder::load(&PathBuf::from(model), Device::Cpu)?;
    let photos = paths.next().map(|dir| files(Path::new(dir))).transpose()?;
    let pictures = noise(encoder.preprocess().size)?;
    encoder.encode_images(&pictures)?;
    // Run as a test, without `--bench`, it only shows that it works.
    if !args.iter().any(|arg| arg == "--bench") {
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let began = Instant::now();
        if line == "text" {
            encoder.encode_texts(&["a dog runs through the water"])?;
            println!("{}", began.elapsed().as_secs_f64() * 1000.0);
            continue;
        }
        let n = match (&photos, line.as_str()) {
            (_, "squares") => {
                let batch: Vec<Pixels> =
                    pictures.iter().cycle().take(INDEX_BATCH).cloned().collect();
                (0..ROUND).try_for_each(|_| encoder.encode_images(&batch).map(drop))?;
                ROUND * INDEX_BATCH
            }
            (Some(photos), "prepare") => {
                prepare_files(encoder.preprocess(), photos, |_| Ok(()))?;
                photos.len()
            }
            (Some(photos), _) => encode_files(&mut encoder, photos)?,
            (None, _) => {
                (0..ROUND).try_for_each(|_| encoder.encode_images(&pictures).map(drop))?;
                ROUND * BATCH
            }
        };
        println!("{}", began.elapsed().as_secs_f64() * 1000.0 / n as f64);
    }
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = std::fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Decodes on all cores in front of the encoder, as `mmsearch index` does.
fn encode_files(encoder: &mut DualEncoder, files: &[PathBuf]) -> Result<usize, Box<dyn Error>> {
    let (mut batch, mut n) = (Vec::new(), 0);
    prepare_files(&encoder.preprocess().clone(), files, |square| {
        batch.push(square);
        if batch.len() == BATCH {
            n += encoder.encode_images(&std::mem::take(&mut batch))?.len();
        }
        Ok(())
    })?;
    Ok(n + encoder.encode_images(&batch)?.len())
}

/// Reads, decodes and resizes on all cores.
fn prepare_files(
    preprocess: &Preprocess,
    files: &[PathBuf],
    mut take: impl FnMut(Pixels) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, squares) = sync_channel(4 * BATCH);
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // The receiver goes early only after an error, which ends the bench.
                    if sender.send(square(file, preprocess)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for square in squares {
            take(square?)?;
        }
        Ok(())
    })
}

fn square(file: &Path, preprocess: &Preprocess) -> Result<Pixels, String> {
    let limits = Limits::default();
    let (bytes, _) = read_regular(file, &limits).map_err(|error| error.to_string())?;
    preprocess
        .apply(&decode(&bytes, &limits, preprocess.detail())?.pixels)
        .map_err(|error| error.to_string())
}

fn noise(side: u32) -> Result<Vec<Pixels>, Box<dyn Error>> {
    let mut rng = fastrand::Rng::with_seed(1);
    let picture = |_| {
        let rgb = (0..side * side * 3).map(|_| rng.u8(..)).collect();
        Pixels::new(side, side, rgb)
    };
    Ok((0..BATCH).map(picture).collect::<Result<_, _>>()?)
}
