//! Training both encoders on pairs of images and captions, so that `L(h, y) + λ Ω(θ)` becomes small.
//!
//! `L` is the symmetric contrastive loss over a step's images and captions, plus the same loss between
//! paraphrases, which teaches the text tower words that no caption of an image contains. `Ω` is decoupled weight
//! decay. With a frozen image tower its features are computed once; a step then costs the heads and the text
//! tower only. Everything random is drawn from the recipe's seed and the step's number, so that a run on the
//! processor is repeatable and a resumed one equals one that was never interrupted.

mod data;
mod features;
mod loss;
mod model;
mod optimizer;
mod recipe;
mod run;
mod schedule;
mod vocab;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use tch::Tensor;

use crate::encoder::Device;
use crate::encoder::dual::guarded;
use crate::error::{Error, Result};
use crate::eval::{Recall, Retrieval, retrieval};
use data::TrainingSet;
use model::Model;
pub use recipe::{Init, Recipe, StorageKind, TowerMode};
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
    /// The run directory: recipe, `metrics.jsonl`, state, and `model/` with the best epoch's model.
    pub run: PathBuf,
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
    /// A step is finished.
    Step {
        /// Steps done.
        done: u64,
        /// Of so many.
        total: u64,
        /// Contrastive loss of images and captions.
        loss: f64,
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
    /// The model directory of the best epoch.
    pub model: PathBuf,
    /// The best epoch, from 1.
    pub best_epoch: u64,
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
    let run = Run::open(&options.run, recipe, options.resume)?;
    let device = options.device.torch()?;
    let mut model = Model::new(recipe, &options.data, device)?;
    let set = TrainingSet::open(recipe, &options.data, &run, &model, device, progress)?;
    run.claim(recipe)?;
    let mut trainer = Trainer { recipe, run: &run, set: &set, reached: Reached::default() };
    if let Some((state, reached)) = run.state()? {
        model.optimizer.restore(|name| state.tensor(name, device))?;
        trainer.reached = reached;
        tell(progress, TrainEvent::Note(format!("going on after epoch {}", reached.epoch)))?;
    }
    while trainer.reached.epoch < recipe.epochs {
        trainer.epoch(&mut model, progress)?;
    }
    Ok(TrainReport { model: run.path("model"), best_epoch: trainer.reached.best_epoch })
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
        let val = measure(model, self.set)?;
        let sum_of_recalls =
            [val.text_to_image, val.image_to_text].iter().map(|r| r.r1 + r.r5 + r.r10).sum::<f64>();
        let best = self.reached.best_epoch == 0 || sum_of_recalls > self.reached.best_sum;
        let (config, weights) = model.export();
        if best {
            (self.reached.best_sum, self.reached.best_epoch) = (sum_of_recalls, self.reached.epoch);
            self.run.save_model(
                &config,
                &weights,
                &self.set.tokenizer_json,
                self.recipe.storage,
            )?;
        }
        self.run.save_state(&model.optimizer.state(), &self.reached)?;
        self.run.log(&json!({
            "epoch": self.reached.epoch,
            "step": self.reached.step,
            "loss": sum / batches.len() as f64,
            "logit_scale": model.scale().double_value(&[0]),
            "val": { "text_to_image": figures(&val.text_to_image), "image_to_text": figures(&val.image_to_text) },
            "seconds": began.elapsed().as_secs_f64(),
        }))?;
        tell(progress, TrainEvent::Epoch { epoch: self.reached.epoch, val, best })
    }

    /// Moves the weights once; returns the loss of images and captions.
    fn step(&self, model: &mut Model, images: &[usize], rate: f64) -> Result<f64> {
        let batch = self.set.batch(self.recipe, model, images, self.reached.step)?;
        // libtorch's own generator, which dropout draws from, is set for each step: a resumed run needs no state of it.
        tch::manual_seed(
            (self.recipe.seed ^ self.reached.step.wrapping_mul(0x2545_f491_4f6c_dd1d)) as i64,
        );
        guarded(|| {
            let image_rows = model.images(&batch.features, true); // [b, dim]
            let text_rows = model.texts(&batch.texts); // [m + 2 p, dim]
            let n_texts = batch.owner.size()[0];
            let scale = model.scale();
            let loss = loss::contrastive(
                &image_rows,
                &text_rows.narrow(0, 0, n_texts),
                &batch.owner,
                &scale,
            );
            let mut total = loss.shallow_clone();
            if batch.n_paraphrases > 0 {
                let n = batch.n_paraphrases;
                let (left, right) =
                    (text_rows.narrow(0, n_texts, n), text_rows.narrow(0, n_texts + n, n));
                let own = Tensor::arange(n, (tch::Kind::Int64, batch.owner.device()));
                total +=
                    loss::contrastive(&left, &right, &own, &scale) * self.recipe.paraphrase_weight;
            }
            let value = total.double_value(&[]);
            if value.is_finite() {
                model.optimizer.step(&total, rate, CLIP);
            }
            (value, loss.double_value(&[]))
        })
        .and_then(|(total, loss)| match total.is_finite() {
            true => Ok(loss),
            false => {
                let reason = format!(
                    "the loss became {total} in step {}; lower learning_rate",
                    self.reached.step
                );
                Err(Error::BadOption { reason })
            }
        })
    }
}

/// Recall of the `val` pairs with the weights as they are.
fn measure(model: &Model, set: &TrainingSet) -> Result<Retrieval> {
    let features = tch::no_grad(|| set.val.features(&model.image_tower))?;
    let rows = guarded(|| tch::no_grad(|| model.images(&features, false)))?;
    let images = model::to_embeddings(&rows)?;
    let (texts, owner) = set.val.texts();
    let mut embeddings = Vec::with_capacity(texts.len());
    for chunk in texts.chunks(EVAL_BATCH) {
        let batch = set.tokenizer.pad(chunk, rows.device());
        embeddings
            .extend(model::to_embeddings(&guarded(|| tch::no_grad(|| model.texts(&batch)))?)?);
    }
    Ok(retrieval(&images, &embeddings, &owner))
}

fn figures(recall: &Recall) -> serde_json::Value {
    json!({
        "r1": recall.r1, "r5": recall.r5, "r10": recall.r10,
        "median_rank": recall.median_rank, "mean_rank": recall.mean_rank, "queries": recall.queries,
    })
}
