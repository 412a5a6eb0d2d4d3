//! Reading, hashing, decoding and shrinking pictures on a few threads, in front of the one that encodes.
//!
//! The pool gives pictures back in the order in which they were handed in, so that a run over the same files
//! always makes the same library.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::busy::{Busy, timed};
use crate::encoder::{Encoder, Preprocess};
use crate::error::Error;
use crate::item::{ContentHash, ImageFacts, Source};
use crate::media::{self, Decoded, ExternalDecoder, Limits, Stat, Words};
use crate::pixels::Pixels;

/// Pictures that may be between being handed in and being taken out. A square of 224 pixels takes 150 KB.
pub(super) const WINDOW: u64 = 128;

/// Bytes of tar members that may wait in memory, unless a single one is larger.
const MAX_WAITING_BYTES: u64 = 128 << 20;

/// How pictures are read and made ready.
#[derive(Clone)]
pub(super) struct Preparation {
    preprocess: Preprocess,
    limits: Limits,
    external: Option<ExternalDecoder>,
}

impl Preparation {
    pub(super) fn new(
        encoder: &dyn Encoder,
        limits: Limits,
        external: Option<ExternalDecoder>,
    ) -> Self {
        Self { preprocess: encoder.preprocess().clone(), limits, external }
    }
}

/// A picture to be prepared.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) source: Source,
    pub(super) scan: i64,
    pub(super) size_bytes: u64,
    pub(super) modified_ns: Option<i64>,
    pub(super) input: Input,
    /// A content that was decoded before, and what was wrong with it.
    pub(super) known_failure: Option<(ContentHash, String)>,
}

/// Where a picture's bytes are.
#[derive(Debug)]
pub(super) enum Input {
    /// In the file of its source.
    File,
    /// Here.
    Bytes(Vec<u8>),
    /// Nowhere; it is known already that it cannot be used.
    Refused(String),
}

/// A picture that is ready to be encoded, or why it is not.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) source: Source,
    pub(super) scan: i64,
    pub(super) size_bytes: u64,
    pub(super) modified_ns: Option<i64>,
    pub(super) content_hash: Option<ContentHash>,
    pub(super) outcome: Outcome,
    /// How long it took to read, decode and resize.
    pub(super) busy: Busy,
}

/// What became of a picture.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It can be encoded.
    Ready {
        /// What the encoder reads.
        square: Pixels,
        /// What its file says.
        facts: Box<ImageFacts>,
        /// What its file says in words.
        words: Words,
        /// Why a part of it is missing, where one is.
        truncated: Option<String>,
    },
    /// It cannot be used.
    Failed(String),
    /// The file went between being found and being read.
    Vanished,
}

type Numbered<T> = (u64, T);

/// A few threads that prepare pictures.
pub(super) struct Pool {
    jobs: Option<SyncSender<Numbered<Job>>>,
    results: Receiver<Numbered<Prepared>>,
    threads: Vec<JoinHandle<()>>,
    waiting: BTreeMap<u64, Prepared>,
    n_in: u64,
    n_out: u64,
    waiting_bytes: u64,
    busy: Busy,
}

impl Pool {
    pub(super) fn start(preparation: Preparation) -> Self {
        // Both channels hold the whole window, so that neither side ever waits for the other to make room.
        let (jobs, inbox) = sync_channel::<Numbered<Job>>(WINDOW as usize);
        let (outbox, results) = sync_channel(WINDOW as usize);
        let inbox = Arc::new(Mutex::new(inbox));
        // Each thread may hold a picture of the largest size.
        let n_threads = thread::available_parallelism().map_or(1, NonZero::get).min(8);
        let threads = (0..n_threads)
            .map(|_| {
                let (inbox, outbox) = (Arc::clone(&inbox), outbox.clone());
                let preparation = preparation.clone();
                thread::spawn(move || work(&inbox, &outbox, &preparation))
            })
            .collect();
        Self {
            jobs: Some(jobs),
            results,
            threads,
            waiting: BTreeMap::new(),
            n_in: 0,
            n_out: 0,
            waiting_bytes: 0,
            busy: Busy { n_threads, ..Busy::default() },
        }
    }

    /// What the pictures that were taken out took, and how long was waited for them.
    pub(super) fn busy(&self) -> &Busy {
        &self.busy
    }

    /// Whether something must be taken out before more is handed in.
    pub(super) fn is_full(&self) -> bool {
        self.n_waiting() >= WINDOW || self.waiting_bytes > MAX_WAITING_BYTES
    }

    /// Pictures that were handed in and not yet taken out.
    pub(super) fn n_waiting(&self) -> u64 {
        self.n_in - self.n_out
    }

    /// Hands a picture in; the pool must not be full.
    pub(super) fn submit(&mut self, job: Job) {
        if let Input::Bytes(bytes) = &job.input {
            self.waiting_bytes += bytes.len() as u64;
        }
        let jobs = self.jobs.as_ref().expect("jobs are open until the pool is dropped");
        jobs.send((self.n_in, job)).expect("threads catch panics and live as long as the pool");
        self.n_in += 1;
    }

    /// The next picture in the order of handing in; `None` if all are taken.
    pub(super) fn take(&mut self) -> Option<Prepared> {
        if self.n_waiting() == 0 {
            return None;
        }
        let prepared = loop {
            if let Some(prepared) = self.waiting.remove(&self.n_out) {
                break prepared;
            }
            let (number, prepared) = timed(&mut self.busy.wait, || self.results.recv())
                .expect("threads catch panics and live as long as the pool");
            self.waiting.insert(number, prepared);
        };
        self.n_out += 1;
        self.busy.add_pictures(&prepared.busy);
        if matches!(prepared.source, Source::TarMember { .. }) {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(prepared.size_bytes);
        }
        Some(prepared)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A thread catches its panics; were there one all the same, dropping must not add another.
            let _ = thread.join();
        }
    }
}

fn work(
    inbox: &Mutex<Receiver<Numbered<Job>>>,
    outbox: &SyncSender<Numbered<Prepared>>,
    preparation: &Preparation,
) {
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, job)) = job else { return };
        if outbox.send((number, prepare(job, preparation))).is_err() {
            return;
        }
    }
}

/// Prepares one picture on the calling thread.
pub(super) fn prepare(job: Job, preparation: &Preparation) -> Prepared {
    let Job { source, scan, mut size_bytes, mut modified_ns, input, known_failure } = job;
    let (mut busy, mut content_hash) = (Busy::default(), None);
    let outcome = match timed(&mut busy.read, || read(input, &source, &preparation.limits)) {
        Ok(content) => {
            content_hash = Some(content.hash);
            if let Some(stat) = content.stat {
                (size_bytes, modified_ns) = (stat.size_bytes, Some(stat.modified_ns));
            }
            match known_failure {
                Some((hash, reason)) if hash == content.hash => Outcome::Failed(reason),
                Some(_) | None => decode(&source, &content.bytes, preparation, &mut busy),
            }
        }
        Err(Unread::Refused(reason)) => Outcome::Failed(reason),
        Err(Unread::Vanished) => Outcome::Vanished,
    };
    Prepared { source, scan, size_bytes, modified_ns, content_hash, outcome, busy }
}

/// The bytes of a picture; where they are a file of their own, its state.
struct Content {
    bytes: Vec<u8>,
    hash: ContentHash,
    stat: Option<Stat>,
}

/// Why there are no bytes.
enum Unread {
    Refused(String),
    Vanished,
}

fn read(input: Input, source: &Source, limits: &Limits) -> Result<Content, Unread> {
    let (bytes, stat) = match (input, source) {
        (Input::Refused(reason), _) => return Err(Unread::Refused(reason)),
        (Input::Bytes(bytes), _) => (bytes, None),
        (Input::File, Source::File { path }) => {
            let (bytes, stat) = media::read_regular(path, limits).map_err(unreadable)?;
            (bytes, Some(stat))
        }
        (
            Input::File,
            Source::TarMember { .. } | Source::ManifestRow { .. } | Source::Inline { .. },
        ) => return Err(Unread::Refused("it has no file of its own".into())),
    };
    let hash = ContentHash(*blake3::hash(&bytes).as_bytes());
    Ok(Content { bytes, hash, stat })
}

fn decode(source: &Source, bytes: &[u8], how: &Preparation, busy: &mut Busy) -> Outcome {
    let Preparation { preprocess, limits, external } = how;
    let detail = preprocess.detail();
    let prepare = || {
        let decoded = timed(&mut busy.decode, || match source {
            Source::File { path } => {
                media::decode_file(path, bytes, limits, detail, external.as_ref())
            }
            // A tar is not read again when there is a decoder that there was not before, so that none is asked.
            Source::TarMember { .. } | Source::ManifestRow { .. } | Source::Inline { .. } => {
                media::decode(bytes, limits, detail)
            }
        })?;
        let square = timed(&mut busy.resize, || preprocess.apply(&decoded.pixels));
        let square = square.map_err(|error| error.to_string())?;
        let Decoded { facts, words, truncated, .. } = decoded;
        let facts = Box::new(facts);
        Ok(Outcome::Ready { square, facts, words, truncated })
    };
    catch_unwind(AssertUnwindSafe(prepare))
        .unwrap_or_else(|_| Err("preparing it failed; please report this picture".to_string()))
        .unwrap_or_else(Outcome::Failed)
}

/// The path is named by whoever lists the reason.
fn unreadable(error: Error) -> Unread {
    if let Error::Io { action, error, .. } = error {
        return match error.kind() == std::io::ErrorKind::NotFound {
            true => Unread::Vanished,
            false => Unread::Refused(format!("cannot {action} it: {error}")),
        };
    }
    if let Error::BadImage { reason, .. } | Error::BadInput { reason, .. } = error {
        return Unread::Refused(reason);
    }
    Unread::Refused(error.to_string())
}
