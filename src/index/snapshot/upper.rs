//! The `upper` section: entry, number of layers, then each layer's number of nodes, width, nodes and rows.

use crate::index::graph::{Layer, Upper};

/// The section's words.
pub(super) fn encode(upper: &Upper) -> Vec<u32> {
    let mut words = vec![upper.entry, upper.layers.len() as u32];
    for layer in &upper.layers {
        words.extend([layer.nodes.len() as u32, layer.width as u32]);
        words.extend(&layer.nodes);
        words.extend(&layer.links);
    }
    words
}

/// Reads the section; `None` if its words do not add up.
pub(super) fn decode(words: &[u32]) -> Option<Upper> {
    let (&[entry, n_layers], mut rest) = words.split_first_chunk()?;
    let mut layers = Vec::new();
    for _ in 0..n_layers {
        let (&[n_nodes, width], after) = rest.split_first_chunk()?;
        let (n_nodes, width) = (n_nodes as usize, width as usize);
        let (nodes, after) = after.split_at_checked(n_nodes)?;
        let (links, after) = after.split_at_checked(n_nodes.checked_mul(width)?)?;
        if !nodes.is_sorted() {
            return None;
        }
        layers.push(Layer { nodes: nodes.to_vec(), width, links: links.to_vec() });
        rest = after;
    }
    rest.is_empty().then_some(Upper { entry, layers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let upper = Upper {
            entry: 4,
            layers: vec![
                Layer { nodes: vec![2, 4, 7], width: 2, links: vec![4, 7, 2, 7, 4, u32::MAX] },
                Layer { nodes: vec![4], width: 2, links: vec![u32::MAX; 2] },
            ],
        };
        let words = encode(&upper);
        assert_eq!(decode(&words), Some(upper));
        for n_words in 0..words.len() {
            assert_eq!(decode(&words[..n_words]), None, "cut to {n_words}");
        }
        assert_eq!(decode(&[&words[..], &[0]].concat()), None);
        assert_eq!(decode(&[0, 1, u32::MAX, u32::MAX]), None);
        assert_eq!(decode(&[0, 1, 2, 1, 9, 3, 0, 0]), None, "nodes out of order");
    }
}
