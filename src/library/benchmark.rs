//! How fast a library and its model are on this machine, and how much of the truth its graph finds.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Library, phrases};
use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::item::{ItemId, Modality, Source};
use crate::media::{Limits, read_picture};
use crate::pixels::Pixels;
use crate::query::{Query, Term};

/// Inputs of one call of the encoder, as indexing does it.
const BATCH: usize = 32;

/// Images of the library that are tried at most.
const MAX_IMAGES: usize = 2_000;

/// Queries that are tried at most.
const MAX_QUERIES: usize = 500;

/// Neighbours of a query.
const K: usize = 10;

/// How much was done, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Images, texts or queries.
    pub n: usize,
    /// What they took together.
    pub elapsed: Duration,
}

impl Speed {
    /// How many a second; 0 if there were none.
    pub fn per_second(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.n as f64 / self.elapsed.as_secs_f64().max(1e-9) }
    }

    fn add(&mut self, n: usize, began: Instant) {
        self.n += n;
        self.elapsed += began.elapsed();
    }
}

/// What [`Library::benchmark`] measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Benchmark {
    /// Reading, decoding and resizing the library's own image files, on one thread.
    pub decode: Speed,
    /// Images through the model.
    pub images: Speed,
    /// Everyday phrases through the model.
    pub texts: Speed,
    /// These phrases as queries for ten images, without encoding.
    pub queries: Speed,
    /// The same by comparing with every embedding.
    pub exact: Speed,
    /// Hits of the exact search.
    pub n_wanted: usize,
    /// Those of them that the usual search found.
    pub n_found: usize,
}

impl Library {
    /// Measures for about `budget`, changing nothing. `go_on` is asked between steps.
    ///
    /// Image files that cannot be read any more are passed over; members of tars are not tried.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] if the encoder is not the library's; the encoder's; [`Error::Cancelled`].
    pub fn benchmark(
        &mut self,
        encoder: &mut dyn Encoder,
        budget: Duration,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Benchmark> {
        self.space_of(encoder.space())?;
        let mut measured = Benchmark::default();
        let part = budget / 4;
        self.try_images(encoder, part, &mut measured, go_on)?;
        let queries = try_texts(encoder, part, &mut measured, go_on)?;
        self.try_queries(encoder, &queries, budget / 2, &mut measured, go_on)?;
        Ok(measured)
    }

    fn try_images(
        &self,
        encoder: &mut dyn Encoder,
        budget: Duration,
        measured: &mut Benchmark,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<()> {
        let (began, preprocess) = (Instant::now(), encoder.preprocess().clone());
        let limits = Limits::default();
        for batch in self.image_files()?.chunks(BATCH) {
            ask(go_on)?;
            let reading = Instant::now();
            let read = |path: &std::path::PathBuf| -> Option<Pixels> {
                let picture = read_picture(path, &limits, preprocess.detail()).ok()?;
                preprocess.apply(&picture.pixels).ok()
            };
            let squares: Vec<Pixels> = batch.iter().filter_map(read).collect();
            measured.decode.add(squares.len(), reading);
            if squares.is_empty() {
                continue;
            }
            let encoding = Instant::now();
            encoder.encode_images(&squares)?;
            measured.images.add(squares.len(), encoding);
            if began.elapsed() > budget {
                break;
            }
        }
        Ok(())
    }

    /// Files of the library's images, at even steps through all of them.
    fn image_files(&self) -> Result<Vec<std::path::PathBuf>> {
        let view = self.catalog.view();
        let Some(space) = view.space()? else { return Ok(Vec::new()) };
        let keys = view.embedding_keys(space.id, Modality::Image)?;
        let mut files = Vec::new();
        for &key in keys.iter().step_by(keys.len().div_ceil(MAX_IMAGES).max(1)) {
            let Some(stored) = view.embedding(key)? else { continue };
            for item in view.items_of(Modality::Image, stored.content_hash, 1)? {
                if let Source::File { path } = item.item.source {
                    files.push(path);
                }
            }
        }
        Ok(files)
    }

    fn try_queries(
        &mut self,
        encoder: &mut dyn Encoder,
        queries: &[Embedding],
        budget: Duration,
        measured: &mut Benchmark,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<()> {
        let began = Instant::now();
        for embedding in queries.iter().take(MAX_QUERIES) {
            ask(go_on)?;
            let query = Query::new(Term::Embedding(embedding.clone())).k(K);
            let searching = Instant::now();
            let found = self.ids(encoder, &query)?;
            measured.queries.add(1, searching);
            let searching = Instant::now();
            let wanted = self.ids(encoder, &Query { exact: true, ..query })?;
            measured.exact.add(1, searching);
            measured.n_wanted += wanted.len();
            measured.n_found += wanted.iter().filter(|id| found.contains(id)).count();
            if began.elapsed() > budget {
                break;
            }
        }
        Ok(())
    }

    fn ids(&mut self, encoder: &mut dyn Encoder, query: &Query) -> Result<Vec<ItemId>> {
        Ok(self.search(encoder, query)?.iter().map(|hit| hit.item.id).collect())
    }
}

/// Encodes phrases, which become the queries.
fn try_texts(
    encoder: &mut dyn Encoder,
    budget: Duration,
    measured: &mut Benchmark,
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<Embedding>> {
    let (began, mut embeddings) = (Instant::now(), Vec::new());
    for batch in phrases::phrases().chunks(BATCH) {
        ask(go_on)?;
        let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
        let encoding = Instant::now();
        embeddings.extend(encoder.encode_texts(&texts)?);
        measured.texts.add(texts.len(), encoding);
        if began.elapsed() > budget {
            break;
        }
    }
    Ok(embeddings)
}

fn ask(go_on: &mut dyn FnMut() -> ControlFlow<()>) -> Result<()> {
    if go_on().is_break() { Err(Error::Cancelled) } else { Ok(()) }
}
