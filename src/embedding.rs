//! A point of the shared space: finite and of unit length, by construction.

use crate::error::{Error, Result};

/// How far the length of a vector may be from 1 before it is refused.
///
/// Rounding in f32 moves the length of a 1024-d vector by about 1e-6; half-precision storage by about 1e-4.
const NORM_TOLERANCE: f64 = 1e-3;

/// A finite vector of unit length in the shared space.
///
/// The score of two embeddings is their cosine, which for unit vectors is the dot product.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Takes a vector that is a unit vector already.
    ///
    /// # Errors
    /// [`Error::BadEmbedding`] if it is empty, not finite, or its length is outside 1 ± 0.001.
    pub fn new(values: Vec<f32>) -> Result<Self> {
        let norm = norm(&values)?;
        if (norm - 1.0).abs() > NORM_TOLERANCE {
            return Err(Error::BadEmbedding { reason: format!("its length is {norm}, not 1") });
        }
        Ok(Self(values.into_boxed_slice()))
    }

    /// Scales a vector to unit length.
    ///
    /// # Errors
    /// [`Error::BadEmbedding`] if it is empty, not finite, or zero.
    pub fn normalized(mut values: Vec<f32>) -> Result<Self> {
        let norm = norm(&values)?;
        if norm < 1e-12 {
            return Err(Error::BadEmbedding { reason: "it is zero".into() });
        }
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
        Ok(Self(values.into_boxed_slice()))
    }

    /// Number of components.
    pub fn dim(&self) -> usize {
        self.0.len()
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Cosine with another embedding of the same dimension, in -1..=1; higher is closer.
    pub fn score(&self, other: &Self) -> f32 {
        dot(&self.0, &other.0).clamp(-1.0, 1.0)
    }
}

/// Dot product, summed in eight lanes so that the compiler can vectorise it.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one space have one dimension");
    let mut lanes = [0.0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + tail
}

/// Euclidean length, accumulated in f64 so that a long vector of large values does not overflow.
fn norm(values: &[f32]) -> Result<f64> {
    if values.is_empty() {
        return Err(Error::BadEmbedding { reason: "it is empty".into() });
    }
    if let Some(position) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::BadEmbedding {
            reason: format!("component {position} is {}", values[position]),
        });
    }
    Ok(values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_vectors_cannot_become_embeddings() {
        for (values, reason) in [
            (vec![], "it is empty"),
            (vec![0.6, f32::NAN], "component 1 is NaN"),
            (vec![f32::INFINITY, 0.0], "component 0 is inf"),
        ] {
            assert!(Embedding::new(values.clone()).unwrap_err().to_string().contains(reason));
            assert!(Embedding::normalized(values).unwrap_err().to_string().contains(reason));
        }
        assert!(
            Embedding::new(vec![2.0, 0.0]).unwrap_err().to_string().contains("its length is 2")
        );
        assert!(
            Embedding::normalized(vec![0.0, 0.0]).unwrap_err().to_string().contains("it is zero")
        );
    }

    #[test]
    fn score_is_the_cosine() {
        let a = Embedding::normalized(vec![3.0, 4.0]).unwrap();
        let b = Embedding::new(vec![1.0, 0.0]).unwrap();
        assert_eq!(a.as_slice(), [0.6, 0.8]);
        assert_eq!(a.score(&b), 0.6);
        let large = Embedding::normalized(vec![3e38; 16]).unwrap();
        assert!((large.score(&large) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn dot_equals_the_plain_sum() {
        let a: Vec<f32> = (0..37).map(|i| i as f32 * 0.25 - 3.0).collect();
        let b: Vec<f32> = (0..37).map(|i| 5.0 - i as f32 * 0.5).collect();
        let plain: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(x * y)).sum();
        assert!((f64::from(dot(&a, &b)) - plain).abs() < 1e-3);
    }
}
