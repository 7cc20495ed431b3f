//! The available server with the fewest connections; weights do not count.
//!
//! Of several with the fewest they take turns, so that a pen with little to do uses all of them.

use super::{Candidates, FULL_SHARE, Selector, first_by};

/// Chooses by connections alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Least {
    next: usize,
}

impl Selector for Least {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        let count = candidates.count();
        let start = if self.next < count { self.next } else { 0 };
        let turns = [start..count, 0..start];
        let pick = if candidates.some_warm_up() {
            first_by(candidates, turns, |index| load(candidates, index), is_less, |(connections, _)| connections == 0)
        } else {
            // The same, as two multiplications for each server are a cost where there are a thousand.
            first_by(candidates, turns, |index| candidates.connections(index), |a, b| a < b, |none| none == 0)
        }?;
        self.next = pick + 1;
        Some(pick)
    }
}

/// Connections, and the part of its full share that a server may have. One that is still warming
/// up counts as if it had one connection more, because nobody has fewer than none.
fn load<C: Candidates>(candidates: &C, index: usize) -> (u64, u64) {
    let share = candidates.share(index);
    let more = u64::from(share < FULL_SHARE);
    (u64::from(candidates.connections(index)) + more, u64::from(share))
}

/// Whether a/b < c/d, which is compared as ad < cb: exact, and within 64 bits.
fn is_less((a, b): (u64, u64), (c, d): (u64, u64)) -> bool {
    a * d < c * b
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, Random, Stand, any_stands};
    use super::*;

    #[test]
    fn equals_take_turns() {
        let servers = vec![PLAIN; 3];
        let mut least = Least::default();
        let picks: Vec<_> = (0..5).map(|_| least.pick(&servers).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn the_choice_is_that_of_the_naive_twin() {
        for seed in 0..500 {
            let mut random = Random::new(seed);
            let mut least = Least::default();
            let mut servers: Vec<Stand> = Vec::new();
            let mut turn = 0;
            for _ in 0..1 + random.below(8) {
                servers.push(Stand { weight: random.below(4) as u32, ..PLAIN });
            }
            for step in 0..60 {
                servers.iter_mut().for_each(|stand| stand.open = !random.one_in(3));
                let ahead = |index: usize| (index + servers.len() - turn % servers.len()) % servers.len();
                let open = (0..servers.len()).filter(|index| servers[*index].open);
                let expected = open.min_by_key(|index| (servers[*index].connections, ahead(*index)));
                assert_eq!(least.pick(&servers), expected, "seed {seed}, step {step}");
                if let Some(pick) = expected {
                    servers[pick].connections += 1;
                    turn = pick + 1;
                }
                if random.one_in(2) {
                    let gone = random.below(servers.len() as u64) as usize;
                    servers[gone].connections = servers[gone].connections.saturating_sub(1);
                }
            }
        }
    }

    #[test]
    fn short_cuts_choose_what_a_plain_scan_chooses() {
        for seed in 0..4_000 {
            let mut random = Random::new(seed);
            let count = random.below(40) as usize;
            let servers = any_stands(&mut random, count, seed % 2 == 0);
            let next = random.below(count as u64 + 3) as usize;
            let start = if next < count { next } else { 0 };
            let lighter = |a: usize, b: usize| is_less(load(&servers, a), load(&servers, b));
            let mut expected: Option<usize> = None;
            for index in (start..count).chain(0..start).filter(|index| servers[*index].open) {
                expected = Some(expected.filter(|best| !lighter(index, *best)).unwrap_or(index));
            }
            assert_eq!(Least { next }.pick(&servers), expected, "seed {seed}: {servers:?}");
        }
    }

    #[test]
    fn a_server_that_warms_up_gets_its_share() {
        let mut servers = vec![PLAIN, Stand { share: FULL_SHARE / 4, ..PLAIN }];
        let mut least = Least::default();
        for _ in 0..100 {
            let pick = least.pick(&servers).unwrap();
            servers[pick].connections += 1;
        }
        assert!((18..=21).contains(&servers[1].connections), "a quarter of {}", servers[0].connections);
    }
}
