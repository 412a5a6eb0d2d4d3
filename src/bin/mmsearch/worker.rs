//! Starts `mmsearch-encoder`, the one program that loads libtorch.

use std::env::{current_exe, var_os};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Result;
use clap::ValueEnum;
use mmsearch::Error;
use mmsearch::encoder::remote::{RemoteEncoder, VERSION};
use mmsearch::encoder::{Encoder, FakeEncoder, Fault};

use crate::cli::Cli;

const NAME: &str = "mmsearch-encoder";

/// An encoder that is on its way.
pub(crate) enum Starting {
    /// For tests of everything but the model.
    Fake(FakeEncoder),
    /// A process that loads libtorch and the model meanwhile.
    Process { replies: Replies, requests: ChildStdin },
}

/// What the process says; at the end it is known why it ended.
pub(crate) struct Replies {
    child: Child,
    stdout: ChildStdout,
}

/// The encoder of `--model`, or the default one.
pub(crate) fn load_encoder(cli: &Cli) -> Result<Box<dyn Encoder>> {
    start_encoder(cli)?.ready()
}

/// Begins to load the encoder of `--model`, or the default one, and does not wait for it.
pub(crate) fn start_encoder(cli: &Cli) -> Result<Starting> {
    // A model that is asked for by name wins.
    let fake =
        var_os("MMSEARCH_FAKE_ENCODER").filter(|name| !name.is_empty() && cli.model.is_none());
    if let Some(name) = fake {
        return Ok(Starting::Fake(fake_encoder(&name.to_string_lossy())));
    }
    let mut command = Command::new(program()?);
    keep_memory(&mut command);
    command.args(["encode", &value_name(cli.device), &value_name(cli.precision)]);
    command.args(&cli.model).stdin(Stdio::piped()).stdout(Stdio::piped());
    // Ctrl-C on a terminal is for us; the encoder must still finish the batch that we then commit.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| cannot_start(&command, error))?;
    let requests = child.stdin.take().expect("it is piped");
    let stdout = child.stdout.take().expect("it is piped");
    Ok(Starting::Process { replies: Replies { child, stdout }, requests })
}

/// The fake of this name, `1` for the usual one; what stands behind a colon is what is wrong with it, as in `1:nan`.
fn fake_encoder(name: &str) -> FakeEncoder {
    let (name, fault) = name.split_once(':').unwrap_or((name, ""));
    let encoder = FakeEncoder::new(if name == "1" { "fake" } else { name });
    match Fault::ALL.into_iter().find(|(known, _)| *known == fault) {
        Some((_, fault)) => encoder.with_fault(fault),
        None => encoder,
    }
}

/// Becomes `mmsearch-encoder`, which does what these arguments say; returns only why it cannot.
pub(crate) fn become_worker(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Error {
    let mut command = match program() {
        Ok(program) => Command::new(program),
        Err(error) => return error,
    };
    keep_memory(&mut command);
    let error = command.args(["run", VERSION]).args(arguments).exec();
    cannot_start(&command, error)
}

/// Has glibc's `malloc` keep what is freed, unless whoever calls has said something about it: the maps of a network are megabytes
/// each, and to get them from the system anew for every layer costs a quarter of the time of `mini`. Others do not read this.
fn keep_memory(command: &mut Command) {
    for (name, bytes) in
        [("MALLOC_MMAP_THRESHOLD_", 32u64 << 20), ("MALLOC_TRIM_THRESHOLD_", 1 << 30)]
    {
        if var_os(name).is_none() {
            command.env(name, bytes.to_string());
        }
    }
}

/// Beside this program where it was built, in `lib/mmsearch` where it is installed.
pub(crate) fn program() -> mmsearch::Result<PathBuf> {
    let here = current_exe().and_then(|path| path.canonicalize());
    let here =
        here.map_err(|error| Error::Io { action: "find", path: "mmsearch".into(), error })?;
    let dir = here.parent().unwrap_or(Path::new("/"));
    let places = [dir.to_path_buf(), dir.join("../lib/mmsearch")];
    if let Some(place) = places.iter().find(|place| place.join(NAME).is_file()) {
        return Ok(place.join(NAME));
    }
    let [beside, installed] = places.map(|place| place.display().to_string());
    let reason = format!(
        "there is no {NAME} in {beside} or {installed}; install mmsearch again, or build it with the feature `torch`"
    );
    Err(Error::NoEncoder { reason })
}

fn cannot_start(command: &Command, error: io::Error) -> Error {
    Error::Io { action: "start", path: command.get_program().into(), error }
}

fn value_name(value: impl ValueEnum) -> String {
    value.to_possible_value().expect("no value is hidden").get_name().to_owned()
}

impl Starting {
    /// Waits until it can encode.
    pub(crate) fn ready(self) -> Result<Box<dyn Encoder>> {
        Ok(match self {
            Self::Fake(encoder) => Box::new(encoder),
            Self::Process { replies, requests } => {
                Box::new(RemoteEncoder::connect(Box::new(replies), Box::new(requests))?)
            }
        })
    }
}

impl Read for Replies {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stdout.read(buffer)?;
        if n > 0 || buffer.is_empty() {
            return Ok(n);
        }
        let status = self.child.wait()?;
        // 9 is SIGKILL.
        let hint = if status.signal() == Some(9) { ", perhaps for want of memory" } else { "" };
        Err(io::Error::other(format!("{NAME} ended ({status}{hint})")))
    }
}

/// It holds nothing that could be lost, and nobody waits for it.
impl Drop for Replies {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
    }
}
