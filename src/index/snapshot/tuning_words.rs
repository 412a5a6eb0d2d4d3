//! The `tuning` section: two costs as f32, then for each kind of query the number of tries and two beams.

use crate::index::tuning::{Beam, Beams, Tuning};

/// The section's words.
pub(super) fn encode(tuning: &Tuning) -> Vec<u32> {
    let mut words = vec![tuning.scan_ns.to_bits(), tuning.walk_ns.to_bits()];
    for beams in [&tuning.own, &tuning.foreign] {
        words.push(beams.n_queries as u32);
        for beam in [beams.fast, beams.good] {
            words.extend([beam.ef as u32, beam.n_found as u32]);
        }
    }
    words
}

/// Reads the section; `None` if it has another length or a cost is no cost.
pub(super) fn decode(words: &[u32]) -> Option<Tuning> {
    let &[scan_ns, walk_ns, ref rest @ ..] = words else { return None };
    let (own, foreign) = rest.split_at_checked(5)?;
    let cost = |bits| Some(f32::from_bits(bits)).filter(|cost| cost.is_finite() && *cost > 0.0);
    Some(Tuning {
        scan_ns: cost(scan_ns)?,
        walk_ns: cost(walk_ns)?,
        own: beams(own)?,
        foreign: beams(foreign)?,
    })
}

fn beams(words: &[u32]) -> Option<Beams> {
    let &[n_queries, fast, fast_found, good, good_found] = words else { return None };
    let beam = |ef: u32, n_found: u32| Beam { ef: ef as usize, n_found: n_found as usize };
    Some(Beams {
        n_queries: n_queries as usize,
        fast: beam(fast, fast_found),
        good: beam(good, good_found),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let beam = |ef, n_found| Beam { ef, n_found };
        let own = Beams { n_queries: 3, fast: beam(4, 5), good: beam(6, 7) };
        let tuning = Tuning { own, walk_ns: 900.5, ..Tuning::default() };
        let words = encode(&tuning);
        assert_eq!(decode(&words), Some(tuning));
        for n_words in 0..words.len() {
            assert_eq!(decode(&words[..n_words]), None, "cut to {n_words}");
        }
        assert_eq!(decode(&[&words[..], &[0]].concat()), None);
        assert_eq!(decode(&[&[f32::NAN.to_bits()], &words[1..]].concat()), None);
        assert_eq!(decode(&[&[0], &words[1..]].concat()), None);
    }
}
