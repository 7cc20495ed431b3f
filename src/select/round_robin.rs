//! Servers take turns: the next available one after the last that was used.
//!
//! There is one turn for all clients. It begins with the first server.

use super::{Candidates, Selector};

/// Chooses in turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin {
    next: usize,
}

impl Selector for RoundRobin {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        let count = candidates.count();
        let start = if self.next < count { self.next } else { 0 };
        let pick = (start..count).chain(0..start).find(|index| candidates.is_open(*index))?;
        self.next = pick + 1;
        Some(pick)
    }
}
