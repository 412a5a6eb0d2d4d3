//! The derived files: which snapshots are current, opening them with suspicion, and writing new ones.
//!
//! `CURRENT` names the snapshot of each modality. Whatever is wrong with it or with a snapshot is a reason to
//! search without, never an error.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable;
use crate::catalog::{StoredSpace, remove_if_there};
use crate::error::{Error, Result, io_at};
use crate::index::Snapshot;
use crate::item::Modality;

const CURRENT: &str = "CURRENT";

/// The snapshots of a library, opened when they are first needed.
pub(super) struct Snapshots {
    dir: PathBuf,
    open: BTreeMap<Modality, (String, Snapshot)>,
    /// What was said already.
    told: Vec<String>,
    /// Files that were found to be damaged after they were opened, and how.
    condemned: BTreeMap<String, String>,
}

/// What `CURRENT` says, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Current {
    version: u32,
    /// File names by the name of their modality.
    snapshots: BTreeMap<String, String>,
}

impl Snapshots {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.into(),
            open: BTreeMap::new(),
            told: Vec::new(),
            condemned: BTreeMap::new(),
        }
    }

    /// The snapshot of a modality; `Ok(None)` if there is none.
    ///
    /// # Errors
    /// The reason why there is one and it cannot be used.
    pub(super) fn current(
        &mut self,
        space: &StoredSpace,
        modality: Modality,
        generation: u64,
    ) -> std::result::Result<Option<&Snapshot>, String> {
        let Some(name) = self.name_of(modality)? else {
            self.open.remove(&modality);
            return Ok(None);
        };
        if let Some(reason) = self.condemned.get(&name) {
            return Err(reason.clone());
        }
        let is_open = self.open.get(&modality).is_some_and(|(open, _)| *open == name);
        if !is_open {
            let path = self.dir.join(&name);
            let snapshot = Snapshot::open(&path).map_err(|error| error.to_string())?;
            self.open.insert(modality, (name.clone(), snapshot));
        }
        let Some((_, snapshot)) = self.open.get(&modality) else { return Ok(None) };
        let meta = snapshot.meta();
        let fits = (meta.fingerprint.as_str(), meta.modality, meta.dim)
            == (space.fingerprint.as_str(), modality, space.dim);
        if !fits || meta.generation > generation {
            return Err(format!("{name} does not belong to this catalog"));
        }
        Ok(Some(snapshot))
    }

    /// The same, with the reason turned into a warning that is given once.
    pub(super) fn current_or_warn(
        &mut self,
        space: &StoredSpace,
        modality: Modality,
        generation: u64,
        warnings: &mut Vec<String>,
    ) -> Option<&Snapshot> {
        // Asked twice because a borrow that is returned cannot be given up on the other path.
        if let Err(reason) = self.current(space, modality, generation) {
            self.open.remove(&modality);
            let warning = format!("searching without a snapshot until the next `index`: {reason}");
            if !self.told.contains(&warning) {
                self.told.push(warning.clone());
                warnings.push(warning);
            }
            return None;
        }
        self.open.get(&modality).map(|(_, snapshot)| snapshot)
    }

    /// The snapshot of a modality, if [`Snapshots::current`] has opened it.
    pub(super) fn opened(&self, modality: Modality) -> Option<&Snapshot> {
        self.open.get(&modality).map(|(_, snapshot)| snapshot)
    }

    /// Searches without the open snapshot of a modality from now on, until there is another.
    pub(super) fn condemn(&mut self, modality: Modality, reason: String) {
        if let Some((name, _)) = self.open.remove(&modality) {
            self.condemned.insert(name, reason);
        }
    }

    /// The bytes of the list, to see whether it is the same later; `None` if there are none.
    pub(super) fn list(&self) -> Option<Vec<u8>> {
        crate::error::read(&self.dir.join(CURRENT)).ok()
    }

    /// Snapshot files that the list does not name; `None` if there is no good list.
    pub(super) fn unnamed(&self) -> Option<Vec<String>> {
        let current = self.read().ok()?;
        let mut files = self.files();
        files.retain(|file| !current.snapshots.values().any(|name| name == file));
        Some(files)
    }

    /// The files that may be the snapshot of a modality of a space, the newest first.
    pub(super) fn candidates(&self, space: &StoredSpace, modality: Modality) -> Vec<String> {
        let prefix = format!("snapshot-{}-{}-", space.id.0, modality.name());
        let generation = |name: &String| -> Option<u64> {
            name.strip_prefix(&prefix)?.strip_suffix(".mms")?.parse().ok()
        };
        let mut files = self.files();
        files.retain(|name| generation(name).is_some());
        files.sort_by_key(|name| std::cmp::Reverse(generation(name)));
        files
    }

    /// Whether the snapshot that is open is still the one that is named.
    pub(super) fn is_current(&self, modality: Modality) -> bool {
        let open = self.open.get(&modality).map(|(name, _)| name);
        self.name_of(modality).is_ok_and(|name| name.as_ref() == open)
    }

    fn name_of(&self, modality: Modality) -> std::result::Result<Option<String>, String> {
        let path = self.dir.join(CURRENT);
        if !path.try_exists().map_err(|error| error.to_string())? {
            // A library that was only ever added to one by one has no snapshot, and misses none.
            return match self.files().is_empty() {
                true => Ok(None),
                false => Err(format!("{} is missing", path.display())),
            };
        }
        let current = self.read().map_err(|reason| format!("{}: {reason}", path.display()))?;
        Ok(current.snapshots.get(modality.name()).cloned())
    }

    fn read(&self) -> std::result::Result<Current, String> {
        let bytes =
            crate::error::read(&self.dir.join(CURRENT)).map_err(|error| error.to_string())?;
        let current: Current =
            serde_json::from_slice(&bytes).map_err(|error| format!("it is damaged: {error}"))?;
        let is_plain = |name: &String| is_snapshot_name(name) && !name.contains('/');
        let is_modality = |key: &String| Modality::ALL.iter().any(|it| it.name() == key);
        let is_sound =
            current.snapshots.keys().all(is_modality) && current.snapshots.values().all(is_plain);
        match current.version == 1 && is_sound {
            true => Ok(current),
            false => Err("it is damaged or from another version".into()),
        }
    }

    /// Makes files the current snapshots of their modalities, or none; then removes the files that no one names.
    pub(super) fn publish(&mut self, changes: Vec<(Modality, Option<String>)>) -> Result<()> {
        let mut current = match self.read() {
            Ok(current) => current,
            Err(_) => {
                self.require_readable()?;
                self.read().unwrap_or_default()
            }
        };
        current.version = 1;
        for (modality, name) in changes {
            current.snapshots.remove(modality.name());
            current.snapshots.extend(name.map(|name| (modality.name().into(), name)));
            self.open.remove(&modality);
        }
        let json = serde_json::to_vec(&current).expect("strings can be written as JSON");
        durable::replace(&self.dir.join(CURRENT), &json)?;
        self.told.clear();
        self.condemned.clear();
        self.remove_unnamed(&current)
    }

    /// A list that the system does not give may be right; one in its place would lose what it names.
    fn require_readable(&self) -> Result<()> {
        match crate::error::read(&self.dir.join(CURRENT)) {
            Err(Error::Io { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(()),
            read => read.map(|_| ()),
        }
    }

    /// Makes sure that there is a list, so that a file that is not in it is not taken for one that lost its list.
    pub(super) fn require_list(&mut self) -> Result<()> {
        let path = self.dir.join(CURRENT);
        match path.try_exists().map_err(io_at("look at", &path))? {
            true => Ok(()),
            false => self.publish(Vec::new()),
        }
    }

    /// Removes what an interrupted run wrote and never made current.
    pub(super) fn tidy(&self) -> Result<()> {
        match self.read() {
            Ok(current) => self.remove_unnamed(&current),
            // Without a list nobody can say which files are of use; the next snapshot makes a new one.
            Err(_) => Ok(()),
        }
    }

    /// Removes every derived file, which must be done before another catalog takes the place of theirs.
    pub(super) fn remove_all(&mut self) -> Result<()> {
        self.open.clear();
        // The list goes last: without it, files would be taken for ones that lost theirs.
        for file in self.files().into_iter().chain([CURRENT.into()]) {
            remove_if_there(&self.dir.join(file))?;
        }
        Ok(())
    }

    fn remove_unnamed(&self, current: &Current) -> Result<()> {
        let mut removed = None;
        for file in self.files() {
            if !current.snapshots.values().any(|name| *name == file) {
                let path = self.dir.join(&file);
                fs::remove_file(&path).map_err(io_at("remove", &path))?;
                removed = Some(path);
            }
        }
        // What was forgotten shall not come back with a power cut.
        removed.map_or(Ok(()), |path| durable::sync_dir_of(&path))
    }

    /// Snapshot files in the directory, and what a crash left of one.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| is_snapshot_name(name)).collect()
    }
}

fn is_snapshot_name(name: &str) -> bool {
    name.starts_with("snapshot-") && (name.ends_with(".mms") || name.ends_with(".tmp"))
}
