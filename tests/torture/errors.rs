//! A disk that is full, a disk that fails, and no more file descriptors, at each call of a library's files.

use crate::common::Place;
use crate::faults::{EIO, EMFILE, ENOSPC, Fault, Watch};
use crate::sample::{Random, places, seed};
use crate::scene::{self, Ended, Site, ended};
use crate::verbs::{Trial, VERBS, Verb};

/// A full disk refuses everything that needs room from then on.
const FULL: Fault = Fault { kinds: Some("owm"), action: "fail-on", errno: ENOSPC, ..Fault::NONE };
/// A bad disk refuses once.
const BAD: Fault = Fault { kinds: Some("owsrutm"), action: "fail", errno: EIO, ..Fault::NONE };
/// A disk that cannot be read refuses once.
const UNREADABLE: Fault = Fault { kinds: Some("Op"), action: "fail", errno: EIO, ..Fault::NONE };
const EXHAUSTED: Fault =
    Fault { kinds: Some("oO"), action: "fail-on", errno: EMFILE, ..Fault::NONE };
/// Not an error: a write that must be gone on with.
const SHORT: Fault = Fault { kinds: Some("w"), action: "short", ..Fault::NONE };

/// How runs with a fault ended: with an error, and well all the same.
#[derive(Debug, Default)]
struct Ends {
    n_errors: u64,
    n_well: u64,
}

/// Injects a fault at about `n_wanted` of the calls that it can be injected at.
fn injected(trial: &Trial<'_>, fault: Fault, n_wanted: u64) -> Ends {
    let n_calls = trial.run(fault).1.n_calls;
    let mut ends = Ends::default();
    for at in places(n_calls, n_wanted, &mut Random::new(fault.errno as u64)) {
        let (ended, report) = trial.run(Fault { at, ..fault });
        let context = format!(
            "{:?}, seed {}, error {} at call {at} of {n_calls} ({}): {ended:?}",
            trial.verb,
            seed(),
            fault.errno,
            report.fired
        );
        if trial.verb != Verb::Graph {
            let is_json = |line| serde_json::from_str::<serde_json::Value>(line).is_ok();
            assert!(ended.stdout.lines().all(is_json), "stdout: {context}");
        }
        match ended.code {
            Some(code) if is_right(code, fault) => {
                ends.n_errors += 1;
                is_told(trial, &ended, &context);
                trial.sound(&ended).unwrap_or_else(|reason| panic!("{reason}: {context}"));
            }
            // What failed was of no use any more, or was done again.
            Some(0) => {
                ends.n_well += 1;
                assert_eq!(trial.state(), trial.whole, "{context}");
            }
            _ => panic!("{context}"),
        }
        trial.completes(&context);
    }
    println!("{:?}, error {}: {ends:?} of {n_calls} calls", trial.verb, fault.errno);
    ends
}

/// The exit code for I/O. SQLite reports a sector that the disk does not give back as damage of the database, which it is.
fn is_right(code: i32, fault: Fault) -> bool {
    code == 5 || code == 6 && fault.kinds == UNREADABLE.kinds
}

/// One line that names the file, which lies in the library.
fn is_told(trial: &Trial<'_>, ended: &Ended, context: &str) {
    let lines: Vec<&str> =
        ended.stderr.lines().filter(|line| !line.starts_with("warning: ")).collect();
    let [line] = lines.as_slice() else { panic!("not one line: {context}") };
    let library = trial.site.library.display().to_string();
    assert!(line.starts_with("mmsearch: ") && line.contains(&library), "{context}");
}

/// The sum over all commands.
fn everywhere(place: &Place, fault: Fault, n_wanted: u64) -> Ends {
    let mut sum = Ends::default();
    for verb in VERBS {
        let ends = injected(&Trial::new(place, verb), fault, n_wanted);
        sum.n_errors += ends.n_errors;
        sum.n_well += ends.n_well;
    }
    sum
}

#[test]
fn a_full_disk_loses_nothing() {
    let ends = everywhere(&scene::place(), FULL, 8);
    assert!(ends.n_errors > 5 * ends.n_well, "{ends:?}");
}

#[test]
fn a_bad_disk_loses_nothing() {
    let ends = everywhere(&scene::place(), BAD, 8);
    assert!(ends.n_errors > 3 * ends.n_well, "{ends:?}");
}

#[test]
fn a_disk_that_cannot_be_read_loses_nothing() {
    let ends = everywhere(&scene::place(), UNREADABLE, 6);
    assert!(ends.n_errors > 0, "{ends:?}");
}

/// A list of snapshots that cannot be read is not replaced by one that names less.
#[test]
fn an_unreadable_list_keeps_what_it_names() {
    let place = scene::place();
    let trial = Trial::new(&place, Verb::Index);
    let calls = trial.run(UNREADABLE).1.calls;
    let of_list = calls.iter().enumerate().filter(|(_, call)| call.ends_with("/CURRENT"));
    let of_list: Vec<u64> = of_list.map(|(i, _)| i as u64 + 1).collect();
    assert!(!of_list.is_empty());
    for (at, action) in of_list.into_iter().flat_map(|at| [(at, "fail"), (at, "fail-on")]) {
        let (ended, report) = trial.run(Fault { at, action, ..UNREADABLE });
        let context = format!("{action} at {}: {ended:?}", report.fired);
        match ended.code {
            Some(0) => assert_eq!(trial.state(), trial.whole, "{context}"),
            Some(code) if is_right(code, UNREADABLE) => is_told(&trial, &ended, &context),
            _ => panic!("{context}"),
        }
        trial.completes(&context);
    }
}

#[test]
fn no_more_file_descriptors_lose_nothing() {
    let ends = everywhere(&scene::place(), EXHAUSTED, 4);
    assert!(ends.n_errors > ends.n_well, "{ends:?}");
}

#[test]
fn short_writes_are_gone_on_with() {
    let place = scene::place();
    let ends = injected(&Trial::new(&place, Verb::Index), SHORT, 8);
    assert!(ends.n_errors == 0 && ends.n_well > 0, "{ends:?}");
}

/// A query that cannot read says so, or answers as always.
#[test]
fn queries_on_a_disk_that_cannot_be_read() {
    let place = scene::place();
    let site = Site::new(&place);
    assert_eq!(site.run(&["index", "photos", "photos/long.tar"]).code, Some(0));
    let whole = site.hits(site.program(&[])).unwrap();
    let (watch, mut n_errors) = (Watch::new(), 0);
    for fault in [UNREADABLE, EXHAUSTED] {
        let query = |at| {
            let mut command = site.program(&[]);
            watch.arm(&mut command, &site.library, Fault { at, ..fault });
            command
        };
        site.hits(query(0));
        let n_calls = watch.report().n_calls;
        for at in places(n_calls, 40, &mut Random::new(100)) {
            let mut command = query(at);
            command
                .args(["query", "--text", "red", "-k", "10000", "--all", "--to", "any", "--json"]);
            let ended = ended(&mut command);
            let context = format!("call {at} of {n_calls}, {}: {ended:?}", watch.report().fired);
            match ended.code {
                Some(0) => assert_eq!(ended.stdout.lines().count(), whole.len(), "{context}"),
                Some(code) if is_right(code, fault) => {
                    n_errors += 1;
                    assert_eq!(
                        (&*ended.stdout, ended.stderr.lines().count()),
                        ("", 1),
                        "{context}"
                    );
                }
                _ => panic!("{context}"),
            }
        }
    }
    assert!(n_errors > 0);
    assert_eq!(site.hits(site.program(&[])).unwrap(), whole);
    site.is_well();
}
