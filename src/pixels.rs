//! A decoded picture, the form in which `media` hands pictures to an encoder.
//!
//! It lives in the core because `media` and `encoder` may not know each other.

use crate::error::{Error, Result};

/// Raised by every change after which the same file gives other pixels: those give other vectors, so it is a part of every
/// fingerprint. 1: libjpeg-turbo, scaled down where the model says so.
#[cfg_attr(not(feature = "torch"), expect(dead_code, reason = "fingerprints are torch's"))]
pub(crate) const DECODER_REVISION: u32 = 1;

/// How much of a picture its reader needs. A decoder that is faster without the rest may leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    Full,
    /// So many pixels along the shorter side, or as many as there are.
    ShorterSide(u32),
}

/// A picture in 8-bit RGB, rows from the top, no padding: `height × width × 3` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Pixels {
    /// Takes interleaved RGB bytes.
    ///
    /// # Errors
    /// [`Error::BadPixels`] if a side is 0 or the length is not `width · height · 3`.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self> {
        let expected = u64::from(width) * u64::from(height) * 3;
        if expected == 0 || rgb.len() as u64 != expected {
            return Err(Error::BadPixels { width, height, n_bytes: rgb.len() });
        }
        Ok(Self { width, height, rgb })
    }

    /// Columns, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Gives the bytes away, `[height, width, 3]`.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }
}
