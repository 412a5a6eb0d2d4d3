//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2).
//!
//! `tch` has one, but its moments can be neither saved nor restored, and a resumed run must equal one that was
//! never interrupted.

use std::collections::BTreeMap;

use tch::Tensor;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.98;
const EPS: f64 = 1e-6;

/// A tensor that is trained.
pub(crate) struct Parameter {
    pub(crate) tensor: Tensor,
    /// Multiplies the learning rate.
    pub(crate) rate: f64,
    mean: Tensor,
    square: Tensor,
    /// Exponential moving average of the tensor over the steps, where one is asked for.
    average: Option<Tensor>,
}

/// Trains named tensors in place.
pub(crate) struct AdamW {
    parameters: BTreeMap<String, Parameter>,
    weight_decay: f64,
    decay: f64,
    n_steps: i32,
}

impl AdamW {
    /// An optimiser without parameters; `weight_decay` applies to tensors of two or more dimensions, so that
    /// biases and norms are left alone. `decay` in `0..1` is that of the averages (Polyak and Juditsky 1992 with
    /// exponential weights); with 0 they are the tensors themselves.
    pub(crate) fn new(weight_decay: f64, decay: f64) -> Self {
        Self { parameters: BTreeMap::new(), weight_decay, decay, n_steps: 0 }
    }

    /// Trains a tensor from now on; returns the one to compute with.
    pub(crate) fn add(&mut self, name: &str, tensor: &Tensor, rate: f64) -> Tensor {
        let tensor = tensor.detach().copy().set_requires_grad(true);
        let shared = tensor.shallow_clone();
        let (mean, square) = (tensor.zeros_like(), tensor.zeros_like());
        let average = (self.decay > 0.0).then(|| tensor.detach().copy());
        self.parameters.insert(name.to_string(), Parameter { tensor, rate, mean, square, average });
        shared
    }

    /// Descends along the gradient of a loss; gradients are scaled to a norm of at most `clip`.
    pub(crate) fn step(&mut self, loss: &Tensor, learning_rate: f64, clip: f64) {
        for parameter in self.parameters.values_mut() {
            parameter.tensor.zero_grad();
        }
        loss.backward();
        tch::no_grad(|| self.descend(learning_rate, clip));
    }

    fn descend(&mut self, learning_rate: f64, clip: f64) {
        self.n_steps += 1;
        let trained =
            || self.parameters.values().filter(|parameter| parameter.tensor.grad().defined());
        let square: f64 =
            trained().map(|p| p.tensor.grad().square().sum(None).double_value(&[])).sum();
        let scale = (clip / square.sqrt().max(1e-12)).min(1.0);
        let (bias1, bias2) = (1.0 - BETA1.powi(self.n_steps), 1.0 - BETA2.powi(self.n_steps));
        for parameter in self.parameters.values_mut() {
            let gradient = parameter.tensor.grad();
            if !gradient.defined() {
                continue;
            }
            // In place wherever it can be: the embedding table alone is ten megabytes, and each step reads it anyway.
            let gradient = gradient * scale;
            let rate = learning_rate * parameter.rate;
            let Parameter { tensor, mean, square, .. } = parameter;
            let _ = mean.lerp_(&gradient, 1.0 - BETA1);
            let _ = square.lerp_(&gradient.square(), 1.0 - BETA2);
            let mut root = &*square / bias2;
            let _ = root.sqrt_();
            root += EPS;
            let decay = if tensor.dim() > 1 { self.weight_decay } else { 0.0 };
            *tensor *= 1.0 - rate * decay;
            *tensor -= &*mean / root * (rate / bias1);
        }
        // Young averages forget faster, so that the first steps do not linger.
        let steps = f64::from(self.n_steps);
        let decay = self.decay.min((1.0 + steps) / (10.0 + steps));
        for Parameter { tensor, average, .. } in self.parameters.values_mut() {
            if let Some(average) = average {
                let _ = average.lerp_(tensor, 1.0 - decay);
            }
        }
    }

    /// The trained tensors by name, averaged over the steps.
    pub(crate) fn averages(&self) -> BTreeMap<String, Tensor> {
        self.parameters
            .iter()
            .map(|(name, parameter)| {
                let value = parameter.average.as_ref().unwrap_or(&parameter.tensor);
                (name.clone(), value.shallow_clone())
            })
            .collect()
    }

    /// Puts the averages in the place of the tensors, or what was there back: calling it twice changes nothing.
    pub(crate) fn swap_averages(&mut self) {
        tch::no_grad(|| {
            for Parameter { tensor, average, .. } in self.parameters.values_mut() {
                let Some(average) = average else { continue };
                let value = tensor.copy();
                tensor.copy_(average);
                average.copy_(&value);
            }
        });
    }

    /// Everything that a resumed run needs: the tensors, their moments and the number of steps.
    pub(crate) fn state(&self) -> BTreeMap<String, Tensor> {
        let mut state =
            BTreeMap::from([("steps".to_string(), Tensor::from_slice(&[self.n_steps as f32]))]);
        for (name, parameter) in &self.parameters {
            state.insert(format!("value/{name}"), parameter.tensor.shallow_clone());
            state.insert(format!("mean/{name}"), parameter.mean.shallow_clone());
            state.insert(format!("square/{name}"), parameter.square.shallow_clone());
            if let Some(average) = &parameter.average {
                state.insert(format!("average/{name}"), average.shallow_clone());
            }
        }
        state
    }

    /// Puts a [`AdamW::state`] back; `read` gives a tensor of the state by its name.
    pub(crate) fn restore<E>(
        &mut self,
        mut read: impl FnMut(&str) -> Result<Tensor, E>,
    ) -> Result<(), E> {
        self.n_steps = read("steps")?.double_value(&[0]) as i32;
        for (name, parameter) in &mut self.parameters {
            let value = read(&format!("value/{name}"))?;
            let average = match parameter.average {
                Some(_) => Some(read(&format!("average/{name}"))?),
                None => None,
            };
            let (mean, square) = (read(&format!("mean/{name}"))?, read(&format!("square/{name}"))?);
            tch::no_grad(|| {
                parameter.tensor.copy_(&value);
                parameter.mean.copy_(&mean);
                parameter.square.copy_(&square);
                parameter.average = average;
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values: `torch.optim.AdamW([[1, -2]], lr=0.1, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)` after
    /// three steps on `(x * x * [1, 3]).sum()`, in f64.
    #[test]
    fn steps_equal_the_reference() {
        let mut optimizer = AdamW::new(0.1, 0.0);
        let x = optimizer.add("x", &Tensor::from_slice2(&[[1.0f64, -2.0]]), 1.0);
        for _ in 0..3 {
            let loss = (&x * &x * Tensor::from_slice(&[1.0f64, 3.0])).sum(None);
            optimizer.step(&loss, 0.1, f64::INFINITY);
        }
        let found: Vec<f64> = Vec::try_from(x.detach().view(-1)).unwrap();
        for (found, expected) in found.iter().zip(REFERENCE) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    const REFERENCE: [f64; 2] = [0.6748931920328622, -1.6442588418872668];

    #[test]
    fn a_restored_run_goes_on_as_if_never_interrupted() {
        let run = |optimizer: &mut AdamW, x: &Tensor, n: usize| {
            for _ in 0..n {
                optimizer.step(&(x * x).sum(None), 0.05, 1.0);
            }
        };
        let start = Tensor::from_slice(&[3.0f32, -1.0]);
        let mut whole = AdamW::new(0.01, 0.9);
        let expected = whole.add("x", &start, 1.0);
        run(&mut whole, &expected, 6);

        let mut first = AdamW::new(0.01, 0.9);
        let x = first.add("x", &start, 1.0);
        run(&mut first, &x, 3);
        let state = first.state();
        let mut second = AdamW::new(0.01, 0.9);
        let x = second.add("x", &start, 1.0);
        second.restore(|name| state.get(name).map(Tensor::copy).ok_or(())).unwrap();
        run(&mut second, &x, 3);
        assert_eq!(
            Vec::<f32>::try_from(x.detach()).unwrap(),
            Vec::<f32>::try_from(expected.detach()).unwrap()
        );
    }

    #[test]
    fn averages_follow_the_tensor_and_are_put_in_its_place() {
        let mut optimizer = AdamW::new(0.0, 0.5);
        let x = optimizer.add("x", &Tensor::from_slice(&[1.0f64]), 1.0);
        let value = |x: &Tensor| x.double_value(&[0]);
        let mut expected = 1.0;
        for decay in [2.0 / 11.0, 3.0 / 12.0, 4.0 / 13.0] {
            optimizer.step(&(&x * &x).sum(None), 0.1, f64::INFINITY);
            expected = expected * decay + value(&x) * (1.0 - decay);
        }
        let last = value(&x);
        assert!((value(&optimizer.averages()["x"]) - expected).abs() < 1e-12);
        optimizer.swap_averages();
        assert!((value(&x) - expected).abs() < 1e-12 && expected != last);
        optimizer.swap_averages();
        assert_eq!(value(&x), last);
    }
}
