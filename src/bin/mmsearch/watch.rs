//! `mmsearch index --watch`: indexes again whenever something has changed.
//!
//! Events only say that there is something to be seen: what it is, a run of `index` over all roots finds out. So a lost
//! event costs nothing as long as another one comes, a flood is one event, and a run after events gives what a run by hand
//! would. Looking at 100,000 files that are as they were takes about a second. The lock of the writer is taken for each run,
//! so that others may write between them.
//!
//! It lives here because the library takes no threads and no events from outside: for it, this is calls of `index`.

mod debounce;
mod places;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use mmsearch::library::{Library, LibraryOptions, Report};
use mmsearch::{Error, ErrorKind};

use self::debounce::Debounce;
use self::places::Places;
use crate::cli::Cli;
use crate::cli::keep::IndexArgs;
use crate::exit::{Exit, tell};
use crate::index::Session;
use crate::output::escaped;
use crate::place;
use crate::progress::Interrupt;

/// Signals that may wait. One is enough to know that something has changed.
const MAX_SIGNALS: usize = 64;

/// How often it is looked whether the roots are still the directories that they were: mounting gives no event.
const TICK: Duration = Duration::from_secs(2);

/// How soon a library is tried again that somebody else writes to.
const LOCKED: Duration = Duration::from_secs(2);

/// How soon a run is tried again that failed for want of space or the like.
const FAILED: Duration = Duration::from_secs(30);

/// How often everything is looked at where not all of it can be listened to.
const RESCAN: Duration = Duration::from_secs(60);

/// What the waiting loop is woken by.
enum Signal {
    Changed,
    /// Something cannot be listened to.
    Trouble(String),
    /// Ctrl-C; what counts is the flag of [`Interrupt`].
    Stop,
}

struct Watch<'a> {
    session: Session<'a>,
    dir: PathBuf,
    options: LibraryOptions,
    roots: Vec<PathBuf>,
    places: Places,
    debounce: Debounce,
    began: Instant,
    /// Whether changes may be missed.
    is_deaf: bool,
    /// The last report that was told.
    told: Option<Report>,
    /// What was said once and does not hold any more only when it is taken out.
    said: BTreeSet<String>,
}

pub(crate) fn run(cli: &Cli, arguments: &IndexArgs) -> Result<Exit> {
    let (signal, signals) = sync_channel(MAX_SIGNALS);
    let waker = signal.clone();
    let interrupt = Interrupt::install_with(move || {
        let _is_awake = waker.try_send(Signal::Stop);
    })?;
    let (dir, options) = (place::library(cli)?, place::options(cli));
    let roots: Vec<PathBuf> =
        arguments.paths.iter().map(|root| resolved(root)).collect::<std::io::Result<_>>()?;
    let places = Places::new(&roots, &resolved(&dir)?, signal)?;
    let mut watch = Watch {
        session: Session::start(cli, arguments, interrupt)?,
        dir,
        options,
        roots,
        places,
        debounce: Debounce::default(),
        began: Instant::now(),
        is_deaf: false,
        told: None,
        said: BTreeSet::new(),
    };
    // Listened to before the first run, so that nothing falls between.
    watch.renew();
    watch.debounce.run_at(Duration::ZERO);
    watch.go_on(&signals)
}

/// The path without links where it is there; where it is not, at least from the root.
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|_| {
        let path = std::path::absolute(path)?;
        let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
        Ok(parent.zip(path.file_name()).map_or(path.clone(), |(dir, name)| dir.join(name)))
    })
}

impl Watch<'_> {
    fn go_on(&mut self, signals: &Receiver<Signal>) -> Result<Exit> {
        let (mut next_look, mut next_rescan) = (TICK, RESCAN);
        loop {
            if self.session.is_interrupted() {
                return Ok(Exit::Interrupted);
            }
            let now = self.began.elapsed();
            if self.debounce.is_due(now) {
                self.debounce.begin();
                self.index()?;
                let then = self.began.elapsed();
                self.debounce.end(then, then - now);
                continue;
            }
            if now >= next_look {
                next_look = now + TICK;
                self.renew();
            }
            if self.is_deaf && now >= next_rescan {
                next_rescan = now + RESCAN;
                self.debounce.note(now);
            }
            let until = self.debounce.due_at().map_or(next_look, |due| due.min(next_look));
            match signals.recv_timeout(until.saturating_sub(now)) {
                Ok(signal) => self.take(signal),
                // The sender lives as long as the places.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Changed => self.debounce.note(self.began.elapsed()),
            Signal::Trouble(reason) => self.become_deaf(&reason),
            Signal::Stop => {}
        }
    }

    fn renew(&mut self) {
        let mut troubles = Vec::new();
        if self.places.renew(|reason| troubles.push(reason)) {
            self.debounce.note(self.began.elapsed());
        }
        troubles.iter().for_each(|reason| self.become_deaf(reason));
    }

    fn become_deaf(&mut self, reason: &str) {
        self.is_deaf = true;
        let seconds = RESCAN.as_secs();
        self.say(&format!(
            "warning: looking every {seconds} s, since not all can be watched: {reason}"
        ));
        self.debounce.note(self.began.elapsed());
    }

    /// Says something that is so for a while, once.
    fn say(&mut self, line: &str) {
        if self.said.insert(line.into()) {
            tell(line);
        }
    }

    /// One run. What a later one may do better is told; what it cannot is an error, and so is nearly everything before the
    /// first run has ended well.
    fn index(&mut self) -> Result<()> {
        let is_first = self.told.is_none();
        let error = match self.try_index(is_first) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let now = self.began.elapsed();
        match error.downcast_ref::<Error>() {
            Some(error) if error.kind() == ErrorKind::Locked => {
                self.say(&format!("waiting: {error}"));
                self.debounce.run_at(now + LOCKED);
                Ok(())
            }
            Some(error) if error.kind() == ErrorKind::Io && !is_first => {
                self.say(&format!("mmsearch: {error}; trying again"));
                self.debounce.run_at(now + FAILED);
                Ok(())
            }
            Some(_) | None => Err(error),
        }
    }

    fn try_index(&mut self, is_first: bool) -> Result<()> {
        let mut library = Library::create_or_open(&self.dir, self.options)?;
        if !is_first {
            // Told by the first run.
            library.take_warnings();
        }
        self.said.retain(|line| !line.starts_with("waiting: "));
        let mut roots = self.roots.clone();
        if !is_first {
            roots.retain(|root| root.exists());
        }
        let report = loop {
            // An empty list has nothing to say, but would write a snapshot of what is there.
            if roots.is_empty() {
                break None;
            }
            match self.session.index(&mut library, &roots) {
                Ok(report) => break Some(report),
                Err(error) => match error.downcast_ref::<Error>() {
                    Some(Error::MissingRoot { root: missing, .. }) if !is_first => {
                        let n_before = roots.len();
                        roots.retain(|root| root != missing && root.parent() != Some(missing));
                        if roots.len() == n_before {
                            return Err(error);
                        }
                    }
                    Some(_) | None => return Err(error),
                },
            }
        };
        drop(library);
        self.say_what_is_missing(&roots);
        match report {
            Some(report) => self.tell(report, is_first),
            None => Ok(()),
        }
    }

    fn say_what_is_missing(&mut self, there: &[PathBuf]) {
        for root in self.roots.clone() {
            let root_name = escaped(&root);
            let line = format!(
                "{root_name} is missing or empty; what is known of it stays (`mmsearch forget` takes it out)"
            );
            if there.contains(&root) {
                self.said.remove(&line);
            } else {
                self.say(&line);
            }
        }
    }

    /// A script hears of every run, a person of those that did something.
    fn tell(&mut self, report: Report, is_first: bool) -> Result<()> {
        self.said.retain(|line| !line.starts_with("mmsearch: "));
        let is_news = self.told.as_ref().is_none_or(|told| is_news(told, &report));
        self.session.report(&report, is_news)?;
        if is_first {
            tell("watching for changes; Ctrl-C ends it");
        }
        self.told = Some(report);
        Ok(())
    }
}

/// Whether a run changed anything, or found other things wrong than the one before.
fn is_news(before: &Report, now: &Report) -> bool {
    let has_changed = [now.images, now.texts]
        .iter()
        .any(|tally| tally.added + tally.updated + tally.moved + tally.forgotten > 0);
    has_changed || (&before.skipped, &before.truncated) != (&now.skipped, &now.truncated)
}
