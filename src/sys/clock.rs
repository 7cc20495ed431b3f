//! The wall clock as people read it.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::nap::Nap;
use crate::base::time::{Moment, Now};

/// Seconds since 1970-01-01 00:00:00 UTC; 0 for a clock that is set to before that.
pub fn unix_now() -> u64 {
    unix_time().as_secs()
}

/// The time since then.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Tells how much time has gone by since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    pub fn started() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since then.
    pub fn time(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What the monotonic clock says at the start, in nanoseconds: ten years, so that clients that an
/// earlier process saw have a moment, too.
const ORIGIN: u64 = 10 * 365 * 86_400 * 1_000_000_000;

/// The clocks of the event loop, from its start on.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    origin: Instant,
    /// The monotonic clock when they were last looked at.
    pub moment: Moment,
    /// Nanoseconds of the wall clock's second then.
    pub subsecond: u32,
    nap: Nap,
}

impl Clocks {
    /// Begins now.
    pub fn started() -> Clocks {
        Clocks { origin: Instant::now(), moment: Moment::from_nanos(ORIGIN), subsecond: 0, nap: Nap::default() }
    }

    /// Both clocks, and the nanoseconds of the wall clock's second.
    pub fn now(&self) -> (Now, u32) {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let unix = unix_time();
        let now = Now { moment: Moment::from_nanos(nanos.saturating_add(ORIGIN)), unix: unix.as_secs() };
        (now, unix.subsec_nanos())
    }

    /// Lets so much time go by.
    pub fn nap(&mut self, time: Duration) {
        self.nap.take(time);
    }

    /// Both clocks; what they say is kept.
    pub fn tick(&mut self) -> Now {
        let (now, subsecond) = self.now();
        (self.moment, self.subsecond) = (now.moment, subsecond);
        now
    }
}

/// A time of day in the local time zone. Shows as `2026-11-22 17:39:50`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LocalTime {
    /// Anno Domini.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60: there are leap seconds.
    pub second: u8,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl LocalTime {
    /// The local time at so many seconds since 1970; the first second of 1970 in UTC if the
    /// system cannot tell.
    pub fn at(unix: u64) -> LocalTime {
        let unknown = LocalTime { year: 1970, month: 1, day: 1, ..LocalTime::default() };
        // Of the type that the call wants: its name is deprecated for musl until the crate has but one for it.
        let Ok(seconds) = unix.try_into() else { return unknown };
        // SAFETY: `tm` is plain numbers and, on some systems, a pointer that may be null.
        let mut parts: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live values of the right type, which the call does not keep.
        if unsafe { libc::localtime_r(&raw const seconds, &raw mut parts) }.is_null() {
            return unknown;
        }
        let small = |number: libc::c_int| u8::try_from(number).unwrap_or(0);
        LocalTime {
            year: i64::from(parts.tm_year) + 1900,
            month: small(parts.tm_mon) + 1,
            day: small(parts.tm_mday),
            hour: small(parts.tm_hour),
            minute: small(parts.tm_min),
            second: small(parts.tm_sec),
        }
    }

    /// The time as syslog has it, `Nov 22 17:39:50` (RFC 3164 section 4.1.2).
    pub fn syslog(self) -> String {
        let month = MONTHS.get(usize::from(self.month).wrapping_sub(1)).unwrap_or(&"Jan");
        format!("{month} {:>2} {:02}:{:02}:{:02}", self.day, self.hour, self.minute, self.second)
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LocalTime { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_in_logs() {
        let time = LocalTime { year: 2002, month: 1, day: 9, hour: 0, minute: 27, second: 5 };
        assert_eq!(time.to_string(), "2002-01-09 00:27:05");
        assert_eq!(time.syslog(), "Jan  9 00:27:05");
    }

    #[test]
    fn local_time_is_within_a_day_of_utc() {
        let time = LocalTime::at(1_010_534_825);
        assert_eq!((time.year, time.month), (2002, 1));
        assert!((8..=9).contains(&time.day), "{time}");
        assert_eq!(time.second, 5);
        // A time that no calendar has.
        assert_eq!(LocalTime::at(u64::MAX).to_string(), "1970-01-01 00:00:00");
    }
}
