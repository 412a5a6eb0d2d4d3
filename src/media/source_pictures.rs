//! Pictures of items, read again from where they came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::store::Store;
use super::{Decoded, ExternalDecoder, Limits, decode, plain_name, read_picture_with};
use crate::error::{Error, Result};
use crate::item::Source;
use crate::pixels::Detail;

/// Reads pictures by their source. The headers of a tar are read once, however many of its members are wanted.
#[derive(Debug, Default)]
pub struct SourcePictures {
    limits: Limits,
    external: Option<ExternalDecoder>,
    tars: BTreeMap<PathBuf, Store>,
}

impl SourcePictures {
    /// Reads within these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The same with a decoder for files that are not decoded here.
    #[must_use]
    pub fn with_decoder(self, external: Option<ExternalDecoder>) -> Self {
        Self { external, ..self }
    }

    /// The picture at a source, as it is there now.
    ///
    /// # Errors
    /// As [`super::read_picture`]; [`Error::BadInput`] for a source that has no picture: the row of a manifest, or what an app
    /// handed over.
    pub fn read(&mut self, source: &Source, detail: Detail) -> Result<Decoded> {
        match source {
            Source::File { path } => {
                read_picture_with(path, &self.limits, detail, self.external.as_ref())
            }
            Source::TarMember { tar, member } => self.read_member(tar, member, detail),
            Source::ManifestRow { .. } | Source::Inline { .. } => Err(Error::BadInput {
                path: source.to_string().into(),
                reason: "there is no file of its picture".into(),
            }),
        }
    }

    fn read_member(&mut self, tar: &Path, member: &Path, detail: Detail) -> Result<Decoded> {
        if !self.tars.contains_key(tar) {
            self.tars.insert(tar.into(), Store::open(tar)?);
        }
        let bytes = self.tars[tar].read(plain_name(member), &self.limits)?;
        let bad = |reason| Error::BadImage { path: tar.join(member), reason };
        decode(&bytes, &self.limits, detail).map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = b"P6 1 1 255\n\x01\x02\x03";

    fn rgb(pictures: &mut SourcePictures, source: &Source) -> Result<Vec<u8>> {
        Ok(pictures.read(source, Detail::Full)?.pixels.into_rgb())
    }

    #[test]
    fn files_and_members_are_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, tar) = (dir.path().join("a.ppm"), dir.path().join("t.tar"));
        std::fs::write(&path, PICTURE).unwrap();
        let mut builder = tar::Builder::new(std::fs::File::create(&tar).unwrap());
        builder.append_path_with_name(&path, "deep/b.ppm").unwrap();
        builder.into_inner().unwrap();
        let mut pictures = SourcePictures::default();
        let file = Source::File { path };
        let member = |name: &str| Source::TarMember { tar: tar.clone(), member: name.into() };
        assert_eq!(rgb(&mut pictures, &file).unwrap(), [1, 2, 3]);
        assert_eq!(rgb(&mut pictures, &member("deep/b.ppm")).unwrap(), [1, 2, 3]);
        assert_eq!(rgb(&mut pictures, &member("./deep/b.ppm")).unwrap(), [1, 2, 3]);
        let error = rgb(&mut pictures, &member("gone.ppm")).unwrap_err().to_string();
        assert!(error.contains("not in the archive"), "{error}");
        let inline = Source::Inline { name: "x".into() };
        let error = rgb(&mut pictures, &inline).unwrap_err().to_string();
        assert_eq!(error, "x: there is no file of its picture");
    }
}
