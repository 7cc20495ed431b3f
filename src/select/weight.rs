//! The available server with the fewest connections for its weight.
//!
//! A weight that is not set counts as 1, so that weights may be given to some servers only.

use super::{Candidates, Selector, first_by};

/// Chooses by connections divided by weight, the lowest first; of equals the lowest index.
#[derive(Clone, Copy, Debug)]
pub struct Weight;

impl Selector for Weight {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        let weight = |index| u64::from(candidates.weight(index).max(1));
        let load = |index| u64::from(candidates.connections(index));
        // a/b < c/d is compared as ad < cb, which is exact and within 64 bits.
        first_by(candidates, |a, b| load(a) * weight(b) < load(b) * weight(a))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, Stand};
    use super::*;

    fn held(weights: &[u32], clients: usize) -> Vec<usize> {
        let mut servers: Vec<Stand> = weights.iter().map(|weight| Stand { weight: *weight, ..PLAIN }).collect();
        let mut picks = Vec::new();
        for _ in 0..clients {
            let pick = Weight.pick(&servers).unwrap();
            servers[pick].connections += 1;
            picks.push(pick);
        }
        picks
    }

    #[test]
    fn held_connections_follow_the_weights() {
        assert_eq!(held(&[1, 2, 3], 13), [0, 1, 2, 2, 1, 2, 0, 1, 2, 2, 1, 2, 0]);
        assert_eq!(held(&[0, 1], 4), [0, 1, 0, 1]);
    }

    #[test]
    fn b28_weights_that_are_not_set_serve_everybody() {
        assert_eq!(held(&[0, 0, 0], 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let full = Stand { connections: u32::MAX, weight: u32::MAX, ..PLAIN };
        let lighter = Stand { connections: u32::MAX - 1, ..full };
        assert_eq!(Weight.pick(&vec![full, lighter]), Some(1));
    }
}
