//! A recipe: everything that decides what a training run makes, in one JSON file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::encoder::config::{Logit, ModelConfig};
use crate::error::{Error, Result, read};
use crate::eval::PLACEHOLDER;
use crate::media::PairSource;

/// Recipes that may extend one another in a row.
const MAX_EXTENDS: usize = 4;

/// A recipe file. No field has a default, so that a run can be repeated from the file alone; a file with `extends` is
/// another file's recipe with the fields that it names changed ([RFC 7396] merge patch), and a run directory holds
/// the whole of it.
///
/// [RFC 7396]: https://www.rfc-editor.org/rfc/rfc7396
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Seeds weights, order and dropout.
    pub seed: u64,
    /// The model to train; `logit.scale` is where the learned inverse temperature begins. `None` with
    /// [`Init::Model`] is the shape of the model begun with.
    pub model: Option<ModelConfig>,
    /// What the weights are before training.
    pub init: Init,
    /// Images with captions; paths are relative to the data directory given to the run.
    pub pairs: Vec<PairSource>,
    /// Images with captions on which progress is measured and the best epoch is chosen.
    pub val: PairSource,
    /// Manifests whose captions of one picture count as saying the same; they train the text tower alone.
    pub paraphrases: Vec<PathBuf>,
    /// Names that a classifier knows, taught to the text side.
    pub classes: Option<Classes>,
    /// How much of the image tower is trained. What its frozen part gives is computed once.
    pub image_tower: TowerMode,
    /// Whether the text tower is trained. A frozen one's features are computed once.
    pub text_tower: TextMode,
    /// How each image is shown: the plain picture first, then this many random crops, mirrored at random.
    pub views: usize,
    /// The smallest share of a picture's area that a random crop keeps.
    pub least_area: f64,
    /// Brightness, contrast and saturation of a random crop change by at most this share.
    pub colour_jitter: f64,
    /// Passes over the paraphrases before any image is shown.
    pub warm_up_epochs: u64,
    /// Passes over the images, at most.
    pub epochs: u64,
    /// Ends the run when so many epochs in a row were not better than the best; 0 never does.
    pub patience: u64,
    /// Images in a step.
    pub batch: usize,
    /// Captions of each image in a step.
    pub captions_per_image: usize,
    /// Pairs of paraphrases in a step.
    pub paraphrase_batch: usize,
    /// Weight of the paraphrases' loss.
    pub paraphrase_weight: f64,
    /// The loss between images and captions; `model.logit` must be of the same kind.
    pub loss: LossKind,
    /// Weight of the hinge on the hardest negatives, added to it.
    pub hardest_negative_weight: f64,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// The image tower's learning rate as a share of the others'.
    pub image_tower_rate: f64,
    /// Share of the steps in which the learning rate rises.
    pub warmup: f64,
    /// Ω of `L + λΩ`: decoupled weight decay (AdamW) on everything but biases and norms.
    pub weight_decay: f64,
    /// Ω of `L + λΩ`: weight of the mean absolute activation of the heads' hidden layers.
    pub activation_l1: f64,
    /// Probability that a token of a training text is left out.
    pub word_dropout: f64,
    /// Probability that an image feature is set to 0.
    pub feature_dropout: f64,
    /// Decay of the moving average of the weights, which is what is measured and kept; 0 is none.
    pub average: f64,
    /// How the weights of the finished model are stored.
    pub storage: StorageKind,
}

/// What the weights are before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Init {
    /// Random but for the image tower, whose tensors are in a safetensors file by their names without
    /// `image_tower.`; the vocabulary is learned from the captions.
    ImageTower {
        /// The file, relative to the data directory.
        weights: PathBuf,
    },
    /// Random; the vocabulary is learned from the captions.
    Random,
    /// A model directory of the same shape, with its vocabulary.
    Model {
        /// The directory; the model that is compiled in if `None`.
        dir: Option<PathBuf>,
    },
}

/// Class names and a classifier over the image tower's first weights that knows them. The names' embeddings learn
/// to rank as the classifier ranks (distillation), so that nouns are known that no caption has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Images, each with a `label`, and with other names of the class as captions; one at least of each class, the
    /// first ones in the order of the classifier's rows.
    pub images: PairSource,
    /// A safetensors file with `fc.weight` `[classes, features]` and `fc.bias` `[classes]`.
    pub classifier: PathBuf,
    /// What a class is called, `{}` being one of its names; one is drawn for each class and step.
    pub prompts: Vec<String>,
    /// Weight of the loss.
    pub weight: f64,
    /// Images of classes in a step, beside those of the pairs; their captions are the prompts.
    pub batch: usize,
    /// Features of classes made up from the classifier in a step; needs a frozen image tower if not 0.
    pub synthetic: usize,
}

/// How much of the image tower is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TowerMode {
    /// Nothing.
    Frozen,
    /// All; every picture is decoded again in each step.
    Trained,
    /// The layers from this number on (a `mobilenet` counts its convolutions, from 0).
    TrainedFrom(usize),
}

/// Whether the text tower is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextMode {
    /// Its weights stay, and word dropout has no effect.
    Frozen,
    /// Its weights are trained with the rest.
    Trained,
}

/// The loss between images and captions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// InfoNCE with several positives.
    Softmax,
    /// The pairwise logistic loss of SigLIP.
    Sigmoid,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// 4 bytes a weight.
    F32,
    /// 2 bytes a weight.
    F16,
    /// A byte a weight, and a factor for each output channel.
    Int8,
}

impl Recipe {
    /// Reads a recipe file.
    ///
    /// # Errors
    /// [`Error::BadInput`] naming the field that is missing, unknown or out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadInput { path: path.to_path_buf(), reason };
        let json = resolve(path, MAX_EXTENDS)?;
        Self::from_value(json).map_err(bad)
    }

    /// Reads a recipe from the text of a file without `extends`.
    ///
    /// # Errors
    /// The field that is missing, unknown or out of range.
    pub fn parse(json: &str) -> std::result::Result<Self, String> {
        Self::from_value(serde_json::from_str(json).map_err(|error| error.to_string())?)
    }

    fn from_value(json: Value) -> std::result::Result<Self, String> {
        let recipe: Self = serde_json::from_value(json).map_err(|error| error.to_string())?;
        recipe.validate()?;
        Ok(recipe)
    }

    /// Checks the ranges that the types do not.
    ///
    /// # Errors
    /// The name of the field and its range.
    pub fn validate(&self) -> std::result::Result<(), String> {
        if let Some(model) = &self.model {
            let checked = ModelConfig::parse(model.to_json().as_bytes(), Path::new("model"));
            checked.map_err(|error| error.to_string())?;
            let fits = matches!(
                (self.loss, &model.logit),
                (LossKind::Softmax, Logit::Softmax { .. })
                    | (LossKind::Sigmoid, Logit::Sigmoid { .. })
            );
            if !fits {
                return Err(format!("loss {:?} does not go with {:?}", self.loss, model.logit));
            }
        } else if !matches!(self.init, Init::Model { .. }) {
            return Err("model is missing; only an init of kind `model` brings one".into());
        }
        let share = |name: &str, value: f64| match value {
            value if (0.0..1.0).contains(&value) => Ok(()),
            _ => Err(format!("{name} is {value}, expected 0..1")),
        };
        share("warmup", self.warmup)?;
        share("word_dropout", self.word_dropout)?;
        share("feature_dropout", self.feature_dropout)?;
        share("colour_jitter", self.colour_jitter)?;
        share("average", self.average)?;
        if !(self.least_area > 0.0 && self.least_area <= 1.0) {
            return Err(format!(
                "least_area is {}, expected more than 0, at most 1",
                self.least_area
            ));
        }
        for (name, value) in [
            ("epochs", self.epochs as usize),
            ("batch", self.batch),
            ("captions_per_image", self.captions_per_image),
            ("pairs", self.pairs.len()),
        ] {
            if value == 0 {
                return Err(format!("{name} is 0, expected at least 1"));
            }
        }
        let positive = |name: &str, value: f64| match value {
            value if value.is_finite() && value >= 0.0 => Ok(()),
            _ => Err(format!("{name} is {value}, expected at least 0")),
        };
        positive("learning_rate", self.learning_rate)?;
        positive("image_tower_rate", self.image_tower_rate)?;
        positive("weight_decay", self.weight_decay)?;
        positive("activation_l1", self.activation_l1)?;
        positive("hardest_negative_weight", self.hardest_negative_weight)?;
        positive("paraphrase_weight", self.paraphrase_weight)?;
        let Some(classes) = &self.classes else { return Ok(()) };
        positive("classes.weight", classes.weight)?;
        if classes.synthetic > 0 && self.image_tower != TowerMode::Frozen {
            return Err("classes.synthetic needs image_tower `frozen`".into());
        }
        match classes.prompts.iter().all(|prompt| prompt.contains(PLACEHOLDER)) {
            true if !classes.prompts.is_empty() => Ok(()),
            _ => Err(format!("classes.prompts needs one at least, each with {PLACEHOLDER}")),
        }
    }
}

/// A file's JSON with what it extends underneath.
fn resolve(path: &Path, depth: usize) -> Result<Value> {
    let bad = |reason: String| Error::BadInput { path: path.to_path_buf(), reason };
    let mut json: Value =
        serde_json::from_slice(&read(path)?).map_err(|error| bad(error.to_string()))?;
    let Some(base) = json.as_object_mut().and_then(|object| object.remove("extends")) else {
        return Ok(json);
    };
    let base = base.as_str().ok_or_else(|| bad("extends must be a path".into()))?;
    if depth == 0 {
        return Err(bad(format!("more than {MAX_EXTENDS} recipes extend one another")));
    }
    let mut whole = resolve(&path.with_file_name(base), depth - 1)?;
    merge(&mut whole, json);
    Ok(whole)
}

/// RFC 7396: objects are merged, null removes, everything else replaces.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(serde_json::Map::new());
    }
    let into = into.as_object_mut().expect("it was just made one");
    for (name, value) in patch {
        if value.is_null() {
            into.remove(&name);
        } else {
            merge(into.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINI: &str = include_str!("../../recipes/mini.json");

    #[test]
    fn the_shipped_recipes_are_valid() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let files = [dir.clone(), dir.join("ablations")]
            .into_iter()
            .flat_map(|dir| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
        let recipes: Vec<_> = files.filter(|path| path.is_file()).collect();
        assert!(recipes.len() > 10);
        for path in recipes {
            Recipe::read(&path).unwrap();
        }
    }

    #[test]
    fn what_is_extended_is_merged() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("mini.json", MINI);
        write("a.json", r#"{"extends": "mini.json", "epochs": 3, "model": {"dim": 8}}"#);
        write("b.json", r#"{"extends": "a.json", "classes": null, "seed": 9}"#);
        let (mini, b) = (Recipe::parse(MINI).unwrap(), dir.path().join("b.json"));
        let mut expected = Recipe { epochs: 3, seed: 9, classes: None, ..mini };
        expected.model.as_mut().unwrap().dim = 8;
        assert_eq!(Recipe::read(&b).unwrap(), expected);
        write("mini.json", r#"{"extends": "b.json"}"#);
        assert!(Recipe::read(&b).unwrap_err().to_string().contains("extend one another"));
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (patch, named) in [
            (r#"{"epochs": 0}"#, "epochs is 0"),
            (r#"{"epoch": 1}"#, "epoch"),
            (r#"{"seed": null}"#, "seed"),
            (r#"{"average": 1.0}"#, "average is 1"),
            (r#"{"least_area": 0}"#, "least_area is 0"),
            (r#"{"loss": "sigmoid"}"#, "does not go with"),
            (r#"{"model": null}"#, "model is missing"),
            (r#"{"classes": {"prompts": ["a dog"]}}"#, "classes.prompts"),
            (r#"{"image_tower": "melted"}"#, "melted"),
        ] {
            let mut json: Value = serde_json::from_str(MINI).unwrap();
            merge(&mut json, serde_json::from_str(patch).unwrap());
            let message = Recipe::from_value(json).unwrap_err();
            assert!(message.contains(named), "{patch}: {message}");
        }
    }
}
