//! Random sequences of what happens to photos and to their library, against a plain model in memory.
//!
//! After each run of `index` the library holds what is on the disk and nothing else; whatever happened, it finds what it
//! holds as a comparison with everything would, and an item whose file is renamed stays that item. `MMSEARCH_TORTURE=1`
//! runs many more sequences, of other random numbers each time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{IndexOptions, Library, Selector};
use mmsearch::{ContentHash, Error, ItemId, Mode, Query, Source, Status};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::common::{BLUE, GREEN, Place, RED, YELLOW, large_jpeg, png};
use crate::{check, index, writer};

const NAMES: [&str; 8] =
    ["a.png", "b.png", "c.png", "d.png", "deep/a.png", "deep/b.png", "deep/c.png", "e.png"];
const WORDS: [&str; 3] = ["red", "green", "something blue"];
const N_CONTENTS: usize = 7;
/// A file that is always there, since a root without any file is taken for an unmounted one.
const KEPT: &str = "kept.png";

/// Something that happens. Numbers are names and contents; what is impossible does not happen.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize),
    Rename(usize, usize),
    Copy(usize, usize),
    Delete(usize),
    Index,
    /// `index`, stopped when it has told of its progress so often.
    Interrupt(usize),
    /// The same, and the process is killed then: what is in the directory of the library is all that is left.
    Crash(usize),
    Reopen,
    Forget(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (name, content, told) = (0..NAMES.len(), 0..N_CONTENTS, 1usize..6);
    prop_oneof![
        4 => (name.clone(), content).prop_map(|(name, content)| Step::Write(name, content)),
        3 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Copy(from, to)),
        2 => name.clone().prop_map(Step::Delete),
        4 => Just(Step::Index),
        2 => told.clone().prop_map(Step::Interrupt),
        2 => told.prop_map(Step::Crash),
        1 => Just(Step::Reopen),
        1 => name.prop_map(Step::Forget),
    ]
}

/// A content, and what is known of it without any library that is tested.
struct Content {
    bytes: Vec<u8>,
    hash: ContentHash,
    status: Status,
    /// Its score with each of the words.
    scores: Option<[f32; WORDS.len()]>,
}

impl Content {
    /// A library with nothing else in it says the scores.
    fn new(bytes: Vec<u8>, status: Status) -> Self {
        let place = Place::new();
        place.write("only.png", &bytes);
        let mut library = writer(&place);
        index(&mut library, &[place.photos()]);
        let hash = ContentHash(*blake3::hash(&bytes).as_bytes());
        let scores = (status != Status::Failed).then(|| {
            WORDS.map(|word| {
                let query = Query::text(word).mode(Mode::Semantic);
                let hits = library.search(&mut FakeEncoder::default(), &query).unwrap();
                hits[0].score.unwrap()
            })
        });
        Self { bytes, hash, status, scores }
    }

    fn all() -> Vec<Self> {
        let jpeg = large_jpeg();
        let contents = vec![
            Self::new(png(RED, 0), Status::Ok),
            Self::new(png(RED, 0xFFFF), Status::Ok),
            Self::new(png(GREEN, 0), Status::Ok),
            Self::new(png(BLUE, 0xF0F0), Status::Ok),
            Self::new(jpeg[..jpeg.len() / 2].to_vec(), Status::Truncated),
            Self::new(b"no picture".to_vec(), Status::Failed),
            Self::new(b"rubbish".to_vec(), Status::Failed),
            Self::new(png(YELLOW, 1), Status::Ok),
        ];
        assert_eq!(contents.len(), N_CONTENTS + 1);
        contents
    }
}

/// What the library holds, by paths.
type Held = BTreeMap<PathBuf, (ItemId, Option<ContentHash>, Status)>;

struct World<'a> {
    contents: &'a [Content],
    place: Place,
    library: Option<Library>,
    /// The model: which content each file has.
    disk: BTreeMap<PathBuf, usize>,
    /// The time of the next change. Two changes within one tick of the clock, of one length, are not told apart by anybody.
    clock: u64,
}

impl<'a> World<'a> {
    fn new(contents: &'a [Content]) -> Self {
        let place = Place::new();
        fs::create_dir(place.photo("deep")).unwrap();
        let library = Some(writer(&place));
        let mut world = Self { contents, place, library, disk: BTreeMap::new(), clock: 0 };
        world.write(&world.place.photo(KEPT), N_CONTENTS);
        world
    }

    fn library(&mut self) -> &mut Library {
        self.library.as_mut().unwrap()
    }

    fn write(&mut self, path: &Path, content: usize) {
        fs::write(path, &self.contents[content].bytes).unwrap();
        self.clock += 1;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.clock);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        self.disk.insert(path.into(), content);
    }

    fn take(&mut self, step: &Step) {
        let at = |name: usize| self.place.photo(NAMES[name]);
        match *step {
            Step::Write(name, content) => self.write(&at(name), content),
            Step::Rename(from, to) => {
                let (from, to) = (at(from), at(to));
                if let Some(content) = self.disk.remove(&from) {
                    fs::rename(&from, &to).unwrap();
                    self.disk.insert(to, content);
                }
            }
            Step::Copy(from, to) => {
                let (from, to) = (at(from), at(to));
                if let Some(&content) = self.disk.get(&from) {
                    self.write(&to, content);
                }
            }
            Step::Delete(name) => {
                let path = at(name);
                if self.disk.remove(&path).is_some() {
                    fs::remove_file(path).unwrap();
                }
            }
            Step::Index => self.index_whole(),
            Step::Interrupt(n_told) => drop(self.index_until(n_told)),
            Step::Crash(n_told) => {
                drop(self.index_until(n_told));
                self.library = None;
                fs::remove_dir_all(self.place.library()).unwrap();
                fs::rename(self.copy(), self.place.library()).unwrap();
                self.library = Some(writer(&self.place));
                check(self.library());
            }
            Step::Reopen => {
                self.library = None;
                self.library = Some(writer(&self.place));
            }
            Step::Forget(name) => {
                let path = at(name);
                let is_held = self.held().contains_key(&path);
                let forgotten = self.library().forget(&[Selector::Path(path.clone())]);
                assert_eq!(forgotten.map_or(0, |it| it.n_images), u64::from(is_held));
                assert!(!self.held().contains_key(&path));
            }
        }
        self.compare_answers();
    }

    fn copy(&self) -> PathBuf {
        self.place.root().join("copy")
    }

    /// Stops `index` when it has told so often; what is in the library's directory at that moment, or at the end, is copied.
    fn index_until(&mut self, n_told: usize) -> Result<(), Error> {
        let (photos, library, copy) = (self.place.photos(), self.place.library(), self.copy());
        let _ = fs::remove_dir_all(&copy);
        let mut n_left = n_told;
        let mut tell = |_: &_| {
            n_left -= 1;
            if n_left > 0 {
                return ControlFlow::Continue(());
            }
            copy_dir(&library, &copy);
            ControlFlow::Break(())
        };
        let options = IndexOptions::default();
        let outcome =
            self.library().index(&mut FakeEncoder::default(), &[photos], &options, &mut tell);
        if outcome.is_ok() {
            copy_dir(&library, &copy);
        }
        match outcome {
            Ok(_) => Ok(()),
            Err(error @ Error::Cancelled) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    fn index_whole(&mut self) {
        let before = self.held();
        let photos = self.place.photos();
        index(self.library(), &[photos]);
        let after = self.held();
        let stripped = |held: &Held| -> BTreeMap<PathBuf, (Option<ContentHash>, Status)> {
            held.iter().map(|(path, (_, hash, status))| (path.clone(), (*hash, *status))).collect()
        };
        let expected = self.disk.iter().map(|(path, &content)| {
            let content = &self.contents[content];
            (path.clone(), (Some(content.hash), content.status))
        });
        assert_eq!(stripped(&after), expected.collect());
        self.compare_ids(&before, &after);
    }

    /// What stays in its place stays the item that it was; so does what has one new place and one old one.
    fn compare_ids(&self, before: &Held, after: &Held) {
        for (path, (id, hash, _)) in after {
            if let Some((old, ..)) = before.get(path) {
                assert_eq!(id, old, "{} is another item", path.display());
                continue;
            }
            let gone =
                before.iter().filter(|(old, it)| it.1 == *hash && !self.disk.contains_key(*old));
            let gone: Vec<ItemId> = gone.map(|(_, it)| it.0).collect();
            let new = after.iter().filter(|(new, it)| it.1 == *hash && !before.contains_key(*new));
            if let (&[old], 1) = (gone.as_slice(), new.count()) {
                assert_eq!(*id, old, "{} is another item", path.display());
            }
        }
    }

    fn held(&mut self) -> Held {
        let photos = self.place.photos();
        let library = self.library();
        // Of nothing, nothing can be selected.
        let ids = library.select(&Selector::Path(photos)).unwrap_or_default();
        let items = ids.into_iter().map(|id| library.item(id).unwrap().unwrap());
        items
            .map(|item| {
                let Source::File { path } = item.source else { panic!("{}", item.source) };
                (path, (item.id, item.content_hash, item.status))
            })
            .collect()
    }

    /// Whatever the library holds, it finds as a comparison with all of it does.
    fn compare_answers(&mut self) {
        let held = self.held();
        for (n, word) in WORDS.into_iter().enumerate() {
            let query = Query::text(word).k(100).mode(Mode::Semantic);
            let hits = self.library().search(&mut FakeEncoder::default(), &query).unwrap();
            let mut last = f32::INFINITY;
            let found: BTreeMap<ItemId, f32> = hits
                .iter()
                .map(|hit| {
                    let score = hit.score.unwrap();
                    assert!(score <= last, "out of order");
                    last = score;
                    (hit.item.id, score)
                })
                .collect();
            assert_eq!(found.len(), hits.len(), "an item was found twice");
            let expected: BTreeMap<ItemId, f32> = held
                .values()
                .filter(|(_, _, status)| *status != Status::Failed)
                .map(|(id, hash, _)| {
                    let content = self.contents.iter().find(|it| Some(it.hash) == *hash).unwrap();
                    (*id, content.scores.unwrap()[n])
                })
                .collect();
            assert_eq!(found, expected, "{word}");
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn the_library_is_what_a_plain_model_says() {
    let is_torture = std::env::var_os("MMSEARCH_TORTURE").is_some_and(|value| value == "1");
    let cases = if is_torture { 2_000 } else { 32 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = match is_torture {
        true => TestRunner::new(config),
        false => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let contents = Content::all();
    let steps = prop::collection::vec(step(), 5..25);
    let outcome = runner.run(&steps, |steps| {
        let mut world = World::new(&contents);
        steps.iter().for_each(|step| world.take(step));
        world.index_whole();
        world.compare_answers();
        check(world.library());
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// The control: a model that is told of one file too many does not agree.
#[test]
fn a_model_that_is_wrong_is_noticed() {
    let contents = Content::all();
    let wrong = std::panic::catch_unwind(|| {
        let mut world = World::new(&contents);
        world.take(&Step::Write(0, 0));
        world.disk.insert(world.place.photo("e.png"), 1);
        world.take(&Step::Index);
    });
    assert!(wrong.is_err());
}
