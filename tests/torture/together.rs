//! Several processes on one library: one writes, many read, some are stuck.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::ext4::wait_until_stopped;
use crate::faults::{Fault, Watch};
use crate::sample::times;
use crate::scene::{self, Site, count};

/// What the log may grow to while readers come and go.
const MAX_WAL_BYTES: u64 = 64 << 20;

const INDEX: [&str; 3] = ["index", "photos", "photos/long.tar"];

#[test]
fn queries_are_answered_while_index_runs() {
    let place = scene::place_with(times(2_000, 20_000) as u32);
    let site = Site::new(&place);
    assert_eq!(site.run(&["index", "photos"]).code, Some(0));
    let mut command = site.program(&INDEX);
    let mut writer = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (is_over, n_queries, max_wal) =
        (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let status = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut n_before = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let (ended, hits) = site.answer(site.program(&[]));
                    let n = hits.map_or(0, |hits| count(&hits, "images"));
                    assert!(n >= n_before, "{n_before} were found before, now {n}: {ended:?}");
                    n_before = n;
                    n_queries.fetch_add(1, Ordering::SeqCst);
                    let wal = fs::metadata(site.library.join("catalog.db-wal"));
                    max_wal.fetch_max(wal.map_or(0, |wal| wal.len()), Ordering::SeqCst);
                }
            });
        }
        let status = writer.wait().unwrap();
        is_over.store(true, Ordering::SeqCst);
        status
    });
    assert!(status.success(), "{status:?}");
    let (n_queries, max_wal) = (n_queries.into_inner(), max_wal.into_inner());
    println!("{n_queries} queries, the log had {max_wal} bytes at most");
    assert!(n_queries >= 4 && max_wal > 0 && max_wal < MAX_WAL_BYTES, "{n_queries} {max_wal}");
    site.is_well();
}

/// A process that stands still at one of its calls.
struct Stuck(Child);

impl Stuck {
    fn at(mut command: Command, watch: &Watch, site: &Site<'_>, fault: Fault) -> Self {
        watch.arm(&mut command, &site.library, Fault { action: "stop", ..fault });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until_stopped(&mut child);
        assert_eq!(child.try_wait().unwrap(), None, "it stands still");
        Self(child)
    }

    /// Goes on, and ends well.
    fn go_on(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
        let status = self.0.wait().unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the middle of writing a batch the writer holds every lock that it ever holds.
#[test]
fn a_writer_that_is_stuck_keeps_nobody_from_reading() {
    let place = scene::place();
    let site = Site::new(&place);
    assert_eq!(site.run(&["index", "photos"]).code, Some(0));
    let before = site.hits(site.program(&[])).unwrap();
    let watch = Watch::new();
    let writer = Stuck::at(
        site.program(&INDEX),
        &watch,
        &site,
        Fault { kinds: Some("w"), at: 60, ..Fault::NONE },
    );
    assert!(watch.report().fired.ends_with("catalog.db-wal"), "{:?}", watch.report().fired);
    let now = site.hits(site.program(&[])).unwrap();
    assert!(before.iter().all(|(name, score)| now.get(name) == Some(score)));
    assert!(now.len() < 116, "{}", now.len());
    site.is_well();
    for arguments in [&INDEX[..], &["forget", "photos/f0.png"], &["reindex"]] {
        let second = site.run(arguments);
        assert_eq!(second.code, Some(4), "{arguments:?}: {second:?}");
        let holder = format!("(process {})", writer.0.id());
        assert!(
            second.stderr.lines().count() == 1 && second.stderr.contains(&holder),
            "{second:?}"
        );
    }
    writer.go_on();
    assert_eq!(site.hits(site.program(&[])).unwrap().len(), 116);
    site.is_well();
}

/// A reader that stands still within its transaction sees its state to the end; the writer goes on.
#[test]
fn a_reader_that_is_stuck_keeps_nobody_from_writing() {
    let place = scene::place();
    let site = Site::new(&place);
    assert_eq!(site.run(&["index", "photos"]).code, Some(0));
    let query = || site.program(&["query", "--text", "green", "--to", "any"]);
    let (watch, kinds) = (Watch::new(), Some("p"));
    let mut whole = query();
    watch.arm(&mut whole, &site.library, Fault { kinds, ..Fault::NONE });
    assert_eq!(scene::ended(&mut whole).code, Some(0));
    let calls = watch.report().calls;
    let last = calls.iter().rposition(|call| call.ends_with("catalog.db")).unwrap() as u64;
    let reader = Stuck::at(query(), &watch, &site, Fault { kinds, at: last + 1, ..Fault::NONE });
    let writer = site.run(&INDEX);
    assert_eq!(writer.code, Some(0), "{writer:?}");
    assert_eq!(site.hits(site.program(&[])).unwrap().len(), 116, "others see what is new");
    reader.go_on();
    site.is_well();
}
