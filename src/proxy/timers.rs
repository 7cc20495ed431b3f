//! When to look at a pair again.
//!
//! One queue per sort of timer, in order of time. An entry is a hint: it is never cancelled, and
//! counts only if the pair still waits for exactly that moment. A pair waits for one timer at a
//! time.

use std::collections::VecDeque;

use super::pair::PairKey;
use crate::base::time::Moment;

/// What a pair waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerKind {
    /// The client must have said who it is, or may have.
    Arrival,
    /// The connect must be done.
    Connect,
    /// Local resources may be back: try to connect again.
    Retry,
    /// The pair has been silent for too long.
    Idle,
    /// One direction has ended, and the other been silent for too long.
    HalfClosed,
    /// A peer has taken nothing for too long.
    Stuck,
    /// The client has had its time to go, or its last bytes have left.
    Farewell,
}

const KINDS: usize = 7;

/// A queue that is no longer than this is never looked through.
const PRUNE_FROM: usize = 1024;

/// What a pair waits for, and when it is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    /// What for.
    pub kind: TimerKind,
    /// Not before.
    pub due: Moment,
}

/// The queues.
#[derive(Debug, Default)]
pub struct Timers {
    queues: [VecDeque<(Moment, PairKey)>; KINDS],
}

impl Timers {
    /// Adds an entry. Nearly always the latest of its queue; a duration that was changed
    /// meanwhile makes it an earlier one.
    pub fn arm(&mut self, key: PairKey, timer: Timer) {
        let queue = &mut self.queues[timer.kind as usize];
        if queue.back().is_none_or(|last| last.0 <= timer.due) {
            queue.push_back((timer.due, key));
        } else {
            let place = queue.partition_point(|entry| entry.0 <= timer.due);
            queue.insert(place, (timer.due, key));
        }
    }

    /// The next entry that is due, if any; it is taken away.
    pub fn pop_due(&mut self, now: Moment) -> Option<(PairKey, Timer)> {
        for kind in KINDS_IN_ORDER {
            let queue = &mut self.queues[kind as usize];
            if let Some(&(due, key)) = queue.front()
                && due <= now
            {
                queue.pop_front();
                return Some((key, Timer { kind, due }));
            }
        }
        None
    }

    /// Makes room for all that so many pairs can wait for, so that arming needs no memory.
    pub fn reserve(&mut self, pairs: usize) {
        for queue in &mut self.queues {
            make_room(queue, most_entries(pairs) + 1);
        }
    }

    /// Looks through queues that have far more entries than there are pairs to wait for, and drops
    /// those that do not count: behind one that waits for long they would pile up.
    pub fn prune(&mut self, pairs: usize, counts: impl Fn(PairKey, Timer) -> bool) {
        for kind in KINDS_IN_ORDER {
            let queue = &mut self.queues[kind as usize];
            if queue.len() > most_entries(pairs) {
                queue.retain(|&(due, key)| counts(key, Timer { kind, due }));
            }
        }
    }

    /// The moment of the first entry that still counts, as `counts` tells; entries before it
    /// that do not are dropped.
    pub fn next_due(&mut self, counts: impl Fn(PairKey, Timer) -> bool) -> Option<Moment> {
        let mut first: Option<Moment> = None;
        for kind in KINDS_IN_ORDER {
            let queue = &mut self.queues[kind as usize];
            while let Some(&(due, key)) = queue.front() {
                if counts(key, Timer { kind, due }) {
                    first = Some(first.map_or(due, |first| first.min(due)));
                    break;
                }
                queue.pop_front();
            }
        }
        first
    }
}

/// Makes room for so many in all. Growing in place would copy, and so touch, memory that nothing was
/// ever put into: most queues are nearly empty.
pub fn make_room<T>(queue: &mut VecDeque<T>, count: usize) {
    if queue.capacity() < count {
        let mut larger = VecDeque::with_capacity(count);
        larger.append(queue);
        *queue = larger;
    }
}

/// Entries that a queue has at most while there are so many pairs.
fn most_entries(pairs: usize) -> usize {
    2 * pairs + PRUNE_FROM
}

const KINDS_IN_ORDER: [TimerKind; KINDS] = [
    TimerKind::Arrival,
    TimerKind::Connect,
    TimerKind::Retry,
    TimerKind::Idle,
    TimerKind::HalfClosed,
    TimerKind::Stuck,
    TimerKind::Farewell,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(kind: TimerKind, due: u64) -> Timer {
        Timer { kind, due: Moment::from_nanos(due) }
    }

    #[test]
    fn entries_come_out_when_due_and_in_order() {
        let mut timers = Timers::default();
        timers.arm(PairKey(1), timer(TimerKind::Idle, 10));
        timers.arm(PairKey(2), timer(TimerKind::Idle, 30));
        timers.arm(PairKey(3), timer(TimerKind::Idle, 20));
        timers.arm(PairKey(4), timer(TimerKind::Connect, 25));
        assert_eq!(timers.next_due(|_, _| true), Some(Moment::from_nanos(10)));
        let mut out = Vec::new();
        while let Some((key, _)) = timers.pop_due(Moment::from_nanos(25)) {
            out.push(key.0);
        }
        assert_eq!(out, [4, 1, 3]);
        assert_eq!(timers.next_due(|_, _| true), Some(Moment::from_nanos(30)));
    }

    #[test]
    fn stale_entries_wake_nobody() {
        let mut timers = Timers::default();
        timers.arm(PairKey(1), timer(TimerKind::Connect, 10));
        timers.arm(PairKey(2), timer(TimerKind::Connect, 20));
        assert_eq!(timers.next_due(|key, _| key == PairKey(2)), Some(Moment::from_nanos(20)));
        assert_eq!(timers.next_due(|_, _| false), None);
        assert_eq!(timers.pop_due(Moment::from_nanos(99)), None);
    }

    #[test]
    fn entries_of_pairs_that_have_gone_do_not_pile_up_behind_one_that_stays() {
        let mut timers = Timers::default();
        let stays = timer(TimerKind::Idle, 1_000_000);
        timers.arm(PairKey(0), stays);
        let mut longest = 0;
        for n in 1..100_000 {
            timers.arm(PairKey(1), timer(TimerKind::Idle, 1_000_000 + n));
            timers.prune(1, |key, timer| (key, timer) == (PairKey(0), stays));
            longest = longest.max(timers.queues[TimerKind::Idle as usize].len());
        }
        assert!(longest <= 2 + PRUNE_FROM, "{longest}");
        assert_eq!(timers.pop_due(Moment::from_nanos(2_000_000)), Some((PairKey(0), stays)));
    }
}
