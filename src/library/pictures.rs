//! Pictures of any source: handed to the pool, encoded in batches, committed batch by batch.

use std::collections::HashSet;
use std::time::Instant;

use super::Stage;
use super::busy::timed;
use super::plan::{self, Change};
use super::prepare::{Input, Job, Outcome, Prepared};
use super::run::Run;
use super::write::{Encoded, Writer};
use crate::encoder::each::encode_each_image;
use crate::error::Result;
use crate::item::{Metadata, Modality, Source};
use crate::media::{self, Entry, Kind};
use crate::pixels::Pixels;

/// Pictures of one batch: one call of the encoder, one transaction. Half the pool's window must be more, so
/// that threads prepare the next batch meanwhile.
pub(super) const BATCH: usize = 32;

impl Run<'_> {
    /// Pictures that are files of their own, and known to be new or changed.
    pub(super) fn index_files(&mut self, files: Vec<Entry>) -> Result<()> {
        self.n_images.n_total += files.len() as u64;
        for file in files {
            self.feed_file(file)?;
        }
        self.drain()
    }

    /// A picture that is a file of its own; it is read if it is new or changed.
    pub(super) fn index_file(&mut self, file: Entry) -> Result<()> {
        let source = Source::File { path: file.path.clone() };
        let known = self.catalog.view().item_at(&source)?.map(|stored| stored.item);
        let change = plan::file_change(&file, known.as_ref(), self.retry);
        if let (Change::Unchanged, Some(item)) = (change, known) {
            let view = self.catalog.view();
            return self.sidecars.keep_picture(view, &item, &mut self.report);
        }
        self.n_images.n_total += 1;
        self.feed_file(file)
    }

    /// Reads a picture that is a file of its own, though it may be as it was; it is committed with the next batch.
    pub(super) fn read_file(&mut self, file: Entry) -> Result<()> {
        self.n_images.n_total += 1;
        self.feed_file(file)
    }

    fn feed_file(&mut self, file: Entry) -> Result<()> {
        let input = match file.kind {
            Kind::Unsupported if !self.has_external_decoder => {
                Input::Refused(media::no_decoder(&file.path))
            }
            Kind::Image | Kind::Unsupported | Kind::Tar | Kind::Manifest => Input::File,
        };
        self.feed(Job {
            source: Source::File { path: file.path },
            scan: 0,
            size_bytes: file.size_bytes,
            modified_ns: Some(file.modified_ns),
            input,
            known_failure: None,
        })
    }

    /// Hands a picture in; commits a batch when enough are waiting.
    pub(super) fn feed(&mut self, mut job: Job) -> Result<()> {
        let known = self.catalog.view().item_at(&job.source)?.map(|stored| stored.item);
        let known = known.filter(|known| !self.retry.wants(known));
        job.known_failure = known.and_then(|known| plan::known_failure(&known));
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
        let encoded = self.encode_pictures(&prepared)?;
        let sidecars: Vec<_> = prepared
            .iter()
            .map(|picture| self.sidecars.text_of(&picture.source, &mut self.report))
            .collect();
        let (report, began) = (self.report.clone(), Instant::now());
        let mut writer = Writer::new(self.catalog.batch()?, self.space.id, encoded, report);
        for (picture, sidecar) in prepared.into_iter().zip(sidecars) {
            if let Some(id) = writer.put_picture(picture, Metadata::new())? {
                writer.put_sidecar(id, sidecar.as_deref())?;
            }
        }
        self.report = writer.commit()?;
        self.report.busy.write += began.elapsed();
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
            timed(&mut self.report.busy.encode, || encode_each_image(self.encoder, &squares))?;
        Ok(hashes.into_iter().zip(embeddings).collect())
    }
}
