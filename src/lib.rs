//! Cross-modal retrieval: images and text in one space, searched in either direction.
//!
//! A [`library::Library`] is a directory that can be searched. It holds [`Item`]s (images and texts), one
//! [`Embedding`] for each distinct content, and a derived snapshot that makes searching fast. An
//! [`encoder::Encoder`] turns pictures and sentences into embeddings; a [`Query`] of either modality returns
//! [`Hit`]s of the other.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod embedding;
mod error;
mod item;
mod pixels;
mod query;

mod catalog;
pub mod encoder;
pub mod eval;
pub mod index;
pub mod library;
pub mod media;
#[cfg(feature = "torch")]
pub mod train;

pub use embedding::Embedding;
pub use error::{Error, ErrorKind, Result};
pub use item::{ContentHash, ImageFacts, Item, ItemId, Metadata, Modality, Source, Status};
pub use pixels::Pixels;
pub use query::{Hit, MAX_K, Neighbor, Query, Target, Term};
