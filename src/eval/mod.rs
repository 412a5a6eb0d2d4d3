//! Measuring a model: how well the images of captions are found, and the captions of images.
//!
//! The figures are pure functions over embeddings; `evaluate` makes those with any encoder. Nothing here knows a
//! tensor.

mod evaluate;
mod retrieval;

pub use evaluate::evaluate;
pub use retrieval::{Recall, Retrieval, recall, retrieval};
