//! Which pairs of images may be duplicates, and whether they look the same.

use std::collections::HashMap;

use crate::catalog::{StoredEmbedding, StoredItem, StoredSpace, View};
use crate::error::{Error, Result};
use crate::index::{self, NodeVectors, SearchOptions, Snapshot};
use crate::item::{ContentHash, Modality, Source};
use crate::media::{Look, SAME_LOOK, SourcePictures};
use crate::pixels::Detail;

/// Neighbours that each image is compared with. Of a larger group every image meets some others, and these join it.
const N_NEIGHBORS: usize = 16;

/// How far a score out of a snapshot may be from that of the rows.
const ROUNDING: f32 = 1e-3;

/// More images than this that no snapshot holds are not compared with one another: that takes some seconds for so many, and
/// grows with their square.
const MAX_TAIL: u64 = 25_000;

/// Enough pixels for the 9×8 shades of a look, and a small part of what decoding a photo in full takes.
const DETAIL: Detail = Detail::ShorterSide(64);

/// Where the neighbours of an image are looked for: in the snapshot, and among what is newer.
pub(super) struct Neighborhood<'a> {
    snapshot: Option<&'a Snapshot>,
    /// Of the snapshot; 0 without one.
    generation: u64,
    tail_keys: Vec<u64>,
    tail_vectors: Vec<f32>,
    dim: usize,
}

impl<'a> Neighborhood<'a> {
    pub(super) fn new(
        view: View<'_>,
        space: &StoredSpace,
        snapshot: Option<&'a Snapshot>,
    ) -> Result<Self> {
        let generation = snapshot.map_or(0, |snapshot| snapshot.meta().generation);
        let n_tail = view.n_embeddings(space.id, Modality::Image, generation)?;
        if n_tail > MAX_TAIL {
            let reason = format!(
                "{n_tail} images are in no snapshot that can be used, and comparing all of them with one another takes too \
                 long; run `mmsearch index` first, which makes one"
            );
            return Err(Error::BadOption { reason });
        }
        let (mut tail_keys, mut tail_vectors) = (Vec::new(), Vec::new());
        view.each_embedding(space.id, Modality::Image, generation, |stored| {
            // A damaged row is told of where it is compared.
            if let Ok(stored) = stored
                && stored.embedding.dim() == space.dim
            {
                tail_keys.push(stored.key);
                tail_vectors.extend_from_slice(stored.embedding.as_slice());
            }
            Ok(())
        })?;
        Ok(Self { snapshot, generation, tail_keys, tail_vectors, dim: space.dim })
    }

    /// Keys of the nearest images that may have at least a score; perhaps the image itself too.
    ///
    /// What is newer than the snapshot is compared with all of the newer ones by that alone, so that this is quadratic only
    /// in the number of those: a pair of an old and a new one is found from the new one.
    pub(super) fn nearest(&self, own: &StoredEmbedding, least: f32) -> Result<Vec<u64>> {
        if own.embedding.dim() != self.dim {
            return Ok(Vec::new());
        }
        let k = N_NEIGHBORS + 1;
        let mut neighbors = Vec::new();
        if let Some(snapshot) = self.snapshot {
            // What is dead is dropped where its row is looked for; a filter would be made anew for every image.
            neighbors = snapshot.search(&own.embedding, &SearchOptions::top(k))?.neighbors;
        }
        if own.generation > self.generation {
            let (keys, vectors, dim) = (&self.tail_keys, &self.tail_vectors, self.dim);
            let nodes = NodeVectors { keys, vectors, dim };
            neighbors.extend(index::scan(nodes, own.embedding.as_slice(), k, None)?);
        }
        neighbors.retain(|neighbor| neighbor.score >= least - ROUNDING);
        Ok(neighbors.into_iter().map(|neighbor| neighbor.key).collect())
    }
}

/// The embedding of a key; `None` if it is gone, or damaged, which is a warning.
pub(super) fn good_row(
    view: View<'_>,
    key: u64,
    warnings: &mut Vec<String>,
) -> Result<Option<StoredEmbedding>> {
    match view.embedding(key) {
        Err(Error::Corrupt { reason, .. }) => {
            warn(warnings, &reason);
            Ok(None)
        }
        found => found,
    }
}

/// The images of a content; none if one of their rows is damaged, which is a warning.
pub(super) fn good_items(
    view: View<'_>,
    content_hash: ContentHash,
    warnings: &mut Vec<String>,
) -> Result<Vec<StoredItem>> {
    match view.items_of(Modality::Image, content_hash, usize::MAX) {
        Err(Error::Corrupt { reason, .. }) => {
            warn(warnings, &reason);
            Ok(Vec::new())
        }
        found => found,
    }
}

fn warn(warnings: &mut Vec<String>, reason: &str) {
    let warning = format!("{reason}; run `mmsearch check`");
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

/// The looks of pictures, each read once.
#[derive(Default)]
pub(in crate::library) struct Looks {
    pictures: SourcePictures,
    /// By the key of the embedding; `None` for what could not be read.
    known: HashMap<u64, Option<Look>>,
    warnings: Vec<String>,
}

impl Looks {
    /// Whether two pictures look like versions of one.
    pub(in crate::library) fn are_the_same(
        &mut self,
        view: View<'_>,
        a: &StoredEmbedding,
        b: &StoredEmbedding,
    ) -> Result<bool> {
        let looks = (self.of(view, a)?, self.of(view, b)?);
        let (Some(a), Some(b)) = looks else { return Ok(false) };
        Ok(a.distance(b) <= SAME_LOOK)
    }

    /// One for each picture that was needed and could not be read.
    pub(in crate::library) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }

    fn of(&mut self, view: View<'_>, stored: &StoredEmbedding) -> Result<Option<Look>> {
        if let Some(look) = self.known.get(&stored.key) {
            return Ok(*look);
        }
        let items = good_items(view, stored.content_hash, &mut self.warnings)?;
        let (mut look, mut reason) = (None, None);
        for item in items {
            match self.read(&item.item.source) {
                Ok(found) => {
                    look = Some(found);
                    break;
                }
                Err(error) => {
                    reason.get_or_insert(error);
                }
            }
        }
        if let (None, Some(reason)) = (look, reason) {
            self.warnings.push(format!("not compared: {reason}"));
        }
        self.known.insert(stored.key, look);
        Ok(look)
    }

    fn read(&mut self, source: &Source) -> Result<Look> {
        Ok(Look::of(&self.pictures.read(source, DETAIL)?.pixels))
    }
}
