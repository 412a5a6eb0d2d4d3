//! Filling a space with the embeddings that it lacks, out of what the library's items came from.
//!
//! What is missing is asked of the catalog and nothing else is remembered, so that a run that was interrupted goes
//! on by itself. Embeddings belong to contents, not to items: whatever is read is of use if its content is one
//! that the space lacks.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::prepare::{Input, Job, Outcome, Pool, Preparation};
use super::run::Count;
use super::tars::{member_job, skipped_job};
use super::{Progress, ReindexOptions, Stage, captions, pictures};
use crate::catalog::{Catalog, Lacking, StoredItem, StoredSpace};
use crate::encoder::Encoder;
use crate::encoder::each::{Outcomes, encode_each_image, encode_each_text};
use crate::error::{Error, Result};
use crate::item::{ContentHash, ItemId, Modality, Source};
use crate::media::{self, Limits};

/// Items that are asked of the catalog at a time.
const PAGE: usize = 256;

/// A space that is being filled.
pub(super) struct Fill<'a> {
    catalog: &'a mut Catalog,
    encoder: &'a mut dyn Encoder,
    space: StoredSpace,
    limits: Limits,
    pool: Pool,
    /// Different contents that have an embedding, and that should have one.
    images: Count,
    texts: Count,
    absent: Absent,
    progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
}

/// What became of filling a space.
pub(super) struct Filled {
    /// Different images that were encoded.
    pub(super) n_images: u64,
    /// Different texts that were encoded.
    pub(super) n_texts: u64,
    /// Items that have no embedding in the space.
    pub(super) left_out: Vec<LeftOut>,
}

/// An item that cannot be given an embedding.
pub(super) struct LeftOut {
    pub(super) item: StoredItem,
    pub(super) reason: String,
    /// Whether the encoder has seen it and refused it, so that there is no use in trying again.
    pub(super) is_refused: bool,
}

/// Why there is no embedding, by what it is known of.
#[derive(Default)]
struct Absent {
    /// Files and members that could not be read.
    unread: HashMap<Source, String>,
    /// Tars that could not be read, or not to their end.
    damaged: HashMap<PathBuf, String>,
    /// Contents that the encoder did not take.
    refused: HashMap<(Modality, ContentHash), String>,
}

impl<'a> Fill<'a> {
    pub(super) fn start(
        catalog: &'a mut Catalog,
        encoder: &'a mut dyn Encoder,
        space: StoredSpace,
        options: &ReindexOptions,
        progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Self> {
        let view = catalog.view();
        let count = |modality| -> Result<Count> {
            let n_done = view.n_embeddings(space.id, modality, 0)?;
            Ok(Count { n_done, n_total: view.n_contents(modality)? })
        };
        let (images, texts) = (count(Modality::Image)?, count(Modality::Text)?);
        let (limits, external) = (options.limits, options.external_decoder.clone());
        let pool = Pool::start(Preparation::new(encoder, limits, external));
        let absent = Absent::default();
        Ok(Self { catalog, encoder, space, limits, pool, images, texts, absent, progress })
    }

    /// Reads and encodes everything that the space lacks, a transaction a batch.
    pub(super) fn run(mut self) -> Result<Filled> {
        let (n_images, n_texts) = (self.images.n_done, self.texts.n_done);
        self.files()?;
        for tar in self.catalog.view().tars_lacking(self.space.id)? {
            self.members(&tar)?;
        }
        self.texts()?;
        let n_images = self.images.n_done - n_images;
        let n_texts = self.texts.n_done - n_texts;
        Ok(Filled { n_images, n_texts, left_out: self.left_out()? })
    }

    fn files(&mut self) -> Result<()> {
        let mut after = ItemId(0);
        loop {
            let page =
                self.catalog.view().items_lacking(self.space.id, Lacking::Files, after, PAGE)?;
            let Some(last) = page.last() else { return self.drain() };
            after = last.item.id;
            for StoredItem { item, scan, .. } in page {
                self.feed(Job {
                    source: item.source,
                    scan,
                    size_bytes: item.size_bytes,
                    modified_ns: item.modified_ns,
                    input: Input::File,
                    known_failure: None,
                })?;
            }
        }
    }

    fn members(&mut self, tar: &Path) -> Result<()> {
        let members = self.catalog.view().members_lacking(self.space.id, tar)?;
        let members: HashSet<PathBuf> = members.into_iter().collect();
        let (limits, wanted) = (self.limits, |name: &Path, _| members.contains(name));
        let read = media::tar_members(tar, &limits, wanted, |member| match member {
            Ok(member) => self.feed(member_job(tar, 0, member)),
            Err(skipped) if skipped.path == tar => {
                self.absent.damaged.insert(tar.into(), skipped.reason);
                Ok(())
            }
            Err(skipped) => self.feed(skipped_job(tar, 0, skipped)),
        });
        match read {
            Ok(()) => {}
            Err(error @ (Error::Io { .. } | Error::BadInput { .. })) => {
                self.absent.damaged.insert(tar.into(), error.to_string());
            }
            Err(error) => return Err(error),
        }
        self.drain()
    }

    fn texts(&mut self) -> Result<()> {
        let mut after = ItemId(0);
        loop {
            let n = captions::BATCH;
            let page =
                self.catalog.view().items_lacking(self.space.id, Lacking::Texts, after, n)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.item.id;
            let mut texts: HashMap<ContentHash, String> = HashMap::new();
            for StoredItem { item, .. } in page {
                if let (Some(hash), Some(text)) = (item.content_hash, item.text) {
                    texts.insert(hash, text);
                }
            }
            let (hashes, texts): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            self.texts.n_done += self.commit(Modality::Text, &hashes, &texts, encode_each_text)?;
            self.tell(Stage::Texts, self.texts)?;
        }
    }

    /// Hands a picture in; commits a batch when enough are waiting.
    fn feed(&mut self, job: Job) -> Result<()> {
        while self.pool.is_full() {
            self.commit_pictures()?;
        }
        self.pool.submit(job);
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        while self.pool.n_waiting() > 0 {
            self.commit_pictures()?;
        }
        Ok(())
    }

    fn commit_pictures(&mut self) -> Result<()> {
        let (mut hashes, mut squares) = (Vec::new(), Vec::new());
        for _ in 0..pictures::BATCH {
            let Some(picture) = self.pool.take() else { break };
            match (picture.outcome, picture.content_hash) {
                (Outcome::Ready { square, .. }, Some(hash)) => {
                    if !hashes.contains(&hash) && self.lacks(hash)? {
                        hashes.push(hash);
                        squares.push(square);
                    }
                }
                (Outcome::Failed(reason), _) => {
                    self.absent.unread.insert(picture.source, reason);
                }
                (Outcome::Vanished | Outcome::Ready { .. }, _) => {
                    self.absent.unread.insert(picture.source, "its file is gone".into());
                }
            }
        }
        self.images.n_done += self.commit(Modality::Image, &hashes, &squares, encode_each_image)?;
        self.tell(Stage::Images, self.images)
    }

    /// Whether this content is an item's and has no embedding yet. A file that has changed may hold another one.
    fn lacks(&self, hash: ContentHash) -> Result<bool> {
        let view = self.catalog.view();
        Ok(view.content_is_live(Modality::Image, hash)?
            && !view.has_embedding(self.space.id, Modality::Image, hash)?)
    }

    /// Encodes contents and makes their embeddings durable; how many there are.
    fn commit<T>(
        &mut self,
        modality: Modality,
        hashes: &[ContentHash],
        inputs: &[T],
        encode_each: impl Fn(&mut dyn Encoder, &[T]) -> Result<Outcomes>,
    ) -> Result<u64> {
        if inputs.is_empty() {
            return Ok(0);
        }
        let mut n_added = 0;
        let outcomes = encode_each(self.encoder, inputs)?;
        let mut batch = self.catalog.batch()?;
        for (&hash, outcome) in hashes.iter().zip(outcomes) {
            match outcome {
                Ok(embedding) => {
                    batch.add_embedding(self.space.id, modality, hash, embedding)?;
                    n_added += 1;
                }
                Err(reason) => {
                    self.absent.refused.insert((modality, hash), reason);
                }
            }
        }
        batch.commit()?;
        Ok(n_added)
    }

    fn tell(&mut self, stage: Stage, count: Count) -> Result<()> {
        let Count { n_done, n_total } = count;
        match (self.progress)(&Progress { stage, n_done, n_total: Some(n_total) }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    fn left_out(self) -> Result<Vec<LeftOut>> {
        let items = self.catalog.view().items_lacking(
            self.space.id,
            Lacking::All,
            ItemId(0),
            usize::MAX,
        )?;
        Ok(items.into_iter().map(|item| self.absent.left_out(item)).collect())
    }
}

impl Absent {
    fn left_out(&self, item: StoredItem) -> LeftOut {
        let content = item.item.content_hash.map(|hash| (item.item.modality, hash));
        if let Some(reason) = content.and_then(|content| self.refused.get(&content)) {
            return LeftOut { item, reason: reason.clone(), is_refused: true };
        }
        let source = &item.item.source;
        let reason = self.unread.get(source).cloned().unwrap_or_else(|| match source {
            Source::File { .. } => "its file has changed since it was indexed".into(),
            Source::TarMember { tar, .. } => self.damaged.get(tar).cloned().unwrap_or_else(|| {
                "it is not in its archive any more, or has changed since it was indexed".into()
            }),
            Source::ManifestRow { .. } | Source::Inline { .. } => {
                "an app handed it over and the library does not keep pictures; add it again".into()
            }
        });
        LeftOut { item, reason, is_refused: false }
    }
}
