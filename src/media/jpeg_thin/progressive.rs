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
/// `None` where the scans left out do not tell every coefficient to its last bit, for a decoder would have guessed there too.
pub(super) fn without_hidden_scans(jpeg: &[u8]) -> Option<Vec<u8>> {
    let mut thin = Vec::with_capacity(jpeg.len() / 2);
    thin.extend_from_slice(jpeg.get(..2)?);
    let mut frame: Option<Frame> = None;
    let mut left_out: Vec<LeftOut> = Vec::new();
    let mut position = 2;
    while jpeg.get(position + 1)? != &frame::END_OF_IMAGE {
        let (kind, content, mut end) = segment(jpeg, position)?;
        let mut is_shown = true;
        match kind {
            frame::PROGRESSIVE if frame.is_none() => frame = Some(Frame::read(content)?),
            frame::START_OF_SCAN => {
                let (_, behind) = next_marker(jpeg, end)?;
                end = behind - 2;
                let hidden = hidden_component(frame.as_ref()?, content);
                is_shown = hidden.is_none();
                if let Some(component) = hidden {
                    LeftOut::of(&mut left_out, component).note(content)?;
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
    for scans in &left_out {
        scans.append_zeros(frame.as_ref()?, &mut thin)?;
    }
    thin.extend_from_slice(&[0xFF, frame::END_OF_IMAGE]);
    Some(thin)
}

/// The component that a scan is of, if it does not show: a scan of other coefficients than DC has one component (G.1.1.1.1).
fn hidden_component(frame: &Frame, scan: &[u8]) -> Option<u8> {
    let &[1, id, _, first, _, _] = scan else { return None };
    let component = frame.components.iter().find(|component| component.id == id)?;
    (first > 0 && frame.shows_only_dc(component)).then_some(id)
}

/// What the scans of a component that were left out told.
struct LeftOut {
    id: u8,
    /// For each coefficient the bits that are still to come.
    n_missing_bits: [u8; N_COEFFICIENTS],
}

impl LeftOut {
    fn of(all: &mut Vec<Self>, id: u8) -> &mut Self {
        let at = all.iter().position(|it| it.id == id).unwrap_or_else(|| {
            all.push(Self { id, n_missing_bits: [UNKNOWN; N_COEFFICIENTS] });
            all.len() - 1
        });
        &mut all[at]
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
        if self.n_missing_bits[1..].iter().any(|&bits| bits > 0) {
            return None;
        }
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
