//! Sleeping for some microseconds, where the system can.

use std::time::Duration;

/// Knows whether the system can.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nap {
    is_possible: Option<bool>,
}

impl Nap {
    /// Sleeps for so long; not at all where that would take much longer.
    pub fn take(&mut self, time: Duration) {
        if *self.is_possible.get_or_insert_with(timers::prepare) {
            std::thread::sleep(time);
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod timers {
    use crate::sys::checked;

    /// The longest tick that is fine enough, in nanoseconds. Without timers of high resolution it is
    /// that of the kernel's clock, milliseconds (time(7)).
    const TICK_MAX: libc::c_long = 1_000;

    /// How much longer than asked for the kernel may let this process sleep; at first it is 50
    /// microseconds (PR_SET_TIMERSLACK(2const)).
    const SLACK: libc::c_ulong = 1_000;

    /// True if the timers are fine enough. From then on this process is woken in time.
    pub fn prepare() -> bool {
        let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `tick` has room for what is written.
        let outcome = checked(unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC, &raw mut tick) });
        if outcome.is_err() || tick.tv_sec > 0 || tick.tv_nsec > TICK_MAX {
            return false;
        }
        // SAFETY: numbers only.
        checked(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, SLACK) }).is_ok()
    }
}

/// What their timers are like has been seen nowhere yet.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod timers {
    pub fn prepare() -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::sys::clock::Stopwatch;

    #[test]
    fn a_nap_takes_its_time_and_no_more() {
        let mut nap = Nap::default();
        let naps = |nap: &mut Nap| {
            let watch = Stopwatch::started();
            nap.take(Duration::from_micros(200));
            watch.time()
        };
        let times: Vec<Duration> = (0..50).map(|_| naps(&mut nap)).collect();
        assert_eq!(nap.is_possible, Some(true), "a kernel without timers of high resolution?");
        assert!(times.iter().all(|time| *time >= Duration::from_micros(200)), "{times:?}");
        // Others may have the processor now and then, but not each time.
        assert!(times.iter().min() < Some(&Duration::from_micros(400)), "{times:?}");
    }
}
