//! This test program as a child of itself: what the program `mmsearch` has no option for.

use std::env;
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use mmsearch::encoder::{Encoder, FakeEncoder, Logit, Preprocess, Space};
use mmsearch::library::{IndexOptions, Library, LibraryOptions, Stage};
use mmsearch::{Embedding, Error, ErrorKind, Pixels, Result};

use crate::scene::Site;

/// A command that runs [`child`] as `what`.
pub(crate) fn command(what: &str, site: &Site<'_>) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["child::child", "--exact", "--nocapture", "--test-threads=1"]);
    command.env("TORTURE_CHILD", what).env("MMSEARCH_LIBRARY", &site.library);
    command.current_dir(site.place.root());
    command
}

/// A command that copies a file over another where that lies, piece by piece: what `backup` and `restore` must not do.
pub(crate) fn overwrite(site: &Site<'_>, from: &Path, to: &Path) -> Command {
    let mut command = command("overwrite", site);
    command.env("TORTURE_FROM", from).env("TORTURE_TO", to);
    command
}

/// Does nothing unless it was started by [`command`]: indexes with a graph, or announces what is not committed yet; or copies.
#[test]
fn child() {
    let Ok(what) = env::var("TORTURE_CHILD") else { return };
    if what == "overwrite" {
        let path = |name| PathBuf::from(env::var_os(name).unwrap());
        let from = fs::read(path("TORTURE_FROM")).unwrap();
        let mut to = fs::File::create(path("TORTURE_TO")).unwrap();
        return from.chunks(4096).for_each(|chunk| to.write_all(chunk).unwrap());
    }
    let library = PathBuf::from(env::var_os("MMSEARCH_LIBRARY").unwrap());
    let graph_threshold = if what == "graph" { 50 } else { 25_000 };
    let options = LibraryOptions { graph_threshold, ..LibraryOptions::default() };
    let roots = ["photos".into(), "photos/long.tar".into()];
    let mut library =
        Library::create_or_open(&library, options).unwrap_or_else(|error| end(Err(error)));
    let mut hasty = Hasty { encoder: FakeEncoder::default(), n_seen: 0, is_hasty: what == "hasty" };
    let is_hasty = hasty.is_hasty;
    let mut progress = |progress: &mmsearch::library::Progress| {
        if !is_hasty {
            announce(progress.stage, progress.n_done);
        }
        ControlFlow::Continue(())
    };
    let outcome = library.index(&mut hasty, &roots, &IndexOptions::default(), &mut progress);
    end(outcome.map(|_| ()));
}

/// As `mmsearch` ends.
fn end(outcome: Result<()>) -> ! {
    let code = match outcome.as_ref().map_err(Error::kind) {
        Ok(()) => 0,
        Err(ErrorKind::Io) => 5,
        Err(ErrorKind::Corrupt) => 6,
        Err(_) => 70,
    };
    if let Err(error) = outcome {
        eprintln!("mmsearch: {error}");
    }
    std::process::exit(code)
}

/// As `mmsearch index --json` does.
fn announce(stage: Stage, n_done: u64) {
    let stage = format!("{stage:?}").to_lowercase();
    println!("{{\"event\":\"progress\",\"stage\":\"{stage}\",\"done\":{n_done}}}");
}

/// The control: it announces pictures when they are encoded, and not when they are safe.
struct Hasty {
    encoder: FakeEncoder,
    n_seen: u64,
    is_hasty: bool,
}

impl Encoder for Hasty {
    fn space(&self) -> &Space {
        self.encoder.space()
    }

    fn preprocess(&self) -> &Preprocess {
        self.encoder.preprocess()
    }

    fn logit(&self) -> &Logit {
        self.encoder.logit()
    }

    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        self.n_seen += pictures.len() as u64;
        if self.is_hasty {
            announce(Stage::Images, self.n_seen);
        }
        self.encoder.encode_images(pictures)
    }

    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.encoder.encode_texts(texts)
    }

    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        self.encoder.reads_whole(text)
    }
}
