//! `similar`, `random` and `duplicates` on the command line.

use crate::common::program::{check, json_lines, mmsearch, run, three_photos};
use crate::common::{Place, RED, png};
use crate::filled;

#[test]
fn similar_by_path_and_by_id_without_a_model() {
    let place = filled();
    let by_path = run(&place, &["similar", "photos/sofa.jpg", "--json"]);
    assert_eq!((by_path.0, by_path.2.as_str()), (0, ""));
    let lines = json_lines(&by_path.1);
    assert!(lines[0]["path"].as_str().unwrap().ends_with("/copy.jpg"), "{lines:?}");
    assert!(
        lines.len() == 3 && lines.iter().all(|line| !line["path"].to_string().contains("sofa"))
    );
    let (_, drawn, _) = run(&place, &["random", "-k", "99", "--json"]);
    let drawn = json_lines(&drawn);
    let sofa = drawn.iter().find(|line| line["path"].to_string().contains("sofa")).unwrap();
    assert_eq!(run(&place, &["similar", &sofa["id"].to_string(), "--json"]).1, by_path.1);
    // Neither a fake model nor a real one is there.
    let mut plain = mmsearch(&place);
    plain.env_remove("MMSEARCH_FAKE_ENCODER").args(["similar", "photos/sofa.jpg", "--json"]);
    assert_eq!(plain.output().unwrap().stdout, by_path.1.as_bytes());
    let (_, texts, _) = run(&place, &["similar", "photos/sofa.jpg", "--to", "text", "-k", "1"]);
    assert!(texts.contains("\"red again\""), "{texts}");
    check(&place);
}

#[test]
fn what_is_not_in_the_library() {
    let place = filled();
    place.write("new.png", png(RED, 9));
    let (code, _, stderr) = run(&place, &["similar", "photos/new.png"]);
    assert_eq!((code, stderr.lines().count()), (1, 1));
    assert!(stderr.contains("`mmsearch query --image photos/new.png`"), "{stderr}");
    for what in ["photos/never.png", "4711"] {
        let (code, _, stderr) = run(&place, &["similar", what]);
        assert!(code == 1 && stderr.contains("is not in the library"), "{stderr}");
    }
}

#[test]
fn duplicates_group_by_group() {
    let place = filled();
    let (code, lines, stderr) = run(&place, &["duplicates"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let line = &json_lines(&run(&place, &["duplicates", "--json"]).1)[0];
    assert_eq!((&line["group"], &line["identical"]), (&1.into(), &true.into()));
    let (code, lines, _) = run(&place, &["duplicates", "--threshold", "0.0001", "--verify"]);
    assert_eq!(code, 0);
    assert!(lines.contains("sofa.jpg"), "{lines}");
    assert_eq!(run(&place, &["duplicates", "--threshold", "0"]).0, 2);
    assert_eq!(run(&place, &["duplicates", "--threshold", "NaN"]).0, 2);

    let place = three_photos();
    run(&place, &["index", "photos"]);
    assert_eq!(run(&place, &["duplicates"]), (1, String::new(), String::new()));
    check(&place);
}

#[test]
fn an_empty_library_and_none_at_all() {
    for command in [&["similar", "7"][..], &["random"], &["duplicates"]] {
        let place = Place::new();
        let (code, stdout, stderr) = run(&place, command);
        assert_eq!((code, stdout.as_str()), (1, ""));
        assert!(stderr.contains("there is no library"), "{stderr}");
        assert!(!place.library().exists(), "asking makes nothing");
        assert_eq!(run(&place, &["index", "photos"]).0, 0);
        let (code, stdout, stderr) = run(&place, command);
        assert_eq!((code, stdout.as_str()), (1, ""));
        assert_eq!(stderr, "mmsearch: the library is empty; fill it with `mmsearch index`\n");
    }
}
