//! The available server of the lowest priority number, of equals the one of the lowest index.

use super::{Candidates, Selector, first_by};

/// Chooses by priority.
#[derive(Clone, Copy, Debug)]
pub struct Prio;

impl Selector for Prio {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        first_by(candidates, |a, b| candidates.prio(a) < candidates.prio(b))
    }
}
