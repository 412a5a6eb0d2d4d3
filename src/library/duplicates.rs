//! `duplicates`: groups of images that are nearly the same.
//!
//! Each embedding is compared with its nearest neighbours only, which the index finds, so the work grows with the number of
//! images and not with its square. Groups are single-link: an image belongs to a group if it is close enough to one of it.

mod pairs;
mod sets;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

pub(super) use self::pairs::Looks;
use self::pairs::Neighborhood;
use self::sets::Sets;
use super::{Library, Progress, Stage};
use crate::catalog::{StoredEmbedding, StoredItem, StoredSpace};
use crate::error::{Error, Result};
use crate::item::{ContentHash, Modality};
use crate::query::Hit;

/// Images that are compared between two calls of the progress callback.
const IMAGES_PER_CALL: usize = 256;

/// What are duplicates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DuplicatesOptions {
    /// The least cosine of two images of a group, above 0 and at most 1.
    pub threshold: f32,
    /// Whether two pictures must also look the same ([`crate::media::Look`]), for which both are decoded; what cannot be read
    /// any more is no duplicate then. Pictures of equal content are never decoded.
    pub verify: bool,
}

impl Default for DuplicatesOptions {
    fn default() -> Self {
        Self { threshold: 0.98, verify: false }
    }
}

/// Images that are nearly the same.
#[derive(Clone, Debug)]
pub struct DuplicateGroup {
    /// At least two. The content of which there are the most copies comes first; the score is the cosine with that.
    pub hits: Vec<Hit>,
    /// Whether all have the same content, byte by byte.
    pub is_identical: bool,
}

impl Library {
    /// All groups of duplicates among the images: those of identical content first, then the larger ones.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a threshold that is no cosine, and if more than 25,000 images are in no snapshot
    /// ([`Library::refresh_snapshots`] makes one); [`Error::Cancelled`]; [`Error::Catalog`].
    pub fn duplicates(
        &mut self,
        options: &DuplicatesOptions,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Vec<DuplicateGroup>> {
        let threshold = options.threshold;
        if !(threshold > 0.0 && threshold <= 1.0) {
            let reason = format!("the threshold is {threshold}, but must be above 0 and at most 1");
            return Err(Error::BadOption { reason });
        }
        loop {
            let Some(space) = self.catalog.view().space()? else { return Ok(Vec::new()) };
            let sets = self.joined(&space, options, progress)?;
            let mut groups = self.near_groups(&sets)?;
            if self.catalog.view().space()?.as_ref() != Some(&space) {
                // The model was changed meanwhile, and the embeddings with it.
                continue;
            }
            groups.extend(self.identical_groups(&groups)?);
            groups.sort_by(|a, b| {
                let larger = b.hits.len().cmp(&a.hits.len());
                let first = |group: &DuplicateGroup| group.hits.first().map(|hit| hit.item.id);
                b.is_identical.cmp(&a.is_identical).then(larger).then(first(a).cmp(&first(b)))
            });
            return Ok(groups);
        }
    }

    /// The keys of all images' embeddings, joined where they are close enough.
    fn joined(
        &mut self,
        space: &StoredSpace,
        options: &DuplicatesOptions,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Sets> {
        let Self { catalog, snapshots, warnings, .. } = self;
        let view = catalog.view();
        let generation = view.generation()?;
        let snapshot = snapshots.current_or_warn(space, Modality::Image, generation, warnings);
        let neighborhood = Neighborhood::new(view, space, snapshot)?;
        let mut looks = Looks::default();
        let mut sets = Sets::new(view.embedding_keys(space.id, Modality::Image)?);
        for place in 0..sets.len() {
            if place % IMAGES_PER_CALL == 0 {
                let (n_done, n_total) = (place as u64, Some(sets.len() as u64));
                if progress(&Progress { stage: Stage::Compare, n_done, n_total }).is_break() {
                    return Err(Error::Cancelled);
                }
            }
            let Some(own) = pairs::good_row(view, sets.key(place), warnings)? else { continue };
            for key in neighborhood.nearest(&own, options.threshold)? {
                let Some(other_place) = sets.place_of(key) else { continue };
                if sets.are_joined(place, other_place) {
                    continue;
                }
                let Some(other) = pairs::good_row(view, key, warnings)? else { continue };
                let is_near = own.embedding.dim() == other.embedding.dim()
                    && own.embedding.score(&other.embedding) >= options.threshold;
                if is_near && (!options.verify || looks.are_the_same(view, &own, &other)?) {
                    sets.join(place, other_place);
                }
            }
        }
        warnings.extend(looks.into_warnings());
        Ok(sets)
    }

    /// Groups of more than one content.
    fn near_groups(&mut self, sets: &Sets) -> Result<Vec<DuplicateGroup>> {
        let view = self.catalog.view();
        let (mut groups, mut warnings) = (Vec::new(), Vec::new());
        for keys in sets.groups() {
            let mut contents = Vec::new();
            for key in keys {
                let stored = match view.embedding(key) {
                    Ok(Some(stored)) => stored,
                    Ok(None) | Err(Error::Corrupt { .. }) => continue,
                    Err(error) => return Err(error),
                };
                let items = pairs::good_items(view, stored.content_hash, &mut warnings)?;
                if !items.is_empty() {
                    contents.push((stored, items));
                }
            }
            groups.extend(near_group(contents));
        }
        self.warnings.extend(warnings);
        Ok(groups)
    }

    /// Items of equal content that are not in one of the groups.
    fn identical_groups(&mut self, groups: &[DuplicateGroup]) -> Result<Vec<DuplicateGroup>> {
        let view = self.catalog.view();
        let hashes = groups.iter().flat_map(|group| &group.hits);
        let shown: BTreeSet<ContentHash> = hashes.filter_map(|hit| hit.item.content_hash).collect();
        let (mut identical, mut warnings) = (Vec::new(), Vec::new());
        for content_hash in view.repeated_contents(Modality::Image)? {
            if shown.contains(&content_hash) {
                continue;
            }
            let items = pairs::good_items(view, content_hash, &mut warnings)?;
            let hits: Vec<Hit> = scored(items, 1.0).collect();
            if hits.len() > 1 {
                identical.push(DuplicateGroup { hits, is_identical: true });
            }
        }
        self.warnings.extend(warnings);
        Ok(identical)
    }
}

/// The group of some contents that were found to be near; `None` if not even two items are left of it.
fn near_group(contents: Vec<(StoredEmbedding, Vec<StoredItem>)>) -> Option<DuplicateGroup> {
    let mut contents = contents;
    contents.sort_by_key(|(_, items)| {
        (std::cmp::Reverse(items.len()), items.first().map(|stored| stored.item.id))
    });
    let is_identical = contents.len() == 1;
    let first = contents.first()?.0.embedding.clone();
    let mut hits = Vec::new();
    for (place, (stored, items)) in contents.into_iter().enumerate() {
        // Rounding may leave a vector's cosine with itself a little below 1.
        let score = if place == 0 { 1.0 } else { first.score(&stored.embedding) };
        hits.extend(scored(items, score));
    }
    (hits.len() > 1).then_some(DuplicateGroup { hits, is_identical })
}

fn scored(items: Vec<StoredItem>, score: f32) -> impl Iterator<Item = Hit> {
    items.into_iter().map(move |stored| Hit::new(stored.item, score))
}
