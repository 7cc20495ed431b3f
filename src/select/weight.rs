//! The available server with the fewest connections for its weight.
//!
//! A weight that is not set counts as 1, so that weights may be given to some servers only.

use super::{Candidates, FULL_SHARE, Selector, all, first_by};

/// Chooses by connections divided by weight, the lowest first; of equals the lowest index.
#[derive(Clone, Copy, Debug)]
pub struct Weight;

impl Selector for Weight {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        let all = all(candidates);
        if candidates.some_warm_up() {
            let is_least = |load: Load| load.connections == 0;
            return first_by(candidates, all, |index| Load::of(candidates, index), Load::is_lighter, is_least);
        }
        // The same, as nothing else is asked of each server where there are a thousand.
        let mut pick = None;
        // One connection for no weight is more than any server has.
        let (mut most, mut weight) = (1, 0);
        for index in 0..candidates.count() {
            let (connections, own) = (candidates.connections(index), candidates.weight(index).max(1));
            if product(connections, weight) < product(most, own) && candidates.is_open(index) {
                if connections == 0 {
                    return Some(index);
                }
                (pick, most, weight) = (Some(index), connections, own);
            }
        }
        pick
    }
}

/// What weighs on a server.
#[derive(Clone, Copy, Debug)]
struct Load {
    connections: u64,
    weight: u64,
    share: u32,
}

impl Load {
    /// One that is still warming up has a part of its weight, and counts as if it had one connection
    /// more, because nobody has fewer than none.
    #[inline]
    fn of<C: Candidates>(candidates: &C, index: usize) -> Load {
        let share = candidates.share(index);
        Load {
            connections: u64::from(candidates.connections(index)) + u64::from(share < FULL_SHARE),
            weight: u64::from(candidates.weight(index).max(1)),
            share,
        }
    }

    /// Whether a server has fewer connections for its weight than another.
    #[inline]
    fn is_lighter(self, other: Load) -> bool {
        // a/b < c/d is compared as ad < cb, which is exact, and within 64 bits where no server warms up.
        let (left, right) = (self.connections * other.weight, other.connections * self.weight);
        if self.share == other.share { left < right } else { wide(left, other.share) < wide(right, self.share) }
    }
}

/// Whether one server has fewer connections for its weight than another.
pub(super) fn is_lighter<C: Candidates>(candidates: &C, a: usize, b: usize) -> bool {
    Load::of(candidates, a).is_lighter(Load::of(candidates, b))
}

#[inline(always)]
fn product(a: u32, b: u32) -> u64 {
    u64::from(a) * u64::from(b)
}

fn wide(product: u64, share: u32) -> u128 {
    u128::from(product) * u128::from(share)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, Random, Stand, any_stands};
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
    fn short_cuts_choose_what_a_plain_scan_chooses() {
        for seed in 0..4_000 {
            let mut random = Random::new(seed);
            let count = random.below(40) as usize;
            let servers = any_stands(&mut random, count, seed % 2 == 0);
            let mut expected: Option<usize> = None;
            for index in (0..count).filter(|index| servers[*index].open) {
                expected = Some(expected.filter(|best| !is_lighter(&servers, index, *best)).unwrap_or(index));
            }
            assert_eq!(Weight.pick(&servers), expected, "seed {seed}: {servers:?}");
        }
    }

    #[test]
    fn a_server_that_warms_up_has_a_part_of_its_weight() {
        let warm = Stand { share: FULL_SHARE / 10, weight: 2, ..PLAIN };
        let mut servers = vec![Stand { weight: 2, ..PLAIN }, warm];
        for _ in 0..110 {
            let pick = Weight.pick(&servers).unwrap();
            servers[pick].connections += 1;
        }
        assert!((8..=10).contains(&servers[1].connections), "a tenth of {}", servers[0].connections);
        servers[1].share = FULL_SHARE;
        assert_eq!(Weight.pick(&servers), Some(1));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let full = Stand { connections: u32::MAX, weight: u32::MAX, ..PLAIN };
        let lighter = Stand { connections: u32::MAX - 1, ..full };
        assert_eq!(Weight.pick(&vec![full, lighter]), Some(1));
        let warm = Stand { share: FULL_SHARE - 1, ..lighter };
        assert_eq!(Weight.pick(&vec![full, warm]), Some(0));
    }
}
