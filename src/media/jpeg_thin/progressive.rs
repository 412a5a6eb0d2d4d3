//! A progressive JPEG without the scans that an eighth of its size does not show.

use super::frame::{self, Component, Frame, segment};
use crate::media::jpeg_end::next_marker;

/// Coefficients of a block.
const N_COEFFICIENTS: usize = 64;
/// That the bits of a coefficient are still to come.
const UNKNOWN: u8 = u8::MAX;
/// The symbol of blocks that end here, 2^14 and as many more as the 14 bits behind it say (G.1.2.2).
const LONGEST_RUN: u8 = 0xE0;
const N_BLOCKS_OF_RUN: usize = (1 << 15) - 1;

/// Leaves out every scan of a component of which only DC is shown, except those of DC, and says instead at the end that all other
/// coefficients are zero: a decoder guesses those of which it was told nothing.
///
/// `None` where the scans do not tell every coefficient to its last bit, for a decoder would have guessed there too.
pub(super) fn without_hidden_scans(jpeg: &[u8]) -> Option<Vec<u8>> {
    let mut thin = Vec::with_capacity(jpeg.len() / 2);
    thin.extend_from_slice(jpeg.get(..2)?);
    let mut frame: Option<Frame> = None;
    let mut told: Vec<Told> = Vec::new();
    let mut has_dc = false;
    let mut position = 2;
    while jpeg.get(position..position + 2)? != [0xFF, frame::END_OF_IMAGE] {
        let (kind, content, mut end) = segment(jpeg, position)?;
        let mut is_shown = true;
        match kind {
            frame::PROGRESSIVE if frame.is_none() => {
                let read = frame.insert(Frame::read(content)?);
                told = read.components.iter().map(|it| Told::nothing(read, it)).collect();
            }
            frame::START_OF_SCAN => {
                let (_, behind) = next_marker(jpeg, end)?;
                end = behind - 2;
                if let &[1, id, _, 1..=u8::MAX, _, _] = content {
                    let told = told.iter_mut().find(|it| it.id == id)?;
                    told.note(content)?;
                    is_shown = !told.is_hidden;
                } else {
                    has_dc |= usize::from(*content.first()?) == told.len();
                }
                // A decoder takes the tables of quantization as they are at a component's first scan.
                if !has_dc {
                    return None;
                }
            }
            frame::HUFFMAN_TABLES => {}
            _ if frame::is_of_no_concern(kind) => {}
            // Restarts among them, which would interrupt the scans of zeros.
            _ => return None,
        }
        if is_shown {
            thin.extend_from_slice(&jpeg[position..end]);
        }
        position = end;
    }
    for told in &told {
        told.is_complete().then_some(())?;
        if told.is_hidden {
            told.append_zeros(frame.as_ref()?, &mut thin)?;
        }
    }
    thin.extend_from_slice(&[0xFF, frame::END_OF_IMAGE]);
    Some(thin)
}

/// What the scans of a component told of its other coefficients; each of them has one component (G.1.1.1.1).
struct Told {
    id: u8,
    is_hidden: bool,
    /// For each coefficient the bits that are still to come.
    n_missing_bits: [u8; N_COEFFICIENTS],
}

impl Told {
    fn nothing(frame: &Frame, component: &Component) -> Self {
        Self {
            id: component.id,
            is_hidden: frame.shows_only_dc(component),
            n_missing_bits: [UNKNOWN; N_COEFFICIENTS],
        }
    }

    fn is_complete(&self) -> bool {
        self.n_missing_bits[1..].iter().all(|&bits| bits == 0)
    }

    /// The header of a scan ends with its first and last coefficient, and the bits that were and are missing (B.2.3).
    fn note(&mut self, scan: &[u8]) -> Option<()> {
        let &[.., first, last, bits] = scan else { return None };
        let (before, after) = (if bits >> 4 == 0 { UNKNOWN } else { bits >> 4 }, bits & 15);
        for missing in self.n_missing_bits.get_mut(first.into()..=last.into())? {
            if *missing != before {
                return None;
            }
            *missing = after;
        }
        Some(())
    }

    /// One scan in which all blocks end at once.
    fn append_zeros(&self, frame: &Frame, thin: &mut Vec<u8>) -> Option<()> {
        let component: &Component = frame.components.iter().find(|it| it.id == self.id)?;
        let table = [&[0xFF, frame::HUFFMAN_TABLES, 0, 20, 0x10, 1][..], &[0; 15], &[LONGEST_RUN]];
        thin.extend_from_slice(&table.concat());
        let (first, last) = (1, N_COEFFICIENTS as u8 - 1);
        let scan = [0xFF, frame::START_OF_SCAN, 0, 8, 1, self.id, 0, first, last, 0];
        thin.extend_from_slice(&scan);
        let n_runs = frame.n_blocks_alone(component).div_ceil(N_BLOCKS_OF_RUN);
        // The code is one zero; 14 ones follow it.
        let mut bits = std::iter::repeat_n([false].into_iter().chain([true; 14]), n_runs).flatten();
        while let Some(first) = bits.next() {
            let mut byte = u8::from(first);
            for _ in 1..8 {
                byte = byte << 1 | u8::from(bits.next().unwrap_or(true));
            }
            thin.push(byte);
            if byte == 0xFF {
                thin.push(0);
            }
        }
        Some(())
    }
}
