//! The commands that are disturbed, and what must hold afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::child;
use crate::common::Place;
use crate::faults::{Fault, Report, Watch};
use crate::scene::{Ended, Site, copy_dir, count, ended};

/// Which command, on which library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `index` where there is no library.
    Index,
    /// `index` of a tar, where files and their snapshot are there already.
    Grow,
    /// `index` that has only a snapshot with a graph to write.
    Graph,
    /// `forget` of the tar.
    Forget,
    /// `reindex` to another model.
    Reindex,
}

pub(crate) const VERBS: [Verb; 5] =
    [Verb::Index, Verb::Grow, Verb::Graph, Verb::Forget, Verb::Reindex];

const INDEX: [&str; 4] = ["index", "--json", "photos", "photos/long.tar"];
const FORGET: [&str; 2] = ["forget", "photos/long.tar"];

/// What a library comes to in the end.
#[derive(Debug, PartialEq)]
pub(crate) struct State {
    /// Scores by item.
    pub(crate) hits: Option<BTreeMap<String, String>>,
    /// What `status` says of models, items and graphs.
    pub(crate) status: Value,
}

/// A command on a library, and how it ends undisturbed.
pub(crate) struct Trial<'a> {
    pub(crate) site: Site<'a>,
    pub(crate) verb: Verb,
    pub(crate) whole: State,
    /// Calls that change something below the library's directory, in an undisturbed run.
    pub(crate) n_calls: u64,
    pub(crate) watch: Watch,
    template: Option<PathBuf>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(place: &'a Place, verb: Verb) -> Self {
        Self::at(Site::new(place), verb)
    }

    /// The library may lie on another file system.
    pub(crate) fn at(site: Site<'a>, verb: Verb) -> Self {
        site.reset(None);
        match verb {
            Verb::Index => {}
            Verb::Grow => assert_eq!(site.run(&["index", "photos"]).code, Some(0)),
            Verb::Graph | Verb::Forget | Verb::Reindex => {
                assert_eq!(site.run(&INDEX).code, Some(0));
            }
        }
        let template = (verb != Verb::Index).then(|| {
            let template = site.place.root().join("template");
            let _ = std::fs::remove_dir_all(&template);
            copy_dir(&site.library, &template);
            template
        });
        let status = Value::Null;
        let whole = State { hits: None, status };
        let mut trial = Self { site, verb, whole, n_calls: 0, watch: Watch::new(), template };
        let (ended, report) = trial.run(Fault::NONE);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        trial.n_calls = report.n_calls;
        trial.whole = trial.state();
        trial
    }

    pub(crate) fn command(&self) -> Command {
        let Self { site, verb, .. } = self;
        match verb {
            Verb::Index | Verb::Grow => site.program(&INDEX),
            Verb::Graph => child::command("graph", site),
            Verb::Forget => site.program(&FORGET),
            Verb::Reindex => site.other_program(&["reindex", "--json"]),
        }
    }

    /// Makes the library what it was before.
    pub(crate) fn reset(&self) {
        self.site.reset(self.template.as_deref());
    }

    /// Runs the command once on the library as it was before.
    pub(crate) fn run(&self, fault: Fault) -> (Ended, Report) {
        self.reset();
        let mut command = self.command();
        self.watch.arm(&mut command, &self.site.library, fault);
        let ended = ended(&mut command);
        (ended, self.watch.report())
    }

    pub(crate) fn state(&self) -> State {
        let status = self.site.status();
        let program = match status["model"].as_str() {
            Some("other") => self.site.other_program(&[]),
            _ => self.site.program(&[]),
        };
        let graphs: Vec<Value> =
            status["snapshots"].as_array().unwrap().iter().map(|it| it["graph"].clone()).collect();
        let [model, reindexing, items] =
            ["model", "reindexing", "items"].map(|key| status[key].clone());
        let status = Value::from(vec![model, reindexing, items, graphs.into()]);
        State { hits: self.site.hits(program), status }
    }

    /// After a run that was disturbed: nothing that was reported is lost, nothing is doubled, and the library answers.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn sound(&self, ended: &Ended) -> Result<(), String> {
        let faults = self.site.faults_of_catalog();
        if !faults.is_empty() {
            return Err(format!("check finds {faults:?}"));
        }
        let there = match self.verb {
            Verb::Reindex => return self.sound_between_models(ended),
            Verb::Index | Verb::Grow | Verb::Graph | Verb::Forget => {
                self.site.answer(self.site.program(&[])).1.unwrap_or_default()
            }
        };
        let whole = self.whole.hits.as_ref().unwrap();
        match self.verb {
            Verb::Index | Verb::Grow => {
                for stage in ["images", "texts"] {
                    let (said, n) = (ended.acknowledged(stage), count(&there, stage));
                    if said > n {
                        return Err(format!("{said} {stage} were reported, {n} are there"));
                    }
                }
                let is_known = |(name, score): (&String, &String)| whole.get(name) == Some(score);
                there.iter().all(is_known).then_some(()).ok_or("something else is there".into())
            }
            Verb::Graph => (there == *whole).then_some(()).ok_or("not all is there".into()),
            Verb::Forget => {
                let stayed = whole.iter().all(|(name, score)| there.get(name) == Some(score));
                stayed.then_some(()).ok_or("what was not to be forgotten is not there".into())
            }
            Verb::Reindex => unreachable!(),
        }
    }

    /// One of two models answers, and wholly.
    fn sound_between_models(&self, ended: &Ended) -> Result<(), String> {
        let status = self.site.status();
        let is_new = status["model"] == "other";
        let (own, foreign) = (self.site.program(&[]), self.site.other_program(&[]));
        let (own, mut foreign) = if is_new { (foreign, own) } else { (own, foreign) };
        let there = self.site.answer(own).1.unwrap_or_default();
        foreign.args(["query", "--text", "red"]);
        let refused = crate::scene::ended(&mut foreign).code;
        if there != *self.whole.hits.as_ref().unwrap() || refused != Some(7) {
            return Err(format!(
                "{} items are found, the other model ends with {refused:?}",
                there.len()
            ));
        }
        let said = ended.acknowledged("images") + ended.acknowledged("texts");
        let n = status["reindexing"][0]["done"].as_u64().unwrap_or(0);
        (is_new || said <= n).then_some(()).ok_or(format!("{said} were reported, {n} are there"))
    }

    /// The command, once more, ends where it does undisturbed.
    pub(crate) fn completes(&self, context: &str) {
        let again = ended(&mut self.command());
        let is_done = match self.verb {
            // There may be nothing left to forget.
            Verb::Forget => matches!(again.code, Some(0 | 1)),
            Verb::Index | Verb::Grow | Verb::Graph | Verb::Reindex => again.code == Some(0),
        };
        assert!(is_done, "{context}: {again:?}");
        assert_eq!(self.state(), self.whole, "{context}");
        self.site.is_well();
        if self.verb == Verb::Forget {
            assert!(!self.site.has_bytes(b"m0042.png"), "{context}: a trace of what was forgotten");
        }
    }
}
