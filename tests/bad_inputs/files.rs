//! Rows 1 to 9: files that are not what they say, not whole, or of another kind than most.

use std::fs::File;

use image::ImageFormat;

use crate::common::program::{json_lines, mmsearch, run, three_photos};
use crate::common::{RED, large_jpeg, png, png_bomb};
use crate::made::{claims, file, held, jpeg_claim, noise, odd_kinds, part, turned};
use crate::table::{INDEX, Row, Stdout, prove, within};

#[test]
fn no_pictures_and_wrong_names() {
    prove(&[
        Row {
            number: 1,
            name: "an empty file, a page and a text with the names of pictures",
            set_up: |place| {
                place.write("empty.jpg", "");
                place.write("page.png", "<!DOCTYPE html><html><img src=x></html>");
                place.write("text.webp", "hello");
            },
            code: 3,
            says: &[
                &["/empty.jpg: an empty file"],
                &["/page.png: not a picture in a known format"],
                &["/text.webp: not a picture in a known format"],
                &["skipped: 3"],
            ],
            ..INDEX
        },
        Row {
            number: 1,
            name: "an empty file that is asked for",
            set_up: |place| drop(place.write("empty.jpg", "")),
            command: &["query", "--image", "photos/empty.jpg"],
            code: 5,
            says: &[&["mmsearch: photos/empty.jpg: an empty file"]],
            ..INDEX
        },
        Row {
            number: 2,
            name: "a PNG with the name of a JPEG",
            set_up: |place| drop(place.write("png.jpg", png(RED, 7))),
            says: &[&["images: 1 added"]],
            n_added: 1,
            ..INDEX
        },
    ]);
}

#[test]
fn files_that_end_too_early() {
    prove(&[
        Row {
            number: 3,
            name: "a JPEG cut at several places",
            set_up: |place| {
                let whole = file(&noise(400), ImageFormat::Jpeg);
                for percent in [1, 10, 50, 90, 99] {
                    place.write(&format!("cut{percent}.jpg"), part(&whole, percent));
                }
            },
            code: 3,
            says: &[
                &["ends too early, indexed as far as it goes: 5"],
                &["/cut1.jpg: the jpeg ends too early"],
                &["/cut99.jpg: the jpeg ends too early"],
            ],
            n_added: 5,
            ..INDEX
        },
        Row {
            number: 3,
            name: "a cut JPEG that is asked for is told of",
            set_up: |place| drop(place.write("cut.jpg", part(&large_jpeg(), 50))),
            command: &["query", "--image", "photos/cut.jpg", "--all", "--json"],
            says: &[&["warning: photos/cut.jpg: the jpeg ends too early"]],
            stdout: Stdout::Json(3),
            ..INDEX
        },
        Row {
            number: 4,
            name: "other formats cut in half",
            set_up: |place| {
                for (name, format) in [
                    ("cut.png", ImageFormat::Png),
                    ("cut.webp", ImageFormat::WebP),
                    ("cut.gif", ImageFormat::Gif),
                    ("cut.tif", ImageFormat::Tiff),
                    ("cut.bmp", ImageFormat::Bmp),
                    ("cut.ppm", ImageFormat::Pnm),
                    ("cut.qoi", ImageFormat::Qoi),
                ] {
                    place.write(name, part(&file(&noise(64), format), 50));
                }
            },
            code: 3,
            says: &[
                &["skipped: 7"],
                &["/cut.png: "],
                &["/cut.webp: "],
                &["/cut.gif: "],
                &["/cut.tif: "],
                &["/cut.bmp: "],
                &["/cut.ppm: "],
                &["/cut.qoi: "],
            ],
            ..INDEX
        },
    ]);
}

/// Address space of a run over ordinary pictures, and some to spare: all pixels of one bomb are more.
const BOMB_MB: u64 = 350;

#[test]
fn bombs_are_refused_before_anything_is_allocated() {
    prove(&[
        Row {
            number: 5,
            name: "headers that claim the largest sides",
            set_up: |place| {
                place.write("a.png", png_bomb());
                for (extension, bytes) in claims(u16::MAX) {
                    place.write(&format!("bomb.{extension}"), bytes);
                }
            },
            memory_mb: Some(BOMB_MB),
            code: 3,
            says: &[
                &["skipped: 9"],
                &["/a.png: too large: 60000×60000 pixels"],
                &["/bomb.webp: too large: 16383×16383 pixels"],
                &["/bomb.gif: too large: 65535×65535 pixels"],
                &["/bomb.tif: too large: 65535×65535 pixels"],
                &["/bomb.bmp: too large: 65535×65535 pixels"],
                &["/bomb.ppm: too large: 65535×65535 pixels"],
                &["/bomb.qoi: ", "65535x65535"],
                &["/bomb.jpg: too large: 65535×65535 pixels"],
                &["/bomb.png: not a picture in a known format"],
            ],
            ..INDEX
        },
        Row {
            number: 6,
            name: "a JPEG that claims 144 megapixels",
            set_up: |place| drop(place.write("claim.jpg", jpeg_claim(12_000))),
            memory_mb: Some(BOMB_MB),
            code: 3,
            says: &[&["/claim.jpg: too large: 12000×12000 pixels, the limit is 100000000"]],
            ..INDEX
        },
        Row {
            number: 7,
            name: "a small JPEG with 3 GB of nothing behind it",
            set_up: |place| {
                let path = place.write("padded.jpg", large_jpeg());
                File::options().write(true).open(path).unwrap().set_len(3 << 30).unwrap();
            },
            memory_mb: Some(BOMB_MB),
            code: 3,
            says: &[&["/padded.jpg: too large: 3221225472 bytes, the limit is 268435456"]],
            ..INDEX
        },
        Row {
            number: 7,
            name: "the same, asked for",
            set_up: |place| {
                let path = place.write("padded.jpg", large_jpeg());
                File::options().write(true).open(path).unwrap().set_len(3 << 30).unwrap();
            },
            command: &["query", "--image", "photos/padded.jpg"],
            memory_mb: Some(BOMB_MB),
            code: 5,
            says: &[&["photos/padded.jpg: too large: 3221225472 bytes"]],
            ..INDEX
        },
    ]);
}

/// A claim within the limits is believed where there is room for it; that is the control of bombs, too.
#[test]
fn want_of_memory_costs_one_file() {
    let claim = || Row {
        number: 32,
        name: "a claim of as many pixels as may be",
        set_up: |place| drop(place.write("claim.ppm", &claims(9_999)[4].1)),
        memory_mb: Some(BOMB_MB),
        code: 3,
        says: &[&["/claim.ppm: not enough memory for its 9999×9999 pixels"]],
        ..INDEX
    };
    prove(&[
        claim(),
        Row { memory_mb: None, says: &[&["/claim.ppm: failed to fill whole buffer"]], ..claim() },
    ]);
}

#[test]
fn turned_pictures_are_the_upright_one() {
    let place = three_photos();
    for orientation in 1..=8 {
        place.write(&format!("held{orientation}.png"), held(orientation));
    }
    let (code, _, stderr) = run(&place, &["index", "photos"]);
    assert_eq!(code, 0, "{stderr}");
    let score = |upright: &[u8], of: &str| {
        std::fs::write(place.root().join("upright.png"), upright).unwrap();
        let query = ["query", "--image", "upright.png", "--all", "--json"];
        let lines = json_lines(&run(&place, &query).1);
        let line = lines.iter().find(|line| line["path"].as_str().unwrap().ends_with(of));
        line.unwrap()["score"].as_f64().unwrap()
    };
    for orientation in 1..=8 {
        let name = format!("held{orientation}.png");
        assert!(score(&held(1), &name) > 0.999, "{name}");
    }
    // The control: what lies in the file of the third is the other way round.
    let mut unturned = held(3);
    let at = unturned.windows(4).position(|bytes| bytes == b"eXIf").unwrap();
    unturned[at..at + 4].copy_from_slice(b"exIf");
    assert!(score(&unturned, "held1.png") < 0.999);
    crate::common::program::check(&place);
}

#[test]
fn every_kind_of_picture_is_indexed_by_its_rule() {
    let place = three_photos();
    let kinds = odd_kinds();
    for (name, bytes, _) in &kinds {
        place.write(name, bytes);
    }
    let (code, _, stderr) = run(&place, &["index", "photos"]);
    assert_eq!((code, stderr.lines().count()), (0, 1), "{stderr}");
    assert!(stderr.starts_with(&format!("images: {} added", 3 + kinds.len())), "{stderr}");
    for (name, _, colour) in &kinds {
        let query = ["query", "--text", colour, "--all", "-k", "100", "--json"];
        let lines = json_lines(&run(&place, &query).1);
        let line = lines.iter().find(|line| line["path"].as_str().unwrap().ends_with(name));
        let score = line.unwrap()["score"].as_f64().unwrap();
        assert!(score > 0.8, "{name} is not {colour}: {score}");
    }
    crate::common::program::check(&place);
}

/// Of a picture within the limits no more is taken than `Limits` says: twelve bytes a pixel, and three times the file.
#[test]
fn a_large_picture_takes_no_more_than_its_share() {
    let place = three_photos();
    let (side, rgba) = (3_000, image::Rgba([250u8, 5, 5, 200]));
    let large: image::DynamicImage = image::RgbaImage::from_pixel(side, side, rgba).into();
    let share_mb = u64::from(side * side) * 12 / 1_000_000;
    let files = [
        ("a.png", file(&large, ImageFormat::Png)),
        ("turned.png", turned(&large)),
        ("a.webp", file(&large, ImageFormat::WebP)),
        ("a.tif", file(&large, ImageFormat::Tiff)),
    ];
    for (name, bytes) in files {
        let path = place.root().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let files_mb = 3 * bytes.len() as u64 / 1_000_000;
        let run_within = |megabytes: u64| {
            let mut query = mmsearch(&place);
            query.args(["query", "--text", "red", "--all", "--image"]).arg(&path);
            within(megabytes, &query).output().unwrap().status.code()
        };
        assert_eq!(run(&place, &["index", "photos"]).0, 0);
        // What the program takes without a picture, to a few megabytes.
        let bare_mb = (1..).map(|n| n * 8).find(|&megabytes| {
            let mut query = mmsearch(&place);
            query.args(["query", "--text", "red", "--all"]);
            within(megabytes, &query).output().unwrap().status.success()
        });
        let bare_mb = bare_mb.unwrap();
        let most_mb = bare_mb + share_mb + files_mb + 8;
        assert_eq!(run_within(most_mb), Some(0), "{name}: {bare_mb} MB without, {most_mb} with");
        assert_ne!(run_within(bare_mb + share_mb / 6), Some(0), "the control: {name}");
    }
}
