//! The tensors of a foreign checkpoint, from one `.safetensors` file or from shards with an index, each used once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::{Device, Tensor};

use super::names::From;
use super::{Storage, checkpoint};
use crate::encoder::files::read_file;
use crate::error::{Error, Result};
use checkpoint::Checkpoint;

/// The weights of a layout, in the order in which they are looked for.
const SINGLE: [&str; 3] =
    ["open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.safetensors"];
const INDEX: [&str; 2] = ["model.safetensors.index.json", "open_clip_model.safetensors.index.json"];

/// Added to a batch norm's variance; PyTorch's default, which both references use.
const BATCH_NORM_EPS: f64 = 1e-5;

/// Tensors that carry no weight of a tower: buffers, and what the configuration says in `logit`.
const NO_WEIGHTS: [&str; 5] =
    ["position_ids", "attn_mask", "num_batches_tracked", "logit_scale", "logit_bias"];

/// A foreign checkpoint whose tensors are taken one after the other.
pub(super) struct Source {
    dir: PathBuf,
    files: Vec<Checkpoint>,
    /// The file that has a tensor.
    place: BTreeMap<String, usize>,
    left: BTreeSet<String>,
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl Source {
    /// Reads the headers of all files.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let paths = weight_files(dir)?;
        let mut source = Self {
            dir: dir.to_path_buf(),
            files: Vec::new(),
            place: BTreeMap::new(),
            left: BTreeSet::new(),
        };
        for path in paths {
            let file = Checkpoint::parse(read_file(&path)?.into(), &path)?;
            for name in file.names() {
                if source.place.insert(name.to_string(), source.files.len()).is_some() {
                    return Err(source.bad(format!("tensor `{name}` is in two files")));
                }
                source.left.insert(name.to_string());
            }
            source.files.push(file);
        }
        source.left.retain(|name| !NO_WEIGHTS.iter().any(|end| name.ends_with(end)));
        Ok(source)
    }

    /// One tensor of ours, in f32, and how it is to be stored.
    pub(super) fn take(&mut self, from: &From) -> Result<(Tensor, Storage)> {
        match from {
            From::Same(name) => Ok((self.tensor(name)?, self.storage(name)?)),
            From::Transposed(name) => {
                let tensor = self.tensor(name)?;
                if tensor.dim() != 2 {
                    return Err(
                        self.bad(format!("tensor `{name}`: {:?} is no matrix", tensor.size()))
                    );
                }
                Ok((tensor.tr().contiguous(), self.storage(name)?))
            }
            From::Flat(name) => Ok((self.tensor(name)?.reshape(-1), self.storage(name)?)),
            From::Rows(names) => {
                let parts =
                    names.iter().map(|name| self.tensor(name)).collect::<Result<Vec<_>>>()?;
                let first = parts[0].size();
                if first.is_empty() {
                    return Err(self.bad(format!("tensor `{}`: it has no dimension", names[0])));
                }
                if let Some(i) = parts.iter().position(|part| part.size() != first) {
                    let (name, size) = (&names[i], parts[i].size());
                    let reason =
                        format!("tensor `{name}`: expected shape {first:?}, found {size:?}");
                    return Err(self.bad(reason));
                }
                Ok((Tensor::cat(&parts, 0), self.storage(&names[0])?))
            }
            From::FoldedWeight { conv, norm } => {
                let kernel = self.tensor(conv)?;
                let factor = self.norm_factor(norm)?;
                if kernel.dim() != 4 || kernel.size()[0] != factor.size()[0] {
                    return Err(self.bad(format!("tensors `{conv}` and `{norm}` do not fit")));
                }
                Ok((kernel * factor.view([-1, 1, 1, 1]), Storage::F32))
            }
            From::FoldedBias { norm } => {
                // The factor is taken from tensors that the weight has used already.
                let factor = self.norm_factor(norm)?;
                let (bias, mean) = (
                    self.tensor(&format!("{norm}.bias"))?,
                    self.tensor(&format!("{norm}.running_mean"))?,
                );
                if bias.size() != factor.size() || mean.size() != factor.size() {
                    return Err(self.bad(format!("the tensors of `{norm}` do not fit")));
                }
                Ok((bias - mean * factor, Storage::F32))
            }
            From::Zeros(n) => {
                Ok((Tensor::zeros([*n], (tch::Kind::Float, Device::Cpu)), Storage::F32))
            }
        }
    }

    /// The first value of a tensor that describes the logit head, if it is there.
    pub(super) fn scalar(&self, name: &str) -> Result<Option<f64>> {
        let Some(&file) = self.place.get(name) else { return Ok(None) };
        let values = self.files[file].tensor(name, Device::Cpu)?;
        match values.numel() {
            1 => Ok(Some(values.double_value(&vec![0; values.dim()]))),
            n => Err(self.bad(format!("tensor `{name}`: expected one value, found {n}"))),
        }
    }

    /// # Errors
    /// [`Error::BadModel`] naming the first tensor that the configuration does not know.
    pub(super) fn expect_nothing_left(&self) -> Result<()> {
        match self.left.first() {
            Some(name) => {
                Err(self.bad(format!("tensor `{name}`: the configuration does not know it")))
            }
            None => Ok(()),
        }
    }

    /// γ / √(σ² + ε) of a batch norm.
    fn norm_factor(&mut self, norm: &str) -> Result<Tensor> {
        let gamma = self.tensor(&format!("{norm}.weight"))?;
        let variance = self.tensor(&format!("{norm}.running_var"))?;
        if gamma.dim() != 1 || gamma.size() != variance.size() {
            return Err(
                self.bad(format!("tensors `{norm}.weight` and `{norm}.running_var` do not fit"))
            );
        }
        Ok(gamma / (variance + BATCH_NORM_EPS).sqrt())
    }

    fn tensor(&mut self, name: &str) -> Result<Tensor> {
        self.left.remove(name);
        self.file(name)?.tensor(name, Device::Cpu)
    }

    fn storage(&self, name: &str) -> Result<Storage> {
        self.file(name)?.storage(name)
    }

    fn file(&self, name: &str) -> Result<&Checkpoint> {
        let missing = || self.bad(format!("tensor `{name}`: it is missing"));
        Ok(&self.files[*self.place.get(name).ok_or_else(missing)?])
    }

    fn bad(&self, reason: String) -> Error {
        Error::BadModel { path: self.dir.clone(), reason }
    }
}

/// The one file, or the shards that the index names.
fn weight_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let there = |names: &[&str]| names.iter().map(|name| dir.join(name)).find(|path| path.exists());
    if let Some(single) = there(&SINGLE) {
        return Ok(vec![single]);
    }
    let Some(index) = there(&INDEX) else {
        let reason = match offers_programs(dir) {
            true => {
                "only .safetensors weights are read, and there are none (a .bin or .pt file is a program)"
            }
            false => "model.safetensors is missing",
        };
        return Err(Error::BadModel { path: dir.to_path_buf(), reason: reason.into() });
    };
    let bad = |reason: String| Error::BadModel { path: index.clone(), reason };
    let parsed: ShardIndex = serde_json::from_slice(&read_file(&index)?)
        .map_err(|error| bad(format!("not a shard index: {error}")))?;
    let shards: BTreeSet<&String> = parsed.weight_map.values().collect();
    let plain = |name: &str| Path::new(name).file_name().is_some_and(|file| file == name);
    if let Some(name) = shards.iter().find(|name| !plain(name)) {
        return Err(bad(format!("shard {name:?} is not a file beside it")));
    }
    Ok(shards.into_iter().map(|name| dir.join(name)).collect())
}

fn offers_programs(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|end| ["bin", "pt", "pth", "ot"].iter().any(|&e| end == e))
    })
}
