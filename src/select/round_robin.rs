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

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, Stand};
    use super::*;

    #[test]
    fn b28_the_first_server_has_the_first_turn() {
        let mut turn = RoundRobin::default();
        let picks: Vec<_> = (0..5).map(|_| turn.pick(&vec![PLAIN; 3]).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn b28_the_turn_of_a_closed_server_is_spread_over_the_others() {
        let mut servers = vec![PLAIN; 4];
        servers[1].open = false;
        let mut turn = RoundRobin::default();
        let mut count = [0; 4];
        for _ in 0..300 {
            count[turn.pick(&servers).unwrap()] += 1;
        }
        assert_eq!(count, [100, 0, 100, 100]);
    }

    #[test]
    fn a_table_that_shrank_or_grew_keeps_the_turn_going() {
        let mut turn = RoundRobin::default();
        let mut servers = vec![PLAIN; 3];
        (0..3).for_each(|_| _ = turn.pick(&servers));
        servers.push(PLAIN);
        assert_eq!(turn.pick(&servers), Some(3));
        servers.truncate(2);
        assert_eq!(turn.pick(&servers), Some(0));
        assert_eq!(turn.pick(&vec![Stand { open: false, ..PLAIN }; 2]), None);
        assert_eq!(turn.pick(&servers), Some(1));
    }
}
