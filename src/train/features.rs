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

/// How a random view differs from the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Augment {
    /// The smallest share of the area that a crop keeps.
    pub(super) least_area: f64,
    /// The largest change of brightness, contrast and saturation.
    pub(super) colour_jitter: f64,
}

/// The picture as the product sees it, or a random crop of it, mirrored half of the time.
pub(super) fn view(
    picture: &Pixels,
    preprocess: &Preprocess,
    random: Option<(&Augment, &mut fastrand::Rng)>,
) -> Result<Pixels> {
    let Some((augment, rng)) = random else { return preprocess.apply(picture) };
    let least = augment.least_area;
    let side = (least + (1.0 - least) * rng.f64()).sqrt();
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
    if augment.colour_jitter > 0.0 {
        jitter(&mut rgb, augment.colour_jitter, rng);
    }
    preprocess.apply(&Pixels::new(crop_width, crop_height, rgb)?)
}

/// Multiplies brightness, contrast about the mean and saturation by factors of `1 ± strength`, in that order.
fn jitter(rgb: &mut [u8], strength: f64, rng: &mut fastrand::Rng) {
    let mut factor = || (1.0 + strength * (2.0 * rng.f64() - 1.0)) as f32;
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    let mean = rgb.iter().map(|&v| f32::from(v)).sum::<f32>() / rgb.len() as f32 * brightness;
    for pixel in rgb.chunks_exact_mut(3) {
        let shifted =
            [0, 1, 2].map(|c| (f32::from(pixel[c]) * brightness - mean) * contrast + mean);
        // Weights of ITU-R BT.601, as in Pillow's ImageEnhance.
        let grey = 0.299 * shifted[0] + 0.587 * shifted[1] + 0.114 * shifted[2];
        for (value, shifted) in pixel.iter_mut().zip(shifted) {
            *value = (grey + (shifted - grey) * saturation).round().clamp(0.0, 255.0) as u8;
        }
    }
}

/// What decides the features of a set of images: what the image tower's frozen layers give.
#[derive(Clone, Copy)]
pub(super) struct FeatureJob<'a> {
    pub(super) tower: &'a ImageTower,
    pub(super) n_frozen: usize,
    pub(super) preprocess: &'a Preprocess,
    pub(super) augment: Augment,
    pub(super) device: tch::Device,
    /// Random views of each image, besides the plain one.
    pub(super) n_random: usize,
    pub(super) seed: u64,
}

impl FeatureJob<'_> {
    /// Features `[images · (1 + n_random), …]` in half precision: the plain view of each image, then its random ones;
    /// and which of the images could be read. The others have no rows.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `progress` (images done) says so; [`Error::Encoder`] if libtorch refuses.
    pub(super) fn run(
        &self,
        pairs: &Pairs,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Kept> {
        let n_views = 1 + self.n_random;
        let (mut chunks, mut keep) = (Vec::new(), Vec::new());
        for start in (0..pairs.len()).step_by(BATCH) {
            let n = BATCH.min(pairs.len() - start);
            let (preprocess, augment) = (self.preprocess, self.augment);
            let (n_random, seed) = (self.n_random, self.seed);
            // Tensors are not shared between threads; the decoders get all but the tower.
            let made: Vec<Vec<Pixels>> = in_parallel(n, |i| {
                views(pairs, start + i, preprocess, &augment, n_random, seed).unwrap_or_default()
            });
            keep.extend(made.iter().map(|views| !views.is_empty()));
            let views: Vec<Pixels> = made.into_iter().flatten().collect();
            for batch in views.chunks(BATCH) {
                let input = image_input(batch, self.preprocess, self.device)?;
                let features = guarded(|| {
                    tch::no_grad(|| self.tower.front(&input, self.n_frozen).contiguous())
                })?;
                chunks.push(features.to_kind(Kind::Half));
            }
            if progress(start + n).is_break() {
                return Err(Error::Cancelled);
            }
        }
        if chunks.is_empty() {
            return Err(Error::BadOption { reason: "none of the images can be read".into() });
        }
        let features = Tensor::cat(&chunks, 0);
        let n_kept = keep.iter().filter(|kept| **kept).count();
        assert_eq!(features.size()[0] as usize, n_kept * n_views, "a row for each view");
        Ok(Kept { features, readable: keep })
    }
}

/// Features of the images that can be read.
pub(super) struct Kept {
    /// `[readable images · views, …]`, half precision.
    pub(super) features: Tensor,
    /// Whether each image could be read.
    pub(super) readable: Vec<bool>,
}

/// The plain view of an image, then its random ones.
fn views(
    pairs: &Pairs,
    i: usize,
    preprocess: &Preprocess,
    augment: &Augment,
    n_random: usize,
    seed: u64,
) -> Result<Vec<Pixels>> {
    let picture = pairs.pixels(i, preprocess.detail())?;
    // Each image has its own generator, so that the views do not depend on the number of threads.
    let mut rng = fastrand::Rng::with_seed(seed ^ (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut made = vec![view(&picture, preprocess, None)?];
    for _ in 0..n_random {
        made.push(view(&picture, preprocess, Some((augment, &mut rng)))?);
    }
    Ok(made)
}

/// Names everything that decides features, so that kept ones are never taken for others.
pub(super) fn key(
    pairs: &Pairs,
    frozen_weights: impl Iterator<Item = (String, Tensor)>,
    job: &FeatureJob,
) -> String {
    let mut hasher = blake3::Hasher::new();
    for pair in pairs.iter() {
        hasher.update(pair.image.as_os_str().as_encoded_bytes());
        hasher.update(b"\0");
    }
    for (name, tensor) in frozen_weights {
        let values = tensor.to_device(tch::Device::Cpu).contiguous();
        let mut bytes = vec![0; values.numel() * values.kind().elt_size_in_bytes()];
        values.copy_data_u8(&mut bytes, values.numel());
        hasher.update(name.as_bytes());
        hasher.update(&bytes);
    }
    let FeatureJob { preprocess, augment, n_random, seed, .. } = job;
    hasher.update(format!("{preprocess:?} {augment:?} {n_random} {seed}").as_bytes());
    hasher.finalize().to_hex()[..16].to_string()
}

/// Reads features that an earlier run of the same recipe kept; `None` if there are none.
pub(super) fn kept(path: &Path, n_images: usize, n_views: usize) -> Option<Kept> {
    let checkpoint = Checkpoint::parse(read_file(path).ok()?.into(), path).ok()?;
    let features = checkpoint.tensor("features", tch::Device::Cpu).ok()?;
    let readable = checkpoint.tensor("readable", tch::Device::Cpu).ok()?;
    let readable: Vec<f32> = Vec::try_from(readable).ok()?;
    let readable: Vec<bool> = readable.into_iter().map(|value| value > 0.5).collect();
    let n_kept = readable.iter().filter(|kept| **kept).count();
    let is_whole = readable.len() == n_images && features.size()[0] as usize == n_kept * n_views;
    is_whole.then(|| Kept { features: features.to_kind(Kind::Half), readable })
}

/// Keeps features for a resumed run.
pub(super) fn keep(path: &Path, made: &Kept) -> Result<()> {
    let readable: Vec<f32> = made.readable.iter().map(|&kept| f32::from(u8::from(kept))).collect();
    let tensors = [
        ("features".to_string(), made.features.shallow_clone()),
        ("readable".to_string(), Tensor::from_slice(&readable)),
    ];
    write_atomically(path, &checkpoint::serialize(&tensors.into(), Storage::F16)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{Filter, JpegScale, Resize};

    #[test]
    fn views_are_crops_of_the_picture_and_repeatable() {
        let preprocess = Preprocess {
            size: 8,
            jpeg_scale: JpegScale::None,
            resize: Resize::Squash,
            filter: Filter::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let rgb = (0..20u8).flat_map(|y| (0..30u8).flat_map(move |x| [x * 8, y * 8, 0])).collect();
        let picture = Pixels::new(30, 20, rgb).unwrap();
        let augment = Augment { least_area: 0.6, colour_jitter: 0.0 };
        let random = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            view(&picture, &preprocess, Some((&augment, &mut rng))).unwrap()
        };
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

    #[test]
    fn jitter_changes_brightness_contrast_and_saturation_within_bounds() {
        let grey = [100u8; 300];
        let mut darkest = 255;
        for seed in 0..200 {
            let mut rgb = grey;
            jitter(&mut rgb, 0.2, &mut fastrand::Rng::with_seed(seed));
            assert!(rgb.iter().all(|&v| v == rgb[0]), "a grey picture stays grey and flat");
            assert!((80..=120).contains(&rgb[0]), "{}", rgb[0]);
            darkest = darkest.min(rgb[0]);
        }
        assert!(darkest < 85, "the whole range is used");
        let mut red = [200u8, 50, 50].repeat(50);
        jitter(&mut red, 0.2, &mut fastrand::Rng::with_seed(1));
        assert!(red[0] > red[1] && red[1] == red[2] && red[0] != 200);
    }
}
