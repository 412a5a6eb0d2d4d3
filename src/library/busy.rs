//! How long the stages of a run were at work, so that whoever waits sees what for.

use std::time::{Duration, Instant};

/// How long each stage of [`super::Library::index`] was at work.
///
/// Reading, decoding and resizing are summed over [`Busy::n_threads`] threads, which work beside the one of all other stages.
/// When `wait` is long those threads are the bottleneck; when it is short the encoder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Looking for files.
    pub scan: Duration,
    /// Reading files and hashing their content; members of tars are only hashed here.
    pub read: Duration,
    /// From bytes to pixels.
    pub decode: Duration,
    /// From pixels to what the model reads.
    pub resize: Duration,
    /// Waiting for the three above.
    pub wait: Duration,
    /// Pictures and texts through the model.
    pub encode: Duration,
    /// Making batches durable.
    pub write: Duration,
    /// Snapshots for searching.
    pub snapshot: Duration,
    /// From the first to the last.
    pub total: Duration,
    /// Threads that read, decode and resize.
    pub n_threads: usize,
}

impl Busy {
    /// Adds what pictures took on the threads, and how long was waited for them.
    pub(super) fn add_pictures(&mut self, pictures: &Self) {
        self.read += pictures.read;
        self.decode += pictures.decode;
        self.resize += pictures.resize;
        self.wait += pictures.wait;
        self.n_threads = self.n_threads.max(pictures.n_threads);
    }
}

/// Does something and adds how long it took.
pub(super) fn timed<T>(spent: &mut Duration, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = run();
    *spent += began.elapsed();
    done
}
