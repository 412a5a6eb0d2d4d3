//! What the fuzz target of snapshots needs: hashes that say that damaged bytes are right.

use super::format::padded;

/// Gives a snapshot, or what claims to be one, the hashes of what it holds, so that its reader looks behind them.
pub fn rehashed(mut bytes: Vec<u8>) -> Vec<u8> {
    let number = |bytes: &[u8], at: usize, len: usize| -> Option<usize> {
        let mut number = [0; 8];
        number[..len].copy_from_slice(bytes.get(at..at.checked_add(len)?)?);
        usize::try_from(u64::from_le_bytes(number)).ok()
    };
    let header_len = number(&bytes, 16, 4).unwrap_or(0).min(bytes.len());
    let n_sections = number(&bytes, 20, 4).unwrap_or(0).min(64);
    let table = 64usize.saturating_add(number(&bytes, 52, 4).unwrap_or(0));
    for section in 0..n_sections {
        let entry = table.saturating_add(section * 56);
        let (Some(offset), Some(len)) = (
            number(&bytes, entry.saturating_add(8), 8),
            number(&bytes, entry.saturating_add(16), 8),
        ) else {
            break;
        };
        let end = len.checked_next_multiple_of(64).and_then(|_| offset.checked_add(padded(len)));
        let Some(hash) = end.and_then(|end| bytes.get(offset..end)).map(blake3::hash) else {
            continue;
        };
        if let Some(place) = bytes.get_mut(entry + 24..entry + 56) {
            place.copy_from_slice(hash.as_bytes());
        }
    }
    if let Some(at) = header_len.checked_sub(32) {
        let hash = blake3::hash(&bytes[..at]);
        bytes[at..header_len].copy_from_slice(hash.as_bytes());
    }
    bytes
}
