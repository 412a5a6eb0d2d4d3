//! `mmsearch query` with several terms and with conditions.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use common::program::{found, json_lines, run, three_photos};

#[test]
fn terms_add_up_and_take_away() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let first = |arguments: &[&str]| found(&place, arguments).remove(0);
    assert_eq!(first(&["query", "red"]), "red.png");
    assert_eq!(first(&["query", "red - green"]), "red.png");
    assert_eq!(first(&["query", "--", "- green - blue"]), "red.png");
    assert_eq!(found(&place, &["query", "red", "-k2"]).len(), 2);
    assert_eq!(first(&["query", "@photos/green.png"]), "green.png");
    assert_eq!(first(&["query", "0.2*@photos/green.png + blue"]), "blue.png");
    assert_eq!(first(&["query", "-k", "1", "--text", "green", "--text", "-red"]), "green.png");
    assert_eq!(first(&["query", "--text", "red", "--image", "photos/green.png:9"]), "green.png");
    let line = &json_lines(&run(&place, &["query", "red - green", "-k", "1", "--json"]).1)[0];
    let of_terms: Vec<f64> = serde_json::from_value(line["term_scores"].clone()).unwrap();
    assert!(of_terms.len() == 2 && of_terms[0] > 0.9 && of_terms[1] < 0.1, "{of_terms:?}");
    let id = line["id"].to_string();
    let like = found(&place, &["query", "--like", &id]);
    assert!(like.len() == 2 && !like.contains(&"red.png".to_owned()), "not itself: {like:?}");
    assert_eq!(found(&place, &["query", &format!("#{id}")]), like);
    assert_eq!(first(&["query", "blue", "--unlike", &id]), "blue.png");
    let stderr = run(&place, &["query", "red -"]).2;
    assert_eq!(stderr, "mmsearch: column 6 of the query: expected a text\n");
}

#[test]
fn where_leaves_only_what_a_condition_holds_of() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let with = |condition| found(&place, &["query", "red", "--where", condition]);
    assert_eq!(with("name = blue.png or name = green.png").len(), 2);
    assert_eq!(with("root = photos/deep"), ["blue.png"]);
    assert_eq!(with("not root = photos/deep and width = 16")[0], "red.png");
    run(&place, &["tag", "photos/green.png", "+chosen"]);
    assert_eq!(with("tag = chosen"), ["green.png"]);
    let (code, stdout, _) = run(&place, &["query", "red", "--where", "tag = nothing"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    let (code, _, stderr) = run(&place, &["query", "red", "--where", "wdth > 5"]);
    assert!(code == 2 && stderr.contains("column 1") && stderr.contains("width"), "{stderr}");
    // What looks like SQL is a name that nothing has.
    let injection = "name = \"'; DROP TABLE items; --\"";
    assert_eq!(run(&place, &["query", "red", "--where", injection]).0, 1);
    assert_eq!(with("type = image").len(), 3);
}
