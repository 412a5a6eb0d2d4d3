//! Pictures of any source: handed to the pool, encoded in batches, committed batch by batch.

use std::collections::{HashMap, HashSet};

use super::Stage;
use super::prepare::{Input, Job, Outcome, Prepared};
use super::report::{Effect, Report, label};
use super::roots::is_gone;
use super::run::Run;
use crate::catalog::{Batch, SpaceId, StoredItem};
use crate::embedding::Embedding;
use crate::error::Result;
use crate::item::{ContentHash, Item, ItemId, Metadata, Modality, Source, Status};
use crate::media::{self, Entry, Kind};
use crate::pixels::Pixels;

/// Pictures of one batch: one call of the encoder, one transaction. Half the pool's window must be more, so
/// that threads prepare the next batch meanwhile.
const BATCH: usize = 32;

/// How many items of equal content are looked at to find the one that was moved.
const MAX_MOVE_CANDIDATES: usize = 64;

/// Embeddings by content; a reason for content that the encoder refused.
pub(super) type Encoded = HashMap<ContentHash, std::result::Result<Embedding, String>>;

impl Run<'_> {
    /// Pictures that are files of their own.
    pub(super) fn index_files(&mut self, files: Vec<Entry>) -> Result<()> {
        self.n_images.n_total += files.len() as u64;
        for file in files {
            let input = match file.kind {
                Kind::Unsupported => Input::Refused(media::no_decoder(&file.path)),
                Kind::Image | Kind::Tar | Kind::Manifest => Input::File,
            };
            self.feed(Job {
                source: Source::File { path: file.path },
                scan: 0,
                size_bytes: file.size_bytes,
                modified_ns: Some(file.modified_ns),
                input,
            })?;
        }
        self.drain()
    }

    /// Hands a picture in; commits a batch when enough are waiting.
    pub(super) fn feed(&mut self, job: Job) -> Result<()> {
        while self.pool.is_full() {
            self.commit_pictures()?;
        }
        self.pool.submit(job);
        Ok(())
    }

    /// Commits all that was handed in.
    pub(super) fn drain(&mut self) -> Result<()> {
        while self.pool.n_waiting() > 0 {
            self.commit_pictures()?;
        }
        Ok(())
    }

    fn commit_pictures(&mut self) -> Result<()> {
        let mut prepared = Vec::with_capacity(BATCH);
        while prepared.len() < BATCH {
            let Some(next) = self.pool.take() else { break };
            prepared.push(next);
        }
        let n_pictures = prepared.len() as u64;
        let mut encoded = self.encode_pictures(&prepared)?;
        // Counted aside until the commit, so that a report never promises what is not there.
        let mut report = self.report.clone();
        let mut batch = self.catalog.batch()?;
        for picture in prepared {
            let metadata = Metadata::new();
            put_picture(&mut batch, self.space.id, picture, metadata, &mut encoded, &mut report)?;
        }
        batch.commit()?;
        self.report = report;
        self.n_images.n_done += n_pictures;
        let (n_done, n_total) = (self.n_images.n_done, self.n_images.n_total);
        self.tell(Stage::Images, n_done, Some(n_total.max(n_done)))
    }

    /// Encodes each content of the batch once, unless the catalog has it already.
    fn encode_pictures(&mut self, prepared: &[Prepared]) -> Result<Encoded> {
        let mut seen = HashSet::new();
        let (mut hashes, mut squares) = (Vec::new(), Vec::<Pixels>::new());
        for picture in prepared {
            let (Some(hash), Outcome::Ready { square, .. }) =
                (picture.content_hash, &picture.outcome)
            else {
                continue;
            };
            let known = self.catalog.view().has_embedding(self.space.id, Modality::Image, hash)?;
            if !known && seen.insert(hash) {
                hashes.push(hash);
                squares.push(square.clone());
            }
        }
        let embeddings =
            self.encode(&squares, |encoder, squares| encoder.encode_images(squares))?;
        Ok(hashes.into_iter().zip(embeddings).collect())
    }
}

/// Writes one picture, and says in the report what became of it.
pub(super) fn put_picture(
    batch: &mut Batch<'_>,
    space: SpaceId,
    picture: Prepared,
    metadata: Metadata,
    encoded: &mut Encoded,
    report: &mut Report,
) -> Result<Option<ItemId>> {
    let known = batch.view().item_at(&picture.source)?;
    let scan = picture.scan;
    if matches!(picture.outcome, Outcome::Vanished) {
        // If it was known, it is forgotten with all that is gone.
        report.skipped.push(label(&picture.source), "vanished while it was indexed");
        return Ok(None);
    }
    let item = Item { metadata, ..into_item(picture, encoded) };
    super::roots::repeat_failure(report, &item);
    if let (Some(hash), Status::Ok | Status::Truncated) = (item.content_hash, item.status)
        && let Some(Ok(embedding)) = encoded.remove(&hash)
    {
        batch.add_embedding(space, Modality::Image, hash, embedding)?;
    }
    let is_searchable = item.status != Status::Failed;
    let (id, effect) = put_item(batch, known, item, scan)?;
    if is_searchable {
        report.images.count(&effect);
    }
    Ok(Some(id))
}

/// Writes an item over what is known of its source, over the item that was moved here, or anew.
pub(super) fn put_item(
    batch: &mut Batch<'_>,
    known: Option<StoredItem>,
    item: Item,
    scan: i64,
) -> Result<(ItemId, Effect)> {
    if let Some(known) = known {
        let id = known.item.id;
        let same_content =
            (known.item.content_hash, known.item.status) == (item.content_hash, item.status);
        let metadata = keep_metadata(&known.item, item.metadata);
        let item = Item { id, metadata, ..item };
        if known.item != item || known.scan != scan {
            batch.replace_item(&known.item, item, scan)?;
        }
        return Ok((id, if same_content { Effect::Unchanged } else { Effect::Updated }));
    }
    if let Some(old) = moved_from(batch, &item)? {
        let id = old.id;
        let item = Item { metadata: old.metadata.clone(), ..item };
        batch.replace_item(&old, item, scan)?;
        return Ok((id, Effect::Moved));
    }
    Ok((batch.add_item(item, scan)?, Effect::Added))
}

/// A file says nothing of the facts that its caller has added to it; every other source brings its own.
fn keep_metadata(known: &Item, new: Metadata) -> Metadata {
    match known.source {
        Source::File { .. } | Source::TarMember { .. } => known.metadata.clone(),
        Source::ManifestRow { .. } | Source::Inline { .. } => new,
    }
}

/// The item of the same content whose own file is gone: this is that file under another name.
fn moved_from(batch: &Batch<'_>, item: &Item) -> Result<Option<Item>> {
    let (Source::File { .. }, Status::Ok | Status::Truncated, Some(hash)) =
        (&item.source, item.status, item.content_hash)
    else {
        return Ok(None);
    };
    let same = batch.view().items_of(Modality::Image, hash, MAX_MOVE_CANDIDATES)?;
    Ok(same.into_iter().map(|stored| stored.item).find(|same| match &same.source {
        Source::File { path } => is_gone(path),
        Source::TarMember { .. } | Source::ManifestRow { .. } | Source::Inline { .. } => false,
    }))
}

/// The item that a prepared picture makes.
fn into_item(picture: Prepared, encoded: &Encoded) -> Item {
    let refused = picture.content_hash.and_then(|hash| encoded.get(&hash)?.as_ref().err().cloned());
    let (status, reason, facts) = match (picture.outcome, refused) {
        (_, Some(reason)) => (Status::Failed, Some(reason), None),
        (Outcome::Ready { facts, truncated: None, .. }, None) => (Status::Ok, None, Some(facts)),
        (Outcome::Ready { facts, truncated, .. }, None) => {
            (Status::Truncated, truncated, Some(facts))
        }
        (Outcome::Failed(reason), None) => (Status::Failed, Some(reason), None),
        (Outcome::Vanished, None) => (Status::Failed, Some("vanished".into()), None),
    };
    Item {
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
    }
}
