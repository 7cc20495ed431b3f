//! Where every random number of a simulation comes from: a seed, or the bytes of a fuzzer.
//!
//! Zero always stands for the plain thing, so that a fuzzer's bytes that have run out, or were
//! made small, give a quiet run.

use std::time::Duration;

/// A source of choices. The same source makes the same choices.
#[derive(Clone, Debug)]
pub enum Choices {
    /// splitmix64 from this state.
    Seed(u64),
    /// These bytes, and zeros after them.
    Bytes(Vec<u8>, usize),
}

impl Choices {
    /// The choices of a seed.
    pub fn seed(seed: u64) -> Choices {
        Choices::Seed(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    /// Choices that somebody else made. A fuzzer calls this one.
    #[allow(dead_code)]
    pub fn bytes(bytes: &[u8]) -> Choices {
        Choices::Bytes(bytes.to_vec(), 0)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n < 2 {
            return 0;
        }
        match self {
            Choices::Seed(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = *state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^= mixed >> 31;
                u64::try_from((u128::from(mixed) * u128::from(n)) >> 64).unwrap()
            }
            Choices::Bytes(bytes, at) => {
                let width = if n <= 256 { 1 } else { 4 };
                let mut number = 0;
                for _ in 0..width {
                    number = number << 8 | u64::from(bytes.get(*at).copied().unwrap_or(0));
                    *at += 1;
                }
                number % n
            }
        }
    }

    /// True once in `n` times on average; never if `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == n - 1
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A count from 1 to `most`, which must not be 0: often all of it, sometimes one, sometimes
    /// something between.
    pub fn part(&mut self, most: usize) -> usize {
        match self.below(4) {
            0 | 1 => most,
            2 => 1,
            _ => 1 + usize::try_from(self.below(most as u64)).unwrap(),
        }
    }

    /// One of the elements.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    /// Microseconds from `low` to `high`.
    pub fn micros(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low, high))
    }

    /// Milliseconds from `low` to `high`.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// Puts the elements into some order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            // Zero leaves them as they are.
            let other = at - usize::try_from(self.below(at as u64 + 1)).unwrap();
            all.swap(at, other);
        }
    }
}
