//! What a run trains on, ready to be drawn from: features or pictures, token ids, and who belongs to whom.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};

use crate::encoder::Preprocess;
use crate::encoder::dual::{guarded, image_input};
use crate::encoder::tokenizer::{TokenBatch, Tokenizer};
use crate::encoder::tower::ImageTower;
use crate::error::Result;
use crate::media::{Limits, PairSource, Pairs, in_parallel, paraphrases};
use crate::pixels::Pixels;
use crate::train::features::{self, FeatureJob, view};
use crate::train::model::{Model, start_model};
use crate::train::recipe::{Init, Recipe, TowerMode};
use crate::train::run::{Run, write_atomically};
use crate::train::{TrainEvent, TrainProgress, tell, vocab};

/// Everything that is read before the first step.
pub(super) struct TrainingSet {
    pub(super) tokenizer: Tokenizer,
    pub(super) tokenizer_json: Vec<u8>,
    pub(super) val: ImageSet,
    train: Vec<ImageSet>,
    /// Which set an image is of, and its number there.
    images: Vec<(usize, usize)>,
    paraphrases: Vec<Vec<Vec<i64>>>,
    device: tch::Device,
}

/// Images of one source with their captions.
pub(super) struct ImageSet {
    pairs: Pairs,
    captions: Vec<Vec<Vec<i64>>>,
    /// `[images · views, features]`; `None` while the tower is trained.
    features: Option<Tensor>,
    n_views: usize,
    preprocess: Preprocess,
    device: tch::Device,
}

/// What one step computes with.
pub(super) struct Batch {
    /// `[b, features]`.
    pub(super) features: Tensor,
    /// Captions `[m]`, then the left and the right halves of the paraphrases.
    pub(super) texts: TokenBatch,
    /// The image of each caption, `[m]`.
    pub(super) owner: Tensor,
    pub(super) n_paraphrases: i64,
}

impl TrainingSet {
    pub(super) fn open(
        recipe: &Recipe,
        data: &Path,
        run: &Run,
        model: &Model,
        device: tch::Device,
        progress: &mut TrainProgress,
    ) -> Result<Self> {
        let open = |source: &PairSource| Pairs::open(&source.below(data), Limits::default());
        let train = recipe.pairs.iter().map(open).collect::<Result<Vec<_>>>()?;
        let val = open(&recipe.val)?;
        let groups = recipe.paraphrases.iter().map(|file| paraphrases(&data.join(file)));
        let groups: Vec<Vec<String>> =
            groups.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();

        let tokenizer_json = tokenizer(recipe, data, run, &train, &groups)?;
        let tokenizer =
            Tokenizer::parse(&tokenizer_json, &recipe.model, &run.path("tokenizer.json"))?;
        let mut reader = SetReader { recipe, run, model, tokenizer: &tokenizer, device, progress };
        let sets = train.into_iter().enumerate();
        let train = sets
            .map(|(i, pairs)| reader.read(pairs, &format!("features-{i}"), recipe.views))
            .collect::<Result<Vec<_>>>()?;
        let val = reader.read(val, "features-val", 0)?;

        let images = train
            .iter()
            .enumerate()
            .flat_map(|(set, images)| (0..images.pairs.len()).map(move |i| (set, i)));
        let images = images.collect();
        let ids = |group: &Vec<String>| {
            group.iter().map(|text| tokenizer.ids(text)).collect::<Result<Vec<_>>>()
        };
        let paraphrases = groups.iter().map(ids).collect::<Result<Vec<_>>>()?;
        Ok(Self { images, paraphrases, val, train, tokenizer, tokenizer_json, device })
    }

    /// The images of each step of an epoch, every image once.
    pub(super) fn batches(&self, recipe: &Recipe, epoch: u64) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        generator(recipe.seed, 1, epoch).shuffle(&mut order);
        let mut batches: Vec<Vec<usize>> =
            order.chunks(recipe.batch).map(<[usize]>::to_vec).collect();
        // A contrast needs company: a last batch of a few images would be an easy and noisy one.
        if batches.len() > 1 && batches.last().is_some_and(|last| last.len() * 2 < recipe.batch) {
            batches.pop();
        }
        batches
    }

    /// Draws a step's views, captions and paraphrases.
    pub(super) fn batch(
        &self,
        recipe: &Recipe,
        model: &Model,
        images: &[usize],
        step: u64,
    ) -> Result<Batch> {
        let mut rng = generator(recipe.seed, 2, step);
        let (mut ids, mut owner) = (Vec::new(), Vec::new());
        for (b, &image) in images.iter().enumerate() {
            let (set, i) = self.images[image];
            for caption in choose(&mut rng, &self.train[set].captions[i], recipe.captions_per_image)
            {
                ids.push(with_dropout(caption, recipe.word_dropout, &mut rng));
                owner.push(b as i64);
            }
        }
        let n_paraphrases = recipe.paraphrase_batch.min(self.paraphrases.len());
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for _ in 0..n_paraphrases {
            let group = &self.paraphrases[rng.usize(0..self.paraphrases.len())];
            let two = choose(&mut rng, group, 2);
            left.push(with_dropout(two[0], recipe.word_dropout, &mut rng));
            right.push(with_dropout(two[1], recipe.word_dropout, &mut rng));
        }
        ids.extend(left);
        ids.extend(right);
        Ok(Batch {
            features: self.features(recipe, model, images, &mut rng)?,
            texts: self.tokenizer.pad(&ids, self.device),
            owner: Tensor::from_slice(&owner).to_device(self.device),
            n_paraphrases: n_paraphrases as i64,
        })
    }

    /// Features `[b, features]` of a random view of each image, in order.
    fn features(
        &self,
        recipe: &Recipe,
        model: &Model,
        images: &[usize],
        rng: &mut fastrand::Rng,
    ) -> Result<Tensor> {
        let n_random = recipe.views;
        let places: Vec<(usize, usize)> = images.iter().map(|&image| self.images[image]).collect();
        if self.train[0].features.is_none() {
            let seeds: Vec<u64> = places.iter().map(|_| rng.u64(..)).collect();
            // Tensors are not shared between threads; the decoders see the pairs only.
            let pairs: Vec<&Pairs> = self.train.iter().map(|set| &set.pairs).collect();
            let preprocess = &recipe.model.preprocess;
            let views = in_parallel(places.len(), |b| {
                let (set, i) = places[b];
                let mut random = (n_random > 0).then(|| fastrand::Rng::with_seed(seeds[b]));
                view(&pairs[set].pixels(i)?, preprocess, random.as_mut())
            });
            let views = views.into_iter().collect::<Result<Vec<Pixels>>>()?;
            let input = image_input(&views, preprocess, self.device)?;
            return guarded(|| model.image_tower.forward(&input));
        }
        let rows: Vec<Tensor> = places
            .iter()
            .map(|&(set, i)| self.train[set].feature_row(i, rng.usize(0..=n_random)))
            .collect();
        Ok(Tensor::stack(&rows, 0).to_device(self.device).to_kind(Kind::Float))
    }
}

impl ImageSet {
    /// Features `[n, features]` of the plain view of every image.
    pub(super) fn features(&self, tower: &ImageTower) -> Result<Tensor> {
        if let Some(features) = &self.features {
            let plain = features.slice(0, None, None, self.n_views as i64);
            return Ok(plain.to_device(self.device).to_kind(Kind::Float));
        }
        let (pairs, preprocess) = (&self.pairs, &self.preprocess);
        let mut rows = Vec::new();
        for start in (0..pairs.len()).step_by(features::BATCH) {
            let n = features::BATCH.min(pairs.len() - start);
            let views = in_parallel(n, |i| view(&pairs.pixels(start + i)?, preprocess, None));
            let input = image_input(
                &views.into_iter().collect::<Result<Vec<_>>>()?,
                preprocess,
                self.device,
            )?;
            rows.push(guarded(|| tower.forward(&input))?);
        }
        Ok(Tensor::cat(&rows, 0))
    }

    /// All captions and the image of each.
    pub(super) fn texts(&self) -> (Vec<Vec<i64>>, Vec<usize>) {
        let of_image = |(i, captions): (usize, &Vec<Vec<i64>>)| {
            captions.iter().map(move |c| (c.clone(), i)).collect()
        };
        self.captions.iter().enumerate().flat_map::<Vec<_>, _>(of_image).unzip()
    }

    fn feature_row(&self, i: usize, view: usize) -> Tensor {
        let features = self.features.as_ref().expect("a frozen tower has features");
        features.get((i * self.n_views + view) as i64)
    }
}

/// Turns pairs into sets: features computed or found again, captions as token ids.
struct SetReader<'a, 'p> {
    recipe: &'a Recipe,
    run: &'a Run,
    model: &'a Model,
    tokenizer: &'a Tokenizer,
    device: tch::Device,
    progress: &'a mut TrainProgress<'p>,
}

impl SetReader<'_, '_> {
    fn read(&mut self, mut pairs: Pairs, name: &str, n_random: usize) -> Result<ImageSet> {
        pairs.drop_uncaptioned();
        let preprocess = self.recipe.model.preprocess.clone();
        let features = match self.recipe.image_tower {
            TowerMode::Trained => {
                pairs.drop_unreadable();
                None
            }
            TowerMode::Frozen => Some(self.features(&mut pairs, name, n_random, &preprocess)?),
        };
        for (reason, n) in &pairs.skipped {
            tell(self.progress, TrainEvent::Note(format!("{n} {reason}: passed over")))?;
        }
        let ids = |pair: &crate::media::Pair| {
            pair.captions.iter().map(|text| self.tokenizer.ids(text)).collect()
        };
        let captions = pairs.iter().map(ids).collect::<Result<Vec<Vec<_>>>>()?;
        Ok(ImageSet {
            pairs,
            captions,
            features,
            n_views: 1 + n_random,
            preprocess,
            device: self.device,
        })
    }

    fn features(
        &mut self,
        pairs: &mut Pairs,
        name: &str,
        n_random: usize,
        preprocess: &Preprocess,
    ) -> Result<Tensor> {
        let key = features::key(
            pairs,
            self.model.image_weights(),
            preprocess,
            n_random,
            self.recipe.seed,
        );
        let path = self.run.path(&format!("{name}-{key}.safetensors"));
        if let Some(kept) = features::kept(&path, pairs.len() * (1 + n_random)) {
            return Ok(kept);
        }
        let (tower, device, seed) = (&self.model.image_tower, self.device, self.recipe.seed);
        let total = pairs.len();
        let job = FeatureJob { tower, preprocess, device, n_random, seed };
        let made =
            job.run(pairs, &mut |done| (self.progress)(&TrainEvent::Features { done, total }))?;
        features::keep(&path, &made)?;
        Ok(made)
    }
}

/// The run's `tokenizer.json`: kept from before, the first model's, or learned from all captions.
fn tokenizer(
    recipe: &Recipe,
    data: &Path,
    run: &Run,
    train: &[Pairs],
    groups: &[Vec<String>],
) -> Result<Vec<u8>> {
    let path = run.path("tokenizer.json");
    if path.exists() {
        return crate::error::read(&path);
    }
    let json = match &recipe.init {
        Init::Model { dir } => start_model(dir.as_deref(), data)?.tokenizer_json().to_vec(),
        Init::ImageTower { .. } | Init::Random => {
            let captions = train.iter().flat_map(Pairs::iter).flat_map(|pair| &pair.captions);
            // Each text once: a phrase that many drawn scenes share should not fill the vocabulary.
            let texts: BTreeMap<&str, ()> =
                captions.chain(groups.iter().flatten()).map(|text| (text.as_str(), ())).collect();
            vocab::learn(texts.into_keys(), recipe.vocab())?
        }
    };
    write_atomically(&path, &json)?;
    Ok(json)
}

/// A generator for one purpose at one moment.
fn generator(seed: u64, purpose: u64, moment: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (purpose << 56) ^ moment)
}

/// Up to `n` different elements in random order.
fn choose<'a, T>(rng: &mut fastrand::Rng, from: &'a [T], n: usize) -> Vec<&'a T> {
    let mut places: Vec<usize> = (0..from.len()).collect();
    rng.shuffle(&mut places);
    places.into_iter().take(n).map(|i| &from[i]).collect()
}

/// The tokens that survive; one at least.
fn with_dropout(ids: &[i64], probability: f64, rng: &mut fastrand::Rng) -> Vec<i64> {
    let kept: Vec<i64> = ids.iter().copied().filter(|_| rng.f64() >= probability).collect();
    if kept.is_empty() { ids.to_vec() } else { kept }
}
