//! Links of one layer while it is built: rows of bounded length, chosen so that they point in different
//! directions, and mended so that every node can be reached.

use rayon::prelude::*;

use super::codes::CodeView;
use super::graph::EMPTY;
use super::hnsw::distance;

/// How many times nearer, squared, a candidate must be to a kept one to be left out of what room is left.
///
/// 1.2 after 1 made recall@10 of image queries .949 instead of .939 at a beam of 20 among 100,000 drawn vectors, and .940
/// instead of .908 among photos; 1.2 or more from the start costs the directions that text queries need.
const RELAXED: f64 = 1.2;

/// A row of links for each node; what a row does not need is [`EMPTY`] and lies at its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    pub(super) width: usize,
    pub(super) links: Vec<u32>,
}

impl Rows {
    pub(super) fn new(n_nodes: usize, width: usize) -> Self {
        Self { width, links: vec![EMPTY; n_nodes * width] }
    }

    pub(super) fn len(&self) -> usize {
        self.links.len() / self.width.max(1)
    }

    /// The links of a node.
    pub(super) fn row(&self, node: usize) -> &[u32] {
        let row = &self.links[node * self.width..(node + 1) * self.width];
        &row[..row.iter().position(|&link| link == EMPTY).unwrap_or(self.width)]
    }

    /// Replaces a row by the first links that fit.
    pub(super) fn set(&mut self, node: usize, links: impl IntoIterator<Item = u32>) {
        let row = &mut self.links[node * self.width..(node + 1) * self.width];
        row.fill(EMPTY);
        row.iter_mut().zip(links).for_each(|(slot, link)| *slot = link);
    }

    /// Adds a link; whether it was new and there was room.
    pub(super) fn add(&mut self, node: usize, link: u32) -> bool {
        let row = &mut self.links[node * self.width..(node + 1) * self.width];
        for slot in row {
            if *slot == link {
                return false;
            }
            if *slot == EMPTY {
                *slot = link;
                return true;
            }
        }
        false
    }

    /// The same links in wider rows.
    pub(super) fn widened(&self, width: usize) -> Self {
        let mut wide = Self::new(self.len(), width);
        let rows = wide.links.chunks_exact_mut(width).zip(self.links.chunks_exact(self.width));
        rows.for_each(|(wide, row)| wide[..self.width].copy_from_slice(row));
        wide
    }
}

/// What distances between nodes are computed from.
#[derive(Clone, Copy)]
pub(super) struct Metric<'a> {
    pub(super) codes: CodeView<'a>,
    /// The dot product of each node's codes with themselves.
    pub(super) squares: &'a [i32],
}

/// The dot product of each node's codes with themselves.
pub(super) fn squares(codes: CodeView<'_>) -> Vec<i32> {
    let square = |node: u32| codes.kernel.dot(codes.row(node), codes.row(node));
    (0..codes.len() as u32).into_par_iter().map(square).collect()
}

impl Metric<'_> {
    pub(super) fn distance(self, a: u32, b: u32) -> i32 {
        distance(self.codes, self.squares, a, b)
    }

    /// Up to `max_links` of `candidates` such that none is nearer to another one that was kept than to the node: the
    /// relative neighbourhood rule of HNSW (Malkov and Yashunin 2016, algorithm 4). If that leaves room, others follow by a
    /// relaxed rule, as in DiskANN (Subramanya et al. 2019, algorithm 2).
    pub(super) fn choose(self, node: u32, candidates: &mut Vec<u32>, max_links: usize) -> Vec<u32> {
        candidates.sort_unstable();
        candidates.dedup();
        let mut near: Vec<(i32, u32)> = (candidates.iter())
            .filter(|&&other| other != node)
            .map(|&other| (self.distance(node, other), other))
            .collect();
        near.sort_unstable();
        let mut kept: Vec<u32> = Vec::with_capacity(max_links);
        for relaxed in [1.0, RELAXED] {
            near.retain(|&(own, candidate)| {
                let is_apart = |&other: &u32| {
                    f64::from(self.distance(candidate, other)) * relaxed > f64::from(own)
                };
                let is_kept = kept.len() < max_links && kept.iter().all(is_apart);
                if is_kept {
                    kept.push(candidate);
                }
                !is_kept
            });
        }
        kept
    }

    /// Gives each node the links that point to it too, and chooses where these are too many.
    pub(super) fn join(self, out: &Rows) -> Rows {
        let (starts, sources) = incoming(out);
        let mut joined = Rows::new(out.len(), out.width);
        joined.links.par_chunks_mut(out.width).enumerate().for_each(|(node, row)| {
            let mut links = out.row(node).to_vec();
            let n_out = links.len();
            for &source in &sources[starts[node]..starts[node + 1]] {
                if !links[..n_out].contains(&source) {
                    links.push(source);
                }
            }
            if links.len() > out.width {
                links = self.choose(node as u32, &mut links, out.width);
            }
            row.iter_mut().zip(links).for_each(|(slot, link)| *slot = link);
        });
        joined
    }

    /// Gives every node that no link points to one from its nearest neighbours.
    pub(super) fn reach(self, rows: &mut Rows) {
        let mut is_reached = vec![false; rows.len()];
        let links = rows.links.iter().filter(|&&link| link != EMPTY);
        links.for_each(|&link| is_reached[link as usize] = true);
        for node in (0..rows.len()).filter(|&node| !is_reached[node]) {
            let near = rows.row(node).to_vec();
            // Without room anywhere the node stays an orphan, which every search compares with directly.
            near.into_iter().any(|near| rows.add(near as usize, node as u32));
        }
    }
}

/// Where in the second list the nodes begin that link to each node.
fn incoming(rows: &Rows) -> (Vec<usize>, Vec<u32>) {
    let mut starts = vec![0; rows.len() + 1];
    let links = || rows.links.iter().filter(|&&link| link != EMPTY);
    links().for_each(|&link| starts[link as usize + 1] += 1);
    for node in 0..rows.len() {
        starts[node + 1] += starts[node];
    }
    let mut sources = vec![0; starts[rows.len()]];
    let mut next = starts.clone();
    for node in 0..rows.len() {
        for &link in rows.row(node) {
            sources[next[link as usize]] = node as u32;
            next[link as usize] += 1;
        }
    }
    (starts, sources)
}
