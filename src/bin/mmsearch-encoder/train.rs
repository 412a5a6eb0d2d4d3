//! `mmsearch train`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Result;
use mmsearch::eval::Retrieval;
use mmsearch::media::PairSource;
use mmsearch::train::{
    Init, Recipe, TextMode, TowerMode, TrainEvent, TrainOptions, TrainReport, train,
};
use serde::Serialize;

use crate::cli::{Cli, HalfArg, TrainArgs};
use crate::exit::{Exit, tell};
use crate::model::{Named, named};
use crate::output::Output;
use crate::progress::{Interrupt, counting_bar};
use crate::recall::{HEADER, RecallLine, recall_row};

/// An epoch in JSON; 0 is the model begun with.
#[derive(Serialize)]
struct EpochLine {
    epoch: u64,
    epochs: u64,
    text_to_image: RecallLine,
    image_to_text: RecallLine,
    best: bool,
}

impl EpochLine {
    fn new(epoch: u64, epochs: u64, val: &Retrieval, best: bool) -> Self {
        let (text_to_image, image_to_text) =
            ((&val.text_to_image).into(), (&val.image_to_text).into());
        Self { epoch, epochs, text_to_image, image_to_text, best }
    }
}

/// Starts from a model that there is; needs pairs of one's own.
const ADAPT: &str = include_str!("../../../recipes/adapt.json");

pub(crate) fn run(cli: &Cli, arguments: &TrainArgs) -> Result<Exit> {
    let recipe = recipe(cli, arguments)?;
    let options = TrainOptions {
        data: arguments.data.clone(),
        run: arguments.out.clone(),
        cache: arguments.cache.clone(),
        resume: arguments.resume,
        device: cli.device.into(),
    };
    let interrupt = Interrupt::install()?;
    let mut bar = counting_bar("images");
    let (mut output, mut failed) = (Output::new(), None);
    let mut passed_over = false;
    let report = train(&recipe, &options, &mut |event| {
        match event {
            TrainEvent::Note(note) => {
                // A caption that is empty or there twice is no loss; an image that is missing is.
                passed_over |= note.ends_with("passed over") && !note.contains(" captions ");
                bar.suspend(|| tell(note));
            }
            TrainEvent::Features { done, total } => {
                bar.set_length(*total as u64);
                bar.set_position(*done as u64);
            }
            TrainEvent::WarmUp { done, total } => {
                if bar.message() != "steps of the warm-up" {
                    bar.finish_and_clear();
                    bar = counting_bar("steps of the warm-up");
                }
                bar.set_length(*total);
                bar.set_position(*done);
            }
            TrainEvent::Step { done, total, loss } => {
                if bar.message() != "steps" {
                    bar.finish_and_clear();
                    bar = counting_bar("steps");
                    // A resumed run begins in the middle; the rate must not count what an earlier one did.
                    bar.set_position(*done);
                    bar.reset_eta();
                }
                bar.set_length(*total);
                bar.set_position(*done);
                bar.set_prefix(format!("loss {loss:.3}"));
            }
            TrainEvent::Before { val } => {
                bar.finish_and_clear();
                bar = counting_bar("steps");
                let shown = match arguments.json {
                    true => output.json(&EpochLine::new(0, recipe.epochs, val, false)),
                    false => table(&mut output, "before", val),
                };
                if let Err(error) = shown.and_then(|()| output.flush()) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            TrainEvent::Epoch { epoch, val, best } => {
                let shown = bar.suspend(|| match arguments.json {
                    true => output.json(&EpochLine::new(*epoch, recipe.epochs, val, *best)),
                    false => {
                        let star = if *best { ", the best so far" } else { "" };
                        table(
                            &mut output,
                            &format!("epoch {epoch} of {}{star}", recipe.epochs),
                            val,
                        )
                    }
                });
                if let Err(error) = shown.and_then(|()| output.flush()) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        interrupt.flow()
    });
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error.into());
    }
    let report = report?;
    tell(&outcome(&report));
    Ok(match report.model {
        None => Exit::NothingFound,
        Some(_) if passed_over => Exit::Skipped,
        Some(_) => Exit::Done,
    })
}

/// What the run brought, in a sentence.
fn outcome(report: &TrainReport) -> String {
    let mean = |r: &Retrieval| {
        [r.text_to_image, r.image_to_text].iter().map(|r| r.r1 + r.r5 + r.r10).sum::<f64>() / 6.0
    };
    match (&report.model, &report.before) {
        (None, _) => "it did not help: no epoch was better on the val pairs than the model begun with, which stays; \
                      more pairs, or fewer epochs at a lower learning_rate, may"
            .into(),
        (Some(model), Some(before)) => format!(
            "it helped: the mean of the recalls went from {:.1} to {:.1} in epoch {}; the model is {}",
            mean(before),
            mean(&report.after),
            report.best_epoch,
            model.display()
        ),
        (Some(model), None) => {
            format!("epoch {} was the best; its model is {}", report.best_epoch, model.display())
        }
    }
}

fn table(output: &mut Output, title: &str, val: &Retrieval) -> std::io::Result<()> {
    output.line(&format!("{title}\n{HEADER}"))?;
    output.line(&recall_row("text → image", &val.text_to_image))?;
    output.line(&recall_row("image → text", &val.image_to_text))
}

/// The recipe file, or the built-in one for a model and pairs of one's own; then what the command line changes.
fn recipe(cli: &Cli, arguments: &TrainArgs) -> Result<Recipe> {
    let mut recipe = match &arguments.recipe {
        Some(file) => Recipe::read(file)?,
        None => {
            let mut recipe = Recipe::parse(ADAPT).map_err(anyhow::Error::msg)?;
            recipe.init = match named(cli.model.as_deref())? {
                Named::Mini => Init::Model { dir: None },
                // Absolute, since a recipe's paths start from --data.
                Named::Directory(dir) => Init::Model { dir: Some(std::path::absolute(dir)?) },
            };
            recipe
        }
    };
    let source = |captions: &PathBuf| -> Result<PairSource> {
        Ok(PairSource { captions: std::path::absolute(captions)?, images: None, split: None })
    };
    if !arguments.pairs.is_empty() {
        recipe.pairs = arguments.pairs.iter().map(source).collect::<Result<_>>()?;
    }
    if let Some(val) = &arguments.val {
        recipe.val = source(val)?;
    }
    if !arguments.freeze.is_empty() {
        let frozen = |half| arguments.freeze.contains(&half);
        recipe.image_tower =
            if frozen(HalfArg::Image) { TowerMode::Frozen } else { TowerMode::Trained };
        recipe.text_tower =
            if frozen(HalfArg::Text) { TextMode::Frozen } else { TextMode::Trained };
    }
    recipe.epochs = arguments.epochs.unwrap_or(recipe.epochs);
    Ok(recipe)
}
