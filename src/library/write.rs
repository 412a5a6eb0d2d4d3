//! Writing one batch: items over what is known of them, the embeddings they need, and what to report of it.

use std::collections::HashMap;

use super::Report;
use super::prepare::{Outcome, Prepared};
use super::report::{Effect, label};
use super::roots::{is_gone, repeat_failure};
use crate::catalog::{Batch, DescriptionOrigin, SpaceId, StoredItem};
use crate::embedding::Embedding;
use crate::error::Result;
use crate::item::{ContentHash, Item, ItemId, Metadata, Modality, Source, Status};
use crate::media::{self, Words};

/// How many items of equal content are looked at to find the one that was moved.
const MAX_MOVE_CANDIDATES: usize = 64;

/// Embeddings by content; a reason for content that the encoder refused.
pub(super) type Encoded = HashMap<ContentHash, std::result::Result<Embedding, String>>;

/// One batch that is being written.
pub(super) struct Writer<'a> {
    batch: Batch<'a>,
    space: SpaceId,
    encoded: Encoded,
    report: Report,
}

impl<'a> Writer<'a> {
    /// `encoded` holds what the catalog does not; the report is handed back by [`Writer::commit`] only, so that it
    /// never promises what is not there.
    pub(super) fn new(batch: Batch<'a>, space: SpaceId, encoded: Encoded, report: Report) -> Self {
        Self { batch, space, encoded, report }
    }

    pub(super) fn commit(self) -> Result<Report> {
        self.batch.commit()?;
        Ok(self.report)
    }

    /// Writes a picture; its id, unless it vanished.
    pub(super) fn put_picture(
        &mut self,
        picture: Prepared,
        metadata: Metadata,
    ) -> Result<Option<ItemId>> {
        if matches!(picture.outcome, Outcome::Vanished) {
            // If it was known, it is forgotten with all that is gone.
            self.report.skipped.push(label(&picture.source), "vanished while it was indexed");
            return Ok(None);
        }
        if let Some(known) = self.good_before(&picture)? {
            let (size_bytes, modified_ns) = (picture.size_bytes, picture.modified_ns);
            let item = Item { size_bytes, modified_ns, ..known };
            return self.put(item, picture.scan).map(Some);
        }
        let scan = picture.scan;
        let (item, words) = into_item(picture);
        let id = self.put(Item { metadata, ..item }, scan)?;
        self.put_words(id, &words)?;
        Ok(Some(id))
    }

    /// What is known of a picture that cannot be decoded now though these very bytes could be before: want of memory, or of a
    /// decoder that works, takes nothing out of the library.
    fn good_before(&self, picture: &Prepared) -> Result<Option<Item>> {
        let (Outcome::Failed(_), Some(hash)) = (&picture.outcome, picture.content_hash) else {
            return Ok(None);
        };
        let known = self.batch.view().item_at(&picture.source)?.map(|stored| stored.item);
        Ok(known.filter(|known| known.status != Status::Failed && known.content_hash == Some(hash)))
    }

    /// Writes what a picture's own file says in words, over what it said before.
    fn put_words(&mut self, picture: ItemId, words: &Words) -> Result<()> {
        self.batch.set_file_tags(picture, &words.tags)?;
        let description = words.description.as_deref();
        self.batch.set_description(picture, DescriptionOrigin::File, description)
    }

    /// Writes what the text beside a picture says; nothing if there is none.
    pub(super) fn put_sidecar(&mut self, picture: ItemId, text: Option<&str>) -> Result<()> {
        self.batch.set_description(picture, DescriptionOrigin::Sidecar, text)
    }

    /// Writes an item whose status does not know yet what the encoder said.
    pub(super) fn put(&mut self, mut item: Item, scan: i64) -> Result<ItemId> {
        if let (Some(hash), true) = (item.content_hash, item.status != Status::Failed) {
            match self.encoded.get(&hash) {
                Some(Err(reason)) => {
                    let reason = Some(reason.clone());
                    item = Item { status: Status::Failed, reason, facts: None, ..item };
                }
                Some(Ok(embedding)) => {
                    let embedding = embedding.clone();
                    self.batch.add_embedding(self.space, item.modality, hash, embedding)?;
                    self.encoded.remove(&hash);
                }
                None => {}
            }
        }
        repeat_failure(&mut self.report, &item);
        let (modality, is_searchable) = (item.modality, item.status != Status::Failed);
        let (id, effect) = self.put_item(item, scan)?;
        if is_searchable {
            self.report.tally(modality).count(effect);
        }
        Ok(id)
    }

    /// Writes an item over what is known of its source, over the item that was moved here, or anew.
    fn put_item(&mut self, item: Item, scan: i64) -> Result<(ItemId, Effect)> {
        if let Some(known) = self.batch.view().item_at(&item.source)? {
            return self.put_over(&known, item, scan);
        }
        let Some(old) = self.moved_from(&item)? else {
            return Ok((self.batch.add_item(item, scan)?, Effect::Added));
        };
        let item = Item { metadata: old.metadata.clone(), ..item };
        self.batch.replace_item(&old, item, scan)?;
        Ok((old.id, Effect::Moved))
    }

    fn put_over(&mut self, known: &StoredItem, item: Item, scan: i64) -> Result<(ItemId, Effect)> {
        let old = &known.item;
        let has_same_content = (old.content_hash, old.status) == (item.content_hash, item.status);
        // A file says nothing of the facts that its owner has added; every other source brings its own.
        let metadata = match old.source {
            Source::File { .. } | Source::TarMember { .. } => old.metadata.clone(),
            Source::ManifestRow { .. } | Source::Inline { .. } => item.metadata,
        };
        let item = Item { id: old.id, metadata, ..item };
        if *old != item || known.scan != scan {
            self.batch.replace_item(old, item, scan)?;
        }
        if !has_same_content {
            // Pictures say it anew; what is no picture any more, or not in a file, says nothing.
            self.put_words(old.id, &Words::default())?;
        }
        Ok((old.id, if has_same_content { Effect::Unchanged } else { Effect::Updated }))
    }

    /// The item of the same content whose own file is gone: this is that file under another name, or a member of that
    /// tar.
    fn moved_from(&self, item: &Item) -> Result<Option<Item>> {
        let (Source::File { .. } | Source::TarMember { .. }, Some(hash)) =
            (&item.source, item.content_hash)
        else {
            return Ok(None);
        };
        let same = self.batch.view().images_with(hash, MAX_MOVE_CANDIDATES)?;
        Ok(same.into_iter().map(|it| it.item).find(|it| is_moved(&it.source, &item.source)))
    }
}

/// Whether a file, or the tar of a member, is gone, and this is another name of it.
fn is_moved(old: &Source, new: &Source) -> bool {
    match (old, new) {
        (Source::File { path }, Source::File { .. }) => is_gone(path),
        (Source::TarMember { tar, member: old }, Source::TarMember { member: new, .. }) => {
            old == new && is_gone(tar)
        }
        _ => false,
    }
}

/// A text that can be searched.
pub(super) fn text_item(source: Source, text: &str) -> Item {
    Item {
        id: ItemId(0),
        modality: Modality::Text,
        source,
        content_hash: Some(ContentHash(*blake3::hash(text.as_bytes()).as_bytes())),
        size_bytes: text.len() as u64,
        modified_ns: None,
        status: Status::Ok,
        reason: None,
        facts: None,
        text: Some(text.into()),
        image: None,
        metadata: Metadata::new(),
    }
}

/// The item that a prepared picture makes, and what its file says in words.
fn into_item(mut picture: Prepared) -> (Item, Words) {
    let (status, reason, facts, words) = match picture.outcome {
        Outcome::Ready { facts, words, truncated, .. } => {
            let status = if truncated.is_some() { Status::Truncated } else { Status::Ok };
            (status, truncated, Some(*facts), words)
        }
        Outcome::Failed(reason) => {
            if media::may_pass(&reason) {
                // As if it had not been read: the next run tries it again.
                picture.content_hash = None;
            }
            (Status::Failed, Some(reason), None, Words::default())
        }
        Outcome::Vanished => (Status::Failed, Some("vanished".into()), None, Words::default()),
    };
    let item = Item {
        id: ItemId(0),
        modality: Modality::Image,
        source: picture.source,
        content_hash: picture.content_hash,
        size_bytes: picture.size_bytes,
        modified_ns: picture.modified_ns,
        status,
        reason,
        facts,
        text: None,
        image: None,
        metadata: Metadata::new(),
    };
    (item, words)
}
