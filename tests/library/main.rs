//! The library's promises, kept with a deterministic encoder. Every test ends with `check`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "these are tests"
)]
#![allow(clippy::cloned_ref_to_slice_refs, reason = "a list of one root reads best as a list")]

mod app;
mod backup;
mod catalog_flips;
mod changes;
#[path = "../common/mod.rs"]
mod common;
mod containers;
mod damage;
mod embedded;
mod encoders;
mod file_words;
mod files;
mod forget;
mod lookalikes;
mod model;
mod old_catalogs;
mod pages;
mod reindex;
mod salvage;
mod search;
mod sidecars;
mod snapshot_flips;
mod snapshots;
mod tags;
mod words;

use std::ops::ControlFlow;
use std::path::PathBuf;

use common::Place;
use mmsearch::encoder::FakeEncoder;
use mmsearch::library::{IndexOptions, Library, LibraryOptions, Report, Tally};
use mmsearch::{ItemId, Query, Result, Source};

fn writer(place: &Place) -> Library {
    Library::create_or_open(&place.library(), LibraryOptions::default()).unwrap()
}

fn try_index(library: &mut Library, roots: &[PathBuf]) -> Result<Report> {
    let mut encoder = FakeEncoder::default();
    let mut go_on = |_: &_| ControlFlow::Continue(());
    library.index(&mut encoder, roots, &IndexOptions::default(), &mut go_on)
}

fn index(library: &mut Library, roots: &[PathBuf]) -> Report {
    try_index(library, roots).unwrap()
}

/// Paths (or texts) of what is found, best first.
fn found(library: &mut Library, query: &Query) -> Vec<String> {
    let hits = library.search(&mut FakeEncoder::default(), query).unwrap();
    hits.iter()
        .map(|hit| match (&hit.item.text, &hit.item.source) {
            (Some(text), _) => text.clone(),
            (None, Source::File { path }) => path.file_name().unwrap().display().to_string(),
            (None, Source::TarMember { member, .. }) => member.display().to_string(),
            (None, source) => source.to_string(),
        })
        .collect()
}

fn ids(library: &mut Library, query: &Query) -> Vec<ItemId> {
    let hits = library.search(&mut FakeEncoder::default(), query).unwrap();
    hits.iter().map(|hit| hit.item.id).collect()
}

fn check(library: &Library) {
    assert_eq!(library.check().unwrap(), []);
}

fn added(added: u64) -> Tally {
    Tally { added, ..Tally::default() }
}
