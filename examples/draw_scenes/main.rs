//! Draws captioned scenes for tests and training: coloured things in simple places, from a seed.
//!
//! `cargo run --release --no-default-features --example draw_scenes -- OUT_DIR --count N --seed S
//! --split train|heldout|all [--format mixed|jpeg]` writes pictures of 224×224 pixels and `captions.jsonl`.
//! About one in five combinations of thing, colour and place is held out: it never occurs in `train`.

use std::io::Write;
use std::path::PathBuf;

mod scenes;

use scenes::{Format, Options, Split};

const USAGE: &str = "usage: draw_scenes OUT_DIR --count N --seed S --split train|heldout|all \
                     [--format mixed|jpeg]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (out_dir, options) = parse(std::env::args().skip(1)).ok_or(USAGE)?;
    scenes::write_set(&out_dir, &options)?;
    writeln!(std::io::stdout(), "{} scenes in {}", options.count, out_dir.display())?;
    Ok(())
}

/// The arguments; `None` if they are wrong or incomplete.
fn parse(mut args: impl Iterator<Item = String>) -> Option<(PathBuf, Options)> {
    let (mut out_dir, mut count, mut seed, mut split) = (None, None, None, None);
    let mut format = Format::Mixed;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--count" => count = Some(args.next()?.parse().ok()?),
            "--seed" => seed = Some(args.next()?.parse().ok()?),
            "--split" => split = Some(Split::from_name(&args.next()?)?),
            "--format" => format = Format::from_name(&args.next()?)?,
            option if option.starts_with("--") => return None,
            _ if out_dir.is_some() => return None,
            _ => out_dir = Some(PathBuf::from(arg)),
        }
    }
    Some((out_dir?, Options { count: count?, seed: seed?, split: split?, format }))
}
