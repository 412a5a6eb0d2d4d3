//! Figures of a retrieval, as `eval` and `train` show them.

use mmsearch::eval::Recall;
use serde::Serialize;

/// One direction in JSON; recalls are percentages.
#[derive(Serialize)]
pub(crate) struct RecallLine {
    r1: f64,
    r5: f64,
    r10: f64,
    median_rank: f64,
    mean_rank: f64,
    queries: usize,
}

impl From<&Recall> for RecallLine {
    fn from(recall: &Recall) -> Self {
        let Recall { r1, r5, r10, median_rank, mean_rank, queries } = *recall;
        Self { r1, r5, r10, median_rank, mean_rank, queries }
    }
}

/// Above rows of [`recall_row`].
pub(crate) const HEADER: &str = "                R@1    R@5   R@10  median    mean  queries";

/// A direction as a row of the table.
pub(crate) fn recall_row(direction: &str, recall: &Recall) -> String {
    let Recall { r1, r5, r10, median_rank, mean_rank, queries } = recall;
    format!(
        "{direction}  {r1:5.1}  {r5:5.1}  {r10:5.1}  {median_rank:6.1}  {mean_rank:6.1}  {queries:7}"
    )
}
