//! Decoders are shell scripts here: good ones, and those that do all that a broken one may.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::media::decode::tests::{encoded, noise};
use crate::media::exif::block;

const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";

/// A directory with a script, a picture for it to give, and a place for temporary files.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new(script: &str) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap() };
        let picture = encoded(&noise(4, 3).into(), image::ImageFormat::Png);
        fs::write(bench.path("good.png"), picture).unwrap();
        let good = bench.path("good.png");
        let script = format!("#!/bin/sh\ngood={}\n{script}\n", good.display());
        fs::write(bench.path("decoder"), script).unwrap();
        fs::set_permissions(bench.path("decoder"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(bench.path("scratch")).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn decoder(&self, arguments: &str) -> ExternalDecoder {
        let command = format!("{} {arguments}", self.path("decoder").display());
        ExternalDecoder::new(&command, &self.path("scratch")).unwrap()
    }

    fn decode(&self, decoder: &ExternalDecoder, name: &str, bytes: &[u8]) -> Answer<Decoded> {
        let limits = Limits { max_file_bytes: 100_000, max_pixels: 1_000 };
        let result = decode_file(Path::new(name), bytes, &limits, Detail::Full, Some(decoder));
        let left: Vec<_> = fs::read_dir(self.path("scratch")).unwrap().collect();
        assert!(left.is_empty(), "temporary files stay: {left:?}");
        result
    }
}

/// What becomes of a HEIC file.
fn outcome(script: &str, arguments: &str) -> Answer<Decoded> {
    let bench = Bench::new(script);
    bench.decode(&bench.decoder(arguments), "a.heic", HEIC)
}

/// The reason, without the name of the decoder.
fn reason(script: &str) -> String {
    let bench = Bench::new(script);
    let decoder = ExternalDecoder { timeout: Duration::from_millis(500), ..bench.decoder("") };
    let reason = bench.decode(&decoder, "a.heic", HEIC).unwrap_err();
    assert!(!reason.contains('\n'), "{reason}");
    reason.replace(&format!("`{}`", bench.path("decoder").display()), "x")
}

#[test]
fn the_picture_is_taken_from_where_the_command_puts_it() {
    for (script, arguments) in [
        (r#"test -s "$1" && cp "$good" "$2""#, ""),
        (r#"test -s "$1" && cp "$good" "$2""#, "{input} {output}"),
        (r#"test "$1" = -o && cp "$good" "${2#file:}""#, "-o file:{output} {input}"),
        (r#"test -s "$1" && cat "$good""#, "{input}"),
        // One that leaves a process behind, which keeps its output open.
        (r#"sleep 1000 & test -s "$1" && cat "$good""#, "{input}"),
    ] {
        let found = outcome(script, arguments).unwrap();
        assert_eq!(found.pixels.rgb(), noise(4, 3).as_raw().as_slice(), "{script}");
        assert_eq!((found.facts.format.as_str(), found.facts.orientation), ("heic", 1));
        assert_eq!((found.facts.width, found.facts.height), (4, 3));
    }
}

#[test]
fn it_is_told_nothing_but_the_picture() {
    let script = r#"
        test "$(cat)" = "" || exit 1
        test "$(ls)" = "$(printf 'input.heic\nstderr\nstdout')" || exit 2
        test "$(ls -ld . | cut -c 1-10)" = drwx------ || exit 3
        test "$HOME" = "$PWD" && test "$TMPDIR" = "$PWD" || exit 4
        test -z "$CARGO_MANIFEST_DIR" || exit 5
        test "$(ulimit -c) $(ulimit -t) $(ulimit -f)" = "0 30 196" || exit 6
        test "$(ulimit -v)" = 1048591 || exit 7
        cp "$good" "$2""#;
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "control");
    assert_eq!(outcome(script, "").map(|found| found.facts.width), Ok(4));
}

#[test]
fn whatever_it_does_costs_one_picture() {
    for (script, expected) in [
        ("kill -s SEGV $$", "the external decoder x ended by signal 11"),
        ("echo 'Broken: no image' >&2\nexit 3", "x failed (exit status: 3): Broken: no image"),
        ("exit 3", "the external decoder x failed (exit status: 3)"),
        ("true", "the external decoder x wrote no picture"),
        (": > \"$2\"", "the external decoder x wrote no picture"),
        ("echo hello > \"$2\"", "wrote a file that is not used: not a picture in a known format"),
        ("head -c 9 \"$good\" > \"$2\"", "wrote a file that is not used: "),
        ("cp \"$1\" \"$2\"", "not used: no decoder for heic; convert it to JPEG or PNG"),
        ("mkdir \"$2\"", "wrote a file that is not read: not a regular file"),
        ("mkfifo \"$2\"", "wrote a file that is not read: not a regular file"),
        ("ln -s /dev/zero \"$2\"", "wrote no picture"),
        ("printf 'P6 40 40 255\\n' > \"$2\"", "not used: too large: 40×40 pixels"),
        // dd and its like are ended; what a shell makes of that is 128 + 25.
        ("exec cat /dev/zero > \"$2\"", "wrote more than a file may have"),
        ("exec cat /dev/zero", "wrote more than a file may have"),
        ("exec cat /dev/zero >&2", "wrote more than a file may have"),
        ("while :; do :; done", "the external decoder x took longer than 0.5 s"),
        ("sleep 1000", "the external decoder x took longer than 0.5 s"),
        ("trap '' TERM INT HUP\nsleep 1000 & wait", "took longer than 0.5 s"),
    ] {
        let reason = reason(script);
        assert!(reason.contains(expected), "{script}: {reason}");
        assert!(!lacks_decoder(&reason), "{script}: {reason}");
    }
}

#[test]
fn one_that_is_not_there_is_a_want_of_a_decoder() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), "no program").unwrap();
    for command in ["mmsearch-no-such-program", &dir.path().join("text").display().to_string()] {
        let decoder = ExternalDecoder::new(command, dir.path()).unwrap();
        let limits = Limits::default();
        let decode = |external| {
            decode_file(Path::new("a.heic"), HEIC, &limits, Detail::Full, external).unwrap_err()
        };
        let reason = decode(Some(&decoder));
        assert_eq!(reason, format!("no decoder for heic; `{command}` cannot be started"));
        assert!(lacks_decoder(&reason) && lacks_decoder(&decode(None)));
    }
    let decoder = ExternalDecoder::new("x", &dir.path().join("gone")).unwrap();
    let result =
        decode_file(Path::new("a.heic"), HEIC, &Limits::default(), Detail::Full, Some(&decoder));
    assert!(result.unwrap_err().starts_with("cannot make a temporary directory: "));
}

#[test]
fn content_decides_what_it_is_asked_for() {
    let bench = Bench::new(r#"cp "$good" "$2""#);
    let decoder = bench.decoder("");
    let format = |name: &str, bytes: &[u8]| {
        bench.decode(&decoder, name, bytes).map(|found| found.facts.format)
    };
    let own = encoded(&noise(5, 5).into(), image::ImageFormat::Tiff);
    let jxl = b"\xff\x0a\xfa\x1f";
    for (name, bytes, expected) in [
        ("a.heic", HEIC, "heic"),
        ("a.jpg", HEIC, "heic"),
        ("a.avif", b"\0\0\0\x1cftypavif\0\0\0\0", "avif"),
        ("a.jxl", jxl, "jpeg xl"),
        ("a.dng", &own, "camera raw"),
        ("a.CR2", &own, "camera raw"),
        ("a.crw", b"II\x1a\0\0\0HEAPCCDR", "camera raw"),
        // These are decoded here.
        ("a.tif", &own, "tiff"),
        ("a.heic", &encoded(&noise(5, 5).into(), image::ImageFormat::Png), "png"),
    ] {
        assert_eq!(format(name, bytes).as_deref(), Ok(expected), "{name}");
    }
    for (name, bytes) in [("a.jpg", &b"%PDF-1.7"[..]), ("a.png", b"<svg>"), ("a.png", b"hello")] {
        assert_eq!(
            format(name, bytes),
            decode(bytes, &Limits::default(), Detail::Full).map(|_| String::new())
        );
    }
}

/// What the program gives is upright; its orientation is that of the file it was made from, or none.
#[test]
fn facts_come_from_the_file_and_pixels_from_the_program() {
    let turned = block::write(
        &[(0x0110, block::Field::Ascii(b"Other\0")), (0x0112, block::Field::Short(6))],
        &[],
        &[],
    );
    let bench = Bench::new(r#"cp "$good" "$2""#);
    let mut png = vec![];
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::set_exif_metadata(&mut encoder, turned).unwrap();
    let kind = image::ExtendedColorType::Rgb8;
    image::ImageEncoder::write_image(encoder, noise(4, 3).as_raw(), 4, 3, kind).unwrap();
    fs::write(bench.path("good.png"), png).unwrap();
    // A raw file is a TIFF, and with that its own EXIF block.
    let raw = block::write(
        &[(0x010F, block::Field::Ascii(b"Acme\0")), (0x0110, block::Field::Ascii(b"Model 1\0"))],
        &[(0x9003, block::Field::Ascii(b"2024:05:31 18:02:11\0"))],
        &[],
    );
    let found = bench.decode(&bench.decoder(""), "a.nef", &raw).unwrap();
    assert_eq!(found.pixels.rgb(), noise(4, 3).as_raw().as_slice());
    assert_eq!((found.facts.width, found.facts.height, found.facts.orientation), (4, 3, 1));
    assert_eq!(found.facts.camera.as_deref(), Some("Acme Model 1"));
    assert_eq!(found.facts.taken_at.as_deref(), Some("2024-05-31T18:02:11"));
    // Of a file that says nothing, what the program kept is taken.
    let found = bench.decode(&bench.decoder(""), "a.heic", HEIC).unwrap();
    assert_eq!(found.facts.camera.as_deref(), Some("Other"));
}

/// A HEIC without a picture, whose only item is an EXIF block.
fn heic_with_exif(block: &[u8]) -> Vec<u8> {
    let container = |name: &[u8; 4], body: &[&[u8]]| {
        let body = body.concat();
        [&(body.len() as u32 + 8).to_be_bytes()[..], name, &body].concat()
    };
    let plain = [0; 4];
    let entry = container(b"infe", &[&[2, 0, 0, 0], &[0, 1, 0, 0], b"Exif\0"]);
    let items = container(b"iinf", &[&plain, &[0, 1], &entry]);
    // Four bytes for each offset and length; one item, which lies in `idat` from its beginning to its end.
    let one = [0, 1, 0, 1, 0, 1, 0, 0, 0, 1];
    let places = container(b"iloc", &[&[1, 0, 0, 0], &[0x44, 0], &one, &[0; 8]]);
    let content = container(b"idat", &[&plain, block]);
    [
        container(b"ftyp", &[b"heic", &plain, b"mif1heic"]),
        container(b"meta", &[&plain, &items, &places, &content]),
    ]
    .concat()
}

#[test]
fn a_heic_says_when_where_and_with_what() {
    let exif = block::write(
        &[(0x010F, block::Field::Ascii(b"Acme\0")), (0x0112, block::Field::Short(6))],
        &[(0x9003, block::Field::Ascii(b"2024:05:31 18:02:11\0"))],
        &[
            (1, block::Field::Ascii(b"N\0")),
            (2, block::Field::Rationals(&[(47, 1), (30, 1), (0, 1)])),
            (3, block::Field::Ascii(b"W\0")),
            (4, block::Field::Rationals(&[(8, 1), (15, 1), (0, 1)])),
        ],
    );
    let bench = Bench::new(r#"cp "$good" "$2""#);
    let heic = heic_with_exif(&exif);
    let facts = bench.decode(&bench.decoder(""), "a.heic", &heic).unwrap().facts;
    assert_eq!((facts.format.as_str(), facts.orientation), ("heic", 1));
    assert_eq!(facts.camera.as_deref(), Some("Acme"));
    assert_eq!(facts.taken_at.as_deref(), Some("2024-05-31T18:02:11"));
    assert_eq!((facts.latitude, facts.longitude), (Some(47.5), Some(-8.25)));
    // What is broken says nothing, and fails no picture.
    for end in 0..heic.len() {
        if let Some(cut) = heic.get(..end).filter(|cut| cut.len() >= HEIC.len()) {
            ExifFacts::of_file(cut);
        }
    }
    let cut = &heic[..heic.len() / 2];
    let facts = bench.decode(&bench.decoder(""), "a.heic", cut).unwrap().facts;
    assert_eq!((facts.format.as_str(), facts.camera), ("heic", None));
}

#[test]
fn a_command_must_make_sense() {
    let new = |command: &str| ExternalDecoder::new(command, Path::new("/tmp"));
    for command in ["", "  ", "x {output}"] {
        let error = new(command).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Usage, "{error}");
    }
    assert_eq!(new("x").unwrap().words, ["x", INPUT, OUTPUT]);
    assert_eq!(new(" x  -i {input}").unwrap().words, ["x", "-i", INPUT]);
}
