//! How the program ends: exit codes, and the one place that prints an error.

use std::any::Any;
use std::io::{self, Write};
use std::process::ExitCode;

use mmsearch::{Error, ErrorKind};

use crate::output::escaped_text;

/// The exit codes, which are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    NothingFound,
    Usage,
    Skipped,
    Locked,
    Io,
    Corrupt,
    Mismatch,
    Bug,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::NothingFound => 1,
            Exit::Usage => 2,
            Exit::Skipped => 3,
            Exit::Locked => 4,
            Exit::Io => 5,
            Exit::Corrupt => 6,
            Exit::Mismatch => 7,
            Exit::Bug => 70,
            Exit::Interrupted => 130,
        })
    }
}

/// The end of a subcommand; an error is printed as one line.
pub(crate) fn of(outcome: anyhow::Result<Exit>) -> Exit {
    let error = match outcome {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    let exit = kind_of(&error);
    if exit != Exit::Done {
        tell(&format!("mmsearch: {error:#}"));
    }
    exit
}

/// What nobody caught is a bug of ours, told in one line.
pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Exit {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let line = text.lines().next().unwrap_or_default();
    tell(&format!("mmsearch: this is a bug, please report it: {line}"));
    Exit::Bug
}

/// Help and version are no errors; anything else clap complains about is wrong usage.
pub(crate) fn of_usage(error: &clap::Error) -> Exit {
    match error.print() {
        Ok(()) if error.use_stderr() => Exit::Usage,
        Ok(()) => Exit::Done,
        Err(error) => of_write(&error),
    }
}

/// Prints a line for people. Where even stderr cannot be written, nobody is there to be told.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{}", escaped_text(line));
}

fn kind_of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<Error>() {
            return of_kind(error.kind());
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return of_write(error);
        }
    }
    Exit::Bug
}

/// The reader of our output went away: it has what it wanted.
fn of_write(error: &io::Error) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe { Exit::Done } else { Exit::Io }
}

fn of_kind(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Usage => Exit::Usage,
        ErrorKind::NotFound => Exit::NothingFound,
        ErrorKind::Locked => Exit::Locked,
        ErrorKind::Io => Exit::Io,
        ErrorKind::Corrupt => Exit::Corrupt,
        ErrorKind::Mismatch => Exit::Mismatch,
        ErrorKind::Cancelled => Exit::Interrupted,
        ErrorKind::Bug => Exit::Bug,
    }
}
