//! The program itself, with a fake model and a library that is gone at the end.

use std::process::Command;

use serde_json::Value;

use super::{BLUE, GREEN, Place, RED, png};

/// The program with a fake model and a library in `place`.
pub fn mmsearch(place: &Place) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mmsearch"));
    command.env("MMSEARCH_FAKE_ENCODER", "1").env("MMSEARCH_LIBRARY", place.library());
    // Whatever goes wrong, the library of whoever runs the tests must stay out of it.
    command.env("XDG_DATA_HOME", place.root().join("data")).env_remove("HOME");
    command.current_dir(place.root());
    command
}

/// Exit code, stdout, stderr.
pub fn run(place: &Place, arguments: &[&str]) -> (i32, String, String) {
    let output = mmsearch(place).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// File names of what is found.
pub fn found(place: &Place, arguments: &[&str]) -> Vec<String> {
    let (code, stdout, stderr) = run(place, arguments);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let name = |line: &str| line.rsplit(['/', '!']).next().unwrap().to_owned();
    stdout.lines().map(name).collect()
}

pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn check(place: &Place) {
    assert_eq!(run(place, &["check"]), (0, String::new(), "all is well\n".into()));
}

pub fn three_photos() -> Place {
    let place = Place::new();
    place.write("red.png", png(RED, 0));
    place.write("green.png", png(GREEN, 0));
    place.write("deep/blue.png", png(BLUE, 0));
    place
}

/// Many pictures, so that a run lasts some batches.
pub fn long_tar(place: &Place, n_members: u32) {
    let members: Vec<(String, Vec<u8>)> =
        (0..n_members).map(|n| (format!("{n:04}.png"), png(RED, n))).collect();
    let members: Vec<_> =
        members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    place.tar("long.tar", &members);
}
