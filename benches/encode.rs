//! Encodes pictures in rounds, as asked for on stdin, so that `scripts/bench_encode.py` can take turns with PyTorch.
//!
//! Each line of stdin is a round of `ROUND` batches; its answer is the milliseconds that a picture took.
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::error::Error;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::time::Instant;

use mmsearch::Pixels;
use mmsearch::encoder::{Device, DualEncoder, Encoder as _};

/// Pictures encoded at once, as `mmsearch index` does.
const BATCH: usize = 8;

/// Batches in a round.
const ROUND: usize = 6;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let model = args.iter().find(|arg| !arg.starts_with('-')).map_or("models/mini", |arg| arg);
    let mut encoder = DualEncoder::load(&PathBuf::from(model), Device::Cpu)?;
    let pictures = noise(encoder.preprocess().size)?;
    encoder.encode_images(&pictures)?;
    // Run as a test, without `--bench`, it only shows that it works.
    if !args.iter().any(|arg| arg == "--bench") {
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        line?;
        let began = Instant::now();
        for _ in 0..ROUND {
            encoder.encode_images(&pictures)?;
        }
        println!("{}", began.elapsed().as_secs_f64() * 1000.0 / (ROUND * BATCH) as f64);
    }
    Ok(())
}

fn noise(side: u32) -> Result<Vec<Pixels>, Box<dyn Error>> {
    let mut rng = fastrand::Rng::with_seed(1);
    let picture = |_| {
        let rgb = (0..side * side * 3).map(|_| rng.u8(..)).collect();
        Pixels::new(side, side, rgb)
    };
    Ok((0..BATCH).map(picture).collect::<Result<_, _>>()?)
}
