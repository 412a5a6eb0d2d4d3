//! The arguments that say where the library is.

use std::path::PathBuf;

use clap::Args;

/// Where the library is.
#[derive(Args, Debug)]
pub(crate) struct PlaceArgs {
    /// The library's directory [default: MMSEARCH_LIBRARY, or mmsearch/default in the user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) library: Option<PathBuf>,

    /// Accept a library on a network file system, where readers and the writer wait for each other and its locks must be
    /// relied on
    #[arg(long, global = true)]
    pub(crate) allow_network_fs: bool,
}
