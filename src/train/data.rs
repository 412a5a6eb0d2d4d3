//! What a run trains on, ready to be drawn from: features or pictures, token ids, and who belongs to whom.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tch::{Kind, Tensor};

use crate::encoder::checkpoint::Checkpoint;
use crate::encoder::config::ModelConfig;
use crate::encoder::dual::{guarded, image_input};
use crate::encoder::files::read_file;
use crate::encoder::tokenizer::Tokenizer;
use crate::error::{Error, Result, io_at};
use crate::eval::PLACEHOLDER;
use crate::media::{Limits, PairSource, Pairs, in_parallel, paraphrases};
use crate::pixels::Pixels;
use crate::train::features::{self, Augment, FeatureJob, view};
use crate::train::model::{Model, start_model};
use crate::train::recipe::{Classes, Init, Recipe, TextMode};
use crate::train::run::{Run, write_atomically};
use crate::train::synthetic::Synthesizer;
use crate::train::{TrainEvent, TrainOptions, TrainProgress, tell, vocab};

/// Texts that go through a frozen tower at once.
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

/// Images of one source with their captions.
pub(super) struct ImageSet {
    pairs: Pairs,
    captions: Vec<Vec<Vec<i64>>>,
    /// `[images · views, …]`, what the tower's frozen layers give; `None` if there are none.
    features: Option<Tensor>,
    n_views: usize,
    config: ModelConfig,
    device: tch::Device,
}

/// Images with a class name, and the classifier that knows the names.
struct ClassSet {
    images: ImageSet,
    /// Token ids of every class, for each prompt.
    names: Vec<Vec<Vec<i64>>>,
    /// `[classes, features]`.
    weight: Tensor,
    /// `[classes]`.
    bias: Tensor,
    synthesizer: Option<Synthesizer>,
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
        let mut reader =
            SetReader { recipe, config, cache, model, augment, tokenizer: &tokenizer, device, progress };
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

    /// Draws a step's views, captions, paraphrases and class names. Without `images` it is a step of the warm-up.
    pub(super) fn batch(
        &self,
        recipe: &Recipe,
        model: &Model,
        images: &[usize],
        step: u64,
    ) -> Result<Batch> {
        let purpose = if images.is_empty() { 3 } else { 2 };
        let mut rng = generator(recipe.seed, purpose, step);
        let mut shown: Vec<(&ImageSet, usize)> =
            images.iter().map(|&image| self.images[image]).map(|(s, i)| (&self.train[s], i)).collect();
        if let (Some(set), Some(classes)) = (&self.classes, &recipe.classes) {
            let all: Vec<usize> = (0..set.images.pairs.len()).collect();
            shown.extend(choose(&mut rng, &all, classes.batch).into_iter().map(|&i| (&set.images, i)));
        }
        let (mut ids, mut owner) = (Vec::new(), Vec::new());
        for (b, &(set, i)) in shown.iter().enumerate() {
            for caption in choose(&mut rng, &set.captions[i], recipe.captions_per_image) {
                ids.push(self.with_dropout(caption, recipe.word_dropout, &mut rng));
                owner.push(b as i64);
            }
        }
        let n_paraphrases = recipe.paraphrase_batch.min(self.paraphrases.len());
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for _ in 0..n_paraphrases {
            let group = &self.paraphrases[rng.usize(0..self.paraphrases.len())];
            let two = choose(&mut rng, group, 2);
            left.push(self.with_dropout(two[0], recipe.word_dropout, &mut rng));
            right.push(self.with_dropout(two[1], recipe.word_dropout, &mut rng));
        }
        ids.extend(left);
        ids.extend(right);
        if let Some(classes) = &self.classes {
            ids.extend(classes.names[rng.usize(0..classes.names.len())].iter().cloned());
        }
        let front = self.front(&shown, &mut rng)?;
        let lesson = match (&self.classes, &recipe.classes) {
            (Some(set), Some(classes)) => Some(set.teach(recipe, classes, model, &front, &mut rng)?),
            _ => None,
        };
        let features = match shown.is_empty() {
            true => front.shallow_clone(),
            false => guarded(|| model.image_tower.back(&front, model.n_frozen))?,
        };
        Ok(Batch {
            dropout: dropout(recipe.feature_dropout, &features, &mut rng),
            features,
            texts: self.text_features(model, &ids)?,
            owner: Tensor::from_slice(&owner).to_device(self.device),
            n_paraphrases: n_paraphrases as i64,
            lesson,
        })
    }

    /// What the frozen layers give for a random view of each image, in order; pixels if there are none.
    fn front(&self, shown: &[(&ImageSet, usize)], rng: &mut fastrand::Rng) -> Result<Tensor> {
        let n_views = self.train[0].n_views;
        if shown.is_empty() {
            let n_features = self.val.config.image_features();
            return Ok(Tensor::zeros([0, n_features], (Kind::Float, self.device)));
        }
        if self.train[0].features.is_none() {
            let seeds: Vec<u64> = shown.iter().map(|_| rng.u64(..)).collect();
            // Tensors are not shared between threads; the decoders see the pairs only.
            let places: Vec<(&Pairs, usize)> = shown.iter().map(|(set, i)| (&set.pairs, *i)).collect();
            let (preprocess, augment) = (&self.val.config.preprocess, &self.augment);
            let views = in_parallel(places.len(), |b| {
                let (pairs, i) = places[b];
                let mut rng = fastrand::Rng::with_seed(seeds[b]);
                let random = (n_views > 1).then_some((augment, &mut rng));
                view(&pairs.pixels(i)?, preprocess, random)
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
            None => guarded(|| model.text_features(&self.tokenizer.pad(ids, self.device))),
        }
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

impl ImageSet {
    /// Features `[n, features]` of the plain view of every image.
    pub(super) fn features(&self, model: &Model) -> Result<Tensor> {
        let (pairs, preprocess) = (&self.pairs, &self.config.preprocess);
        let mut rows = Vec::new();
        for start in (0..pairs.len()).step_by(features::BATCH) {
            let n = features::BATCH.min(pairs.len() - start);
            let front = match &self.features {
                Some(features) => {
                    let plain = features.slice(0, None, None, self.n_views as i64);
                    let plain = plain.narrow(0, start as i64, n as i64);
                    plain.to_device(self.device).to_kind(Kind::Float)
                }
                None => {
                    let views = in_parallel(n, |i| view(&pairs.pixels(start + i)?, preprocess, None));
                    let views = views.into_iter().collect::<Result<Vec<_>>>()?;
                    image_input(&views, preprocess, self.device)?
                }
            };
            rows.push(guarded(|| model.image_tower.back(&front, model.n_frozen))?);
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
        let features = self.features.as_ref().expect("frozen layers have features");
        features.get((i * self.n_views + view) as i64)
    }
}

/// Turns pairs into sets: features computed or found again, captions as token ids.
struct SetReader<'a, 'p> {
    recipe: &'a Recipe,
    config: &'a ModelConfig,
    cache: &'a Path,
    model: &'a Model,
    augment: Augment,
    tokenizer: &'a Tokenizer,
    device: tch::Device,
    progress: &'a mut TrainProgress<'p>,
}

impl SetReader<'_, '_> {
    fn read(&mut self, mut pairs: Pairs, name: &str, n_random: usize) -> Result<ImageSet> {
        pairs.drop_uncaptioned();
        let features = self.front(&mut pairs, name, n_random)?;
        let ids = |pair: &crate::media::Pair| {
            pair.captions.iter().map(|text| self.tokenizer.ids(text)).collect()
        };
        let captions = pairs.iter().map(ids).collect::<Result<Vec<Vec<_>>>>()?;
        Ok(self.set(pairs, captions, features, n_random))
    }

    /// Images with a label; their captions are the prompts with it.
    fn read_classes(&mut self, mut pairs: Pairs, classes: &Classes, data: &Path) -> Result<ClassSet> {
        pairs.drop_unlabelled();
        let labels: Vec<String> = pairs.iter().filter_map(|pair| pair.label.clone()).collect();
        let ids = |prompt: &String, label: &String| {
            self.tokenizer.ids(&prompt.replace(PLACEHOLDER, label))
        };
        let mut distinct: Vec<&String> = Vec::new();
        for label in &labels {
            if !distinct.contains(&label) {
                distinct.push(label);
            }
        }
        let names = classes.prompts.iter().map(|prompt| {
            distinct.iter().map(|label| ids(prompt, label)).collect::<Result<Vec<_>>>()
        });
        let names = names.collect::<Result<Vec<_>>>()?;
        let path = data.join(&classes.classifier);
        let checkpoint = Checkpoint::parse(read_file(&path)?.into(), &path)?;
        let n_classes = distinct.len() as i64;
        checkpoint.expect_shape("fc.weight", &[n_classes, self.config.image_features()])?;
        checkpoint.expect_shape("fc.bias", &[n_classes])?;
        let (weight, bias) =
            (checkpoint.tensor("fc.weight", self.device)?, checkpoint.tensor("fc.bias", self.device)?);

        let features = self.front(&mut pairs, "classes", self.recipe.views)?;
        let prompted = |pair: &crate::media::Pair| {
            let label = pair.label.as_ref().expect("unlabelled ones are left out");
            classes.prompts.iter().map(|prompt| ids(prompt, label)).collect()
        };
        let captions = pairs.iter().map(prompted).collect::<Result<Vec<Vec<_>>>>()?;
        let images = self.set(pairs, captions, features, self.recipe.views);
        let synthesizer = (classes.synthetic > 0).then(|| {
            let class = |pair: &crate::media::Pair| {
                distinct.iter().position(|label| Some(*label) == pair.label.as_ref())
            };
            let of_image: Vec<i64> =
                images.pairs.iter().filter_map(class).map(|class| class as i64).collect();
            let features = images.features(self.model)?;
            guarded(|| Synthesizer::new(&features, &of_image, &weight))
        });
        Ok(ClassSet { images, names, weight, bias, synthesizer: synthesizer.transpose()? })
    }

    fn set(
        &self,
        pairs: Pairs,
        captions: Vec<Vec<Vec<i64>>>,
        features: Option<Tensor>,
        n_random: usize,
    ) -> ImageSet {
        let (config, device) = (self.config.clone(), self.device);
        ImageSet { pairs, captions, features, n_views: 1 + n_random, config, device }
    }

    /// What the frozen layers give for the images, kept from before or computed now; images that cannot be read
    /// leave `pairs`, and everything that was passed over is told.
    fn front(&mut self, pairs: &mut Pairs, name: &str, n_random: usize) -> Result<Option<Tensor>> {
        let mut features = None;
        if self.model.n_frozen == 0 {
            pairs.drop_unreadable();
        } else {
            let made = self.frozen_features(pairs, name, n_random)?;
            pairs.retain(&made.readable);
            let n_lost = made.readable.iter().filter(|kept| !**kept).count();
            if n_lost > 0 {
                pairs.skipped.insert("images cannot be read".into(), n_lost);
            }
            features = Some(made.features);
        }
        for (reason, n) in &pairs.skipped {
            tell(self.progress, TrainEvent::Note(format!("{n} {reason}: passed over")))?;
        }
        Ok(features)
    }

    fn frozen_features(
        &mut self,
        pairs: &Pairs,
        name: &str,
        n_random: usize,
    ) -> Result<features::Kept> {
        let job = FeatureJob {
            tower: &self.model.image_tower,
            n_frozen: self.model.n_frozen,
            preprocess: &self.config.preprocess,
            augment: self.augment,
            device: self.device,
            n_random,
            seed: self.recipe.seed,
        };
        let key = features::key(pairs, self.model.frozen_image_weights(), &job);
        let path = self.cache.join(format!("{name}-{key}.safetensors"));
        if let Some(kept) = features::kept(&path, pairs.len(), 1 + n_random) {
            return Ok(kept);
        }
        let total = pairs.len();
        let made =
            job.run(pairs, &mut |done| (self.progress)(&TrainEvent::Features { done, total }))?;
        features::keep(&path, &made)?;
        Ok(made)
    }
}

/// The run's `tokenizer.json`: kept from before, the first model's, or learned from all captions.
fn tokenizer<'a>(
    recipe: &Recipe,
    data: &Path,
    run: &Run,
    train: &'a [Pairs],
    groups: &'a [Vec<String>],
    labels: impl Iterator<Item = &'a str>,
) -> Result<Vec<u8>> {
    let path = run.path("tokenizer.json");
    if path.exists() {
        return crate::error::read(&path);
    }
    let json = match (&recipe.init, &recipe.model) {
        (Init::Model { dir }, _) => {
            start_model(dir.as_deref(), data)?.tokenizer_json().to_vec()
        }
        (Init::ImageTower { .. } | Init::Random, Some(model)) => {
            let captions = train.iter().flat_map(Pairs::iter).flat_map(|pair| &pair.captions);
            let captions = captions.chain(groups.iter().flatten()).map(String::as_str);
            // Each text once: a phrase that many drawn scenes share should not fill the vocabulary.
            let texts: BTreeMap<&str, ()> =
                captions.chain(labels).map(|text| (text, ())).collect();
            vocab::learn(texts.into_keys(), model.vocab())?
        }
        (Init::ImageTower { .. } | Init::Random, None) => {
            return Err(Error::BadOption { reason: "the recipe has no model".into() });
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

/// A factor for each value: 0 with some probability, else what keeps the mean.
fn dropout(probability: f64, features: &Tensor, rng: &mut fastrand::Rng) -> Tensor {
    let kept = (1.0 / (1.0 - probability)) as f32;
    let draw = |_| if rng.f64() < probability { 0.0 } else { kept };
    let factors: Vec<f32> = (0..features.numel()).map(draw).collect();
    Tensor::from_slice(&factors).view(features.size().as_slice()).to_device(features.device())
}
