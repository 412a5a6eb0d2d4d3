//! Features of classes, made up from a linear classifier, for classes of which there are few pictures.
//!
//! The rows of a classifier are close to Fisher's discriminants `Σ⁻¹ (μ_c − μ)` (linear discriminant analysis), so
//! `Σ w_c` points from the mean of all features to the centre of class `c`. A feature is made of that direction, as far
//! along it as real pictures lie along theirs, and of what a random picture has besides its own class.

use tch::{Kind, Tensor};

/// Draws features of random classes.
pub(super) struct Synthesizer {
    /// `[features]`.
    mean: Tensor,
    /// Unit vectors `[classes, features]`.
    directions: Tensor,
    /// What the pictures have besides mean and class, `[n, features]`.
    rest: Tensor,
    /// How far each picture lies along the direction of its class, `[n]`.
    along: Vec<f32>,
    /// The largest feature of a picture; an activation such as ReLU6 gives no larger one.
    largest: f64,
}

impl Synthesizer {
    /// From features `[n, features]` of pictures, the class of each, and the classifier's `[classes, features]`.
    pub(super) fn new(features: &Tensor, classes: &[i64], weight: &Tensor) -> Self {
        let rows = [0i64];
        let mean = features.mean_dim(rows.as_slice(), false, Kind::Float);
        let centred = features - &mean; // [n, features]
        let covariance = centred.transpose(0, 1).matmul(&centred) / features.size()[0] as f64;
        let contrast = weight - weight.mean_dim(rows.as_slice(), true, Kind::Float);
        let directions = unit(&contrast.matmul(&covariance)); // [classes, features]
        let classes = Tensor::from_slice(classes).to_device(features.device());
        let own = directions.index_select(0, &classes); // [n, features]
        let along = (&centred * &own).sum_dim_intlist([1i64].as_slice(), true, Kind::Float); // [n, 1]
        Self {
            mean,
            rest: centred - own * &along,
            along: Vec::try_from(along.view(-1).to_device(tch::Device::Cpu))
                .expect("f32 values are f32 values"),
            directions,
            largest: features.max().double_value(&[]),
        }
    }

    /// Features `[n, features]` of `n` random classes; none is negative.
    pub(super) fn draw(&self, n: usize, rng: &mut fastrand::Rng) -> Tensor {
        let device = self.mean.device();
        let mut indices = |below: i64| -> Tensor {
            let drawn: Vec<i64> = (0..n).map(|_| rng.i64(0..below)).collect();
            Tensor::from_slice(&drawn).to_device(device)
        };
        let direction = self.directions.index_select(0, &indices(self.directions.size()[0])); // [n, features]
        let rest = self.rest.index_select(0, &indices(self.rest.size()[0])); // [n, features]
        let shared = (&rest * &direction).sum_dim_intlist([1i64].as_slice(), true, Kind::Float);
        // A picture that its class describes badly would make one that belongs to no class.
        let usual = self.along.iter().sum::<f32>() / self.along.len() as f32;
        let along: Vec<f32> =
            (0..n).map(|_| self.along[rng.usize(0..self.along.len())].max(usual / 2.0)).collect();
        let along = Tensor::from_slice(&along).to_device(device).unsqueeze(-1); // [n, 1]
        (&self.mean + rest + direction * (along - shared)).clamp(0.0, self.largest)
    }
}

fn unit(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).clamp_min(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes around their centres, and the classifier that linear discriminant analysis gives for them.
    #[test]
    fn drawn_features_are_of_the_class_that_the_classifier_says() {
        let mut rng = fastrand::Rng::with_seed(5);
        let centres = [[4.0f32, 1.0, 1.0, 2.0], [1.0, 4.0, 1.0, 2.0], [1.0, 1.0, 4.0, 2.0]];
        let (mut rows, mut classes) = (Vec::new(), Vec::new());
        for i in 0..300 {
            let noise = |rng: &mut fastrand::Rng| rng.f32() - 0.5;
            rows.extend(centres[i % 3].map(|v| v + noise(&mut rng)));
            classes.push((i % 3) as i64);
        }
        let features = Tensor::from_slice(&rows).view([300, 4]);
        let weight = Tensor::from_slice2(&centres) - 2.25;
        let synthesizer = Synthesizer::new(&features, &classes, &weight);
        let drawn = synthesizer.draw(200, &mut rng);
        // Every one lies near one of the centres, and each class is drawn.
        let to_centres = drawn.unsqueeze(1) - Tensor::from_slice2(&centres).unsqueeze(0);
        let (nearest, class) =
            to_centres.norm_scalaropt_dim(2.0, [2i64].as_slice(), false).min_dim(1, false);
        assert!(nearest.max().double_value(&[]) < 2.0, "{}", nearest.max().double_value(&[]));
        for c in 0..3 {
            assert!(class.eq(c).sum(Kind::Int64).int64_value(&[]) > 40);
        }
        assert!(drawn.min().double_value(&[]) >= 0.0);
    }
}
