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
use crate::train::recipe::{Init, Recipe, TowerMode};

/// Name of the learned logarithm of the inverse temperature.
const LOG_SCALE: &str = "logit.log_scale";

/// The largest inverse temperature (arXiv 2103.00020, §2.5).
const MAX_SCALE: f64 = 100.0;

/// Towers, heads and the optimiser that moves them.
pub(super) struct Model {
    config: ModelConfig,
    pub(super) image_tower: ImageTower,
    image_head: HeadLayers,
    text_tower: TextTower,
    text_head: HeadLayers,
    log_scale: Tensor,
    /// Tensors that stay as they are.
    frozen: BTreeMap<String, Tensor>,
    pub(super) optimizer: AdamW,
    dropout: f64,
}

impl Model {
    /// The model of a recipe before its first step.
    pub(super) fn new(recipe: &Recipe, data: &Path, device: tch::Device) -> Result<Self> {
        let config = &recipe.model;
        let start = initial(recipe, data, device)?;
        let mut optimizer = AdamW::new(recipe.weight_decay);
        let (mut weights, mut frozen) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in start.0 {
            let in_image_tower = name.starts_with("image_tower.");
            let rate = if in_image_tower { recipe.image_tower_rate } else { 1.0 };
            let used = match in_image_tower && recipe.image_tower == TowerMode::Frozen {
                true => frozen.entry(name.clone()).or_insert(tensor).shallow_clone(),
                false => optimizer.add(&name, &tensor, rate),
            };
            weights.insert(name, used);
        }
        let Logit::Softmax { scale } = config.logit;
        let log_scale = optimizer.add(
            LOG_SCALE,
            &Tensor::from_slice(&[scale.ln() as f32]).to_device(device),
            1.0,
        );
        let weights = Weights(weights);
        Ok(Self {
            image_tower: ImageTower::new(config, &weights),
            image_head: HeadLayers::new(&config.image_head, &weights, "image_head"),
            text_tower: TextTower::new(config, &weights),
            text_head: HeadLayers::new(&config.text_head, &weights, "text_head"),
            config: config.clone(),
            log_scale,
            frozen,
            optimizer,
            dropout: recipe.feature_dropout,
        })
    }

    /// Features `[n, features]` to unit vectors `[n, dim]`; some features are dropped while training.
    pub(super) fn images(&self, features: &Tensor, training: bool) -> Tensor {
        self.image_head.forward(&features.dropout(self.dropout, training))
    }

    /// Token ids to unit vectors `[n, dim]`.
    pub(super) fn texts(&self, batch: &TokenBatch) -> Tensor {
        self.text_head.forward(&self.text_tower.forward(&batch.ids, &batch.mask))
    }

    /// The tensors of a frozen image tower, in the order of their names.
    pub(super) fn image_weights(&self) -> impl Iterator<Item = (String, Tensor)> {
        self.frozen.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
    }

    /// The inverse temperature, a tensor of one value.
    pub(super) fn scale(&self) -> Tensor {
        self.log_scale.exp().clamp_max(MAX_SCALE)
    }

    /// The configuration with the learned temperature, and all weights.
    pub(super) fn export(&self) -> (ModelConfig, BTreeMap<String, Tensor>) {
        let mut weights = self.optimizer.tensors();
        weights.remove(LOG_SCALE);
        weights.extend(
            self.frozen.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())),
        );
        let mut config = self.config.clone();
        config.logit = Logit::Softmax { scale: self.scale().double_value(&[0]) };
        (config, weights)
    }
}

/// The weights before the first step.
fn initial(recipe: &Recipe, data: &Path, device: tch::Device) -> Result<Weights> {
    let config = &recipe.model;
    let specs = [tower::specs(config, Half::Image), tower::specs(config, Half::Text)].concat();
    if let Init::Model { dir } = &recipe.init {
        let model = start_model(dir.as_deref(), data)?;
        let same = |config: &ModelConfig| ModelConfig {
            name: String::new(),
            logit: Logit::Softmax { scale: 1.0 },
            ..config.clone()
        };
        if same(model.config()) != same(config) {
            let reason = "the recipe's `model` differs from the model in `init` in more than name and logit scale";
            return Err(Error::BadOption { reason: reason.into() });
        }
        let mut weights = model.weights(Half::Image)?.0;
        weights.extend(model.weights(Half::Text)?.0);
        let weights =
            weights.into_iter().map(|(name, tensor)| (name, tensor.to_device(device))).collect();
        return Ok(Weights(weights));
    }
    tch::manual_seed(recipe.seed as i64);
    let mut weights: BTreeMap<String, Tensor> =
        specs.iter().map(|spec| (spec.name.clone(), fresh(spec).to_device(device))).collect();
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

fn fresh(spec: &TensorSpec) -> Tensor {
    let options = (Kind::Float, tch::Device::Cpu);
    match spec.init {
        tower::Init::Zeros => Tensor::zeros(&spec.shape, options),
        tower::Init::Ones => Tensor::ones(&spec.shape, options),
        tower::Init::Normal(std) => Tensor::randn(&spec.shape, options) * std,
    }
}

/// Rows `[n, dim]` as embeddings.
pub(super) fn to_embeddings(rows: &Tensor) -> Result<Vec<Embedding>> {
    crate::encoder::dual::embeddings(rows.shallow_clone())
}
