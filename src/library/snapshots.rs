//! The derived files: which snapshots are current, opening them with suspicion, and writing new ones.
//!
//! `CURRENT` names the snapshot of each modality. Whatever is wrong with it or with a snapshot is a reason to
//! search without, never an error.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Library, Progress, Stage, durable, plan};
use crate::catalog::{Catalog, StoredSpace};
use crate::error::{Result, io_at};
use crate::index::{self, BuildOptions, NodeVectors, Snapshot, SnapshotMeta};
use crate::item::Modality;

const CURRENT: &str = "CURRENT";

/// The snapshots of a library, opened when they are first needed.
pub(super) struct Snapshots {
    dir: PathBuf,
    open: BTreeMap<Modality, (String, Snapshot)>,
    /// What was said already.
    told: Vec<String>,
}

/// Why a snapshot is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Searching shall be fast: written if it is damaged or too far behind, with a graph where one pays.
    Speed,
    /// Nothing that was forgotten shall be left: written if it holds any of that, without a graph, which may take
    /// minutes to build and is made up for by the next run of `index`.
    Oblivion,
}

/// What `CURRENT` says, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Current {
    version: u32,
    /// File names by the name of their modality.
    snapshots: BTreeMap<String, String>,
}

/// The file of a snapshot that is not published yet.
pub(super) struct Made {
    pub(super) name: String,
    /// The state of the catalog that it holds.
    pub(super) generation: u64,
}

/// The vectors of one modality as they were at one generation.
struct Extract {
    meta: SnapshotMeta,
    keys: Vec<u64>,
    vectors: Vec<f32>,
}

impl Snapshots {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.into(), open: BTreeMap::new(), told: Vec::new() }
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
        match current.version == 1 && current.snapshots.values().all(is_plain) {
            true => Ok(current),
            false => Err("it is damaged or from another version".into()),
        }
    }

    /// Makes files the current snapshots of their modalities, or none; then removes the files that no one names.
    pub(super) fn publish(&mut self, changes: Vec<(Modality, Option<String>)>) -> Result<()> {
        let mut current = self.read().unwrap_or_default();
        current.version = 1;
        for (modality, name) in changes {
            current.snapshots.remove(modality.name());
            current.snapshots.extend(name.map(|name| (modality.name().into(), name)));
            self.open.remove(&modality);
        }
        let json = serde_json::to_vec(&current).expect("strings can be written as JSON");
        durable::replace(&self.dir.join(CURRENT), &json)?;
        self.told.clear();
        self.remove_unnamed(&current)
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

    fn remove_unnamed(&self, current: &Current) -> Result<()> {
        for file in self.files() {
            if !current.snapshots.values().any(|name| *name == file) {
                let path = self.dir.join(&file);
                fs::remove_file(&path).map_err(io_at("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Snapshot files in the directory, and what a crash left of one.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| is_snapshot_name(name)).collect()
    }
}

impl Library {
    /// Writes the snapshots that are missing, damaged, or too far behind, so that searching is fast again.
    ///
    /// [`Library::index`] ends with it; an app that adds items one by one calls it now and then.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`]; [`crate::Error::Io`] if a file cannot be written.
    pub fn refresh_snapshots(
        &mut self,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        for modality in Modality::ALL {
            self.refresh_snapshot(modality, Purpose::Speed, progress)?;
        }
        Ok(())
    }

    pub(super) fn refresh_snapshot(
        &mut self,
        modality: Modality,
        purpose: Purpose,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        self.require_writer()?;
        let view = self.catalog.view();
        let Some(space) = view.space()? else { return Ok(()) };
        let n_live = view.n_embeddings(space.id, modality, 0)?;
        let current = self.snapshots.current(&space, modality, view.generation()?);
        let (is_there, is_wanted) = match current {
            Ok(None) => (false, n_live > 0),
            Err(_) => (true, true),
            Ok(Some(snapshot)) => {
                let generation = snapshot.meta().generation;
                let n_tail = view.n_embeddings(space.id, modality, generation)?;
                let n_dead = view.dead_keys(space.id, modality, generation)?.len() as u64;
                let wants_graph = n_live >= self.options.graph_threshold as u64;
                let is_wanted = match purpose {
                    Purpose::Oblivion => n_dead > 0,
                    Purpose::Speed => {
                        plan::is_stale(n_live, n_tail, n_dead)
                            || (wants_graph && !snapshot.has_graph())
                            || snapshot.verify().is_err()
                    }
                };
                (true, is_wanted)
            }
        };
        if !is_wanted {
            return Ok(());
        }
        if n_live == 0 {
            return if is_there { self.snapshots.publish(vec![(modality, None)]) } else { Ok(()) };
        }
        self.write_snapshot(&space, modality, purpose, progress)
    }

    fn write_snapshot(
        &mut self,
        space: &StoredSpace,
        modality: Modality,
        purpose: Purpose,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let made = self.make_snapshot(space, modality, purpose, progress)?;
        self.snapshots.publish(vec![(modality, Some(made.name))])?;
        let mut batch = self.catalog.batch()?;
        batch.drop_tombstones(space.id, modality, made.generation)?;
        batch.commit().map(|_| ())
    }

    /// Writes the file of a snapshot, which nobody reads before it is published.
    pub(super) fn make_snapshot(
        &mut self,
        space: &StoredSpace,
        modality: Modality,
        purpose: Purpose,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Made> {
        let extract = extract(&mut self.catalog, space, modality, &mut self.warnings)?;
        let Extract { meta, keys, vectors } = &extract;
        let nodes = NodeVectors { keys, vectors, dim: space.dim };
        let n_total = Some(keys.len() as u64);
        let mut told = |n_done: usize| {
            progress(&Progress { stage: Stage::Snapshot, n_done: n_done as u64, n_total })
        };
        let graph = match purpose {
            Purpose::Speed if keys.len() >= self.options.graph_threshold => {
                Some(index::build(nodes, &BuildOptions::default(), &mut told)?)
            }
            Purpose::Speed | Purpose::Oblivion => None,
        };
        let generation = meta.generation;
        let name = format!("snapshot-{}-{}-{generation}.mms", space.id.0, modality.name());
        index::write_snapshot(&self.dir.join(&name), meta, nodes, graph.as_ref())?;
        Ok(Made { name, generation })
    }
}

/// Copies the vectors of one modality out of one consistent state. A damaged row stays behind with a warning.
fn extract(
    catalog: &mut Catalog,
    space: &StoredSpace,
    modality: Modality,
    warnings: &mut Vec<String>,
) -> Result<Extract> {
    let transaction = catalog.read()?;
    let view = transaction.view();
    let (generation, fingerprint) = (view.generation()?, space.fingerprint.clone());
    let meta = SnapshotMeta { generation, fingerprint, modality, dim: space.dim };
    let mut extract = Extract { meta, keys: Vec::new(), vectors: Vec::new() };
    view.each_embedding(space.id, modality, 0, |embedding| {
        match embedding {
            Ok(stored) if stored.embedding.dim() == space.dim => {
                extract.keys.push(stored.key);
                extract.vectors.extend_from_slice(stored.embedding.as_slice());
            }
            Ok(stored) => warnings.push(format!("embedding {} is of another space", stored.key)),
            Err(reason) => warnings.push(format!("{reason}; run `mmsearch check`")),
        }
        Ok(())
    })?;
    Ok(extract)
}

fn is_snapshot_name(name: &str) -> bool {
    name.starts_with("snapshot-") && (name.ends_with(".mms") || name.ends_with(".tmp"))
}
