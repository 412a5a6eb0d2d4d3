//! `mmsearch eval`.

use std::ops::ControlFlow;

use anyhow::Result;
use indicatif::ProgressBar;
use mmsearch::encoder::Encoder;
use mmsearch::eval::{DEFAULT_PROMPT, Retrieval, ZeroShot, evaluate, evaluate_labels};
use mmsearch::media::{Limits, PairSource, Pairs};
use serde::Serialize;

use crate::cli::{Cli, EvalArgs};
use crate::exit::{Exit, tell};
use crate::output::Output;
use crate::progress::{Interrupt, counting_bar};
use crate::recall::{HEADER, RecallLine, recall_row};
use crate::worker::load_encoder;

/// The figures in JSON.
#[derive(Serialize)]
struct EvalLine<'a> {
    text_to_image: RecallLine,
    image_to_text: RecallLine,
    images: usize,
    model: &'a str,
    fingerprint: &'a str,
    split: Option<&'a str>,
}

/// The figures of `--labels` in JSON; shares are percentages.
#[derive(Serialize)]
struct ZeroShotLine<'a> {
    top1: f64,
    top5: f64,
    mean_per_class: f64,
    images: usize,
    classes: usize,
    prompts: &'a [String],
    model: &'a str,
    fingerprint: &'a str,
    split: Option<&'a str>,
}

pub(crate) fn run(cli: &Cli, arguments: &EvalArgs) -> Result<Exit> {
    let rows = arguments.labels.as_ref().or(arguments.pairs.as_ref());
    let source = PairSource {
        captions: rows.expect("clap asks for one of the two").clone(),
        images: arguments.images.clone(),
        split: arguments.split.clone(),
    };
    let mut pairs = Pairs::open(&source, Limits::default())?;
    let mut encoder = load_encoder(cli)?;
    let interrupt = Interrupt::install()?;
    let bar: ProgressBar = counting_bar("images and texts");
    let mut progress = |done, total: usize| -> ControlFlow<()> {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        interrupt.flow()
    };
    let mut output = Output::new();
    if arguments.labels.is_some() {
        let prompts = prompts(&arguments.prompt);
        let found = evaluate_labels(encoder.as_mut(), &mut pairs, &prompts, &mut progress)?;
        bar.finish_and_clear();
        show_zero_shot(&mut output, arguments, encoder.as_ref(), &found, &prompts)?;
    } else {
        let found = evaluate(encoder.as_mut(), &mut pairs, &mut progress)?;
        bar.finish_and_clear();
        show_retrieval(&mut output, arguments, encoder.as_ref(), &found, pairs.len())?;
    }
    output.flush()?;
    for (reason, n) in &pairs.skipped {
        tell(&format!("{n} {reason}: passed over"));
    }
    // A caption that is empty or there twice is no loss; an image that is missing is.
    let is_whole = pairs.skipped.keys().all(|reason| reason.starts_with("captions"));
    Ok(if is_whole { Exit::Done } else { Exit::Skipped })
}

fn show_retrieval(
    output: &mut Output,
    arguments: &EvalArgs,
    encoder: &dyn Encoder,
    found: &Retrieval,
    images: usize,
) -> std::io::Result<()> {
    let space = encoder.space();
    if arguments.json {
        return output.json(&EvalLine {
            text_to_image: (&found.text_to_image).into(),
            image_to_text: (&found.image_to_text).into(),
            images,
            model: &space.model,
            fingerprint: &space.fingerprint.0,
            split: arguments.split.as_deref(),
        });
    }
    output.line(HEADER)?;
    output.line(&recall_row("text → image", &found.text_to_image))?;
    output.line(&recall_row("image → text", &found.image_to_text))
}

fn show_zero_shot(
    output: &mut Output,
    arguments: &EvalArgs,
    encoder: &dyn Encoder,
    found: &ZeroShot,
    prompts: &[String],
) -> std::io::Result<()> {
    let space = encoder.space();
    let ZeroShot { top1, top5, mean_per_class, images, classes } = *found;
    if arguments.json {
        return output.json(&ZeroShotLine {
            top1,
            top5,
            mean_per_class,
            images,
            classes,
            prompts,
            model: &space.model,
            fingerprint: &space.fingerprint.0,
            split: arguments.split.as_deref(),
        });
    }
    output.line("top-1  top-5  mean of classes  images  classes")?;
    output.line(&format!("{top1:5.1}  {top5:5.1}  {mean_per_class:15.1}  {images:6}  {classes:7}"))
}

/// What classes are called: as asked for, or as usual.
pub(crate) fn prompts(asked: &[String]) -> Vec<String> {
    if asked.is_empty() { vec![DEFAULT_PROMPT.into()] } else { asked.to_vec() }
}
