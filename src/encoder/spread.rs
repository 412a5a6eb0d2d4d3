//! A batch of pictures on all processors, a part of it on each.
//!
//! libtorch's own threads meet after every layer and spin while they wait for one another. That is the shortest way for a single
//! picture, but in a pipeline other threads decode meanwhile: then the spinning takes the processor from the one that is
//! waited for. Threads that have a part of the batch to themselves never wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::embedding::Embedding;
use crate::error::Result;

/// Pictures that one thread encodes at once. The maps of more do not stay in the processor's cache (`mini` takes 6 % longer with 8),
/// with fewer the matrices of a transformer become too small to be multiplied fast (ViT-B/32 takes 30 % longer with 2).
const MOST_AT_ONCE: usize = 4;

/// How many copies of a model a batch can be spread over: as many as libtorch has threads, which heeds `OMP_NUM_THREADS`.
pub(crate) fn n_threads(device: tch::Device) -> usize {
    match device {
        tch::Device::Cpu => usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1),
        // A card takes a batch as a whole.
        tch::Device::Cuda(_) | tch::Device::Mps | tch::Device::Vulkan => 1,
    }
}

/// Encodes parts of a batch, each on a thread with a copy of its own; embeddings keep their order. With a single copy, or for a
/// single picture, all is done on the calling thread, where libtorch may use its own.
pub(crate) fn spread<M: Send, T: Sync>(
    copies: &mut [M],
    batch: &[T],
    encode: impl Fn(&M, &[T]) -> Result<Vec<Embedding>> + Sync,
) -> Result<Vec<Embedding>> {
    let size = batch.len().div_ceil(copies.len()).clamp(1, MOST_AT_ONCE);
    let parts: Vec<&[T]> = batch.chunks(size).collect();
    if let ([copy], _) | ([copy, ..], [_]) = (&*copies, parts.as_slice()) {
        let parts: Result<Vec<_>> = parts.iter().map(|part| encode(copy, part)).collect();
        return Ok(parts?.into_iter().flatten().collect());
    }
    let (next, n_threads) = (AtomicUsize::new(0), tch::get_num_threads());
    let work = |copy: &mut M| {
        // Of this thread alone.
        tch::set_num_threads(1);
        let mut found = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(number) else { return found };
            found.push((number, encode(copy, part)));
        }
    };
    let work = &work;
    let mut found: Vec<_> = thread::scope(|scope| {
        let start = |copy| scope.spawn(move || work(copy));
        let threads: Vec<_> = copies.iter_mut().take(parts.len()).map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Vec<_>>| {
            thread.join().expect("what libtorch throws is caught where it is called")
        };
        threads.into_iter().flat_map(join).collect()
    });
    // A thread that uses libtorch for the first time takes the number that was set last.
    tch::set_num_threads(n_threads);
    found.sort_by_key(|(number, _)| *number);
    let parts: Result<Vec<Vec<Embedding>>> = found.into_iter().map(|(_, part)| part).collect();
    Ok(parts?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn rows(batch: &[f32]) -> Result<Vec<Embedding>> {
        batch.iter().map(|&x| Embedding::new(vec![x.cos(), x.sin()])).collect()
    }

    #[test]
    fn parts_of_any_number_keep_their_order() {
        for (n_copies, n) in [(1, 1), (3, 2), (2, 7), (3, 100)] {
            let batch: Vec<f32> = (0..n).map(|i| i as f32 / 100.0).collect();
            let found = spread(&mut vec![(); n_copies], &batch, |(), part| {
                assert!(part.len() <= MOST_AT_ONCE);
                assert!(n_copies == 1 || n == 1 || tch::get_num_threads() == 1);
                rows(part)
            });
            assert_eq!(found.unwrap(), rows(&batch).unwrap());
        }
    }

    #[test]
    fn the_callers_threads_stay_and_an_error_is_handed_on() {
        let before = tch::get_num_threads();
        let failed =
            spread(&mut [(), ()], &[0.0; 20], |(), _| Err(Error::Encoder { reason: "no".into() }));
        assert!(failed.unwrap_err().to_string().contains("no"));
        assert_eq!(tch::get_num_threads(), before);
    }
}
