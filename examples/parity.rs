//! Compares imported checkpoints with the reference implementations, from file bytes to unit vectors.
//!
//! `make parity` lets `scripts/families.py` write the checkpoints, the photos and what must come out of them into a
//! directory, and runs this on it. Exit status 1 if a cosine is below 0.9999 or a layer differs by more than 1e-4 of its largest value.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it reports on stdout")]
#![expect(clippy::disallowed_methods, reason = "an example reads files in the plain way")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mmsearch::encoder::{
    Device, DualEncoder, Encoder, JpegScale, LEAST_COSINE, Preprocess, import,
};
use mmsearch::media::{Limits, decode, read_regular};
use mmsearch::{Embedding, Pixels};
use safetensors::SafeTensors;

/// The largest difference of a layer, as a share of its largest value.
const MOST_DIFFERENCE: f32 = 1e-4;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: parity DIR")?);
    let mut families: Vec<PathBuf> =
        fs::read_dir(&root)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    families.retain(|dir| dir.join("expected.safetensors").exists());
    families.sort();
    println!(
        "{:<16} {:>9} {:>10} {:>9} {:>9} {:>7}",
        "", "pictures", "photos", "texts", "layers", "tokens"
    );
    let mut holds = !families.is_empty();
    for dir in &families {
        holds &= compare(&root, dir)?;
    }
    holds &= shapes(&root)?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line of the table: the least cosines of given pixels, of photos from their files and of texts, the largest
/// difference of a layer, and whether the tokens are equal.
fn compare(root: &Path, dir: &Path) -> Result<bool, Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let place = scratch.path().join("model");
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    import(dir, &name, &place)?;
    let mut model = DualEncoder::load(&place, Device::Cpu)?;
    let path = dir.join("expected.safetensors");
    let found = model.verify(&path)?;
    let bytes = fs::read(&path)?;
    let expected = SafeTensors::deserialize(&bytes)?;
    let photos = photos(&mut model, root, &expected)?;
    let layers = layers(&mut model, &expected)?;
    let (n_equal, n_texts) = tokens(&mut model, dir)?;
    println!(
        "{name:<16} {:>9.6} {photos:>10.6} {:>9.6} {layers:>9.1e} {n_equal:>5} of {n_texts}",
        found.image_embeddings, found.text_embeddings
    );
    let same = found.holds() && n_equal == n_texts;
    Ok(same && photos >= LEAST_COSINE && layers <= MOST_DIFFERENCE)
}

#[derive(serde::Deserialize)]
struct Tokens {
    texts: Vec<String>,
    ids: Vec<Vec<i64>>,
}

/// How many texts have the reference's token ids; the first few others are shown.
fn tokens(model: &mut DualEncoder, dir: &Path) -> Result<(usize, usize), Box<dyn Error>> {
    let Tokens { texts, ids } = serde_json::from_slice(&fs::read(dir.join("tokens.json"))?)?;
    let (mut n_equal, mut n_shown) = (0, 0);
    for (text, wanted) in texts.iter().zip(&ids) {
        let found = model.token_ids(text)?;
        if found == *wanted {
            n_equal += 1;
        } else if n_shown < 5 {
            let start: String = text.chars().take(60).collect();
            eprintln!("  {start:?}: {found:?}, expected {wanted:?}");
            n_shown += 1;
        }
    }
    Ok((n_equal, texts.len()))
}

/// Compares resized pictures with Pillow's, pixel by pixel.
fn shapes(root: &Path) -> Result<bool, Box<dyn Error>> {
    let bytes = fs::read(root.join("shapes.safetensors"))?;
    let expected = SafeTensors::deserialize(&bytes)?;
    let (mut worst, mut n_different, mut n_values) = (0, 0, 0);
    for (key, view) in expected.tensors() {
        let [name, side, filter, resize]: [&str; 4] = key
            .split('|')
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| "a key of shapes.safetensors")?;
        let preprocess = Preprocess {
            size: side.parse()?,
            jpeg_scale: JpegScale::None,
            resize: serde_json::from_value(resize.into())?,
            filter: serde_json::from_value(filter.into())?,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let (file, _) = read_regular(&root.join("shapes").join(name), &Limits::default())?;
        let square =
            preprocess.apply(&decode(&file, &Limits::default(), preprocess.detail())?.pixels)?;
        for (a, b) in square.rgb().iter().zip(view.data()) {
            let difference = a.abs_diff(*b);
            worst = worst.max(difference);
            n_different += usize::from(difference > 0);
            n_values += 1;
        }
    }
    let share = 100.0 * n_different as f64 / n_values as f64;
    println!(
        "\nresized pictures beside Pillow's: {} squares, largest difference {worst}/255, {share:.3} % of the values differ",
        expected.len()
    );
    Ok(worst <= 1)
}

fn photos(
    model: &mut DualEncoder,
    root: &Path,
    expected: &SafeTensors,
) -> Result<f32, Box<dyn Error>> {
    let names = std::str::from_utf8(expected.tensor("file.names")?.data())?;
    let wanted = floats(expected, "file.embedding")?;
    let squares = names
        .split_terminator('\0')
        .map(|name| {
            let (bytes, _) = read_regular(&root.join("images").join(name), &Limits::default())?;
            let decoded = decode(&bytes, &Limits::default(), model.preprocess().detail())?;
            Ok(model.preprocess().apply(&decoded.pixels)?)
        })
        .collect::<Result<Vec<Pixels>, Box<dyn Error>>>()?;
    let mut found = Vec::new();
    for batch in squares.chunks(16) {
        found.extend(model.encode_images(batch)?);
    }
    let dim = wanted.len() / found.len();
    let cosine = |(row, wanted): (&Embedding, &[f32])| {
        row.as_slice().iter().zip(wanted).map(|(a, b)| a * b).sum::<f32>()
    };
    Ok(found.iter().zip(wanted.chunks(dim)).map(cosine).fold(1.0, f32::min))
}

fn layers(model: &mut DualEncoder, expected: &SafeTensors) -> Result<f32, Box<dyn Error>> {
    let input = expected.tensor("image.input")?;
    let side = input.shape()[1];
    let pictures = input
        .data()
        .chunks(side * side * 3)
        .map(|rgb| Pixels::new(side as u32, side as u32, rgb.to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut worst = 0f32;
    for name in expected.names() {
        let Some(layer) = name.strip_prefix("image.layer.") else { continue };
        let found = model.image_layer_input(&pictures, layer.parse()?)?;
        let wanted = floats(expected, name)?;
        let largest = wanted.iter().fold(0f32, |a, b| a.max(b.abs()));
        let difference = found.iter().zip(&wanted).fold(0f32, |a, (x, y)| a.max((x - y).abs()));
        worst = worst.max(difference / largest);
    }
    Ok(worst)
}

fn floats(tensors: &SafeTensors, name: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let four = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok(tensors.tensor(name)?.data().chunks_exact(4).map(four).collect())
}
