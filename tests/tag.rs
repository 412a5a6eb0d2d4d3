//! `mmsearch tag` as a user or a script meets it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use common::Place;
use common::program::{check, json_lines, run, three_photos};
use serde_json::json;

/// Stdout of a run that succeeds.
fn stdout(place: &Place, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(place, arguments);
    assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
    stdout
}

/// Stderr of a run that changes tags.
fn change(place: &Place, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(place, arguments);
    assert_eq!((code, stdout.as_str()), (0, ""), "{arguments:?}: {stderr}");
    stderr
}

fn indexed() -> Place {
    let place = three_photos();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    place
}

#[test]
fn tags_are_put_on_taken_off_and_listed() {
    let place = indexed();
    let red = place.photo("red.png").display().to_string();
    assert_eq!(
        change(&place, &["tag", "photos/red.png", "+Dog", "+new york", "-cat"]),
        "items: 1; tags: 2 added, 0 removed\n"
    );
    assert_eq!(stdout(&place, &["tag", "photos/red.png"]), format!("{red}: dog, new york\n"));
    assert_eq!(
        change(&place, &["tag", &red, "+dog", "-NEW York"]),
        "items: 1; tags: 0 added, 1 removed\n"
    );
    assert_eq!(
        change(&place, &["tag", "-draft", "photos", "+all"]),
        "items: 3; tags: 3 added, 0 removed\n"
    );
    assert_eq!(stdout(&place, &["tag"]), "      3  all\n      1  dog\n");

    let lines = json_lines(&stdout(&place, &["tag", "--json"]));
    assert_eq!(lines[1], json!({"version": 1, "tag": "dog", "items": 1}));
    let line = json_lines(&stdout(&place, &["tag", &red, "--json"])).remove(0);
    assert_eq!(line["tags"], json!(["all", "dog"]));
    assert_eq!((&line["source"], &line["path"]), (&json!("file"), &json!(red)));
    // By its id, and each item once however often it is meant.
    let id = line["id"].to_string();
    let arguments = ["tag", &id, &red, "photos", "-all", "--json"];
    assert_eq!(
        json_lines(&stdout(&place, &arguments)),
        [json!({"version": 1, "items": 3, "added": 0, "removed": 3})]
    );
    assert_eq!(stdout(&place, &["tag", "--", &id]), format!("{red}: dog\n"));
    assert_eq!(
        stdout(&place, &["tag", "photos/green.png"]).trim_end().rsplit('/').next(),
        Some("green.png:")
    );
    check(&place);
}

#[test]
fn tags_stay_when_photos_are_read_again_and_go_with_them() {
    let place = indexed();
    change(&place, &["tag", "photos/red.png", "+dog"]);
    change(&place, &["tag", "photos/deep", "+sea"]);
    // Changed, moved, and as it was.
    place.write("red.png", common::png(common::RED, 7));
    std::fs::rename(place.photo("deep/blue.png"), place.photo("deep/moved.png")).unwrap();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    assert_eq!(stdout(&place, &["tag"]), "      1  dog\n      1  sea\n");
    assert!(stdout(&place, &["tag", "photos/deep/moved.png"]).ends_with("moved.png: sea\n"));
    assert_eq!(run(&place, &["forget", "photos/deep"]).0, 0);
    assert_eq!(stdout(&place, &["tag"]), "      1  dog\n");
    check(&place);
    // What comes back is another item.
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    assert!(stdout(&place, &["tag", "photos/deep/moved.png"]).ends_with("moved.png:\n"));
    check(&place);
}

#[test]
fn what_is_no_tag_and_no_item_is_refused() {
    let place = indexed();
    let long = format!("+{}", "x".repeat(101));
    for (arguments, reason) in [
        (&["tag", "photos/nothing.png", "+dog"][..], "nothing.png is not in the library"),
        (
            &["tag", "photos/red.png", "photos/nothing.png", "+dog"],
            "nothing.png is not in the library",
        ),
        (&["tag", "99", "+dog"], "item 99 is not in the library"),
        (&["tag", "99"], "item 99 is not in the library"),
        (&["tag", "+dog"], "no item to tag"),
        (&["tag", "photos/red.png", "+"], "a tag cannot be empty"),
        (&["tag", "photos/red.png", "- "], "a tag cannot be empty"),
        (&["tag", "photos/red.png", "+a\nb"], "control characters"),
        (&["tag", "photos/red.png", &long], "at most 100 characters, this one 101"),
        (&["tag", "photos/red.png", "+dog", "-Dog"], "is to be added and removed"),
        (&["tag", "photos/red.png", "--dry-run"], "unknown option --dry-run"),
    ] {
        let (code, stdout, stderr) = run(&place, arguments);
        assert_eq!(
            (code, stdout.as_str(), stderr.lines().count()),
            (2, "", 1),
            "{arguments:?}: {stderr}"
        );
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
    }
    assert_eq!(stdout(&place, &["tag"]), "", "nothing was changed");
    assert!(run(&place, &["tag", "--help"]).1.contains("+TAG"));

    let empty = Place::new();
    for arguments in [&["tag"][..], &["tag", "photos", "+dog"]] {
        let (code, _, stderr) = run(&empty, arguments);
        assert!(code == 1 && stderr.contains("there is no library"), "{stderr}");
    }
    assert!(!empty.library().exists());
}

#[test]
fn a_second_writer_waits_for_no_tag() {
    use mmsearch::library::{Library, LibraryOptions};
    let place = indexed();
    let library = Library::create_or_open(&place.library(), LibraryOptions::default()).unwrap();
    assert_eq!(run(&place, &["tag", "photos/red.png", "+dog"]).0, 4);
    assert_eq!(run(&place, &["tag", "photos/red.png"]).0, 0, "reading does not wait");
    drop(library);
    check(&place);
}

#[test]
fn keywords_of_a_photo_are_tags_until_they_are_taken_off() {
    let said = common::Said { xmp: (&["Holiday", "Sea"], "A day at sea"), iptc: &["sea"] };
    let place = Place::new();
    place.write("a.jpg", common::jpeg_saying(common::RED, &said));
    place.write("a.jpg.txt", "with Ann");
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    assert_eq!(stdout(&place, &["tag"]), "      1  holiday\n      1  sea\n");
    assert_eq!(
        change(&place, &["tag", "photos", "-sea", "+mine"]),
        "items: 1; tags: 1 added, 1 removed\n"
    );
    assert!(stdout(&place, &["tag", "photos/a.jpg"]).ends_with("a.jpg: holiday, mine\n"));
    let condition = "tag = holiday and caption = day and caption = ann";
    let (code, found, _) = run(&place, &["query", "red", "--where", condition]);
    assert!(code == 0 && found.trim_end().ends_with("a.jpg"), "{found}");
    check(&place);
}
