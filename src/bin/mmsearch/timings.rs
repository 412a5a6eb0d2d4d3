//! Where the time of a query went.

use std::time::{Duration, Instant};

use mmsearch::encoder::{Encoder, Logit, Preprocess, Space};
use mmsearch::{Embedding, Pixels, Result};

use crate::exit::tell;

/// The steps of a query, in their order.
pub(crate) struct Timings {
    began: Instant,
    step_began: Instant,
    steps: Vec<(&'static str, Duration)>,
}

impl Timings {
    pub(crate) fn begin() -> Self {
        let began = Instant::now();
        Self { began, step_began: began, steps: Vec::new() }
    }

    /// Ends a step; what comes now is the next one.
    pub(crate) fn step(&mut self, name: &'static str) {
        let now = Instant::now();
        self.steps.push((name, now - self.step_began));
        self.step_began = now;
    }

    /// Ends a step of which a part was encoding.
    pub(crate) fn step_with_encoding(&mut self, name: &'static str, encoding: Duration) {
        self.step(name);
        if let Some((_, took)) = self.steps.last_mut() {
            *took = took.saturating_sub(encoding);
        }
        self.steps.insert(self.steps.len() - 1, ("encode", encoding));
    }

    /// Prints a line for each step.
    pub(crate) fn tell(&self) {
        let all = [("all", self.began.elapsed())];
        for (name, took) in self.steps.iter().chain(&all) {
            tell(&format!("{name:<14} {:8.1} ms", took.as_secs_f64() * 1000.0));
        }
    }
}

/// An encoder with a stopwatch.
pub(crate) struct Timed {
    encoder: Box<dyn Encoder>,
    pub(crate) encoding: Duration,
}

impl Timed {
    pub(crate) fn new(encoder: Box<dyn Encoder>) -> Self {
        Self { encoder, encoding: Duration::ZERO }
    }

    fn measured<T>(&mut self, run: impl FnOnce(&mut dyn Encoder) -> T) -> T {
        let began = Instant::now();
        let result = run(self.encoder.as_mut());
        self.encoding += began.elapsed();
        result
    }
}

impl Encoder for Timed {
    fn space(&self) -> &Space {
        self.encoder.space()
    }

    fn preprocess(&self) -> &Preprocess {
        self.encoder.preprocess()
    }

    fn logit(&self) -> &Logit {
        self.encoder.logit()
    }

    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        self.measured(|encoder| encoder.encode_images(pictures))
    }

    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.measured(|encoder| encoder.encode_texts(texts))
    }

    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        self.measured(|encoder| encoder.reads_whole(text))
    }
}
