//! Measuring retrieval: ranks in, figures out. Pure functions over scores; nothing here knows a tensor or a file.

mod retrieval;

pub use retrieval::{Recall, Retrieval, recall, retrieval};
