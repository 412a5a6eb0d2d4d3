//! Real power cuts: a file system in a file, whose image is copied while a library on it is written. The copy is what a disk
//! holds whose power went, and mounting it replays its journal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::faults::Fault;
use crate::sample::{Random, seed, times};
use crate::scene::{self, Ended, Site};
use crate::verbs::{Trial, Verb};

const IMAGE_BYTES: u64 = 16 << 20;

/// A mounted file system, unmounted at the end, however that comes.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// `None` if it cannot be mounted here, which is said.
    pub(crate) fn new(point: PathBuf, arguments: &[&str]) -> Option<Self> {
        fs::create_dir_all(&point).unwrap();
        let mount = Command::new("mount").args(arguments).arg(&point).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(point)),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr);
                println!("skipped: nothing can be mounted here ({})", reason.trim());
                None
            }
            Err(error) => {
                println!("skipped: there is no mount ({error})");
                None
            }
        }
    }

    pub(crate) fn point(&self) -> &Path {
        &self.0
    }

    pub(crate) fn remount(&self, options: &str) {
        succeed(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let umount = |lazily: &[&str]| {
            let status =
                Command::new("umount").args(lazily).arg(&self.0).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        let _ = umount(&[]) || umount(&["-l"]);
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An image with an empty file system in it; `None` if there are no tools for it.
fn make(image: &Path) -> Option<()> {
    fs::File::create(image).unwrap().set_len(IMAGE_BYTES).unwrap();
    match Command::new("mkfs.ext4").args(["-q", "-F", "-b", "1024"]).arg(image).output() {
        Ok(output) if output.status.success() => Some(()),
        failed => {
            println!("skipped: no ext4 can be made here ({failed:?})");
            None
        }
    }
}

/// What is wrong after so many cuts, or `None` where they cannot be made.
fn losses(n_cuts: u64, nosync: Option<&'static str>) -> Option<Vec<String>> {
    let place = scene::place();
    let (image, copy, point) =
        ["image", "copy", "mount"].map(|name| place.root().join(name)).into();
    let mount = |image: &Path| Mount::new(point.clone(), &["-o", "loop", image.to_str().unwrap()]);
    let (mut losses, mut random) = (Vec::new(), Random::new(110));
    for round in 0..n_cuts {
        make(&image)?;
        let disk = mount(&image)?;
        let verb = [Verb::Index, Verb::Grow, Verb::Reindex]
            [if nosync.is_some() { 0 } else { round as usize % 3 }];
        let site = Site { place: &place, library: disk.point().join("library") };
        let trial = Trial::at(site, verb);
        trial.reset();
        succeed(Command::new("sync").arg("-f").arg(disk.point()));
        let at = match nosync {
            None => 1 + random.below(trial.n_calls),
            // After the first batch, and before the log is moved into the database.
            Some(_) => trial.n_calls / 4 + random.below(trial.n_calls / 2),
        };
        let fault = Fault { at, action: "stop", nosync, ..Fault::NONE };
        let mut command = trial.command();
        trial.watch.arm(&mut command, &trial.site.library, fault);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_until_stopped(&mut child);
        fs::write(&copy, quiet_content(&image)).unwrap();
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let ended = Ended { code: output.status.code(), stdout, stderr };
        drop(disk);
        let _disk = mount(&copy)?;
        let context = format!("{verb:?}, seed {}, round {round}, ext4 cut at call {at}", seed());
        match trial.sound(&ended) {
            Err(reason) => losses.push(format!("{context}: {reason}")),
            Ok(()) if nosync.is_none() => trial.completes(&context),
            Ok(()) => {}
        }
    }
    Some(losses)
}

/// Returns when it was stopped at its call, or has ended.
pub(crate) fn wait_until_stopped(child: &mut Child) {
    while child.try_wait().unwrap().is_none() {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The image at a moment at which nobody wrote: the program is stopped, but the system may be writing on its own.
fn quiet_content(image: &Path) -> Vec<u8> {
    let mut content = fs::read(image).unwrap();
    loop {
        let again = fs::read(image).unwrap();
        if again == content {
            return content;
        }
        content = again;
    }
}

#[test]
fn real_power_cuts_lose_nothing_that_was_reported() {
    let n_cuts = times(3, 20);
    let Some(losses) = losses(n_cuts, None) else { return };
    assert!(losses.is_empty(), "{losses:#?}");
    println!("{n_cuts} cuts of a real file system, nothing lost");
}

/// The control: without syncing the log the same loop loses something.
#[test]
fn real_power_cuts_without_syncing_the_log_lose_something() {
    let n_cuts = times(4, 20);
    let Some(losses) = losses(n_cuts, Some("-wal")) else { return };
    println!("control: {} losses in {n_cuts} cuts, such as: {:?}", losses.len(), losses.first());
    assert!(!losses.is_empty());
}
