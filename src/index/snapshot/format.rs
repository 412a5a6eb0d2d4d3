//! The bytes of a snapshot: a header that covers itself with a hash, then sections, each aligned to 64 bytes.
//!
//! ```text
//! 0   magic "mmsnap\r\n"      8  version u32          12  byte order mark u32
//! 16  header length u32      20  n sections u32       24  generation u64
//! 32  n nodes u64            40  dim u32              44  modality u32 (0 image, 1 text)
//! 48  links a row u32        52  fingerprint length u32
//! 56  file length u64        64  fingerprint (UTF-8)
//!     then per section: kind u32, unused u32, offset u64, length u64, BLAKE3 [32]
//!     then zeros up to a multiple of 64, of which the last 32 bytes are BLAKE3 of all before
//! ```
//! Numbers are in the byte order of the machine that wrote them, which the mark tells. A section's hash covers
//! its padding too, so that every byte of the file is under a hash. Kinds that a reader does not know are passed
//! over: a new optional section needs no new version.

use std::ops::Range;

use super::SnapshotMeta;
use crate::index::codes::stride;
use crate::index::graph::MAX_NODES;
use crate::item::Modality;

pub(super) const MAGIC: [u8; 8] = *b"mmsnap\r\n";
pub(super) const VERSION: u32 = 3;
pub(super) const BYTE_ORDER_MARK: u32 = 0x0102_0304;
/// Alignment of sections: a cache line, and more than any element needs.
pub(super) const ALIGNMENT: usize = 64;
const FIXED_LEN: usize = 64;
const ENTRY_LEN: usize = 56;
const HASH_LEN: usize = blake3::OUT_LEN;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// u64, the key of each node.
    Ids,
    /// u32, the nodes in ascending order of their keys.
    ByKey,
    /// f32, the mean of each component, then the scale: see the `codes` module.
    Quantizer,
    /// i8, the coarse codes of each node, in rows padded with zeros.
    Coarse,
    /// i8, the fine codes, likewise.
    Fine,
    /// u32, a row of links for each node.
    Layer0,
    /// u32, see the `upper` module.
    Upper,
    /// u32, the nodes that no walk finds.
    Orphans,
    /// u32, see the `tuning` module.
    Tuning,
}

impl Kind {
    pub(super) const ALL: [Self; 9] = [
        Self::Ids,
        Self::ByKey,
        Self::Quantizer,
        Self::Coarse,
        Self::Fine,
        Self::Layer0,
        Self::Upper,
        Self::Orphans,
        Self::Tuning,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::ByKey => "by_key",
            Self::Quantizer => "quantizer",
            Self::Coarse => "coarse",
            Self::Fine => "fine",
            Self::Layer0 => "layer0",
            Self::Upper => "upper",
            Self::Orphans => "orphans",
            Self::Tuning => "tuning",
        }
    }

    /// Whether it is too large to be hashed whenever a snapshot is opened.
    pub(super) fn is_bulk(self) -> bool {
        match self {
            Self::Coarse | Self::Fine | Self::Layer0 => true,
            Self::Ids
            | Self::ByKey
            | Self::Quantizer
            | Self::Upper
            | Self::Orphans
            | Self::Tuning => false,
        }
    }

    fn code(self) -> u32 {
        match self {
            Self::Ids => 1,
            // 2 was f32 vectors in version 1.
            Self::Layer0 => 3,
            Self::Upper => 4,
            Self::Orphans => 5,
            Self::Quantizer => 6,
            Self::Coarse => 7,
            Self::Fine => 8,
            Self::Tuning => 9,
            Self::ByKey => 10,
        }
    }
}

/// A section's place and hash.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) offset: usize,
    /// Without padding.
    pub(super) len: usize,
    /// BLAKE3 of the section and its padding.
    pub(super) hash: [u8; HASH_LEN],
}

impl Section {
    pub(super) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len
    }

    /// With the padding.
    pub(super) fn hashed_range(&self) -> Range<usize> {
        self.offset..self.offset + padded(self.len)
    }
}

/// What the header says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) meta: SnapshotMeta,
    pub(super) n_nodes: usize,
    /// Links of a row of layer 0.
    pub(super) width: usize,
    pub(super) file_len: usize,
    pub(super) sections: Vec<Section>,
}

/// Rounds up to the alignment of sections.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(ALIGNMENT)
}

/// Length of the header, which is where the first section begins.
pub(super) fn header_len(meta: &SnapshotMeta, n_sections: usize) -> usize {
    padded(FIXED_LEN + meta.fingerprint.len() + n_sections * ENTRY_LEN + HASH_LEN)
}

impl Header {
    /// The header's bytes, its hash included.
    pub(super) fn encode(&self) -> Vec<u8> {
        let meta = &self.meta;
        let len = header_len(meta, self.sections.len());
        let mut bytes = Vec::with_capacity(len);
        bytes.extend(MAGIC);
        for value in [VERSION, BYTE_ORDER_MARK, len as u32, self.sections.len() as u32] {
            bytes.extend(value.to_ne_bytes());
        }
        bytes.extend(meta.generation.to_ne_bytes());
        bytes.extend((self.n_nodes as u64).to_ne_bytes());
        let modality = match meta.modality {
            Modality::Image => 0,
            Modality::Text => 1,
        };
        for value in [meta.dim as u32, modality, self.width as u32, meta.fingerprint.len() as u32] {
            bytes.extend(value.to_ne_bytes());
        }
        bytes.extend((self.file_len as u64).to_ne_bytes());
        bytes.extend(meta.fingerprint.as_bytes());
        for section in &self.sections {
            bytes.extend(section.kind.code().to_ne_bytes());
            bytes.extend(0u32.to_ne_bytes());
            bytes.extend((section.offset as u64).to_ne_bytes());
            bytes.extend((section.len as u64).to_ne_bytes());
            bytes.extend(section.hash);
        }
        bytes.resize(len - HASH_LEN, 0);
        let hash = blake3::hash(&bytes);
        bytes.extend(hash.as_bytes());
        bytes
    }

    /// Reads and checks the header of a whole file; an error is the reason.
    ///
    /// Afterwards every section lies within the file, is aligned, and has the length that its kind must have.
    pub(super) fn decode(file: &[u8]) -> Result<Self, String> {
        let header = checked_header(file)?;
        let mut fields = Fields(&header[20..]);
        let n_sections = fields.u32()? as usize;
        let generation = fields.u64()?;
        let n_nodes = fields.usize()?;
        let dim = fields.u32()? as usize;
        let modality = match fields.u32()? {
            0 => Modality::Image,
            1 => Modality::Text,
            other => return Err(format!("modality {other} is unknown")),
        };
        let width = fields.u32()? as usize;
        let fingerprint_len = fields.u32()? as usize;
        let file_len = fields.usize()?;
        if file_len != file.len() {
            return Err(format!("it should have {file_len} bytes, it has {}", file.len()));
        }
        let fingerprint = std::str::from_utf8(fields.take(fingerprint_len)?)
            .map_err(|_| "the fingerprint is no text".to_owned())?
            .to_owned();
        let meta = SnapshotMeta { generation, fingerprint, modality, dim };
        let mut header = Self { meta, n_nodes, width, file_len, sections: Vec::new() };
        for _ in 0..n_sections {
            if let Some(section) = read_section(&mut fields)? {
                header.check_section(&section)?;
                header.sections.push(section);
            }
        }
        header.check_sections()?;
        Ok(header)
    }

    /// The section of a kind.
    pub(super) fn section(&self, kind: Kind) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind == kind)
    }

    fn check_section(&self, section: &Section) -> Result<(), String> {
        let name = section.kind.name();
        let end = section.len.checked_next_multiple_of(ALIGNMENT);
        let end = end.and_then(|len| section.offset.checked_add(len));
        if !section.offset.is_multiple_of(ALIGNMENT) || end.is_none_or(|end| end > self.file_len) {
            return Err(format!("section `{name}` does not lie within the file"));
        }
        let expected = match section.kind {
            Kind::Ids => self.n_nodes.checked_mul(size_of::<u64>()),
            Kind::ByKey => self.n_nodes.checked_mul(size_of::<u32>()),
            Kind::Quantizer => self.meta.dim.checked_add(1).and_then(|n| n.checked_mul(4)),
            Kind::Coarse | Kind::Fine => self.n_nodes.checked_mul(stride(self.meta.dim)),
            Kind::Layer0 => self.n_nodes.checked_mul(self.width).and_then(|n| n.checked_mul(4)),
            // Of any length, in whole u32.
            Kind::Upper | Kind::Orphans | Kind::Tuning => Some(section.len / 4 * 4),
        };
        if expected != Some(section.len) {
            return Err(format!("section `{name}` has {} bytes, not {expected:?}", section.len));
        }
        Ok(())
    }

    /// Ids and codes must be there; the graph is there as a whole or not at all.
    fn check_sections(&self) -> Result<(), String> {
        for kind in Kind::ALL {
            let n_found = self.sections.iter().filter(|section| section.kind == kind).count();
            let n_expected = match kind {
                Kind::Ids | Kind::ByKey | Kind::Quantizer | Kind::Coarse | Kind::Fine => 1,
                Kind::Layer0 | Kind::Upper | Kind::Orphans | Kind::Tuning => {
                    usize::from(self.width > 0)
                }
            };
            if n_found != n_expected {
                return Err(format!(
                    "it has {n_found} sections `{}`, not {n_expected}",
                    kind.name()
                ));
            }
        }
        if self.meta.dim == 0 || self.n_nodes > MAX_NODES {
            return Err(format!("{} nodes of {} dimensions", self.n_nodes, self.meta.dim));
        }
        Ok(())
    }
}

/// The header's bytes before its hash, once magic, version, byte order and that hash are right.
fn checked_header(file: &[u8]) -> Result<&[u8], String> {
    let mut fields = Fields(file);
    if fields.take(MAGIC.len())? != MAGIC {
        return Err("it is not a snapshot".into());
    }
    let version = fields.u32()?;
    let mark = fields.u32()?;
    if mark == BYTE_ORDER_MARK.swap_bytes() {
        return Err("it was written on a machine of the other byte order; index again here".into());
    }
    if version > VERSION {
        return Err(format!("its version {version} is newer than {VERSION}, the one known here"));
    }
    if version < VERSION && mark == BYTE_ORDER_MARK {
        return Err(format!("its version {version} is older than {VERSION}, the one known here"));
    }
    let len = fields.u32()? as usize;
    if version != VERSION || mark != BYTE_ORDER_MARK || len < FIXED_LEN + HASH_LEN {
        return Err("the header is malformed".into());
    }
    let Some((header, hash)) = file.get(..len).map(|header| header.split_at(len - HASH_LEN)) else {
        return Err(format!("the header should have {len} bytes, the file has {}", file.len()));
    };
    if blake3::hash(header).as_bytes() != hash {
        return Err("the header does not match its checksum".into());
    }
    Ok(header)
}

/// One entry of the section table; `None` if its kind is not known here.
fn read_section(fields: &mut Fields<'_>) -> Result<Option<Section>, String> {
    let code = fields.u32()?;
    fields.u32()?;
    let (offset, len) = (fields.usize()?, fields.usize()?);
    let hash = fields.array()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.code() == code);
    Ok(kind.map(|kind| Section { kind, offset, len, hash }))
}

/// The bytes not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("the header is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_ne_bytes)
    }

    fn usize(&mut self) -> Result<usize, String> {
        let value = self.u64()?;
        usize::try_from(value).map_err(|_| format!("{value} bytes do not fit into memory"))
    }
}
