//! Images with captions or classes, read for training: features found again or computed, texts as token ids.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};

use crate::encoder::checkpoint::Checkpoint;
use crate::encoder::config::ModelConfig;
use crate::encoder::dual::{guarded, image_input};
use crate::encoder::files::read_file;
use crate::encoder::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use crate::eval::PLACEHOLDER;
use crate::media::{Pairs, in_parallel};
use crate::train::features::{self, Augment, FeatureJob, view};
use crate::train::model::{Model, start_model};
use crate::train::recipe::{Classes, Init, Recipe};
use crate::train::run::{Run, write_atomically};
use crate::train::synthetic::Synthesizer;
use crate::train::{TrainEvent, TrainProgress, tell, vocab};

/// Images of one source with their captions.
pub(super) struct ImageSet {
    pub(super) pairs: Pairs,
    pub(super) captions: Vec<Vec<Vec<i64>>>,
    /// `[images · views, …]`, what the tower's frozen layers give; `None` if there are none.
    pub(super) features: Option<Tensor>,
    pub(super) n_views: usize,
    pub(super) config: ModelConfig,
    pub(super) device: tch::Device,
}

/// Images with a class name, and the classifier that knows the names.
pub(super) struct ClassSet {
    pub(super) images: ImageSet,
    /// Token ids of each class: its label and its other names in every prompt.
    pub(super) names: Vec<Vec<Vec<i64>>>,
    /// `[classes, features]`.
    pub(super) weight: Tensor,
    /// `[classes]`.
    pub(super) bias: Tensor,
    pub(super) synthesizer: Option<Synthesizer>,
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
                    let views = in_parallel(n, |i| {
                        view(&pairs.pixels(start + i, preprocess.detail())?, preprocess, None)
                    });
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

    pub(super) fn feature_row(&self, i: usize, view: usize) -> Tensor {
        let features = self.features.as_ref().expect("frozen layers have features");
        features.get((i * self.n_views + view) as i64)
    }
}

/// Turns pairs into sets: features computed or found again, captions as token ids.
pub(super) struct SetReader<'a, 'p> {
    pub(super) recipe: &'a Recipe,
    pub(super) config: &'a ModelConfig,
    pub(super) cache: &'a Path,
    pub(super) model: &'a Model,
    pub(super) augment: Augment,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) device: tch::Device,
    pub(super) progress: &'a mut TrainProgress<'p>,
}

impl SetReader<'_, '_> {
    pub(super) fn read(
        &mut self,
        mut pairs: Pairs,
        name: &str,
        n_random: usize,
    ) -> Result<ImageSet> {
        pairs.drop_uncaptioned();
        let features = self.front(&mut pairs, name, n_random)?;
        let ids = |pair: &crate::media::Pair| {
            pair.captions.iter().map(|text| self.tokenizer.ids(text)).collect()
        };
        let captions = pairs.iter().map(ids).collect::<Result<Vec<Vec<_>>>>()?;
        Ok(self.set(pairs, captions, features, n_random))
    }

    /// Images with a label; their texts are the prompts with the label, and with each caption, which is another name.
    pub(super) fn read_classes(
        &mut self,
        mut pairs: Pairs,
        classes: &Classes,
        data: &Path,
    ) -> Result<ClassSet> {
        pairs.drop_unlabelled();
        let named = |pair: &crate::media::Pair| {
            let names = pair.label.iter().chain(&pair.captions);
            let prompted = names.flat_map(|name| {
                classes.prompts.iter().map(move |prompt| prompt.replace(PLACEHOLDER, name))
            });
            prompted.map(|text| self.tokenizer.ids(&text)).collect::<Result<Vec<_>>>()
        };
        let (mut distinct, mut names) = (Vec::<String>::new(), Vec::new());
        for pair in pairs.iter() {
            let label = pair.label.as_ref().expect("unlabelled ones are left out");
            if !distinct.contains(label) {
                distinct.push(label.clone());
                names.push(named(pair)?);
            }
        }
        let path = data.join(&classes.classifier);
        let checkpoint = Checkpoint::parse(read_file(&path)?.into(), &path)?;
        let n_classes = distinct.len() as i64;
        checkpoint.expect_shape("fc.weight", &[n_classes, self.config.image_features()])?;
        checkpoint.expect_shape("fc.bias", &[n_classes])?;
        let (weight, bias) = (
            checkpoint.tensor("fc.weight", self.device)?,
            checkpoint.tensor("fc.bias", self.device)?,
        );

        let features = self.front(&mut pairs, "classes", self.recipe.views)?;
        let class_of = |pair: &crate::media::Pair| {
            distinct.iter().position(|label| Some(label) == pair.label.as_ref())
        };
        let of_image: Vec<usize> = pairs.iter().filter_map(class_of).collect();
        let captions = of_image.iter().map(|&class| names[class].clone()).collect();
        let images = self.set(pairs, captions, features, self.recipe.views);
        let synthesizer = (classes.synthetic > 0).then(|| {
            let of_image: Vec<i64> = of_image.iter().map(|&class| class as i64).collect();
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
pub(super) fn tokenizer<'a>(
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
        (Init::Model { dir }, _) => start_model(dir.as_deref(), data)?.tokenizer_json().to_vec(),
        (Init::ImageTower { .. } | Init::Random, Some(model)) => {
            let captions = train.iter().flat_map(Pairs::iter).flat_map(|pair| &pair.captions);
            let captions = captions.chain(groups.iter().flatten()).map(String::as_str);
            // Each text once: a phrase that many drawn scenes share should not fill the vocabulary.
            let texts: BTreeMap<&str, ()> = captions.chain(labels).map(|text| (text, ())).collect();
            vocab::learn(texts.into_keys(), model.vocab())?
        }
        (Init::ImageTower { .. } | Init::Random, None) => {
            return Err(Error::BadOption { reason: "the recipe has no model".into() });
        }
    };
    write_atomically(&path, &json)?;
    Ok(json)
}
