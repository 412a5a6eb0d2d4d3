//! Adding images whose embeddings the caller has already.

use super::Library;
use super::write::{Encoded, Writer};
use super::{Report, Tally};
use crate::catalog::MAX_BATCH_ROWS;
use crate::embedding::Embedding;
use crate::encoder::Space;
use crate::error::{Error, Result};
use crate::item::{ContentHash, Item, ItemId, Metadata, Modality, Source, Status};

/// Rows of a batch are items and embeddings.
const IMAGES_PER_BATCH: usize = MAX_BATCH_ROWS / 2;

/// An image that the caller has encoded.
#[derive(Clone, Debug)]
pub struct EmbeddedImage {
    /// The caller's name for it; what had this name is replaced.
    pub name: String,
    /// Its embedding in the library's space.
    pub embedding: Embedding,
    /// Any JSON of the caller's.
    pub metadata: Metadata,
}

impl Library {
    /// Adds images by their embeddings, batch by batch: what was committed stays if an error stops it.
    ///
    /// Images of equal embeddings are one node of the index. They are found at once, and fast after
    /// [`Library::refresh_snapshots`]. The library cannot be changed to another model: there is nothing to encode again.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] if the library is of another space; [`Error::Dimension`]; [`Error::Catalog`].
    pub fn add_embedded_images(
        &mut self,
        space: &Space,
        images: impl IntoIterator<Item = EmbeddedImage>,
    ) -> Result<Tally> {
        self.require_writer()?;
        let stored = self.space_for(space)?;
        let mut images = images.into_iter().peekable();
        let mut report = Report::default();
        while images.peek().is_some() {
            let mut items = Vec::with_capacity(IMAGES_PER_BATCH);
            let mut encoded = Encoded::new();
            for image in images.by_ref().take(IMAGES_PER_BATCH) {
                let (expected, found) = (stored.dim, image.embedding.dim());
                if expected != found {
                    return Err(Error::Dimension { expected, found });
                }
                let hash = hash_of(&image.embedding);
                if !self.catalog.view().has_embedding(stored.id, Modality::Image, hash)? {
                    encoded.insert(hash, Ok(image.embedding));
                }
                items.push(item(image.name, hash, image.metadata));
            }
            let mut writer = Writer::new(self.catalog.batch()?, stored.id, encoded, report);
            for item in items {
                writer.put(item, 0)?;
            }
            report = writer.commit()?;
        }
        Ok(report.images)
    }
}

/// Stands for the content that nobody has seen.
fn hash_of(embedding: &Embedding) -> ContentHash {
    let mut hasher = blake3::Hasher::new();
    embedding.as_slice().iter().for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    ContentHash(*hasher.finalize().as_bytes())
}

fn item(name: String, hash: ContentHash, metadata: Metadata) -> Item {
    Item {
        id: ItemId(0),
        modality: Modality::Image,
        source: Source::Inline { name },
        content_hash: Some(hash),
        size_bytes: 0,
        modified_ns: None,
        status: Status::Ok,
        reason: None,
        facts: None,
        text: None,
        image: None,
        metadata,
    }
}
