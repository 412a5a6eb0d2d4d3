//! kill -9 at every call that changes a file, and at random times.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::Fault;
use crate::sample::{Random, places, seed, times};
use crate::scene::{self, Ended, Site, count, ended};
use crate::verbs::{Trial, VERBS, Verb};
use crate::{child, sample};

/// What was killed at one of its calls is as sound as before, and the next run completes it.
fn killed_at_calls(verb: Verb, n_wanted: u64) {
    let place = scene::place();
    let trial = Trial::new(&place, verb);
    let mut n_killed = 0;
    for at in places(trial.n_calls, n_wanted, &mut Random::new(verb as u64)) {
        let (ended, report) = trial.run(Fault { at, action: "kill", ..Fault::NONE });
        let context =
            format!("{verb:?}, killed at call {at} of {} ({})", trial.n_calls, report.fired);
        if report.n_fired > 0 {
            assert_eq!(ended.code, None, "{context}");
            n_killed += 1;
        }
        trial.sound(&ended).unwrap_or_else(|reason| panic!("{context}: {reason}"));
        trial.completes(&context);
    }
    println!("{verb:?}: {n_killed} kills at {} calls", trial.n_calls);
    assert!(n_killed * 2 > n_wanted.min(trial.n_calls), "only {n_killed} were killed");
}

#[test]
fn index_is_killed_at_its_calls() {
    killed_at_calls(Verb::Index, 25);
}

#[test]
fn index_that_replaces_a_snapshot_is_killed_at_its_calls() {
    killed_at_calls(Verb::Grow, 20);
}

#[test]
fn writing_a_graph_is_killed_at_its_calls() {
    killed_at_calls(Verb::Graph, 15);
}

#[test]
fn forget_is_killed_at_its_calls() {
    killed_at_calls(Verb::Forget, 20);
}

#[test]
fn reindex_is_killed_at_its_calls() {
    killed_at_calls(Verb::Reindex, 20);
}

/// The control: an indexer that reports before it commits is caught by the same loop.
#[test]
fn who_reports_too_early_loses_something() {
    let place = scene::place();
    let trial = Trial::new(&place, Verb::Index);
    let mut losses = Vec::new();
    let mut random = Random::new(50);
    // Where batches of pictures are written.
    let calls = trial.run(Fault::NONE).1.calls;
    let to_log = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.starts_with("w ") && call.ends_with("-wal"));
    let to_log: Vec<u64> = to_log.map(|(i, _)| i as u64 + 1).collect();
    for _ in 0..times(10, 30) {
        trial.reset();
        let mut command = child::command("hasty", &trial.site);
        let at = to_log[random.below(to_log.len() as u64 / 2) as usize];
        let fault = Fault { at, action: "kill", ..Fault::NONE };
        trial.watch.arm(&mut command, &trial.site.library, fault);
        losses.extend(trial.sound(&ended(&mut command)).err());
        trial.completes("hasty");
    }
    println!("control: {} losses, such as: {:?}", losses.len(), losses.first());
    assert!(!losses.is_empty() && losses[0].contains("were reported"), "{losses:?}");
}

/// What was killed at random times, which the calls know nothing of, likewise.
#[test]
fn everything_is_killed_at_random_times() {
    let place = scene::place();
    let (mut n_killed, mut random) = (0, Random::new(60));
    for verb in VERBS {
        let trial = Trial::new(&place, verb);
        trial.reset();
        let began = Instant::now();
        assert_eq!(ended(&mut trial.command()).code, Some(0));
        let micros = began.elapsed().as_micros() as u64;
        for round in 0..times(4, 20) {
            let wait = random.below(micros);
            trial.reset();
            let ended = killed_after(&trial, Duration::from_micros(wait));
            n_killed += u64::from(ended.code.is_none());
            let context = format!("{verb:?}, seed {}, round {round}, after {wait} µs", seed());
            trial.sound(&ended).unwrap_or_else(|reason| panic!("{context}: {reason}"));
            trial.completes(&context);
        }
    }
    println!("{n_killed} kills at random times");
    assert!(n_killed * 3 > times(4, 20) * VERBS.len() as u64, "only {n_killed} were killed");
}

fn killed_after(trial: &Trial<'_>, wait: Duration) -> Ended {
    let mut command = trial.command();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // Not an assertion about time: whenever it is, it must be harmless.
    thread::sleep(wait);
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Queries that go on while the writer is killed and starts again are all answered.
#[test]
fn readers_outlive_writers() {
    let place = scene::place_with(times(400, 2000) as u32);
    let site = Site::new(&place);
    let mut random = Random::new(70);
    let trial_calls = 40 + random.below(200);
    let watch = crate::faults::Watch::new();
    for round in 0..times(4, 20) {
        let mut command = site.program(&["index", "--json", "photos", "photos/long.tar"]);
        let fault = Fault { at: trial_calls * (round + 1), action: "kill", ..Fault::NONE };
        watch.arm(&mut command, &site.library, fault);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut n_answered = 0;
        while child.try_wait().unwrap().is_none() && n_answered < 50 {
            let (ended, hits) = site.answer(site.program(&[]));
            assert!(hits.is_some() || ended.code == Some(1), "{ended:?}");
            n_answered += 1;
        }
        child.wait().unwrap();
        let (_, hits) = site.answer(site.program(&[]));
        let n = hits.map_or(0, |hits| count(&hits, "images"));
        println!("round {round}, seed {}: {n_answered} queries, {n} images", sample::seed());
    }
}
