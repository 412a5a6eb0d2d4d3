//! The arguments. The doc comments here are the help texts.

// The path is written out because `mmsearch-encoder` takes this file from another directory.
#[path = "cli/answers.rs"]
pub(crate) mod answers;
#[path = "cli/keep.rs"]
pub(crate) mod keep;
#[path = "cli/place.rs"]
pub(crate) mod place;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::answers::{DuplicatesArgs, RandomArgs, ShowArgs, SimilarArgs};
use self::keep::{BackupArgs, CheckArgs, DecoderArgs, IndexArgs, RestoreArgs};
use self::place::PlaceArgs;

/// Finds photos by what they show, and texts by the photos they describe.
///
/// Exit codes: 0 done, 1 nothing found, 2 usage, 3 finished but some files were skipped, 4 library locked,
/// 5 I/O, 6 corruption found, 7 wrong model, format or version, 70 a bug, 130 Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "mmsearch", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// The model: a directory, or the name of one [default: the model inside this program]
    #[arg(long, global = true, value_name = "MODEL")]
    pub(crate) model: Option<String>,

    /// Where the model runs
    #[arg(long, global = true, value_enum, default_value_t = DeviceArg::Cpu)]
    pub(crate) device: DeviceArg,

    /// The numbers the model computes in; they are a part of what a library was made with
    #[arg(long, global = true, value_enum, default_value_t = PrecisionArg::F32)]
    pub(crate) precision: PrecisionArg,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceArg {
    /// The processor
    Cpu,
    /// The first NVIDIA card
    Cuda,
    /// Apple's graphics
    Mps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArg {
    /// 32 bits
    F32,
    /// 16 bits, the range of f32
    Bf16,
    /// 16 bits
    F16,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Index(IndexArgs),
    Query(QueryArgs),
    Similar(SimilarArgs),
    Duplicates(DuplicatesArgs),
    Random(RandomArgs),
    Status(StatusArgs),
    Forget(ForgetArgs),
    Tag(TagArgs),
    Check(CheckArgs),
    Reindex(ReindexArgs),
    Backup(BackupArgs),
    Restore(RestoreArgs),
    Model(ModelArgs),
    Train(TrainArgs),
    Eval(EvalArgs),
    Classify(ClassifyArgs),
    Bench(BenchArgs),
    #[command(hide = true)]
    Completions(CompletionsArgs),
    #[command(hide = true)]
    Man(ManArgs),
}

/// Find what is nearest to texts, photos and items, and not near to others
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mmsearch query --text \"a dog on the beach\"
  mmsearch query \"a dog on the beach - people\" --where \"not tag = draft\"
  mmsearch query \"@sofa.jpg + 0.5*red\" -k5
  mmsearch query --image sofa.jpg -k 5
  mmsearch query --image sofa.jpg --to text
  mmsearch query --image sofa.jpg --to text --labels words.txt
  mmsearch query IMG_2034 --mode keyword
  mmsearch query \"a dog on the beach\" --group-duplicates --explain
  mmsearch query --text \"a dog on the beach\" -k 50 --html dogs.html
  mmsearch query --text \"a dog on the beach\" --null | xargs -0 ls -l")]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(crate) term: TermArgs,

    /// What may be found
    #[arg(long, value_enum, default_value_t = To::Image)]
    pub(crate) to: To,

    /// Only what this condition holds of, such as "taken = 2024 and not tag = draft"
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) filter: Option<String>,

    /// How many, 1 to 10000
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) k: u16,

    /// With --to text or any, rank the lines of this file too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["after", "filter", "sort"])]
    pub(crate) labels: Option<PathBuf>,

    /// By what to find: meaning, or words of captions, names and tags, which needs no model
    #[arg(long, value_enum, default_value_t = ModeArg::Hybrid)]
    pub(crate) mode: ModeArg,

    /// Show guesses too: hits that a phrase made for no library in particular finds as easily
    #[arg(long)]
    pub(crate) all: bool,

    /// Show what comes behind a page: its last line says how
    #[arg(long, value_name = "TOKEN")]
    pub(crate) after: Option<String>,

    /// The order of the hits shown; for date the newest come first
    #[arg(long, value_enum, default_value_t = SortArg::Score)]
    pub(crate) sort: SortArg,

    /// Show only the best of images that are nearly the same
    #[arg(long)]
    pub(crate) group_duplicates: bool,

    /// Compare with everything instead of walking the graph
    #[arg(long)]
    pub(crate) exact: bool,

    #[command(flatten)]
    pub(crate) decoder: DecoderArgs,

    /// Say on stderr why each hit was found, and how it was searched
    #[arg(long)]
    pub(crate) explain: bool,

    /// Say on stderr how it was searched, and what was compared
    #[arg(long)]
    pub(crate) explain_plan: bool,

    /// Say on stderr where the time went: a line for each step
    #[arg(long)]
    pub(crate) timings: bool,

    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct TermArgs {
    /// All terms on one line: texts, @photos and #ids, joined by + and -, such as 'beach + 0.5*@sofa.jpg - people'. One
    /// that begins with - comes behind --
    #[arg(value_name = "QUERY")]
    pub(crate) line: Option<String>,

    /// A sentence or a few words; with a minus before it, what should not be there, and with \- a text that begins with a
    /// minus. May be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Vec<String>,

    /// A photo, with :WEIGHT behind it if it shall count for more or less than 1; - for standard input
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) image: Vec<PathBuf>,

    /// An item of the library that the hits shall be like, by its id
    #[arg(long, value_name = "ID")]
    pub(crate) like: Vec<i64>,

    /// An item of the library that they shall not be like
    #[arg(long, value_name = "ID")]
    pub(crate) unlike: Vec<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    /// By both
    Hybrid,
    /// By meaning alone
    Semantic,
    /// By words alone
    Keyword,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortArg {
    Score,
    Date,
    Path,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    Image,
    Text,
    Any,
}

/// Measure how fast this library and its model are on this machine, and how much the index finds
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// For about how long
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(crate) seconds: u16,

    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say what the library holds
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Take items out of the library; files on the disk stay
///
/// What is still on the disk comes back at the next `index` of its directory.
#[derive(Args, Debug)]
pub(crate) struct ForgetArgs {
    /// Directories, files, tars or manifests that items came from, or ids of items
    #[arg(required = true, value_name = "PATH|ID")]
    pub(crate) what: Vec<PathBuf>,

    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Put tags on items, take them off, or list them
///
/// `mmsearch tag holiday.jpg +beach -draft` puts `beach` on a photo and takes `draft` from it. Without `+` and `-` the
/// items are listed with their tags; without items, all tags with the number of their items. A tag is in lower case
/// and may have spaces (`'+new york'`). Keywords in a photo's file (XMP, IPTC) are tags too, and can be taken off; they come
/// back when the file is changed. Say ./+name for a file whose name begins with a sign.
#[derive(Args, Debug)]
pub(crate) struct TagArgs {
    /// Directories, files, tars or manifests that items came from, ids of items, and tags after their signs
    #[arg(value_name = "PATH|ID|+TAG|-TAG", allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,

    /// Print JSON Lines: one for each item, one for each tag, or one of what was changed
    #[arg(long)]
    pub(crate) json: bool,
}

/// Change the library's model to that of --model
///
/// Every photo is read again, and every text. Until all is done the library is that of its old model and answers
/// as before; an interrupted run goes on where it was. With the library's own model, what was begun with another
/// is given up.
#[derive(Args, Debug)]
pub(crate) struct ReindexArgs {
    #[command(flatten)]
    pub(crate) decoder: DecoderArgs,

    /// Print JSON Lines: one for each batch that is safely in the library, each item left out, and the report
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print the completions of a shell
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    pub(crate) shell: clap_complete::Shell,
}

/// Write the man pages, one for each subcommand
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Where to; made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// List, download, describe or test models
#[derive(Args, Debug)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    pub(crate) command: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// The models that --model knows by name
    List {
        /// Instead, published models that `pull` can bring: size, speed, published recall and licence
        #[arg(long)]
        available: bool,

        /// Print JSON Lines: one for each model
        #[arg(long)]
        json: bool,
    },
    Pull(PullArgs),
    /// What a model is made of
    Info {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a model out of a downloaded checkpoint: CLIP or SigLIP in the layout of transformers, or OpenCLIP's
    Import {
        /// The directory with config.json or open_clip_config.json
        #[arg(value_name = "DIR")]
        source: PathBuf,

        /// What --model will call it [default: the directory's name]
        #[arg(long)]
        name: Option<String>,
    },
    /// Compare a model with the values that its golden file says it must give
    Verify {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
}

/// Download a model of the Hugging Face hub and import it; the only subcommand that uses the network
///
/// An interrupted download goes on where it was when it is run again. The files stay in the hub's cache, which
/// Python's `huggingface_hub` shares. HF_TOKEN is a token for repositories behind a licence; HF_ENDPOINT is another hub,
/// HF_HOME another place than ~/.cache/huggingface.
#[derive(Args, Debug)]
pub(crate) struct PullArgs {
    /// As `model list --available` names them; REVISION is a branch, tag, commit or refs/pr/N
    #[arg(value_name = "REPO[@REVISION]")]
    pub(crate) repository: String,

    /// What --model will call it [default: the repository's name without its owner]
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// Train a model on images with captions
///
/// Every epoch is measured on the recipe's val pairs; the best epoch's model is in OUT/model. After Ctrl-C, --resume
/// goes on after the last whole epoch.
#[derive(Args, Debug)]
pub(crate) struct TrainArgs {
    /// A recipe, as in recipes/ [default: one that adapts --model to --pairs]
    #[arg(long, value_name = "FILE", required_unless_present_all = ["pairs", "val"])]
    pub(crate) recipe: Option<PathBuf>,

    /// Train on these pairs: a manifest, or a directory or tar with captions.jsonl or a text file beside each image
    #[arg(long, value_name = "PATH")]
    pub(crate) pairs: Vec<PathBuf>,

    /// Measure on these pairs, which must be others
    #[arg(long, value_name = "PATH")]
    pub(crate) val: Option<PathBuf>,

    /// Towers that stay as they are: their features are computed once, so that an epoch takes seconds
    #[arg(long, value_name = "TOWER", value_delimiter = ',')]
    pub(crate) freeze: Vec<HalfArg>,

    /// Passes over the pairs, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: Option<u64>,

    /// The directory that the recipe's paths start from
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) data: PathBuf,

    /// The run directory: the log, the state to go on from, and the model
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Keep the features of frozen layers here, for other runs to find [default: OUT]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Go on with the run in OUT
    #[arg(long)]
    pub(crate) resume: bool,

    /// Print JSON Lines: one for each epoch
    #[arg(long)]
    pub(crate) json: bool,
}

/// Half of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HalfArg {
    /// What sees pictures.
    Image,
    /// What reads texts.
    Text,
}

/// Measure how well a model finds the images of captions, or names the classes of images
#[derive(Args, Debug)]
pub(crate) struct EvalArgs {
    /// A manifest, or a directory or tar with captions.jsonl or with a text file beside each image
    #[arg(
        long,
        value_name = "PATH",
        required_unless_present = "labels",
        conflicts_with = "labels"
    )]
    pub(crate) pairs: Option<PathBuf>,

    /// A manifest whose rows have a `label`: measure how often the right one of them is named
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,

    /// What a class is called, {} being its label; several are averaged [default: "a photo of a {}"]
    #[arg(long, value_name = "TEXT", requires = "labels")]
    pub(crate) prompt: Vec<String>,

    /// The images' directory or tar [default: where the pairs or labels are]
    #[arg(long, value_name = "PATH")]
    pub(crate) images: Option<PathBuf>,

    /// Only rows of this split
    #[arg(long)]
    pub(crate) split: Option<String>,

    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say which of some classes each photo shows
///
/// A class is known by its name alone: nothing is trained, and no library is needed.
#[derive(Args, Debug)]
pub(crate) struct ClassifyArgs {
    /// Photos; - for standard input
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) labels: LabelsArgs,

    /// What a class is called, {} being its label; several are averaged [default: "a photo of a {}"]
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Vec<String>,

    /// How many classes for each photo
    #[arg(short, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) k: u16,

    /// Print JSON Lines: one for each photo
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct LabelsArgs {
    /// The classes to choose from
    #[arg(long, value_name = "LABEL,LABEL,…", value_delimiter = ',')]
    pub(crate) labels: Vec<String>,

    /// The same, one a line; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) labels_file: Option<PathBuf>,
}
