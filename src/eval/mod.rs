//! Measuring a model: how well the images of captions are found, and the captions of images, and how
//! often it names a class that it was never trained on; and using it to name classes.
//!
//! The figures are pure functions over embeddings; `evaluate` makes those with any encoder, and [`Classifier`] names
//! the classes of single pictures. Nothing here knows a tensor.

mod classes;
mod classify;
mod encode;
mod evaluate;
mod labels;
mod retrieval;
mod zero_shot;

pub use classes::{DEFAULT_PROMPT, PLACEHOLDER};
pub use classify::{Classifier, Guess};
pub use evaluate::{evaluate, evaluate_labels};
pub use labels::Labels;
pub use retrieval::{Recall, Retrieval, recall, retrieval};
pub use zero_shot::{ZeroShot, zero_shot};
