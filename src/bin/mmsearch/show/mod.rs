//! Presenting what was found: `query`, `similar`, `random` and `duplicates` answer in the same forms.
//!
//! On a terminal that is a table; otherwise it is the plain lines that scripts know, unless another form was asked for.

mod csv;
mod html;
mod json;
mod open;
mod paths;
mod plain;
mod table;
mod thumbnails;

use std::io::{self, IsTerminal};

use anyhow::Result;
use mmsearch::library::{DuplicateGroup, Library};
use mmsearch::{Cursor, Error, Hit, Item, KeywordMatch, Modality};

use self::thumbnails::Protocol;
use crate::cli::answers::{ShowArgs, ThumbnailsArg};
use crate::exit::tell;
use crate::output::Output;
use crate::place;

/// The width of a terminal that does not say.
const USUAL_WIDTH: usize = 80;

/// An item, with all that is shown of it.
pub(crate) struct Entry<'a> {
    /// From 1, within its group.
    rank: usize,
    /// Cosine, higher is closer; `None` where nothing was compared.
    score: Option<f32>,
    /// What the score means, where the model says so.
    probability: Option<f32>,
    /// Cosine with each term of the query.
    term_scores: &'a [f32],
    /// What else is known of a query's hit.
    found: Option<&'a Hit>,
    /// On the last line of a page, where there may be more.
    next: Option<Cursor>,
    item: &'a Item,
    /// The image that a text describes.
    image: Option<Item>,
    /// The text of a text, or the first one that describes an image.
    caption: Option<String>,
}

/// Entries that belong together; a query's hits are one group.
struct Group<'a> {
    entries: Vec<Entry<'a>>,
    /// Of duplicates: whether all have the same content.
    is_identical: Option<bool>,
}

/// What an item is shown by, beside itself.
#[derive(Clone, Copy)]
struct Scores<'a> {
    rank: usize,
    score: Option<f32>,
    probability: Option<f32>,
    term_scores: &'a [f32],
    found: Option<&'a Hit>,
}

/// Shows the hits of a query.
pub(crate) fn hits(library: &Library, arguments: &ShowArgs, hits: &[Hit]) -> Result<()> {
    page(library, arguments, hits, None)
}

/// The same, and how to see what comes behind them.
pub(crate) fn page(
    library: &Library,
    arguments: &ShowArgs,
    hits: &[Hit],
    next: Option<Cursor>,
) -> Result<()> {
    let mut group = group(library, arguments, hits, None)?;
    if let Some(last) = group.entries.last_mut() {
        last.next = next;
    }
    present(arguments, &[group])?;
    if let Some(next) = next.filter(|_| io::stdout().is_terminal()) {
        tell(&format!("more: --after {next}"));
    }
    Ok(())
}

/// Shows items that were not compared with anything.
pub(crate) fn items(library: &Library, arguments: &ShowArgs, items: &[Item]) -> Result<()> {
    let entry = |(i, item)| {
        let scores =
            Scores { rank: i + 1, score: None, probability: None, term_scores: &[], found: None };
        Entry::new(library, arguments, item, scores)
    };
    let entries = items.iter().enumerate().map(entry).collect::<Result<_>>()?;
    present(arguments, &[Group { entries, is_identical: None }])
}

/// Shows groups of duplicates.
pub(crate) fn duplicates(
    library: &Library,
    arguments: &ShowArgs,
    groups: &[DuplicateGroup],
) -> Result<()> {
    let groups = groups
        .iter()
        .map(|found| group(library, arguments, &found.hits, Some(found.is_identical)))
        .collect::<Result<Vec<_>>>()?;
    present(arguments, &groups)
}

fn group<'a>(
    library: &Library,
    arguments: &ShowArgs,
    hits: &'a [Hit],
    is_identical: Option<bool>,
) -> Result<Group<'a>> {
    let entry = |(i, hit): (usize, &'a Hit)| {
        let (score, term_scores, found) = (hit.score, &*hit.term_scores, Some(hit));
        let probability = hit.probability;
        let scores = Scores { rank: i + 1, score, probability, term_scores, found };
        Entry::new(library, arguments, &hit.item, scores)
    };
    let entries = hits.iter().enumerate().map(entry).collect::<Result<_>>()?;
    Ok(Group { entries, is_identical })
}

/// Whether the form shows captions of images, each of which is a look into the catalog.
fn shows_captions(arguments: &ShowArgs) -> bool {
    let is_table = io::stdout().is_terminal()
        || !matches!(arguments.thumbnails, ThumbnailsArg::Auto | ThumbnailsArg::Never);
    let is_list = arguments.json || arguments.paths || arguments.null;
    arguments.html.is_some() || arguments.csv || (is_table && !is_list)
}

/// One that is damaged is not worth the answer.
fn first_caption(library: &Library, image: &Item) -> Result<Option<String>> {
    match library.captions_of(image.id) {
        Ok(captions) => Ok(captions.into_iter().next().and_then(|caption| caption.text)),
        Err(Error::Corrupt { reason, .. }) => {
            tell(&format!("warning: {reason}; run `mmsearch check`"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn present(arguments: &ShowArgs, groups: &[Group<'_>]) -> Result<()> {
    let is_terminal = io::stdout().is_terminal();
    let mut output = Output::new();
    if let Some(path) = &arguments.html {
        html::write(path, groups)?;
        tell(&format!("wrote {}", path.display()));
    } else if arguments.json {
        json::write(&mut output, groups)?;
    } else if arguments.csv {
        csv::write(&mut output, groups)?;
    } else if arguments.null {
        paths::write(&mut output, groups, paths::Ends::Nul)?;
    } else if arguments.paths {
        let ends = if is_terminal { paths::Ends::EscapedLine } else { paths::Ends::Line };
        paths::write(&mut output, groups, ends)?;
    } else {
        let protocol = thumbnails::protocol(arguments.thumbnails, is_terminal, place::variable);
        match is_terminal || protocol.is_some() {
            true => tables(&mut output, groups, width(is_terminal), protocol, arguments)?,
            false => plain::write(&mut output, groups)?,
        }
    }
    output.flush()?;
    if arguments.open {
        open::best(groups)?;
    }
    Ok(())
}

fn tables(
    output: &mut Output,
    groups: &[Group<'_>],
    width: Option<usize>,
    protocol: Option<Protocol>,
    arguments: &ShowArgs,
) -> Result<()> {
    let mut pictures = thumbnails::Thumbnails::new(protocol, arguments.thumbnails);
    for (i, group) in groups.iter().enumerate() {
        if i > 0 {
            output.line("")?;
        }
        if let Some(is_identical) = group.is_identical {
            output.line(&group_title(group, is_identical))?;
        }
        let mut lines = table::lines(&group.entries, width).into_iter();
        lines.next().map_or(Ok(()), |header| output.line(&header))?;
        for (line, entry) in lines.zip(&group.entries) {
            output.line(&line)?;
            pictures.show(output, entry)?;
        }
    }
    Ok(())
}

/// What a group of duplicates is called.
fn group_title(group: &Group<'_>, is_identical: bool) -> String {
    let like = if is_identical { "identical" } else { "nearly the same" };
    format!("{} images, {like}", group.entries.len())
}

/// Lines are cut on a terminal only: whoever reads a file or a pipe has room.
fn width(is_terminal: bool) -> Option<usize> {
    let size = terminal_size::terminal_size_of(io::stdout());
    is_terminal.then(|| size.map_or(USUAL_WIDTH, |(width, _)| width.0.into()))
}

impl<'a> Entry<'a> {
    fn new(
        library: &Library,
        arguments: &ShowArgs,
        item: &'a Item,
        scores: Scores<'a>,
    ) -> Result<Self> {
        let image = match item.image {
            Some(id) => library.item(id)?,
            None => None,
        };
        let caption = match item.modality {
            Modality::Text => item.text.clone(),
            Modality::Image if !shows_captions(arguments) => None,
            Modality::Image => first_caption(library, item)?,
        };
        let Scores { rank, score, probability, term_scores, found } = scores;
        let next = None;
        Ok(Self { rank, score, probability, term_scores, found, next, item, image, caption })
    }

    /// What words say of it.
    fn keyword(&self) -> Option<KeywordMatch> {
        self.found?.keyword
    }

    /// Other images that are nearly the same.
    fn duplicates(&self) -> &'a [Item] {
        self.found.map_or(&[], |hit| &hit.duplicates)
    }

    /// The item whose path is shown: for a text, that of the image that it describes.
    fn shown(&self) -> &Item {
        self.image.as_ref().unwrap_or(self.item)
    }

    /// When its picture was taken, as the camera wrote it.
    fn taken_at(&self) -> Option<&str> {
        self.shown().facts.as_ref()?.taken_at.as_deref()
    }

    /// Whether there is a picture of it at all.
    fn has_picture(&self) -> bool {
        self.shown().modality == Modality::Image
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::path::Path;

    use mmsearch::{ImageFacts, ItemId, Metadata, Source, Status};

    use super::*;

    /// An image of its own file.
    pub(crate) fn image(path: &Path, taken_at: Option<&str>) -> Item {
        let taken_at = taken_at.map(Into::into);
        Item {
            id: ItemId(7),
            modality: Modality::Image,
            source: Source::File { path: path.into() },
            content_hash: None,
            size_bytes: 0,
            modified_ns: None,
            status: Status::Ok,
            reason: None,
            facts: Some(ImageFacts { width: 4, height: 3, taken_at, ..ImageFacts::default() }),
            text: None,
            image: None,
            metadata: Metadata::new(),
        }
    }

    pub(crate) fn entry<'a>(item: &'a Item, score: f32, caption: Option<&str>) -> Entry<'a> {
        Entry {
            rank: 1,
            score: Some(score),
            probability: None,
            term_scores: &[],
            found: None,
            next: None,
            item,
            image: None,
            caption: caption.map(Into::into),
        }
    }
}
