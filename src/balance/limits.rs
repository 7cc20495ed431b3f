//! What one client may have: connections at once, and new connections within a time.
//!
//! Counted beside the client table, slot by slot, and forgotten with the client.

use std::time::Duration;

use super::settings::{Rate, Settings};
use crate::base::time::Moment;

/// The limit that a client has reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// It has as many connections as it may have.
    Connections,
    /// It has begun as many connections as it may within the time.
    Rate,
}

/// How many clients were refused since the start, for each reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refusals {
    /// By the access list.
    pub by_list: u64,
    /// Because of their connections.
    pub connections: u64,
    /// Because of their new connections.
    pub rate: u64,
}

impl Refusals {
    /// Counts one, if there is one.
    pub fn count(&mut self, over: Option<Over>) {
        match over {
            None => {}
            Some(Over::Connections) => self.connections += 1,
            Some(Over::Rate) => self.rate += 1,
        }
    }
}

/// What one client has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Connections that are open, those that were refused included as long as they last.
    open: u32,
    /// When all that it has begun would have been begun at the rate it is allowed (GCRA, ITU-T I.371).
    paid_until: Moment,
}

impl Usage {
    /// A connection begins; the limit that this is beyond, if one is.
    pub fn begin(&mut self, settings: &Settings, moment: Moment) -> Option<Over> {
        let limit = settings.client_max;
        let over = if limit > 0 && self.open >= limit {
            Some(Over::Connections)
        } else if settings.client_rate.is_some_and(|rate| !self.pay(rate, moment)) {
            Some(Over::Rate)
        } else {
            None
        };
        self.open = self.open.saturating_add(1);
        over
    }

    /// A connection is over.
    pub fn end(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// One more connection is open, and was let in before anybody counted.
    pub fn note_open(&mut self) {
        self.open = self.open.saturating_add(1);
    }

    /// Connections are counted anew.
    pub fn forget_open(&mut self) {
        self.open = 0;
    }

    /// Uses up one connection of a rate; false if there is none left. After a time without any, as
    /// many as the rate has may come at once.
    fn pay(&mut self, rate: Rate, moment: Moment) -> bool {
        let whole = Duration::from_secs(u64::from(rate.seconds));
        let each = whole / rate.count;
        let begun = self.paid_until.max(moment);
        if begun + each > moment + whole {
            return false;
        }
        self.paid_until = begun + each;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::Random;

    fn at(millis: u64) -> Moment {
        Moment::default() + Duration::from_millis(millis)
    }

    #[test]
    fn connections_at_once_are_counted_up_and_down() {
        let settings = Settings { client_max: 2, ..Settings::default() };
        let mut usage = Usage::default();
        let begun: Vec<_> = (0..4).map(|_| usage.begin(&settings, at(0))).collect();
        assert_eq!(begun, [None, None, Some(Over::Connections), Some(Over::Connections)]);
        (0..3).for_each(|_| usage.end());
        assert_eq!(usage.begin(&settings, at(0)), None);
        (0..9).for_each(|_| usage.end());
        assert_eq!(usage.open, 0);
        assert_eq!(usage.begin(&Settings::default(), at(0)), None, "no limit");
    }

    #[test]
    fn a_burst_is_as_large_as_the_rate_and_then_one_comes_after_another() {
        let rate = Some(Rate { count: 4, seconds: 2 });
        let settings = Settings { client_rate: rate, ..Settings::default() };
        let mut usage = Usage::default();
        let mut let_in = |millis| usage.begin(&settings, at(millis)).is_none();
        let burst: Vec<bool> = (0..6).map(|_| let_in(10_000)).collect();
        assert_eq!(burst, [true, true, true, true, false, false]);
        for (millis, expected) in [(10_499, false), (10_500, true), (10_501, false), (11_500, true), (11_500, true)] {
            assert_eq!(let_in(millis), expected, "at {millis} ms");
        }
        assert_eq!((0..9).filter(|_| let_in(60_000)).count(), 4, "rest is not saved up");
    }

    #[test]
    fn over_any_time_no_more_come_than_one_burst_and_the_rate() {
        for seed in 0..30 {
            let mut random = Random::new(seed);
            let rate = Rate { count: 1 + random.below(20) as u32, seconds: 1 + random.below(5) as u32 };
            let settings = Settings { client_rate: Some(rate), ..Settings::default() };
            let mut usage = Usage::default();
            let (mut now, mut came) = (0, Vec::new());
            for _ in 0..100 {
                now += random.below(150);
                if usage.begin(&settings, at(now)).is_none() {
                    came.push(now);
                }
            }
            for (first, since) in came.iter().enumerate() {
                for until in &came[first..] {
                    let many = came.iter().filter(|moment| (since..=until).contains(moment)).count() as u64;
                    let time = (until - since) * u64::from(rate.count) / (1_000 * u64::from(rate.seconds));
                    assert!(many <= u64::from(rate.count) + time + 1, "seed {seed}: {many} in {} ms", until - since);
                }
            }
        }
    }
}
