//! `mmsearch-encoder`: the part of the program that needs libtorch, in a process of its own.
//!
//! Loading libtorch takes longer than most queries, and it can end a process; so `mmsearch` starts without it and starts
//! this program when there is something to encode, or becomes it for what is nothing but models. It is not
//! started by people, and its arguments are no interface.

#[path = "../mmsearch/cli.rs"]
mod cli;
#[path = "../mmsearch/exit.rs"]
mod exit;
mod model;
mod models;
#[path = "../mmsearch/output.rs"]
#[allow(dead_code, reason = "each of the two programs uses its own part")]
mod output;
#[path = "../mmsearch/place.rs"]
#[allow(dead_code, reason = "each of the two programs uses its own part")]
mod place;
#[path = "../mmsearch/progress.rs"]
#[allow(dead_code, reason = "each of the two programs uses its own part")]
mod progress;
#[path = "../mmsearch/recall.rs"]
mod recall;
mod train;

use std::ffi::{OsStr, OsString};
use std::io;
use std::panic::catch_unwind;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use mmsearch::Error;
use mmsearch::encoder::Encoder;
use mmsearch::encoder::remote::{VERSION, serve};

use crate::cli::{Cli, Command, DeviceArg, ModelCommand, PrecisionArg};
use crate::exit::Exit;

fn main() -> ExitCode {
    // A panic of libtorch becomes an error where it is caught, and that is told in one line.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = catch_unwind(|| exit::of(run(&arguments)));
    outcome.unwrap_or_else(|panic| exit::of_panic(panic.as_ref())).into()
}

fn run(arguments: &[OsString]) -> Result<Exit> {
    let words: Vec<Option<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    match words[..] {
        [Some("encode"), Some(device), Some(precision)] => encode(device, precision, None),
        [Some("encode"), Some(device), Some(precision), _] => {
            encode(device, precision, Some(&arguments[3]))
        }
        [Some("run"), Some(VERSION), ..] => run_command(&arguments[2..]),
        [Some("run"), Some(version), ..] => {
            let reason = format!(
                "mmsearch-encoder has version {VERSION}, mmsearch has {version}; install both again"
            );
            Err(Error::NoEncoder { reason }.into())
        }
        // Nothing but what the loader does: the least that any use of libtorch takes.
        [Some("--version")] => {
            let mut output = output::Output::new();
            output.line(&format!("mmsearch-encoder {VERSION}"))?;
            output.flush()?;
            Ok(Exit::Done)
        }
        _ => {
            let reason = "mmsearch-encoder is started by mmsearch; use that".into();
            Err(Error::BadOption { reason }.into())
        }
    }
}

/// Encodes what is asked for on standard input, until that ends.
fn encode(device: &str, precision: &str, model: Option<&OsStr>) -> Result<Exit> {
    let bad = |reason: String| Error::BadOption { reason };
    let device = DeviceArg::from_str(device, false).map_err(bad)?;
    let precision = PrecisionArg::from_str(precision, false).map_err(bad)?;
    let load = || -> mmsearch::Result<Box<dyn Encoder>> {
        let model = model.map(OsStr::to_string_lossy);
        Ok(Box::new(model::load(model.as_deref(), model::runtime(device, precision))?))
    };
    // If nobody reads, or what comes in is no request, then nobody is left who could be told.
    match serve(load, &mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => Ok(Exit::Done),
        Err(_) => Ok(Exit::Bug),
    }
}

/// Does what `mmsearch` was asked to do; the arguments are its own.
fn run_command(arguments: &[OsString]) -> Result<Exit> {
    let cli = match Cli::try_parse_from([OsString::from("mmsearch")].iter().chain(arguments)) {
        Ok(cli) => cli,
        Err(error) => return Ok(exit::of_usage(&error)),
    };
    match &cli.command {
        Command::Train(arguments) => train::run(&cli, arguments),
        Command::Model(arguments) => match &arguments.command {
            ModelCommand::List { json, .. } => models::list(&cli, *json),
            ModelCommand::Info { json } => models::info(&cli, *json),
            ModelCommand::Import { source, name } => models::import(source, name.as_deref()),
            ModelCommand::Verify { json } => models::verify(&cli, *json),
            ModelCommand::Pull(_) => Err(not_here()),
        },
        Command::Index(_)
        | Command::Query(_)
        | Command::Similar(_)
        | Command::Duplicates(_)
        | Command::Random(_)
        | Command::Status(_)
        | Command::Forget(_)
        | Command::Tag(_)
        | Command::Check(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Reindex(_)
        | Command::Eval(_)
        | Command::Classify(_)
        | Command::Bench(_)
        | Command::Completions(_)
        | Command::Man(_) => Err(not_here()),
    }
}

fn not_here() -> anyhow::Error {
    Error::BadOption { reason: "mmsearch does this itself".into() }.into()
}
