//! Power cuts on a disk that keeps what was synced, and of the rest what it likes.

use crate::common::Place;
use crate::faults::Fault;
use crate::sample::{Random, places, seed, times};
use crate::scene::{self, Ended, ended};
use crate::shadow::{LEFT, Left, cut};
use crate::verbs::{Trial, VERBS, Verb};

/// The library after a power cut at a call, 0 being after the end; what the command had said until then.
fn powerless(trial: &Trial<'_>, fault: Fault, left: Left, random: &mut Random) -> Ended {
    trial.reset();
    let mut command = trial.command();
    trial.watch.arm_with_shadow(&mut command, &trial.site.library, fault);
    let ended = ended(&mut command);
    cut(&trial.site.library, &trial.watch.shadow(), left, random);
    ended
}

/// What is wrong after cuts at about `n_wanted` calls of a command, and how many cuts there were.
fn losses(trial: &Trial<'_>, n_wanted: u64, nosync: Option<&'static str>) -> (u64, Vec<String>) {
    let (mut n_cuts, mut losses, mut random) = (0, Vec::new(), Random::new(80));
    for at in places(trial.n_calls, n_wanted, &mut random) {
        for left in LEFT {
            let fault = Fault { at, action: "kill", nosync, ..Fault::NONE };
            let ended = powerless(trial, fault, left, &mut random);
            let context =
                format!("{:?}, seed {}, power cut at call {at}, {left:?}", trial.verb, seed());
            n_cuts += 1;
            match trial.sound(&ended) {
                Err(reason) => losses.push(format!("{context}: {reason}")),
                Ok(()) if nosync.is_none() => trial.completes(&context),
                Ok(()) => {}
            }
        }
    }
    (n_cuts, losses)
}

fn place() -> Place {
    scene::place()
}

#[test]
fn power_cuts_lose_nothing_that_was_reported() {
    let place = place();
    let mut n = 0;
    for verb in VERBS {
        let trial = Trial::new(&place, verb);
        let (n_cuts, losses) = losses(&trial, 6, None);
        assert!(losses.is_empty(), "{losses:#?}");
        n += n_cuts;
    }
    println!("{n} power cuts, nothing lost");
}

/// The control: without syncing the log, which is what `synchronous=NORMAL` leaves out, the same loop loses something.
#[test]
fn power_cuts_without_syncing_the_log_lose_something() {
    let place = place();
    let trial = Trial::new(&place, Verb::Index);
    let (n_cuts, losses) = losses(&trial, times(6, 20), Some("-wal"));
    println!(
        "control: {} losses in {n_cuts} power cuts, such as: {:?}",
        losses.len(),
        losses.first()
    );
    assert!(losses.iter().any(|loss| loss.contains("were reported")), "{losses:?}");
}

/// What ended well is on the disk, down to the last name; what was forgotten is not.
#[test]
fn power_cuts_after_the_end_change_nothing() {
    let place = place();
    let mut random = Random::new(90);
    for verb in VERBS {
        let trial = Trial::new(&place, verb);
        let ended = powerless(&trial, Fault::NONE, Left::Nothing, &mut random);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(trial.state(), trial.whole, "{verb:?}");
        trial.site.is_well();
        if verb == Verb::Forget {
            assert!(!trial.site.has_bytes(b"m0042.png"));
            trial.reset();
            assert!(trial.site.has_bytes(b"m0042.png"), "the control");
        }
    }
}
