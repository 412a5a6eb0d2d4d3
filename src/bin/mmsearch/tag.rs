//! `mmsearch tag`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::Result;
use mmsearch::library::Library;
use mmsearch::{Error, ItemId, Tag};
use serde::Serialize;

use crate::cli::{Cli, TagArgs};
use crate::exit::{Exit, tell};
use crate::forget::selector;
use crate::output::{Output, SourceLine, escaped_text, source_text};
use crate::place;

/// An item and its tags, in JSON.
#[derive(Serialize)]
struct ItemLine {
    id: i64,
    #[serde(flatten)]
    source: SourceLine,
    tags: Vec<String>,
}

/// A tag, in JSON.
#[derive(Serialize)]
struct TagLine<'a> {
    tag: &'a str,
    items: u64,
}

/// What was changed, in JSON.
#[derive(Serialize)]
struct ChangeLine {
    items: usize,
    added: u64,
    removed: u64,
}

/// The arguments by what they are.
#[derive(Debug, Default)]
struct Words<'a> {
    json: bool,
    items: Vec<&'a Path>,
    add: Vec<Tag>,
    remove: Vec<Tag>,
}

pub(crate) fn run(cli: &Cli, arguments: &TagArgs) -> Result<Exit> {
    let words = sorted(&arguments.words)?;
    // Opened for reading first, so that tagging does not make a library where there is none.
    let library = place::open(cli)?;
    let mut output = Output::new();
    let json = arguments.json || words.json;
    if arguments.words.is_empty() {
        list_tags(&library, &mut output, json)?;
    } else if words.add.is_empty() && words.remove.is_empty() {
        let items = items(&library, &words.items)?;
        list_items(&library, &items, &mut output, json)?;
    } else {
        drop(library);
        // What should be known of it was told already.
        let library = Library::create_or_open(&place::library(cli)?, place::options(cli))?;
        change(library, &words, &mut output, json)?;
    }
    output.flush()?;
    Ok(Exit::Done)
}

fn change(mut library: Library, words: &Words<'_>, output: &mut Output, json: bool) -> Result<()> {
    let items = items(&library, &words.items)?;
    let tagged = library.tag(&items, &words.add, &words.remove)?;
    let (added, removed) = (tagged.n_added, tagged.n_removed);
    if json {
        output.json(&ChangeLine { items: items.len(), added, removed })?;
    } else {
        let n_items = items.len();
        tell(&format!("items: {n_items}; tags: {added} added, {removed} removed"));
    }
    Ok(())
}

fn list_items(library: &Library, items: &[ItemId], output: &mut Output, json: bool) -> Result<()> {
    for &id in items {
        // What is forgotten meanwhile is no item any more.
        let Some(item) = library.item(id)? else { continue };
        let tags: Vec<String> = library.tags_of(id)?.iter().map(ToString::to_string).collect();
        if json {
            let source = SourceLine::new(&item.source);
            output.json(&ItemLine { id: id.0, source, tags })?;
        } else {
            let tags = escaped_text(&tags.join(", "));
            output.line(format!("{}: {tags}", source_text(&item)).trim_end())?;
        }
    }
    Ok(())
}

fn list_tags(library: &Library, output: &mut Output, json: bool) -> Result<()> {
    for (tag, items) in library.tag_counts()? {
        if json {
            output.json(&TagLine { tag: &tag, items })?;
        } else {
            output.line(&format!("{items:>7}  {}", escaped_text(&tag)))?;
        }
    }
    Ok(())
}

/// All items that are meant, each once.
fn items(library: &Library, what: &[&Path]) -> Result<Vec<ItemId>> {
    let mut items = BTreeSet::new();
    for what in what {
        // Nothing was looked for that might not be there: a name is wrong.
        let selected = library.select(&selector(what)).map_err(|error| {
            let is_wrong = matches!(error, Error::NotFound { .. });
            if is_wrong { Error::BadOption { reason: error.to_string() } } else { error }
        })?;
        items.extend(selected);
    }
    Ok(items.into_iter().collect())
}

fn sorted(words: &[OsString]) -> mmsearch::Result<Words<'_>> {
    let mut sorted = Words::default();
    for word in words {
        match word.as_encoded_bytes() {
            // clap takes all that follows the first word for words, since a tag may begin with a sign.
            b"--json" => sorted.json = true,
            [b'-', b'-', ..] => {
                let option = word.display();
                let reason = format!(
                    "unknown option {option}; options but --json go before the first PATH or tag"
                );
                return Err(Error::BadOption { reason });
            }
            [b'+', ..] => sorted.add.push(tag(word)?),
            [b'-', ..] => sorted.remove.push(tag(word)?),
            _ => sorted.items.push(Path::new(word)),
        }
    }
    if sorted.items.is_empty() && !words.is_empty() {
        let reason = "no item to tag: say a PATH or ID before the tags".into();
        return Err(Error::BadOption { reason });
    }
    if let Some(tag) = sorted.add.iter().find(|tag| sorted.remove.contains(tag)) {
        let reason = format!("tag {:?} is to be added and removed", tag.as_str());
        return Err(Error::BadOption { reason });
    }
    Ok(sorted)
}

/// The tag after its sign.
fn tag(word: &OsStr) -> mmsearch::Result<Tag> {
    let no_text = || Error::BadOption { reason: format!("tag {} is not UTF-8", word.display()) };
    Tag::new(&word.to_str().ok_or_else(no_text)?[1..])
}
