//! A run directory: the recipe, the log, the state to go on from, and the best model so far.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::encoder::checkpoint::{self, Checkpoint, Storage};
use crate::encoder::config::ModelConfig;
use crate::encoder::files::read_file;
use crate::encoder::{Device, DualEncoder};
use crate::error::{Error, Result, io_at, read};
use crate::eval::{Recall, Retrieval};
use crate::train::curve;
use crate::train::recipe::{Recipe, StorageKind};

/// The recipe that a run directory belongs to.
const RECIPE: &str = "recipe.json";

/// The log: a row for each epoch.
const METRICS: &str = "metrics.jsonl";

/// What is read of a row of the log.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Row {
    pub(super) epoch: u64,
    /// Mean over the epoch's steps; the model begun with has none.
    pub(super) loss: Option<f64>,
    pub(super) val: Figures,
}

/// Figures on the `val` pairs.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Figures {
    pub(super) text_to_image: Recall,
    pub(super) image_to_text: Recall,
}

/// The files of one training run.
pub(super) struct Run {
    dir: PathBuf,
}

/// How far a run has come, beside the optimiser's tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Reached {
    /// Epochs that are finished.
    pub(super) epoch: u64,
    /// Steps that are finished.
    pub(super) step: u64,
    /// The best epoch's sum of the six recalls, and which it was.
    pub(super) best_sum: f64,
    pub(super) best_epoch: u64,
}

impl Run {
    /// Takes a directory for a fresh run, or with `resume` one that was made by the same recipe.
    ///
    /// # Errors
    /// [`Error::BadOption`] if the directory is in use and not to be resumed, or was made by another recipe.
    pub(super) fn open(dir: &Path, recipe: &Recipe, resume: bool) -> Result<Self> {
        fs::create_dir_all(dir).map_err(io_at("create", dir))?;
        let run = Self { dir: dir.to_path_buf() };
        let written = run.path(RECIPE);
        let refuse = |reason: String| Err(Error::BadOption { reason });
        if written.exists() && !resume {
            return refuse(format!(
                "{} holds a run; go on with --resume, or name another directory",
                dir.display()
            ));
        }
        if written.exists() && Recipe::read(&written)? != *recipe {
            return refuse(format!(
                "{} was made by another recipe; name another directory",
                dir.display()
            ));
        }
        Ok(run)
    }

    /// Makes the directory this recipe's; called once its data and weights have turned out to be readable.
    pub(super) fn claim(&self, recipe: &Recipe) -> Result<()> {
        let json =
            serde_json::to_string_pretty(recipe).expect("a recipe has no map with odd keys") + "\n";
        write_atomically(&self.path(RECIPE), json.as_bytes())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The figures of an epoch in the log.
    ///
    /// # Errors
    /// [`Error::BadInput`] if the log does not have it.
    pub(super) fn best(&self, epoch: u64) -> Result<Retrieval> {
        // A run that was killed between log and state has logged an epoch twice; the last row counts.
        let row = self.metrics()?.into_iter().rfind(|row| row.epoch == epoch);
        let missing = || Error::BadInput {
            path: self.path(METRICS),
            reason: format!("there is no row of epoch {epoch}"),
        };
        let Figures { text_to_image, image_to_text } = row.ok_or_else(missing)?.val;
        Ok(Retrieval { text_to_image, image_to_text })
    }

    /// Draws the log into `curve.svg`.
    pub(super) fn draw_curve(&self) -> Result<()> {
        write_atomically(&self.path("curve.svg"), curve::svg(&self.metrics()?).as_bytes())
    }

    fn metrics(&self) -> Result<Vec<Row>> {
        let path = self.path(METRICS);
        let bad = |error: serde_json::Error| Error::BadInput {
            path: path.clone(),
            reason: error.to_string(),
        };
        let bytes = read(&path)?;
        let rows = serde_json::Deserializer::from_slice(&bytes).into_iter();
        rows.map(|row| row.map_err(bad)).collect()
    }

    /// Appends a row to `metrics.jsonl`.
    pub(super) fn log(&self, row: &serde_json::Value) -> Result<()> {
        let path = self.path(METRICS);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.map_err(io_at("open", &path))?;
        writeln!(file, "{row}").map_err(io_at("write", &path))
    }

    /// Writes the state to go on from. `state.json` is the switch: it names the epoch whose tensors it belongs to.
    pub(super) fn save_state(
        &self,
        tensors: &BTreeMap<String, Tensor>,
        reached: &Reached,
    ) -> Result<()> {
        let bytes = checkpoint::serialize(tensors, Storage::F32)?;
        write_atomically(&self.state_path(reached.epoch), &bytes)?;
        let json = serde_json::to_vec(reached).expect("numbers have a JSON form");
        write_atomically(&self.path("state.json"), &json)?;
        if reached.epoch == 0 {
            return Ok(());
        }
        // What is left of the epoch before is of no use; that it cannot be removed harms nothing.
        let _ = fs::remove_file(self.state_path(reached.epoch - 1));
        Ok(())
    }

    /// The state of an earlier run in this directory; `None` if it finished no epoch.
    pub(super) fn state(&self) -> Result<Option<(Checkpoint, Reached)>> {
        let path = self.path("state.json");
        if !path.exists() {
            return Ok(None);
        }
        let bad = |error: serde_json::Error| Error::BadInput {
            path: path.clone(),
            reason: error.to_string(),
        };
        let reached: Reached = serde_json::from_slice(&read(&path)?).map_err(bad)?;
        let tensors = self.state_path(reached.epoch);
        Ok(Some((Checkpoint::parse(read_file(&tensors)?.into(), &tensors)?, reached)))
    }

    fn state_path(&self, epoch: u64) -> PathBuf {
        self.path(&format!("state-{epoch}.safetensors"))
    }

    /// Writes a model directory with a golden file of its own values, then puts it in the place of the last one.
    pub(super) fn save_model(
        &self,
        config: &ModelConfig,
        weights: &BTreeMap<String, Tensor>,
        tokenizer: &[u8],
        storage: StorageKind,
    ) -> Result<()> {
        let (part, place, old) =
            (self.path("model.part"), self.path("model"), self.path("model.old"));
        for stale in [&part, &old] {
            if stale.exists() {
                fs::remove_dir_all(stale).map_err(io_at("remove", stale))?;
            }
        }
        fs::create_dir_all(&part).map_err(io_at("create", &part))?;
        let storage = match storage {
            StorageKind::F32 => Storage::F32,
            StorageKind::F16 => Storage::F16,
            StorageKind::Int8 => Storage::Int8,
        };
        write_atomically(
            &part.join("weights.safetensors"),
            &checkpoint::serialize(weights, storage)?,
        )?;
        write_atomically(&part.join("tokenizer.json"), tokenizer)?;
        write_atomically(&part.join("model.json"), config.to_json().as_bytes())?;
        let golden = DualEncoder::load(&part, Device::Cpu)?.record_golden()?;
        write_atomically(&part.join("golden.safetensors"), &golden)?;
        if place.exists() {
            fs::rename(&place, &old).map_err(io_at("replace", &place))?;
        }
        fs::rename(&part, &place).map_err(io_at("replace", &place))?;
        if old.exists() {
            fs::remove_dir_all(&old).map_err(io_at("remove", &old))?;
        }
        Ok(())
    }
}

/// Writes a sibling file, syncs it and renames it over `path`.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let scratch = path.with_extension("part");
    let mut file = File::create(&scratch).map_err(io_at("create", &scratch))?;
    file.write_all(bytes).map_err(io_at("write", &scratch))?;
    file.sync_all().map_err(io_at("sync", &scratch))?;
    fs::rename(&scratch, path).map_err(io_at("replace", path))
}
