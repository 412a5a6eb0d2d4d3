//! Deterministic vectors for the tests of this module.

use std::collections::HashSet;

use super::NodeVectors;
use super::codes::{Codes, Quantizer};
use crate::query::Neighbor;

/// Nodes that own their vectors.
#[derive(Clone)]
pub(super) struct Nodes {
    pub(super) keys: Vec<u64>,
    pub(super) vectors: Vec<f32>,
    pub(super) dim: usize,
}

impl Nodes {
    /// Unit vectors around `n_clusters` centres; the keys are 100, 101, ….
    pub(super) fn clustered(n_nodes: usize, dim: usize, n_clusters: usize, seed: u64) -> Self {
        let mut noise = Noise(seed);
        let mut random = |scale: f32| (0..dim).map(|_| noise.next() * scale).collect::<Vec<f32>>();
        let centres: Vec<Vec<f32>> = (0..n_clusters).map(|_| random(1.0)).collect();
        let mut vectors = Vec::with_capacity(n_nodes * dim);
        for node in 0..n_nodes {
            let centre = &centres[node % n_clusters];
            vectors.extend(unit(centre.iter().zip(random(0.7)).map(|(a, b)| a + b).collect()));
        }
        Self { keys: (100..100 + n_nodes as u64).collect(), vectors, dim }
    }

    pub(super) fn view(&self) -> NodeVectors<'_> {
        NodeVectors { keys: &self.keys, vectors: &self.vectors, dim: self.dim }
    }

    /// These vectors as codes that are fitted to them.
    pub(super) fn codes(&self) -> Codes {
        let mut codes = Codes::new(Quantizer::fit(&self.vectors, self.dim), self.keys.len());
        self.vectors.chunks_exact(self.dim).for_each(|vector| codes.push(vector));
        codes
    }

    pub(super) fn vector(&self, node: usize) -> &[f32] {
        &self.vectors[node * self.dim..(node + 1) * self.dim]
    }
}

pub(super) fn keys_of(neighbors: &[Neighbor]) -> Vec<u64> {
    neighbors.iter().map(|neighbor| neighbor.key).collect()
}

/// The part of `expected` that was found.
pub(super) fn recall(found: &[Neighbor], expected: &[Neighbor]) -> f64 {
    let found: HashSet<u64> = found.iter().map(|neighbor| neighbor.key).collect();
    let n_hits = expected.iter().filter(|neighbor| found.contains(&neighbor.key)).count();
    n_hits as f64 / expected.len() as f64
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let norm = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    values.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    values
}

/// SplitMix64, summed to something close to a normal distribution.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        (0..4).map(|_| self.uniform()).sum::<f32>() - 2.0
    }

    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}
