//! `mmsearch classify`.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Result;
use mmsearch::Error;
use mmsearch::eval::{Classifier, Guess, Labels};
use mmsearch::media::Limits;
use serde::Serialize;

use crate::cli::{ClassifyArgs, Cli, LabelsArgs};
use crate::eval::prompts;
use crate::exit::{Exit, tell};
use crate::output::{Output, PathLine, escaped, escaped_text};
use crate::picture::{external_decoder, is_stdin, picture, stdin};
use crate::progress::{Interrupt, counting_bar};
use crate::worker::load_encoder;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    /// A photo and its classes, the most probable first.
    Image {
        #[serde(flatten)]
        path: PathLine,
        classes: Vec<GuessLine<'a>>,
    },
    /// A photo that cannot be read.
    Skipped {
        #[serde(flatten)]
        path: PathLine,
        reason: String,
    },
}

#[derive(Serialize)]
struct GuessLine<'a> {
    label: &'a str,
    /// 0 to 1, by the model's own last step.
    probability: f32,
    /// Cosine of the class with the photo, higher is closer.
    score: f32,
}

pub(crate) fn run(cli: &Cli, arguments: &ClassifyArgs) -> Result<Exit> {
    let labels = labels(&arguments.labels, &arguments.images)?;
    let decoder = external_decoder(None)?;
    let mut encoder = load_encoder(cli)?;
    let interrupt = Interrupt::install()?;
    let bar = counting_bar("prompts");
    let mut progress = |done, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        interrupt.flow()
    };
    let prompts = prompts(&arguments.prompt);
    let detail = encoder.preprocess().detail();
    let classifier = Classifier::new(encoder.as_mut(), &labels, &prompts, &mut progress);
    bar.finish_and_clear();
    let (mut output, mut outcome) = (Output::new(), Exit::Done);
    let mut write_error = None;
    let done = classifier?.classify(
        &arguments.images,
        |path| picture(path, detail, decoder.as_ref()),
        |path, guesses| {
            if guesses.is_err() {
                outcome = Exit::Skipped;
            }
            match show(&mut output, arguments, path, guesses) {
                Ok(()) => interrupt.flow(),
                Err(error) => {
                    write_error = Some(error);
                    ControlFlow::Break(())
                }
            }
        },
    );
    if let Some(error) = write_error {
        return Err(error.into());
    }
    done?;
    output.flush()?;
    Ok(outcome)
}

fn labels(arguments: &LabelsArgs, images: &[PathBuf]) -> Result<Labels> {
    let Some(file) = &arguments.labels_file else { return Ok(Labels::new(&arguments.labels)?) };
    if !is_stdin(file) {
        return Ok(Labels::read(file)?);
    }
    if images.iter().any(|image| is_stdin(image)) {
        let reason = "standard input cannot hold both the labels and a photo".into();
        return Err(Error::BadOption { reason }.into());
    }
    let text = stdin(Limits::default().max_file_bytes)?;
    Ok(Labels::parse(&text, Path::new("standard input"))?)
}

/// A photo's lines go out at once, so that a reader need not wait for the others.
fn show(
    output: &mut Output,
    arguments: &ClassifyArgs,
    path: &Path,
    guesses: mmsearch::Result<Vec<Guess>>,
) -> io::Result<()> {
    let mut guesses = match guesses {
        Ok(guesses) => guesses,
        Err(error) if arguments.json => {
            output.json(&Line::Skipped { path: PathLine::new(path), reason: error.to_string() })?;
            return output.flush();
        }
        Err(error) => {
            tell(&format!("skipped: {error}"));
            return Ok(());
        }
    };
    guesses.truncate(arguments.k.into());
    if arguments.json {
        let classes = guesses.iter().map(guess_line).collect();
        output.json(&Line::Image { path: PathLine::new(path), classes })?;
    } else {
        for Guess { label, probability, .. } in &guesses {
            let (label, path) = (escaped_text(label), escaped(path));
            output.line(&format!("{probability:.4}  {label}  {path}"))?;
        }
    }
    output.flush()
}

fn guess_line(guess: &Guess) -> GuessLine<'_> {
    let Guess { label, probability, score } = guess;
    GuessLine { label, probability: *probability, score: *score }
}
