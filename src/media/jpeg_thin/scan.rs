//! The compressed data of a scan: read block by block, and written again without what is not needed.

use super::steps::{MOST_BITS, Step, Steps};

/// Coefficients of a block behind the first.
const N_OTHERS: u32 = 63;
/// Looks at a table for which the bits of a refill are enough.
const STEPS_A_REFILL: u32 = REFILLED / MOST_BITS;
/// Bits that there are at least after a refill.
const REFILLED: u32 = 56;
/// Zeros behind the data, so that eight bytes can always be read at once.
const PADDING: [u8; 8] = [0; 8];

/// How a scan is coded.
pub(super) struct Entropy<'a> {
    /// The blocks of a unit (MCU), in order.
    pub(super) blocks: Vec<Block<'a>>,
    pub(super) n_units: usize,
    /// Units between two restarts; 0 without restarts.
    pub(super) restart_interval: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) dc: &'a Steps,
    pub(super) ac: &'a Steps,
    pub(super) is_dc_enough: bool,
}

/// Appends the scan with nothing but DC in the blocks of which that is enough. `None` where the data is not what was announced.
pub(super) fn thin_scan(entropy: &Entropy, mut scan: &[u8], thin: &mut Vec<u8>) -> Option<()> {
    let mut n_left = entropy.n_units;
    let interval = if entropy.restart_interval == 0 { n_left } else { entropy.restart_interval };
    let mut data = Vec::with_capacity(scan.len());
    for restart in (0xD0..=0xD7).cycle() {
        let marker;
        (marker, scan) = unstuffed(scan, &mut data)?;
        let n_units = n_left.min(interval);
        thin_units(entropy, n_units, &data, thin)?;
        n_left -= n_units;
        if n_left == 0 {
            break;
        }
        if marker != restart {
            return None;
        }
        thin.extend_from_slice(&[0xFF, marker]);
    }
    Some(())
}

/// Brings the data in front of the next marker as it was before bytes of 0xFF were marked with a zero (B.1.1.5), with the
/// padding. Returns the marker and what follows it.
fn unstuffed<'a>(mut scan: &'a [u8], data: &mut Vec<u8>) -> Option<(u8, &'a [u8])> {
    data.clear();
    loop {
        let at = memchr::memchr(0xFF, scan)?;
        data.extend_from_slice(&scan[..at]);
        match scan.get(at + 1)? {
            0 => {
                data.push(0xFF);
                scan = &scan[at + 2..];
            }
            0xFF => scan = &scan[at + 1..],
            &marker => {
                data.extend_from_slice(&PADDING);
                return Some((marker, &scan[at + 2..]));
            }
        }
    }
}

fn thin_units(entropy: &Entropy, n_units: usize, data: &[u8], thin: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader::new(data);
    let mut writer = Writer { bits: 0, n_bits: 0, bytes: thin };
    for _ in 0..n_units {
        for block in &entropy.blocks {
            first_coefficient(&mut reader, block.dc, &mut writer)?;
            if block.is_dc_enough {
                other_coefficients(&mut reader, block.ac, |_, _| {})?;
                let (code, length) = block.ac.end_of_block?;
                writer.put(code, length);
            } else {
                other_coefficients(&mut reader, block.ac, |bits, n| writer.put(bits, n))?;
            }
        }
        if reader.is_behind_end() {
            return None;
        }
    }
    writer.finish();
    Some(())
}

fn first_coefficient(reader: &mut Reader, dc: &Steps, writer: &mut Writer) -> Option<()> {
    reader.refill();
    let mut step = dc.many(reader.bits);
    if step.n_coefficients > 1 {
        step = one_within(dc, reader.bits, 1)?;
    }
    writer.put(reader.bits, step.n_bits);
    reader.step_over(step);
    Some(())
}

/// Steps over all but the first coefficient, telling the codes with their values: bits (from the highest) and how many.
#[inline(always)]
fn other_coefficients(
    reader: &mut Reader,
    ac: &Steps,
    mut tell: impl FnMut(u64, u32),
) -> Option<()> {
    let mut n_left = N_OTHERS;
    // A copy, which a compiler keeps in registers.
    let mut bits = *reader;
    loop {
        bits.refill();
        for _ in 0..STEPS_A_REFILL {
            let mut step = ac.many(bits.bits);
            let is_rare = step.n_coefficients > n_left;
            if is_rare {
                // A long code, or one of those behind it would be another block's.
                bits.refill();
                step = one_within(ac, bits.bits, n_left)?;
            }
            tell(bits.bits, step.n_bits);
            bits.step_over(step);
            n_left -= step.n_coefficients;
            if step.ends_block || n_left == 0 {
                *reader = bits;
                return Some(());
            }
            if is_rare {
                break;
            }
        }
    }
}

#[cold]
fn one_within(steps: &Steps, bits: u64, n_left: u32) -> Option<Step> {
    steps.one(bits).filter(|step| step.n_coefficients <= n_left)
}

/// Bits from the highest on.
#[derive(Clone, Copy)]
struct Reader<'a> {
    /// With the padding.
    data: &'a [u8],
    /// The first byte that is not counted in `n_bits`.
    at: usize,
    bits: u64,
    n_bits: u32,
}

impl<'a> Reader<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, bits: 0, n_bits: 0 }
    }

    fn end(&self) -> usize {
        self.data.len() - PADDING.len()
    }

    /// At least 56 bits; zeros behind the end. No branch: what was read of the last byte is read again and is the same.
    #[inline(always)]
    fn refill(&mut self) {
        let from = self.at.min(self.end());
        let next = self.data[from..].first_chunk().map_or(0, |it| u64::from_be_bytes(*it));
        self.bits |= next >> self.n_bits;
        self.at += (63 - self.n_bits as usize) / 8;
        self.n_bits |= REFILLED;
    }

    #[inline(always)]
    fn step_over(&mut self, step: Step) {
        self.bits <<= step.n_bits;
        self.n_bits -= step.n_bits;
    }

    fn is_behind_end(&self) -> bool {
        8 * self.at - self.n_bits as usize > 8 * self.end()
    }
}

struct Writer<'a> {
    /// From the highest on.
    bits: u64,
    /// Fewer than 32.
    n_bits: u32,
    bytes: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Appends the highest bits, at most 32.
    #[inline(always)]
    fn put(&mut self, bits: u64, n: u32) {
        let those = bits & !(u64::MAX >> n);
        self.bits |= those >> self.n_bits;
        self.n_bits += n;
        if self.n_bits >= 32 {
            self.write(4);
        }
    }

    fn write(&mut self, n_bytes: u32) {
        for _ in 0..n_bytes {
            let byte = (self.bits >> 56) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
            self.bits <<= 8;
        }
        self.n_bits -= 8 * n_bytes;
    }

    /// Fills the last byte with ones (F.1.2.3).
    fn finish(mut self) {
        self.put(u64::MAX, 7);
        self.write(self.n_bits / 8);
    }
}
