//! The last step of a model: from cosines to probabilities, as it was trained to mean them.

use serde::{Deserialize, Serialize};

/// From a cosine to a logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Logit {
    /// Softmax over `scale · cosine`.
    Softmax {
        /// Inverse of the temperature.
        scale: f64,
    },
    /// The logistic function of `scale · cosine + bias` (SigLIP, arXiv 2303.15343).
    Sigmoid {
        /// Inverse of the temperature.
        scale: f64,
        /// The logit of two vectors at right angles.
        bias: f64,
    },
}

impl Logit {
    /// Inverse of the temperature.
    pub fn scale(&self) -> f64 {
        match self {
            Self::Softmax { scale } | Self::Sigmoid { scale, .. } => *scale,
        }
    }

    /// How probable each of some answers is, out of its cosine with the question.
    ///
    /// Softmax takes them for alternatives, so that they sum to 1; the logistic function judges each for itself.
    pub fn probabilities(&self, cosines: &[f32]) -> Vec<f32> {
        match *self {
            Self::Softmax { scale } => softmax(cosines, scale),
            Self::Sigmoid { scale, bias } => {
                cosines.iter().map(|&cosine| logistic(scale * f64::from(cosine) + bias)).collect()
            }
        }
    }
}

/// The largest logit is taken off all of them first: `exp` overflows at 710, and a scale of 100 is usual.
fn softmax(cosines: &[f32], scale: f64) -> Vec<f32> {
    let logits = cosines.iter().map(|&cosine| scale * f64::from(cosine));
    let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| (power / sum) as f32).collect()
}

/// Far below zero `exp` is infinite, and one by that is the right 0.
fn logistic(logit: f64) -> f32 {
    (1.0 / (1.0 + (-logit).exp())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_by_hand() {
        // exp of 0, ln 2 and ln 5 is 1, 2 and 5.
        let cosines = [0.0, 2f32.ln() / 2.0, 5f32.ln() / 2.0];
        let found = Logit::Softmax { scale: 2.0 }.probabilities(&cosines);
        for (found, expected) in found.iter().zip([0.125, 0.25, 0.625]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn logistic_by_hand() {
        // 1 / (1 + exp(-x)) of ln 3, 0 and -ln 3 is 3/4, 1/2 and 1/4.
        let third = 3f32.ln() / 10.0;
        let head = Logit::Sigmoid { scale: 10.0, bias: -5.0 };
        let found = head.probabilities(&[0.5 + third, 0.5, 0.5 - third]);
        for (found, expected) in found.iter().zip([0.75, 0.5, 0.25]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn extreme_scales_give_numbers() {
        let found = Logit::Softmax { scale: 1e6 }.probabilities(&[1.0, -1.0, 1.0]);
        assert_eq!(found, [0.5, 0.0, 0.5]);
        let found = Logit::Sigmoid { scale: 1e6, bias: 0.0 }.probabilities(&[1.0, -1.0]);
        assert_eq!(found, [1.0, 0.0]);
        assert!(Logit::Softmax { scale: 1.0 }.probabilities(&[]).is_empty());
    }
}
