//! The whole program on real photos, where they are there: they are not part of the repository.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]
#![cfg(all(feature = "cli", feature = "embedded-model", feature = "torch"))]

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Flickr8k beside the checkout; `None`, said aloud, where it is not.
fn flickr8k() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/flickr8k");
    if !place.is_dir() {
        // Straight to stderr: what a test prints otherwise is swallowed when it passes.
        let _ = writeln!(std::io::stderr(), "skipped: no photos beside the checkout");
        return None;
    }
    Some(place)
}

fn mmsearch(arguments: &[&str], library: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmsearch"));
    command.args(arguments).env("MMSEARCH_LIBRARY", library).env_remove("MMSEARCH_FAKE_ENCODER");
    command.output().unwrap()
}

/// The JSON Lines of a command that must succeed.
fn lines(arguments: &[&str], library: &Path) -> Vec<Value> {
    let output = mmsearch(arguments, library);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All captions of each photo, lower case, in one text.
fn captions(manifest: &Path) -> HashMap<String, String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let joined = |row: &Value| {
        let captions = row["captions"].as_array().unwrap().iter();
        captions.filter_map(Value::as_str).collect::<Vec<_>>().join(" ").to_lowercase()
    };
    rows.map(|row| (row["image"].as_str().unwrap().to_string(), joined(&row))).collect()
}

#[test]
fn a_dog_in_the_water_is_found_among_a_thousand_photos() {
    let Some(place) = flickr8k() else { return };
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("library");
    let tar = place.join("val.tar");
    let tar = tar.to_str().unwrap();
    let report = lines(&["index", "--json", tar], &library);
    let report = report.last().unwrap();
    assert_eq!(report["images"]["added"], 1000, "{report}");
    let again = lines(&["index", "--json", tar], &library);
    let again = again.last().unwrap();
    assert_eq!(
        (&again["images"]["added"], &again["images"]["unchanged"]),
        (&0.into(), &1000.into()),
        "{again}"
    );

    let captions = captions(&place.join("captions.jsonl"));
    let shown = |query: &str, words: [&[&str]; 2]| {
        let hits = lines(&["query", "--json", "--text", query, "-k", "5"], &library);
        assert_eq!(hits.len(), 5);
        let shows = |hit: &&Value| {
            let text = &captions[hit["member"].as_str().unwrap()];
            let said: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
            words.iter().all(|any| any.iter().any(|word| said.contains(word)))
        };
        hits.iter().filter(shows).count()
    };
    let water =
        &["water", "ocean", "sea", "lake", "river", "pool", "waves", "stream", "creek", "surf"][..];
    let n_shown =
        shown("a dog runs through the water", [&["dog", "dogs", "retriever", "puppy"], water]);
    assert!(n_shown >= 3, "{n_shown} of 5 hits show a dog in water");
    let n_shown = shown("a dog runs through the water", [&["bicycle", "bike"], &["ramp"]]);
    assert_eq!(n_shown, 0, "the control: they do not show what was not asked for");
}

/// Needs no photos: the drawn scenes of the repository, of combinations that training never showed.
#[test]
fn the_model_inside_knows_the_drawn_scenes() {
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenes");
    let found =
        lines(&["eval", "--pairs", scenes.to_str().unwrap(), "--json"], Path::new("unused"));
    let r1 = found[0]["text_to_image"]["r1"].as_f64().unwrap();
    assert!(r1 >= 80.0, "chance is 1.7: {}", found[0]);
    assert_eq!(found[0]["image_to_text"]["queries"], 60);
}

#[test]
fn the_model_inside_reaches_its_figures_on_photos_it_never_saw() {
    let Some(place) = flickr8k() else { return };
    let path = |name: &str| place.join(name).to_str().unwrap().to_string();
    let (pairs, images) = (path("captions.jsonl"), path("val.tar"));
    let found = lines(
        &["eval", "--pairs", &pairs, "--images", &images, "--split", "val", "--json"],
        Path::new("unused"),
    );
    let figure = |direction: &str| found[0][direction]["r10"].as_f64().unwrap();
    assert!(figure("text_to_image") >= 52.0, "{}", found[0]);
    assert!(figure("image_to_text") >= 58.0, "{}", found[0]);
    assert_eq!(found[0]["text_to_image"]["queries"], 5000);
}

#[test]
fn the_model_inside_names_classes_that_it_was_never_trained_on() {
    let Some(flickr8k) = flickr8k() else { return };
    let place = flickr8k.with_file_name("caltech101");
    let path = |name: &str| place.join(name).to_str().unwrap().to_string();
    let found = lines(
        &["eval", "--labels", &path("labels.jsonl"), "--images", &path("test.tar"), "--json"],
        Path::new("unused"),
    );
    let top1 = found[0]["top1"].as_f64().unwrap();
    assert!(top1 >= 35.0, "chance is 1: {}", found[0]);
    assert_eq!((&found[0]["images"], &found[0]["classes"]), (&1010.into(), &101.into()));
}
