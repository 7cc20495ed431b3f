//! What a subscriber is sent: records, through a buffer of a fixed size.
//!
//! A reader that is too slow loses records, whole ones, and is told how many; it never holds anybody
//! up. What is lost is told where it was lost, before the next record that has room.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use crate::base::time::{Moment, Now};
use crate::control::line::Line;
use crate::control::subscription::{Subscription, Topic};
use crate::net::Stream;

/// The most bytes that wait for a subscriber.
pub const FEED_MAX: usize = 64 * 1024;

/// What is kept free of records: the line that tells of lost ones.
const LOSS_ROOM: usize = 128;

/// After so long without a record a line says that pen is there, so that both sides notice when the
/// other is gone.
pub const QUIET_MAX: Duration = Duration::from_secs(30);

/// The records of one subscriber.
#[derive(Debug)]
pub(super) struct Feed {
    /// What they are about.
    pub topic: Topic,
    waiting: VecDeque<u8>,
    /// Records for which there was no room since the last that had some.
    lost: u64,
    /// How many are still to come, if there is a limit.
    left: Option<u32>,
    until: Option<Moment>,
    last: Moment,
}

impl Feed {
    /// A feed that begins with a line of its own.
    pub fn new(subscription: Subscription, first: &str, now: Now) -> Feed {
        let Subscription { topic, records, seconds } = subscription;
        let until = seconds.map(|seconds| now.moment + Duration::from_secs(u64::from(seconds)));
        let waiting = first.bytes().collect();
        Feed { topic, waiting, lost: 0, left: records, until, last: now.moment }
    }

    /// Takes a record, with all its newlines, if there is room for it.
    pub fn offer(&mut self, record: &[u8], now: Now) {
        if self.left == Some(0) {
            return;
        }
        if self.waiting.len() + record.len() > FEED_MAX - LOSS_ROOM {
            self.lost += 1;
            return;
        }
        self.tell_loss(now);
        self.waiting.extend(record);
        self.last = now.moment;
        self.left = self.left.map(|left| left - 1);
    }

    /// Nothing happened for long: says so.
    pub fn tell_quiet(&mut self, now: Now) {
        if self.waiting.is_empty() && !self.is_over(now.moment) {
            self.waiting.extend(Line::begin(now.unix, "alive").end().bytes());
        }
        self.last = now.moment;
    }

    fn tell_loss(&mut self, now: Now) {
        if self.lost > 0 {
            let mut line = Line::begin(now.unix, "lost");
            line.put("records", &std::mem::take(&mut self.lost));
            self.waiting.extend(line.end().bytes());
        }
    }

    /// Sends what waits, as far as that goes. False if nobody is there any more.
    pub fn send(&mut self, stream: &mut impl Stream, now: Now) -> bool {
        loop {
            if self.waiting.is_empty() {
                self.tell_loss(now);
            }
            let (next, _) = self.waiting.as_slices();
            if next.is_empty() {
                return true;
            }
            match stream.write(next) {
                Ok(count) if count > 0 => _ = self.waiting.drain(..count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }

    /// Sends what waits. What is still to be sent if that is the last.
    pub fn go_on(&mut self, stream: &mut impl Stream, now: Now) -> Option<Vec<u8>> {
        if self.send(stream, now) && !self.is_over(now.moment) {
            return None;
        }
        self.tell_loss(now);
        Some(std::mem::take(&mut self.waiting).into())
    }

    /// True if nothing more is to come.
    pub fn is_over(&self, now: Moment) -> bool {
        self.left == Some(0) || self.until.is_some_and(|until| until <= now)
    }

    /// When to look at it again without a record.
    pub fn next_due(&self) -> Moment {
        let quiet = self.last + QUIET_MAX;
        self.until.map_or(quiet, |until| until.min(quiet))
    }
}
