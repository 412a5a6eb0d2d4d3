//! What is indexed in all loops, how a command is run to its end or to its death, and what a library answers afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::program::mmsearch;
use crate::common::{BLUE, GREEN, Place, RED, png};
use crate::faults::memory;

/// Pictures in the tar: some batches of 32.
pub(crate) const N_MEMBERS: u32 = 100;
const N_FILES: u32 = 8;

/// Everything that `index` reads: files with texts beside them, a tar, a manifest.
pub(crate) fn place() -> Place {
    place_with(N_MEMBERS)
}

pub(crate) fn place_with(n_members: u32) -> Place {
    let place = Place::below(&memory());
    let mut rows = String::new();
    for n in 0..N_FILES {
        place.write(&format!("f{n}.png"), png(GREEN, n));
        rows += &format!("{{\"image\":\"f{n}.png\",\"caption\":\"a green wall {n}\"}}\n");
    }
    place.write("captions.jsonl", rows);
    place.write("f0.png.txt", "a red thing beside a picture");
    let members: Vec<(String, Vec<u8>)> = (0..n_members)
        .map(|n| (format!("m{n:04}.png"), png(if n % 2 == 0 { RED } else { BLUE }, n)))
        .collect();
    let members: Vec<_> = members.iter().map(|(name, bytes)| (&**name, bytes.clone())).collect();
    place.tar("long.tar", &members);
    place
}

/// A library of a place, which need not lie in it.
#[derive(Clone)]
pub(crate) struct Site<'a> {
    pub(crate) place: &'a Place,
    pub(crate) library: PathBuf,
}

/// How a run ended, and what it had said until then.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl<'a> Site<'a> {
    pub(crate) fn new(place: &'a Place) -> Self {
        Self { place, library: place.library() }
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = mmsearch(self.place);
        command.env("MMSEARCH_LIBRARY", &self.library).args(arguments);
        command
    }

    /// The program with another fake model.
    pub(crate) fn other_program(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(arguments);
        command.env("MMSEARCH_FAKE_ENCODER", "other");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.program(arguments))
    }

    /// Makes the library a copy of `template`, or takes it away.
    pub(crate) fn reset(&self, template: Option<&Path>) {
        if self.library.exists() {
            fs::remove_dir_all(&self.library).unwrap();
        }
        if let Some(template) = template {
            copy_dir(template, &self.library);
        }
    }

    /// The scores of all items that the model of `program` finds, each of which must come once; `None` if the library is empty
    /// or not there.
    pub(crate) fn hits(&self, program: Command) -> Option<BTreeMap<String, String>> {
        let (ended, hits) = self.answer(program);
        assert!(ended.stderr.is_empty() || ended.code == Some(1), "{ended:?}");
        hits
    }

    /// The same, where a warning is no fault.
    pub(crate) fn answer(&self, program: Command) -> (Ended, Option<BTreeMap<String, String>>) {
        let ended = ask(program);
        if ended.code == Some(1) {
            assert_eq!(ended.stdout, "", "{ended:?}");
            return (ended, None);
        }
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let hits = hits_of(&ended);
        (ended, Some(hits))
    }

    /// What is wrong with the catalog. Derived files may be missing or old after a fault, which `check` says too.
    pub(crate) fn faults_of_catalog(&self) -> Vec<String> {
        let ended = self.run(&["check"]);
        match ended.code {
            Some(0) => vec![],
            // Killed before there was one.
            Some(1) if ended.stderr.contains("there is no library") => vec![],
            Some(3 | 6) => {
                let of_derived = |line: &&str| {
                    line.contains("the snapshot of") || line.contains("an interrupted run left it")
                };
                let lines = ended.stdout.lines().chain(ended.stderr.lines());
                lines.filter(|line| !of_derived(line)).map(str::to_owned).collect()
            }
            _ => vec![format!("{ended:?}")],
        }
    }

    /// `check` finds nothing at all.
    pub(crate) fn is_well(&self) {
        let ended = self.run(&["check"]);
        assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "", "all is well\n"));
    }

    /// The only line of `status --json`.
    pub(crate) fn status(&self) -> Value {
        let ended = self.run(&["status", "--json"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Whether these bytes are in any file of the library.
    pub(crate) fn has_bytes(&self, wanted: &[u8]) -> bool {
        let files = fs::read_dir(&self.library).unwrap().map(|file| file.unwrap().path());
        files.into_iter().any(|file| {
            let bytes = fs::read(file).unwrap();
            bytes.windows(wanted.len()).any(|window| window == wanted)
        })
    }
}

/// Asks `program` for all items.
pub(crate) fn ask(mut program: Command) -> Ended {
    program.args(["query", "--text", "red", "--to", "any", "-k", "10000", "--all", "--json"]);
    ended(&mut program)
}

/// The scores by item of an answer, in which each item must come once.
pub(crate) fn hits_of(answer: &Ended) -> BTreeMap<String, String> {
    let mut hits = BTreeMap::new();
    for line in answer.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = ["source", "path", "member", "line", "text"].map(|key| line[key].to_string());
        let old = hits.insert(name.join(" "), line["score"].to_string());
        assert_eq!(old, None, "twice: {name:?}");
    }
    hits
}

/// Runs a program to its end.
pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code();
    assert!(code.is_some() || output.status.signal() == Some(9), "{:?}", output.status);
    Ended { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ended {
    /// How many items of a stage were reported as done: what arrived was said after the commit.
    pub(crate) fn acknowledged(&self, stage: &str) -> u64 {
        let lines = self.stdout.lines().filter_map(|line| serde_json::from_str(line).ok());
        let done = lines.filter(|line: &Value| line["stage"] == stage);
        done.map(|line| line["done"].as_u64().unwrap()).max().unwrap_or(0)
    }
}

/// How many of the items that were found are of this modality.
pub(crate) fn count(hits: &BTreeMap<String, String>, modality: &str) -> u64 {
    let is_text = |name: &String| name.starts_with("\"manifest\"");
    hits.keys().filter(|name| is_text(name) == (modality == "texts")).count() as u64
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
}
