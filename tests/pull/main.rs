//! `mmsearch model pull` against a hub on loopback. Nothing here leaves 127.0.0.1.
//!
//! The import is left out where `MMSEARCH_FAKE_ENCODER` is set: what was downloaded then stands in the models'
//! directory as it is.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]
#![allow(unreachable_pub, reason = "the modules are parts of this program")]

mod hub;
mod interrupt;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hub::{Asked, COMMIT, Faults, Files, Server, sha256};
use tempfile::TempDir;

const TOKEN: &str = "hf_nobodyMustSeeThis";

/// Directories for one user.
struct User {
    dir: TempDir,
}

impl User {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn models(&self) -> PathBuf {
        self.dir.path().join("data/mmsearch/models")
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("hub-home/hub/models--someone--tiny")
    }

    /// The program with the real import.
    fn mmsearch(&self, endpoint: &str) -> Command {
        self.command(env!("CARGO_BIN_EXE_mmsearch").as_ref(), endpoint)
    }

    fn command(&self, program: &Path, endpoint: &str) -> Command {
        let mut command = Command::new(program);
        // Only what is set here: no proxy, no token and no directory of whoever runs the tests.
        command.env_clear();
        if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", path);
        }
        command.env("XDG_DATA_HOME", self.dir.path().join("data"));
        command.env("HF_HOME", self.dir.path().join("hub-home"));
        command.env("HF_ENDPOINT", endpoint).env("HF_TOKEN", TOKEN);
        command
    }

    fn pull(&self, endpoint: &str, arguments: &[&str]) -> Output {
        let mut command = self.mmsearch(endpoint);
        command.env("MMSEARCH_FAKE_ENCODER", "1");
        command.args(["model", "pull"]).args(arguments).output().unwrap()
    }

    /// Pulls `someone/tiny` and returns exit code, stdout and stderr.
    fn pull_from(&self, hub: &Server) -> (i32, String, String) {
        told(self.pull(&format!("http://{}", hub.address), &["someone/tiny"]))
    }

    /// Files of the model, or nothing if there is none.
    fn model(&self, name: &str) -> Vec<String> {
        names(&self.models().join(name))
    }
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(!stdout.contains(TOKEN) && !stderr.contains(TOKEN), "{stderr}");
    assert!(stderr.lines().count() <= 1, "one line for people: {stderr}");
    (output.status.code().unwrap(), stdout, stderr)
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Bytes that look alike nowhere.
fn weights() -> Vec<u8> {
    (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn tiny() -> Files {
    Files::default()
        .small("README.md", b"not wanted")
        .small("config.json", b"{}")
        .small("tokenizer.json", b"{\"tokens\": []}")
        .large("model.safetensors", &weights())
        .large("pytorch_model.bin", b"a program")
}

/// The ranges that were asked of the store, in order; `None` is the whole file.
fn ranges(store: &Server) -> Vec<Option<String>> {
    store.asked().iter().map(|asked| asked.headers.get("range").cloned()).collect()
}

fn with_token(asked: &[Asked]) -> usize {
    let bearer = format!("Bearer {TOKEN}");
    asked.iter().filter(|asked| asked.headers.get("authorization") == Some(&bearer)).count()
}

#[test]
fn a_model_is_downloaded_whole_and_nothing_else_of_its_repository() {
    let (hub, store) = tiny().serve();
    let user = User::new();
    let (code, stdout, stderr) = user.pull_from(&hub);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert_eq!(stderr, "");
    assert_eq!(user.model("tiny"), ["config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(fs::read(user.models().join("tiny/model.safetensors")).unwrap(), weights());
    assert_eq!(fs::read(user.models().join("tiny/config.json")).unwrap(), b"{}");
    for unwanted in ["README.md", "pytorch_model.bin"] {
        assert!(!hub.asked().iter().any(|asked| asked.path.ends_with(unwanted)), "{unwanted}");
    }
    assert_eq!(ranges(&store), [None]);

    // As huggingface_hub lays it out.
    let cache = user.repository();
    let blob = cache.join("blobs").join(sha256(&weights()));
    let link = cache.join("snapshots").join(COMMIT).join("model.safetensors");
    assert_eq!(link.canonicalize().unwrap(), blob.canonicalize().unwrap());
    assert_eq!(fs::read_to_string(cache.join("refs/main")).unwrap(), COMMIT);

    // What is there and right is not fetched again, under another name and from another revision either.
    store.forget();
    let endpoint = format!("http://{}", hub.address);
    let again = ["someone/tiny@refs/pr/1", "--name", "other"];
    assert_eq!(told(user.pull(&endpoint, &again)).0, 0);
    assert_eq!(user.model("other"), user.model("tiny"));
    assert_eq!(ranges(&store), []);

    // What others put into the snapshot is no part of the model.
    fs::write(cache.join("snapshots").join(COMMIT).join("open_clip_config.json"), "{}").unwrap();
    assert_eq!(told(user.pull(&endpoint, &["someone/tiny", "--name", "fourth"])).0, 0);
    assert_eq!(user.model("fourth"), user.model("tiny"));

    // What was damaged since is.
    fs::write(&blob, b"damaged").unwrap();
    assert_eq!(told(user.pull(&endpoint, &["someone/tiny", "--name", "third"])).0, 0);
    assert_eq!(fs::read(user.models().join("third/model.safetensors")).unwrap(), weights());
    assert_eq!(ranges(&store), [None]);
}

#[test]
fn weights_in_shards_are_downloaded_by_their_index() {
    let index = br#"{"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors"}}"#;
    let files = Files::default()
        .small("config.json", b"{}")
        .small("vocab.json", b"{}")
        .small("merges.txt", b"")
        .small("model.safetensors.index.json", index)
        .large("model-1.safetensors", b"one")
        .large("model-2.safetensors", b"two")
        .large("model-3.safetensors", b"of no tensor");
    let user = User::new();
    let (code, _, stderr) = user.pull_from(&files.serve().0);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(
        user.model("tiny"),
        [
            "config.json",
            "merges.txt",
            "model-1.safetensors",
            "model-2.safetensors",
            "model.safetensors.index.json",
            "vocab.json"
        ]
    );
}

#[test]
fn an_interrupted_download_goes_on_where_it_was() {
    let (hub, store) = tiny().serve();
    let user = User::new();
    // One connection that breaks, and one that brings nothing more.
    hub.break_it(Faults { cut_after: vec![70_001, 0], ..Faults::default() });
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("after 70001 of 800000 bytes"), "{stderr}");
    assert!(stderr.contains("/model.safetensors"), "{stderr}");
    assert_eq!(names(&user.models()), [""; 0]);
    assert_eq!(ranges(&store), [None, Some("bytes=70001-".into())]);

    store.forget();
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(ranges(&store), [Some("bytes=70001-".into())]);
    assert_eq!(fs::read(user.models().join("tiny/model.safetensors")).unwrap(), weights());
    assert!(!names(&user.repository().join("blobs")).iter().any(|name| name.ends_with(".part")));
}

#[test]
fn a_connection_that_breaks_is_made_again_as_long_as_it_brings_something() {
    let (hub, store) = tiny().serve();
    hub.break_it(Faults { cut_after: vec![300_000, 300_000], ..Faults::default() });
    let user = User::new();
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 0, "{stderr}");
    let ranges = ranges(&store);
    assert_eq!(ranges, [None, Some("bytes=300000-".into()), Some("bytes=600000-".into())]);
    assert_eq!(fs::read(user.models().join("tiny/model.safetensors")).unwrap(), weights());

    // But not for ever.
    let (hub, store) = tiny().serve();
    hub.break_it(Faults { cut_after: vec![1000; 100], ..Faults::default() });
    let (code, _, stderr) = User::new().pull_from(&hub);
    assert_eq!(code, 5, "{stderr}");
    assert_eq!(store.asked().len(), 6);
}

#[test]
fn a_server_that_cannot_go_on_sends_the_whole_file() {
    let (hub, store) = tiny().serve();
    let user = User::new();
    let cut = Faults { cut_after: vec![70_001, 0], ignores_range: true, ..Faults::default() };
    hub.break_it(cut);
    assert_eq!(user.pull_from(&hub).0, 5);
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 0, "{stderr}");
    assert!(store.asked().len() >= 3);
    assert_eq!(fs::read(user.models().join("tiny/model.safetensors")).unwrap(), weights());
}

#[test]
fn wrong_bytes_are_refused_and_thrown_away() {
    let (hub, store) = tiny().serve();
    let user = User::new();
    hub.break_it(Faults { flips: true, ..Faults::default() });
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 7, "{stderr}");
    assert!(stderr.contains("/model.safetensors") && stderr.contains("hash"), "{stderr}");
    assert_eq!(names(&user.models()), [""; 0]);
    let blobs = names(&user.repository().join("blobs"));
    let weights_blob = sha256(&weights());
    assert!(!blobs.iter().any(|name| name.starts_with(&weights_blob)), "{blobs:?}");

    // Nothing is left to go on from either.
    store.forget();
    hub.break_it(Faults::default());
    assert_eq!(user.pull_from(&hub).0, 0);
    assert_eq!(ranges(&store), [None]);
}

#[test]
fn a_wrong_beginning_is_noticed_at_the_end() {
    let (hub, _store) = tiny().serve();
    let user = User::new();
    hub.break_it(Faults { cut_after: vec![70_001, 0], ..Faults::default() });
    assert_eq!(user.pull_from(&hub).0, 5);
    let part = user.repository().join("blobs").join(sha256(&weights())).with_extension("part");
    assert_eq!(fs::read(&part).unwrap(), weights()[..70_001]);
    let mut beginning = fs::read(&part).unwrap();
    beginning[5] ^= 1;
    fs::write(&part, beginning).unwrap();
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 7, "{stderr}");
    assert!(!part.exists());
    assert_eq!(names(&user.models()), [""; 0]);
    assert_eq!(user.pull_from(&hub).0, 0);
}

#[test]
fn the_token_is_sent_to_the_hub_and_to_nobody_else() {
    let (hub, store) = tiny().serve();
    let user = User::new();
    assert_eq!(user.pull_from(&hub).0, 0);
    // Both directions: every request to the hub has it, on redirects of its own too; none to the store has.
    assert!(hub.asked().iter().any(|asked| asked.path.starts_with("/api/resolve-cache/")));
    assert_eq!(with_token(&hub.asked()), hub.asked().len());
    assert_eq!(store.asked().len(), 1);
    assert!(!store.asked()[0].headers.contains_key("authorization"));
    assert!(!format!("{:?}", store.asked()).contains(TOKEN));
}

#[test]
fn a_token_that_is_none_is_not_shown() {
    let user = User::new();
    let mut command = user.mmsearch("http://127.0.0.1:1");
    command.env("MMSEARCH_FAKE_ENCODER", "1").env("HF_TOKEN", format!("{TOKEN}\nX-Other: header"));
    let (code, _, stderr) = told(command.args(["model", "pull", "someone/tiny"]).output().unwrap());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("HF_TOKEN"), "{stderr}");
}

#[test]
fn a_refusal_says_what_to_do() {
    let (hub, _store) = tiny().serve();
    for (status, code, exit, hint) in [
        (401, "RepoNotFound", 5, "HF_TOKEN is not valid"),
        (403, "", 5, "accept the licence"),
        (401, "GatedRepo", 5, "accept it on the model's page"),
        (404, "", 2, "look at the spelling"),
        (429, "", 5, "try again later"),
        (503, "", 5, "try again later"),
    ] {
        let user = User::new();
        hub.break_it(Faults { refuses: Some((status, code, "another")), ..Faults::default() });
        let (found, _, stderr) = user.pull_from(&hub);
        assert_eq!(found, exit, "{status}: {stderr}");
        assert!(stderr.contains(hint) && stderr.contains("someone/tiny"), "{status}: {stderr}");
        assert_eq!(names(&user.models()), [""; 0]);
        // The control: whom the hub knows may have it.
        hub.break_it(Faults { refuses: Some((status, code, TOKEN)), ..Faults::default() });
        assert_eq!(user.pull_from(&hub).0, 0);
    }
    hub.break_it(Faults::default());
    let endpoint = format!("http://{}", hub.address);
    let (code, _, stderr) = told(User::new().pull(&endpoint, &["someone/tiny@v2"]));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("revision/v2"), "{stderr}");
}

#[test]
fn a_file_that_cannot_be_checked_is_not_downloaded() {
    let (hub, store) = tiny().serve();
    let user = User::new();
    hub.break_it(Faults { unlinked: true, ..Faults::default() });
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 7, "{stderr}");
    assert!(stderr.contains("no size and hash"), "{stderr}");
    assert!(store.asked().is_empty());
    hub.break_it(Faults::default());
    assert_eq!(user.pull_from(&hub).0, 0);
}

#[test]
fn a_redirect_in_a_circle_ends() {
    let (hub, _store) = tiny().serve();
    hub.break_it(Faults { circles: true, ..Faults::default() });
    let (code, _, stderr) = User::new().pull_from(&hub);
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains("circle"), "{stderr}");
    assert!(hub.asked().len() < 20, "{}", hub.asked().len());
}

#[test]
fn a_repository_of_programs_is_refused_before_anything_is_downloaded() {
    let files = || {
        let small = Files::default().small("config.json", b"{}").small("tokenizer.json", b"{}");
        small.large("pytorch_model.bin", b"a program")
    };
    let (hub, store) = files().serve();
    let user = User::new();
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 7, "{stderr}");
    assert!(stderr.contains("only .safetensors is read"), "{stderr}");
    assert!(stderr.contains("pytorch_model.bin"), "{stderr}");
    assert_eq!((hub.asked().len(), store.asked().len()), (1, 0));
    assert_eq!(names(&user.models()), [""; 0]);
    // The control: with weights that are data it is a model.
    let (hub, _store) = files().large("model.safetensors", &weights()).serve();
    assert_eq!(user.pull_from(&hub).0, 0);
}

#[test]
fn without_a_connection_the_hub_is_named() {
    // A port that was free a moment ago and is not listened to.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let user = User::new();
    let (code, _, stderr) = told(user.pull(&format!("http://{address}"), &["someone/tiny"]));
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains(&address.to_string()), "{stderr}");
    assert!(stderr.contains("look at the network"), "{stderr}");
    assert_eq!(names(&user.models()), [""; 0]);
}

#[test]
fn wrong_arguments_ask_nobody() {
    let (hub, _store) = tiny().serve();
    let user = User::new();
    let endpoint = format!("http://{}", hub.address);
    let code = |arguments: &[&str]| told(user.pull(&endpoint, arguments)).0;
    for repository in ["a/b/c", "../x", "a b", "someone/tiny@../..", ""] {
        assert_eq!(code(&[repository]), 2, "{repository}");
    }
    for name in ["mini", "../x", "a/b", "", ".hidden"] {
        assert_eq!(code(&["someone/tiny", "--name", name]), 2, "{name}");
    }
    assert_eq!(told(user.pull("ftp://127.0.0.1", &["someone/tiny"])).0, 2);
    assert_eq!(told(user.pull("http://me:password@127.0.0.1", &["someone/tiny"])).0, 2);
    assert!(hub.asked().is_empty());
    // A model that is there is not written over.
    assert_eq!(code(&["someone/tiny"]), 0);
    hub.forget();
    let (code, _, stderr) = user.pull_from(&hub);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("already") && hub.asked().is_empty(), "{stderr}");
}

/// A published family of `fixtures/`, as a repository.
#[cfg(feature = "torch")]
fn family(name: &str) -> Files {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families").join(name);
    names(&dir).iter().fold(Files::default(), |files, file| {
        let bytes = fs::read(dir.join(file)).unwrap();
        match file.ends_with(".safetensors") {
            true => files.large(file, &bytes),
            false => files.small(file, &bytes),
        }
    })
}

#[cfg(feature = "torch")]
#[test]
fn every_family_is_pulled_and_imported() {
    for name in ["clip", "openclip-resnet", "openclip-vit", "siglip", "siglip2"] {
        let (hub, _store) = family(name).serve();
        let user = User::new();
        let endpoint = format!("http://{}", hub.address);
        let run = |arguments: &[&str]| {
            told(user.mmsearch(&endpoint).arg("model").args(arguments).output().unwrap())
        };
        let (code, stdout, stderr) = run(&["pull", "someone/tiny", "--name", name]);
        assert_eq!(code, 0, "{name}: {stderr}");
        assert!(
            stdout.starts_with(name) && stderr.contains(&format!("--model {name}")),
            "{stdout}"
        );
        assert_eq!(names(&user.models()), [name]);
        assert!(!hub.asked().iter().any(|asked| asked.path.ends_with("expected.safetensors")));

        // It is the model that an import of the same files makes.
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families").join(name);
        let by_hand = user.dir.path().join("by-hand");
        mmsearch::encoder::import(&dir, name, &by_hand).unwrap();
        let (pulled, ours) = (user.models().join(name), by_hand);
        for file in ["model.json", "weights.safetensors", "tokenizer.json"] {
            let same = fs::read(pulled.join(file)).unwrap() == fs::read(ours.join(file)).unwrap();
            assert!(same, "{name}: {file}");
        }
        assert_eq!(run(&["verify", "--model", name]).0, 0);
        let (_, listed, _) = run(&["list", "--json"]);
        assert!(listed.contains(&format!("\"name\":\"{name}\"")), "{listed}");
    }
}

#[cfg(feature = "torch")]
#[test]
fn what_cannot_be_imported_leaves_no_model() {
    let (hub, _store) = tiny().serve();
    let user = User::new();
    let mut command = user.mmsearch(&format!("http://{}", hub.address));
    let (code, stdout, stderr) =
        told(command.args(["model", "pull", "someone/tiny"]).output().unwrap());
    assert_eq!((code, stdout.as_str()), (7, ""), "{stderr}");
    assert!(stderr.contains("model.safetensors"), "{stderr}");
    assert_eq!(names(&user.models()), [""; 0]);
}

#[test]
fn without_the_encoder_nobody_is_asked() {
    let (hub, _store) = tiny().serve();
    let user = User::new();
    let program = user.dir.path().join("mmsearch");
    // A link: a copy that is just written cannot be run while another thread starts a process, which inherits it.
    fs::hard_link(env!("CARGO_BIN_EXE_mmsearch"), &program).unwrap();
    let mut command = user.command(&program, &format!("http://{}", hub.address));
    let (code, _, stderr) = told(command.args(["model", "pull", "someone/tiny"]).output().unwrap());
    assert_eq!(code, 7, "{stderr}");
    assert!(stderr.contains("no mmsearch-encoder") && hub.asked().is_empty(), "{stderr}");
}

#[test]
fn published_models_are_listed_without_a_connection() {
    let list = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mmsearch"));
        command.env_clear().args(["model", "list", "--available"]).args(arguments);
        if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", path);
        }
        told(command.output().unwrap())
    };
    let (code, stdout, stderr) = list(&[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let row =
        stdout.lines().find(|line| line.starts_with("google/siglip-base-patch16-224 ")).unwrap();
    let words: Vec<&str> = row.split_whitespace().skip(3).collect();
    assert_eq!(words, ["813", "768", "0.25", "74.7", "47.8", "Apache-2.0"]);
    let (code, stdout, _) = list(&["--json"]);
    assert_eq!(code, 0);
    let lines: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tiny = lines.iter().find(|line| line["model"] == "TinyCLIP 61M/32").unwrap();
    assert_eq!((&tiny["version"], &tiny["megabytes"]), (&1.into(), &462.into()));
    // Nobody published it, and it is not made up.
    assert!(tiny["flickr30k"].is_null() && tiny["relative_speed"].is_null());
}
