//! How answers are shown: forms for scripts and for people, and what they make of hostile names.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]

#[path = "../common/mod.rs"]
mod common;
mod examples;
mod forms;
mod lookalikes;
mod schema;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use common::program::run;
use common::{BLUE, GREEN, Place, RED, jpeg, png};

/// A name that tries to be markup, a column, a line and no text, all at once.
const HOSTILE_NAME: &[u8] = b"<script>alert('x'),\"a\nb\xff.png";

/// Red, a copy of it, green in a tar, and blue under a hostile name; captions to match.
fn filled() -> Place {
    let place = Place::new();
    place.write("sofa.jpg", jpeg(RED, 0));
    place.write("copy.jpg", jpeg(RED, 0));
    place.tar("t.tar", &[("deep/green.png", png(GREEN, 0))]);
    fs::write(place.photos().join(OsStr::from_bytes(HOSTILE_NAME)), png(BLUE, 0)).unwrap();
    place.write(
        "captions.jsonl",
        "{\"image\": \"sofa.jpg\", \"caption\": \"a <b>red</b> \\\"sofa\\\",\\r\\nas it is\"}\n\
         {\"image\": \"sofa.jpg\", \"caption\": \"red again\"}\n\
         {\"image\": \"deep/green.png\", \"caption\": \"green\"}\n",
    );
    let (code, _, stderr) = run(&place, &["index", "photos", "photos/t.tar"]);
    assert_eq!(code, 0, "{stderr}");
    place
}
