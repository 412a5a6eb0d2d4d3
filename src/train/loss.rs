//! The symmetric contrastive loss with several true captions for an image.

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
}
