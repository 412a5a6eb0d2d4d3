//! `mmsearch eval`.

use std::ops::ControlFlow;

use anyhow::Result;
use indicatif::ProgressBar;
use mmsearch::eval::{Recall, evaluate};
use mmsearch::media::{Limits, PairSource, Pairs};
use serde::Serialize;

use crate::cli::{Cli, EvalArgs};
use crate::exit::{Exit, tell};
use crate::model::load_encoder;
use crate::output::Output;
use crate::progress::{Interrupt, counting_bar};

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

/// One direction; recalls are percentages.
#[derive(Serialize)]
pub(crate) struct RecallLine {
    r1: f64,
    r5: f64,
    r10: f64,
    median_rank: f64,
    mean_rank: f64,
    queries: usize,
}

impl From<&Recall> for RecallLine {
    fn from(recall: &Recall) -> Self {
        let Recall { r1, r5, r10, median_rank, mean_rank, queries } = *recall;
        Self { r1, r5, r10, median_rank, mean_rank, queries }
    }
}

pub(crate) fn run(cli: &Cli, arguments: &EvalArgs) -> Result<Exit> {
    let source = PairSource {
        captions: arguments.pairs.clone(),
        images: arguments.images.clone(),
        split: arguments.split.clone(),
    };
    let mut pairs = Pairs::open(&source, Limits::default())?;
    let mut encoder = load_encoder(cli)?;
    let interrupt = Interrupt::install()?;
    let bar: ProgressBar = counting_bar("images and captions");
    let found = evaluate(encoder.as_mut(), &mut pairs, &mut |done, total| -> ControlFlow<()> {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        interrupt.flow()
    })?;
    bar.finish_and_clear();
    for (reason, n) in &pairs.skipped {
        tell(&format!("{n} {reason}: passed over"));
    }
    let space = encoder.space();
    let mut output = Output::new();
    if arguments.json {
        output.json(&EvalLine {
            text_to_image: (&found.text_to_image).into(),
            image_to_text: (&found.image_to_text).into(),
            images: pairs.len(),
            model: &space.model,
            fingerprint: &space.fingerprint.0,
            split: arguments.split.as_deref(),
        })?;
    } else {
        output.line(HEADER)?;
        output.line(&recall_row("text → image", &found.text_to_image))?;
        output.line(&recall_row("image → text", &found.image_to_text))?;
    }
    output.flush()?;
    // A caption that is empty or there twice is no loss; an image that is missing is.
    let is_whole = pairs.skipped.keys().all(|reason| reason.starts_with("captions"));
    Ok(if is_whole { Exit::Done } else { Exit::Skipped })
}

/// Above rows of [`recall_row`].
pub(crate) const HEADER: &str = "                R@1    R@5   R@10  median    mean  queries";

/// A direction as a row of the table.
pub(crate) fn recall_row(direction: &str, recall: &Recall) -> String {
    let Recall { r1, r5, r10, median_rank, mean_rank, queries } = recall;
    format!(
        "{direction}  {r1:5.1}  {r5:5.1}  {r10:5.1}  {median_rank:6.1}  {mean_rank:6.1}  {queries:7}"
    )
}
