//! `mmsearch`, the program: arguments in, one call of the library, results on stdout, all else on stderr.
//!
//! Nothing here names what is behind the feature `torch`: libtorch is loaded by `mmsearch-encoder` alone.

mod available;
mod backup;
mod bench;
mod check;
mod classify;
mod cli;
mod completions;
mod duplicates;
mod eval;
mod exit;
mod explain;
mod forget;
mod hub;
mod index;
mod labels;
mod man;
mod output;
mod picture;
mod place;
mod progress;
mod pull;
mod query;
mod random;
mod recall;
mod reindex;
mod restore;
mod show;
mod similar;
mod status;
mod tag;
mod terms;
mod timings;
mod watch;
mod worker;

use std::env::args_os;
use std::panic::catch_unwind;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ModelCommand};
use crate::exit::Exit;
use crate::worker::become_worker;

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
        Command::Similar(arguments) => similar::run(cli, arguments),
        Command::Duplicates(arguments) => duplicates::run(cli, arguments),
        Command::Random(arguments) => random::run(cli, arguments),
        Command::Status(arguments) => status::run(cli, arguments),
        Command::Forget(arguments) => forget::run(cli, arguments),
        Command::Tag(arguments) => tag::run(cli, arguments),
        Command::Check(arguments) => check::run(cli, arguments),
        Command::Reindex(arguments) => reindex::run(cli, arguments),
        Command::Backup(arguments) => backup::run(cli, arguments),
        Command::Restore(arguments) => restore::run(cli, arguments),
        Command::Model(arguments) => run_model(&arguments.command),
        Command::Train(_) => Err(become_worker(args_os().skip(1)).into()),
        Command::Eval(arguments) => eval::run(cli, arguments),
        Command::Classify(arguments) => classify::run(cli, arguments),
        Command::Bench(arguments) => bench::run(cli, arguments),
        Command::Completions(arguments) => completions::run(arguments),
        Command::Man(arguments) => man::run(arguments),
    }
}

/// What can be had is known without libtorch; everything else about models needs it.
fn run_model(command: &ModelCommand) -> anyhow::Result<Exit> {
    match command {
        ModelCommand::List { available: true, json } => available::run(*json),
        ModelCommand::Pull(arguments) => pull::run(arguments),
        ModelCommand::List { available: false, .. }
        | ModelCommand::Info { .. }
        | ModelCommand::Import { .. }
        | ModelCommand::Verify { .. } => Err(become_worker(args_os().skip(1)).into()),
    }
}
