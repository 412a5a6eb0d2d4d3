//! Reads the pictures of a tar archive one after another, without unpacking it.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tar::{Archive, EntryType};

use super::budget::Budgeted;
use super::open::too_large;
use super::{
    Kind, Limits, NOT_READ_ON, Skipped, kind_of_name, no_decoder, open_regular, plain_name,
};
use crate::error::Result;

/// What the headers in front of one member may take; a long name is read whole by the tar reader.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// A picture out of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, as written in the archive.
    pub name: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Last change as the archive says, nanoseconds since 1970.
    pub modified_ns: i64,
}

type Entry<'a> = tar::Entry<'a, &'a Budgeted>;

/// What became of one entry of the archive.
enum Outcome {
    /// Nothing for us.
    PassedOver,
    /// A picture.
    Found(Member),
    /// A photo that is not used.
    Refused(Skipped),
    /// Nothing behind it can be trusted.
    Damaged(Skipped),
}

/// Hands the regular members with the name of a picture to `visit`, in their order.
///
/// `wanted(name, size_bytes)` is asked first; members that are not wanted are stepped over unread. A member that
/// is too large or has no decoder, and the place where a damaged archive cannot be read further, come as
/// [`Skipped`].
///
/// # Errors
/// As [`open_regular`]; otherwise whatever `visit` returns, which ends the reading.
pub fn tar_members(
    tar: &Path,
    limits: &Limits,
    mut wanted: impl FnMut(&Path, u64) -> bool,
    mut visit: impl FnMut(std::result::Result<Member, Skipped>) -> Result<()>,
) -> Result<()> {
    let (file, stat) = open_regular(tar)?;
    let reader = Budgeted::new(file);
    let mut archive = Archive::new(&reader);
    let damaged = |reason: String| Skipped {
        path: tar.to_path_buf(),
        reason: format!("damaged, or not a tar archive: {reason}{NOT_READ_ON}"),
    };
    if stat.size_bytes == 0 {
        return visit(Err(damaged("it is empty".into())));
    }
    let mut entries = match archive.entries_with_seek() {
        Ok(entries) => entries,
        Err(error) => return visit(Err(damaged(error.to_string()))),
    };
    loop {
        reader.allow(MAX_HEADER_BYTES);
        let entry = match entries.next() {
            None => return Ok(()),
            Some(Ok(entry)) => entry,
            Some(Err(error)) => return visit(Err(damaged(error.to_string()))),
        };
        if entry.raw_file_position().saturating_add(entry.size()) > stat.size_bytes
            && entry.header().entry_type() != EntryType::GNUSparse
        {
            return visit(Err(damaged("it ends inside a member".into())));
        }
        match look_at(tar, entry, &reader, limits, &mut wanted) {
            Outcome::PassedOver => {}
            Outcome::Found(member) => visit(Ok(member))?,
            Outcome::Refused(skipped) => visit(Err(skipped))?,
            Outcome::Damaged(skipped) => return visit(Err(skipped)),
        }
    }
}

fn look_at(
    tar: &Path,
    mut entry: Entry<'_>,
    reader: &Budgeted,
    limits: &Limits,
    wanted: &mut impl FnMut(&Path, u64) -> bool,
) -> Outcome {
    let name = plain_name(Path::new(OsStr::from_bytes(&entry.path_bytes()))).to_path_buf();
    let entry_type = entry.header().entry_type();
    let skipped = |reason| Skipped { path: member_path(tar, &name), reason };
    if !(entry_type.is_file() || entry_type.is_contiguous() || entry_type.is_gnu_sparse()) {
        return Outcome::PassedOver;
    }
    match kind_of_name(&name) {
        Some(Kind::Image) => {}
        Some(Kind::Unsupported) => return Outcome::Refused(skipped(no_decoder(&name))),
        Some(Kind::Tar | Kind::Manifest) | None => return Outcome::PassedOver,
    }
    if entry_type.is_gnu_sparse() {
        return Outcome::Refused(skipped("stored with holes; archive it without --sparse".into()));
    }
    let size_bytes = entry.size();
    if !wanted(&name, size_bytes) {
        return Outcome::PassedOver;
    }
    if size_bytes > limits.max_file_bytes {
        return Outcome::Refused(skipped(too_large(size_bytes, limits.max_file_bytes)));
    }
    reader.allow(size_bytes);
    let mut bytes = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
    match entry.read_to_end(&mut bytes) {
        Err(error) => return Outcome::Damaged(skipped(format!("cannot read it: {error}"))),
        Ok(n_bytes) if n_bytes as u64 != size_bytes => {
            return Outcome::Damaged(skipped("the archive ends inside it".into()));
        }
        Ok(_) => {}
    }
    let seconds = entry.header().mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
    let modified_ns = seconds.unwrap_or(0).saturating_mul(1_000_000_000);
    Outcome::Found(Member { name, bytes, modified_ns })
}

/// `archive.tar!member`, as [`crate::Source`] shows it.
fn member_path(tar: &Path, member: &Path) -> PathBuf {
    let mut path = tar.as_os_str().to_os_string();
    path.push("!");
    path.push(member);
    path.into()
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;
    use crate::error::Error;

    const SMALL: Limits = Limits { max_file_bytes: 1000, max_pixels: 1 };

    fn append(builder: &mut Builder<Vec<u8>>, kind: EntryType, name: &[u8], bytes: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mtime(1_600_000_000);
        builder.append_data(&mut header, Path::new(OsStr::from_bytes(name)), bytes).unwrap();
    }

    /// An archive of regular files.
    fn archive(members: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(vec![]);
        for (name, bytes) in members {
            append(&mut builder, EntryType::Regular, name, bytes);
        }
        builder.into_inner().unwrap()
    }

    /// Names and lengths of the members found, and the skipped with the part of the path behind the directory.
    fn read(tar: &[u8], mut wanted: impl FnMut(&Path, u64) -> bool) -> (Vec<Member>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        std::fs::write(&path, tar).unwrap();
        let (mut found, mut skipped) = (vec![], vec![]);
        tar_members(&path, &SMALL, &mut wanted, |member| {
            match member {
                Ok(member) => found.push(member),
                Err(skip) => {
                    let path = skip.path.strip_prefix(dir.path()).unwrap().display().to_string();
                    skipped.push(format!("{path}: {}", skip.reason));
                }
            }
            Ok(())
        })
        .unwrap();
        (found, skipped)
    }

    fn member(name: &[u8], bytes: &[u8]) -> Member {
        let name = OsStr::from_bytes(name).into();
        Member { name, bytes: bytes.into(), modified_ns: 1_600_000_000_000_000_000 }
    }

    #[test]
    fn pictures_come_in_order_with_their_raw_names() {
        let long = [b"x".repeat(150), b".png".to_vec()].concat();
        let mut builder = Builder::new(vec![]);
        append(&mut builder, EntryType::Regular, b"b.jpg", b"one");
        append(&mut builder, EntryType::Directory, b"dir.jpg", b"");
        append(&mut builder, EntryType::Regular, b"notes.txt", b"text");
        append(&mut builder, EntryType::Regular, b"caf\xe9.JPG", b"two");
        append(&mut builder, EntryType::Regular, b"raw.heic", b"four");
        append(&mut builder, EntryType::Regular, &long, b"three");
        let mut link = Header::new_gnu();
        link.set_entry_type(EntryType::Symlink);
        link.set_size(0);
        builder.append_link(&mut link, "link.jpg", "b.jpg").unwrap();
        let (found, skipped) = read(&builder.into_inner().unwrap(), |_, _| true);
        assert_eq!(
            found,
            [member(b"b.jpg", b"one"), member(b"caf\xe9.JPG", b"two"), member(&long, b"three")]
        );
        let reason = "no decoder for .heic files; convert it to JPEG or PNG";
        assert_eq!(skipped, [format!("a.tar!raw.heic: {reason}")]);
    }

    #[test]
    fn unwanted_members_are_stepped_over() {
        let tar = archive(&[(b"a.png", &[1; 700]), (b"b.png", &[2; 3]), (b"c.png", &[3; 900])]);
        let mut asked = vec![];
        let (found, skipped) = read(&tar, |name, size_bytes| {
            asked.push((name.to_path_buf(), size_bytes));
            name == Path::new("b.png")
        });
        assert_eq!((found, skipped), (vec![member(b"b.png", &[2; 3])], vec![]));
        let expected = [("a.png", 700), ("b.png", 3), ("c.png", 900)];
        assert_eq!(asked, expected.map(|(name, size)| (PathBuf::from(name), size)));
    }

    #[test]
    fn a_member_over_the_limit_is_skipped_and_the_rest_read() {
        let tar = archive(&[(b"a.png", &[1; 1001]), (b"b.png", &[2; 1000])]);
        let (found, skipped) = read(&tar, |_, _| true);
        assert_eq!(found, [member(b"b.png", &[2; 1000])]);
        assert_eq!(skipped, ["a.tar!a.png: too large: 1001 bytes, the limit is 1000"]);
    }

    #[test]
    fn damage_ends_the_reading_with_a_reason() {
        let whole = archive(&[(b"a.png", b"one"), (b"b.png", &[2; 600])]);
        assert_eq!(read(&whole, |_, _| true).0.len(), 2);
        let mut flipped = whole.clone();
        flipped[1024] ^= 1;
        for (tar, n_found, reason) in [
            (&whole[..1800], 1, "it ends inside a member"),
            (&whole[..1300], 1, "failed to read entire block"),
            (&flipped, 1, "checksum mismatch"),
            (&b"no archive".repeat(100), 0, "numeric field"),
            (&[], 0, "it is empty"),
        ] {
            // A member that is not wanted must not hide the damage.
            for is_wanted in [true, false] {
                let (found, skipped) = read(tar, |_, _| is_wanted);
                assert_eq!(found.len(), if is_wanted { n_found } else { 0 });
                assert_eq!(skipped.len(), 1, "{reason}");
                assert!(skipped[0].starts_with("a.tar: damaged") && skipped[0].contains(reason));
            }
        }
    }

    #[test]
    fn an_endless_name_is_refused_before_it_fills_the_memory() {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(2 << 20);
        header.set_cksum();
        let name = vec![b'n'; 2 << 20];
        let tar = [header.as_bytes().as_slice(), &name, &archive(&[(b"a.png", b"one")])].concat();
        let (found, skipped) = read(&tar, |_, _| true);
        assert_eq!(found, []);
        assert!(skipped[0].contains("it goes on for too long"), "{skipped:?}");
    }

    #[test]
    fn an_error_of_the_visitor_ends_the_reading() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        std::fs::write(&path, archive(&[(b"a.png", b"one"), (b"b.png", b"two")])).unwrap();
        let mut n_visited = 0;
        let stopped = tar_members(
            &path,
            &SMALL,
            |_, _| true,
            |_| {
                n_visited += 1;
                Err(Error::Cancelled)
            },
        );
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(n_visited, 1);
    }
}
