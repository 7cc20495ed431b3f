//! Being woken in time without saying when at each wait.
//!
//! A wait with a timeout has the kernel set a timer and take it back again, which is some hundredths of what a small
//! request costs, and nearly always for nothing: a busy process is woken by something else long before. A timer that is
//! a file (timerfd_create(2)) is set once for many waits. It may ring for a time that has become pointless since, so
//! that pen is woken once for nothing; and it is closed when there is nothing to be woken for.

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use timer::Alarm;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use without::Alarm;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod timer {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
    use std::time::Duration;

    use mio::Poll;

    use crate::base::time::Moment;
    use crate::sys::{checked, watch_readable};

    /// After so many waits with a timeout, in so short a time, the alarm is set in place of the next timeout.
    const MANY: (u32, Duration) = (16, Duration::from_millis(100));

    /// The alarm. Without one each wait has its timeout.
    #[derive(Debug, Default)]
    pub struct Alarm {
        timer: Option<OwnedFd>,
        /// When it rings.
        at: Option<Moment>,
        /// Waits with a timeout since that moment.
        waits: (u32, Moment),
    }

    impl Alarm {
        /// The timeout to wait with from `now` on, in place of this one.
        pub fn timeout(
            &mut self,
            poll: &Poll,
            token: usize,
            now: Moment,
            timeout: Option<Duration>,
        ) -> Option<Duration> {
            let Some(time) = timeout else {
                if self.at.is_none() {
                    self.timer = None;
                }
                return None;
            };
            let due = now + time;
            if time.is_zero() {
                return timeout;
            }
            if self.at.is_some_and(|at| at <= due) {
                return None;
            }
            if self.are_many(now) && self.set(poll, token, time).is_ok() {
                self.at = Some(due);
                return None;
            }
            timeout
        }

        /// It rings.
        pub fn rings(&mut self) {
            self.at = None;
        }

        /// Counts one more wait with a timeout.
        fn are_many(&mut self, now: Moment) -> bool {
            if self.waits.0 == 0 || now.since(self.waits.1) > MANY.1 {
                self.waits = (0, now);
            }
            self.waits.0 += 1;
            let are_many = self.waits.0 >= MANY.0;
            if are_many {
                self.waits.0 = 0;
            }
            are_many
        }

        fn set(&mut self, poll: &Poll, token: usize, time: Duration) -> io::Result<()> {
            self.at = None;
            let timer = match self.timer.take() {
                Some(timer) => timer,
                None => open(poll, token)?,
            };
            // As far ahead as can be said is early enough: it rings, and is set again.
            let (seconds, nanos) =
                (i32::try_from(time.as_secs()).unwrap_or(i32::MAX), time.subsec_nanos().cast_signed());
            let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let value = libc::timespec { tv_sec: seconds.into(), tv_nsec: nanos.into() };
            let setting = libc::itimerspec { it_interval: never, it_value: value };
            // SAFETY: the descriptor is open, `setting` is read only, and nothing is written.
            let set = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const setting, std::ptr::null_mut()) };
            checked(set)?;
            self.timer = Some(timer);
            Ok(())
        }
    }

    fn open(poll: &Poll, token: usize) -> io::Result<OwnedFd> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: numbers only.
        let fd = checked(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        // SAFETY: the descriptor is new, and nobody else's.
        let timer = unsafe { OwnedFd::from_raw_fd(fd) };
        // Each time it rings is something new, whether or not it was read before.
        watch_readable(poll, timer.as_fd(), token)?;
        Ok(timer)
    }

    #[cfg(test)]
    mod tests {
        use mio::Events;

        use super::*;

        const TOKEN: usize = 7;
        const SECOND: Duration = Duration::from_secs(1);

        struct World {
            alarm: Alarm,
            poll: Poll,
            now: Moment,
        }

        impl World {
            fn new() -> World {
                World { alarm: Alarm::default(), poll: Poll::new().unwrap(), now: Moment::default() + SECOND }
            }

            /// The timeout of the next wait, so much later.
            fn wait(&mut self, after: Duration, timeout: Option<Duration>) -> Option<Duration> {
                self.now = self.now + after;
                self.alarm.timeout(&self.poll, TOKEN, self.now, timeout)
            }

            /// Waits that end at this moment, until one needs no timeout any more.
            fn waits_until_set(&mut self, due: Moment, after: Duration) -> Option<u32> {
                (1..100).find(|_| {
                    let timeout = due.since(self.now + after);
                    self.wait(after, Some(timeout)).is_none()
                })
            }

            /// Whether it rings within this time.
            fn rings(&mut self, within: Duration) -> bool {
                let mut events = Events::with_capacity(4);
                self.poll.poll(&mut events, Some(within)).unwrap();
                let rings = events.iter().any(|event| event.token().0 == TOKEN);
                if rings {
                    self.alarm.rings();
                }
                rings
            }
        }

        #[test]
        fn many_waits_in_a_short_time_need_no_timeout_and_few_have_theirs() {
            let mut world = World::new();
            let due = world.now + 5 * SECOND;
            assert_eq!(world.waits_until_set(due, Duration::from_micros(50)), Some(MANY.0));
            assert_eq!(world.wait(Duration::ZERO, Some(5 * SECOND)), None, "later than it rings");
            assert_eq!(world.wait(Duration::ZERO, None), None);
            assert_eq!(world.wait(Duration::ZERO, Some(Duration::ZERO)), Some(Duration::ZERO));
            assert_eq!(world.wait(Duration::ZERO, Some(SECOND)), Some(SECOND), "earlier than it rings");
            let earlier = world.now + SECOND;
            assert_eq!(world.waits_until_set(earlier, Duration::from_micros(50)), Some(MANY.0 - 1));

            let mut rarely = World::new();
            let due = rarely.now + 60 * SECOND;
            assert_eq!(rarely.waits_until_set(due, Duration::from_millis(10)), None);
            assert!(rarely.alarm.timer.is_none());
        }

        #[test]
        fn it_rings_when_it_is_time_each_time_it_was_set() {
            let mut world = World::new();
            for _ in 0..3 {
                let due = world.now + Duration::from_millis(30);
                assert!(world.waits_until_set(due, Duration::ZERO).is_some());
                assert!(!world.rings(Duration::ZERO), "not before");
                assert!(world.rings(10 * SECOND));
                assert!(!world.rings(Duration::from_millis(50)), "once");
                assert_eq!(world.wait(Duration::ZERO, Some(SECOND)), Some(SECOND), "it is not set any more");
            }
        }

        #[test]
        fn one_set_to_an_earlier_time_rings_then_and_one_that_is_not_needed_is_closed() {
            let mut world = World::new();
            let (late, early) = (world.now + 3600 * SECOND, world.now + Duration::from_millis(30));
            assert!(world.waits_until_set(late, Duration::ZERO).is_some());
            assert!(world.waits_until_set(early, Duration::ZERO).is_some());
            assert_eq!(world.wait(Duration::ZERO, None), None);
            assert!(world.alarm.timer.is_some(), "what is set stays");
            assert!(world.rings(10 * SECOND));
            assert_eq!(world.wait(Duration::ZERO, None), None);
            assert!(world.alarm.timer.is_none());
            let due = world.now + Duration::from_millis(30);
            assert!(world.waits_until_set(due, Duration::ZERO).is_some(), "it is opened again");
            assert!(world.rings(10 * SECOND));
        }
    }
}

/// Elsewhere a timeout costs nothing that is known of.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod without {
    use std::time::Duration;

    use mio::Poll;

    use crate::base::time::Moment;

    /// None.
    #[derive(Debug, Default)]
    pub struct Alarm;

    impl Alarm {
        /// The timeout to wait with.
        pub fn timeout(&mut self, _: &Poll, _: usize, _: Moment, timeout: Option<Duration>) -> Option<Duration> {
            timeout
        }

        /// It never does.
        pub fn rings(&mut self) {}
    }
}
