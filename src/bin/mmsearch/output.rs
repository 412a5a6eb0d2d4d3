//! What goes to stdout: lines for people, and JSON Lines whose shape is a promise (`"version": 1`).

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mmsearch::{Item, Source};
use serde::Serialize;

/// The version of every JSON line; raised when a field goes or changes its meaning, not when one is added.
const VERSION: u32 = 1;

/// Standard output, buffered; every failure to write to it is an error of its own kind.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

/// A JSON line.
#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u32,
    #[serde(flatten)]
    line: &'a T,
}

/// Where an item came from, in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct SourceLine {
    /// `file`, `tar`, `manifest` or `inline`.
    source: &'static str,
    /// The file, tar or manifest; the name of what an app handed over.
    #[serde(flatten)]
    path: PathLine,
    /// The member of a tar.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    /// The line of a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

/// A path in JSON, which has no bytes.
#[derive(Debug, Serialize)]
pub(crate) struct PathLine {
    path: String,
    /// The bytes of `path` in hexadecimal, where they are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.0, "{line}")
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Writes one JSON line.
    pub(crate) fn json(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, &Versioned { version: VERSION, line })?;
        writeln!(self.0)
    }

    /// Must be called at the end: what is still buffered could not be written otherwise, unnoticed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl SourceLine {
    pub(crate) fn new(source: &Source) -> Self {
        let path = match source {
            Source::File { path } => path.as_path(),
            Source::TarMember { tar, .. } => tar.as_path(),
            Source::ManifestRow { manifest, .. } => manifest.as_path(),
            Source::Inline { name } => Path::new(name),
        };
        let member = match source {
            Source::TarMember { member, .. } => Some(member.to_string_lossy().into_owned()),
            Source::File { .. } | Source::ManifestRow { .. } | Source::Inline { .. } => None,
        };
        let (kind, line) = (kind_of_source(source), line_of_source(source));
        Self { source: kind, path: PathLine::new(path), member, line }
    }
}

impl PathLine {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_string_lossy().into_owned(),
            path_hex: path.to_str().is_none().then(|| hex(path.as_os_str())),
        }
    }
}

/// `file`, `tar`, `manifest` or `inline`.
pub(crate) fn kind_of_source(source: &Source) -> &'static str {
    match source {
        Source::File { .. } => "file",
        Source::TarMember { .. } => "tar",
        Source::ManifestRow { .. } => "manifest",
        Source::Inline { .. } => "inline",
    }
}

/// The line of a manifest.
pub(crate) fn line_of_source(source: &Source) -> Option<u64> {
    match source {
        Source::ManifestRow { line, .. } => Some(*line),
        Source::File { .. } | Source::TarMember { .. } | Source::Inline { .. } => None,
    }
}

/// Where an item came from, for people.
pub(crate) fn source_text(item: &Item) -> String {
    match &item.source {
        Source::File { path } => escaped(path),
        Source::TarMember { tar, member } => format!("{}!{}", escaped(tar), escaped(member)),
        Source::ManifestRow { manifest, line, .. } => format!("{}:{line}", escaped(manifest)),
        Source::Inline { name } => escaped_text(name),
    }
}

/// A path that cannot move the cursor, hide a part of itself or break the line.
pub(crate) fn escaped(path: &Path) -> String {
    let mut escaped = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        escaped.push_str(&escaped_text(chunk.valid()));
        for byte in chunk.invalid() {
            let _infallible = write!(escaped, "\\x{byte:02x}");
        }
    }
    escaped
}

/// The same for a text.
pub(crate) fn escaped_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() || is_invisible_order(char) {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// Characters that change the order in which others are shown.
fn is_invisible_order(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn hex(bytes: &OsStr) -> String {
    bytes.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_reaches_the_terminal_raw() {
        let name = OsStr::from_bytes(b"caf\xe9\n\x1b[2J");
        assert_eq!(escaped(Path::new(name)), r"caf\xe9\n\u{1b}[2J");
        assert_eq!(escaped(Path::new("a\u{202e}gpj.exe")), r"a\u{202e}gpj.exe");
        assert_eq!(escaped(Path::new("Größe/été 狗.jpg")), "Größe/été 狗.jpg");
    }
}
