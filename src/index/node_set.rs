//! Which nodes may answer, one bit each.

/// A set of nodes.
#[derive(Clone, Debug)]
pub(super) struct NodeSet {
    bits: Vec<u64>,
    n_nodes: usize,
}

/// Which keys may answer.
#[derive(Clone, Copy, Debug, Default)]
pub enum Filter<'a> {
    /// Every key.
    #[default]
    All,
    /// Only these, in ascending order.
    Only(&'a [u64]),
    /// All but these, in ascending order.
    Except(&'a [u64]),
}

impl Filter<'_> {
    /// The nodes that it leaves, of those whose keys are given; `None` if that is all of them. `by_key` lists the nodes in
    /// ascending order of their keys.
    pub(super) fn nodes(self, keys: &[u64], by_key: &[u32]) -> Option<NodeSet> {
        match self {
            Self::All | Self::Except([]) => None,
            Self::Only(wanted) => Some(NodeSet::of_keys(keys, by_key, wanted)),
            Self::Except(unwanted) => {
                Some(NodeSet::of_keys(keys, by_key, unwanted).complement(keys.len()))
            }
        }
    }
}

impl NodeSet {
    /// The nodes whose keys are wanted. Few of them are looked up one by one, many are merged.
    fn of_keys(keys: &[u64], by_key: &[u32], wanted: &[u64]) -> Self {
        let mut set = Self { bits: vec![0; keys.len().div_ceil(64)], n_nodes: 0 };
        // A list that names nodes that are not there is damaged: they have no key that anyone asks for.
        let key_of = |node: u32| keys.get(node as usize).copied().unwrap_or(u64::MAX);
        if wanted.len() < keys.len() / 16 {
            let places = wanted.iter().filter_map(|wanted| {
                by_key.binary_search_by_key(wanted, |&node| key_of(node)).ok()
            });
            places.for_each(|place| set.insert(by_key[place] as usize));
            return set;
        }
        let mut wanted = wanted.iter().copied().peekable();
        for &node in by_key {
            let key = key_of(node);
            while wanted.next_if(|&other| other < key).is_some() {}
            if wanted.peek() == Some(&key) {
                set.insert(node as usize);
            }
        }
        set
    }

    fn insert(&mut self, node: usize) {
        if node / 64 >= self.bits.len() {
            return;
        }
        let bit = 1 << (node % 64);
        self.n_nodes += usize::from(self.bits[node / 64] & bit == 0);
        self.bits[node / 64] |= bit;
    }

    fn complement(mut self, n_all: usize) -> Self {
        self.bits.iter_mut().for_each(|word| *word = !*word);
        if let Some(last) = self.bits.last_mut()
            && !n_all.is_multiple_of(64)
        {
            *last &= (1 << (n_all % 64)) - 1;
        }
        self.n_nodes = n_all - self.n_nodes;
        self
    }

    pub(super) fn len(&self) -> usize {
        self.n_nodes
    }

    pub(super) fn contains(&self, node: u32) -> bool {
        self.bits.get(node as usize / 64).is_some_and(|word| word >> (node % 64) & 1 == 1)
    }

    /// Its nodes in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.bits.iter().enumerate().flat_map(|(i, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(i as u32 * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Filter<'_> {
        /// Whether a key may answer.
        pub(super) fn accepts(self, key: u64) -> bool {
            match self {
                Self::All => true,
                Self::Only(wanted) => wanted.binary_search(&key).is_ok(),
                Self::Except(unwanted) => unwanted.binary_search(&key).is_err(),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_asking_for_each_key(
            keys in prop::collection::btree_set(0u64..300, 0..150).prop_map(Vec::from_iter).prop_shuffle(),
            named in prop::collection::btree_set(0u64..320, 0..150),
        ) {
            let named = Vec::from_iter(named);
            let mut by_key: Vec<u32> = (0..keys.len() as u32).collect();
            by_key.sort_by_key(|&node| keys[node as usize]);
            for filter in [Filter::All, Filter::Only(&named), Filter::Except(&named)] {
                let expected: Vec<u32> =
                    (0..keys.len() as u32).filter(|&node| filter.accepts(keys[node as usize])).collect();
                match filter.nodes(&keys, &by_key) {
                    None => prop_assert_eq!(expected.len(), keys.len()),
                    Some(set) => {
                        prop_assert_eq!(set.len(), expected.len());
                        prop_assert!((0..400).all(|node| set.contains(node) == expected.contains(&node)));
                        prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected);
                    }
                }
            }
        }
    }
}
