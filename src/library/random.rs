//! `random`: items drawn by lot, for looking around and for spot checks.

use super::Library;
use crate::error::{Error, Result};
use crate::item::{Item, ItemId, Modality};
use crate::query::{MAX_K, Target};

impl Library {
    /// Different items that can be found, in the order in which they were drawn; the same seed draws the same ones while the
    /// library stays as it is. All of them in another order if there are no more than k.
    ///
    /// # Errors
    /// [`Error::BadQuery`] for k outside 1..=10,000; [`Error::Corrupt`] if a row is damaged; [`Error::Catalog`].
    pub fn random(&self, to: Target, k: usize, seed: u64) -> Result<Vec<Item>> {
        if k == 0 || k > MAX_K {
            let reason = format!("k is {k}, but must be 1 to {MAX_K}");
            return Err(Error::BadQuery { reason });
        }
        let view = self.catalog.view();
        let modalities = match to {
            Target::Image => &[Modality::Image][..],
            Target::Text => &[Modality::Text],
            Target::Any => &Modality::ALL,
        };
        let mut ids = Vec::new();
        for &modality in modalities {
            ids.extend(view.findable(modality)?);
        }
        draw(&mut ids, k, seed);
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            // What was forgotten since the ids were read is not there any more.
            items.extend(view.item(id)?.map(|stored| stored.item));
        }
        Ok(items)
    }
}

/// Leaves `k` of the ids, by the first steps of Fisher's and Yates's shuffle.
fn draw(ids: &mut Vec<ItemId>, k: usize, seed: u64) {
    let mut state = seed;
    let k = k.min(ids.len());
    for i in 0..k {
        let n_left = (ids.len() - i) as u128;
        // The high half of the product is below n_left, and as even as 64 bits allow.
        let offset = (u128::from(next(&mut state)) * n_left) >> 64;
        ids.swap(i, i + offset as usize);
    }
    ids.truncate(k);
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(n_ids: i64, k: usize, seed: u64) -> Vec<i64> {
        let mut ids: Vec<ItemId> = (0..n_ids).map(ItemId).collect();
        draw(&mut ids, k, seed);
        ids.into_iter().map(|id| id.0).collect()
    }

    /// The reference values are those of the authors' C code for the seed 1234567.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut state = 1_234_567;
        let drawn = [next(&mut state), next(&mut state), next(&mut state)];
        let expected =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn different_ids_by_the_seed() {
        assert_eq!(drawn(100, 10, 7), drawn(100, 10, 7));
        assert_ne!(drawn(100, 10, 7), drawn(100, 10, 8));
        let mut all = drawn(50, 99, 3);
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert_eq!(drawn(0, 5, 1), [0; 0]);
    }

    #[test]
    fn every_id_has_the_same_chance() {
        let mut n_drawn = [0; 10];
        for seed in 0..10_000 {
            drawn(10, 3, seed).iter().for_each(|&id| n_drawn[id as usize] += 1);
        }
        // Each is drawn 3,000 times in the mean, with a standard deviation of 46.
        assert!(n_drawn.iter().all(|n| (2_750..3_250).contains(n)), "{n_drawn:?}");
    }
}
