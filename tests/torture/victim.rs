//! A command that begins with the same files again and again, and is killed, or loses the power, at calls that change
//! something.

use std::path::PathBuf;
use std::process::Command;

use crate::faults::{Fault, Report, Watch};
use crate::sample::{Random, places, seed};
use crate::scene::{Ended, ended};
use crate::shadow::{LEFT, cut};

/// What is killed.
pub(crate) struct Victim<'a> {
    pub(crate) name: &'static str,
    /// The directory below which calls are counted.
    pub(crate) watched: PathBuf,
    /// Makes the files what they were before.
    pub(crate) prepare: &'a dyn Fn(),
    pub(crate) command: &'a dyn Fn() -> Command,
}

impl Victim<'_> {
    fn run(&self, watch: &Watch, fault: Fault) -> (Ended, Report) {
        (self.prepare)();
        let mut command = (self.command)();
        watch.arm(&mut command, &self.watched, fault);
        let ended = ended(&mut command);
        (ended, watch.report())
    }

    /// Makes the samples of the loops differ.
    fn salt(&self) -> u64 {
        self.name.bytes().map(u64::from).sum()
    }

    /// Kills it at about `n_wanted` of its calls; what `judge` says is wrong after each.
    pub(crate) fn losses(
        &self,
        n_wanted: u64,
        judge: &dyn Fn() -> Result<(), String>,
    ) -> Vec<String> {
        let watch = Watch::new();
        let (whole, report) = self.run(&watch, Fault::NONE);
        assert_eq!(whole.code, Some(0), "{}: {whole:?}", self.name);
        let (n_calls, mut n_killed, mut losses) = (report.n_calls, 0, Vec::new());
        for at in places(n_calls, n_wanted, &mut Random::new(self.salt())) {
            let (ended, report) = self.run(&watch, Fault { at, action: "kill", ..Fault::NONE });
            let context = format!(
                "{}, seed {}, killed at call {at} of {n_calls} ({})",
                self.name,
                seed(),
                report.fired
            );
            if report.n_fired > 0 {
                assert_eq!(ended.code, None, "{context}");
                n_killed += 1;
            }
            losses.extend(judge().err().map(|reason| format!("{context}: {reason}")));
        }
        let n_losses = losses.len();
        println!("{}: {n_killed} kills at {n_calls} calls, {n_losses} losses", self.name);
        assert!(n_killed * 2 > n_wanted.min(n_calls), "only {n_killed} were killed");
        losses
    }

    /// Cuts the power at about `n_wanted` of its calls, so that of what was not synced some is there and some is not; what
    /// `judge` says is wrong after each.
    pub(crate) fn power_losses(
        &self,
        n_wanted: u64,
        judge: &dyn Fn() -> Result<(), String>,
    ) -> Vec<String> {
        let (watch, mut random) = (Watch::new(), Random::new(self.salt()));
        let n_calls = self.run(&watch, Fault::NONE).1.n_calls;
        let (mut n_cuts, mut losses) = (0, Vec::new());
        for at in places(n_calls, n_wanted, &mut random) {
            for left in LEFT {
                (self.prepare)();
                let mut command = (self.command)();
                let fault = Fault { at, action: "kill", ..Fault::NONE };
                watch.arm_with_shadow(&mut command, &self.watched, fault);
                ended(&mut command);
                cut(&self.watched, &watch.shadow(), left, &mut random);
                n_cuts += 1;
                let context = format!(
                    "{}, seed {}, power cut at call {at} of {n_calls} ({}), {left:?}",
                    self.name,
                    seed(),
                    watch.report().fired
                );
                losses.extend(judge().err().map(|reason| format!("{context}: {reason}")));
            }
        }
        println!("{}: {n_cuts} power cuts, {} losses", self.name, losses.len());
        losses
    }
}
