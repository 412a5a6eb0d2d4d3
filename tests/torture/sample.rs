//! How much is tried: a sample, or everything.

use std::env;

/// Numbers of a small generator (xorshift), which are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// Of the seed that was asked for; `salt` makes the loops differ.
    pub(crate) fn new(salt: u64) -> Self {
        Self((seed() ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)).max(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `n`, without `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// What a failure must name so that it can be repeated.
pub(crate) fn seed() -> u64 {
    let text = env::var("MMSEARCH_TORTURE_SEED").ok();
    text.map_or(7, |text| text.parse().expect("MMSEARCH_TORTURE_SEED is a number"))
}

/// Whether everything is tried.
pub(crate) fn is_long() -> bool {
    env::var_os("MMSEARCH_TORTURE").is_some()
}

/// So many of something: the first for the short form, the second for the long one.
pub(crate) fn times(short: u64, long: u64) -> u64 {
    if is_long() { long } else { short }
}

/// Places from 1 to `n`: each in the long form, else about `n_wanted` at even steps from a random first one.
pub(crate) fn places(n: u64, n_wanted: u64, random: &mut Random) -> Vec<u64> {
    let step = if is_long() { 1 } else { n.div_ceil(n_wanted).max(1) };
    (1 + random.below(step)..=n).step_by(step as usize).collect()
}
