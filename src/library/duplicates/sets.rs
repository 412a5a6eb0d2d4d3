//! Union-find: which embeddings belong together.

use std::collections::BTreeMap;

/// Keys in disjoint sets, each alone at first.
pub(super) struct Sets {
    /// In ascending order.
    keys: Vec<u64>,
    /// A place nearer to the root of its set; a root is its own.
    parents: Vec<usize>,
}

impl Sets {
    /// Takes keys in ascending order.
    pub(super) fn new(keys: Vec<u64>) -> Self {
        let parents = (0..keys.len()).collect();
        Self { keys, parents }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn key(&self, place: usize) -> u64 {
        self.keys[place]
    }

    pub(super) fn place_of(&self, key: u64) -> Option<usize> {
        self.keys.binary_search(&key).ok()
    }

    pub(super) fn are_joined(&mut self, a: usize, b: usize) -> bool {
        self.root(a) == self.root(b)
    }

    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    /// The keys of each set that has more than one, in the order of their first ones.
    pub(super) fn groups(&self) -> Vec<Vec<u64>> {
        let mut groups: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (place, &key) in self.keys.iter().enumerate() {
            let mut root = place;
            while self.parents[root] != root {
                root = self.parents[root];
            }
            groups.entry(root).or_default().push(key);
        }
        groups.into_values().filter(|keys| keys.len() > 1).collect()
    }

    /// Halves the way for whoever comes after; without that, a long chain would be walked again and again.
    fn root(&mut self, mut place: usize) -> usize {
        while self.parents[place] != place {
            self.parents[place] = self.parents[self.parents[place]];
            place = self.parents[place];
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_by_others_is_one_set() {
        let mut sets = Sets::new(vec![2, 3, 5, 7, 11, 13]);
        assert_eq!(sets.place_of(5), Some(2));
        assert_eq!(sets.place_of(4), None);
        for (a, b) in [(0, 5), (2, 3), (5, 2)] {
            sets.join(a, b);
        }
        assert!(sets.are_joined(0, 3) && !sets.are_joined(0, 1));
        assert_eq!(sets.groups(), [vec![2, 5, 7, 13]]);
        sets.join(1, 4);
        assert_eq!(sets.groups(), [vec![2, 5, 7, 13], vec![3, 11]]);
        assert!(Sets::new(Vec::new()).groups().is_empty());
    }
}
