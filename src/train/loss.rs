//! Losses over the images and texts of a step, where an image may have several true texts.

use tch::{Kind, Tensor};

/// InfoNCE in both directions (Radford et al. 2021, arXiv 2103.00020, figure 3), where an image may have several
/// texts: a text must pick its image, and an image must share its probability among all of its texts.
///
/// `images` `[b, dim]` and `texts` `[m, dim]` are unit vectors, `owner` `[m]` (i64) is the image of each text, `scale`
/// is the inverse temperature. Every image owns at least one text.
pub(crate) fn contrastive(
    images: &Tensor,
    texts: &Tensor,
    owner: &Tensor,
    scale: &Tensor,
) -> Tensor {
    let logits = texts.matmul(&images.transpose(0, 1)) * scale; // [m, b]
    let text_loss = logits.cross_entropy_for_logits(owner);
    let truth = owner.one_hot(images.size()[0]).to_kind(Kind::Float); // [m, b]
    let truth = &truth / truth.sum_dim_intlist([0i64].as_slice(), true, Kind::Float);
    let image_loss =
        -(logits.log_softmax(0, Kind::Float) * truth).sum(Kind::Float) / images.size()[0] as f64;
    (text_loss + image_loss) * 0.5
}

/// The sigmoid loss (SigLIP, Zhai et al. 2023, arXiv 2303.15343, algorithm 1): every image and text is a question of its
/// own, answered by the logistic function of `scale · cosine + bias`. Arguments as [`contrastive`].
pub(crate) fn sigmoid(
    images: &Tensor,
    texts: &Tensor,
    owner: &Tensor,
    scale: &Tensor,
    bias: &Tensor,
) -> Tensor {
    let logits = texts.matmul(&images.transpose(0, 1)) * scale + bias; // [m, b]
    let truth = owner.one_hot(images.size()[0]).to_kind(Kind::Float); // [m, b]
    let sign = truth * 2.0 - 1.0;
    -(sign * logits).log_sigmoid().sum(Kind::Float) / images.size()[0] as f64
}

/// The hinge on the hardest negative (VSE++, Faghri et al. 2018, arXiv 1707.05612, equation 6): how far the nearest
/// wrong image of each text, and the nearest wrong text of each image's text, come within `MARGIN` of the true pair.
pub(crate) fn hardest_negative(images: &Tensor, texts: &Tensor, owner: &Tensor) -> Tensor {
    const MARGIN: f64 = 0.2;
    let cosines = texts.matmul(&images.transpose(0, 1)); // [m, b]
    let is_pair = owner.one_hot(images.size()[0]).to_kind(Kind::Bool);
    let right = cosines.gather(1, &owner.unsqueeze(-1), false); // [m, 1]
    let wrong = cosines.masked_fill(&is_pair, f64::NEG_INFINITY);
    let wrong_image = wrong.amax([1i64].as_slice(), true); // [m, 1]
    let wrong_text = wrong.amax([0i64].as_slice(), false).index_select(0, owner).unsqueeze(-1); // [m, 1]
    let hinge = |wrong: Tensor| (wrong - &right + MARGIN).relu().mean(Kind::Float);
    hinge(wrong_image) + hinge(wrong_text)
}

/// Cross-entropy of a teacher's probabilities `[b, classes]` with the student's softmax over `logits` of the same shape
/// (Hinton et al. 2015, arXiv 1503.02531).
pub(crate) fn distillation(logits: &Tensor, teacher: &Tensor) -> Tensor {
    -(logits.log_softmax(-1, Kind::Float) * teacher).sum(Kind::Float) / logits.size()[0] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(images: &[[f32; 2]], texts: &[[f32; 2]], owner: &[i64], scale: f64) -> f64 {
        let scale = Tensor::from(scale).to_kind(Kind::Float);
        let owner = Tensor::from_slice(owner);
        contrastive(&Tensor::from_slice2(images), &Tensor::from_slice2(texts), &owner, &scale)
            .double_value(&[])
    }

    #[test]
    fn equals_the_sum_by_hand() {
        // Logits (scale 2): text 0 [2, 0], text 1 [0, 2], text 2 [2, 0]; texts 0 and 1 are of image 0, text 2 of image 1.
        let found =
            loss(&[[1.0, 0.0], [0.0, 1.0]], &[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], &[0, 1, 0], 2.0);
        let e2 = 2.0f64.exp();
        let right = -(e2 / (e2 + 1.0)).ln();
        // Images: image 0 sees [2, 0, 2] with truth (1/2, 0, 1/2), image 1 sees [0, 2, 0] with truth (0, 1, 0).
        let image = (-(e2 / (2.0 * e2 + 1.0)).ln() - (e2 / (e2 + 2.0)).ln()) / 2.0;
        assert!((found - (right + image) / 2.0).abs() < 1e-5, "{found}");
    }

    #[test]
    fn is_lower_where_texts_lie_on_their_images() {
        let images = [[1.0, 0.0], [0.0, 1.0]];
        let texts = [[0.8, 0.6], [0.6, 0.8]];
        assert!(loss(&images, &texts, &[0, 1], 5.0) < loss(&images, &texts, &[1, 0], 5.0));
    }

    #[test]
    fn the_sigmoid_loss_equals_the_sum_by_hand() {
        let (images, texts) = ([[1.0f32, 0.0], [0.0, 1.0]], [[1.0f32, 0.0], [0.6, 0.8]]);
        let tensor = |value: f32| Tensor::from_slice(&[value]);
        let found = sigmoid(
            &Tensor::from_slice2(&images),
            &Tensor::from_slice2(&texts),
            &Tensor::from_slice(&[0i64, 1]),
            &tensor(10.0),
            &tensor(-5.0),
        );
        // Logits: text 0 [5, -5], text 1 [1, 3]; signs [+, -], [-, +].
        let softplus = |x: f64| (1.0 + x.exp()).ln();
        let expected = (softplus(-5.0) + softplus(-5.0) + softplus(1.0) + softplus(-3.0)) / 2.0;
        assert!((found.double_value(&[]) - expected).abs() < 1e-5);
    }

    #[test]
    fn the_hinge_sees_only_the_hardest_negative() {
        let hinge = |images: &[[f32; 2]], texts: &[[f32; 2]]| {
            let owner: Vec<i64> = (0..texts.len() as i64).collect();
            let owner = Tensor::from_slice(&owner);
            hardest_negative(&Tensor::from_slice2(images), &Tensor::from_slice2(texts), &owner)
                .double_value(&[])
        };
        let right_angle = [[1.0, 0.0], [0.0, 1.0]];
        assert_eq!(hinge(&right_angle, &right_angle), 0.0);
        // Text 0: right 0.6, wrong 0.8 → 0.4; text 1: 0. Nearest wrong text of image 0 is at 0, of image 1 at 0.8 with
        // right 1 → 0.
        let found = hinge(&right_angle, &[[0.6, 0.8], [0.0, 1.0]]);
        assert!((found - 0.2).abs() < 1e-6, "{found}");
    }

    #[test]
    fn distillation_is_least_at_the_teacher() {
        let teacher = Tensor::from_slice2(&[[0.7f32, 0.2, 0.1]]);
        let at = |logits: &Tensor| distillation(logits, &teacher).double_value(&[]);
        let entropy = -(0.7f64 * 0.7f64.ln() + 0.2 * 0.2f64.ln() + 0.1 * 0.1f64.ln());
        assert!((at(&teacher.log()) - entropy).abs() < 1e-6);
        assert!(at(&Tensor::zeros([1, 3], (Kind::Float, tch::Device::Cpu))) > entropy);
    }
}
