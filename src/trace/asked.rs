//! What a server was asked for and has not answered yet, in order.

use std::collections::VecDeque;

/// Questions that are remembered. Nobody pipelines so many; of those who do the oldest are
/// forgotten.
const ASKED_MAX: usize = 256;

/// Questions without an answer.
#[derive(Debug)]
pub struct Asked<Q>(VecDeque<Q>);

impl<Q> Default for Asked<Q> {
    fn default() -> Asked<Q> {
        Asked(VecDeque::new())
    }
}

impl<Q: Copy> Asked<Q> {
    /// A question was asked.
    pub fn push(&mut self, question: Q) {
        if self.0.len() == ASKED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(question);
    }

    /// The one that is answered next.
    pub fn first(&self) -> Option<Q> {
        self.0.front().copied()
    }

    /// The one that was asked last.
    pub fn last(&self) -> Option<Q> {
        self.0.back().copied()
    }

    /// The next one is answered.
    pub fn pop(&mut self) -> Option<Q> {
        self.0.pop_front()
    }
}
