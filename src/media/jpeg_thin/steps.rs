//! Huffman codes of a block, of which only the length matters and how many coefficients they stand for.

/// Bits that a look at the table sees. A table has 16 KiB, so that those of a picture stay in the nearest cache.
const WINDOW: u32 = 12;
/// Most bits of a step out of the table, so that three follow each other without a look at how many bits are left.
pub(super) const MOST_BITS: u32 = 18;
/// Longest code.
const LONGEST: u32 = 16;
/// End of block: all further coefficients are zero (F.1.2.2).
const END_OF_BLOCK: u8 = 0x00;
/// Sixteen zeros and no value.
const SIXTEEN_ZEROS: u8 = 0xF0;

/// What the codes at the front of some bits come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Of the codes and of the values behind them.
    pub(super) n_bits: u32,
    /// How many coefficients they stand for; the end of a block counts as one.
    pub(super) n_coefficients: u32,
    pub(super) ends_block: bool,
}

/// A step in 32 bits, as tables hold it: from the lowest, bytes of `n_bits`, of `n_coefficients` and of `ends_block`.
#[derive(Clone, Copy)]
struct Packed(u32);

impl Packed {
    /// No code was recognized; these are more coefficients than any block has.
    const UNKNOWN: Self = Self(0xFF << 8);

    fn new(step: Step) -> Self {
        Self(step.n_bits | step.n_coefficients << 8 | u32::from(step.ends_block) << 16)
    }

    #[inline(always)]
    fn step(self) -> Step {
        let Self(packed) = self;
        Step {
            n_bits: packed & 63,
            n_coefficients: packed >> 8 & 0xFF,
            ends_block: packed >> 16 != 0,
        }
    }
}

/// A Huffman table as steps.
pub(super) struct Steps {
    /// By the next `WINDOW` bits: as many whole codes as are seen in them, up to the end of a block.
    many: Box<[Packed; 1 << WINDOW]>,
    /// One code at a time, by its length.
    codes: Codes,
    kind: Kind,
    /// The code for the end of a block from the highest bit on, and its length; tables of DC have none.
    pub(super) end_of_block: Option<(u64, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dc,
    Ac,
}

impl Steps {
    /// Of the first coefficient: a code says how many bits its value has.
    pub(super) fn of_dc(n_codes: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        Self::new(Kind::Dc, n_codes, symbols)
    }

    /// Of the other 63: a code says how many zeros come first and how many bits the value has.
    pub(super) fn of_ac(n_codes: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        Self::new(Kind::Ac, n_codes, symbols)
    }

    fn new(kind: Kind, n_codes: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let codes = Codes::new(n_codes, symbols)?;
        let end_of_block = (kind == Kind::Ac).then(|| codes.of(END_OF_BLOCK)).flatten();
        let many = Box::new([Packed::UNKNOWN; 1 << WINDOW]);
        let mut steps = Self { many, codes, kind, end_of_block };
        for window in 0..1 << WINDOW {
            if let Some(step) = steps.of_window(window as u64) {
                steps.many[window] = Packed::new(step);
            }
        }
        Some(steps)
    }

    /// As many codes as lie in the first [`WINDOW`] of the bits (of the highest of 64); more coefficients than a block has where
    /// there is none, because it is longer or unknown.
    #[inline(always)]
    pub(super) fn many(&self, bits: u64) -> Step {
        self.many[(bits >> (64 - WINDOW)) as usize].step()
    }

    /// The one code at the front of the bits; the plain version of [`Steps::many`].
    pub(super) fn one(&self, bits: u64) -> Option<Step> {
        let (symbol, length) = self.codes.first(bits)?;
        let (zeros, n_value_bits) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let (n_coefficients, ends_block) = match (self.kind, symbol) {
            (Kind::Dc, _) => (zeros == 0).then_some((1, false))?,
            (Kind::Ac, END_OF_BLOCK) => (1, true),
            (Kind::Ac, SIXTEEN_ZEROS) => (16, false),
            (Kind::Ac, _) => (n_value_bits > 0).then_some((zeros + 1, false))?,
        };
        Some(Step { n_bits: length + n_value_bits, n_coefficients, ends_block })
    }

    fn of_window(&self, window: u64) -> Option<Step> {
        let bits = window << (64 - WINDOW);
        let mut all = self.seen(bits, WINDOW)?;
        while self.kind == Kind::Ac && !all.ends_block && all.n_bits < WINDOW {
            let Some(next) = self.seen(bits << all.n_bits, WINDOW - all.n_bits) else { break };
            // More than a block holds: the codes behind it are another's.
            let is_too_much = all.n_coefficients + next.n_coefficients > 63;
            if is_too_much || all.n_bits + next.n_bits > MOST_BITS {
                break;
            }
            all.n_bits += next.n_bits;
            all.n_coefficients += next.n_coefficients;
            all.ends_block = next.ends_block;
        }
        Some(all)
    }

    /// The one code at the front of the bits if it lies in the first `n` of them; its value need not.
    fn seen(&self, bits: u64, n: u32) -> Option<Step> {
        let (_, length) = self.codes.first(bits)?;
        let step = self.one(bits)?;
        (length <= n && step.n_bits <= MOST_BITS).then_some(step)
    }
}

/// The codes of a table (C.2): those of a length are consecutive numbers, the first of which follows the last one before it.
struct Codes {
    /// By length - 1: the first code behind those of this length, aligned to the highest of 16 bits; and its symbol's place.
    behind: [(u32, usize); 16],
    symbols: Vec<u8>,
}

impl Codes {
    fn new(n_codes: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut behind = [(0, 0); 16];
        let (mut code, mut place) = (0_u32, 0);
        for (length, &n) in (1..=LONGEST).zip(n_codes) {
            let at = length as usize - 1;
            code += u32::from(n);
            place += usize::from(n);
            if code > 1 << length {
                return None;
            }
            behind[at] = (code << (LONGEST - length), place);
            code <<= 1;
        }
        Some(Self { behind, symbols: symbols.to_vec() })
    }

    /// The symbol of the code at the front of the bits, and the code's length.
    fn first(&self, bits: u64) -> Option<(u8, u32)> {
        let bits = (bits >> (64 - LONGEST)) as u32;
        let at = self.behind.iter().position(|&(behind, _)| bits < behind)?;
        let length = at as u32 + 1;
        let (behind, place) = self.behind[at];
        let n_behind = (behind - bits).div_ceil(1 << (LONGEST - length)) as usize;
        Some((self.symbols[place - n_behind], length))
    }

    /// The code of a symbol, from the highest bit on, and its length.
    fn of(&self, symbol: u8) -> Option<(u64, u32)> {
        let wanted = self.symbols.iter().position(|&it| it == symbol)?;
        let at = self.behind.iter().position(|&(_, place)| wanted < place)?;
        let length = at as u32 + 1;
        let (behind, place) = self.behind[at];
        let code = u64::from(behind >> (LONGEST - length)) - (place - wanted) as u64;
        Some((code << (64 - length), length))
    }
}
