//! What goes wrong because an operator wants it to: connections that are slow, cut off or dead.
//!
//! How much a pair may carry is asked before it does; while nothing is to go wrong, that is one
//! compare. A connection that has really broken is not held up any more. When a pair may go on is
//! kept in order of time, beside the timers: it waits for both.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use super::Proxy;
use super::ending::CloseReason;
use super::pair::{PairKey, Phase};
use crate::balance::ListenerKey;
use crate::balance::settings::Fault;
use crate::base::beside::Beside;
use crate::base::direction::Direction;
use crate::base::time::Moment;
use crate::control::status;
use crate::net::{Net, Stream};

/// What is throttled goes on this often.
const STEP: Duration = Duration::from_millis(50);

/// The pairs with which something is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pairs: Beside<Faulty>,
    /// When pairs may go on.
    due: BTreeSet<(Moment, usize)>,
}

/// One of them.
#[derive(Debug)]
struct Faulty {
    fault: Fault,
    /// It is for this pair alone.
    is_own: bool,
    /// What each direction waits for.
    until: [Option<Moment>; 2],
    /// Bytes that each direction has carried; of one that is throttled, since it waited last.
    carried: [u64; 2],
}

impl Faults {
    /// True if something is to go wrong with anybody.
    #[inline]
    pub fn are_any(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// True if something is to go wrong with this pair.
    #[inline]
    pub fn concern(&self, key: PairKey) -> bool {
        self.are_any() && self.pairs.contains(key.0)
    }

    /// When the next pair may go on.
    pub fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| *due)
    }

    /// What goes wrong with a pair.
    pub fn of(&self, key: PairKey) -> Option<Fault> {
        self.pairs.of(key.0).map(|faulty| faulty.fault)
    }

    /// The pair is no more.
    pub fn forget(&mut self, key: PairKey) {
        if self.pairs.remove(key.0).is_some() {
            self.due.retain(|(_, number)| *number != key.0);
        }
    }

    fn set(&mut self, key: PairKey, fault: Option<Fault>, is_own: bool) {
        self.forget(key);
        if let Some(fault) = fault {
            self.pairs.insert(key.0, Faulty { fault, is_own, until: [None; 2], carried: [0; 2] });
        }
    }

    /// How much of `most` bytes a direction may carry now; 0 if it must wait, and then it is told
    /// when to go on. `has_come` says that there is something to carry.
    fn allow(&mut self, key: PairKey, direction: Direction, most: usize, has_come: bool, now: Moment) -> usize {
        let Some(faulty) = self.pairs.of_mut(key.0) else { return most };
        let way = direction as usize;
        let left =
            |after: u64| usize::try_from(after.saturating_sub(faulty.carried[way])).unwrap_or(usize::MAX).min(most);
        match faulty.fault {
            Fault::Blackhole => 0,
            Fault::Reset(after) | Fault::Truncate(after) if direction == Direction::Down => left(after),
            Fault::Reset(_) | Fault::Truncate(_) => most,
            Fault::Delay(_) if !has_come => {
                if let Some(until) = faulty.until[way].take() {
                    self.due.remove(&(until, key.0));
                }
                most
            }
            Fault::Delay(time) => match faulty.until[way] {
                None => {
                    faulty.until[way] = Some(now + time);
                    self.due.insert((now + time, key.0));
                    0
                }
                Some(until) if until > now => 0,
                // Until nothing is left of what has waited.
                Some(until) => {
                    self.due.remove(&(until, key.0));
                    most
                }
            },
            Fault::Throttle(rate) => {
                if let Some(until) = faulty.until[way].filter(|until| *until <= now) {
                    (faulty.until[way], faulty.carried[way]) = (None, 0);
                    self.due.remove(&(until, key.0));
                }
                let step = u64::from(rate).saturating_mul(STEP.as_millis() as u64) / 1000;
                usize::try_from(step.max(1) - faulty.carried[way].min(step.max(1))).unwrap_or(usize::MAX).min(most)
            }
        }
    }

    /// A direction has carried so much.
    pub fn carried(&mut self, key: PairKey, direction: Direction, count: usize, now: Moment) {
        let Some(faulty) = self.pairs.of_mut(key.0) else { return };
        let way = direction as usize;
        faulty.carried[way] += count as u64;
        if let Fault::Throttle(rate) = faulty.fault
            && faulty.until[way].is_none()
            && count > 0
        {
            // Fewer than one byte in a step: the step is longer.
            let step = STEP.max(Duration::from_secs(1) / rate);
            faulty.until[way] = Some(now + step);
            self.due.insert((now + step, key.0));
        }
    }

    /// A direction has carried all that there was.
    fn drained(&mut self, key: PairKey, direction: Direction) {
        if let Some(Faulty { fault: Fault::Delay(_), until, .. }) = self.pairs.of_mut(key.0) {
            until[direction as usize] = None;
        }
    }

    /// True if a direction of a pair is to wait as soon as something comes.
    fn delays(&self, key: PairKey, direction: Direction) -> bool {
        let faulty = self.pairs.of(key.0);
        faulty
            .is_some_and(|faulty| matches!(faulty.fault, Fault::Delay(_)) && faulty.until[direction as usize].is_none())
    }

    /// How a pair is to end now, if it is.
    fn end_of(&self, key: PairKey) -> Option<Fault> {
        let faulty = self.pairs.of(key.0)?;
        match faulty.fault {
            Fault::Reset(after) | Fault::Truncate(after) if faulty.carried[Direction::Down as usize] >= after => {
                Some(faulty.fault)
            }
            _ => None,
        }
    }
}

impl<N: Net> Proxy<N> {
    /// How much of `most` bytes a direction of a pair may carry now.
    #[cold]
    pub(super) fn allowance(&mut self, key: PairKey, direction: Direction, most: usize) -> usize {
        let delays = self.faults.delays(key, direction);
        let pair = &mut self.pairs[key.0];
        if pair.is_broken() {
            return most;
        }
        let Phase::Relaying { server, up, down, .. } = &mut pair.phase else { return most };
        let (flow, source) = match direction {
            Direction::Up => (up, &mut pair.client),
            Direction::Down => (down, server),
        };
        // Only what is really there begins to wait: that it may be is no news.
        if delays && source.readable && flow.is_open() && is_empty(&mut source.stream) {
            source.readable = false;
        }
        let has_come = source.readable || flow.is_stuck();
        self.faults.allow(key, direction, most, has_come, self.now.moment)
    }

    /// A direction of a pair has carried so much, which was all if it is nothing.
    #[cold]
    pub(super) fn note_carried(&mut self, key: PairKey, direction: Direction, count: usize) {
        self.faults.carried(key, direction, count, self.now.moment);
        let pair = &self.pairs[key.0];
        let Phase::Relaying { server, up, down, .. } = &pair.phase else { return };
        let has_more = match direction {
            Direction::Up => pair.client.readable || up.is_stuck(),
            Direction::Down => server.readable || down.is_stuck(),
        };
        if count == 0 && !has_more {
            self.faults.drained(key, direction);
        }
    }

    /// A pair has been connected: what goes wrong at its listener goes wrong with it.
    pub(super) fn begin_fault(&mut self, key: PairKey) {
        if let Some(fault) = self.settings_of(key).fault {
            self.faults.set(key, Some(fault), false);
        }
    }

    /// Ends a pair with which that is to go wrong, once the client has had what it is to have. True
    /// if it is gone.
    #[cold]
    pub(super) fn end_by_fault(&mut self, key: PairKey) -> bool {
        let Some(fault) = self.faults.end_of(key) else { return false };
        let Phase::Relaying { down, .. } = &self.pairs[key.0].phase else { return false };
        if down.is_stuck() {
            return false;
        }
        // A reset takes away what is still on its way.
        if self.pairs[key.0].client.stream.unsent().is_ok_and(|count| count > 0) {
            self.faults.due.insert((self.now.moment + STEP, key.0));
            return false;
        }
        self.close(key, CloseReason::Fault(fault));
        true
    }

    /// Goes on with those that have waited long enough.
    pub(super) fn expire_faults(&mut self) {
        while let Some(&(due, number)) = self.faults.due.first().filter(|(due, _)| *due <= self.now.moment) {
            self.faults.due.remove(&(due, number));
            if self.pairs.get(number).is_some_and(|pair| matches!(pair.phase, Phase::Relaying { .. })) {
                self.relay(PairKey(number));
            }
        }
    }

    /// Other things go wrong with the pairs of a listener from now on.
    pub(super) fn faults_changed(&mut self, at: ListenerKey) {
        let fault = self.listeners[at].balancer.settings.fault;
        let pairs = self.pairs.iter().filter(|(_, pair)| pair.listener == at);
        let keys: Vec<PairKey> = pairs.map(|(number, _)| PairKey(number)).collect();
        for key in keys {
            if self.faults.pairs.of(key.0).is_none_or(|faulty| !faulty.is_own) {
                self.change_fault(key, fault, false);
            }
        }
    }

    /// This goes wrong with one connection from now on; without a fault what its listener says.
    pub(super) fn fault_connection(&mut self, number: usize, fault: Option<Fault>) -> Result<String, String> {
        if !self.pairs.contains(number) {
            return status::closing(number, false, self.listeners.common.conn_max);
        }
        let key = PairKey(number);
        let fault_of_listener = self.settings_of(key).fault;
        self.change_fault(key, fault.or(fault_of_listener), fault.is_some());
        Ok(String::new())
    }

    fn change_fault(&mut self, key: PairKey, fault: Option<Fault>, is_own: bool) {
        if matches!(self.pairs[key.0].phase, Phase::Relaying { .. }) {
            self.faults.set(key, fault, is_own);
            // What has come meanwhile brings no new edge.
            self.queue(key);
        }
    }
}

/// True if a read would block.
fn is_empty<S: Stream>(stream: &mut S) -> bool {
    loop {
        match stream.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PairKey = PairKey(3);

    fn at(millis: u64) -> Moment {
        Moment::default() + Duration::from_millis(millis)
    }

    fn faults(fault: Fault) -> Faults {
        let mut faults = Faults::default();
        faults.set(KEY, Some(fault), false);
        faults
    }

    #[test]
    fn a_delay_holds_each_piece_for_its_time() {
        let mut faults = faults(Fault::Delay(Duration::from_millis(100)));
        assert_eq!(faults.allow(KEY, Direction::Up, 10, false, at(0)), 10, "nothing has come");
        assert_eq!(faults.allow(KEY, Direction::Up, 10, true, at(5)), 0);
        assert_eq!(faults.next_due(), Some(at(105)));
        assert_eq!(faults.allow(KEY, Direction::Up, 10, true, at(104)), 0);
        assert_eq!(faults.allow(KEY, Direction::Down, 10, true, at(104)), 0, "each direction has its time");
        assert_eq!(faults.allow(KEY, Direction::Up, 10, true, at(105)), 10);
        assert_eq!(faults.allow(KEY, Direction::Up, 10, true, at(105)), 10, "all that is there goes on");
        assert_eq!(faults.next_due(), Some(at(204)));
        faults.drained(KEY, Direction::Up);
        assert_eq!(faults.allow(KEY, Direction::Up, 10, true, at(110)), 0, "the next piece waits as long");
        assert_eq!(faults.next_due(), Some(at(204)));
        faults.forget(KEY);
        assert_eq!(faults.next_due(), None);
    }

    #[test]
    fn a_throttle_lets_so_much_through_in_a_second() {
        for rate in [1, 7, 1000, 1_000_000] {
            let mut faults = faults(Fault::Throttle(rate));
            let mut carried = 0;
            for millis in 0..10_000 {
                let count = faults.allow(KEY, Direction::Down, 65_536, true, at(millis));
                faults.carried(KEY, Direction::Down, count, at(millis));
                carried += count;
            }
            let expected = 10 * rate as usize;
            assert!((expected * 9 / 10..=expected + expected / 10 + 1).contains(&carried), "{rate}: {carried}");
        }
    }

    #[test]
    fn an_end_comes_after_so_many_bytes_of_the_server() {
        for fault in [Fault::Reset(100), Fault::Truncate(100)] {
            let mut faults = faults(fault);
            assert_eq!(faults.allow(KEY, Direction::Up, 500, true, at(0)), 500);
            assert_eq!(faults.allow(KEY, Direction::Down, 500, true, at(0)), 100);
            faults.carried(KEY, Direction::Down, 99, at(0));
            assert_eq!(faults.end_of(KEY), None);
            assert_eq!(faults.allow(KEY, Direction::Down, 500, true, at(0)), 1);
            faults.carried(KEY, Direction::Down, 1, at(0));
            assert_eq!(faults.end_of(KEY), Some(fault));
        }
        assert_eq!(faults(Fault::Reset(0)).end_of(KEY), Some(Fault::Reset(0)));
        assert_eq!(faults(Fault::Blackhole).allow(KEY, Direction::Up, 5, true, at(0)), 0);
    }
}
