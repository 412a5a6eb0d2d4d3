//! `mmsearch query` with several terms and with conditions.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

mod common;

use common::program::{found, json_lines, mmsearch, run, three_photos};

#[test]
fn terms_add_up_and_take_away() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let first = |arguments: &[&str]| found(&place, arguments).remove(0);
    assert_eq!(first(&["query", "red"]), "red.png");
    assert_eq!(first(&["query", "red - green"]), "red.png");
    assert_eq!(first(&["query", "--", "- green - blue"]), "red.png");
    assert_eq!(found(&place, &["query", "red", "-k2", "--all"]).len(), 2);
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
    let with = |condition| found(&place, &["query", "red", "--all", "--where", condition]);
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

#[test]
fn labels_are_ranked_beside_captions() {
    let place = three_photos();
    place.write("captions.jsonl", "{\"image\": \"red.png\", \"caption\": \"a red wall\"}\n");
    run(&place, &["index", "photos"]);
    let labels = place.root().join("labels.txt");
    std::fs::write(&labels, "green\n\n red \nred\nblue\n").unwrap();
    let labels = labels.to_str().unwrap();
    let asked = ["query", "--image", "photos/red.png", "--to", "text", "--labels", labels];
    let lines = json_lines(&run(&place, &[&asked[..], &["--json"]].concat()).1);
    let texts: Vec<&str> = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 4, "each once: {texts:?}");
    assert!(texts[..2].contains(&"red") && texts[..2].contains(&"a red wall"), "{texts:?}");
    let own = lines.iter().find(|line| line["text"] == "red").unwrap();
    assert_eq!((&own["id"], &own["line"]), (&0.into(), &3.into()));
    for (flag, value) in [("--sort", "date"), ("--after", "3f000000ax1x00000000")] {
        let (code, _, stderr) = run(&place, &[&asked[..], &[flag, value]].concat());
        assert_eq!(code, 2, "{flag}: {stderr}");
    }
    let (code, stdout, stderr) = run(&place, &["query", "red", "--labels", labels]);
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    std::fs::write(place.root().join("empty.txt"), "\n").unwrap();
    let empty = ["query", "red", "--to", "text", "--labels", "empty.txt"];
    assert!(run(&place, &empty).2.contains("empty.txt"), "the file is named");
}

#[test]
fn words_alone_need_no_model() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    // Were a model started, this one could not be.
    let with_model = |more: &[&str]| {
        let mut command = mmsearch(&place);
        command.env_remove("MMSEARCH_FAKE_ENCODER").args(["query", "blue", "--model", "/nowhere"]);
        command.args(more).output().unwrap()
    };
    let output = with_model(&["--mode", "keyword", "--json"]);
    let lines = json_lines(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(lines.len(), 1, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines[0].get("score").is_none() && lines[0]["keyword"]["rank"] == 1, "{}", lines[0]);
    assert_ne!(with_model(&[]).status.code(), Some(0), "the control");
}

#[test]
fn a_page_says_how_to_see_the_next() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let (mut names, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut asked = vec!["query", "red", "-k1", "--all", "--json"];
        asked.extend(after.iter().flat_map(|token| ["--after", token]));
        let (code, stdout, _) = run(&place, &asked);
        let Some(line) = json_lines(&stdout).pop() else {
            assert_eq!(code, 1);
            break;
        };
        names.push(line["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
        after = Some(line["next"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, found(&place, &["query", "red", "--all"]));
    let (code, _, stderr) = run(&place, &["query", "red", "--after", "x"]);
    assert!(code == 2 && stderr.contains("cursor"), "{stderr}");
}

#[test]
fn a_hit_is_explained() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let asked = ["query", "red - blue", "--explain", "--where", "width = 16", "-k1"];
    let stderr = run(&place, &asked).2;
    for part in [
        "1. ",
        "red.png",
        "by meaning: score",
        "place 1",
        "by words: place 1",
        "- blue",
        "condition: width = 16",
        "plan: ",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn nothing_matches_is_said_and_a_guess_is_offered() {
    let place = three_photos();
    run(&place, &["index", "photos"]);
    let (code, stdout, stderr) = run(&place, &["query", "magenta"]);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("nothing matches; the best guess is ") && stderr.contains("--all"));
    assert_eq!(found(&place, &["query", "magenta", "--all"]).len(), 3, "the control");
    let lines = json_lines(&run(&place, &["query", "red", "--all", "--json"]).1);
    let probability = |line: &serde_json::Value| line["probability"].as_f64().unwrap();
    assert!(probability(&lines[0]) > 0.9 && probability(&lines[2]) < 0.5, "{lines:?}");
    assert_eq!(found(&place, &["query", "red"]), ["red.png"]);
    // What has the word is no guess.
    run(&place, &["tag", "photos/green.png", "+magenta"]);
    assert_eq!(found(&place, &["query", "magenta"]), ["green.png"]);
}
