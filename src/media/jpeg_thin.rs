//! A JPEG without what an eighth of its size does not show.
//!
//! At an eighth, a decoder shows one value of each block of 8×8 pixels, the first coefficient (DC). The other 63 are read only
//! to find where the next block begins, one Huffman code after the other, and that is nearly all the time that a large photo
//! takes. Here several codes are stepped over with one look at a table, and what comes out is a smaller file that has the very
//! same pixels at an eighth. So the decoder stays the only one that makes pixels, and whatever is odd is left to it whole.
//!
//! ITU-T T.81: markers in annex B, the codes of a block in F.2.2. For a photo of 12 megapixels (4 MB): one pass over its bytes.

mod frame;
mod progressive;
mod scan;
mod steps;

use frame::{Frame, segment, u16_at};
use scan::{Block, Entropy, thin_scan};
use steps::Steps;

/// The same picture at an eighth in fewer bytes, or `None` for a file with arithmetic coding or of other than one or three
/// components, for a sequential one in several scans, and where something does not fit together.
pub(super) fn for_an_eighth(jpeg: &[u8]) -> Option<Vec<u8>> {
    let mut head = Head::default();
    let mut position = jpeg.starts_with(&[0xFF, 0xD8]).then_some(2)?;
    loop {
        let (kind, segment, end) = segment(jpeg, position)?;
        match kind {
            frame::PROGRESSIVE => return progressive::without_hidden_scans(jpeg),
            frame::BASELINE | frame::EXTENDED if head.frame.is_none() => {
                head.frame = Some(Frame::read(segment)?)
            }
            frame::HUFFMAN_TABLES => head.read_tables(segment)?,
            frame::RESTART_INTERVAL => head.restart_interval = u16_at(segment, 0)?,
            frame::START_OF_SCAN => {
                let mut thin = Vec::with_capacity(end + jpeg.len() / 4);
                thin.extend_from_slice(&jpeg[..end]);
                let (dc, ac) = (steps(Steps::of_dc, &head.dc)?, steps(Steps::of_ac, &head.ac)?);
                let entropy = head.entropy(segment, &dc, &ac)?;
                thin_scan(&entropy, &jpeg[end..], &mut thin)?;
                thin.extend_from_slice(&[0xFF, frame::END_OF_IMAGE]);
                return Some(thin);
            }
            _ if frame::is_of_no_concern(kind) => {}
            _ => return None,
        }
        position = end;
    }
}

/// How many codes there are of 1 to 16 bits, and their symbols.
type Codes<'a> = (&'a [u8; 16], &'a [u8]);
/// Up to four tables.
type Four<T> = [Option<T>; 4];

/// What stands in front of the scan.
#[derive(Default)]
struct Head<'a> {
    frame: Option<Frame>,
    dc: Four<Codes<'a>>,
    ac: Four<Codes<'a>>,
    /// In units (MCUs); 0 without restarts.
    restart_interval: u16,
}

/// The tables of one kind, made when the scan begins: a file may say anew thousands of times what they are.
fn steps(make: fn(&[u8; 16], &[u8]) -> Option<Steps>, codes: &Four<Codes>) -> Option<Four<Steps>> {
    let mut made = Four::default();
    for (made, codes) in made.iter_mut().zip(codes) {
        if let Some((n_codes, symbols)) = codes {
            *made = Some(make(n_codes, symbols)?);
        }
    }
    Some(made)
}

impl<'a> Head<'a> {
    /// Tables one behind the other: class and place, numbers of codes, symbols (B.2.4.2).
    fn read_tables(&mut self, mut segment: &'a [u8]) -> Option<()> {
        while let [class_and_place, rest @ ..] = segment {
            let (n_codes, rest) = rest.split_first_chunk::<16>()?;
            let n_symbols = n_codes.iter().map(|&n| usize::from(n)).sum();
            let (symbols, rest) = rest.split_at_checked(n_symbols)?;
            let tables = match class_and_place >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(class_and_place & 15))? = Some((n_codes, symbols));
            segment = rest;
        }
        Some(())
    }

    /// How the scan is coded whose header this is: the components with their tables, in the order of the frame.
    fn entropy<'b>(
        &self,
        scan: &[u8],
        dc: &'b Four<Steps>,
        ac: &'b Four<Steps>,
    ) -> Option<Entropy<'b>> {
        let frame = self.frame.as_ref()?;
        let (&n, selectors) = scan.split_first()?;
        if usize::from(n) != frame.components.len() || selectors.len() != 2 * usize::from(n) + 3 {
            return None;
        }
        let mut blocks = Vec::new();
        for (component, selector) in frame.components.iter().zip(selectors.chunks_exact(2)) {
            if component.id != selector[0] {
                return None;
            }
            let block = Block {
                dc: dc.get(usize::from(selector[1] >> 4))?.as_ref()?,
                ac: ac.get(usize::from(selector[1] & 15))?.as_ref()?,
                is_dc_enough: frame.shows_only_dc(component),
            };
            blocks.extend(std::iter::repeat_n(block, frame.n_blocks(component)));
        }
        Some(Entropy {
            blocks,
            n_units: frame.n_units(),
            restart_interval: usize::from(self.restart_interval),
        })
    }
}

#[cfg(test)]
mod tests;
