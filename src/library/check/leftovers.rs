//! Files in the library's directory that an interrupted run left there.
//!
//! Only names that mmsearch gives are looked at: whatever else somebody put there is theirs.

use std::fs;

use super::super::lock;
use super::{Finding, FindingKind, Library, Snapshots};
use crate::error::{Result, io_at};

impl Library {
    pub(super) fn check_leftovers(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let names = self.leftovers()?;
        // A writer may be about to rename or to name them.
        if names.is_empty() || (self.lock.is_none() && lock::is_held(&self.dir)) {
            return Ok(());
        }
        for name in names {
            let reason = "an interrupted run left it; the next `index` removes it";
            let place = self.dir.join(&name);
            findings.push(Finding::new(FindingKind::Leftover, place.display(), reason));
        }
        Ok(())
    }

    /// The names of files that nobody needs.
    pub(in crate::library) fn leftovers(&self) -> Result<Vec<String>> {
        let mut names = self.temporary_files()?;
        let view = self.catalog.view();
        let filled: Vec<String> = match view.space()? {
            // Snapshots of a space that is being filled are named when it becomes the library's own.
            Some(own) => {
                let others = view.other_spaces()?.into_iter().filter(|space| space.id.0 > own.id.0);
                others.map(|space| format!("snapshot-{}-", space.id.0)).collect()
            }
            None => Vec::new(),
        };
        let unnamed = Snapshots::new(&self.dir).unnamed().unwrap_or_default();
        names.extend(unnamed.into_iter().filter(|name| {
            !name.ends_with(".tmp") && !filled.iter().any(|prefix| name.starts_with(prefix))
        }));
        names.sort();
        Ok(names)
    }

    /// Files that were to be renamed when they were whole.
    pub(in crate::library) fn temporary_files(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir).map_err(io_at("list", &self.dir))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names
            .filter(|name| {
                let is_ours = name.starts_with("snapshot-") || name.starts_with("CURRENT.");
                is_ours && name.ends_with(".tmp") || name.starts_with("catalog.db.new")
            })
            .collect())
    }
}
