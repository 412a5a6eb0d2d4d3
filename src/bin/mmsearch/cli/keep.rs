//! Arguments of what fills a library and keeps it safe.

use std::path::PathBuf;

use clap::Args;

use super::DecoderArgs;

/// Bring the library in line with directories, photos, tars and manifests of captions
///
/// What is as it was is not read again. Files that are gone are forgotten. Interrupted runs go on where they were. A file that
/// failed is tried again when its bytes change.
#[derive(Args, Debug)]
pub(crate) struct IndexArgs {
    /// Directories, photos, .tar archives, captions.jsonl or .csv manifests
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Go on until Ctrl-C: index again whenever something has changed below a PATH
    ///
    /// A change is taken in when there was none for a second, or ten seconds after the first. Between runs other commands may
    /// write to the library. A PATH that vanishes is waited for, and nothing of it is forgotten. What other machines change on
    /// a network drive is not noticed.
    #[arg(long)]
    pub(crate) watch: bool,

    /// Try everything again that failed before, although its bytes are the same
    #[arg(long)]
    pub(crate) retry_failed: bool,

    /// Forget the items of a PATH that is missing or empty, instead of refusing
    #[arg(long, conflicts_with = "watch")]
    pub(crate) prune_missing_root: bool,

    #[command(flatten)]
    pub(crate) decoder: DecoderArgs,

    /// Say at the end what the time went into
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Print JSON Lines: one for each batch that is safely in the library, each skipped file, and the report
    #[arg(long)]
    pub(crate) json: bool,
}

/// Write a backup of the library into one file, while others may write to it
///
/// It holds all that cannot be derived again: items, embeddings, tags. Photos are not in it. The file is for its owner only, and is
/// read whole before it has its name.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The backup, which must not be there yet
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make the library out of a backup
///
/// Every row of the backup is read first. A crash leaves what was there before, or the restored library.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// What `backup` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Replace the library that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}
