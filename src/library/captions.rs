//! Manifests of captions: each caption is a text item that is linked to its image.
//!
//! A manifest is read twice: for the pictures beside it that are new, then for its captions. The image of a row
//! is a file relative to the manifest's directory, or a member of an indexed tar that lies in that directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Stage;
use super::busy::timed;
use super::plan::{self, Reading};
use super::report::Report;
use super::roots::{is_gone, regular_file};
use super::run::Run;
use super::tars::{container, is_as_it_was};
use super::write::{Encoded, Writer, text_item};
use crate::catalog::ContainerKind;
use crate::encoder::each::encode_each_text;
use crate::error::Result;
use crate::item::{Item, ItemId, Modality, Source};
use crate::media::{self, Entry, Kind, Row};

/// Texts of one batch: one call of the encoder, one transaction.
pub(super) const BATCH: usize = 64;

/// Which rows of a manifest could not be used.
#[derive(Default)]
struct Unused {
    /// Rows whose image is in neither place.
    n_without_image: u64,
    /// Lines that cannot be understood.
    n_bad: u64,
    /// A damage hid the rows behind it.
    ended_early: bool,
    first_bad: Option<String>,
}

impl Run<'_> {
    /// Brings the library in line with a manifest, and with the pictures that it names.
    pub(super) fn index_manifest(&mut self, manifest: &Entry) -> Result<()> {
        let path = &manifest.path;
        let known = self.catalog.view().container(path)?;
        let retry = self.has_failures(known.as_ref())?;
        let reading =
            plan::reading(manifest.size_bytes, manifest.modified_ns, known.as_ref(), retry);
        let scan = match reading {
            Reading::Nothing => {
                return self.keep_manifest(path, known.and_then(|known| known.reason));
            }
            Reading::Resume { scan } | Reading::Anew { scan } => scan,
        };
        let opened = media::open_regular(path);
        let stat = match opened.and_then(|(_, stat)| media::read_manifest(path).map(|_| stat)) {
            Ok(stat) => stat,
            Err(error) => {
                self.report.skipped.push(path, error.to_string());
                return Ok(());
            }
        };
        let mut container = container(path, ContainerKind::Manifest, &stat, scan);
        self.set_container(&container)?;
        self.index_images_of(path)?;
        let unused = self.index_captions_of(path, scan)?;
        if !unused.ended_early {
            // What lies behind a damage may be good in the next version, so nothing is forgotten then.
            self.remove_before_scan(path, scan)?;
        }
        container.reason = unused.bad_lines();
        container.complete = unused.n_without_image == 0 && is_as_it_was(path, &stat);
        unused.tell(path, &mut self.report);
        self.set_container(&container)
    }

    fn keep_manifest(&mut self, manifest: &Path, reason: Option<String>) -> Result<()> {
        self.report.texts.unchanged += self.catalog.view().n_items_in(manifest)?;
        if let Some(reason) = reason {
            self.report.skipped.push(manifest, reason);
        }
        Ok(())
    }

    /// Indexes the pictures beside the manifest that are new or changed.
    fn index_images_of(&mut self, manifest: &Path) -> Result<()> {
        for row in media::read_manifest(manifest)?.filter_map(std::result::Result::ok) {
            self.n_texts.n_total += row.captions.len() as u64;
            let Some(entry) = file_of(manifest, &row.image).and_then(|path| regular_file(&path))
            else {
                continue;
            };
            let is_picture = matches!(entry.kind, Kind::Image | Kind::Unsupported);
            if is_picture && self.seen.insert(entry.path.clone()) {
                self.index_file(entry)?;
            }
        }
        self.drain()
    }

    fn index_captions_of(&mut self, manifest: &Path, scan: i64) -> Result<Unused> {
        let mut unused = Unused::default();
        let mut waiting = Vec::with_capacity(BATCH);
        for row in media::read_manifest(manifest)? {
            let row = match row {
                Ok(row) => row,
                Err((line, reason)) => {
                    unused.ended_early |= reason.ends_with(media::NOT_READ_ON);
                    unused.n_bad += 1;
                    unused.first_bad.get_or_insert_with(|| format!("line {line}: {reason}"));
                    continue;
                }
            };
            let Some(image) = self.image_of(manifest, &row.image)? else {
                unused.n_without_image += 1;
                self.n_texts.n_done += row.captions.len() as u64;
                continue;
            };
            for item in captions(manifest, row, image) {
                if self.is_known(&item, scan)? {
                    self.report.texts.unchanged += 1;
                    self.n_texts.n_done += 1;
                    continue;
                }
                waiting.push(item);
                if waiting.len() == BATCH {
                    self.commit_texts(std::mem::take(&mut waiting), scan)?;
                }
            }
        }
        self.commit_texts(waiting, scan)?;
        Ok(unused)
    }

    /// The item that a row describes.
    fn image_of(&self, manifest: &Path, image: &Path) -> Result<Option<ItemId>> {
        let view = self.catalog.view();
        if let Some(path) = file_of(manifest, image) {
            let item = view.item_at(&Source::File { path: path.clone() })?;
            if let Some(stored) = item.filter(|_| !is_gone(&path)) {
                return Ok(Some(stored.item.id));
            }
        }
        let dir = manifest.parent().unwrap_or(manifest);
        Ok(view.tar_members_named(dir, image)?.first().map(|stored| stored.item.id))
    }

    /// Whether this reading of the manifest has written the text already.
    fn is_known(&self, item: &Item, scan: i64) -> Result<bool> {
        let known = self.catalog.view().item_at(&item.source)?;
        Ok(known.is_some_and(|known| {
            known.scan == scan && known.item == Item { id: known.item.id, ..item.clone() }
        }))
    }

    fn commit_texts(&mut self, items: Vec<Item>, scan: i64) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let (encoded, n_texts) = (self.encode_texts(&items)?, items.len() as u64);
        let report = self.report.clone();
        let began = Instant::now();
        let mut writer = Writer::new(self.catalog.batch()?, self.space.id, encoded, report);
        for item in items {
            writer.put(item, scan)?;
        }
        self.report = writer.commit()?;
        self.report.busy.write += began.elapsed();
        self.n_texts.n_done += n_texts;
        let (n_done, n_total) = (self.n_texts.n_done, self.n_texts.n_total);
        self.tell(Stage::Texts, n_done, Some(n_total.max(n_done)))
    }

    /// Encodes each text of the batch once, unless the catalog has it already.
    fn encode_texts(&mut self, items: &[Item]) -> Result<Encoded> {
        let mut texts = BTreeMap::new();
        for item in items {
            let (Some(hash), Some(text)) = (item.content_hash, &item.text) else { continue };
            if !self.catalog.view().has_embedding(self.space.id, Modality::Text, hash)? {
                texts.insert(hash, text.as_str());
            }
        }
        let (hashes, texts): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        let embeddings =
            timed(&mut self.report.busy.encode, || encode_each_text(self.encoder, &texts))?;
        Ok(hashes.into_iter().zip(embeddings).collect())
    }
}

/// The text items of a row; empty captions say nothing.
fn captions(manifest: &Path, row: Row, image: ItemId) -> Vec<Item> {
    let mut metadata = row.metadata;
    for (key, value) in [("split", row.split), ("label", row.label)] {
        if let Some(value) = value {
            metadata.insert(key.into(), value.into());
        }
    }
    let item = |(i, caption): (usize, &String)| {
        let caption_idx = u32::try_from(i).ok()?;
        let source =
            Source::ManifestRow { manifest: manifest.into(), line: row.line, caption: caption_idx };
        let text = caption.trim();
        let item = text_item(source, text);
        (!text.is_empty()).then(|| Item { image: Some(image), metadata: metadata.clone(), ..item })
    };
    row.captions.iter().enumerate().filter_map(item).collect()
}

/// The absolute path of a picture that a manifest names, with the links in its directory resolved, as a walk
/// would report it; `None` if that directory is not there.
fn file_of(manifest: &Path, image: &Path) -> Option<PathBuf> {
    let path = manifest.parent()?.join(image);
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}

impl Unused {
    fn bad_lines(&self) -> Option<String> {
        let first = self.first_bad.as_ref()?;
        Some(match self.n_bad {
            1 => first.clone(),
            n => format!("{n} lines cannot be used; the first is {first}"),
        })
    }

    fn tell(&self, manifest: &Path, report: &mut Report) {
        if let Some(reason) = self.bad_lines() {
            report.skipped.push_many(self.n_bad, manifest, reason);
        }
        if self.n_without_image > 0 {
            let reason = format!(
                "{} rows name a picture that is neither beside the manifest nor in an indexed tar beside it",
                self.n_without_image
            );
            report.skipped.push_many(self.n_without_image, manifest, reason);
        }
    }
}
