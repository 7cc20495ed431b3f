//! The available server of the lowest priority number, of equals the one of the lowest index.

use super::{Candidates, Selector, all, first_by};

/// Chooses by priority.
#[derive(Clone, Copy, Debug)]
pub struct Prio;

impl Selector for Prio {
    fn pick<C: Candidates>(&mut self, candidates: &C) -> Option<usize> {
        first_by(candidates, all(candidates), |index| candidates.prio(index), |a, b| a < b, |prio| prio == i32::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLAIN, Random, Stand, any_stands};
    use super::*;

    #[test]
    fn the_lowest_number_comes_first_and_the_lowest_index_among_equals() {
        let table: [(&[i32], Option<usize>); 5] = [
            (&[], None),
            (&[0, 0, 0], Some(0)),
            (&[2, 1, 1], Some(1)),
            (&[i32::MAX, i32::MIN, 0], Some(1)),
            (&[3, 2, -1], Some(2)),
        ];
        for (prios, pick) in table {
            let servers: Vec<Stand> = prios.iter().map(|prio| Stand { prio: *prio, ..PLAIN }).collect();
            assert_eq!(Prio.pick(&servers), pick, "{prios:?}");
        }
    }

    #[test]
    fn the_choice_is_that_of_a_plain_scan() {
        for seed in 0..1_000 {
            let mut random = Random::new(seed);
            let count = random.below(40) as usize;
            let mut servers = any_stands(&mut random, count, false);
            for stand in &mut servers {
                stand.prio = if random.one_in(10) { i32::MIN } else { stand.prio };
            }
            let open = (0..count).filter(|index| servers[*index].open);
            let expected = open.min_by_key(|index| (servers[*index].prio, *index));
            assert_eq!(Prio.pick(&servers), expected, "seed {seed}: {servers:?}");
        }
    }
}
