//! What is to be done about what was found, decided from facts alone: nothing here touches a disk.

use crate::catalog::{Container, UNREAD};
use crate::item::{ContentHash, Item, Status};
use crate::media::{self, Entry, Kind};

/// Which failures are worth another look though nothing has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retry {
    /// All of them.
    pub(super) failed: bool,
    /// Those for want of a decoder, since there is one now.
    pub(super) lacking_decoder: bool,
}

impl Retry {
    /// Whether an item failed, and in a way that is worth another look.
    pub(super) fn wants(self, known: &Item) -> bool {
        let lacked_decoder = || known.reason.as_deref().is_some_and(media::lacks_decoder);
        // What was mended fails until its source was read again.
        let is_unread = known.reason.as_deref() == Some(UNREAD);
        known.status == Status::Failed
            && (self.failed || is_unread || (self.lacking_decoder && lacked_decoder()))
    }
}

/// What is to be done about a file that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Never seen here.
    New,
    /// Seen here with another size or time, or never read successfully.
    Changed,
    /// Size and time are those of the last reading.
    Unchanged,
}

/// What is to be done about a tar or manifest that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// There is nothing more to be had from it.
    Nothing,
    /// It is as it was, but not all of it was taken: items of this scan are good.
    Resume {
        /// The scan to go on with.
        scan: i64,
    },
    /// It is new or another file than it was: its items must be looked at again.
    Anew {
        /// The number of the new scan.
        scan: i64,
    },
}

/// Compares a file with what is known of its path. What failed and is worth another look counts as changed.
pub(super) fn file_change(found: &Entry, known: Option<&Item>, retry: Retry) -> Change {
    let Some(known) = known else { return Change::New };
    let as_it_was =
        known.size_bytes == found.size_bytes && known.modified_ns == Some(found.modified_ns);
    if !as_it_was {
        return Change::Changed;
    }
    if retry.wants(known) {
        return Change::Changed;
    }
    // Without a content hash it could not be read, which permissions may have changed since; failing again is cheap.
    // With facts it was a good picture, and `reindex` did not find it where it was.
    let may_be_good =
        known.status == Status::Failed && (known.content_hash.is_none() || known.facts.is_some());
    match found.kind {
        Kind::Image if may_be_good => Change::Changed,
        Kind::Image | Kind::Unsupported | Kind::Tar | Kind::Manifest => Change::Unchanged,
    }
}

/// What was wrong with the content of an item, so that the same bytes need not be decoded to know it again.
///
/// Not of a picture that was good once: it failed because it was away while the library's model was changed.
pub(super) fn known_failure(known: &Item) -> Option<(ContentHash, String)> {
    if known.status != Status::Failed || known.facts.is_some() {
        return None;
    }
    Some((known.content_hash?, known.reason.clone()?))
}

/// Compares a tar or manifest with what is known of it; `retry` says that there is something in it to be tried again.
pub(super) fn reading(
    size_bytes: u64,
    modified_ns: i64,
    known: Option<&Container>,
    retry: bool,
) -> Reading {
    let Some(known) = known else { return Reading::Anew { scan: 1 } };
    if (known.size_bytes, known.modified_ns) != (size_bytes, modified_ns) {
        return Reading::Anew { scan: known.scan + 1 };
    }
    if known.complete && !retry { Reading::Nothing } else { Reading::Resume { scan: known.scan } }
}

/// What was seen of a root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// Files that are there, of any kind.
    pub(super) n_found: u64,
    /// Those of them that are known.
    pub(super) n_known_found: u64,
    /// Items that are known to come from it.
    pub(super) n_known: u64,
    /// Whether it is on another device than the last time.
    pub(super) has_moved: bool,
}

/// Whether a root that should be looked at seems to be unmounted rather than emptied.
///
/// A directory that another disk is mounted on at other times need not be empty. Device numbers alone say nothing: they
/// change when a machine is started again.
pub(super) fn root_is_missing(sight: Sight) -> bool {
    let Sight { n_found, n_known_found, n_known, has_moved } = sight;
    n_known > 0 && (n_found == 0 || (has_moved && n_known_found == 0))
}

/// Whether a snapshot has fallen so far behind that it is worth a new one.
///
/// Every query compares with the whole tail, row by row out of SQLite at a few microseconds each: 10,000 rows
/// cost about as much as the rest of a query. Below that, a tenth: a snapshot is written in the time in which
/// a hundredth of its images are encoded, so writing it after each tenth stays unnoticed.
pub(super) fn is_stale(n_live: u64, n_tail: u64, n_dead: u64) -> bool {
    let n_behind = n_tail + n_dead;
    n_behind > 10_000 || n_behind * 10 > n_live
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ContainerKind;
    use crate::item::{ImageFacts, ItemId, Metadata, Modality, Source};

    fn entry(kind: Kind) -> Entry {
        Entry { path: "/a".into(), kind, size_bytes: 5, modified_ns: 7, dev: 0, ino: 0 }
    }

    fn known(status: Status, content_hash: Option<ContentHash>) -> Item {
        Item {
            id: ItemId(1),
            modality: Modality::Image,
            source: Source::File { path: "/a".into() },
            content_hash,
            size_bytes: 5,
            modified_ns: Some(7),
            status,
            reason: None,
            facts: None,
            text: None,
            image: None,
            metadata: Metadata::new(),
        }
    }

    #[test]
    fn files() {
        let (none, all) = (Retry::default(), Retry { failed: true, ..Retry::default() });
        let hash = Some(ContentHash([0; 32]));
        let ok = known(Status::Ok, hash);
        let image = entry(Kind::Image);
        assert_eq!(file_change(&image, None, none), Change::New);
        assert_eq!(file_change(&image, Some(&ok), none), Change::Unchanged);
        assert_eq!(
            file_change(&Entry { size_bytes: 6, ..image.clone() }, Some(&ok), none),
            Change::Changed
        );
        assert_eq!(
            file_change(&Entry { modified_ns: 8, ..image.clone() }, Some(&ok), none),
            Change::Changed
        );
        // What was read and is no picture will not become one; what could not be read may be readable now.
        let (bad, unread) = (known(Status::Failed, hash), known(Status::Failed, None));
        assert_eq!(file_change(&image, Some(&bad), none), Change::Unchanged);
        assert_eq!(file_change(&image, Some(&unread), none), Change::Changed);
        // A good picture that was away while the library's model was changed.
        let away = Item { facts: Some(ImageFacts::default()), ..known(Status::Failed, hash) };
        assert_eq!(file_change(&image, Some(&away), none), Change::Changed);
        assert_eq!(file_change(&entry(Kind::Unsupported), Some(&unread), none), Change::Unchanged);
        // All that failed, when that is asked for; nothing else.
        for failed in [&bad, &unread, &away] {
            assert_eq!(file_change(&image, Some(failed), all), Change::Changed);
        }
        assert_eq!(file_change(&image, Some(&ok), all), Change::Unchanged);
    }

    #[test]
    fn failures() {
        let hash = ContentHash([3; 32]);
        let failed = Item { reason: Some("torn".into()), ..known(Status::Failed, Some(hash)) };
        assert_eq!(known_failure(&failed), Some((hash, "torn".into())));
        let away = Item { facts: Some(ImageFacts::default()), ..failed.clone() };
        assert_eq!(known_failure(&away), None);
        assert_eq!(known_failure(&Item { content_hash: None, ..failed.clone() }), None);
        assert_eq!(known_failure(&Item { status: Status::Truncated, ..failed }), None);
    }

    #[test]
    fn files_without_a_decoder() {
        let reason = |reason: &str| Item {
            reason: Some(reason.into()),
            ..known(Status::Failed, Some(ContentHash([0; 32])))
        };
        let retry = Retry { lacking_decoder: true, ..Retry::default() };
        let heic = reason(&media::no_decoder("a.heic".as_ref()));
        assert!(retry.wants(&heic) && !Retry::default().wants(&heic));
        assert!(Retry::default().wants(&reason(UNREAD)));
        assert!(!retry.wants(&reason("an empty file")) && !retry.wants(&known(Status::Ok, None)));
        assert_eq!(file_change(&entry(Kind::Unsupported), Some(&heic), retry), Change::Changed);
    }

    #[test]
    fn containers() {
        let known = |complete| Container {
            path: "/t.tar".into(),
            kind: ContainerKind::Tar,
            size_bytes: 5,
            modified_ns: 7,
            scan: 3,
            complete,
            reason: None,
        };
        assert_eq!(reading(5, 7, None, false), Reading::Anew { scan: 1 });
        assert_eq!(reading(5, 7, Some(&known(true)), false), Reading::Nothing);
        assert_eq!(reading(5, 7, Some(&known(false)), false), Reading::Resume { scan: 3 });
        assert_eq!(reading(5, 7, Some(&known(true)), true), Reading::Resume { scan: 3 });
        assert_eq!(reading(6, 7, Some(&known(true)), false), Reading::Anew { scan: 4 });
        assert_eq!(reading(5, 8, Some(&known(false)), false), Reading::Anew { scan: 4 });
    }

    #[test]
    fn missing_roots() {
        let sight = |n_found, n_known_found, n_known, has_moved| {
            root_is_missing(Sight { n_found, n_known_found, n_known, has_moved })
        };
        assert!(sight(0, 0, 5, false) && sight(0, 0, 5, true));
        // Other files on another device: what is below a mount point.
        assert!(sight(3, 0, 5, true));
        // All files were exchanged, or the machine was started again, or nothing was known.
        assert!(!sight(3, 0, 5, false) && !sight(3, 1, 5, true) && !sight(0, 0, 0, true));
    }

    #[test]
    fn snapshots() {
        assert!(!is_stale(100, 0, 0) && !is_stale(100, 5, 5));
        assert!(is_stale(100, 6, 5) && is_stale(1, 1, 0));
        assert!(!is_stale(1_000_000, 10_000, 0) && is_stale(1_000_000, 10_001, 0));
    }
}
