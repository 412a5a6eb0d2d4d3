//! What a run trains on, ready to be drawn from: features or pictures, token ids, and who belongs to whom.

use std::collections::HashMap;

use tch::{Kind, Tensor};

use crate::encoder::config::ModelConfig;
use crate::encoder::dual::{guarded, image_input};
use crate::encoder::tokenizer::Tokenizer;
use crate::error::{Result, io_at};
use crate::media::{Limits, PairSource, Pairs, in_parallel, paraphrases};
use crate::pixels::Pixels;
use crate::train::features::{Augment, view};
use crate::train::model::Model;
use crate::train::recipe::{Classes, Recipe, TextMode};
use crate::train::run::Run;
use crate::train::sets::{ClassSet, ImageSet, SetReader, tokenizer};
use crate::train::{TrainEvent, TrainOptions, TrainProgress, tell};

/// Texts that go through the tower at once.
const TEXT_BATCH: usize = 256;

/// Everything that is read before the first step.
pub(super) struct TrainingSet {
    tokenizer: Tokenizer,
    pub(super) tokenizer_json: Vec<u8>,
    pub(super) val: ImageSet,
    train: Vec<ImageSet>,
    /// Which set an image is of, and its number there.
    images: Vec<(usize, usize)>,
    paraphrases: Vec<Vec<Vec<i64>>>,
    classes: Option<ClassSet>,
    /// What a frozen text tower gives for every text of the run.
    frozen_texts: Option<FrozenTexts>,
    augment: Augment,
    device: tch::Device,
}

struct FrozenTexts {
    rows: HashMap<Vec<i64>, i64>,
    /// `[texts, width]`.
    features: Tensor,
}

/// What one step computes with.
pub(super) struct Batch {
    /// `[b, features]`.
    pub(super) features: Tensor,
    /// What each is multiplied by: 0, or the inverse of the share that stays.
    pub(super) dropout: Tensor,
    /// Features of the captions `[m]`, then of the left and the right halves of the paraphrases, then of the classes.
    pub(super) texts: Tensor,
    /// The image of each caption, `[m]`.
    pub(super) owner: Tensor,
    pub(super) n_paraphrases: i64,
    /// Where there are classes.
    pub(super) lesson: Option<Lesson>,
}

/// What a classifier teaches.
pub(super) struct Lesson {
    /// Features of made-up images `[s, features]`, to stand behind those of the images; with their dropout factors.
    pub(super) synthetic: Option<(Tensor, Tensor)>,
    /// The probabilities that the classifier gives to the classes, `[b + s, classes]`.
    pub(super) teacher: Tensor,
}

impl TrainingSet {
    pub(super) fn open(
        recipe: &Recipe,
        config: &ModelConfig,
        options: &TrainOptions,
        run: &Run,
        model: &Model,
        progress: &mut TrainProgress,
    ) -> Result<Self> {
        let (data, device) = (options.data.as_path(), options.device.torch()?);
        let cache = options.cache.as_deref().unwrap_or(&options.run);
        std::fs::create_dir_all(cache).map_err(io_at("create", cache))?;
        let open = |source: &PairSource| Pairs::open(&source.below(data), Limits::default());
        let train = recipe.pairs.iter().map(open).collect::<Result<Vec<_>>>()?;
        let val = open(&recipe.val)?;
        let classes = recipe.classes.as_ref().map(|classes| open(&classes.images)).transpose()?;
        let groups = recipe.paraphrases.iter().map(|file| paraphrases(&data.join(file)));
        let groups: Vec<Vec<String>> =
            groups.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();

        let labels = classes.iter().flat_map(Pairs::iter).filter_map(|pair| pair.label.as_deref());
        let tokenizer_json = tokenizer(recipe, data, run, &train, &groups, labels)?;
        let tokenizer = Tokenizer::parse(&tokenizer_json, config, &run.path("tokenizer.json"))?;
        let augment =
            Augment { least_area: recipe.least_area, colour_jitter: recipe.colour_jitter };
        let mut reader = SetReader {
            recipe,
            config,
            cache,
            model,
            augment,
            tokenizer: &tokenizer,
            device,
            progress,
        };
        let sets = train.into_iter().enumerate();
        let train = sets
            .map(|(i, pairs)| reader.read(pairs, &format!("train-{i}"), recipe.views))
            .collect::<Result<Vec<_>>>()?;
        let val = reader.read(val, "val", 0)?;
        let classes = match (classes, &recipe.classes) {
            (Some(pairs), Some(classes)) => Some(reader.read_classes(pairs, classes, data)?),
            _ => None,
        };

        let images = train
            .iter()
            .enumerate()
            .flat_map(|(set, images)| (0..images.pairs.len()).map(move |i| (set, i)));
        let images = images.collect();
        let ids = |group: &Vec<String>| {
            group.iter().map(|text| tokenizer.ids(text)).collect::<Result<Vec<_>>>()
        };
        let paraphrases = groups.iter().map(ids).collect::<Result<Vec<_>>>()?;
        let mut set = Self {
            images,
            paraphrases,
            val,
            train,
            classes,
            frozen_texts: None,
            tokenizer,
            tokenizer_json,
            augment,
            device,
        };
        if recipe.text_tower == TextMode::Frozen {
            set.frozen_texts = Some(set.freeze_texts(model, progress)?);
        }
        Ok(set)
    }

    /// Steps in which every group of paraphrases is drawn once, on average.
    pub(super) fn paraphrase_steps(&self, recipe: &Recipe) -> u64 {
        (self.paraphrases.len() / recipe.paraphrase_batch.max(1)) as u64
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

    /// Draws a step's views, captions, paraphrases and class names.
    pub(super) fn batch(
        &self,
        recipe: &Recipe,
        model: &Model,
        images: &[usize],
        step: u64,
    ) -> Result<Batch> {
        let mut rng = generator(recipe.seed, 2, step);
        let mut shown: Vec<(&ImageSet, usize)> = images
            .iter()
            .map(|&image| self.images[image])
            .map(|(set, i)| (&self.train[set], i))
            .collect();
        let classes = self.classes.as_ref().zip(recipe.classes.as_ref());
        if let Some((set, classes)) = classes {
            let all: Vec<usize> = (0..set.images.pairs.len()).collect();
            let chosen = choose(&mut rng, &all, classes.batch);
            shown.extend(chosen.into_iter().map(|&i| (&set.images, i)));
        }
        let (mut ids, mut owner) = (Vec::new(), Vec::new());
        for (b, &(set, i)) in shown.iter().enumerate() {
            for caption in choose(&mut rng, &set.captions[i], recipe.captions_per_image) {
                ids.push(self.with_dropout(caption, recipe.word_dropout, &mut rng));
                owner.push(b as i64);
            }
        }
        let paraphrases = self.draw_paraphrases(recipe, &mut rng);
        let n_paraphrases = paraphrases.len() as i64 / 2;
        ids.extend(paraphrases);
        if let Some((set, _)) = classes {
            let one = |names: &Vec<Vec<i64>>| names[rng.usize(0..names.len())].clone();
            ids.extend(set.names.iter().map(one));
        }
        let front = self.front(&shown, &mut rng)?;
        let teach = |(set, classes): (&ClassSet, &Classes)| {
            set.teach(recipe, classes, model, &front, &mut rng)
        };
        let lesson = classes.map(teach).transpose()?;
        let features = guarded(|| model.image_tower.back(&front, model.n_frozen))?;
        Ok(Batch {
            dropout: dropout(recipe.feature_dropout, &features, &mut rng),
            features,
            texts: self.text_features(model, &ids)?,
            owner: Tensor::from_slice(&owner).to_device(self.device),
            n_paraphrases,
            lesson,
        })
    }

    /// Features of the left and then of the right halves of a warm-up step's paraphrases.
    pub(super) fn warm_up_batch(
        &self,
        recipe: &Recipe,
        model: &Model,
        step: u64,
    ) -> Result<Tensor> {
        let mut rng = generator(recipe.seed, 3, step);
        self.text_features(model, &self.draw_paraphrases(recipe, &mut rng))
    }

    /// Token ids of two texts of each of some groups: all the first ones, then all the second ones.
    fn draw_paraphrases(&self, recipe: &Recipe, rng: &mut fastrand::Rng) -> Vec<Vec<i64>> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for _ in 0..recipe.paraphrase_batch.min(self.paraphrases.len()) {
            let group = &self.paraphrases[rng.usize(0..self.paraphrases.len())];
            let two = choose(rng, group, 2);
            left.push(self.with_dropout(two[0], recipe.word_dropout, rng));
            right.push(self.with_dropout(two[1], recipe.word_dropout, rng));
        }
        left.append(&mut right);
        left
    }

    /// What the frozen layers give for a random view of each image, in order; pixels if there are none.
    fn front(&self, shown: &[(&ImageSet, usize)], rng: &mut fastrand::Rng) -> Result<Tensor> {
        let n_views = self.train[0].n_views;
        if self.train[0].features.is_none() {
            let seeds: Vec<u64> = shown.iter().map(|_| rng.u64(..)).collect();
            // Tensors are not shared between threads; the decoders see the pairs only.
            let places: Vec<(&Pairs, usize)> =
                shown.iter().map(|(set, i)| (&set.pairs, *i)).collect();
            let (preprocess, augment) = (&self.val.config.preprocess, &self.augment);
            let views = in_parallel(places.len(), |b| {
                let (pairs, i) = places[b];
                let mut rng = fastrand::Rng::with_seed(seeds[b]);
                let random = (n_views > 1).then_some((augment, &mut rng));
                view(&pairs.pixels(i, preprocess.detail())?, preprocess, random)
            });
            let views = views.into_iter().collect::<Result<Vec<Pixels>>>()?;
            return image_input(&views, preprocess, self.device);
        }
        let rows: Vec<Tensor> =
            shown.iter().map(|&(set, i)| set.feature_row(i, rng.usize(0..n_views))).collect();
        Ok(Tensor::stack(&rows, 0).to_device(self.device).to_kind(Kind::Float))
    }

    /// Features `[n, width]` of token ids.
    pub(super) fn text_features(&self, model: &Model, ids: &[Vec<i64>]) -> Result<Tensor> {
        match &self.frozen_texts {
            Some(frozen) => {
                let rows: Vec<i64> = ids.iter().map(|ids| frozen.rows[ids]).collect();
                let rows = Tensor::from_slice(&rows).to_device(self.device);
                Ok(frozen.features.index_select(0, &rows))
            }
            None => self.tower_features(model, ids),
        }
    }

    /// Features of token ids by the text tower. Texts of like length share a batch: a name of three tokens should not be
    /// padded to a caption's thirty.
    fn tower_features(&self, model: &Model, ids: &[Vec<i64>]) -> Result<Tensor> {
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&i| ids[i].len());
        let mut place = vec![0i64; ids.len()];
        order.iter().enumerate().for_each(|(at, &i)| place[i] = at as i64);
        let mut chunks = Vec::new();
        for chunk in order.chunks(TEXT_BATCH) {
            let texts: Vec<Vec<i64>> = chunk.iter().map(|&i| ids[i].clone()).collect();
            let batch = self.tokenizer.pad(&texts, self.device);
            chunks.push(guarded(|| model.text_features(&batch))?);
        }
        let place = Tensor::from_slice(&place).to_device(self.device);
        guarded(|| Tensor::cat(&chunks, 0).index_select(0, &place))
    }

    /// Puts every text of the run through the text tower.
    fn freeze_texts(&self, model: &Model, progress: &mut TrainProgress) -> Result<FrozenTexts> {
        let sets = self.train.iter().chain([&self.val]);
        let sets = sets.chain(self.classes.iter().map(|classes| &classes.images));
        let names = self.classes.iter().flat_map(|classes| &classes.names);
        let texts = sets.flat_map(|set| &set.captions).chain(&self.paraphrases).chain(names);
        let mut rows: HashMap<Vec<i64>, i64> = HashMap::new();
        let mut distinct: Vec<Vec<i64>> = Vec::new();
        for ids in texts.flatten() {
            if !rows.contains_key(ids) {
                rows.insert(ids.clone(), distinct.len() as i64);
                distinct.push(ids.clone());
            }
        }
        let (mut chunks, total) = (Vec::new(), distinct.len());
        for (i, ids) in distinct.chunks(TEXT_BATCH).enumerate() {
            let batch = self.tokenizer.pad(ids, self.device);
            chunks.push(guarded(|| tch::no_grad(|| model.text_features(&batch)))?);
            let done = (i * TEXT_BATCH + ids.len()).min(total);
            tell(progress, TrainEvent::Features { done, total })?;
        }
        Ok(FrozenTexts { rows, features: Tensor::cat(&chunks, 0) })
    }

    /// The tokens that survive; one at least, and all where the text tower is frozen.
    fn with_dropout(&self, ids: &[i64], probability: f64, rng: &mut fastrand::Rng) -> Vec<i64> {
        let kept: Vec<i64> = ids.iter().copied().filter(|_| rng.f64() >= probability).collect();
        if kept.is_empty() || self.frozen_texts.is_some() { ids.to_vec() } else { kept }
    }
}

impl ClassSet {
    /// What the classifier says of the images of a step, and of made-up ones.
    fn teach(
        &self,
        recipe: &Recipe,
        classes: &Classes,
        model: &Model,
        front: &Tensor,
        rng: &mut fastrand::Rng,
    ) -> Result<Lesson> {
        let synthetic = self.synthesizer.as_ref().map(|made_up| {
            let features = made_up.draw(classes.synthetic, rng);
            let dropout = dropout(recipe.feature_dropout, &features, rng);
            (features, dropout)
        });
        let teacher = guarded(|| {
            tch::no_grad(|| {
                let mut features = model.teacher.back(front, model.n_frozen);
                if let Some((made_up, _)) = &synthetic {
                    features = Tensor::cat(&[&features, made_up], 0);
                }
                features.linear(&self.weight, Some(&self.bias)).softmax(-1, Kind::Float)
            })
        })?;
        Ok(Lesson { synthetic, teacher })
    }
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

/// A factor for each value: 0 with some probability, else what keeps the mean.
fn dropout(probability: f64, features: &Tensor, rng: &mut fastrand::Rng) -> Tensor {
    let kept = (1.0 / (1.0 - probability)) as f32;
    let draw = |_| if rng.f64() < probability { 0.0 } else { kept };
    let factors: Vec<f32> = (0..features.numel()).map(draw).collect();
    Tensor::from_slice(&factors).view(features.size().as_slice()).to_device(features.device())
}
