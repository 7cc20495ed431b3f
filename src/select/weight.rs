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
