//! A set of scenes: pictures and captions, the same on every machine for the same seed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};
use serde::Serialize;

mod captions;
mod places;
mod raster;
mod rng;
mod scene;
mod subjects;
mod words;

use rng::Rng;
use scene::{Deck, Scene};

/// Which combinations of thing, colour and place are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// Those to learn from.
    Train,
    /// Those that never occur in `train`.
    Heldout,
    /// Both.
    All,
}

impl Split {
    /// By its name on the command line.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "train" => Some(Self::Train),
            "heldout" => Some(Self::Heldout),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

/// How the pictures are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// PNG, JPEG and lossless WebP in turn.
    Mixed,
    /// JPEG only.
    Jpeg,
}

impl Format {
    /// By its name on the command line.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "mixed" => Some(Self::Mixed),
            "jpeg" => Some(Self::Jpeg),
            _ => None,
        }
    }

    fn of_scene(self, scene_idx: usize) -> ImageFormat {
        match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Mixed => [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP][scene_idx % 3],
        }
    }
}

/// What set to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Number of scenes.
    pub(crate) count: usize,
    /// Everything random follows from it.
    pub(crate) seed: u64,
    /// Which combinations.
    pub(crate) split: Split,
    /// How they are stored.
    pub(crate) format: Format,
}

/// A row of `captions.jsonl`.
#[derive(Serialize)]
struct Row<'a> {
    image: &'a str,
    split: &'a str,
    captions: &'a [String],
}

/// Draws a set into a directory, which is made if needed.
pub(crate) fn write_set(out_dir: &Path, options: &Options) -> io::Result<()> {
    std::fs::create_dir_all(out_dir)?;
    let mut manifest = BufWriter::new(File::create(out_dir.join("captions.jsonl"))?);
    let mut deck = Deck::new(options.seed, options.split);
    let mut first_captions = HashSet::new();
    for scene_idx in 0..options.count {
        let mut rng = Rng::new(options.seed, scene_idx as u64);
        let (scene, captions) = new_scene(&mut deck, &mut rng, &mut first_captions);
        let format = options.format.of_scene(scene_idx);
        let name = format!("scene-{scene_idx:04}.{}", extension(format));
        let split = if scene.is_heldout() { "heldout" } else { "train" };
        let bytes = encode(scene.draw(&mut rng, grain(format)), format)?;
        std::fs::write(out_dir.join(&name), bytes)?;
        serde_json::to_writer(&mut manifest, &Row { image: &name, split, captions: &captions })?;
        manifest.write_all(b"\n")?;
    }
    manifest.flush()
}

/// The next scene, with a first caption that no other scene of the set has, as long as there is one.
fn new_scene(deck: &mut Deck, rng: &mut Rng, taken: &mut HashSet<String>) -> (Scene, Vec<String>) {
    let combination = deck.next();
    let mut scene = Scene::around(combination, deck.split(), rng);
    for _try in 0..50 {
        if !taken.contains(&captions::main(&scene)) {
            break;
        }
        scene = Scene::around(combination, deck.split(), rng);
    }
    taken.insert(captions::main(&scene));
    let captions = captions::all(&scene, rng);
    (scene, captions)
}

fn extension(format: ImageFormat) -> &'static str {
    format.extensions_str()[0]
}

/// Grain makes a lossless file five times as large, so that only JPEG gets it.
fn grain(format: ImageFormat) -> i32 {
    if format == ImageFormat::Jpeg { 5 } else { 0 }
}

fn encode(picture: RgbImage, format: ImageFormat) -> io::Result<Vec<u8>> {
    let mut bytes = io::Cursor::new(vec![]);
    let encoded = if format == ImageFormat::Jpeg {
        JpegEncoder::new_with_quality(&mut bytes, 85).encode_image(&picture)
    } else {
        picture.write_to(&mut bytes, format)
    };
    encoded.map_err(io::Error::other)?;
    Ok(bytes.into_inner())
}
