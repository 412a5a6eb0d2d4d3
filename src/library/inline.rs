//! Adding single pictures and texts that an app has in memory.

use super::prepare::{Input, Job, Outcome, Preparation, prepare};
use super::write::{Encoded, Writer, text_item};
use super::{Library, Report};
use crate::embedding::Embedding;
use crate::encoder::Encoder;
use crate::encoder::each::of_this_space;
use crate::error::{Error, Result};
use crate::item::{Item, ItemId, Metadata, Modality, Source};
use crate::media::Limits;

impl Library {
    /// Adds a picture from the bytes of its file, under a name of the app's own; what had this name is replaced.
    ///
    /// It is found at once; see [`Library::refresh_snapshots`] for adding many.
    ///
    /// # Errors
    /// [`Error::BadImage`] if it cannot be decoded; [`Error::ModelMismatch`]; the encoder's; [`Error::Catalog`].
    pub fn add_image(
        &mut self,
        encoder: &mut dyn Encoder,
        name: &str,
        bytes: &[u8],
        metadata: Metadata,
    ) -> Result<ItemId> {
        self.require_writer()?;
        let space = self.space_for(encoder.space())?;
        let job = Job {
            source: Source::Inline { name: name.into() },
            scan: 0,
            size_bytes: bytes.len() as u64,
            modified_ns: None,
            input: Input::Bytes(bytes.to_vec()),
            known_failure: None,
        };
        let picture = prepare(job, &Preparation::new(encoder, Limits::default(), None));
        let bad = |reason: String| Error::BadImage { path: name.into(), reason };
        let (hash, square) = match (&picture.outcome, picture.content_hash) {
            (Outcome::Ready { square, .. }, Some(hash)) => (hash, square.clone()),
            (Outcome::Failed(reason), _) => return Err(bad(reason.clone())),
            (Outcome::Ready { .. } | Outcome::Vanished, _) => return Err(bad("vanished".into())),
        };
        let mut encoded = Encoded::new();
        if !self.catalog.view().has_embedding(space.id, Modality::Image, hash)? {
            encoded.insert(hash, Ok(only(encoder.encode_images(&[square]), space.dim)?));
        }
        let report = Report::default();
        let mut writer = Writer::new(self.catalog.batch()?, space.id, encoded, report);
        let id = writer.put_picture(picture, metadata)?.ok_or_else(|| bad("vanished".into()))?;
        writer.commit()?;
        Ok(id)
    }

    /// Adds a text under a name of the app's own; what had this name is replaced.
    ///
    /// # Errors
    /// [`Error::BadQuery`] if it is empty; otherwise as [`Library::add_image`].
    pub fn add_text(
        &mut self,
        encoder: &mut dyn Encoder,
        name: &str,
        text: &str,
        metadata: Metadata,
    ) -> Result<ItemId> {
        self.require_writer()?;
        if text.trim().is_empty() {
            return Err(Error::BadQuery { reason: format!("the text {name} is empty") });
        }
        let space = self.space_for(encoder.space())?;
        let item = text_item(Source::Inline { name: name.into() }, text);
        let mut encoded = Encoded::new();
        if let Some(hash) = item.content_hash
            && !self.catalog.view().has_embedding(space.id, Modality::Text, hash)?
        {
            encoded.insert(hash, Ok(only(encoder.encode_texts(&[text]), space.dim)?));
        }
        let report = Report::default();
        let mut writer = Writer::new(self.catalog.batch()?, space.id, encoded, report);
        let id = writer.put(Item { metadata, ..item }, 0)?;
        writer.commit()?;
        Ok(id)
    }
}

/// The embedding of a single input.
fn only(encoded: Result<Vec<Embedding>>, dim: usize) -> Result<Embedding> {
    Ok(of_this_space(encoded, 1, dim)?.swap_remove(0))
}
