//! `query --explain`: why each hit was found.

use mmsearch::{Hit, KeywordMatch};

use crate::exit::tell;
use crate::output::escaped_text;

/// Says of each hit what each channel and each term made of it, and which condition let it in.
pub(crate) fn hits(hits: &[Hit], terms: &[String], filter: Option<&str>) {
    for (i, hit) in hits.iter().enumerate() {
        tell(&format!("{}. {}", i + 1, escaped_text(&hit.item.source.to_string())));
        lines(hit, terms, filter).iter().for_each(|line| tell(&format!("   {line}")));
    }
}

fn lines(hit: &Hit, terms: &[String], filter: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(score) = hit.score {
        let place = match hit.semantic_rank {
            Some(rank) => format!("place {rank}"),
            None => "not among the first ones".into(),
        };
        lines.push(format!("by meaning: score {score:.4}, {place}"));
    }
    if let Some(KeywordMatch { rank, coverage }) = hit.keyword {
        let share = 100.0 * coverage;
        lines.push(format!("by words: place {rank}, has {share:.0} % of what the words tell"));
    }
    if terms.len() > 1 {
        let scores = terms.iter().zip(&hit.term_scores);
        let scores: Vec<String> =
            scores.map(|(term, score)| format!("{} {score:.4}", escaped_text(term))).collect();
        lines.extend((!scores.is_empty()).then(|| format!("terms: {}", scores.join(", "))));
    }
    lines.extend(filter.map(|filter| format!("condition: {}", escaped_text(filter))));
    if !hit.duplicates.is_empty() {
        let others: Vec<String> =
            hit.duplicates.iter().map(|item| escaped_text(&item.source.to_string())).collect();
        lines.push(format!("nearly the same: {}", others.join(", ")));
    }
    lines
}
