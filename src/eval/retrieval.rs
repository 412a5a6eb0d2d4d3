//! Recall at k, median rank and mean rank, in both directions (Karpathy and Fei-Fei 2015, arXiv 1412.2306, §4.2).

use crate::embedding::{Embedding, dot};

/// Figures of one direction.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Recall {
    /// Percent of the queries whose best true answer is the first.
    pub r1: f64,
    /// … is among the first 5.
    pub r5: f64,
    /// … is among the first 10.
    pub r10: f64,
    /// Median rank of the best true answer; 1 is the first place.
    pub median_rank: f64,
    /// Mean rank of the best true answer.
    pub mean_rank: f64,
    /// Number of queries.
    pub queries: usize,
}

/// Figures of both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retrieval {
    /// A text asks for its image.
    pub text_to_image: Recall,
    /// An image asks for any of its texts.
    pub image_to_text: Recall,
}

/// Ranks every image for every text and the other way round.
///
/// `owner[t]` is the index of the image that text `t` describes. Costs `images · texts · dim` multiplications.
/// Ties count against the answer, so that a model that answers the same to everything scores nothing.
///
/// # Panics
/// If `owner` and `texts` differ in length, or an owner is no index of an image.
pub fn retrieval(images: &[Embedding], texts: &[Embedding], owner: &[usize]) -> Retrieval {
    assert_eq!(texts.len(), owner.len(), "every text has an image");
    let score = |i: usize, t: usize| dot(images[i].as_slice(), texts[t].as_slice());
    let text_ranks = (0..texts.len()).map(|t| {
        let truth = score(owner[t], t);
        1 + (0..images.len()).filter(|&i| i != owner[t] && score(i, t) >= truth).count()
    });
    let text_to_image = recall(text_ranks.collect());

    let image_ranks = (0..images.len()).filter_map(|i| {
        let scores: Vec<f32> = (0..texts.len()).map(|t| score(i, t)).collect();
        let best =
            (0..texts.len()).filter(|&t| owner[t] == i).map(|t| scores[t]).reduce(f32::max)?;
        Some(1 + (0..texts.len()).filter(|&t| owner[t] != i && scores[t] >= best).count())
    });
    Retrieval { text_to_image, image_to_text: recall(image_ranks.collect()) }
}

/// Sums up ranks, each from 1; all zero where there are none.
pub fn recall(mut ranks: Vec<usize>) -> Recall {
    ranks.sort_unstable();
    let n = ranks.len();
    let within =
        |k: usize| 100.0 * ranks.partition_point(|&rank| rank <= k) as f64 / n.max(1) as f64;
    let median_rank = match n {
        0 => 0.0,
        _ => (ranks[(n - 1) / 2] + ranks[n / 2]) as f64 / 2.0,
    };
    let mean_rank = ranks.iter().sum::<usize>() as f64 / n.max(1) as f64;
    Recall { r1: within(1), r5: within(5), r10: within(10), median_rank, mean_rank, queries: n }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_summed_up() {
        let found = recall(vec![1, 12, 1, 6, 2, 100]);
        let third = 100.0 / 3.0;
        assert_eq!((found.r1, found.r5, found.r10), (third, 50.0, 2.0 * third));
        assert_eq!((found.median_rank, found.mean_rank, found.queries), (4.0, 122.0 / 6.0, 6));
        assert_eq!(recall(vec![]).queries, 0);
    }

    #[test]
    fn both_directions_are_ranked_by_hand() {
        let at = |degrees: f32| {
            Embedding::new(vec![degrees.to_radians().cos(), degrees.to_radians().sin()]).unwrap()
        };
        let images = [at(0.0), at(90.0)];
        // The second text of image 0 lies nearer to image 1; the text of image 1 lies right on it.
        let texts = [at(10.0), at(70.0), at(90.0)];
        let found = retrieval(&images, &texts, &[0, 0, 1]);
        assert_eq!((found.text_to_image.r1, found.text_to_image.r5), (200.0 / 3.0, 100.0));
        assert_eq!(found.image_to_text.r1, 100.0);
    }

    #[test]
    fn a_constant_model_scores_nothing() {
        let same = vec![Embedding::new(vec![1.0, 0.0]).unwrap(); 30];
        let owner: Vec<usize> = (0..30).collect();
        let found = retrieval(&same, &same, &owner);
        assert_eq!((found.text_to_image.r10, found.image_to_text.r10), (0.0, 0.0));
    }
}
