//! Measuring a model: how well the images of captions are found, and the captions of images, and how
//! often it names a class that it was never trained on.
//!
//! The figures are pure functions over embeddings; `evaluate` makes those with any encoder. Nothing here knows a
//! tensor.

mod evaluate;
mod retrieval;
mod zero_shot;

pub use evaluate::{PLACEHOLDER, evaluate, evaluate_labels};
pub use retrieval::{Recall, Retrieval, recall, retrieval};
pub use zero_shot::{ZeroShot, zero_shot};
