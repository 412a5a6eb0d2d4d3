//! Paths alone, for other programs.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;

use mmsearch::Source;

use super::Group;
use crate::output::{Output, source_text};

/// What stands behind a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// The byte that no path has.
    Nul,
    /// A newline, which a path may have too.
    Line,
    /// The same, for a terminal: no byte of the path can steer it.
    EscapedLine,
}

pub(super) fn write(output: &mut Output, groups: &[Group<'_>], ends: Ends) -> io::Result<()> {
    for (i, group) in groups.iter().enumerate() {
        // An empty line tells groups apart; behind a NUL it would be an empty name.
        if i > 0 && ends != Ends::Nul {
            output.line("")?;
        }
        for entry in &group.entries {
            match ends {
                Ends::EscapedLine => output.line(&source_text(entry.shown()))?,
                Ends::Line => output.bytes(&[&raw(&entry.shown().source)[..], b"\n"].concat())?,
                Ends::Nul => output.bytes(&[&raw(&entry.shown().source)[..], b"\0"].concat())?,
            }
        }
    }
    Ok(())
}

/// The bytes of a path, as the system knows it.
pub(super) fn raw(source: &Source) -> Vec<u8> {
    let path: OsString = match source {
        Source::File { path } => path.into(),
        Source::ManifestRow { manifest, .. } => manifest.into(),
        Source::Inline { name } => name.into(),
        Source::TarMember { tar, member } => {
            let mut name = OsString::from(tar);
            name.push("!");
            name.push(member);
            name
        }
    };
    path.into_vec()
}
