//! `mmsearch model pull`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use mmsearch::Error;

use crate::cli::PullArgs;
use crate::exit::Exit;
use crate::hub::{Access, Hub, RepoName};
use crate::place::{self, variable};
use crate::progress::{Interrupt, byte_bar};

pub(crate) fn run(arguments: &PullArgs) -> Result<Exit> {
    let repository: RepoName = arguments.repository.parse()?;
    let name = arguments.name.as_deref().unwrap_or(repository.short());
    let to = place::new_model(name)?;
    // For tests of everything but the model, in builds without libtorch too.
    let is_fake = variable("MMSEARCH_FAKE_ENCODER").is_some();
    if cfg!(not(feature = "torch")) && !is_fake {
        return Err(no_torch(name));
    }
    let source = download(&Hub::new(access()?)?, &repository)?;
    if is_fake { copy(&source, &to) } else { import(&source, name) }
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

/// Makes a model of what was downloaded.
#[cfg(feature = "torch")]
fn import(source: &Path, name: &str) -> Result<Exit> {
    crate::models::import(source, Some(name))
}

#[cfg(not(feature = "torch"))]
fn import(_: &Path, name: &str) -> Result<Exit> {
    Err(no_torch(name))
}

fn no_torch(name: &str) -> anyhow::Error {
    let reason = "this build has no libtorch, which models need; build it with the feature `torch`";
    Error::BadModel { path: name.into(), reason: reason.into() }.into()
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
