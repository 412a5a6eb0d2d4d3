//! Rows 19, 21 and 22: what is asked for.

use std::fs;

use mmsearch::encoder::{Encoder, FakeEncoder};
use mmsearch::library::{EmbeddedImage, Library, LibraryOptions};
use mmsearch::{Embedding, Metadata, Query, Term};

use crate::common::program::{check, json_lines, mmsearch, run, three_photos};
use crate::common::{Place, RED, YELLOW, png};
use crate::table::{INDEX, QUERY, Row, Stdout, prove};

const ANSWER: Row = Row {
    command: &["query", "--text", "red", "--all", "--json"],
    stdout: Stdout::Json(3),
    ..INDEX
};

#[test]
fn how_many_are_asked_for() {
    prove(&[
        Row {
            number: 21,
            name: "none",
            command: &["query", "red", "-k", "0"],
            says: &[&["0"]],
            ..QUERY
        },
        Row {
            number: 21,
            name: "less than none",
            command: &["query", "red", "-k", "-5"],
            says: &[],
            ..QUERY
        },
        Row {
            number: 21,
            name: "more than anybody reads",
            command: &["query", "red", "-k", "1099511627776"],
            says: &[&["1099511627776"]],
            ..QUERY
        },
        Row {
            number: 21,
            name: "one more than the most",
            command: &["query", "red", "-k", "10001"],
            says: &[&["10001"]],
            ..QUERY
        },
        Row {
            number: 21,
            name: "no number",
            command: &["query", "red", "-k", "NaN"],
            says: &[&["NaN"]],
            ..QUERY
        },
        Row {
            number: 21,
            name: "more than there are",
            command: &["query", "red", "--all", "-k", "10000", "--json"],
            ..ANSWER
        },
        Row {
            number: 21,
            name: "more than there are, by words",
            command: &["query", "red", "--mode", "keyword", "-k", "10000", "--json"],
            stdout: Stdout::Json(1),
            ..ANSWER
        },
        Row {
            number: 21,
            name: "no similar ones",
            command: &["similar", "1", "-k", "0"],
            says: &[&["0"]],
            ..QUERY
        },
        Row {
            number: 21,
            name: "more by lot than there are",
            command: &["random", "-k", "10000", "--json"],
            ..ANSWER
        },
        Row {
            number: 21,
            name: "a page that no answer gave",
            command: &["query", "red", "--after", "no-such-page"],
            says: &[&["mmsearch: "]],
            ..QUERY
        },
    ]);
}

#[test]
fn texts_that_say_nothing_or_too_much() {
    prove(&[
        Row { number: 22, name: "an empty text", command: &["query", "--text", ""], ..QUERY },
        Row { number: 22, name: "a blank text", command: &["query", "--text", " \t\n"], ..QUERY },
        Row { number: 22, name: "an empty line", command: &["query", ""], ..QUERY },
        Row { number: 22, name: "a minus alone", command: &["query", "--text", "-"], ..QUERY },
        Row {
            number: 22,
            name: "nothing but an emoji",
            command: &["query", "--text", "🦀", "--all", "--json"],
            ..ANSWER
        },
        Row {
            number: 22,
            name: "an emoji for words",
            command: &["query", "--text", "🦀", "--mode", "keyword"],
            code: 1,
            says: &[],
            ..QUERY
        },
        Row {
            number: 22,
            name: "signs that a search for words could take for its own",
            command: &["query", "--text", "\"red* NEAR( OR ' ; -- \\", "--all", "--json"],
            ..ANSWER
        },
        Row {
            number: 22,
            name: "a caption with a zero, one of signs that steer terminals, and one without end",
            set_up: |place| {
                let rows = [
                    "{\"image\":\"red.png\",\"caption\":\"a zero \\u0000 inside\"}".to_owned(),
                    "{\"image\":\"red.png\",\"caption\":\"\\u001b[2J\\u202e\"}".to_owned(),
                    format!(
                        "{{\"image\":\"green.png\",\"caption\":\"{}\"}}",
                        "green ".repeat(170_000)
                    ),
                ];
                place.write("captions.jsonl", rows.join("\n"));
            },
            says: &[&["texts: 3 added"]],
            ..INDEX
        },
    ]);
}

#[test]
fn a_text_that_is_longer_than_the_model_reads_is_told_of() {
    let place = three_photos();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    // One argument may have 128 KiB.
    let long = "red ".repeat(30_000);
    let (code, stdout, stderr) = run(&place, &["query", "--text", &long, "--json"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stderr, "note: the text is longer than the model reads; its end is left out\n");
    assert!(json_lines(&stdout)[0]["path"].as_str().unwrap().ends_with("red.png"));
    // A megabyte of labels.
    fs::write(place.root().join("labels"), format!("red\n{}\n", "green ".repeat(170_000))).unwrap();
    let query = ["query", "--image", "photos/red.png", "--to", "text", "--labels", "labels"];
    let (code, stdout, _) = run(&place, &query);
    assert!(code == 0 && stdout.contains("red"), "{code} {stdout:.200}");
    check(&place);
}

#[test]
fn arguments_that_are_no_text_are_wrong_usage() {
    use std::os::unix::ffi::OsStrExt;
    let place = three_photos();
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9");
    for arguments in [
        &["query", "--text"][..],
        &["query"],
        &["query", "red", "--where"],
        &["--model"],
        &["query", "red", "-k"],
        &["index", "photos", "--external-decoder"],
    ] {
        let mut command = mmsearch(&place);
        command.args(arguments).arg(odd);
        if arguments == ["--model"] {
            command.args(["query", "red"]);
        }
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
        assert!(!output.stderr.is_empty());
    }
    check(&place);
}

/// Copies that come first fill the lists of neighbours of a graph, and hide what comes behind them, if nobody sees to it.
#[test]
fn copies_hide_nothing() {
    let place = Place::new();
    let options = LibraryOptions { graph_threshold: 100, ..LibraryOptions::default() };
    let mut library = Library::create_or_open(&place.library(), options).unwrap();
    let encoder = FakeEncoder::default();
    let mut state = 1u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut point = || Embedding::normalized((0..16).map(|_| random()).collect()).unwrap();
    let copy = point();
    let others: Vec<Embedding> = (0..1_000).map(|_| point()).collect();
    let named = |(n, embedding): (usize, Embedding)| EmbeddedImage {
        name: format!("{n:04}"),
        embedding,
        metadata: Metadata::new(),
    };
    let all = std::iter::repeat_n(copy.clone(), 500).chain(others.iter().cloned());
    let images: Vec<EmbeddedImage> = all.enumerate().map(named).collect();
    library.add_embedded_images(encoder.space(), images).unwrap();
    library.refresh_snapshots(&mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    let mut nearest = |embedding: &Embedding, k| {
        let query = Query::new(Term::Embedding(embedding.clone())).k(k);
        library.explained_without_encoder(&query).unwrap().hits
    };
    for (n, embedding) in others.iter().enumerate() {
        let hits = nearest(embedding, 1);
        assert_eq!(hits[0].item.source.to_string(), format!("{:04}", n + 500));
        assert!(hits[0].score.unwrap() > 0.9999);
    }
    assert_eq!(nearest(&copy, 600).len(), 600);
    assert_eq!(library.check().unwrap(), []);
    // The same by the program: copies of a file are one point with many items.
    let place = three_photos();
    for n in 0..500 {
        place.write(&format!("copy{n}.png"), png(RED, 0));
    }
    place.write("other.png", png(YELLOW, 0));
    assert_eq!(run(&place, &["index", "photos"]).0, 0);
    for name in ["green.png", "deep/blue.png", "other.png"] {
        let file = format!("photos/{name}");
        let (_, stdout, _) = run(&place, &["query", "--image", &file, "-k", "1", "--paths"]);
        assert!(stdout.ends_with(&format!("{name}\n")), "{name}: {stdout}");
    }
    check(&place);
}
