//! `similar`: the neighbours of an item that is in the library, by the embedding that it has there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Library;
use super::roots::absolute;
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::item::{Item, ItemId, Source};
use crate::query::{Hit, Query, Target, Term};

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
    /// 1..=10,000; [`Error::Catalog`].
    pub fn similar(&mut self, id: ItemId, to: Target, k: usize) -> Result<Vec<Hit>> {
        if self.embedding_of(id)?.is_none() {
            let what = format!("an embedding of item {id}");
            return Err(Error::NotFound { what, library: self.dir.clone() });
        }
        let query = Query::new(Term::Item(id)).to(to).k(k);
        Ok(self.explained_without_encoder(&query)?.hits)
    }
}
