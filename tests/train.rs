//! Training on pictures drawn by the test: it learns, it can be interrupted, and it says what it passed over.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "these are tests"
)]
#![cfg(feature = "torch")]

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use mmsearch::Error;
use mmsearch::encoder::config::ModelConfig;
use mmsearch::encoder::{Device, DualEncoder};
use mmsearch::eval::evaluate;
use mmsearch::media::{Limits, PairSource, Pairs};
use mmsearch::train::{Init, Recipe, StorageKind, TowerMode, TrainEvent, TrainOptions, train};

const COLOURS: [(&str, [u8; 3]); 8] = [
    ("red", [220, 30, 30]),
    ("green", [30, 200, 40]),
    ("blue", [30, 40, 220]),
    ("yellow", [230, 220, 30]),
    ("white", [245, 245, 245]),
    ("black", [10, 10, 10]),
    ("purple", [140, 30, 160]),
    ("orange", [240, 140, 20]),
];

/// Pictures of one colour each, with a shade of their own, and a manifest.
fn draw(dir: &Path, shades: std::ops::Range<u8>, extra_rows: &str) -> PairSource {
    fs::create_dir_all(dir).unwrap();
    let mut rows = String::new();
    for (name, rgb) in COLOURS {
        for shade in shades.clone() {
            let file = format!("{name}-{shade}.png");
            let shaded = rgb.map(|c| c.saturating_sub(shade * 3).saturating_add(shade));
            image::RgbImage::from_pixel(20, 20, image::Rgb(shaded)).save(dir.join(&file)).unwrap();
            rows += &format!(
                r#"{{"image":"{file}","captions":["a {name} thing","something {name}"]}}"#
            );
            rows.push('\n');
        }
    }
    fs::write(dir.join("captions.jsonl"), rows + extra_rows).unwrap();
    PairSource { captions: dir.to_path_buf(), images: None, split: None }
}

fn recipe(train: PairSource, val: PairSource, image_tower: TowerMode) -> Recipe {
    let json = include_bytes!("../fixtures/models/tiny/model.json");
    Recipe {
        seed: 3,
        model: ModelConfig::parse(json, Path::new("tiny")).unwrap(),
        init: Init::Random,
        pairs: vec![train],
        val,
        paraphrases: vec![],
        image_tower,
        views: 1,
        epochs: 40,
        batch: 16,
        captions_per_image: 2,
        paraphrase_batch: 0,
        paraphrase_weight: 0.0,
        learning_rate: 0.02,
        image_tower_rate: 0.3,
        warmup: 0.1,
        weight_decay: 0.01,
        word_dropout: 0.0,
        feature_dropout: 0.0,
        storage: StorageKind::F32,
    }
}

fn options(run: &Path, resume: bool) -> TrainOptions {
    TrainOptions { data: "/".into(), run: run.to_path_buf(), resume, device: Device::Cpu }
}

/// Finished epochs of a run.
fn epochs(run: &Path) -> u64 {
    let state: serde_json::Value =
        serde_json::from_slice(&fs::read(run.join("state.json")).unwrap()).unwrap();
    state["epoch"].as_u64().unwrap()
}

/// Mean recall at 1 of a model directory, in percent, text to image.
fn r1(model: &Path, source: &PairSource) -> f64 {
    let mut pairs = Pairs::open(source, Limits::default()).unwrap();
    let mut model = DualEncoder::load(model, Device::Cpu).unwrap();
    evaluate(&mut model, &mut pairs, &mut |_, _| ControlFlow::Continue(()))
        .unwrap()
        .text_to_image
        .r1
}

#[test]
fn colours_are_learned_with_a_frozen_and_with_a_trained_tower() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..6, "");
    let val = draw(&dir.path().join("val"), 7..8, "");
    for (tower, name) in [(TowerMode::Frozen, "frozen"), (TowerMode::Trained, "trained")] {
        let run = dir.path().join(name);
        let mut before = None;
        let report =
            train(&recipe(data.clone(), val.clone(), tower), &options(&run, false), &mut |event| {
                if let TrainEvent::Epoch { epoch: 1, val, .. } = event {
                    before = Some(val.text_to_image.r1);
                }
                ControlFlow::Continue(())
            });
        let after = r1(&report.unwrap().model, &val);
        assert!(after >= 75.0, "{name}: {after} % of the colours are found (chance is 12.5 %)");
        assert!(before.unwrap() < after, "{name}: the first epoch is not yet the best");
    }
}

#[test]
fn a_run_is_repeatable_and_goes_on_where_it_was_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..3, "");
    let mut recipe = recipe(data.clone(), data, TowerMode::Trained);
    (recipe.epochs, recipe.word_dropout, recipe.feature_dropout) = (4, 0.2, 0.2);
    let state =
        |run: &Path| fs::read(run.join(format!("state-{}.safetensors", epochs(run)))).unwrap();

    let whole = dir.path().join("whole");
    train(&recipe, &options(&whole, false), &mut |_| ControlFlow::Continue(())).unwrap();
    let halves = dir.path().join("halves");
    let stop_in_the_third = |event: &TrainEvent| match event {
        TrainEvent::Step { done, total, .. } if *done * 2 > *total + 1 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let cancelled = train(&recipe, &options(&halves, false), &mut { stop_in_the_third });
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    assert_ne!(state(&halves), state(&whole), "the control: half a run is another");
    train(&recipe, &options(&halves, true), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(state(&halves), state(&whole));
}

#[test]
fn a_run_directory_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..2, "");
    let mut recipe = recipe(data.clone(), data, TowerMode::Frozen);
    recipe.epochs = 1;
    let run = dir.path().join("run");
    let go = |recipe: &Recipe, resume| {
        train(recipe, &options(&run, resume), &mut |_| ControlFlow::Continue(()))
    };
    go(&recipe, false).unwrap();
    assert!(go(&recipe, false).unwrap_err().to_string().contains("--resume"));
    assert!(go(&recipe, true).is_ok(), "a finished run has nothing left to do");
    recipe.seed += 1;
    assert!(go(&recipe, true).unwrap_err().to_string().contains("another recipe"));
}

#[test]
fn bad_pairs_are_counted_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let bad = concat!(
        r#"{"image":"nowhere.png","captions":["a lost thing"]}"#,
        "\n",
        r#"{"image":"broken.png","captions":["a broken thing"]}"#,
        "\n",
        r#"{"image":"red-0.png","captions":["  ", "a red thing"]}"#,
        "\nno json\n"
    );
    let data = draw(&dir.path().join("train"), 0..2, bad);
    fs::write(dir.path().join("train/broken.png"), b"no picture").unwrap();
    let mut recipe = recipe(data.clone(), data, TowerMode::Frozen);
    recipe.epochs = 1;
    let mut notes = Vec::new();
    train(&recipe, &options(&dir.path().join("run"), false), &mut |event| {
        if let TrainEvent::Note(note) = event {
            notes.push(note.clone());
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let notes = notes.join("\n");
    for expected in ["1 images are missing", "1 images cannot be read", "1 captions stand twice"] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
}

#[test]
fn captions_may_lie_beside_the_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("photos");
    draw(&place, 0..1, "");
    fs::remove_file(place.join("captions.jsonl")).unwrap();
    fs::write(place.join("red-0.txt"), "a red thing\n\nall in red\n").unwrap();
    fs::write(place.join("blue-0.txt"), "a blue thing\n").unwrap();
    let source = PairSource { captions: place, images: None, split: None };
    let pairs = Pairs::open(&source, Limits::default()).unwrap();
    let found: Vec<_> =
        pairs.iter().map(|pair| (pair.image.to_str().unwrap(), pair.captions.len())).collect();
    assert_eq!(found, [("blue-0.png", 1), ("red-0.png", 2)]);
    assert_eq!(pairs.pixels(1).unwrap().rgb()[..3], [220, 30, 30]);
}

#[test]
fn a_model_is_adapted_with_paraphrases_and_stored_in_int8() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..4, "");
    let mut first = recipe(data.clone(), data.clone(), TowerMode::Frozen);
    (first.epochs, first.storage) = (2, StorageKind::Int8);
    (first.paraphrases, first.paraphrase_batch, first.paraphrase_weight) =
        (vec![data.captions.join("captions.jsonl")], 8, 0.5);
    let go = |recipe: &Recipe, name: &str| {
        train(recipe, &options(&dir.path().join(name), false), &mut |_| ControlFlow::Continue(()))
    };
    let start = go(&first, "first").unwrap().model;
    let verified =
        DualEncoder::load(&start, Device::Cpu).unwrap().verify(&start.join("golden.safetensors"));
    assert!(verified.unwrap().holds(), "a trained model comes with a golden file of its own");

    let mut second = first.clone();
    second.init = Init::Model { dir: Some(start.clone()) };
    second.epochs = 20;
    let adapted = go(&second, "second").unwrap().model;
    assert_eq!(
        fs::read(adapted.join("tokenizer.json")).unwrap(),
        fs::read(start.join("tokenizer.json")).unwrap(),
        "the vocabulary is the first model's"
    );
    assert!(
        r1(&adapted, &data) > r1(&start, &data),
        "more training on the same pictures helps on them"
    );

    second.model.dim = 4;
    let refused = go(&second, "third").unwrap_err().to_string();
    assert!(refused.contains("differs from the model in `init`"), "{refused}");
}

#[test]
fn labels_without_captions_and_unreadable_pictures_do_not_spoil_a_trained_tower() {
    let dir = tempfile::tempdir().unwrap();
    let bad = concat!(
        r#"{"image":"red-0.png","captions":[],"label":"red"}"#,
        "\n",
        r#"{"image":"label-only.png","label":"nothing"}"#,
        "\n",
        r#"{"image":"broken.png","captions":["a broken thing"]}"#,
        "\n"
    );
    let place = dir.path().join("train");
    let data = draw(&place, 0..2, bad);
    fs::write(place.join("broken.png"), b"no picture").unwrap();
    fs::copy(place.join("red-0.png"), place.join("label-only.png")).unwrap();
    let mut recipe = recipe(data.clone(), data, TowerMode::Trained);
    recipe.epochs = 1;
    let mut notes = Vec::new();
    let report = train(&recipe, &options(&dir.path().join("run"), false), &mut |event| {
        if let TrainEvent::Note(note) = event {
            notes.push(note.clone());
        }
        ControlFlow::Continue(())
    });
    assert!(
        report.unwrap().model.join("model.json").is_file(),
        "even a poor epoch is kept if it is the only one"
    );
    let notes = notes.join("\n");
    for expected in ["1 images cannot be read", "1 images have no caption"] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
}
