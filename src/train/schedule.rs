//! The learning rate over time: linear warm-up, then half a cosine down to zero (SGDR, arXiv 1608.03983, one cycle).

/// Factor for the peak learning rate at a step in `0..n_steps`.
pub(crate) fn factor(step: u64, n_steps: u64, n_warmup: u64) -> f64 {
    if step < n_warmup {
        return (step + 1) as f64 / n_warmup as f64;
    }
    let done = (step - n_warmup) as f64 / (n_steps.saturating_sub(n_warmup)).max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(
            close(factor(0, 100, 10), 0.1)
                && close(factor(9, 100, 10), 1.0)
                && close(factor(10, 100, 10), 1.0)
        );
        assert!(close(factor(55, 100, 10), 0.5) && close(factor(100, 100, 10), 0.0));
        assert!(close(factor(0, 1, 0), 1.0));
    }
}
