//! `similar`: the neighbours of an item that is in the library, by the embedding that it has there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::roots::absolute;
use super::{Library, public};
use crate::embedding::Embedding;
use crate::encoder::{Encoder, FakeEncoder, Logit, Preprocess, Space};
use crate::error::{Error, Result};
use crate::item::{Item, ItemId, Source};
use crate::pixels::Pixels;
use crate::query::{Hit, MAX_K, Query, Target, Term};

impl Library {
    /// The embedding of an item; `None` if there is no such item, or it could not be encoded.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a row is damaged, [`Error::Catalog`].
    pub fn embedding_of(&self, id: ItemId) -> Result<Option<Embedding>> {
        let view = self.catalog.view();
        let (Some(space), Some(stored)) = (view.space()?, view.item(id)?) else { return Ok(None) };
        let Some(content_hash) = stored.item.content_hash else { return Ok(None) };
        let found = view.embedding_of(space.id, stored.item.modality, content_hash)?;
        Ok(found.map(|stored| stored.embedding))
    }

    /// The item of a file, or of a tar's member in the form `archive.tar!member`. The file need not exist any more.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if its row is damaged, [`Error::Catalog`]; [`Error::Io`] without a current directory.
    pub fn item_at(&self, path: &Path) -> Result<Option<Item>> {
        let view = self.catalog.view();
        if let Some(stored) = view.item_at(&Source::File { path: absolute(path)? })? {
            return Ok(Some(stored.item));
        }
        let bytes = path.as_os_str().as_bytes();
        let marks = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'!');
        for (place, _) in marks {
            let tar = absolute(Path::new(OsStr::from_bytes(&bytes[..place])))?;
            let member = OsStr::from_bytes(&bytes[place + 1..]).into();
            if let Some(stored) = view.item_at(&Source::TarMember { tar, member })? {
                return Ok(Some(stored.item));
            }
        }
        Ok(None)
    }

    /// The items nearest to one of the library, best first and without itself; no encoder is needed.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such item or it has no embedding; [`Error::BadQuery`] for k outside
    /// 1..=9,999; [`Error::Catalog`].
    pub fn similar(&mut self, id: ItemId, to: Target, k: usize) -> Result<Vec<Hit>> {
        if k == 0 || k >= MAX_K {
            let reason = format!("k is {k}, but must be 1 to {}", MAX_K - 1);
            return Err(Error::BadQuery { reason });
        }
        loop {
            let Some(space) = self.space()? else { return Err(self.without_embedding(id)) };
            let embedding = self.embedding_of(id)?.ok_or_else(|| self.without_embedding(id))?;
            // One more than is wanted, since the item is the nearest to itself.
            let query = Query { term: Term::Embedding(embedding), ..Query::text("") };
            let found = self.search(&mut Spaceholder::new(space.clone()), &query.to(to).k(k + 1));
            if self.catalog.view().space()?.map(public).as_ref() != Some(&space) {
                // The model was changed meanwhile, and the item has another embedding now.
                continue;
            }
            let mut hits = found?;
            hits.retain(|hit| hit.item.id != id);
            hits.truncate(k);
            return Ok(hits);
        }
    }

    fn without_embedding(&self, id: ItemId) -> Error {
        Error::NotFound { what: format!("an embedding of item {id}"), library: self.dir.clone() }
    }
}

/// Stands where a search asks for an encoder, when there is nothing to encode: all it knows is the library's space.
struct Spaceholder {
    space: Space,
    /// For what is never asked.
    rest: FakeEncoder,
}

impl Spaceholder {
    fn new(space: Space) -> Self {
        Self { space, rest: FakeEncoder::default() }
    }

    fn refuse() -> Result<Vec<Embedding>> {
        Err(Error::Encoder { reason: "there was nothing to encode".into() })
    }
}

impl Encoder for Spaceholder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn preprocess(&self) -> &Preprocess {
        self.rest.preprocess()
    }

    fn logit(&self) -> &Logit {
        self.rest.logit()
    }

    fn encode_images(&mut self, _pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        Self::refuse()
    }

    fn encode_texts(&mut self, _texts: &[&str]) -> Result<Vec<Embedding>> {
        Self::refuse()
    }

    fn reads_whole(&mut self, _text: &str) -> Result<bool> {
        Ok(true)
    }
}
