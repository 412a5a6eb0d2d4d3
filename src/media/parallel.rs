//! Decoding on all processors at once.

use std::thread;

/// Runs `make` for each index on all processors; results keep their order.
pub(crate) fn in_parallel<T: Send>(n: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let share = n.div_ceil(n_threads).max(1);
    thread::scope(|scope| {
        let make = &make;
        let range = |t: usize| (t * share).min(n)..((t + 1) * share).min(n);
        let threads: Vec<_> = (0..n_threads)
            .map(|t| scope.spawn(move || range(t).map(make).collect::<Vec<T>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("decoding catches its panics"))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        assert_eq!(in_parallel(7, |i| i * i), [0, 1, 4, 9, 16, 25, 36]);
        assert!(in_parallel(0, |i| i).is_empty());
    }
}
