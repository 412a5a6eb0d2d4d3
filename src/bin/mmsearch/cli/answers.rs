//! The arguments of the subcommands that answer with items of the library, and of how all of them show these.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::To;

/// Find what is nearest to an item of the library
///
/// The item's own embedding is asked for, so no model is loaded and the file need not be there any more. A picture that is not in
/// the library is looked for with `query --image`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mmsearch similar photos/sofa.jpg
  mmsearch similar 7 -k 3 --json
  mmsearch similar photos/sofa.jpg --to text")]
pub(crate) struct SimilarArgs {
    /// The item's file, TAR!MEMBER, or its id, which --json says
    #[arg(value_name = "PATH|ID")]
    pub(crate) what: PathBuf,

    /// What may be found
    #[arg(long, value_enum, default_value_t = To::Image)]
    pub(crate) to: To,

    /// How many, 1 to 9999
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=9_999))]
    pub(crate) k: u16,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// Draw items of the library by lot
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mmsearch random
  mmsearch random -k 3 --open
  mmsearch random -k 100 --seed 1 --html sample.html")]
pub(crate) struct RandomArgs {
    /// What may be drawn
    #[arg(long, value_enum, default_value_t = To::Image)]
    pub(crate) to: To,

    /// How many, 1 to 10000
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) k: u16,

    /// Draw the same ones again, while the library stays as it is [default: others every time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// Find images that are nearly the same
///
/// They come in groups: identical files first, then the larger groups. Scores are those with the first image of the group.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mmsearch duplicates
  mmsearch duplicates --threshold 0.95 --verify
  mmsearch duplicates --html duplicates.html
  mmsearch duplicates --json > groups.jsonl")]
pub(crate) struct DuplicatesArgs {
    /// The least score of two images of a group, above 0 and at most 1
    #[arg(long, value_name = "SCORE", default_value_t = 0.98)]
    pub(crate) threshold: f32,

    /// Decode the pictures of each pair, and leave out those that do not look the same
    #[arg(long)]
    pub(crate) verify: bool,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

// A doc comment here would become that of the subcommands.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct ShowArgs {
    /// Print JSON Lines: one for each hit, or for each group
    #[arg(long, conflicts_with_all = ["paths", "null", "csv", "html"])]
    pub(crate) json: bool,

    /// Print only paths, one a line; a member of a tar is TAR!MEMBER
    #[arg(long, conflicts_with_all = ["csv", "html"])]
    pub(crate) paths: bool,

    /// Print only paths, with NUL behind each, as `xargs -0` reads them
    #[arg(short = '0', long, conflicts_with_all = ["csv", "html"])]
    pub(crate) null: bool,

    /// Print a table of comma-separated values with a header
    #[arg(long, conflicts_with = "html")]
    pub(crate) csv: bool,

    /// Write a contact sheet instead: one page with thumbnails, which needs no other file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Show thumbnails between the lines, on terminals with the protocol of kitty, of iTerm2, or sixel
    #[arg(long, value_enum, default_value_t = ThumbnailsArg::Auto, conflicts_with_all = ["json", "paths", "null", "csv", "html"])]
    pub(crate) thumbnails: ThumbnailsArg,

    /// Open the best ones in the system's viewer, at most 10
    #[arg(long, conflicts_with = "html")]
    pub(crate) open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ThumbnailsArg {
    /// Where standard output is such a terminal, for the first 20
    Auto,
    Never,
    Always,
    Kitty,
    Iterm,
    Sixel,
}
