//! The better of two available servers that are chosen at random.
//!
//! Nearly as even as looking at all of them (Mitzenmacher, "The Power of Two Choices in Randomized
//! Load Balancing", 2001), and several pens that do not know of each other do not all choose the
//! same server at the same time. The cost does not grow with the number of servers.

use super::{Candidates, Selector};
use crate::select::weight::is_lighter;

/// How often to try at random before all servers are looked at: enough where most are open.
const PROBES: usize = 8;

/// Chooses between two. The same seed makes the same choices.
#[derive(Clone, Copy, Debug)]
pub struct TwoChoices {
    state: u64,
}

impl Default for TwoChoices {
    fn default() -> TwoChoices {
        TwoChoices::new(0)
    }
}

impl Selector for TwoChoices {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        let first = self.any(candidates, None)?;
        let Some(second) = self.any(candidates, Some(first)) else { return Some(first) };
        Some(if is_lighter(candidates, second, first) { second } else { first })
    }
}

impl TwoChoices {
    /// A selector whose random numbers follow from a seed.
    pub fn new(seed: u64) -> TwoChoices {
        TwoChoices { state: seed }
    }

    /// An open candidate that is not `but`.
    fn any<C: Candidates>(&mut self, candidates: &C, but: Option<usize>) -> Option<usize> {
        let count = candidates.count();
        if count == 0 {
            return None;
        }
        let may = |index: usize| Some(index) != but && candidates.is_open(index);
        for _ in 0..PROBES {
            let index = self.below(count);
            if may(index) {
                return Some(index);
            }
        }
        let start = self.below(count);
        (start..count).chain(0..start).find(|index| may(*index))
    }

    /// A number below `end`, by Lemire's multiplication; its bias is below 2^-32 here.
    fn below(&mut self, end: usize) -> usize {
        let random = self.random() >> 32;
        ((random * end as u64) >> 32) as usize
    }

    /// SplitMix64 (Steele, Lea, Flood, 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, Random, Stand};
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let servers = vec![PLAIN; 20];
        let picks = |seed| {
            let mut chooser = TwoChoices::new(seed);
            (0..50).map(|_| chooser.pick(&servers).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(picks(7), picks(7));
        assert_ne!(picks(7), picks(8));
    }

    #[test]
    fn the_only_open_server_is_found_wherever_it_is() {
        for at in 0..300 {
            let mut servers = vec![Stand { open: false, ..PLAIN }; 300];
            servers[at].open = true;
            assert_eq!(TwoChoices::new(at as u64).pick(&servers), Some(at));
        }
    }

    #[test]
    fn the_heaviest_of_all_is_never_chosen_while_there_is_another() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut servers: Vec<Stand> = Vec::new();
            for _ in 0..2 + random.below(6) {
                let connections = random.below(20) as u32;
                servers.push(Stand { connections, open: !random.one_in(4), weight: random.below(3) as u32, ..PLAIN });
            }
            let open: Vec<usize> = (0..servers.len()).filter(|index| servers[*index].open).collect();
            let pick = TwoChoices::new(seed).pick(&servers);
            assert_eq!(pick.is_some(), !open.is_empty());
            let Some(pick) = pick else { continue };
            let is_heaviest = |other: &usize| *other == pick || is_lighter(&servers, *other, pick);
            let has_lighter = open.iter().all(is_heaviest) && open.len() > 1;
            assert!(servers[pick].open && !has_lighter, "seed {seed}: {pick} of {servers:?}");
        }
    }

    #[test]
    fn connections_are_spread_far_more_evenly_than_by_one_choice() {
        let mut servers = vec![PLAIN; 50];
        let mut chooser = TwoChoices::new(1);
        for _ in 0..5_000 {
            let pick = chooser.pick(&servers).unwrap();
            servers[pick].connections += 1;
        }
        let most = servers.iter().map(|stand| stand.connections).max().unwrap();
        // One choice would have put about 125 somewhere.
        assert!(most <= 104, "100 on average, and {most} at most");
    }

    #[test]
    fn weights_count() {
        let mut servers = vec![Stand { weight: 3, ..PLAIN }, Stand { weight: 1, ..PLAIN }];
        let mut chooser = TwoChoices::default();
        for _ in 0..400 {
            let pick = chooser.pick(&servers).unwrap();
            servers[pick].connections += 1;
        }
        assert!((298..=302).contains(&servers[0].connections), "{}", servers[0].connections);
    }
}
