//! Cross-modal retrieval: images and text in one space, searched in either direction.
//!
//! A [`library::Library`] is a directory that can be searched. It holds [`Item`]s (images and texts), one
//! [`Embedding`] for each distinct content, and a derived snapshot that makes searching fast. An
//! [`encoder::Encoder`] turns pictures and sentences into embeddings; a [`Query`] of either modality returns
//! [`Hit`]s of the other.
//!
//! ```
//! use mmsearch::encoder::FakeEncoder;
//! use mmsearch::library::{Library, LibraryOptions};
//! use mmsearch::{Condition, Metadata, Mode, Query, Target, Term};
//!
//! let dir = tempfile::tempdir()?;
//! // In an app: `DualEncoder::mini(Device::Cpu)?`, the model that is compiled in.
//! let mut encoder = FakeEncoder::default();
//! let mut library = Library::create_or_open(&dir.path().join("library"), LibraryOptions::default())?;
//! for (name, rgb) in [("poppies.ppm", [230, 10, 10]), ("sea.ppm", [10, 20, 240])] {
//!     let picture = [b"P6 32 32 255\n".as_slice(), &rgb.repeat(32 * 32)].concat();
//!     library.add_image(&mut encoder, name, &picture, Metadata::new())?;
//! }
//! library.add_text(&mut encoder, "note", "a field of red flowers", Metadata::new())?;
//!
//! let hits = library.search(&mut encoder, &Query::text("something red"))?;
//! assert_eq!(hits[0].item.source.to_string(), "poppies.ppm");
//! let texts = library.search(&mut encoder, &Query::text("red").to(Target::Text))?;
//! assert_eq!(texts[0].item.text.as_deref(), Some("a field of red flowers"));
//!
//! // Words of names, tags and captions count too; alone they need no encoder.
//! let hits = library.explained_without_encoder(&Query::text("poppies").mode(Mode::Keyword))?.hits;
//! assert_eq!(hits[0].keyword.map(|words| words.coverage), Some(1.0));
//!
//! // A page ends with a cursor, behind which the next one begins.
//! let first = library.explained(&mut encoder, &Query::text("red").k(1))?;
//! let second = library.search(&mut encoder, &Query::text("red").k(1).after(first.next.unwrap()))?;
//! assert_eq!(second[0].item.source.to_string(), "sea.ppm");
//!
//! // Several terms, wanted and not, among the items that a condition holds of.
//! let blue = Query::text("blue").and(Term::Text("red".into()), -1.0);
//! let hits = library.search(&mut encoder, &blue.filter(Condition::parse("width >= 32")?))?;
//! assert_eq!(hits[0].item.source.to_string(), "sea.ppm");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Modules in reading order: [`encoder`] makes embeddings, [`library`] holds and searches them, [`media`] reads
//! pictures, [`index`] finds neighbors among vectors, [`condition`] is the language of filters, [`eval`] measures and names classes, and, with the feature
//! `torch`, `train` makes models. The library never prints, exits, reads the environment or opens the network.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod condition;
mod embedding;
mod error;
mod item;
mod pixels;
mod query;
mod tag;

mod catalog;
pub mod encoder;
pub mod eval;
pub mod index;
pub mod library;
pub mod media;
#[cfg(feature = "torch")]
pub mod train;

/// What the fuzz targets (`fuzz/`) reach beside what everybody does; it is there for them only.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::catalog::read_rows;
    pub use crate::index::rehashed;
    pub use crate::media::words_of;
}

pub use condition::Condition;
pub use embedding::Embedding;
pub use error::{Error, ErrorKind, Result};
pub use item::{ContentHash, ImageFacts, Item, ItemId, Metadata, Modality, Source, Status};
pub use pixels::{Detail, Pixels};
pub use query::{
    Cursor, Hit, KeywordMatch, MAX_K, MAX_TERMS, Mode, Neighbor, Query, Sort, Target, Term,
    WEIGHTS, WeightedTerm, compact,
};
pub use tag::Tag;
