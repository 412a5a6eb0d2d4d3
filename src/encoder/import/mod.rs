//! Foreign checkpoints become model directories here, once: the run-time loader knows our format only.
//!
//! Two layouts are read: Hugging Face transformers' (`config.json`, `model.safetensors`, …) and OpenCLIP's
//! (`open_clip_config.json`, …). Each gives a [`Plan`]: the configuration, a source for every tensor, and the tokenizer.
//! All names and shapes are then compared; nothing is guessed, broadcast or left over.

mod hugging_face;
mod names;
mod open_clip;
mod source;
mod tokenizer_files;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::encoder::DualEncoder;
use crate::encoder::checkpoint::{self, Storage};
use crate::encoder::config::ModelConfig;
use crate::encoder::files::{sync_dir, write_file};
use crate::encoder::runtime::Device;
use crate::encoder::tokenizer::Tokenizer;
use crate::encoder::tower::{Half, specs};
use crate::error::{Error, Result, io_at};
use names::Name;
use source::Source;

/// What a layout says about a model.
struct Plan {
    config: ModelConfig,
    /// Our name of each tensor, and where it comes from.
    names: Vec<Name>,
    tokenizer: Vec<u8>,
}

impl Plan {
    /// Refuses numbers that no model has; `path` is the file that they come from.
    fn checked(
        config: ModelConfig,
        names: Vec<Name>,
        tokenizer: Vec<u8>,
        path: &Path,
    ) -> Result<Self> {
        config.validate().map_err(|reason| Error::BadModel { path: path.to_path_buf(), reason })?;
        Ok(Self { config, names, tokenizer })
    }
}

/// Makes the model directory `to` out of a downloaded checkpoint, or nothing at all.
///
/// `source` is a directory in the layout of Hugging Face transformers (CLIP, SigLIP, SigLIP 2 of fixed resolution) or of OpenCLIP
/// (ViT and ResNet towers); `name` is the name for people. Weights keep their number type (f32, f16, bf16); batch norms are
/// folded into the convolutions before them. Needs about three times the checkpoint's size in memory.
///
/// # Errors
/// [`Error::BadModel`] naming the file and the field or tensor that is unknown, missing, misshaped, not finite or of a
/// wrong type; [`Error::BadOption`] if `to` is there already; [`Error::Io`] if it cannot be written.
pub fn import(source: &Path, name: &str, to: &Path) -> Result<()> {
    if to.exists() {
        let reason = format!("{} is there already; choose another name", to.display());
        return Err(Error::BadOption { reason });
    }
    let layout = layout(source)?;
    let mut tensors = Source::open(source)?;
    let plan = match layout {
        Layout::HuggingFace => hugging_face::plan(source, name, &tensors)?,
        Layout::OpenClip => open_clip::plan(source, name, &tensors)?,
    };
    Tokenizer::parse(&plan.tokenizer, &plan.config, source)?;
    let weights = converted(source, &mut tensors, &plan)?;
    drop(tensors);
    write(to, &plan, &weights)
}

enum Layout {
    HuggingFace,
    OpenClip,
}

/// A directory with both is OpenCLIP's: its configuration names the preprocessing too.
fn layout(dir: &Path) -> Result<Layout> {
    let bad = |reason: &str| Error::BadModel { path: dir.to_path_buf(), reason: reason.into() };
    if !dir.is_dir() {
        let only = "a directory with config.json or open_clip_config.json and .safetensors weights is needed";
        return Err(bad(&format!(
            "{} ({only})",
            if dir.exists() { "not a directory" } else { "not there" }
        )));
    }
    match (dir.join("open_clip_config.json").exists(), dir.join("config.json").exists()) {
        (true, _) => Ok(Layout::OpenClip),
        (false, true) => Ok(Layout::HuggingFace),
        (false, false) => Err(bad("there is neither config.json nor open_clip_config.json")),
    }
}

/// The tensors that the configuration calls for, serialised.
fn converted(dir: &Path, source: &mut Source, plan: &Plan) -> Result<Vec<u8>> {
    let mut stored = BTreeMap::new();
    for name in &plan.names {
        stored.insert(name.ours.clone(), source.take(&name.from)?);
    }
    source.expect_nothing_left()?;
    let wanted = [specs(&plan.config, Half::Image), specs(&plan.config, Half::Text)].concat();
    for spec in &wanted {
        let (tensor, _) = stored.get(&spec.name).expect("the name map covers every tensor");
        if tensor.size() != spec.shape {
            let from = plan.names.iter().find(|name| name.ours == spec.name);
            let theirs = from.map_or_else(String::new, |name| name.from.to_string());
            return Err(Error::BadModel {
                path: dir.to_path_buf(),
                reason: format!(
                    "tensor `{theirs}`: the configuration calls for shape {:?} ({}), found {:?}",
                    spec.shape,
                    spec.name,
                    tensor.size()
                ),
            });
        }
    }
    checkpoint::serialize_each(&stored)
}

/// Writes a sibling directory, tries it, and renames it.
fn write(to: &Path, plan: &Plan, weights: &[u8]) -> Result<()> {
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).map_err(io_at("create", &parent))?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    // The name is the same each time, so that what a killed import left goes with the next one.
    let part = parent.join(format!(".{name}.part"));
    let written = fill(&part, plan, weights)
        .and_then(|()| fs::rename(&part, to).map_err(io_at("create", to)))
        .and_then(|()| sync_dir(&parent));
    if written.is_err() {
        // The error that stopped the import is the one to tell; what is left has a hidden name.
        let _ = fs::remove_dir_all(&part);
    }
    written
}

fn fill(part: &Path, plan: &Plan, weights: &[u8]) -> Result<()> {
    if part.exists() {
        fs::remove_dir_all(part).map_err(io_at("remove", part))?;
    }
    fs::create_dir(part).map_err(io_at("create", part))?;
    write_file(&part.join("weights.safetensors"), weights)?;
    write_file(&part.join("tokenizer.json"), &plan.tokenizer)?;
    write_file(&part.join("model.json"), plan.config.to_json().as_bytes())?;
    let golden = DualEncoder::load(part, Device::Cpu)?.record_golden()?;
    write_file(&part.join("golden.safetensors"), &golden)
}
