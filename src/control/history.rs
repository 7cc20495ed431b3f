//! The last minutes, as samples at even intervals.
//!
//! Nobody is woken for them. Whatever happens brings a turn of the loop, and before anything is done
//! in it, all is still as it was since the turn before: so all samples that are due by then are
//! known exactly, however long ago they were due.

use std::collections::VecDeque;
use std::time::Duration;

use crate::balance::Traffic;
use crate::base::time::Moment;

/// From one sample to the next.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// How many intervals are kept: five minutes.
pub const INTERVALS: usize = 150;

/// How it was at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// Connections that were open.
    pub connections: usize,
    /// What was carried since the start.
    pub traffic: Traffic,
}

/// What happened within one interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interval {
    /// Connections that were open at its end.
    pub connections: usize,
    /// What was carried within it.
    pub traffic: Traffic,
}

/// The samples.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The oldest first; one more than there are intervals.
    samples: VecDeque<Sample>,
    next: Option<Moment>,
}

impl History {
    /// True if a sample is due.
    pub fn is_due(&self, moment: Moment) -> bool {
        self.next.is_none_or(|next| next <= moment)
    }

    /// Takes the samples that are due, at which all was as `sample` says. How many intervals are
    /// over; the first call begins the first one.
    pub fn catch_up(&mut self, moment: Moment, sample: Sample) -> usize {
        let Some(next) = self.next else {
            self.samples.push_back(sample);
            self.next = Some(moment + INTERVAL);
            return 0;
        };
        if moment < next {
            return 0;
        }
        let late = moment.since(next).as_nanos() / INTERVAL.as_nanos();
        let over = usize::try_from(late).unwrap_or(usize::MAX).saturating_add(1);
        // All that are older leave.
        for _ in 0..over.min(INTERVALS + 1) {
            if self.samples.len() > INTERVALS {
                self.samples.pop_front();
            }
            self.samples.push_back(sample);
        }
        let since_next = INTERVAL * u32::try_from(over - 1).unwrap_or(u32::MAX);
        self.next = Some(next + since_next + INTERVAL);
        over
    }

    /// The intervals, the oldest first.
    pub fn intervals(&self) -> impl DoubleEndedIterator<Item = Interval> + ExactSizeIterator {
        self.samples.iter().zip(self.samples.iter().skip(1)).map(|(before, after)| Interval {
            connections: after.connections,
            traffic: after.traffic.since(before.traffic),
        })
    }

    /// What was carried within the last interval.
    pub fn lately(&self) -> Traffic {
        self.intervals().next_back().unwrap_or_default().traffic
    }
}

/// So much within one interval, as so much in a second.
pub fn per_second(count: u64) -> f64 {
    // Beyond 2^53 the last digits are of no interest.
    count as f64 / INTERVAL.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(1) + Duration::from_secs(seconds)
    }

    fn sample(connections: usize, up: u64) -> Sample {
        Sample { connections, traffic: Traffic { begun: 0, up, down: 0 } }
    }

    fn told(history: &History) -> Vec<(usize, u64)> {
        history.intervals().map(|interval| (interval.connections, interval.traffic.up)).collect()
    }

    #[test]
    fn samples_are_taken_when_something_happens_for_the_time_before_it() {
        let mut history = History::default();
        assert!(history.is_due(at(0)));
        assert_eq!(history.catch_up(at(0), sample(0, 0)), 0);
        assert!(!history.is_due(at(1)) && history.is_due(at(2)));
        assert_eq!(history.catch_up(at(1), sample(5, 7)), 0);
        assert_eq!(history.catch_up(at(3), sample(1, 10)), 1);
        assert_eq!(told(&history), [(1, 10)]);
        assert_eq!(history.catch_up(at(4), sample(2, 15)), 1, "intervals stay where they began");
        assert_eq!(history.lately().up, 5);
        assert_eq!(history.catch_up(at(11), sample(3, 20)), 3);
        assert_eq!(told(&history), [(1, 10), (2, 5), (3, 5), (3, 0), (3, 0)]);
        assert_eq!(history.lately().up, 0);
    }

    #[test]
    fn there_are_never_more_than_there_may_be() {
        let mut history = History::default();
        for second in 0..10_000 {
            history.catch_up(at(second), sample(second as usize, second));
        }
        assert_eq!(history.intervals().len(), INTERVALS);
        assert_eq!(
            history.intervals().next_back().unwrap(),
            Interval { connections: 9_998, traffic: Traffic { begun: 0, up: 2, down: 0 } }
        );
        let before = history.clone();
        history.catch_up(at(u64::MAX / 4_000_000_000), sample(4, 1_000_000));
        assert!(told(&history).iter().all(|one| *one == (4, 0)), "{before:?}");
        assert!(!history.is_due(at(0)));
        assert_eq!(History::default().intervals().len(), 0);
        assert_eq!(per_second(3), 1.5);
    }
}
