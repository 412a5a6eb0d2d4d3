//! Tags: words to filter by, that a person puts on items, or that their files have as keywords.

use super::forget::Selector;
use super::{Library, roots};
use crate::catalog::TagOrigin;
use crate::error::{Error, Result};
use crate::item::ItemId;
use crate::tag::Tag;

/// Items whose ids are read at a time.
const PAGE: usize = 1_000;

/// What [`Library::tag`] has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tagged {
    /// Tags that nobody had given an item before, over all items; its file may have them as keywords.
    pub n_added: u64,
    /// Tags that an item has no longer, over all items.
    pub n_removed: u64,
}

impl Library {
    /// Puts tags on items and takes others from them, all or nothing. A tag in both lists is on the items
    /// afterwards; what is so already stays so. Tags stay when their item is read again, and go when it is forgotten;
    /// a keyword of its file that was taken off comes back when the file is read again.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an id that is no item's, and nothing is changed; [`Error::Catalog`].
    pub fn tag(&mut self, items: &[ItemId], add: &[Tag], remove: &[Tag]) -> Result<Tagged> {
        self.require_writer()?;
        let mut tagged = Tagged::default();
        let mut batch = self.catalog.batch()?;
        for &item in items {
            if batch.view().item(item)?.is_none() {
                let what = format!("item {item}");
                return Err(Error::NotFound { what, library: self.dir.clone() });
            }
            for tag in remove.iter().filter(|tag| !add.contains(tag)) {
                tagged.n_removed += u64::from(batch.remove_tag(item, tag)?);
            }
            for tag in add {
                tagged.n_added += u64::from(batch.add_tag(item, tag, TagOrigin::User)?);
            }
        }
        batch.commit()?;
        Ok(tagged)
    }

    /// The tags of an item, in the order of their texts; none if there is no such item.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a row is damaged, [`Error::Catalog`].
    pub fn tags_of(&self, item: ItemId) -> Result<Vec<Tag>> {
        let stored = self.catalog.view().tags_of(item)?;
        let mut tags: Vec<Tag> = stored.into_iter().map(|stored| stored.tag).collect();
        // The item's file may say what a person says too.
        tags.dedup();
        Ok(tags)
    }

    /// All tags in the order of their texts, and how many items have each.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub fn tag_counts(&self) -> Result<Vec<(String, u64)>> {
        self.catalog.view().tag_counts()
    }

    /// The ids of the items that a selector selects, in ascending order.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there are none; [`Error::Catalog`].
    pub fn select(&self, selector: &Selector) -> Result<Vec<ItemId>> {
        let view = self.catalog.view();
        let mut ids = Vec::new();
        match selector {
            Selector::Id(id) => ids.extend(view.item(*id)?.map(|stored| stored.item.id)),
            Selector::Path(path) => {
                let path = roots::absolute(path)?;
                loop {
                    let after = ids.last().copied().unwrap_or(ItemId(0));
                    let page = view.items_under(&path, after, PAGE)?;
                    if page.is_empty() {
                        break;
                    }
                    ids.extend(page.into_iter().map(|stored| stored.item.id));
                }
            }
        }
        if ids.is_empty() {
            let (what, library) = (selector.to_string(), self.dir.clone());
            return Err(Error::NotFound { what, library });
        }
        Ok(ids)
    }
}
