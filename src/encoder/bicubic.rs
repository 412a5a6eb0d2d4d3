//! Bicubic resizing, bit for bit as in Pillow (`src/libImaging/Resample.c` up to version 12).
//!
//! The resizing crate's byte code rounds the weights to 16 bits, and the negative lobes of this filter make its errors larger
//! than 1/255; bytes between the two passes are a part of what published models were trained on.

/// Weights are integers with so many bits after the point.
const BITS: u32 = 22;
/// Pixels on each side of the centre that count, before antialiasing.
const SUPPORT: f64 = 2.0;

/// The source pixels of one target pixel and their weights.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

/// A picture `[height, width, 3]` with rows of another width. Cost: 3 multiplications for each row, target pixel and weight; there
/// are 4 weights, and 4 times the reduction where it shrinks.
pub(super) fn narrowed(rgb: &[u8], width: usize, to: usize) -> Vec<u8> {
    let windows = windows(width, to);
    let mut out = Vec::with_capacity(rgb.len() / width * to);
    for row in rgb.chunks_exact(width * 3) {
        for window in &windows {
            let mut sums = [1i32 << (BITS - 1); 3];
            for (pixel, weight) in row[window.start * 3..].chunks_exact(3).zip(&window.weights) {
                for (sum, &byte) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(byte) * weight;
                }
            }
            out.extend(sums.map(byte));
        }
    }
    out
}

/// A picture whose rows have so many bytes, with another number of rows.
pub(super) fn shortened(rgb: &[u8], row_bytes: usize, to: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(row_bytes * to);
    let mut sums = vec![0i32; row_bytes];
    for window in windows(rgb.len() / row_bytes, to) {
        sums.fill(1 << (BITS - 1));
        let rows = rgb[window.start * row_bytes..].chunks_exact(row_bytes);
        for (row, weight) in rows.zip(window.weights) {
            for (sum, &byte) in sums.iter_mut().zip(row) {
                *sum += i32::from(byte) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| byte(sum)));
    }
    out
}

/// Without the bits after the point, within a byte.
fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// `precompute_coeffs` and `normalize_coeffs_8bpc` of the reference.
fn windows(from: usize, to: usize) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = SUPPORT * stretch;
    let window = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        // Casts cut towards zero, and a negative start is 0, as in the reference.
        let start = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weight = |x: usize| cubic((x as f64 - centre + 0.5) * (1.0 / stretch));
        let weights: Vec<f64> = (start..end).map(weight).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |weight: &f64| {
            let scaled = weight * (1.0 / total) * f64::from(1 << BITS);
            (scaled + 0.5f64.copysign(scaled)) as i32
        };
        Window { start, weights: weights.iter().map(fixed).collect() }
    };
    (0..to).map(window).collect()
}

/// Keys 1981 with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values: Pillow 12.3 `Image.resize((4, 3), BICUBIC)` of a 7×5 picture.
    #[test]
    fn values_equal_pillow() {
        let rgb: Vec<u8> = (0..7 * 5 * 3).map(|i: u32| (i * i * 7 + i * 31) as u8).collect();
        let found = shortened(&narrowed(&rgb, 7, 4), 4 * 3, 3);
        assert_eq!(found, REDUCED);
        let found = shortened(&narrowed(&rgb, 7, 9), 9 * 3, 6);
        assert_eq!(found[..27], ENLARGED_FIRST_ROW);
    }

    const REDUCED: [u8; 36] = [
        114, 130, 91, 115, 128, 165, 139, 148, 129, 129, 158, 150, 127, 169, 79, 135, 119, 111,
        129, 80, 129, 161, 83, 133, 51, 181, 135, 125, 153, 126, 196, 83, 113, 187, 132, 97,
    ];
    const ENLARGED_FIRST_ROW: [u8; 27] = [
        0, 21, 92, 101, 190, 69, 186, 160, 120, 170, 69, 193, 79, 251, 162, 81, 71, 17, 201, 158,
        151, 183, 190, 218, 0, 31, 79,
    ];
}
