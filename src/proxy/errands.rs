//! Whether there is anything to do beside carrying bytes.
//!
//! Most turns of a busy pen carry bytes between two ends and do nothing else. All the others that have a part in a
//! turn (listeners, sessions, checks, idlers, timers, ...) are asked only in a turn that may have given them something
//! to do: one with an event of another kind, one in which a pair came, ended or waits for something else than before,
//! or one in which a time has come.

use std::time::Duration;

use super::Proxy;
use crate::base::time::{Moment, earliest};
use crate::net::Net;

/// What is known of it.
#[derive(Debug)]
pub struct Errands {
    /// There may be something, now.
    are_there: bool,
    /// When there will be something if nothing else happens.
    due: Option<Moment>,
}

impl Default for Errands {
    /// Nobody was asked yet.
    fn default() -> Errands {
        Errands { are_there: true, due: None }
    }
}

impl Errands {
    /// Something happened that others than the two ends of a pair may have to do with.
    #[inline]
    pub fn come(&mut self) {
        self.are_there = true;
    }

    /// True if there may be something to do at this moment.
    #[inline]
    pub fn are_there(&mut self, now: Moment) -> bool {
        self.are_there |= self.due.is_some_and(|due| due <= now);
        self.are_there
    }
}

impl<N: Net> Proxy<N> {
    /// How long nobody has anything to do if nothing happens; `None` if that is for ever.
    pub(super) fn timeout(&mut self, foreign_due: Option<Moment>) -> Option<Duration> {
        if self.errands.are_there {
            if self.is_busy() {
                return Some(Duration::ZERO);
            }
            self.errands = Errands { are_there: false, due: self.next_due() };
        } else if cfg!(debug_assertions) {
            assert!(!self.is_busy(), "somebody has something to do after a turn that only carried bytes");
            let (known, due) = (self.errands.due, self.next_due());
            let is_late = due.is_some_and(|due| known.is_none_or(|known| known > due));
            assert!(!is_late, "a turn that only carried bytes brings no deadline nearer");
        }
        let due = earliest(&[self.errands.due, foreign_due])?;
        Some(due.since(self.now.moment))
    }

    /// True if somebody has something to do without an event.
    fn is_busy(&self) -> bool {
        let may_go_on = !self.runnable.is_empty() || self.udp.is_runnable() || self.viewers.may_go_on();
        may_go_on || self.may_accept() || self.may_receive() || self.control.may_accept()
    }

    /// When somebody has something to do.
    fn next_due(&mut self) -> Option<Moment> {
        let pairs = &self.pairs;
        let now = self.now.moment;
        earliest(&[
            self.timers.next_due(|key, timer| pairs.get(key.0).is_some_and(|pair| pair.timer == Some(timer))),
            self.listening.paused_until(),
            self.control.next_due(),
            self.viewers.next_due(),
            self.names.next_due(),
            self.idlers.next_due(),
            self.udp.next_due(),
            self.transfers.next_due(now),
            self.checks.next_due(),
            self.queue.next_due(),
            self.reqlog.next_due(now),
            self.watch.next_due(now),
            self.faults.next_due(),
            self.drain_ends(),
            self.upgrade.next_due(),
        ])
    }
}
