//! The inner loops of searching: dot products of int8 codes, by the instructions that this machine has.
//!
//! The plain forms are the oracle of the tests and the fallback; `kernel_avx2` and `kernel_neon` are the only
//! other files of the search that need unsafe code.

#[cfg(target_arch = "x86_64")]
use super::kernel_avx2 as avx2;
#[cfg(target_arch = "aarch64")]
use super::kernel_neon as neon;

/// Rows of codes are padded with zeros to a multiple of this many components.
pub(super) const LANES: usize = 32;

/// How many rows are compared at a time, while the next ones are on their way from memory: four of 512 bytes are about
/// what a core can have under way.
pub(super) const ROWS_AHEAD: usize = 4;

/// Which instructions to use: chosen once, when codes are made or mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// None in particular.
    #[cfg_attr(target_arch = "aarch64", expect(dead_code, reason = "there is always NEON"))]
    Plain,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON, which every aarch64 has.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// The fastest that this machine has.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if avx2::is_there() {
            return Self::Avx2;
        }
        #[cfg(target_arch = "aarch64")]
        return Self::Neon;
        #[cfg(not(target_arch = "aarch64"))]
        Self::Plain
    }

    /// Dot product of two rows of codes, each -127 to 127; their length is a multiple of [`LANES`].
    ///
    /// Rows of up to 100,000 components do not overflow.
    #[inline]
    pub(super) fn dot(self, a: &[i8], b: &[i8]) -> i32 {
        debug_assert!(a.len() == b.len() && a.len().is_multiple_of(LANES));
        match self {
            Self::Plain => dot_plain(a, b),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::dot(a, b),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::dot(a, b),
        }
    }

    /// Dot products of one row with [`ROWS_AHEAD`] others, see [`Kernel::dot`].
    #[inline]
    fn dot_4(self, a: &[i8], rows: [&[i8]; ROWS_AHEAD]) -> [i32; ROWS_AHEAD] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::dot_4(a, rows),
            _ => rows.map(|row| self.dot(a, row)),
        }
    }

    /// Dot product of numbers with a row of codes of the same length, a multiple of [`LANES`].
    #[inline]
    pub(super) fn dot_f32(self, a: &[f32], b: &[i8]) -> f32 {
        debug_assert!(a.len() == b.len() && a.len().is_multiple_of(LANES));
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::dot_f32(a, b),
            // The compiler vectorises the plain form with what every aarch64 has.
            _ => dot_f32_plain(a, b),
        }
    }

    /// The dot product of `query` with each of the rows in `nodes`, which must be rows of `rows`.
    ///
    /// Rows are far apart in memory, so they are asked for ahead of their turn.
    #[inline]
    pub(super) fn dot_each(self, query: &[i8], rows: &[i8], nodes: &[u32], dots: &mut [i32]) {
        let row = |node: u32| {
            let start = node as usize * query.len();
            &rows[start..start + query.len()]
        };
        let expect = |nodes: &[u32]| {
            nodes.iter().take(ROWS_AHEAD).for_each(|&node| self.prefetch(row(node)));
        };
        expect(nodes);
        let mut rest = nodes;
        let mut dots = dots.iter_mut();
        while let Some((&group, ahead)) = rest.split_first_chunk::<ROWS_AHEAD>() {
            expect(ahead);
            let found = self.dot_4(query, group.map(row));
            // The array comes first: a zip takes from its first half before it sees that the second is over.
            found.into_iter().zip(dots.by_ref()).for_each(|(dot, slot)| *slot = dot);
            rest = ahead;
        }
        dots.zip(rest).for_each(|(slot, &node)| *slot = self.dot(query, row(node)));
    }

    /// Asks for bytes that will be needed soon.
    #[inline]
    pub(super) fn prefetch<T>(self, values: &[T]) {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx2 {
            avx2::prefetch(values);
        }
        // Stable Rust has no such instruction elsewhere.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = values;
    }
}

fn dot_plain(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// Summed in lanes, so that the compiler can vectorise it.
fn dot_f32_plain(a: &[f32], b: &[i8]) -> f32 {
    let mut lanes = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * f32::from(b[lane]);
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::testing::Nodes;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_the_plain_form(n_blocks in 0usize..40, seed: u64, extreme: bool) {
            let codes = |seed: u64| -> Vec<i8> {
                let noise = Nodes::clustered(1, n_blocks * LANES + 1, 1, seed).vectors;
                let code = |value: &f32| {
                    if extreme { 127.0f32.copysign(*value) } else { value * 1e5 % 127.0 }
                };
                noise[1..].iter().map(|value| code(value) as i8).collect()
            };
            let (a, b) = (codes(seed), codes(seed ^ 1));
            let kernel = Kernel::detect();
            prop_assert_eq!(kernel.dot(&a, &b), dot_plain(&a, &b));
            prop_assert_eq!(kernel.dot(&a, &a), dot_plain(&a, &a));
            let numbers: Vec<f32> = a.iter().map(|&code| f32::from(code) / 100.0).collect();
            let exact: f64 = numbers.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let size: f64 = numbers.iter().zip(&b).map(|(&a, &b)| (f64::from(a) * f64::from(b)).abs()).sum();
            prop_assert!((f64::from(kernel.dot_f32(&numbers, &b)) - exact).abs() <= 1e-5 * size);
            prop_assert!((f64::from(dot_f32_plain(&numbers, &b)) - exact).abs() <= 1e-5 * size);
        }
    }

    #[test]
    fn each_row_gets_its_own_product() {
        let rows: Vec<i8> = (0..20 * LANES).map(|i| (i % 251) as u8 as i8).collect();
        let query: Vec<i8> = (0..LANES).map(|i| i as i8 - 9).collect();
        let nodes = [19, 0, 7, 7, 3, 12, 1];
        let mut dots = [0; 9];
        Kernel::detect().dot_each(&query, &rows, &nodes, &mut dots);
        let expected = nodes.map(|node| dot_plain(&query, &rows[node as usize * LANES..][..LANES]));
        assert_eq!(dots[..7], expected);
        assert_eq!(dots[7..], [0, 0]);
    }
}
