//! Tar archives: every picture inside is an item; one that was read whole and did not change is not opened.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::plan::{self, Reading};
use super::prepare::{Input, Job};
use super::roots::repeat_failure;
use super::run::Run;
use crate::catalog::{Container, ContainerKind};
use crate::error::Result;
use crate::item::{Source, Status};
use crate::media::{self, Entry, Member, Skipped, Stat};

impl Run<'_> {
    /// Brings the library in line with a tar archive.
    pub(super) fn index_tar(&mut self, tar: &Entry) -> Result<()> {
        let known = self.catalog.view().container(&tar.path)?;
        let retry = self.has_failures(known.as_ref())?;
        let reading = plan::reading(tar.size_bytes, tar.modified_ns, known.as_ref(), retry);
        let (scan, taken) = match reading {
            Reading::Nothing => return self.keep_tar(&tar.path, known.and_then(|tar| tar.reason)),
            Reading::Resume { scan } => {
                (scan, self.catalog.view().members_of_scan(&tar.path, scan, !retry)?)
            }
            Reading::Anew { scan } => (scan, Vec::new()),
        };
        let stat = match media::open_regular(&tar.path) {
            Ok((_, stat)) => stat,
            Err(error) => {
                self.report.skipped.push(&tar.path, error.to_string());
                return Ok(());
            }
        };
        let taken: HashSet<PathBuf> = taken.into_iter().collect();
        self.report.images.unchanged += taken.len() as u64;
        let mut container = container(&tar.path, ContainerKind::Tar, &stat, scan);
        self.set_container(&container)?;
        self.n_images.n_total += self.count_members(&tar.path, &taken)?;
        container.reason = self.feed_members(&tar.path, scan, &taken)?;
        self.drain()?;
        if let Some(reason) = &container.reason {
            // What lies behind the damage may be good in the next version, so nothing is forgotten.
            self.report.skipped.push(&tar.path, reason);
        } else {
            self.remove_before_scan(&tar.path, scan)?;
        }
        container.complete = is_as_it_was(&tar.path, &stat);
        self.set_container(&container)
    }

    /// Whether something in a tar or manifest failed and is to be tried again.
    pub(super) fn has_failures(&self, container: Option<&Container>) -> Result<bool> {
        let Some(container) = container.filter(|_| self.retry.failed) else { return Ok(false) };
        let failures = self.catalog.view().failures_in(&container.path)?;
        let has_failed = failures.iter().any(|stored| stored.item.status == Status::Failed);
        Ok(has_failed || container.reason.is_some())
    }

    /// Writes what is known of a tar or manifest.
    pub(super) fn set_container(&mut self, container: &Container) -> Result<()> {
        let mut batch = self.catalog.batch()?;
        batch.set_container(container)?;
        batch.commit().map(|_| ())
    }

    /// Nothing is read; what was wrong with it is said again.
    fn keep_tar(&mut self, tar: &Path, reason: Option<String>) -> Result<()> {
        let view = self.catalog.view();
        let (n_items, failures) = (view.n_items_in(tar)?, view.failures_in(tar)?);
        let n_skipped_before = self.report.skipped.n_total;
        for stored in &failures {
            repeat_failure(&mut self.report, &stored.item);
        }
        let n_failed = self.report.skipped.n_total - n_skipped_before;
        self.report.images.unchanged += n_items.saturating_sub(n_failed);
        if let Some(reason) = reason {
            self.report.skipped.push(tar, reason);
        }
        Ok(())
    }

    /// Reads the headers only, so that the progress has an end.
    fn count_members(&self, tar: &Path, taken: &HashSet<PathBuf>) -> Result<u64> {
        let mut n_members = 0;
        let count = |name: &Path, _| {
            n_members += u64::from(!taken.contains(name));
            false
        };
        media::tar_members(tar, &self.limits, count, |_| Ok(()))?;
        Ok(n_members)
    }

    /// Hands every member in that was not taken yet; where the archive is damaged, the reason.
    fn feed_members(
        &mut self,
        tar: &Path,
        scan: i64,
        taken: &HashSet<PathBuf>,
    ) -> Result<Option<String>> {
        let mut damage = None;
        let (limits, wanted) = (self.limits, |name: &Path, _| !taken.contains(name));
        media::tar_members(tar, &limits, wanted, |member| match member {
            Ok(member) => self.feed(member_job(tar, scan, member)),
            Err(skipped) if skipped.path == tar => {
                damage = Some(skipped.reason);
                Ok(())
            }
            Err(skipped) => self.feed(skipped_job(tar, scan, skipped)),
        })?;
        Ok(damage)
    }
}

/// What is known of a tar or manifest when its reading begins.
pub(super) fn container(path: &Path, kind: ContainerKind, stat: &Stat, scan: i64) -> Container {
    Container {
        path: path.into(),
        kind,
        size_bytes: stat.size_bytes,
        modified_ns: stat.modified_ns,
        scan,
        complete: false,
        reason: None,
    }
}

/// Whether nobody wrote to the file while it was read.
pub(super) fn is_as_it_was(path: &Path, stat: &Stat) -> bool {
    media::open_regular(path).is_ok_and(|(_, now)| now == *stat)
}

pub(super) fn member_job(tar: &Path, scan: i64, member: Member) -> Job {
    Job {
        source: Source::TarMember { tar: tar.into(), member: member.name },
        scan,
        size_bytes: member.bytes.len() as u64,
        modified_ns: Some(member.modified_ns),
        input: Input::Bytes(member.bytes),
        known_failure: None,
    }
}

pub(super) fn skipped_job(tar: &Path, scan: i64, skipped: Skipped) -> Job {
    Job {
        source: Source::TarMember { tar: tar.into(), member: member_of(tar, &skipped.path) },
        scan,
        size_bytes: 0,
        modified_ns: None,
        input: Input::Refused(skipped.reason),
        known_failure: None,
    }
}

/// The member out of `archive.tar!member`.
fn member_of(tar: &Path, path: &Path) -> PathBuf {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (prefix, path) = (tar.as_os_str().as_bytes(), path.as_os_str().as_bytes());
    let member = path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(b"!"));
    OsStr::from_bytes(member.unwrap_or(path)).into()
}
