//! `mmsearch model list|info|verify`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mmsearch::Error;
use mmsearch::encoder::config::ModelConfig;
use mmsearch::encoder::{DualEncoder, Encoder, LEAST_COSINE};
use serde::Serialize;

use crate::cli::{Cli, ModelArgs, ModelCommand};
use crate::exit::{Exit, tell};
use crate::model::{Named, load_dual, named};
use crate::output::{Output, escaped, escaped_text};
use crate::place;

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

pub(crate) fn run(cli: &Cli, arguments: &ModelArgs) -> Result<Exit> {
    match &arguments.command {
        ModelCommand::List => list(cli),
        ModelCommand::Info { json } => info(cli, *json),
        ModelCommand::Verify { json } => verify(cli, *json),
    }
}

/// The model inside, then the directories in the user's `mmsearch/models`; a broken one is told of.
fn list(cli: &Cli) -> Result<Exit> {
    let mut output = Output::new();
    let mut outcome = Exit::Done;
    #[cfg(feature = "embedded-model")]
    output.line(&row("mini", &DualEncoder::mini(cli.device.into())?))?;
    let dir = place::models()?;
    let mut names: Vec<PathBuf> = match std::fs::read_dir(&dir) {
        Ok(entries) => {
            entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
        }
        Err(_) => Vec::new(),
    };
    names.sort();
    for path in names {
        match DualEncoder::load(&path, cli.device.into()) {
            Ok(model) => output
                .line(&row(&escaped(Path::new(path.file_name().unwrap_or_default())), &model))?,
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
        "{name:<16}  {:4} dimensions  {millions:6.1} M parameters  {}",
        space.dim,
        &space.fingerprint.0[..16]
    )
}

fn info(cli: &Cli, json: bool) -> Result<Exit> {
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

fn verify(cli: &Cli, json: bool) -> Result<Exit> {
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
