//! The model while it is trained: towers and heads over tensors that the optimiser moves.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};

use crate::embedding::Embedding;
use crate::encoder::checkpoint::Checkpoint;
use crate::encoder::config::{Logit, ModelConfig};
use crate::encoder::files::read_file;
use crate::encoder::tokenizer::TokenBatch;
use crate::encoder::tower::{self, Half, HeadLayers, ImageTower, TensorSpec, TextTower, Weights};
use crate::encoder::{Device, DualEncoder};
use crate::error::{Error, Result};
use crate::train::optimizer::AdamW;
use crate::train::recipe::{Init, Recipe, TextMode, TowerMode};

/// Name of the learned logarithm of the inverse temperature.
const LOG_SCALE: &str = "logit.log_scale";

/// Name of the learned bias of the sigmoid loss.
const BIAS: &str = "logit.bias";

/// The largest inverse temperature (arXiv 2103.00020, §2.5).
const MAX_SCALE: f64 = 100.0;

/// Towers, heads and the optimiser that moves them.
pub(super) struct Model {
    config: ModelConfig,
    pub(super) image_tower: ImageTower,
    /// The image tower as it was in the beginning, which never moves.
    pub(super) teacher: ImageTower,
    /// Layers of the image tower that stay as they are.
    pub(super) n_frozen: usize,
    image_head: HeadLayers,
    pub(super) text_tower: TextTower,
    text_head: HeadLayers,
    log_scale: Tensor,
    bias: Tensor,
    /// Tensors that stay as they are.
    frozen: BTreeMap<String, Tensor>,
    pub(super) optimizer: AdamW,
}

/// Rows of unit vectors, and how active the hidden layer before them was.
pub(super) struct Rows {
    /// `[n, dim]`.
    pub(super) rows: Tensor,
    /// Mean absolute activation.
    pub(super) activity: Tensor,
}

impl Model {
    /// The model of a recipe before its first step.
    pub(super) fn new(
        recipe: &Recipe,
        config: &ModelConfig,
        data: &Path,
        device: tch::Device,
    ) -> Result<Self> {
        let start = initial(recipe, config, data, device)?;
        let teacher = ImageTower::new(config, &start);
        let n_frozen = match recipe.image_tower {
            TowerMode::Frozen => teacher.n_layers(),
            TowerMode::Trained => 0,
            TowerMode::TrainedFrom(layer) => layer,
        };
        if !teacher.can_cut(n_frozen) {
            let reason = format!("image_tower cannot be cut before layer {n_frozen}");
            return Err(Error::BadOption { reason });
        }
        let mut optimizer = AdamW::new(recipe.weight_decay, recipe.average);
        let (mut weights, mut frozen) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in start.0 {
            let layer = teacher.layer_of(&name);
            let stays = layer.is_some_and(|layer| layer < n_frozen)
                || (recipe.text_tower == TextMode::Frozen && name.starts_with("text_tower."));
            let rate = if layer.is_some() { recipe.image_tower_rate } else { 1.0 };
            let used = match stays {
                true => frozen.entry(name.clone()).or_insert(tensor).shallow_clone(),
                false => optimizer.add(&name, &tensor, rate),
            };
            weights.insert(name, used);
        }
        let mut scalar = |name: &str, value: f64| {
            optimizer.add(name, &Tensor::from_slice(&[value as f32]).to_device(device), 1.0)
        };
        let log_scale = scalar(LOG_SCALE, config.logit.scale().ln());
        let bias = match config.logit {
            Logit::Softmax { .. } => Tensor::zeros([1], (Kind::Float, device)),
            Logit::Sigmoid { bias, .. } => scalar(BIAS, bias),
        };
        let weights = Weights(weights);
        Ok(Self {
            image_tower: ImageTower::new(config, &weights),
            teacher,
            n_frozen,
            image_head: HeadLayers::new(config.image_head.as_ref(), &weights, "image_head"),
            text_tower: TextTower::new(config, &weights),
            text_head: HeadLayers::new(config.text_head.as_ref(), &weights, "text_head"),
            config: config.clone(),
            log_scale,
            bias,
            frozen,
            optimizer,
        })
    }

    /// Features `[n, features]` to unit vectors.
    pub(super) fn images(&self, features: &Tensor) -> Rows {
        Rows::new(&self.image_head, features)
    }

    /// Features `[n, width]` to unit vectors.
    pub(super) fn texts(&self, features: &Tensor) -> Rows {
        Rows::new(&self.text_head, features)
    }

    /// Token ids to features `[n, width]`.
    pub(super) fn text_features(&self, batch: &TokenBatch) -> Tensor {
        self.text_tower.forward(&batch.ids, &batch.mask)
    }

    /// The tensors of the image tower's frozen layers, in the order of their names.
    pub(super) fn frozen_image_weights(&self) -> impl Iterator<Item = (String, Tensor)> {
        let of_image = |(name, _): &(&String, &Tensor)| self.teacher.layer_of(name).is_some();
        self.frozen.iter().filter(of_image).map(|(name, t)| (name.clone(), t.shallow_clone()))
    }

    /// The inverse temperature, a tensor of one value.
    pub(super) fn scale(&self) -> Tensor {
        self.log_scale.exp().clamp_max(MAX_SCALE)
    }

    /// The bias of the sigmoid loss, a tensor of one value.
    pub(super) fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// The configuration with the learned temperature, and all weights, averaged over the steps.
    pub(super) fn export(&self) -> (ModelConfig, BTreeMap<String, Tensor>) {
        let mut weights = self.optimizer.averages();
        let log_scale = weights.remove(LOG_SCALE).expect("it is always trained");
        let scale = log_scale.exp().clamp_max(MAX_SCALE).double_value(&[0]);
        let mut config = self.config.clone();
        config.logit = match weights.remove(BIAS) {
            None => Logit::Softmax { scale },
            Some(bias) => Logit::Sigmoid { scale, bias: bias.double_value(&[0]) },
        };
        weights.extend(
            self.frozen.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())),
        );
        (config, weights)
    }
}

impl Rows {
    fn new(head: &HeadLayers, features: &Tensor) -> Self {
        let hidden = head.hidden(features);
        Self { rows: head.project(&hidden), activity: hidden.abs().mean(Kind::Float) }
    }
}

/// The shape of a recipe's model.
pub(super) fn config(recipe: &Recipe, data: &Path) -> Result<ModelConfig> {
    match (&recipe.model, &recipe.init) {
        (Some(config), _) => Ok(config.clone()),
        (None, Init::Model { dir }) => Ok(start_model(dir.as_deref(), data)?.config().clone()),
        (None, Init::ImageTower { .. } | Init::Random) => {
            Err(Error::BadOption { reason: "the recipe has no model".into() })
        }
    }
}

/// The weights before the first step.
fn initial(
    recipe: &Recipe,
    config: &ModelConfig,
    data: &Path,
    device: tch::Device,
) -> Result<Weights> {
    let specs = [tower::specs(config, Half::Image), tower::specs(config, Half::Text)].concat();
    if let Init::Model { dir } = &recipe.init {
        let model = start_model(dir.as_deref(), data)?;
        let same = |config: &ModelConfig| ModelConfig {
            name: String::new(),
            logit: Logit::Softmax { scale: 1.0 },
            ..config.clone()
        };
        if same(model.config()) != same(config) {
            let reason =
                "the recipe's `model` differs from the model in `init` in more than name and logit";
            return Err(Error::BadOption { reason: reason.into() });
        }
        let mut weights = model.weights(Half::Image)?.0;
        weights.extend(model.weights(Half::Text)?.0);
        let weights =
            weights.into_iter().map(|(name, tensor)| (name, tensor.to_device(device))).collect();
        return Ok(Weights(weights));
    }
    let mut rng = fastrand::Rng::with_seed(recipe.seed);
    let mut weights: BTreeMap<String, Tensor> = specs
        .iter()
        .map(|spec| (spec.name.clone(), fresh(spec, &mut rng).to_device(device)))
        .collect();
    if let Init::ImageTower { weights: file } = &recipe.init {
        let path = data.join(file);
        let checkpoint = Checkpoint::parse(read_file(&path)?.into(), &path)?;
        for spec in specs.iter().filter(|spec| spec.name.starts_with("image_tower.")) {
            let name = spec.name.trim_start_matches("image_tower.");
            checkpoint.expect_shape(name, &spec.shape)?;
            weights.insert(spec.name.clone(), checkpoint.tensor(name, device)?);
        }
    }
    Ok(Weights(weights))
}

/// The model that a recipe begins with.
pub(super) fn start_model(dir: Option<&Path>, data: &Path) -> Result<DualEncoder> {
    match dir {
        Some(dir) => DualEncoder::load(&data.join(dir), Device::Cpu),
        #[cfg(feature = "embedded-model")]
        None => DualEncoder::mini(Device::Cpu),
        #[cfg(not(feature = "embedded-model"))]
        None => Err(Error::BadOption {
            reason: "no model is compiled in; name a directory in `init`".into(),
        }),
    }
}

/// A tensor before training. Drawn here and not by libtorch, whose generator is one for the whole process.
fn fresh(spec: &TensorSpec, rng: &mut fastrand::Rng) -> Tensor {
    let options = (Kind::Float, tch::Device::Cpu);
    match spec.init {
        tower::Init::Zeros => Tensor::zeros(&spec.shape, options),
        tower::Init::Ones => Tensor::ones(&spec.shape, options),
        tower::Init::Normal(std) => {
            let n = spec.shape.iter().product::<i64>() as usize;
            let values: Vec<f32> = (0..n).map(|_| (normal(rng) * std) as f32).collect();
            Tensor::from_slice(&values).view(spec.shape.as_slice())
        }
    }
}

/// A draw from the standard normal distribution (Box and Muller 1958).
fn normal(rng: &mut fastrand::Rng) -> f64 {
    // 1 - f64() is never 0.
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Rows `[n, dim]` as embeddings.
pub(super) fn to_embeddings(rows: &Tensor) -> Result<Vec<Embedding>> {
    crate::encoder::dual::embeddings(rows.shallow_clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut rng = fastrand::Rng::with_seed(1);
        let draws: Vec<f64> = (0..100_000).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|v| v * v).sum::<f64>() / draws.len() as f64;
        let within = draws.iter().filter(|v| v.abs() < 1.0).count() as f64 / draws.len() as f64;
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02 && (within - 0.6827).abs() < 0.01
        );
    }
}
