//! `check`: whether everything that must hold of a library holds. It only reads.

use std::fmt;

use super::Library;
use super::snapshots::Snapshots;
use crate::catalog::StoredSpace;
use crate::error::Result;
use crate::item::Modality;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: a file of the library.
    pub place: String,
    /// What, naming the row or section.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl Library {
    /// Reads every row and every byte of the snapshots; empty if all is well.
    ///
    /// # Errors
    /// [`crate::Error::Catalog`] if the catalog cannot be read at all.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let view = self.catalog.view();
        let space = view.space()?;
        let spaces: Vec<StoredSpace> =
            view.other_spaces()?.into_iter().chain(space.clone()).collect();
        let mut reasons = view.integrity()?;
        reasons.extend(view.wrong_small_rows()?);
        view.each_item(|item| reasons.extend(item.err()))?;
        view.each_tag(|tag| reasons.extend(tag.err()))?;
        view.each_description(|description| reasons.extend(description.err()))?;
        view.each_embedding_of_all(|embedding| {
            match embedding {
                Err(reason) => reasons.push(reason),
                Ok(stored) => {
                    let space = spaces.iter().find(|space| space.id == stored.space);
                    let (found, key) = (stored.embedding.dim(), stored.key);
                    if space.is_none_or(|space| space.dim != found) {
                        reasons.push(format!("embedding {key}: {found} dimensions"));
                    }
                }
            }
            Ok(())
        })?;
        for id in view.embeddings_without_item()? {
            reasons.push(format!("embedding {id}: no item needs it"));
        }
        for modality in Modality::ALL {
            for id in view.wrong_words(modality)? {
                reasons.push(format!("item {id}: words find it otherwise than they should"));
            }
            if let Some(space) = &space {
                reasons.extend(view.background(space.id, modality).err().map(|it| it.to_string()));
            }
        }
        if let Some(space) = &space {
            for id in view.items_without_embedding(space.id)? {
                reasons.push(format!("item {id}: it has no embedding"));
            }
        }
        let place = self.catalog.path().display().to_string();
        let of_catalog = |reason| Finding { place: place.clone(), reason };
        let mut findings: Vec<Finding> = reasons.into_iter().map(of_catalog).collect();
        if let Some(space) = space {
            findings.extend(self.check_snapshots(&space)?);
        }
        Ok(findings)
    }

    fn check_snapshots(&self, space: &StoredSpace) -> Result<Vec<Finding>> {
        let generation = self.catalog.view().generation()?;
        let mut snapshots = Snapshots::new(&self.dir);
        let mut findings = Vec::new();
        for modality in Modality::ALL {
            let reason = match snapshots.current(space, modality, generation) {
                Ok(None) => None,
                Ok(Some(snapshot)) => snapshot.verify().err().map(|error| error.to_string()),
                Err(reason) => Some(reason),
            };
            let place = format!("the snapshot of {}s", modality.name());
            findings.extend(reason.map(|reason| Finding { place, reason }));
        }
        Ok(findings)
    }
}
