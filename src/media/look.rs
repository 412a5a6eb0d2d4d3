//! How a picture looks, in 64 bits: copies that were rescaled, recompressed or brightened have nearly the same ones.
//!
//! It is the difference hash of Neal Krawetz ("Kind of Like That", hackerfactor.com, 2013): the picture shrunk to 9×8 shades of
//! grey, and for each pair of neighbours in a row whether the left one is darker. Pictures without any structure, such
//! as sheets of one colour, all look the same.

use crate::pixels::Pixels;

/// Shades compared in each row; one more than there are bits.
const COLUMNS: usize = 9;
const ROWS: usize = 8;

/// Up to this distance two pictures are taken for versions of one; Krawetz: "greater than 10 is likely a different image".
pub const SAME_LOOK: u32 = 10;

/// The difference hash of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look(pub u64);

impl Look {
    /// Shrinks a decoded picture and compares neighbours.
    pub fn of(pixels: &Pixels) -> Self {
        let mut bits = 0;
        for row in 0..ROWS {
            let shades: [u64; COLUMNS] = std::array::from_fn(|column| shade(pixels, column, row));
            for pair in shades.windows(2) {
                bits = bits << 1 | u64::from(pair[0] < pair[1]);
            }
        }
        Self(bits)
    }

    /// In how many of the 64 bits two looks differ.
    pub fn distance(self, other: Self) -> u32 {
        (self.0 ^ other.0).count_ones()
    }
}

/// The mean brightness of a cell of the grid, in thousandths of a shade so that rounding decides nothing.
fn shade(pixels: &Pixels, column: usize, row: usize) -> u64 {
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let (columns, rows) = (cell(column, COLUMNS, width), cell(row, ROWS, height));
    let n_pixels = (columns.len() * rows.len()) as u64;
    let mut sum = 0;
    for y in rows {
        let line = &pixels.rgb()[(y * width + columns.start) * 3..(y * width + columns.end) * 3];
        // The weights of ITU-R BT.601, in thousandths.
        sum += line
            .chunks_exact(3)
            .map(|rgb| 299 * u64::from(rgb[0]) + 587 * u64::from(rgb[1]) + 114 * u64::from(rgb[2]))
            .sum::<u64>();
    }
    sum / n_pixels
}

/// The pixels of a cell along one side; cells of a side with fewer pixels than cells share them.
fn cell(index: usize, n_cells: usize, n_pixels: usize) -> std::ops::Range<usize> {
    let start = index * n_pixels / n_cells;
    start..((index + 1) * n_pixels / n_cells).max(start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of `width × height` pixels of a pattern that is given for sides of length 1.
    fn drawn(width: u32, height: u32, shade: impl Fn(f64, f64) -> f64) -> Pixels {
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
                let value = shade(x / f64::from(width), y / f64::from(height)).clamp(0.0, 255.0);
                rgb.extend([value as u8, (value * 0.8) as u8, (value * 0.6) as u8]);
            }
        }
        Pixels::new(width, height, rgb).unwrap()
    }

    fn waves(x: f64, y: f64) -> f64 {
        100.0 + 60.0 * (7.0 * x + 3.0 * y).sin() + 30.0 * (11.0 * y - 4.0 * x).cos()
    }

    fn other_waves(x: f64, y: f64) -> f64 {
        100.0 + 60.0 * (5.0 * y - 9.0 * x).cos() + 30.0 * (13.0 * x).sin()
    }

    #[test]
    fn versions_of_a_picture_look_the_same() {
        let look = Look::of(&drawn(640, 480, waves));
        for version in [
            drawn(640, 480, |x, y| waves(x, y) + 40.0),
            drawn(640, 480, |x, y| waves(x, y) * 0.6),
            drawn(101, 77, waves),
            drawn(1280, 333, waves),
            drawn(640, 480, |x, y| waves(x, y) + ((x * 640.0) as i64 % 2) as f64 * 4.0),
        ] {
            let distance = look.distance(Look::of(&version));
            assert!(distance <= SAME_LOOK, "{distance}");
        }
    }

    #[test]
    fn other_pictures_look_different() {
        let look = Look::of(&drawn(640, 480, waves));
        for other in [
            drawn(640, 480, other_waves),
            drawn(640, 480, |x, y| waves(1.0 - x, y)),
            drawn(640, 480, |x, y| 255.0 - waves(x, y)),
        ] {
            let distance = look.distance(Look::of(&other));
            assert!(distance > 2 * SAME_LOOK, "{distance}");
        }
    }

    #[test]
    fn each_bit_is_a_pair_of_neighbours() {
        let rising: Vec<u8> = (0..8).flat_map(|_| (0..9u8).flat_map(|x| [x * 20; 3])).collect();
        assert_eq!(Look::of(&Pixels::new(9, 8, rising.clone()).unwrap()), Look(u64::MAX));
        let mut dark_corner = rising;
        dark_corner[3] = 0;
        dark_corner[4] = 0;
        dark_corner[5] = 0;
        let look = Look::of(&Pixels::new(9, 8, dark_corner).unwrap());
        assert_eq!(look, Look(u64::MAX >> 1));
        assert_eq!(look.distance(Look(u64::MAX)), 1);
        assert_eq!(Look::of(&Pixels::new(1, 1, vec![9; 3]).unwrap()), Look(0));
    }
}
