//! Writing a snapshot: to a sibling file, synced, renamed into place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytemuck::cast_slice;

use super::draft::SnapshotDraft;
use super::format::{ALIGNMENT, Header, Kind, Section, header_len, padded};
use super::{tuning_words, upper};
use crate::error::{Result, io_at};

/// See [`SnapshotDraft::write`].
pub(super) fn write(draft: &SnapshotDraft, path: &Path) -> Result<()> {
    let quantizer = &draft.codes.quantizer;
    let numbers: Vec<f32> = quantizer.mean.iter().copied().chain([quantizer.scale]).collect();
    let mut by_key: Vec<u32> = (0..draft.len() as u32).collect();
    by_key.sort_unstable_by_key(|&node| draft.keys[node as usize]);
    let mut contents: Vec<(Kind, &[u8])> = vec![
        (Kind::Ids, cast_slice(&draft.keys)),
        (Kind::ByKey, cast_slice(&by_key)),
        (Kind::Quantizer, cast_slice(&numbers)),
        (Kind::Coarse, cast_slice(&draft.codes.coarse)),
        (Kind::Fine, cast_slice(&draft.codes.fine)),
    ];
    let (upper, tuning);
    if let Some((graph, measured)) = &draft.graph {
        upper = upper::encode(&graph.upper);
        tuning = tuning_words::encode(measured);
        contents.push((Kind::Layer0, cast_slice(&graph.layer0.links)));
        contents.push((Kind::Upper, cast_slice(&upper)));
        contents.push((Kind::Orphans, cast_slice(&graph.orphans)));
        contents.push((Kind::Tuning, cast_slice(&tuning)));
    }
    let header = lay_out(draft, &contents);
    let temp = temp_path(path);
    replace(&temp, path, |file| write_all(file, &header, &contents)).inspect_err(|_| {
        // The error that matters is the first one; what stays behind is harmless.
        let _ = fs::remove_file(&temp);
    })
}

/// Gives each section its place.
fn lay_out(draft: &SnapshotDraft, contents: &[(Kind, &[u8])]) -> Header {
    let mut offset = header_len(&draft.meta, contents.len());
    let mut sections = Vec::new();
    for &(kind, bytes) in contents {
        let mut hasher = blake3::Hasher::new();
        hasher.update(bytes).update(padding(bytes));
        let hash = *hasher.finalize().as_bytes();
        sections.push(Section { kind, offset, len: bytes.len(), hash });
        offset += padded(bytes.len());
    }
    Header {
        meta: draft.meta.clone(),
        n_nodes: draft.len(),
        width: draft.graph.as_ref().map_or(0, |(graph, _)| graph.layer0.width),
        file_len: offset,
        sections,
    }
}

/// The zeros that follow a section.
fn padding(bytes: &[u8]) -> &'static [u8] {
    &[0; ALIGNMENT][..padded(bytes.len()) - bytes.len()]
}

fn write_all(file: &mut File, header: &Header, contents: &[(Kind, &[u8])]) -> io::Result<()> {
    file.write_all(&header.encode())?;
    for (_, bytes) in contents {
        file.write_all(bytes)?;
        file.write_all(padding(bytes))?;
    }
    Ok(())
}

/// Where a snapshot is written before it is renamed.
pub(super) fn temp_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Fills `temp`, syncs it, renames it to `path`, and syncs the directory so that the rename lasts.
fn replace(temp: &Path, path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let mut file = create_private(temp).map_err(io_at("create", temp))?;
    fill(&mut file).and_then(|()| file.sync_all()).map_err(io_at("write", temp))?;
    fs::rename(temp, path).map_err(io_at("replace", path))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory).and_then(|file| file.sync_all()).map_err(io_at("sync", directory))
}

/// A new file that only its owner may read; what a crash left in its place is removed.
fn create_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
