//! [`super::kernel`] with NEON.
#![expect(unsafe_code, reason = "loads from memory are unsafe by nature")]

use std::arch::aarch64::{
    vaddvq_s32, vdupq_n_s32, vget_high_s8, vget_low_s8, vld1q_s8, vmlal_s8, vmull_s8, vpadalq_s16,
};

/// See [`super::kernel::Kernel::dot`].
///
/// Two products of at most 127 · 127 stay below the 32,767 that 16 bits hold.
#[inline]
pub(super) fn dot(a: &[i8], b: &[i8]) -> i32 {
    assert_eq!(a.len(), b.len());
    // SAFETY: every aarch64 has NEON; 16 components from `at` lie within both slices.
    unsafe {
        let mut sum = vdupq_n_s32(0);
        for at in (0..a.len() / 16).map(|block| block * 16) {
            let (a, b) = (vld1q_s8(a.as_ptr().add(at)), vld1q_s8(b.as_ptr().add(at)));
            let low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
            sum = vpadalq_s16(sum, vmlal_s8(low, vget_high_s8(a), vget_high_s8(b)));
        }
        vaddvq_s32(sum)
    }
}
