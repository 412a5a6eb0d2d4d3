//! Views of a picture, and the image tower's features of them, computed once and kept in the run directory.

use std::ops::ControlFlow;
use std::path::Path;

use tch::{Kind, Tensor};

use crate::encoder::Preprocess;
use crate::encoder::checkpoint::{self, Checkpoint, Storage};
use crate::encoder::dual::{guarded, image_input};
use crate::encoder::files::read_file;
use crate::encoder::tower::ImageTower;
use crate::error::{Error, Result};
use crate::media::{Pairs, in_parallel};
use crate::pixels::Pixels;
use crate::train::run::write_atomically;

/// Pictures that go through the tower at once; small batches stay in the processor's cache.
pub(super) const BATCH: usize = 8;

/// The smallest part of a picture's area that a random crop keeps.
const LEAST_AREA: f64 = 0.6;

/// The picture as the product sees it, or a random crop of it, mirrored half of the time.
pub(super) fn view(
    picture: &Pixels,
    preprocess: &Preprocess,
    rng: Option<&mut fastrand::Rng>,
) -> Result<Pixels> {
    let Some(rng) = rng else { return preprocess.apply(picture) };
    let side = (LEAST_AREA + (1.0 - LEAST_AREA) * rng.f64()).sqrt();
    let (width, height) = (picture.width(), picture.height());
    let crop_width = ((f64::from(width) * side) as u32).clamp(1, width);
    let crop_height = ((f64::from(height) * side) as u32).clamp(1, height);
    let left = rng.u32(0..=width - crop_width);
    let top = rng.u32(0..=height - crop_height);
    let mirrored = rng.bool();

    let mut rgb = Vec::with_capacity((crop_width * crop_height * 3) as usize);
    for y in top..top + crop_height {
        let start = (y as usize * width as usize + left as usize) * 3;
        let row = &picture.rgb()[start..start + crop_width as usize * 3];
        match mirrored {
            true => rgb.extend(row.rchunks_exact(3).flatten()),
            false => rgb.extend(row),
        }
    }
    preprocess.apply(&Pixels::new(crop_width, crop_height, rgb)?)
}

/// What decides the features of a set of images.
pub(super) struct FeatureJob<'a> {
    pub(super) tower: &'a ImageTower,
    pub(super) preprocess: &'a Preprocess,
    pub(super) device: tch::Device,
    /// Random views of each image, besides the plain one.
    pub(super) n_random: usize,
    pub(super) seed: u64,
}

impl FeatureJob<'_> {
    /// Features `[images · (1 + n_random), features]` in half precision: the plain view of each image, then its
    /// random ones. Images that cannot be read are left out of `pairs` and counted in its `skipped`.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `progress` (images done) says so; [`Error::Encoder`] if libtorch refuses.
    pub(super) fn run(
        &self,
        pairs: &mut Pairs,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Tensor> {
        let n_views = 1 + self.n_random;
        let (mut chunks, mut keep) = (Vec::new(), Vec::new());
        for start in (0..pairs.len()).step_by(BATCH) {
            let n = BATCH.min(pairs.len() - start);
            let readable: &Pairs = pairs;
            let (preprocess, n_random, seed) = (self.preprocess, self.n_random, self.seed);
            let made: Vec<Vec<Pixels>> = in_parallel(n, |i| {
                views(readable, start + i, preprocess, n_random, seed).unwrap_or_default()
            });
            keep.extend(made.iter().map(|views| !views.is_empty()));
            let views: Vec<Pixels> = made.into_iter().flatten().collect();
            for batch in views.chunks(BATCH) {
                let input = image_input(batch, self.preprocess, self.device)?;
                let features = guarded(|| tch::no_grad(|| self.tower.forward(&input)))?;
                chunks.push(features.to_kind(Kind::Half));
            }
            if progress(start + n).is_break() {
                return Err(Error::Cancelled);
            }
        }
        pairs.retain(&keep);
        let n_lost = keep.iter().filter(|kept| !**kept).count();
        if n_lost > 0 {
            pairs.skipped.insert("images cannot be read".into(), n_lost);
        }
        if pairs.is_empty() {
            return Err(Error::BadOption { reason: "none of the images can be read".into() });
        }
        let features = Tensor::cat(&chunks, 0);
        assert_eq!(features.size()[0] as usize, pairs.len() * n_views, "a row for each view");
        Ok(features)
    }
}

/// The plain view of an image, then its random ones.
fn views(
    pairs: &Pairs,
    i: usize,
    preprocess: &Preprocess,
    n_random: usize,
    seed: u64,
) -> Result<Vec<Pixels>> {
    let picture = pairs.pixels(i)?;
    // Each image has its own generator, so that the views do not depend on the number of threads.
    let mut rng = fastrand::Rng::with_seed(seed ^ (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut made = vec![view(&picture, preprocess, None)?];
    for _ in 0..n_random {
        made.push(view(&picture, preprocess, Some(&mut rng))?);
    }
    Ok(made)
}

/// Names everything that decides features, so that kept ones are never taken for others.
pub(super) fn key(
    pairs: &Pairs,
    image_weights: impl Iterator<Item = (String, Tensor)>,
    preprocess: &Preprocess,
    n_random: usize,
    seed: u64,
) -> String {
    let mut hasher = blake3::Hasher::new();
    for pair in pairs.iter() {
        hasher.update(pair.image.as_os_str().as_encoded_bytes());
        hasher.update(b"\0");
    }
    for (name, tensor) in image_weights {
        let values = tensor.to_device(tch::Device::Cpu).contiguous();
        let mut bytes = vec![0; values.numel() * values.kind().elt_size_in_bytes()];
        values.copy_data_u8(&mut bytes, values.numel());
        hasher.update(name.as_bytes());
        hasher.update(&bytes);
    }
    hasher.update(format!("{preprocess:?} {n_random} {seed}").as_bytes());
    hasher.finalize().to_hex()[..16].to_string()
}

/// Reads features that an earlier run of the same recipe kept; `None` if there are none.
pub(super) fn kept(path: &Path, n_rows: usize) -> Option<Tensor> {
    let checkpoint = Checkpoint::parse(read_file(path).ok()?.into(), path).ok()?;
    let features = checkpoint.tensor("features", tch::Device::Cpu).ok()?;
    (features.size()[0] as usize == n_rows).then(|| features.to_kind(Kind::Half))
}

/// Keeps features for a resumed run.
pub(super) fn keep(path: &Path, features: &Tensor) -> Result<()> {
    let tensors = [("features".to_string(), features.shallow_clone())].into();
    write_atomically(path, &checkpoint::serialize(&tensors, Storage::F16)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{Filter, Resize};

    #[test]
    fn views_are_crops_of_the_picture_and_repeatable() {
        let preprocess = Preprocess {
            size: 8,
            resize: Resize::Squash,
            filter: Filter::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let rgb = (0..20u8).flat_map(|y| (0..30u8).flat_map(move |x| [x * 8, y * 8, 0])).collect();
        let picture = Pixels::new(30, 20, rgb).unwrap();
        let random =
            |seed| view(&picture, &preprocess, Some(&mut fastrand::Rng::with_seed(seed))).unwrap();
        assert_eq!(view(&picture, &preprocess, None).unwrap(), preprocess.apply(&picture).unwrap());
        assert_eq!(random(1), random(1));
        let n_mirrored =
            (0..100).filter(|&seed| random(seed).rgb()[0] > random(seed).rgb()[21]).count();
        assert!((30..70).contains(&n_mirrored), "{n_mirrored} of 100 views are mirrored");
        assert!(
            (0..100).all(|seed| random(seed).rgb()[1] < random(seed).rgb()[7 * 24 + 1]),
            "never upside down"
        );
    }
}
