//! The segments of a JPEG, and the one that says how the picture is laid out.

// Second bytes of markers (T.81, table B.1).
pub(super) const BASELINE: u8 = 0xC0;
/// Sequential with Huffman codes as well; that its samples have 8 bits is asked for apart.
pub(super) const EXTENDED: u8 = 0xC1;
pub(super) const PROGRESSIVE: u8 = 0xC2;
pub(super) const HUFFMAN_TABLES: u8 = 0xC4;
pub(super) const END_OF_IMAGE: u8 = 0xD9;
pub(super) const START_OF_SCAN: u8 = 0xDA;
const QUANTIZATION_TABLES: u8 = 0xDB;
pub(super) const RESTART_INTERVAL: u8 = 0xDD;
const COMMENT: u8 = 0xFE;

/// Whether a segment is passed on as it is.
pub(super) fn is_of_no_concern(marker: u8) -> bool {
    matches!(marker, QUANTIZATION_TABLES | COMMENT | 0xE0..=0xEF)
}

/// The marker at a position, what its segment holds behind the length, and where that ends.
pub(super) fn segment(jpeg: &[u8], at: usize) -> Option<(u8, &[u8], usize)> {
    let &[0xFF, marker] = jpeg.get(at..at + 2)? else { return None };
    let end = at + 2 + usize::from(u16_at(jpeg, at + 2)?);
    Some((marker, jpeg.get(at + 4..end)?, end))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The size of the picture and how its components are sampled (B.2.2).
pub(super) struct Frame {
    width: usize,
    height: usize,
    pub(super) components: Vec<Component>,
}

pub(super) struct Component {
    pub(super) id: u8,
    horizontal: usize,
    vertical: usize,
}

impl Frame {
    pub(super) fn read(segment: &[u8]) -> Option<Self> {
        let (&[precision, h0, h1, w0, w1, n], components) = segment.split_first_chunk()?;
        let (height, width) = (u16::from_be_bytes([h0, h1]), u16::from_be_bytes([w0, w1]));
        let known = precision == 8 && matches!(n, 1 | 3) && width > 0 && height > 0;
        if !known || components.len() != 3 * usize::from(n) {
            return None;
        }
        let components = components.chunks_exact(3).map(|it| Component {
            id: it[0],
            horizontal: usize::from(it[1] >> 4),
            vertical: usize::from(it[1] & 15),
        });
        let components: Vec<_> = components.collect();
        let sampled =
            |it: &Component| (1..=4).contains(&it.horizontal) && (1..=4).contains(&it.vertical);
        components.iter().all(sampled).then_some(Self {
            width: width.into(),
            height: height.into(),
            components,
        })
    }

    /// The finest sampling, across and down.
    fn finest(&self) -> (usize, usize) {
        let components = self.components.iter();
        components.fold((1, 1), |(h, v), it| (h.max(it.horizontal), v.max(it.vertical)))
    }

    /// A component that is sampled half as finely in both directions is shown with more than its DC: instead of widening it, the
    /// decoder makes 2×2 pixels of its block (`jdmaster.c` of libjpeg).
    pub(super) fn shows_only_dc(&self, component: &Component) -> bool {
        let (h, v) = self.finest();
        h % (2 * component.horizontal) != 0 || v % (2 * component.vertical) != 0
    }

    /// Blocks of a component in a unit (MCU); a component alone has one, however it is sampled (A.2.2).
    pub(super) fn n_blocks(&self, component: &Component) -> usize {
        if self.components.len() == 1 { 1 } else { component.horizontal * component.vertical }
    }

    pub(super) fn n_units(&self) -> usize {
        let (h, v) = if self.components.len() == 1 { (1, 1) } else { self.finest() };
        self.width.div_ceil(8 * h) * self.height.div_ceil(8 * v)
    }

    /// Blocks of a component in a scan of its own (A.2.2): those that hold a part of the picture.
    pub(super) fn n_blocks_alone(&self, component: &Component) -> usize {
        let (h, v) = self.finest();
        let across = (self.width * component.horizontal).div_ceil(h).div_ceil(8);
        let down = (self.height * component.vertical).div_ceil(v).div_ceil(8);
        across * down
    }
}
