//! Images with their captions, for training and measuring.

use std::collections::{BTreeMap, HashSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use super::manifest::{RowResult, json_rows, read_manifest};
use super::store::Store;
use super::{Kind, Limits, decode, in_parallel, kind_of_name};
use crate::error::{Error, Result};
use crate::pixels::{Detail, Pixels};

/// Names of a manifest that is looked for inside a directory or a tar.
const MANIFEST: &str = "captions.jsonl";

/// An image and the texts that describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Its name in the directory or tar.
    pub image: PathBuf,
    /// Sentences, none empty, none twice; none at all only where there is a label.
    pub captions: Vec<String>,
    /// The class it belongs to, where the manifest says so.
    pub label: Option<String>,
}

/// Images with captions; the pictures are read when asked for.
#[derive(Debug)]
pub struct Pairs {
    store: Store,
    limits: Limits,
    pairs: Vec<Pair>,
    /// Rows that were passed over, by reason.
    pub skipped: BTreeMap<String, usize>,
}

/// Where pairs are.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairSource {
    /// A manifest (`.jsonl`, `.jsonl.gz`, `.csv`), or a directory or tar with a `captions.jsonl` or with a text file
    /// `NAME.txt` beside each image, one caption a line.
    pub captions: PathBuf,
    /// Directory or tar of the images; where the captions are if `None`.
    pub images: Option<PathBuf>,
    /// Only rows of this part of the data set; all if `None`.
    pub split: Option<String>,
}

impl PairSource {
    /// The same source with its paths below a directory.
    pub fn below(&self, root: &Path) -> Self {
        Self {
            captions: root.join(&self.captions),
            images: self.images.as_ref().map(|images| root.join(images)),
            split: self.split.clone(),
        }
    }
}

impl Pairs {
    /// Reads the captions and notes where the images are; a row that cannot be used is counted, not fatal.
    ///
    /// # Errors
    /// [`Error::BadInput`] if nothing usable is there; [`Error::Io`] if a file cannot be read.
    pub fn open(source: &PairSource, limits: Limits) -> Result<Self> {
        let is_manifest =
            source.captions.is_file() && kind_of_name(&source.captions) == Some(Kind::Manifest);
        let here = if is_manifest {
            source.captions.parent().unwrap_or(Path::new("."))
        } else {
            &source.captions
        };
        let store = Store::open(source.images.as_deref().unwrap_or(here))?;
        let mut pairs = Self { store, limits, pairs: Vec::new(), skipped: BTreeMap::new() };
        let wanted = source.split.as_deref();
        if is_manifest {
            pairs.take_rows(read_manifest(&source.captions)?, wanted);
        } else {
            let beside = Store::open(&source.captions)?;
            if beside.contains(Path::new(MANIFEST)) {
                let bytes = beside.read(Path::new(MANIFEST), &pairs.limits)?;
                pairs.take_rows(json_rows(Cursor::new(bytes)), wanted);
            } else {
                pairs.take_sidecars(&beside)?;
            }
        }
        if pairs.pairs.is_empty() {
            let why: Vec<String> =
                pairs.skipped.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
            let split = wanted.map_or(String::new(), |split| format!(" of split `{split}`"));
            let reason = format!("no image with a caption{split} ({})", why.join(", "));
            return Err(Error::BadInput { path: source.captions.clone(), reason });
        }
        Ok(pairs)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Never true: opening nothing is an error.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The images and their captions, in the manifest's order.
    pub fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter()
    }

    /// Reads and decodes the image of a pair.
    ///
    /// # Errors
    /// [`Error::BadImage`] or [`Error::Io`] naming the image.
    pub fn pixels(&self, i: usize, detail: Detail) -> Result<Pixels> {
        let image = &self.pairs[i].image;
        let bytes = self.store.read(image, &self.limits)?;
        let decoded = decode(&bytes, &self.limits, detail);
        decoded
            .map(|decoded| decoded.pixels)
            .map_err(|reason| Error::BadImage { path: image.clone(), reason })
    }

    /// Leaves out pairs, after their images turned out to be unreadable.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.pairs.retain(|_| *keep.next().unwrap_or(&true));
    }

    /// Leaves out images without a caption, which a label alone does not make trainable.
    pub fn drop_uncaptioned(&mut self) {
        let n_before = self.pairs.len();
        self.pairs.retain(|pair| !pair.captions.is_empty());
        (self.pairs.len()..n_before).for_each(|_| self.skip("images have no caption"));
    }

    /// Leaves out images without a label.
    pub fn drop_unlabelled(&mut self) {
        let n_before = self.pairs.len();
        self.pairs.retain(|pair| pair.label.is_some());
        (self.pairs.len()..n_before).for_each(|_| self.skip("images have no label"));
    }

    /// Reads every image once and leaves out those that cannot be read.
    pub fn drop_unreadable(&mut self) {
        let readable: &Self = self;
        let keep = in_parallel(self.len(), |i| readable.pixels(i, Detail::Full).is_ok());
        self.retain(&keep);
        keep.iter().filter(|kept| !**kept).for_each(|_| self.skip("images cannot be read"));
    }

    fn take_rows(&mut self, rows: impl Iterator<Item = RowResult>, split: Option<&str>) {
        let mut by_image: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for row in rows {
            let row = match row {
                Ok(row) => row,
                Err((_line, reason)) => {
                    self.skip(&reason);
                    continue;
                }
            };
            if split.is_some() && row.split.as_deref() != split {
                continue;
            }
            if !self.store.contains(&row.image) {
                self.skip("images are missing");
                continue;
            }
            let at = *by_image.entry(row.image.clone()).or_insert_with(|| {
                self.pairs.push(Pair { image: row.image, captions: Vec::new(), label: row.label });
                self.pairs.len() - 1
            });
            self.pairs[at].captions.extend(row.captions);
        }
        self.tidy();
    }

    fn take_sidecars(&mut self, beside: &Store) -> Result<()> {
        for image in self.store.names()? {
            let text = image.with_extension("txt");
            if kind_of_name(&image) != Some(Kind::Image) || !beside.contains(&text) {
                continue;
            }
            let bytes = beside.read(&text, &self.limits)?;
            let captions = String::from_utf8_lossy(&bytes).lines().map(str::to_string).collect();
            self.pairs.push(Pair { image, captions, label: None });
        }
        self.tidy();
        Ok(())
    }

    /// Drops empty and repeated captions, and images that are left without any text.
    fn tidy(&mut self) {
        let mut pairs = std::mem::take(&mut self.pairs);
        for pair in &mut pairs {
            let mut seen = HashSet::new();
            let captions = std::mem::take(&mut pair.captions);
            for caption in captions {
                let caption = caption.trim();
                if caption.is_empty() {
                    self.skip("captions are empty");
                } else if seen.insert(caption.to_string()) {
                    pair.captions.push(caption.to_string());
                } else {
                    self.skip("captions stand twice");
                }
            }
        }
        let n_before = pairs.len();
        pairs.retain(|pair| !pair.captions.is_empty() || pair.label.is_some());
        (pairs.len()..n_before).for_each(|_| self.skip("images have no caption"));
        self.pairs = pairs;
    }

    fn skip(&mut self, reason: &str) {
        *self.skipped.entry(reason.to_string()).or_default() += 1;
    }
}

/// Groups of sentences that say the same, out of a manifest: the captions of one picture.
///
/// # Errors
/// As [`read_manifest`]. Rows that cannot be used are passed over.
pub fn paraphrases(manifest: &Path) -> Result<Vec<Vec<String>>> {
    let mut groups: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for row in read_manifest(manifest)?.flatten() {
        groups.entry(row.image).or_default().extend(row.captions);
    }
    let groups: Vec<_> = groups.into_values().filter(|captions| captions.len() > 1).collect();
    if groups.is_empty() {
        let reason = "no picture with two captions, so there are no paraphrases".into();
        return Err(Error::BadInput { path: manifest.to_path_buf(), reason });
    }
    Ok(groups)
}
