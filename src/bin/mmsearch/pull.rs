//! `mmsearch model pull`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mmsearch::Error;

use crate::cli::PullArgs;
use crate::exit::Exit;
use crate::hub::{Access, Hub, RepoName};
use crate::place::{self, variable};
use crate::progress::{Interrupt, byte_bar};
use crate::worker;

pub(crate) fn run(arguments: &PullArgs) -> Result<Exit> {
    let repository: RepoName = arguments.repository.parse()?;
    let name = arguments.name.as_deref().unwrap_or(repository.short());
    let to = place::new_model(name)?;
    // For tests of everything but the model.
    let is_fake = variable("MMSEARCH_FAKE_ENCODER").is_some();
    if !is_fake {
        // Nothing is downloaded that could not be imported then.
        worker::program()?;
    }
    let source = download(&Hub::new(access()?)?, &repository)?;
    if is_fake {
        return copy(&source, &to);
    }
    let import =
        ["model".as_ref(), "import".as_ref(), source.as_os_str(), "--name".as_ref(), name.as_ref()];
    Err(worker::become_worker(import).into())
}

fn access() -> Result<Access> {
    let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
    let (endpoint, token) = (text("HF_ENDPOINT"), text("HF_TOKEN"));
    Ok(Access { endpoint, home: place::hub_home()?, token })
}

/// The files of the model, in the hub's cache.
fn download(hub: &Hub, repository: &RepoName) -> Result<PathBuf> {
    let interrupt = Interrupt::install()?;
    let bar = byte_bar();
    let source = hub.download(repository, &mut |file, done, total| {
        if bar.message() != file {
            bar.set_message(file.to_owned());
            bar.set_length(total);
            // A download that goes on begins in the middle; the rate must not count what is there.
            bar.set_position(done);
            bar.reset_eta();
        }
        bar.set_position(done);
        interrupt.flow()
    });
    bar.finish_and_clear();
    Ok(source?)
}

/// What the tests look at in place of a model.
fn copy(source: &Path, to: &Path) -> Result<Exit> {
    let failed = |error| Error::Io { action: "copy to", path: to.into(), error };
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(source).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        std::fs::copy(entry.path(), to.join(entry.file_name())).map_err(failed)?;
    }
    Ok(Exit::Done)
}
