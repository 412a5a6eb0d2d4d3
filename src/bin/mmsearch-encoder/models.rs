//! `mmsearch model list|info|import|verify`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mmsearch::Error;
use mmsearch::encoder::config::ModelConfig;
use mmsearch::encoder::{DualEncoder, Encoder, LEAST_COSINE};
use serde::Serialize;

use crate::cli::Cli;
use crate::exit::{Exit, tell};
use crate::model::{Named, load_dual, named, runtime};
use crate::output::{Output, escaped, escaped_text};
use crate::place;

/// A model that --model knows, in JSON.
#[derive(Serialize)]
struct ListLine<'a> {
    name: &'a str,
    fingerprint: &'a str,
    dim: usize,
    parameters: u64,
}

impl<'a> ListLine<'a> {
    fn new(name: &'a str, model: &'a DualEncoder) -> Self {
        let space = model.space();
        let parameters = model.n_parameters();
        Self { name, fingerprint: &space.fingerprint.0, dim: space.dim, parameters }
    }
}

/// A model in JSON.
#[derive(Serialize)]
struct ModelLine<'a> {
    model: &'a str,
    fingerprint: &'a str,
    dim: usize,
    parameters: u64,
    config: &'a ModelConfig,
}

/// A comparison with the golden file in JSON; cosines.
#[derive(Serialize)]
struct VerifyLine<'a> {
    model: &'a str,
    fingerprint: &'a str,
    image_features: f32,
    image_embeddings: f32,
    text_embeddings: f32,
    same_tokens: bool,
    holds: bool,
}

/// Puts the model into the user's `mmsearch/models`, and says how to use it.
pub(crate) fn import(source: &Path, name: Option<&str>) -> Result<Exit> {
    let name = match name {
        Some(name) => name.to_string(),
        None => {
            let whole = std::path::absolute(source)?;
            whole.file_name().unwrap_or_default().to_string_lossy().into_owned()
        }
    };
    let to = place::new_model(&name)?;
    mmsearch::encoder::import(source, &name, &to)?;
    let model = DualEncoder::load(&to, mmsearch::encoder::Device::Cpu)?;
    let mut output = Output::new();
    output.line(&row(&name, &model))?;
    output.flush()?;
    tell(&format!("mmsearch: imported; use it with --model {}", escaped_text(&name)));
    Ok(Exit::Done)
}

/// The model inside, then the directories in the user's `mmsearch/models`; a broken one is told of.
pub(crate) fn list(cli: &Cli, json: bool) -> Result<Exit> {
    let mut output = Output::new();
    let mut outcome = Exit::Done;
    let mut show = |name: &str, model: &DualEncoder| match json {
        true => output.json(&ListLine::new(name, model)),
        false => output.line(&row(name, model)),
    };
    #[cfg(feature = "embedded-model")]
    show("mini", &DualEncoder::mini(runtime(cli.device, cli.precision))?)?;
    let dir = place::models()?;
    let mut names: Vec<PathBuf> = match std::fs::read_dir(&dir) {
        Ok(entries) => {
            // A hidden name is an import that was killed.
            let hidden =
                |entry: &std::fs::DirEntry| entry.file_name().as_encoded_bytes()[0] == b'.';
            let entries = entries.flatten().filter(|entry| !hidden(entry));
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
        }
        Err(_) => Vec::new(),
    };
    names.sort();
    for path in names {
        match DualEncoder::load(&path, runtime(cli.device, cli.precision)) {
            Ok(model) => show(&escaped(Path::new(path.file_name().unwrap_or_default())), &model)?,
            Err(error) => {
                tell(&format!("mmsearch: {error}"));
                outcome = Exit::Mismatch;
            }
        }
    }
    output.flush()?;
    Ok(outcome)
}

fn row(name: &str, model: &DualEncoder) -> String {
    let space = model.space();
    let millions = model.n_parameters() as f64 / 1e6;
    format!(
        "{name:<24}  {:4} dimensions  {millions:6.1} M parameters  {}",
        space.dim,
        &space.fingerprint.0[..16]
    )
}

pub(crate) fn info(cli: &Cli, json: bool) -> Result<Exit> {
    let model = load_dual(cli)?;
    let space = model.space();
    let mut output = Output::new();
    if json {
        output.json(&ModelLine {
            model: &space.model,
            fingerprint: &space.fingerprint.0,
            dim: space.dim,
            parameters: model.n_parameters(),
            config: model.config(),
        })?;
    } else {
        output.line(&format!("name         {}", escaped_text(&space.model)))?;
        output.line(&format!("fingerprint  {}", space.fingerprint))?;
        output.line(&format!("dimension    {}", space.dim))?;
        output.line(&format!("parameters   {}", model.n_parameters()))?;
        output.line(model.config().to_json().trim_end())?;
    }
    output.flush()?;
    Ok(Exit::Done)
}

pub(crate) fn verify(cli: &Cli, json: bool) -> Result<Exit> {
    let mut model = load_dual(cli)?;
    let found = match named(cli.model.as_deref())? {
        Named::Directory(dir) => model.verify(&dir.join("golden.safetensors"))?,
        #[cfg(feature = "embedded-model")]
        Named::Mini => model.verify_mini()?,
        #[cfg(not(feature = "embedded-model"))]
        Named::Mini => unreachable!("it could not be loaded"),
    };
    let space = model.space();
    let mut output = Output::new();
    if json {
        output.json(&VerifyLine {
            model: &space.model,
            fingerprint: &space.fingerprint.0,
            image_features: found.image_features,
            image_embeddings: found.image_embeddings,
            text_embeddings: found.text_embeddings,
            same_tokens: found.same_tokens,
            holds: found.holds(),
        })?;
    } else {
        output.line(&format!("image features    cosine {:.6}", found.image_features))?;
        output.line(&format!("image embeddings  cosine {:.6}", found.image_embeddings))?;
        output.line(&format!("text embeddings   cosine {:.6}", found.text_embeddings))?;
        output.line(&format!(
            "tokens            {}",
            if found.same_tokens { "equal" } else { "different" }
        ))?;
    }
    output.flush()?;
    if found.holds() {
        return Ok(Exit::Done);
    }
    let reason = format!(
        "it does not give the values of its golden file (cosine below {LEAST_COSINE}, or other tokens)"
    );
    Err(Error::BadModel { path: space.model.clone().into(), reason }.into())
}
