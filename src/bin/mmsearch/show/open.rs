//! Opening hits in the system's viewer.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use mmsearch::{Error, Result, Source};

use super::Group;
use crate::exit::tell;

/// More windows than this nobody wants at once.
const MAX_OPENED: usize = 10;

const VIEWER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Starts the viewer for the best files, and does not wait for it. What is in a tar, or gone, is told of.
pub(super) fn best(groups: &[Group<'_>]) -> Result<()> {
    let entries = groups.iter().flat_map(|group| &group.entries);
    for entry in entries.take(MAX_OPENED) {
        match &entry.shown().source {
            Source::File { path } if path.is_file() => open(path)?,
            source @ (Source::File { .. }
            | Source::TarMember { .. }
            | Source::ManifestRow { .. }
            | Source::Inline { .. }) => {
                tell(&format!("not opened: {source} is no file of its own"))
            }
        }
    }
    Ok(())
}

/// One argument and no shell: no part of a name is a command, and no name an option.
fn open(path: &Path) -> Result<()> {
    let cannot = |error| Error::Io { action: "start", path: VIEWER.into(), error };
    let path = std::path::absolute(path).map_err(cannot)?;
    let mut command = Command::new(VIEWER);
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C is for us, and the viewer shall outlive us.
    command.process_group(0).spawn().map_err(cannot)?;
    Ok(())
}
