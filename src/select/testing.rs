//! For tests: random numbers from a seed, and candidates as plain values.

use super::{Candidates, FULL_SHARE};

/// xorshift64* (Vigna 2016): the same numbers for the same seed, everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 to one less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One server as a selector sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand {
    pub(crate) open: bool,
    pub(crate) connections: u32,
    pub(crate) weight: u32,
    pub(crate) prio: i32,
    pub(crate) share: u32,
}

/// Servers of which some are closed, few or many connections are in use, and some have a weight; with
/// `warm`, some warm up.
pub(crate) fn any_stands(random: &mut Random, count: usize, warm: bool) -> Vec<Stand> {
    let (busy, heavy) = (1 + random.below(5), 1 + random.below(4));
    let largest = random.one_in(20);
    let mut stand = || Stand {
        open: !random.one_in(4),
        connections: if largest { u32::MAX - random.below(3) as u32 } else { random.below(busy) as u32 },
        weight: if largest { u32::MAX - random.below(3) as u32 } else { random.below(heavy) as u32 },
        prio: random.below(4) as i32 - 2,
        share: if warm && random.one_in(3) { 1 + random.below(1_000) as u32 } else { FULL_SHARE },
    };
    (0..count).map(|_| stand()).collect()
}

/// Open, idle, and nothing set.
pub(crate) const PLAIN: Stand = Stand { open: true, connections: 0, weight: 0, prio: 0, share: FULL_SHARE };

impl Candidates for Vec<Stand> {
    fn count(&self) -> usize {
        self.len()
    }
    fn is_open(&self, index: usize) -> bool {
        self[index].open
    }
    fn connections(&self, index: usize) -> u32 {
        self[index].connections
    }
    fn weight(&self, index: usize) -> u32 {
        self[index].weight
    }
    fn prio(&self, index: usize) -> i32 {
        self[index].prio
    }
    fn some_warm_up(&self) -> bool {
        self.iter().any(|stand| stand.share < FULL_SHARE)
    }
    fn share(&self, index: usize) -> u32 {
        self[index].share
    }
}
