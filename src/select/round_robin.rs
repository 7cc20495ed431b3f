//! Servers take turns: the next available one after the last that was used.
//!
//! There is one turn for all clients. It begins with the first server.

use super::{Candidates, FULL_SHARE, Selector};

/// Chooses in turn. A server that warms up has some of its turns only.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    next: usize,
    /// The part of a turn that each server which warms up has saved so far.
    saved: Vec<u32>,
}

impl Selector for RoundRobin {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        let count = candidates.count();
        let start = if self.next < count { self.next } else { 0 };
        let mut first_open = None;
        for index in (start..count).chain(0..start) {
            if candidates.is_open(index) {
                first_open = first_open.or(Some(index));
                if self.has_turn(index, candidates.share(index)) {
                    first_open = Some(index);
                    break;
                }
            }
        }
        // Somebody must serve the client, be it that all warm up.
        let pick = first_open?;
        self.next = pick + 1;
        Some(pick)
    }
}

impl RoundRobin {
    /// Adds the share of a server to what it has saved; true if that makes a whole turn.
    fn has_turn(&mut self, index: usize, share: u32) -> bool {
        if share >= FULL_SHARE {
            return true;
        }
        if self.saved.len() <= index {
            self.saved.resize(index + 1, 0);
        }
        let saved = &mut self.saved[index];
        *saved += share;
        let has_turn = *saved >= FULL_SHARE;
        *saved %= FULL_SHARE;
        has_turn
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
    fn a_server_that_warms_up_has_its_share_of_the_turns() {
        let mut servers = vec![PLAIN, Stand { share: FULL_SHARE / 4, ..PLAIN }];
        let mut turn = RoundRobin::default();
        let mut count = [0; 2];
        for _ in 0..500 {
            count[turn.pick(&servers).unwrap()] += 1;
        }
        assert_eq!(count, [400, 100]);
        servers[0].open = false;
        assert_eq!(turn.pick(&servers), Some(1), "it serves if nobody else does");
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
