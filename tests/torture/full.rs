//! A disk that is full: a small one of its own, and one that fills up while a snapshot is written.

use crate::common::Place;
use crate::ext4::Mount;
use crate::faults::{ENOSPC, Fault, memory};
use crate::scene::{self, Site, ended};
use crate::verbs::{Trial, Verb};

/// The old snapshot stays in use where there is no room for the new one.
#[test]
fn no_room_for_a_snapshot_leaves_the_old_one() {
    let place = scene::place();
    let trial = Trial::new(&place, Verb::Grow);
    trial.reset();
    let snapshot = |site: &Site<'_>| {
        let status = &site.status()["snapshots"][0];
        (status["state"].clone(), status["generation"].clone(), status["newer"].clone())
    };
    let old = snapshot(&trial.site);
    assert_eq!(old.0, "current");
    let kinds = Some("ow");
    let (_, report) = trial.run(Fault { kinds, ..Fault::NONE });
    let first = report.calls.iter().position(|call| call.contains("snapshot-")).unwrap();
    for later in [0, 1, 3] {
        let at = (first + later) as u64 + 1;
        let fault = Fault { kinds, at, action: "fail-on", errno: ENOSPC, ..Fault::NONE };
        let (ended, report) = trial.run(fault);
        assert!(
            ended.code == Some(5) && report.fired.contains("snapshot-"),
            "{ended:?} {report:?}"
        );
        let name = report.fired.split_once(' ').unwrap().1;
        assert!(ended.stderr.contains(name) && ended.stderr.contains("No space left"), "{ended:?}");
        let now = snapshot(&trial.site);
        assert_eq!((&now.0, &now.1), (&old.0, &old.1), "the old one is in use");
        assert_eq!(now.2, scene::N_MEMBERS, "what is newer is compared one by one");
        assert_eq!(trial.state().hits, trial.whole.hits, "everything is found");
        trial.site.is_well();
        trial.completes(&format!("{later} calls later"));
    }
}

#[test]
fn a_disk_of_its_own_that_is_full() {
    let place = scene::place_with(400);
    let mut n_full = 0;
    for kilobytes in [64, 200, 400, 700, 1000, 1200] {
        let Some(disk) = Mount::memory(&place, 64 << 10) else { return };
        let site = Site { place: &place, library: disk.point().join("library") };
        let trial = Trial::at(site, Verb::Index);
        trial.reset();
        disk.resize(kilobytes);
        let ended = ended(&mut trial.command());
        let context = format!("{kilobytes} kB: {ended:?}");
        disk.resize(64 << 10);
        match ended.code {
            Some(0) => {}
            Some(5) => {
                n_full += 1;
                assert_eq!(ended.stderr.lines().count(), 1, "{context}");
                assert!(ended.stderr.contains(&*trial.site.library.to_string_lossy()), "{context}");
                trial.sound(&ended).unwrap_or_else(|reason| panic!("{reason}: {context}"));
            }
            _ => panic!("{context}"),
        }
        trial.completes(&context);
    }
    assert!(n_full > 2, "only {n_full} were full");
}

/// Where nothing can be mounted there is nothing to be tested.
impl Mount {
    fn memory(place: &Place, kilobytes: u64) -> Option<Self> {
        debug_assert!(place.root().starts_with(memory()));
        let size = format!("size={kilobytes}k");
        Self::new(place.root().join("full"), &["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    fn resize(&self, kilobytes: u64) {
        self.remount(&format!("size={kilobytes}k"));
    }
}
