//! `classify` as a user or a script meets it. The fake model knows the colours by name.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::program::{json_lines, mmsearch, run, three_photos};
use common::{RED, large_jpeg, png};

const PHOTOS: [&str; 3] = ["photos/red.png", "photos/deep/blue.png", "photos/green.png"];

#[test]
fn every_photo_gets_its_class() {
    let place = three_photos();
    let arguments = ["classify", "--labels", "blue, red,green", "-k", "1"];
    let (code, stdout, stderr) = run(&place, &[&arguments[..], &PHOTOS].concat());
    assert_eq!((code, stderr.as_str()), (0, ""));
    let ends =
        ["  red  photos/red.png", "  blue  photos/deep/blue.png", "  green  photos/green.png"];
    assert_eq!(stdout.lines().count(), 3, "{stdout}");
    assert!(stdout.lines().zip(ends).all(|(line, end)| line.ends_with(end)), "{stdout}");
    assert!(!place.library().exists(), "no library is made");

    // Control: a class that is not among the labels is not found.
    let (_, stdout, _) = run(&place, &["classify", "--labels", "blue,green", "-k", "1", PHOTOS[0]]);
    assert!(!stdout.contains("  red  "), "{stdout}");
}

#[test]
fn json_has_all_classes_in_order_and_their_probabilities_sum_to_one() {
    let place = three_photos();
    let labels = "red\n\n  green\r\nblue\nyellow\nwhite\nblack\n";
    fs::write(place.root().join("labels.txt"), labels).unwrap();
    let arguments = ["classify", "--labels-file", "labels.txt", "--json", "-k", "6"];
    let (code, stdout, _) = run(&place, &[&arguments[..], &PHOTOS].concat());
    assert_eq!(code, 0);
    let lines = json_lines(&stdout);
    assert_eq!(lines.len(), 3);
    for (line, (path, label)) in lines.iter().zip(PHOTOS.iter().zip(["red", "blue", "green"])) {
        assert_eq!((&line["version"], &line["event"]), (&1.into(), &"image".into()));
        assert_eq!((&line["path"], &line["classes"][0]["label"]), (&(*path).into(), &label.into()));
        let values = |key: &str| -> Vec<f64> {
            let classes = line["classes"].as_array().unwrap();
            classes.iter().map(|class| class[key].as_f64().unwrap()).collect()
        };
        let probabilities = values("probability");
        assert_eq!(probabilities.len(), 6);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{line}");
        // The fake model's last step: a softmax with a scale of 10.
        let powers: Vec<f64> = values("score").iter().map(|score| (10.0 * score).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (probability, power) in probabilities.iter().zip(powers) {
            assert!((probability - power / sum).abs() < 1e-5, "{line}");
        }
        assert!(values("score").is_sorted_by(|a, b| a >= b), "{line}");
    }
    // Fewer by default.
    let (_, stdout, _) = run(&place, &["classify", "--labels-file", "labels.txt", PHOTOS[0]]);
    assert_eq!(stdout.lines().count(), 5);
}

#[test]
fn prompts_are_averaged() {
    let place = three_photos();
    let score = |prompts: &[&str]| {
        let arguments = ["classify", "--labels", "red", "--json", "photos/red.png"];
        let (code, stdout, stderr) = run(&place, &[&arguments[..], prompts].concat());
        assert_eq!(code, 0, "{stderr}");
        json_lines(&stdout)[0]["classes"][0]["score"].as_f64().unwrap()
    };
    let (one, other) = (score(&["--prompt", "{}"]), score(&["--prompt", "blue {}"]));
    let both = score(&["--prompt", "{}", "--prompt", "blue {}"]);
    assert!(other < both && both < one, "{other} {both} {one}");
    assert_eq!(score(&[]), score(&["--prompt", "a photo of a {}"]));
}

#[test]
fn a_bad_photo_is_skipped_and_the_others_are_not() {
    let place = three_photos();
    place.write("text.png", "hello");
    let whole = large_jpeg();
    place.write("cut.jpg", &whole[..whole.len() / 2]);
    let photos =
        ["photos/text.png", "photos/red.png", "photos/nothing.png", "photos/cut.jpg", "photos"];
    let labels = ["classify", "--labels", "red,blue", "-k", "1"];
    let (code, stdout, stderr) = run(&place, &[&labels[..], &photos].concat());
    assert_eq!((code, stdout.lines().count()), (3, 2), "{stdout}");
    assert!(stdout.contains("red  photos/red.png") && stdout.contains("photos/cut.jpg"));
    for reason in [
        "skipped: photos/text.png: not a picture",
        "photos/nothing.png: No such file",
        "skipped: photos: not a regular file",
        "warning: photos/cut.jpg: the jpeg ends too early",
    ] {
        assert!(stderr.contains(reason), "{reason}: {stderr}");
    }
    let (code, stdout, _) = run(&place, &[&labels[..], &photos, &["--json"]].concat());
    let lines = json_lines(&stdout);
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!((code, events), (3, vec!["skipped", "image", "skipped", "image", "skipped"]));
    assert_eq!(lines[0]["path"], "photos/text.png");
    assert!(lines[0]["reason"].as_str().unwrap().contains("not a picture"));
}

#[test]
fn standard_input_holds_the_labels_or_a_photo() {
    let place = three_photos();
    let piped = |arguments: &[&str], bytes: &[u8]| {
        let mut child = mmsearch(&place)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let stdout = piped(&["classify", "--labels-file", "-", "-k", "1", PHOTOS[0]], b"red\nblue\n");
    assert!(stdout.ends_with("  red  photos/red.png\n"), "{stdout}");
    let stdout = piped(&["classify", "--labels", "red,blue", "-k", "1", "-"], &png(RED, 0));
    assert!(stdout.ends_with("  red  -\n"), "{stdout}");
}

#[test]
fn wrong_usage_is_told_before_a_photo_is_read() {
    let place = three_photos();
    fs::write(place.root().join("empty.txt"), "\n \n").unwrap();
    fs::write(place.root().join("twice.txt"), "red\nblue\n\nred\n").unwrap();
    for (arguments, message) in [
        (&["--labels", "red"][..], "<IMAGE>"),
        (&["photos/red.png"], "--labels"),
        (&["--labels", "", "photos/red.png"], "label 1 is empty"),
        (&["--labels", "red,,blue", "photos/red.png"], "label 2 is empty"),
        (&["--labels", "red,blue,red", "photos/red.png"], "label 3 repeats `red`"),
        (&["--labels", "red", "--labels-file", "empty.txt", "photos/red.png"], "cannot be used"),
        (&["--labels-file", "empty.txt", "photos/red.png"], "empty.txt: there is no label"),
        (&["--labels-file", "twice.txt", "photos/red.png"], "line 4 repeats `red` of line 1"),
        (&["--labels-file", "-", "-"], "standard input cannot hold both"),
        (&["--labels", "red", "--prompt", "a dog", "photos/red.png"], "`a dog` has no {}"),
        (&["--labels", "red", "-k", "0", "photos/red.png"], "0 is not in"),
    ] {
        let (code, stdout, stderr) = run(&place, &[&["classify"], arguments].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    }
    assert_eq!(run(&place, &["classify", "--labels-file", "nowhere.txt", "photos/red.png"]).0, 5);
}
