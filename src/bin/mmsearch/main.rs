//! `mmsearch`, the program: arguments in, one call of the library, results on stdout, all else on stderr.

mod available;
mod check;
mod classify;
mod cli;
mod completions;
mod eval;
mod exit;
mod forget;
mod hub;
mod index;
mod model;
#[cfg(feature = "torch")]
mod models;
mod output;
mod picture;
mod place;
mod progress;
mod pull;
mod query;
mod reindex;
mod status;
#[cfg(feature = "torch")]
mod train;

use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ModelCommand};
use crate::exit::Exit;

fn main() -> ExitCode {
    // A panic of libtorch or of a decoder becomes an error where it is caught, and that is told in one line.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(|| match Cli::try_parse() {
        Ok(cli) => exit::of(run(&cli)),
        Err(error) => exit::of_usage(&error),
    });
    outcome.unwrap_or_else(|panic| exit::of_panic(panic.as_ref())).into()
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Index(arguments) => index::run(cli, arguments),
        Command::Query(arguments) => query::run(cli, arguments),
        Command::Status(arguments) => status::run(cli, arguments),
        Command::Forget(arguments) => forget::run(cli, arguments),
        Command::Check(arguments) => check::run(cli, arguments),
        Command::Reindex(arguments) => reindex::run(cli, arguments),
        Command::Model(arguments) => run_model(cli, &arguments.command),
        #[cfg(feature = "torch")]
        Command::Train(arguments) => train::run(cli, arguments),
        Command::Eval(arguments) => eval::run(cli, arguments),
        Command::Classify(arguments) => classify::run(cli, arguments),
        Command::Completions(arguments) => completions::run(arguments),
    }
}

/// What can be had is known without libtorch; everything else about models needs it.
#[cfg_attr(not(feature = "torch"), expect(unused_variables, reason = "no model is loaded"))]
fn run_model(cli: &Cli, command: &ModelCommand) -> anyhow::Result<Exit> {
    match command {
        ModelCommand::List { available: true, json } => available::run(*json),
        ModelCommand::Pull(arguments) => pull::run(arguments),
        #[cfg(feature = "torch")]
        ModelCommand::List { available: false, json } => models::list(cli, *json),
        #[cfg(not(feature = "torch"))]
        ModelCommand::List { available: false, .. } => Err(model::no_model("mini")),
        #[cfg(feature = "torch")]
        ModelCommand::Info { json } => models::info(cli, *json),
        #[cfg(feature = "torch")]
        ModelCommand::Import { source, name } => models::import(source, name.as_deref()),
        #[cfg(feature = "torch")]
        ModelCommand::Verify { json } => models::verify(cli, *json),
    }
}
