//! How long a connected pair may go on without what keeps it alive: silent, half-closed, stuck.
//!
//! Nothing here is done for a byte, only for an edge that leaves a pair half-closed or stuck. A
//! pair waits for one timer, which may come too early but never too late: what the pair is doing
//! by then decides what happens, and what it waits for next.
//!
//! Bytes that the kernel has taken are not with the peer yet, and a slow one may need longer for
//! them than any limit. So before a pair is closed its kernel is asked what it still has: if that
//! becomes less, the peer is alive.

use std::time::Duration;

use super::Proxy;
use super::ending::CloseReason;
use super::pair::{Pair, PairKey, Phase, Side};
use super::timers::{Timer, TimerKind};
use super::transfers::{ORPHAN_TIME, Tie};
use crate::balance::Settings;
use crate::base::time::Moment;
use crate::net::{Net, Stream};

/// How often a stuck pair is looked at within its time: so much of it may be added to the time.
const LOOKS: u32 = 4;

/// The limit that a pair reaches first if nothing happens.
struct Limit {
    kind: TimerKind,
    due: Moment,
    /// When to look at the pair.
    look: Moment,
    why: CloseReason,
}

impl<N: Net> Proxy<N> {
    /// Sees to it that the pair is looked at before the first of its limits is reached.
    pub(super) fn watch_limits(&mut self, key: PairKey) {
        let pair = &self.pairs[key.0];
        if let Some(limit) = next_limit(pair, self.settings_of(key), self.now.moment)
            && pair.timer.is_none_or(|armed| armed.due > limit.look)
        {
            self.await_timer(key, Timer { kind: limit.kind, due: limit.look });
        }
    }

    /// The pair may have reached a limit.
    pub(super) fn limit_reached(&mut self, key: PairKey) {
        let now = self.seen_until;
        let active = self.transfers_active(key);
        let pair = &mut self.pairs[key.0];
        // A control connection is not silent while there is a transfer.
        pair.moved[0] = active.map_or(pair.moved[0], |active| pair.moved[0].max(active));
        if let Phase::Relaying { server, .. } = &mut pair.phase {
            // This timer may stand in place of the one that was left of the connect.
            server.stream.settle();
        }
        let settings = &self.listeners[pair.listener].balancer.settings;
        let mut next = next_limit(pair, settings, now);
        if next.as_ref().is_some_and(|limit| limit.due <= now || limit.kind == TimerKind::Stuck) {
            look_at_kernel(pair, self.now.moment);
            next = next_limit(pair, settings, now);
        }
        match next {
            Some(limit) if limit.due <= now => self.close(key, limit.why),
            Some(limit) => self.await_timer(key, Timer { kind: limit.kind, due: limit.look }),
            None => {}
        }
    }

    /// New limits hold for the pairs that there are, too.
    pub(super) fn limits_changed(&mut self) {
        let keys: Vec<PairKey> = self.pairs.iter().map(|(key, _)| PairKey(key)).collect();
        for key in keys {
            self.watch_limits(key);
        }
    }
}

fn next_limit<S: Stream>(pair: &Pair<S>, settings: &Settings, now: Moment) -> Option<Limit> {
    let Phase::Relaying { up, down, .. } = &pair.phase else { return None };
    // What a broken pair waits for has a limit of its own.
    if pair.is_broken() {
        return None;
    }
    let mut first: Option<Limit> = None;
    let mut consider = |applies: bool, kind, time: Duration, since: Moment, why| {
        let due = since + time;
        if applies && !time.is_zero() && first.as_ref().is_none_or(|limit| due < limit.due) {
            let look = if kind == TimerKind::Stuck { due.min(now + time / LOOKS) } else { due };
            first = Some(Limit { kind, due, look, why });
        }
    };
    let silent = pair.last_active();
    let (half_closed, stuck) = (settings.half_closed_timeout, settings.stuck_timeout);
    consider(true, TimerKind::Idle, settings.idle_timeout, silent, CloseReason::Idle);
    consider(pair.tie == Tie::Orphan, TimerKind::Idle, ORPHAN_TIME, silent, CloseReason::ControlGone);
    consider(pair.is_half_closed(), TimerKind::HalfClosed, half_closed, silent, CloseReason::HalfClosed);
    consider(up.is_stuck(), TimerKind::Stuck, stuck, pair.moved[0], CloseReason::Stuck(Side::Server));
    consider(down.is_stuck(), TimerKind::Stuck, stuck, pair.moved[1], CloseReason::Stuck(Side::Client));
    first
}

/// Takes note of bytes that went from the kernel to the peers. What is found there for the first
/// time may have moved a moment ago.
fn look_at_kernel<S: Stream>(pair: &mut Pair<S>, now: Moment) {
    let Phase::Relaying { server, .. } = &mut pair.phase else { return };
    for (direction, sink) in [server, &mut pair.client].into_iter().enumerate() {
        let unsent = u32::try_from(sink.stream.unsent().unwrap_or(0)).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut sink.unsent_seen, unsent);
        if unsent > 0 && (before == 0 || unsent < before) {
            pair.moved[direction] = now;
        }
    }
}
