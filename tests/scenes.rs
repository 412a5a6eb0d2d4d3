//! The drawn scenes of `fixtures/scenes` are what their program draws.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::Path;

use image::RgbImage;

#[path = "../examples/draw_scenes/scenes/mod.rs"]
mod scenes;

use scenes::{Format, Options, Split, write_set};

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/scenes"))
}

/// Draws into a temporary directory.
fn drawn(count: usize, seed: u64, split: &str, format: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let split = Split::from_name(split).unwrap();
    let format = Format::from_name(format).unwrap();
    write_set(dir.path(), &Options { count, seed, split, format }).unwrap();
    dir
}

struct Row {
    image: String,
    split: String,
    captions: Vec<String>,
}

fn rows(dir: &Path) -> Vec<Row> {
    let manifest = std::fs::read_to_string(dir.join("captions.jsonl")).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let row = |line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let captions = row["captions"].as_array().unwrap().iter().map(text).collect();
        Row { image: text(&row["image"]), split: text(&row["split"]), captions }
    };
    manifest.lines().map(row).collect()
}

fn pixels(path: &Path) -> RgbImage {
    image::open(path).unwrap().into_rgb8()
}

/// Mean difference of the samples.
fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

#[test]
fn the_fixtures_are_drawn_again_the_same() {
    let again = drawn(60, 7, "heldout", "mixed");
    let manifest = |dir: &Path| std::fs::read_to_string(dir.join("captions.jsonl")).unwrap();
    assert_eq!(manifest(again.path()), manifest(fixtures()));
    for row in rows(fixtures()) {
        let difference = difference(
            &pixels(&fixtures().join(&row.image)),
            &pixels(&again.path().join(&row.image)),
        );
        // Another release of the JPEG encoder may round otherwise.
        let allowed = if row.image.ends_with(".jpg") { 1.0 } else { 0.0 };
        assert!(difference <= allowed, "{}: {difference}", row.image);
    }
    let other = drawn(1, 8, "heldout", "mixed");
    let first = "scene-0000.png";
    assert!(difference(&pixels(&other.path().join(first)), &pixels(&fixtures().join(first))) > 5.0);
}

#[test]
fn the_fixtures_are_small_and_held_out() {
    let files = std::fs::read_dir(fixtures()).unwrap();
    let n_bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(n_bytes < 700_000, "{n_bytes}");
    let rows = rows(fixtures());
    assert_eq!(rows.len(), 60);
    assert!(rows.iter().all(|row| row.split == "heldout"));
    for end in [".png", ".jpg", ".webp"] {
        assert_eq!(rows.iter().filter(|row| row.image.ends_with(end)).count(), 20);
    }
}

#[test]
fn no_two_pictures_of_a_set_share_their_first_caption() {
    for split in ["train", "heldout", "all"] {
        let dir = drawn(200, 11, split, "jpeg");
        let rows = rows(dir.path());
        let firsts: HashSet<_> = rows.iter().map(|row| row.captions[0].as_str()).collect();
        assert_eq!(firsts.len(), 200);
        for row in &rows {
            let different: HashSet<_> = row.captions.iter().collect();
            assert_eq!((row.captions.len(), different.len()), (5, 5), "{:?}", row.captions);
        }
        let n_heldout = rows.iter().filter(|row| row.split == "heldout").count();
        match split {
            "train" => assert_eq!(n_heldout, 0),
            "heldout" => assert_eq!(n_heldout, 200),
            _ => assert!((20..65).contains(&n_heldout), "{n_heldout}"),
        }
    }
}
