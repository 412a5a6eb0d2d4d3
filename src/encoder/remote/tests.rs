//! Both ends with a fake encoder, over pipes.

use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::thread::{self, JoinHandle};

use super::frame::write_frame;
use super::*;
use crate::encoder::FakeEncoder;
use crate::error::ErrorKind;

type Load = fn() -> Result<Box<dyn Encoder>>;

fn fake() -> Result<Box<dyn Encoder>> {
    Ok(Box::new(FakeEncoder::new("fake")))
}

/// The two streams of an end that serves in a thread of its own.
fn started(load: Load) -> (PipeReader, PipeWriter, JoinHandle<std::io::Result<()>>) {
    let (mut requests, to) = pipe().unwrap();
    let (from, mut replies) = pipe().unwrap();
    let served = thread::spawn(move || serve(load, &mut requests, &mut replies));
    (from, to, served)
}

fn connected(load: Load) -> (Result<RemoteEncoder>, JoinHandle<std::io::Result<()>>) {
    let (from, to, served) = started(load);
    (RemoteEncoder::connect(Box::new(from), Box::new(to)), served)
}

/// What one meets who connects to these bytes.
fn met(bytes: &[u8]) -> Error {
    let (from, mut other) = pipe().unwrap();
    other.write_all(bytes).unwrap();
    drop(other);
    RemoteEncoder::connect(Box::new(from), Box::new(std::io::sink())).err().unwrap()
}

fn hello(version: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, &Hello { version: version.into() }, &[]).unwrap();
    bytes
}

#[test]
fn answers_are_those_of_the_encoder_itself() {
    let (remote, served) = connected(fake);
    let (mut remote, mut here) = (remote.unwrap(), FakeEncoder::new("fake"));
    assert_eq!(remote.space(), here.space());
    assert_eq!(remote.preprocess(), here.preprocess());
    assert_eq!(remote.logit(), here.logit());
    let picture = |n: u8| Pixels::new(2, 1, vec![n, 0, 7, 250, n, 1]).unwrap();
    // More than a pipe holds, so that both ends must take turns.
    let squares: Vec<Pixels> = (0..255).cycle().take(40_000).map(picture).collect();
    let rows = remote.encode_images(&squares).unwrap();
    assert_eq!(rows, here.encode_images(&squares).unwrap());
    let texts = ["a red wall", "", "東京 \"quoted\"\n", "blue"];
    assert_eq!(remote.encode_texts(&texts).unwrap(), here.encode_texts(&texts).unwrap());
    assert_eq!(remote.encode_texts(&[]).unwrap(), []);
    let long = "word ".repeat(100_000);
    for text in ["red", &long] {
        assert_eq!(remote.reads_whole(text).unwrap(), here.reads_whole(text).unwrap());
    }
    drop(remote);
    served.join().unwrap().unwrap();
}

/// Refuses everything in its own way.
struct Refuses(FakeEncoder);

impl Encoder for Refuses {
    fn space(&self) -> &Space {
        self.0.space()
    }

    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }

    fn logit(&self) -> &Logit {
        self.0.logit()
    }

    fn encode_images(&mut self, _: &[Pixels]) -> Result<Vec<Embedding>> {
        Err(Error::Encoder { reason: "not of my size".into() })
    }

    fn encode_texts(&mut self, _: &[&str]) -> Result<Vec<Embedding>> {
        Err(Error::BadModel { path: "m".into(), reason: "no such tensor".into() })
    }

    fn reads_whole(&mut self, _: &str) -> Result<bool> {
        let error = std::io::Error::other("the disk is gone");
        Err(Error::Io { action: "open", path: "m/tokenizer.json".into(), error })
    }
}

#[test]
fn refusals_arrive_as_they_were_and_the_next_question_is_answered() {
    let (remote, served) = connected(|| Ok(Box::new(Refuses(FakeEncoder::default()))));
    let mut remote = remote.unwrap();
    for _ in 0..2 {
        let images = remote.encode_images(&[]).unwrap_err();
        let texts = remote.encode_texts(&["red"]).unwrap_err();
        let whole = remote.reads_whole("red").unwrap_err();
        assert_eq!(images.to_string(), "encoder: not of my size");
        assert_eq!(texts.to_string(), "model m: no such tensor");
        assert_eq!(whole.to_string(), "cannot open m/tokenizer.json: the disk is gone");
        let kinds = [images.kind(), texts.kind(), whole.kind()];
        assert_eq!(kinds, [ErrorKind::Bug, ErrorKind::Mismatch, ErrorKind::Io]);
    }
    drop(remote);
    served.join().unwrap().unwrap();
}

#[test]
fn a_model_that_cannot_be_loaded_is_told_in_its_own_words() {
    let load: Load = || Err(Error::BadModel { path: "m".into(), reason: "it is missing".into() });
    let (remote, served) = connected(load);
    assert_eq!(remote.err().unwrap().to_string(), "model m: it is missing");
    served.join().unwrap().unwrap();
}

#[test]
fn another_version_another_program_and_no_program() {
    let other = met(&hello("0.0.1"));
    assert_eq!(other.kind(), ErrorKind::Mismatch);
    assert!(other.to_string().contains("version 0.0.1, mmsearch has "), "{other}");
    for bytes in [&b"usage: encoder [options] and so on\n"[..], b"short", b"mms1\xff\xff\xff\xff"] {
        let stranger = met(bytes);
        assert_eq!(stranger.kind(), ErrorKind::Mismatch, "{stranger}");
        assert!(stranger.to_string().contains("install mmsearch again"), "{stranger}");
    }
    let greeting = hello(VERSION);
    for bytes in [&b""[..], &greeting, &greeting[..greeting.len() - 1]] {
        let gone = met(bytes);
        assert_eq!(gone.kind(), ErrorKind::Bug, "{gone}");
        assert!(matches!(gone, Error::EncoderGone { .. }), "{gone}");
    }
}

/// Both directions: who asks is told, and who serves ends.
#[test]
fn either_end_may_go_away() {
    let (from, to, served) = started(fake);
    drop((from, to));
    assert!(served.join().unwrap().is_err() || cfg!(unix), "nobody reads what it says");

    let (remote, served) = connected(|| panic!("as libtorch may"));
    assert!(matches!(remote.err().unwrap(), Error::EncoderGone { .. }));
    assert!(served.join().is_err());
}

#[test]
fn lengths_are_not_believed() {
    let mut bytes = hello(VERSION);
    bytes.extend(b"mms1");
    bytes.extend(2u32.to_le_bytes());
    bytes.extend(u64::MAX.to_le_bytes());
    bytes.extend(b"{}");
    assert!(matches!(met(&bytes), Error::NoEncoder { .. }));
}
