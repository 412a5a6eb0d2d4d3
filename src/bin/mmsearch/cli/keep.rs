//! Arguments of what fills a library and keeps it safe.

use std::path::PathBuf;

use clap::Args;

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
    /// write to the library. A PATH that vanishes is waited for, and nothing of it is forgotten; so name the places of disks that
    /// come and go. What other machines change on a network drive is not noticed.
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

/// For photos in formats that mmsearch does not read itself
#[derive(Args, Debug)]
pub(crate) struct DecoderArgs {
    /// A program for photos that mmsearch does not read itself (HEIC, AVIF, JPEG XL, JPEG 2000, camera raw), such as
    /// heif-dec or 'dcraw -c -w {input}'. It is given a file and the name of a .png to write: where {input} and {output}
    /// stand, or at the end; without {output} the picture is read from what it prints. It has 10 seconds, and its memory is
    /// bounded [default: MMSEARCH_EXTERNAL_DECODER, or none]
    #[arg(long = "external-decoder", value_name = "COMMAND")]
    pub(crate) external: Option<String>,
}

/// Read every row and every byte of the library, and name what is damaged
///
/// Rows are compared with their checksums and with one another, snapshots with their hashes and with the rows, and every node of a
/// graph is searched for. The exit code is 0 if all is well, 6 if something is damaged, and 3 if something is only out of
/// date or out of reach: photos that were changed, moved or unplugged, or files that an interrupted run left.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Read every photo, archive and manifest too, and compare it with what was indexed
    ///
    /// A file of other bytes, though its size and time are the same, has rotted on its disk; one that was changed is told as
    /// such. What is only new is not looked for.
    #[arg(long)]
    pub(crate) read_data: bool,
    /// Mend what is found
    ///
    /// What is derived is made again. A damaged row is written again out of the file that it came from, under its old id and with its
    /// tags; where that is not possible it is taken out, and told, and the exit code is 3. Photos are only read. Afterwards all is
    /// checked again.
    #[arg(long)]
    pub(crate) repair: bool,
    #[command(flatten)]
    pub(crate) decoder: DecoderArgs,
    /// Print JSON Lines: one for each thing that was repaired and each finding that is left, and a report
    #[arg(long)]
    pub(crate) json: bool,
    /// With --json, print the progress too
    #[arg(long, requires = "json")]
    pub(crate) progress: bool,
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
