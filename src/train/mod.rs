//! Training both encoders on pairs of images and captions, so that `L(h, y) + λ Ω(θ)` becomes small.
//!
//! `L` is the symmetric contrastive loss over a step's images and captions, plus the same loss between
//! paraphrases and the distillation of a classifier into the names of its classes, which teach the text tower words
//! that no caption of an image contains. `Ω` is decoupled weight decay and the size of the activations. What the
//! frozen layers of a tower give is computed once; a step then costs the others only. Everything random is drawn from the recipe's seed and the step's number, so that a run on the
//! processor is repeatable and a resumed one equals one that was never interrupted.

mod curve;
mod data;
mod features;
mod loss;
mod model;
mod optimizer;
mod recipe;
mod run;
mod schedule;
mod sets;
mod synthetic;
mod vocab;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use tch::Tensor;

use crate::encoder::Device;
use crate::encoder::dual::guarded;
use crate::error::{Error, Result};
use crate::eval::{Retrieval, retrieval};
use data::{Batch, TrainingSet};
use model::Model;
pub use recipe::{Classes, Init, LossKind, Recipe, StorageKind, TextMode, TowerMode};
use run::{Reached, Run};

/// Gradients longer than this are scaled down to it.
const CLIP: f64 = 1.0;

/// Texts that are encoded at once when measuring.
const EVAL_BATCH: usize = 256;

/// Where a run reads and writes.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// The directory that the recipe's paths start from.
    pub data: PathBuf,
    /// The run directory: recipe, `metrics.jsonl`, `curve.svg`, state, and `model/` with the best epoch's model.
    pub run: PathBuf,
    /// Where the features of frozen layers are kept, so that runs can share them; the run directory if `None`.
    pub cache: Option<PathBuf>,
    /// Go on with the run in that directory.
    pub resume: bool,
    /// Where tensors live.
    pub device: Device,
}

/// What happens during a run.
#[derive(Clone, Debug)]
pub enum TrainEvent {
    /// Something that a person should know, such as rows that were passed over.
    Note(String),
    /// Features of a frozen tower are being computed.
    Features {
        /// Images done.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// A step of the warm-up is finished.
    WarmUp {
        /// Steps done.
        done: u64,
        /// Of so many.
        total: u64,
    },
    /// A step is finished.
    Step {
        /// Steps done.
        done: u64,
        /// Of so many.
        total: u64,
        /// Contrastive loss of images and captions.
        loss: f64,
    },
    /// The model that the run begins with is measured.
    Before {
        /// On the recipe's `val` pairs.
        val: Retrieval,
    },
    /// An epoch is finished and measured.
    Epoch {
        /// Its number, from 1.
        epoch: u64,
        /// On the recipe's `val` pairs.
        val: Retrieval,
        /// Whether it is the best so far; its model was then written.
        best: bool,
    },
}

/// What a run made.
#[derive(Clone, Debug)]
pub struct TrainReport {
    /// The model directory of the best epoch; `None` if none was better than the model begun with, which stays.
    pub model: Option<PathBuf>,
    /// The best epoch, from 1; 0 if there is none.
    pub best_epoch: u64,
    /// The `val` figures of the model begun with; `None` if there was none.
    pub before: Option<Retrieval>,
    /// Those of the best epoch before its weights are rounded for storage, or of the model begun with if that stays.
    pub after: Retrieval,
}

/// Told of every event; `Break` ends the run after the current step, to be resumed later.
pub type TrainProgress<'a> = dyn FnMut(&TrainEvent) -> ControlFlow<()> + 'a;

/// Trains a model by a recipe.
///
/// # Errors
/// [`Error::BadOption`] for a run directory that is in use, [`Error::BadInput`] or [`Error::BadModel`] for data and
/// weights that cannot be read, [`Error::Cancelled`] if `progress` says so.
pub fn train(
    recipe: &Recipe,
    options: &TrainOptions,
    progress: &mut TrainProgress,
) -> Result<TrainReport> {
    recipe.validate().map_err(|reason| Error::BadOption { reason })?;
    let config = model::config(recipe, &options.data)?;
    let recipe = &Recipe { model: Some(config.clone()), ..recipe.clone() };
    let run = Run::open(&options.run, recipe, options.resume)?;
    let device = options.device.torch()?;
    let mut model = Model::new(recipe, &config, &options.data, device)?;
    let set = TrainingSet::open(recipe, &config, options, &run, &model, progress)?;
    run.claim(recipe)?;
    let state = run.state()?;
    let mut trainer = Trainer { recipe, run: &run, set: &set, reached: Reached::default() };
    let mut before = None;
    if matches!(recipe.init, Init::Model { .. }) {
        let val = measure(&model, &set)?;
        before = Some(val);
        trainer.reached.best_sum = sum_of_recalls(&val);
        if state.is_none() {
            run.log(&row(0, &val, json!({})))?;
        }
        tell(progress, TrainEvent::Before { val })?;
    }
    if let Some((state, reached)) = state {
        model.optimizer.restore(|name| state.tensor(name, device))?;
        trainer.reached = reached;
        tell(progress, TrainEvent::Note(format!("going on after epoch {}", reached.epoch)))?;
    } else {
        trainer.warm_up(&mut model, progress)?;
    }
    while trainer.reached.epoch < recipe.epochs && !trainer.is_stuck() {
        trainer.epoch(&mut model, progress)?;
    }
    let best_epoch = trainer.reached.best_epoch;
    let after = match (best_epoch, before) {
        (0, Some(before)) => before,
        _ => run.best(best_epoch)?,
    };
    Ok(TrainReport {
        model: (best_epoch > 0).then(|| run.path("model")),
        best_epoch,
        before,
        after,
    })
}

/// Hands an event to the caller.
fn tell(progress: &mut TrainProgress, event: TrainEvent) -> Result<()> {
    match progress(&event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

struct Trainer<'a> {
    recipe: &'a Recipe,
    run: &'a Run,
    set: &'a TrainingSet,
    reached: Reached,
}

impl Trainer<'_> {
    /// Whether the last epochs brought nothing.
    fn is_stuck(&self) -> bool {
        let Reached { epoch, best_epoch, .. } = self.reached;
        self.recipe.patience > 0 && epoch - best_epoch >= self.recipe.patience
    }

    /// Teaches the text side with paraphrases before any image is shown.
    fn warm_up(&self, model: &mut Model, progress: &mut TrainProgress) -> Result<()> {
        let total = self.recipe.warm_up_epochs * self.set.paraphrase_steps(self.recipe);
        let n_rising = (total as f64 * self.recipe.warmup) as u64;
        for step in 0..total {
            let rate = self.recipe.learning_rate * schedule::factor(step, total, n_rising);
            let features = self.set.warm_up_batch(self.recipe, model, step)?;
            descend(model, rate, |model| {
                let rows = model.texts(&features).rows;
                let n = rows.size()[0] / 2;
                let loss =
                    self.contrast_halves(model, &rows.narrow(0, 0, n), &rows.narrow(0, n, n));
                (loss.shallow_clone(), loss)
            })?;
            tell(progress, TrainEvent::WarmUp { done: step + 1, total })?;
        }
        match total {
            0 => Ok(()),
            _ => self.run.save_state(&model.optimizer.state(), &self.reached),
        }
    }

    /// One pass over the images, then a measurement, the state, and the model if it is the best so far.
    fn epoch(&mut self, model: &mut Model, progress: &mut TrainProgress) -> Result<()> {
        let began = Instant::now();
        let batches = self.set.batches(self.recipe, self.reached.epoch);
        let n_steps = self.recipe.epochs * batches.len() as u64;
        let n_warmup = (n_steps as f64 * self.recipe.warmup) as u64;
        let mut sum = 0.0;
        for images in &batches {
            let rate =
                self.recipe.learning_rate * schedule::factor(self.reached.step, n_steps, n_warmup);
            let loss = self.step(model, images, rate)?;
            sum += loss;
            self.reached.step += 1;
            tell(progress, TrainEvent::Step { done: self.reached.step, total: n_steps, loss })?;
        }
        self.reached.epoch += 1;
        model.optimizer.swap_averages();
        let measured = measure(model, self.set);
        model.optimizer.swap_averages();
        let val = measured?;
        // Without a model begun with, even a poor first epoch is the best so far.
        let is_first =
            self.reached.best_epoch == 0 && !matches!(self.recipe.init, Init::Model { .. });
        let best = is_first || sum_of_recalls(&val) > self.reached.best_sum;
        if best {
            (self.reached.best_sum, self.reached.best_epoch) =
                (sum_of_recalls(&val), self.reached.epoch);
            let (config, weights) = model.export();
            self.run.save_model(
                &config,
                &weights,
                &self.set.tokenizer_json,
                self.recipe.storage,
            )?;
        }
        self.run.save_state(&model.optimizer.state(), &self.reached)?;
        self.run.log(&row(
            self.reached.epoch,
            &val,
            json!({
                "step": self.reached.step,
                "loss": sum / batches.len() as f64,
                "logit_scale": model.scale().double_value(&[0]),
                "seconds": began.elapsed().as_secs_f64(),
            }),
        ))?;
        self.run.draw_curve()?;
        tell(progress, TrainEvent::Epoch { epoch: self.reached.epoch, val, best })
    }

    /// Moves the weights once; returns the loss of images and captions.
    fn step(&self, model: &mut Model, images: &[usize], rate: f64) -> Result<f64> {
        let batch = self.set.batch(self.recipe, model, images, self.reached.step)?;
        descend(model, rate, |model| self.losses(model, &batch))
    }

    /// `L(h, y) + λ Ω(θ)` but for the weight decay, which is the optimiser's; and of it the loss of images and captions.
    fn losses(&self, model: &Model, batch: &Batch) -> (Tensor, Tensor) {
        let recipe = self.recipe;
        let features = &batch.features * &batch.dropout;
        let n_images = features.size()[0];
        let synthetic = batch.lesson.as_ref().and_then(|lesson| lesson.synthetic.as_ref());
        let shown = match synthetic {
            Some((made_up, dropout)) => {
                model.images(&Tensor::cat(&[features, made_up * dropout], 0))
            }
            None => model.images(&features),
        }; // [b + s, dim]
        let images = shown.rows.narrow(0, 0, n_images); // [b, dim]
        let texts = model.texts(&batch.texts); // [m + 2 p + classes, dim]
        let (n_texts, n) = (batch.owner.size()[0], batch.n_paraphrases);
        let captions = texts.rows.narrow(0, 0, n_texts);
        let (owner, scale) = (&batch.owner, model.scale());
        let loss = self.contrast(model, &images, &captions, owner);
        let mut total = loss.shallow_clone();
        if recipe.hardest_negative_weight > 0.0 {
            total +=
                loss::hardest_negative(&images, &captions, owner) * recipe.hardest_negative_weight;
        }
        if n > 0 {
            let left = texts.rows.narrow(0, n_texts, n);
            let right = texts.rows.narrow(0, n_texts + n, n);
            total += self.contrast_halves(model, &left, &right) * recipe.paraphrase_weight;
        }
        if let (Some(lesson), Some(classes)) = (&batch.lesson, &recipe.classes) {
            let names = texts.rows.narrow(0, n_texts + 2 * n, lesson.teacher.size()[1]);
            let logits = shown.rows.matmul(&names.transpose(0, 1)) * &scale; // [b + s, classes]
            total += loss::distillation(&logits, &lesson.teacher) * classes.weight;
        }
        if recipe.activation_l1 > 0.0 {
            total += (shown.activity + texts.activity) * recipe.activation_l1;
        }
        (total, loss)
    }

    /// The recipe's loss between images and the texts that they own.
    fn contrast(&self, model: &Model, images: &Tensor, texts: &Tensor, owner: &Tensor) -> Tensor {
        match self.recipe.loss {
            LossKind::Softmax => loss::contrastive(images, texts, owner, &model.scale()),
            LossKind::Sigmoid => loss::sigmoid(images, texts, owner, &model.scale(), model.bias()),
        }
    }

    /// The same between paraphrases, row by row.
    fn contrast_halves(&self, model: &Model, left: &Tensor, right: &Tensor) -> Tensor {
        let own = Tensor::arange(left.size()[0], (tch::Kind::Int64, left.device()));
        self.contrast(model, left, right, &own)
    }
}

/// Moves the weights once along the gradient of `losses`, the whole loss and the part of it that is told; returns that.
fn descend(
    model: &mut Model,
    rate: f64,
    losses: impl FnOnce(&Model) -> (Tensor, Tensor),
) -> Result<f64> {
    let (total, told) = guarded(|| {
        let (total, told) = losses(model);
        let value = total.double_value(&[]);
        if value.is_finite() {
            model.optimizer.step(&total, rate, CLIP);
        }
        (value, told.double_value(&[]))
    })?;
    match total.is_finite() {
        true => Ok(told),
        false => Err(Error::BadOption {
            reason: format!("the loss became {total}; lower the recipe's learning_rate"),
        }),
    }
}

/// Recall of the `val` pairs with the weights as they are.
fn measure(model: &Model, set: &TrainingSet) -> Result<Retrieval> {
    let features = tch::no_grad(|| set.val.features(model))?;
    let rows = guarded(|| tch::no_grad(|| model.images(&features).rows))?;
    let images = model::to_embeddings(&rows)?;
    let (texts, owner) = set.val.texts();
    let mut embeddings = Vec::with_capacity(texts.len());
    for chunk in texts.chunks(EVAL_BATCH) {
        let features = tch::no_grad(|| set.text_features(model, chunk))?;
        let rows = guarded(|| tch::no_grad(|| model.texts(&features).rows))?;
        embeddings.extend(model::to_embeddings(&rows)?);
    }
    Ok(retrieval(&images, &embeddings, &owner))
}

/// What the best epoch is chosen by: R@1, R@5 and R@10 of both directions, added up.
fn sum_of_recalls(val: &Retrieval) -> f64 {
    [val.text_to_image, val.image_to_text].iter().map(|r| r.r1 + r.r5 + r.r10).sum()
}

/// A row of `metrics.jsonl`.
fn row(epoch: u64, val: &Retrieval, more: serde_json::Value) -> serde_json::Value {
    let mut row = json!({
        "epoch": epoch,
        "val": { "text_to_image": val.text_to_image, "image_to_text": val.image_to_text },
    });
    let fields = row.as_object_mut().expect("it was written as one");
    fields.extend(more.as_object().cloned().unwrap_or_default());
    row
}
