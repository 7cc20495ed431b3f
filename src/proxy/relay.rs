//! Carrying bytes between the two ends of a pair that is connected.

use std::time::Duration;

use super::Proxy;
use super::ending::{CloseReason, LAST_BYTES_TIME};
use super::flow::{Flow, Receipt, Taking};
use super::inspection::Piece;
use super::pair::{PairKey, Phase};
use super::ring::RING_SIZE;
use super::timers::TimerKind;
use super::transfers::Tie;
use crate::balance::settings::FastClose;
use crate::net::{Net, Pipe, Stream};
use crate::trace::Direction;

/// Bytes that one read brings at most.
pub const SCRATCH_SIZE: usize = RING_SIZE;

/// The buffer that all reads share. As much again is asked for and left alone: from 128 KiB on, C libraries map fresh
/// pages, which are resident once bytes come into them, and do not clear what they had (mallopt(3)).
pub fn scratch() -> Vec<u8> {
    let mut bytes = vec![0; 2 * SCRATCH_SIZE];
    bytes.truncate(SCRATCH_SIZE);
    bytes
}

/// Bytes that one direction of a pair may carry in one turn before others have theirs.
const BUDGET: usize = 4 * SCRATCH_SIZE;

/// How often to look whether a connection that must be reset has sent its last bytes.
const LAST_BYTES_PAUSE: Duration = Duration::from_millis(20);

/// How one direction was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// An edge will tell when there is more to do.
    Waiting,
    /// There may be more to do right now.
    OutOfBudget,
}

impl<N: Net> Proxy<N> {
    /// Carries what can be carried in both directions.
    pub(super) fn relay(&mut self, key: PairKey) {
        if self.watch.is_on() {
            self.watch_pair(key);
        }
        let before = self.pairs[key.0].progress();
        let was_inspected = self.pairs[key.0].inspection.is_some();
        if was_inspected || self.watch.is_on() || self.reqlog.is_open() || self.faults.are_any() {
            self.errands.come();
        }
        let mut left = Left::Waiting;
        for direction in [Direction::Up, Direction::Down] {
            if self.carry(key, direction) == Left::OutOfBudget {
                left = Left::OutOfBudget;
            }
        }
        if was_inspected && self.wake_inspected(key) {
            left = Left::OutOfBudget;
        }
        self.tell_shortage();
        let pair = &mut self.pairs[key.0];
        pair.give_up_broken(&mut self.pool);
        if self.watch.is_on() {
            self.watch_ends(key);
        }
        let pair = &mut self.pairs[key.0];
        pair.note_progress(&before, self.now.moment);
        let after = pair.sent();
        let Phase::Relaying { place, up, down, .. } = &pair.phase else { return };
        let taken = (after.0 - before[0].0, after.1 - before[1].0);
        if taken != (0, 0) {
            self.listeners[pair.listener].balancer.account(place.id, pair.client_id, taken.0, taken.1);
        }
        if up.has_ended() && down.has_ended() {
            return self.both_ended(key);
        }
        if pair.inspection.is_some() && self.end_by_inspector(key) {
            return;
        }
        if self.faults.are_any() && self.end_by_fault(key) {
            return;
        }
        let Phase::Relaying { up, down, .. } = &self.pairs[key.0].phase else { return };
        if closes_fast(self.settings_of(key).fast_close, up, down) {
            return self.close(key, CloseReason::FastClose);
        }
        if up.is_stuck() || down.is_stuck() || up.has_ended() != down.has_ended() {
            self.watch_limits(key);
        }
        let pair = &self.pairs[key.0];
        if left == Left::OutOfBudget || pair.has_last_words() {
            self.queue(key);
        } else if pair.is_broken() {
            // The sink of the last bytes may wait for the end that is gone.
            self.limit_last_bytes(key, LAST_BYTES_TIME);
        }
    }

    /// Carries one direction until there is nothing to carry, the sink is full, or the pair has
    /// had its share.
    fn carry(&mut self, key: PairKey, direction: Direction) -> Left {
        let mut budget = BUDGET;
        while budget > 0 {
            let most = if self.faults.are_any() { self.allowance(key, direction, SCRATCH_SIZE) } else { SCRATCH_SIZE };
            if most == 0 {
                return Left::Waiting;
            }
            let pair = &mut self.pairs[key.0];
            let carried = if pair.inspection.is_none() {
                if !pair.may_carry(direction) {
                    return Left::Waiting;
                }
                self.carry_once(key, direction, most)
            } else {
                match self.inspect(key, direction, most) {
                    Piece::Taken(count) => {
                        self.coalescing.read(count);
                        count
                    }
                    Piece::Waits => 0,
                    Piece::Unseen => self.carry_once(key, direction, most),
                }
            };
            if self.faults.are_any() {
                self.note_carried(key, direction, carried);
            }
            if carried == 0 {
                return Left::Waiting;
            }
            budget = budget.saturating_sub(carried);
        }
        Left::OutOfBudget
    }

    /// Carries what one read of at most so many bytes brings; how much that was, 0 if there is nothing
    /// more to do now.
    fn carry_once(&mut self, key: PairKey, direction: Direction, most: usize) -> usize {
        let pair = &mut self.pairs[key.0];
        let is_logged = direction == Direction::Up && self.reqlog.is_open() && pair.tie == Tie::None;
        let is_unseen = !is_logged && !self.watch.is_on() && !self.faults.concern(key);
        let Phase::Relaying { server, up, down, .. } = &mut pair.phase else { return 0 };
        let (flow, other, source, sink) = match direction {
            Direction::Up => (up, down, &mut pair.client, server),
            Direction::Down => (down, up, server, &mut pair.client),
        };
        flow.free(sink, &mut self.pool);
        if is_unseen
            && flow.is_bulk()
            && source.readable
            && let Some(moved) = flow.move_through_pipe(source, sink, &mut self.net, &mut self.pool)
        {
            if moved > 0 {
                self.coalescing.moved(moved);
            }
            return moved;
        }
        if flow.is_open() && source.readable {
            self.shortage.provide(&mut self.pool, &mut self.net);
        }
        let is_leaving = other.has_ended() && !sink.is_broken;
        let is_ready = self.pool.is_ready();
        let taking = if is_ready { Taking::Read { is_leaving } } else { Taking::Sight { is_leaving } };
        let receipt = flow.take(source, sink, taking, &mut self.scratch[..most]);
        let received = match receipt {
            Receipt::Bytes(count) => count,
            Receipt::Sight(count) => flow.pass(source, sink, &mut self.scratch[..count]),
            Receipt::Nothing | Receipt::Ended | Receipt::LastWords => 0,
        };
        if received == 0 {
            return 0;
        }
        self.coalescing.read(received);
        let chunk = &self.scratch[..received];
        if is_logged {
            let server = pair.to.as_ref().expect("a pair that relays is connected to a server");
            self.reqlog.record(pair.search.from(), self.now.unix, server, chunk);
        }
        if self.watch.is_on() {
            self.watch.passed(&mut self.net, &mut self.control, self.now, (key, direction), chunk);
        }
        if receipt == Receipt::Bytes(received) {
            // A fault may hold the end up.
            let is_last = source.is_at_end() && !self.faults.concern(key);
            flow.send(sink, chunk, is_last, &mut self.pool);
        }
        received
    }

    /// Both directions have ended. If one end broke, the other must not take what it got for
    /// complete: it is reset, once its last bytes have left.
    fn both_ended(&mut self, key: PairKey) {
        let pair = &mut self.pairs[key.0];
        let Phase::Relaying { server, .. } = &mut pair.phase else { return };
        if !pair.client.is_broken && !server.is_broken {
            return self.close(key, CloseReason::Done);
        }
        let other = match (pair.client.is_broken, server.is_broken) {
            (true, true) => return self.close(key, CloseReason::Broken),
            (true, false) => server,
            (false, _) => &mut pair.client,
        };
        if other.stream.unsent().is_ok_and(|count| count > 0) {
            return self.limit_last_bytes(key, LAST_BYTES_PAUSE);
        }
        self.close(key, CloseReason::Broken);
    }

    /// Looks again, after this time at the latest, whether the last bytes of a broken pair have
    /// left.
    fn limit_last_bytes(&mut self, key: PairKey, after: Duration) {
        let due = self.now.moment + after;
        let timer = self.pairs[key.0].timer;
        if timer.is_none_or(|timer| timer.kind != TimerKind::Farewell || timer.due > due) {
            self.arm(key, TimerKind::Farewell, after);
        }
    }
}

/// Whether the operator wants a pair to end now that one of its sides has. Bytes that wait for a side
/// are sent first.
fn closes_fast<P: Pipe>(when: FastClose, up: &Flow<P>, down: &Flow<P>) -> bool {
    let (server_ended, client_ended) = (down.has_ended(), up.has_ended());
    let ends = match when {
        FastClose::Off => false,
        FastClose::Up => server_ended,
        FastClose::Down => client_ended,
        FastClose::Both => server_ended || client_ended,
    };
    ends && !up.is_stuck() && !down.is_stuck()
}
