//! Time as the event loop sees it: one reading per turn, handed to whoever decides.
//!
//! A [`Moment`] is monotonic and serves every decision; the wall clock serves reports and log
//! lines only, so that a step of the clock changes nothing that pen does.

use std::ops::Add;
use std::time::Duration;

/// A point of monotonic time: nanoseconds since some fixed moment before pen started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Moment(u64);

impl Moment {
    /// The moment `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Moment {
        Moment(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time gone by since `earlier`; zero if `earlier` is not in the past.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    /// Saturates: a duration beyond 584 years means "never".
    fn add(self, rhs: Duration) -> Moment {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(nanos))
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic: what decisions use.
    pub moment: Moment,
    /// Wall clock, seconds since 1970-01-01 00:00:00 UTC: what people read.
    pub unix: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_for_ever_saturates() {
        let end = Moment::from_nanos(5) + Duration::MAX;
        assert_eq!(end.as_nanos(), u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
    }

    #[test]
    fn time_does_not_run_backwards() {
        let early = Moment::from_nanos(10);
        let late = early + Duration::from_nanos(7);
        assert_eq!(late.since(early), Duration::from_nanos(7));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
