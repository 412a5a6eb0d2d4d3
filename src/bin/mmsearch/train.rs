//! `mmsearch train`.

use std::ops::ControlFlow;

use anyhow::Result;
use mmsearch::train::{Recipe, TrainEvent, TrainOptions, train};
use serde::Serialize;

use crate::cli::{Cli, TrainArgs};
use crate::eval::{HEADER, RecallLine, recall_row};
use crate::exit::{Exit, tell};
use crate::output::Output;
use crate::progress::{Interrupt, counting_bar};

/// An epoch in JSON.
#[derive(Serialize)]
struct EpochLine {
    epoch: u64,
    epochs: u64,
    text_to_image: RecallLine,
    image_to_text: RecallLine,
    best: bool,
}

pub(crate) fn run(cli: &Cli, arguments: &TrainArgs) -> Result<Exit> {
    let recipe = Recipe::read(&arguments.recipe)?;
    let options = TrainOptions {
        data: arguments.data.clone(),
        run: arguments.out.clone(),
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
            TrainEvent::Epoch { epoch, val, best } => {
                let shown = bar.suspend(|| match arguments.json {
                    true => output.json(&EpochLine {
                        epoch: *epoch,
                        epochs: recipe.epochs,
                        text_to_image: (&val.text_to_image).into(),
                        image_to_text: (&val.image_to_text).into(),
                        best: *best,
                    }),
                    false => {
                        let star = if *best { ", the best so far" } else { "" };
                        output
                            .line(&format!("epoch {epoch} of {}{star}\n{HEADER}", recipe.epochs))?;
                        output.line(&recall_row("text → image", &val.text_to_image))?;
                        output.line(&recall_row("image → text", &val.image_to_text))
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
    tell(&format!(
        "epoch {} was the best; its model is {}",
        report.best_epoch,
        report.model.display()
    ));
    Ok(if passed_over { Exit::Skipped } else { Exit::Done })
}
