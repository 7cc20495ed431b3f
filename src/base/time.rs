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

/// The first of them that is there.
pub fn earliest(of: &[Option<Moment>]) -> Option<Moment> {
    of.iter().flatten().min().copied()
}

/// One reading of both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic: what decisions use.
    pub moment: Moment,
    /// Wall clock, seconds since 1970-01-01 00:00:00 UTC: what people read.
    pub unix: u64,
}

/// A time of day as RFC 3339 has it, in UTC and to the second: `2026-11-26T05:35:00Z`.
pub fn utc(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Years that begin in March have their leap day at the end; 400 of them have always as many days.
    let since_march = days + 719_468;
    let (era, day_of_era) = (since_march / 146_097, since_march % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_written_as_rfc_3339_has_it() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_764_133_200, "2025-11-26T05:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (unix, text) in table {
            assert_eq!(utc(unix), text, "{unix}");
        }
    }

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
