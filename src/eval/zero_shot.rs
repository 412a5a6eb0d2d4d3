//! Zero-shot classification: how often the class whose name lies nearest is the right one.

use crate::embedding::{Embedding, dot};

/// Figures of a classification without a trained classifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZeroShot {
    /// Percent of the images whose class is the first.
    pub top1: f64,
    /// … is among the first 5.
    pub top5: f64,
    /// Mean over the classes of the percentage of their images that are right, so that large classes do not rule.
    pub mean_per_class: f64,
    /// Number of images.
    pub images: usize,
    /// Number of classes to choose from.
    pub classes: usize,
}

/// Ranks every class for every image; `truth[i]` is the class of image `i`. Ties count against the answer.
///
/// # Panics
/// If `images` and `truth` differ in length, or a truth is no index of a class.
pub fn zero_shot(images: &[Embedding], classes: &[Embedding], truth: &[usize]) -> ZeroShot {
    assert_eq!(images.len(), truth.len(), "every image has a class");
    let (mut top1, mut top5) = (0, 0);
    let mut of_class = vec![(0usize, 0usize); classes.len()];
    for (image, &class) in images.iter().zip(truth) {
        let score = |c: usize| dot(image.as_slice(), classes[c].as_slice());
        let right = score(class);
        let n_before = (0..classes.len()).filter(|&c| c != class && score(c) >= right).count();
        top1 += usize::from(n_before < 1);
        top5 += usize::from(n_before < 5);
        of_class[class].0 += usize::from(n_before < 1);
        of_class[class].1 += 1;
    }
    let percent = |n: usize, of: usize| 100.0 * n as f64 / of.max(1) as f64;
    let seen: Vec<f64> =
        of_class.iter().filter(|(_, n)| *n > 0).map(|&(n_right, n)| percent(n_right, n)).collect();
    ZeroShot {
        top1: percent(top1, images.len()),
        top5: percent(top5, images.len()),
        mean_per_class: seen.iter().sum::<f64>() / seen.len().max(1) as f64,
        images: images.len(),
        classes: classes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(degrees: f32) -> Embedding {
        Embedding::new(vec![degrees.to_radians().cos(), degrees.to_radians().sin()]).unwrap()
    }

    #[test]
    fn classes_are_ranked_by_hand() {
        let classes = [at(0.0), at(60.0), at(120.0), at(180.0), at(240.0), at(300.0)];
        // Right, right, second, and the opposite of its class, which is last of the six.
        let images = [at(5.0), at(-10.0), at(50.0), at(179.0)];
        let found = zero_shot(&images, &classes, &[0, 0, 0, 0]);
        assert_eq!((found.top1, found.top5, found.mean_per_class), (50.0, 75.0, 50.0));
        let found = zero_shot(&images, &classes, &[0, 0, 0, 3]);
        assert_eq!((found.top1, found.mean_per_class), (75.0, (200.0 / 3.0 + 100.0) / 2.0));
    }

    #[test]
    fn a_constant_model_scores_nothing() {
        let found = zero_shot(&[at(0.0)], &[at(9.0), at(9.0)], &[0]);
        assert_eq!(found.top1, 0.0);
    }
}
