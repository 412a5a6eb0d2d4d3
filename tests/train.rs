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
use mmsearch::encoder::config::{Logit, ModelConfig};
use mmsearch::encoder::{Device, DualEncoder, Encoder};
use mmsearch::eval::{evaluate, evaluate_labels};
use mmsearch::media::{Limits, PairSource, Pairs};
use mmsearch::train::{
    Classes, Init, LossKind, Recipe, StorageKind, TextMode, TowerMode, TrainEvent, TrainOptions,
    train,
};

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
        model: Some(ModelConfig::parse(json, Path::new("tiny")).unwrap()),
        init: Init::Random,
        pairs: vec![train],
        val,
        paraphrases: vec![],
        classes: None,
        image_tower,
        text_tower: TextMode::Trained,
        views: 1,
        least_area: 0.6,
        colour_jitter: 0.1,
        warm_up_epochs: 0,
        epochs: 40,
        patience: 0,
        batch: 16,
        captions_per_image: 2,
        paraphrase_batch: 0,
        paraphrase_weight: 0.0,
        loss: LossKind::Softmax,
        hardest_negative_weight: 0.0,
        learning_rate: 0.02,
        image_tower_rate: 0.3,
        warmup: 0.1,
        weight_decay: 0.01,
        activation_l1: 0.0,
        word_dropout: 0.0,
        feature_dropout: 0.0,
        average: 0.0,
        storage: StorageKind::F32,
    }
}

fn options(run: &Path, resume: bool) -> TrainOptions {
    TrainOptions {
        data: "/".into(),
        run: run.to_path_buf(),
        cache: None,
        resume,
        device: Device::Cpu,
    }
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
fn colours_are_learned_with_a_frozen_a_trained_and_a_half_trained_tower() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..6, "");
    let val = draw(&dir.path().join("val"), 7..8, "");
    for (tower, name) in [
        (TowerMode::Frozen, "frozen"),
        (TowerMode::Trained, "trained"),
        (TowerMode::TrainedFrom(3), "from"),
    ] {
        let run = dir.path().join(name);
        let mut before = None;
        let report =
            train(&recipe(data.clone(), val.clone(), tower), &options(&run, false), &mut |event| {
                if let TrainEvent::Epoch { epoch: 1, val, .. } = event {
                    before = Some(val.text_to_image.r1);
                }
                ControlFlow::Continue(())
            });
        let after = r1(&report.unwrap().model.unwrap(), &val);
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
    assert_eq!(pairs.pixels(1, mmsearch::Detail::Full).unwrap().rgb()[..3], [220, 30, 30]);
}

#[test]
fn a_model_is_adapted_with_paraphrases_and_stored_in_int8() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..4, "");
    let mut first = recipe(data.clone(), data.clone(), TowerMode::Frozen);
    (first.epochs, first.storage, first.warm_up_epochs) = (2, StorageKind::Int8, 3);
    (first.paraphrases, first.paraphrase_batch, first.paraphrase_weight) =
        (vec![data.captions.join("captions.jsonl")], 8, 0.5);
    let go = |recipe: &Recipe, name: &str| {
        train(recipe, &options(&dir.path().join(name), false), &mut |_| ControlFlow::Continue(()))
    };
    let start = go(&first, "first").unwrap().model.unwrap();
    let verified =
        DualEncoder::load(&start, Device::Cpu).unwrap().verify(&start.join("golden.safetensors"));
    assert!(verified.unwrap().holds(), "a trained model comes with a golden file of its own");

    let mut second = first.clone();
    second.init = Init::Model { dir: Some(start.clone()) };
    second.epochs = 20;
    let adapted = go(&second, "second").unwrap().model.unwrap();
    assert_eq!(
        fs::read(adapted.join("tokenizer.json")).unwrap(),
        fs::read(start.join("tokenizer.json")).unwrap(),
        "the vocabulary is the first model's"
    );
    assert!(
        r1(&adapted, &data) > r1(&start, &data),
        "more training on the same pictures helps on them"
    );

    second.model.as_mut().unwrap().dim = 4;
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
        report.unwrap().model.unwrap().join("model.json").is_file(),
        "even a poor epoch is kept if it is the only one"
    );
    let notes = notes.join("\n");
    for expected in ["1 images cannot be read", "1 images have no caption"] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
}

#[test]
fn every_loss_and_an_average_learn_colours() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..6, "");
    let val = draw(&dir.path().join("val"), 7..8, "");
    let base = recipe(data, val.clone(), TowerMode::Frozen);
    let mut sigmoid = Recipe { loss: LossKind::Sigmoid, ..base.clone() };
    sigmoid.model.as_mut().unwrap().logit = Logit::Sigmoid { scale: 10.0, bias: -5.0 };
    let hinge = Recipe { hardest_negative_weight: 2.0, activation_l1: 0.01, ..base.clone() };
    let averaged = Recipe { average: 0.9, ..base };
    for (recipe, name) in [(sigmoid, "sigmoid"), (hinge, "hinge"), (averaged, "average")] {
        let run = dir.path().join(name);
        let report = train(&recipe, &options(&run, false), &mut |_| ControlFlow::Continue(()));
        let after = r1(&report.unwrap().model.unwrap(), &val);
        assert!(after >= 75.0, "{name}: {after} % of the colours are found (chance is 12.5 %)");
    }
}

#[test]
fn class_names_are_learned_from_a_classifier() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("train");
    // The colours have captions that do not name them, and a label that does.
    let mut rows = String::new();
    for (i, (name, _)) in COLOURS.into_iter().enumerate() {
        for shade in 0..6 {
            rows += &format!(
                "{{\"image\":\"{name}-{shade}.png\",\"captions\":[\"thing {i}\"],\"label\":\"{name}\"}}\n"
            );
        }
    }
    draw(&place, 0..6, "");
    fs::write(place.join("captions.jsonl"), &rows).unwrap();
    let data = PairSource { captions: place.clone(), images: None, split: None };
    let mut recipe = recipe(data.clone(), data.clone(), TowerMode::Frozen);
    recipe.epochs = 1;
    let go = |recipe: &Recipe, name: &str| {
        let report = train(recipe, &options(&dir.path().join(name), false), &mut |_| {
            ControlFlow::Continue(())
        });
        report.unwrap().model.unwrap()
    };
    let named = |model: &Path| {
        let mut pairs = Pairs::open(&data, Limits::default()).unwrap();
        let mut model = DualEncoder::load(model, Device::Cpu).unwrap();
        let prompts = ["a {}".to_string()];
        evaluate_labels(&mut model, &mut pairs, &prompts, &mut |_, _| ControlFlow::Continue(()))
            .unwrap()
            .top1
    };
    let without = named(&go(&recipe, "without"));
    // A classifier that is right: its rows are the mean features of the colours, which the test asks a model for.
    let classifier = place.join("classifier.safetensors");
    write_classifier(&dir.path().join("without/model"), &place, &classifier);
    recipe.init = Init::Model { dir: Some(dir.path().join("without/model")) };
    recipe.classes = Some(Classes {
        images: data.clone(),
        classifier,
        prompts: vec!["a {}".into(), "{}".into()],
        weight: 1.0,
        batch: 8,
        synthetic: 16,
    });
    recipe.epochs = 60;
    let with = named(&go(&recipe, "with"));
    assert!(without < 60.0 && with >= 75.0, "without {without} %, with {with} % are named");
}

/// A nearest-centre classifier of the colours over the tower's features.
fn write_classifier(model: &Path, place: &Path, to: &Path) {
    let mut model = DualEncoder::load(model, Device::Cpu).unwrap();
    let (mut weight, mut bias) = (Vec::<f32>::new(), Vec::<f32>::new());
    for (name, _) in COLOURS {
        let image = image::open(place.join(format!("{name}-2.png"))).unwrap().to_rgb8();
        let pixels = mmsearch::Pixels::new(20, 20, image.into_raw()).unwrap();
        let picture = model.preprocess().apply(&pixels).unwrap();
        let features = model.image_features(&[picture]).unwrap().remove(0);
        // -|x - c|² / 2 = c·x - |c|² / 2 - …, sharpened.
        let sharp = 400.0;
        bias.push(-sharp * features.iter().map(|v| v * v).sum::<f32>() / 2.0);
        weight.extend(features.iter().map(|v| v * sharp));
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (weight_bytes, bias_bytes) = (bytes(&weight), bytes(&bias));
    let view = |shape: Vec<usize>, data| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, data).unwrap()
    };
    let n = COLOURS.len();
    let tensors = [
        ("fc.weight", view(vec![n, weight.len() / n], &weight_bytes)),
        ("fc.bias", view(vec![n], &bias_bytes)),
    ];
    fs::write(to, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

#[test]
fn a_run_that_does_not_help_says_so_and_ends_early() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..6, "");
    let first = recipe(data.clone(), data.clone(), TowerMode::Frozen);
    let go = |recipe: &Recipe, name: &str| {
        let run = dir.path().join(name);
        let mut n_epochs = 0;
        let report = train(recipe, &options(&run, false), &mut |event| {
            n_epochs += u64::from(matches!(event, TrainEvent::Epoch { .. }));
            ControlFlow::Continue(())
        });
        (report.unwrap(), n_epochs)
    };
    let (report, _) = go(&first, "first");
    assert!(report.before.is_none());

    // A rate that destroys what was learned: no epoch is better than the start.
    let mut spoil = first.clone();
    spoil.init = Init::Model { dir: report.model };
    (spoil.model, spoil.learning_rate, spoil.patience) = (None, 1.0, 2);
    let (report, n_epochs) = go(&spoil, "spoil");
    assert_eq!((report.model, report.best_epoch, n_epochs), (None, 0, 2));
    assert_eq!(report.before, Some(report.after));
    assert!(!dir.path().join("spoil/model").exists(), "the old model stays the only one");
    assert!(fs::read_to_string(dir.path().join("spoil/curve.svg")).unwrap().contains("epoch 2"));
}

#[test]
fn frozen_towers_leave_only_the_heads_to_learn() {
    let dir = tempfile::tempdir().unwrap();
    let data = draw(&dir.path().join("train"), 0..6, "");
    let mut first = recipe(data.clone(), data.clone(), TowerMode::Frozen);
    first.epochs = 1;
    let go = |recipe: &Recipe, name: &str| {
        train(recipe, &options(&dir.path().join(name), false), &mut |_| ControlFlow::Continue(()))
            .unwrap()
            .model
            .unwrap()
    };
    let start = go(&first, "first");
    let mut second = first;
    second.init = Init::Model { dir: Some(start.clone()) };
    (second.text_tower, second.epochs, second.word_dropout) = (TextMode::Frozen, 20, 0.5);
    let adapted = go(&second, "second");
    assert!(r1(&adapted, &data) > r1(&start, &data));
    let weights = |model: &Path| {
        let bytes = fs::read(model.join("weights.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let owned = tensors.tensors().into_iter().map(|(name, t)| (name, t.data().to_vec()));
        owned.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (before, after) = (weights(&start), weights(&adapted));
    for (name, bytes) in &before {
        assert_eq!(after[name] == *bytes, name.contains("tower"), "{name}");
    }
}
