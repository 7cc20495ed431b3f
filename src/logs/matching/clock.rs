//! A web server's clock as the requests show it while they are read: it may go fast or slow.

use std::collections::VecDeque;

/// How many differences are looked at.
const SAMPLES: usize = 384;
/// How many new ones make it worth looking again; fewer in the beginning.
const FRESH: usize = 64;
/// The least that must agree.
const AGREEING_MIN: usize = 6;
/// Differences so near to each other agree, in milliseconds.
const NEAR: i64 = 2_000;

/// The clock of one web log: its times are pen's plus an offset.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Milliseconds.
    pub(super) offset: i64,
    samples: VecDeque<i64>,
    fresh: usize,
    /// The latest time by this clock so far, and what it became.
    latest: Option<(i64, i64)>,
}

impl Clock {
    /// A time by pen's clock. What comes in order stays in order, also when the offset has just
    /// become a little greater.
    pub(super) fn correct(&mut self, at: i64) -> i64 {
        let corrected = at - self.offset;
        match self.latest {
            Some((latest, _)) if at < latest => corrected,
            Some((_, before)) if corrected < before && before - corrected < NEAR => {
                self.latest = Some((at, before));
                before
            }
            _ => {
                self.latest = Some((at, corrected));
                corrected
            }
        }
    }

    /// What may be one and the same request was logged so many milliseconds after pen saw it.
    pub(super) fn sample(&mut self, difference: i64) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(difference);
        self.fresh += 1;
        if self.fresh < FRESH.min(self.samples.len() / 4 + 1) {
            return;
        }
        self.fresh = 0;
        let mut sorted: Vec<i64> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        let (agreeing, offset) = densest(&sorted);
        // Requests that have nothing to do with each other are spread evenly.
        let span = (sorted[sorted.len() - 1] - sorted[0]).max(NEAR);
        let by_chance = sorted.len() as i64 * NEAR / span;
        if agreeing >= AGREEING_MIN && (span <= 2 * NEAR || agreeing as i64 > 2 * by_chance) {
            self.offset = offset;
        }
    }
}

/// The most that are near to each other, and their median.
fn densest(sorted: &[i64]) -> (usize, i64) {
    let mut best = (0, 0);
    let mut start = 0;
    for end in 0..sorted.len() {
        while sorted[end] - sorted[start] > NEAR {
            start += 1;
        }
        let count = end + 1 - start;
        if count > best.0 {
            best = (count, sorted[start + count / 2]);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_follows_a_clock_and_not_strange_requests() {
        let mut clock = Clock::default();
        for step in 0..4000i64 {
            clock.sample(if step % 3 == 0 { step * 7919 % 60_000 - 30_000 } else { 500 + step * 3 });
            if step > 50 {
                assert!((clock.offset - (500 + step * 3)).abs() < 1500, "{step}: {}", clock.offset);
            }
        }
    }

    #[test]
    fn a_change_of_the_offset_puts_nothing_out_of_order() {
        let mut clock = Clock::default();
        assert_eq!(clock.correct(5_000), 5_000);
        clock.offset = 300;
        assert_eq!([5_100, 5_200, 5_301].map(|at| clock.correct(at)), [5_000, 5_000, 5_001]);
        // What is out of order stays so, and a clock that was set back is obeyed.
        assert_eq!(clock.correct(5_000), 4_700);
        clock.offset = 3_600_000;
        assert_eq!(clock.correct(3_605_000), 5_001);
        clock.offset = 7_200_000;
        assert_eq!(clock.correct(3_606_000), -3_594_000);
    }

    #[test]
    fn samples_that_say_nothing_change_nothing() {
        let mut clock = Clock { offset: 77, ..Clock::default() };
        for step in 0..5000i64 {
            clock.sample(step * 7919 % 60_000 - 30_000);
            assert_eq!(clock.offset, 77, "{step}");
        }
    }

    #[test]
    fn a_few_requests_are_not_enough() {
        let mut clock = Clock::default();
        (0..AGREEING_MIN - 1).for_each(|_| clock.sample(5_000));
        assert_eq!(clock.offset, 0);
        clock.sample(5_000);
        clock.sample(5_000);
        assert_eq!(clock.offset, 5_000);
    }
}
