//! kill -9 while a backup is made; kill -9 and power cuts while a library is made of one in the place of another.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child;
use crate::common::Place;
use crate::faults::{Fault, Watch};
use crate::scene::{self, Site, copy_dir, ended};
use crate::victim::Victim;

type Hits = BTreeMap<String, String>;

/// Two libraries that have no item in common, and a backup of one of them.
struct Scene<'a> {
    site: Site<'a>,
    /// Where a backup is looked at.
    other: Site<'a>,
    /// The files of the library, as they were before.
    template: PathBuf,
    old: Hits,
    backup: PathBuf,
    new: Hits,
    /// After how many kills there was the old, and the new.
    n_old: Cell<u64>,
    n_new: Cell<u64>,
}

impl<'a> Scene<'a> {
    /// The library that is there was killed when the end of its log had not been moved into its catalog.
    fn new(place: &'a Place) -> Self {
        let site = Site::new(place);
        let other = Site { library: place.root().join("other"), ..site.clone() };
        assert_eq!(other.run(&["index", "photos/long.tar"]).code, Some(0));
        let dir = place.root().join("kept");
        fs::create_dir(&dir).unwrap();
        let backup = dir.join("backup.db");
        assert_eq!(other.run(&["backup", text(&backup)]).code, Some(0));
        let new = other.hits(other.program(&[])).unwrap();
        with_a_log(&site);
        let template = place.root().join("template");
        copy_dir(&site.library, &template);
        let old = site.answer(site.program(&[])).1.unwrap();
        assert!(!old.is_empty() && old.keys().all(|name| !new.contains_key(name)));
        let [n_old, n_new] = [Cell::new(0), Cell::new(0)];
        Self { site, other, template, old, backup, new, n_old, n_new }
    }

    fn restore(&self) -> Command {
        self.site.program(&["restore", text(&self.backup), "--force"])
    }

    /// Which of two states `hits` are.
    fn either(&self, hits: Option<Hits>, old: Option<&Hits>, new: &Hits) -> Result<(), String> {
        let n = match hits.as_ref() {
            hits if hits == Some(new) => &self.n_new,
            hits if hits == old => &self.n_old,
            hits => return Err(format!("neither: {:?} hits", hits.map(BTreeMap::len))),
        };
        n.set(n.get() + 1);
        Ok(())
    }

    fn is_restored_or_old(&self) -> Result<(), String> {
        sound(&self.site)?;
        let hits = self.site.answer(self.site.program(&[])).1;
        self.either(hits, Some(&self.old), &self.new)?;
        let again = ended(&mut self.restore());
        if again.code != Some(0) {
            return Err(format!("again: {again:?}"));
        }
        if self.site.hits(self.site.program(&[])).as_ref() != Some(&self.new) {
            return Err("again: it is not what was restored".into());
        }
        self.site.is_well();
        nothing_stays(&self.site.library, "restoring")
    }

    /// What a library that is made of the backup holds; `None` if there is no backup.
    fn backed_up(&self) -> Result<Option<Hits>, String> {
        if !self.backup.exists() {
            return Ok(None);
        }
        self.other.reset(None);
        let restored = self.other.run(&["restore", text(&self.backup)]);
        if restored.code != Some(0) {
            return Err(format!("it cannot be restored: {restored:?}"));
        }
        self.other.is_well();
        Ok(self.other.hits(self.other.program(&[])))
    }

    /// The backup of the library is there or what was in its place before, and the library is as it was.
    fn is_backed_up_or_not(&self, before: Option<&Hits>) -> Result<(), String> {
        self.either(self.backed_up()?, before, &self.old)?;
        sound(&self.site)?;
        if self.site.answer(self.site.program(&[])).1.as_ref() != Some(&self.old) {
            return Err("the library lost something".into());
        }
        let again = self.site.run(&["backup", text(&self.backup), "--force"]);
        if again.code != Some(0) || self.backed_up()?.as_ref() != Some(&self.old) {
            return Err(format!("again: {again:?}"));
        }
        nothing_stays(self.backup.parent().unwrap(), "mmsearch-part")
    }
}

/// Indexes the files, and dies before what the log holds is moved.
fn with_a_log(site: &Site<'_>) {
    let (watch, index) = (Watch::new(), ["index", "photos"]);
    let mut command = site.program(&index);
    watch.arm(&mut command, &site.library, Fault::NONE);
    assert_eq!(ended(&mut command).code, Some(0));
    let calls = watch.report().calls;
    let of_log = |call: &String| call.starts_with("w ") && call.ends_with("-wal");
    let at = calls.iter().rposition(of_log).unwrap() as u64 + 2;
    site.reset(None);
    let mut command = site.program(&index);
    watch.arm(&mut command, &site.library, Fault { at, action: "kill", ..Fault::NONE });
    assert_eq!(ended(&mut command).code, None);
    assert!(fs::metadata(site.library.join("catalog.db-wal")).unwrap().len() > 0);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn sound(site: &Site<'_>) -> Result<(), String> {
    let faults = site.faults_of_catalog();
    faults.is_empty().then_some(()).ok_or(format!("check finds {faults:?}"))
}

/// No file of an interrupted run is left when the next has ended.
fn nothing_stays(dir: &Path, part: &str) -> Result<(), String> {
    let names = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_str().unwrap().contains(part)).collect();
    left.is_empty().then_some(()).ok_or(format!("left there: {left:?}"))
}

#[test]
fn restore_is_disturbed_at_its_calls() {
    let place = scene::place();
    let scene = Scene::new(&place);
    let victim = Victim {
        name: "restore",
        watched: scene.site.library.clone(),
        prepare: &|| scene.site.reset(Some(&scene.template)),
        command: &|| scene.restore(),
    };
    let losses = victim.losses(25, &|| scene.is_restored_or_old());
    assert_eq!(losses, [""; 0]);
    let (n_old, n_new) = (scene.n_old.get(), scene.n_new.get());
    println!("restore: {n_old} times the old library, {n_new} times the new one");
    assert!(n_old > 0 && n_new > 0);
    assert_eq!(victim.power_losses(8, &|| scene.is_restored_or_old()), [""; 0]);
}

/// The control: who writes over the catalog where it lies is caught by the same loop.
#[test]
fn who_restores_in_place_loses_the_library() {
    let place = scene::place();
    let scene = Scene::new(&place);
    let catalog = scene.site.library.join("catalog.db");
    let victim = Victim {
        name: "restore in place",
        watched: scene.site.library.clone(),
        prepare: &|| scene.site.reset(Some(&scene.template)),
        command: &|| child::overwrite(&scene.site, &scene.backup, &catalog),
    };
    let losses = victim.losses(8, &|| scene.is_restored_or_old());
    println!("control: such as: {:?}", losses.first());
    assert!(!losses.is_empty());
}

/// Makes backups that are killed, where there is none, or one of another library; what is wrong afterwards.
fn losses_of_backups(scene: &Scene<'_>, over: bool, command: &dyn Fn() -> Command) -> Vec<String> {
    let other = scene.backup.with_file_name("other.db");
    if !other.exists() {
        fs::rename(&scene.backup, &other).unwrap();
    }
    let prepare = || {
        scene.site.reset(Some(&scene.template));
        for file in fs::read_dir(scene.backup.parent().unwrap()).unwrap() {
            let file = file.unwrap().path();
            if file != other {
                fs::remove_file(file).unwrap();
            }
        }
        if over {
            fs::copy(&other, &scene.backup).unwrap();
        }
    };
    let victim = Victim {
        name: if over { "backup over another" } else { "backup" },
        watched: scene.site.place.root().into(),
        prepare: &prepare,
        command,
    };
    victim.losses(12, &|| scene.is_backed_up_or_not(over.then_some(&scene.new)))
}

#[test]
fn backup_is_killed_at_its_calls() {
    let place = scene::place();
    let scene = Scene::new(&place);
    let command = || scene.site.program(&["backup", text(&scene.backup), "--force"]);
    for over in [false, true] {
        assert_eq!(losses_of_backups(&scene, over, &command), [""; 0]);
    }
    let (n_old, n_new) = (scene.n_old.get(), scene.n_new.get());
    println!("backup: {n_old} times it was not there, {n_new} times it was");
    assert!(n_old > 0 && n_new > 0);
}

/// The control: half a copy is caught by the same loop.
#[test]
fn who_copies_the_catalog_backs_up_half_of_it() {
    let place = scene::place();
    let scene = Scene::new(&place);
    let catalog = scene.site.library.join("catalog.db");
    let losses = losses_of_backups(&scene, false, &|| {
        child::overwrite(&scene.site, &catalog, &scene.backup)
    });
    println!("control: such as: {:?}", losses.first());
    assert!(!losses.is_empty());
}
