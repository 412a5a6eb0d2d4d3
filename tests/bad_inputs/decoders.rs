//! Row 10: photos that are not decoded here, and programs that decode them badly.

use std::fs;

use crate::common::program::{check, found, run, three_photos};
use crate::common::{BLUE, Place, RED, YELLOW, png};
use crate::made::script;
use crate::table::{INDEX, Row, Stdout, prove};

const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";

/// A photo that is not decoded here, one that is new, and a program that does this.
fn with(place: &Place, decoder: &str) {
    place.write("photo.heic", HEIC);
    place.write("other.png", png(RED, 5));
    script(place, "decoder", decoder);
    fs::write(place.root().join("good.png"), png(YELLOW, 9)).unwrap();
}

const HEIF: Row = Row { number: 10, code: 3, n_added: 1, ..INDEX };

#[test]
fn a_decoder_that_fails_costs_one_file() {
    prove(&[
        Row {
            name: "a HEIC and no decoder",
            set_up: |place| with(place, ""),
            says: &[&["/photo.heic: no decoder for .heic files; convert it to JPEG or PNG"]],
            ..HEIF
        },
        Row {
            name: "a HEIC under the name of a JPEG and no decoder",
            set_up: |place| {
                place.write("photo.jpg", HEIC);
                place.write("other.png", png(RED, 5));
            },
            says: &[&["/photo.jpg: no decoder for heic; convert it to JPEG or PNG"]],
            ..HEIF
        },
        Row {
            name: "a decoder that is not there",
            set_up: |place| with(place, ""),
            command: &["index", "photos", "--external-decoder", "no-such-decoder"],
            says: &[&["/photo.heic: no decoder for heic; `no-such-decoder` cannot be started"]],
            ..HEIF
        },
        Row {
            name: "a decoder without a command",
            set_up: |place| with(place, ""),
            command: &["index", "photos", "--external-decoder", "x {output}"],
            code: 2,
            says: &[&["mmsearch: external decoder `x {output}`: {output} is there and"]],
            n_added: 0,
            ..HEIF
        },
        Row {
            name: "a decoder in the environment, asked for a photo it cannot read",
            set_up: |place| with(place, ""),
            command: &["query", "--image", "photos/photo.heic"],
            environment: &[("MMSEARCH_EXTERNAL_DECODER", "false")],
            code: 5,
            says: &[&["photos/photo.heic: the external decoder `false` failed (exit status: 1)"]],
            n_added: 0,
            ..HEIF
        },
    ]);
}

/// What the program does, and what is said of it.
#[test]
fn a_decoder_that_breaks_costs_one_file() {
    for (decoder, said) in [
        ("kill -s SEGV $$", "ended by signal 11"),
        ("echo 'no image: \x1b[2J' >&2; exit 4", "failed (exit status: 4): no image: [2J"),
        ("exec cat /dev/zero > \"$2\"", "wrote more than a file may have"),
        ("head -c 1000 /dev/urandom > \"$2\"", "wrote a file that is not used: "),
        ("sleep 100000 & exit 0", "wrote no picture"),
        // Only its time ends this one.
        ("while :; do :; done", "took longer than 10 s"),
    ] {
        let place = three_photos();
        with(&place, decoder);
        let command = format!("sh {}", place.root().join("decoder").display());
        let index = ["index", "photos", "--external-decoder", &command];
        let (code, stdout, stderr) = run(&place, &index);
        assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
        assert!(stderr.starts_with("images: 4 added"), "{stderr}");
        let line = stderr.lines().find(|line| line.contains("/photo.heic: ")).unwrap();
        assert!(line.contains(said), "{decoder}: {line}");
        // What failed is not tried again, and said again.
        let (code, _, again) = run(&place, &["index", "photos"]);
        assert!(code == 3 && again.contains(said), "{again}");
        check(&place);
    }
}

#[test]
fn a_photo_that_lacked_a_decoder_is_tried_again_when_there_is_one() {
    let place = three_photos();
    with(&place, "cp \"${0%/*}/good.png\" \"$2\"");
    let command = format!("sh {}", place.root().join("decoder").display());
    let with_decoder = ["index", "photos", "--external-decoder", &command];
    for index in
        [&["index", "photos"][..], &["index", "photos", "--external-decoder", "no-such-decoder"]]
    {
        let (code, _, stderr) = run(&place, index);
        assert!(code == 3 && stderr.contains("photo.heic: no decoder for "), "{stderr}");
    }
    let (code, _, stderr) = run(&place, &with_decoder);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("1 updated") && stderr.contains("4 unchanged"), "{stderr}");
    // It stays, with a decoder and without.
    for index in [&with_decoder[..], &["index", "photos"]] {
        let (code, _, stderr) = run(&place, index);
        assert!(code == 0 && stderr.contains("5 unchanged"), "{stderr}");
    }
    let yellow = ["query", "--text", "yellow", "-k", "2", "--where", "format = heic"];
    assert_eq!(found(&place, &yellow), ["photo.heic"]);
    // Nor does a decoder that is broken for once take it out when the file has another time.
    let file = fs::File::options().write(true).open(place.photo("photo.heic")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000)).unwrap();
    let (code, _, stderr) = run(&place, &["index", "photos", "--external-decoder", "false"]);
    assert!(code == 0 && stderr.contains("5 unchanged"), "{stderr}");
    assert_eq!(found(&place, &yellow), ["photo.heic"]);
    let query =
        ["query", "--image", "photos/photo.heic", "-k", "1", "--external-decoder", &command];
    assert_eq!(found(&place, &query), ["photo.heic"]);
    // Another model reads it again.
    let reindex = |arguments: &[&str]| {
        let mut program = crate::common::program::mmsearch(&place);
        program.env("MMSEARCH_FAKE_ENCODER", "other").arg("reindex").args(arguments);
        program.output().unwrap().status.code()
    };
    assert_eq!(reindex(&["--external-decoder", &command]), Some(0));
}

#[test]
fn the_table_of_decoders_sees_a_good_one() {
    prove(&[Row {
        number: 10,
        name: "control: a decoder of one word that copies",
        set_up: |place| {
            place.write("photo.heic", png(BLUE, 9));
            place.write("photo.jxl", [b"\xff\x0a".as_slice(), &png(BLUE, 8)].concat());
        },
        // What lies under the name of a HEIC is a PNG, which needs no decoder.
        command: &["index", "photos", "--json", "--external-decoder", "tail -c +3 {input}"],
        code: 0,
        stdout: Stdout::AnyJson,
        n_added: 2,
        ..INDEX
    }]);
}
