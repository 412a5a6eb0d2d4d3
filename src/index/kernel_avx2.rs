//! [`super::kernel`] with AVX2 and FMA.
#![expect(unsafe_code, reason = "these instructions exist only where `is_there` says so")]

use std::arch::x86_64::{
    __m128i, __m256i, _MM_HINT_T0, _mm_add_epi32, _mm_add_ps, _mm_cvtsi128_si32, _mm_cvtss_f32,
    _mm_loadl_epi64, _mm_movehl_ps, _mm_prefetch, _mm_shuffle_epi32, _mm_shuffle_ps,
    _mm_storeu_si128, _mm256_abs_epi8, _mm256_add_epi32, _mm256_add_ps, _mm256_castps256_ps128,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_extractf128_ps,
    _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_hadd_epi32, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8,
};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Whether this machine has what the functions below need. The standard library remembers the answer.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// See [`super::kernel::Kernel::dot`]; only where [`is_there`].
#[inline]
pub(super) fn dot(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len());
    // SAFETY: `Kernel::Avx2` is made only where `is_there`, and both slices have the same length.
    unsafe { dot_unchecked(a, b) }
}

/// Dot products of one row with four others, which costs about two thirds of four by [`dot`].
#[inline]
pub(super) fn dot_4(a: &[i8], rows: [&[i8]; 4]) -> [i32; 4] {
    assert!(rows.iter().all(|row| row.len() == a.len()));
    // SAFETY: as in `dot`.
    unsafe { dot_4_unchecked(a, rows) }
}

/// See [`super::kernel::Kernel::dot_f32`]; only where [`is_there`].
#[inline]
pub(super) fn dot_f32(a: &[f32], b: &[i8]) -> f32 {
    assert_eq!(a.len(), b.len());
    // SAFETY: as in `dot`.
    unsafe { dot_f32_unchecked(a, b) }
}

/// Asks for all cache lines of a slice.
#[inline]
pub(super) fn prefetch<T>(values: &[T]) {
    let start = values.as_ptr().cast::<i8>();
    for offset in (0..size_of_val(values)).step_by(LINE) {
        // SAFETY: the address lies within the slice; a prefetch reads nothing in any case.
        unsafe { _mm_prefetch(start.add(offset), _MM_HINT_T0) };
    }
}

/// |a| · (b with the sign of a), so that one factor is unsigned as `maddubs` wants it: two products of at most
/// 127 · 128 stay below the 32,767 at which it would saturate.
///
/// # Safety
/// AVX2, and slices of one length; what lies behind the last whole 32 components is not looked at.
#[target_feature(enable = "avx2")]
unsafe fn dot_unchecked(a: &[i8], b: &[i8]) -> i32 {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); 2];
    let load = |slice: &[i8], at: usize| {
        // SAFETY: the callers below stay 32 bytes within the slice; the load needs no alignment.
        unsafe { _mm256_loadu_si256(slice.as_ptr().add(at).cast::<__m256i>()) }
    };
    let n_whole = a.len() / 32;
    for block in 0..n_whole {
        let (a, b) = (load(a, block * 32), load(b, block * 32));
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
        sums[block % 2] = _mm256_add_epi32(sums[block % 2], _mm256_madd_epi16(pairs, ones));
    }
    let sum = _mm256_add_epi32(sums[0], sums[1]);
    let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b00_00_11_10>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b00_00_00_01>(sum));
    _mm_cvtsi128_si32(sum)
}

/// The same for four rows: |a| is made once for all of them, and their lanes are added together.
///
/// # Safety
/// As for [`dot_unchecked`].
#[target_feature(enable = "avx2")]
unsafe fn dot_4_unchecked(a: &[i8], rows: [&[i8]; 4]) -> [i32; 4] {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); 4];
    for block in 0..a.len() / 32 {
        // SAFETY: 32 bytes from `block * 32` lie within all of the slices; the loads need no alignment.
        let load = |slice: &[i8]| unsafe {
            _mm256_loadu_si256(slice.as_ptr().add(block * 32).cast::<__m256i>())
        };
        let a = load(a);
        let size = _mm256_abs_epi8(a);
        for (sum, row) in sums.iter_mut().zip(rows) {
            let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(load(row), a));
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
        }
    }
    let [a, b, c, d] = sums;
    let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let mut dots = [0; 4];
    // SAFETY: 16 bytes are written to an array of 16; the store needs no alignment.
    unsafe { _mm_storeu_si128(dots.as_mut_ptr().cast::<__m128i>(), sums) };
    dots
}

/// # Safety
/// AVX2 and FMA, and slices of one length; what lies behind the last whole 32 components is not looked at.
#[target_feature(enable = "avx2,fma")]
unsafe fn dot_f32_unchecked(a: &[f32], b: &[i8]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    for block in 0..a.len() / 32 {
        for (lane, sum) in sums.iter_mut().enumerate() {
            let at = block * 32 + lane * 8;
            // SAFETY: 8 components from `at` lie within both slices; the loads need no alignment.
            let (a, b) = unsafe {
                (_mm256_loadu_ps(a.as_ptr().add(at)), _mm_loadl_epi64(b.as_ptr().add(at).cast()))
            };
            *sum = _mm256_fmadd_ps(a, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b)), *sum);
        }
    }
    let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
    let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    let sum = _mm_add_ps(sum, _mm_shuffle_ps::<0b01>(sum, sum));
    _mm_cvtss_f32(sum)
}
