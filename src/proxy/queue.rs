//! The queue: clients for whom there is a server, but no place at it, wait for one in the order in
//! which they came; for so long as the operator says.
//!
//! A place that becomes free is offered to who waits longest before anybody new gets it. Nobody
//! waits for a server that has failed: if none is left that only has to become free, those who wait
//! are sent away as without a queue.

use std::collections::VecDeque;
use std::time::Duration;

use super::Proxy;
use super::ending::CloseReason;
use super::pair::{PairKey, Phase};
use super::timers::TimerKind;
use crate::balance::{ListenerKey, Search};
use crate::base::diag::Severity;
use crate::base::time::Moment;
use crate::net::Net;

/// How often to look whether there is a place of which nothing has told: a server may be back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who waits, of all listeners.
#[derive(Debug, Default)]
pub struct Queue {
    /// With their tickets, which are numbers that grow.
    waiting: VecDeque<(u64, PairKey)>,
    last_ticket: u64,
    /// A place may have become free.
    is_due: bool,
    /// They are given their places.
    is_serving: bool,
    /// When to look even so.
    look_at: Option<Moment>,
}

impl Queue {
    /// A place may be free: something was given back, or settings have changed.
    pub fn follow(&mut self) {
        self.is_due = !self.waiting.is_empty();
    }

    /// When to look without an event.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let at = if self.is_due { Some(Moment::default()) } else { self.look_at };
        at.filter(|_| !self.waiting.is_empty())
    }

    /// Somebody waits no longer.
    pub(super) fn leave(&mut self, ticket: u64) {
        if let Ok(place) = self.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket) {
            self.waiting.remove(place);
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl<N: Net> Proxy<N> {
    /// Lets a client wait for whom there is no server now; false if it may not, or in vain. `search`
    /// is what it had before the last one was asked for.
    pub(super) fn enqueue(&mut self, key: PairKey, search: Search) -> bool {
        let at = self.pairs[key.0].listener;
        let listener = &self.listeners[at];
        let Some(queueing) = listener.balancer.settings.queue else { return false };
        if listener.queued >= queueing.places as usize || !listener.balancer.awaits_place(&search, self.now.moment) {
            return false;
        }
        self.pairs[key.0].search = search;
        self.queue.last_ticket += 1;
        let ticket = self.queue.last_ticket;
        if self.queue.is_empty() {
            self.queue.look_at = Some(self.now.moment + LOOK_EVERY);
        }
        self.queue.waiting.push_back((ticket, key));
        self.enter(key, Phase::Queued { ticket });
        self.arm(key, TimerKind::Retry, queueing.time);
        if self.tells_events() {
            let text = format!("connection {}: waits, as all servers are full", key.0);
            self.say(Severity::Debug, &text);
        }
        true
    }

    /// Gives places that are free to those who wait for them.
    pub(super) fn serve_queue(&mut self) {
        let now = self.now.moment;
        // What is given back meanwhile is for the next turn.
        if self.queue.is_serving || self.queue.next_due().is_none_or(|due| due > now) {
            return;
        }
        (self.queue.is_serving, self.queue.is_due) = (true, false);
        self.queue.look_at = Some(now + LOOK_EVERY);
        let waiting: Vec<(u64, PairKey)> = self.queue.waiting.iter().copied().collect();
        let mut full: Vec<ListenerKey> = Vec::new();
        for (ticket, key) in waiting {
            // To serve one may have closed another.
            if !self
                .pairs
                .get(key.0)
                .is_some_and(|pair| matches!(pair.phase, Phase::Queued { ticket: own } if own == ticket))
            {
                continue;
            }
            let pair = &self.pairs[key.0];
            let at = pair.listener;
            if full.contains(&at) {
                continue;
            }
            let balancer = &self.listeners[at].balancer;
            if balancer.has_server_for(&pair.search, now) || !balancer.awaits_place(&pair.search, now) {
                self.enter(key, Phase::Searching { place: None, until: now });
                self.connect(key);
            } else {
                full.push(at);
            }
        }
        self.queue.is_serving = false;
    }

    /// A client has waited for as long as it may.
    pub(super) fn queue_time_is_over(&mut self, key: PairKey) {
        self.close(key, CloseReason::NoServer);
    }

    /// What must hold of the queue between turns.
    pub(super) fn check_queue(&self) {
        let is_queued = |key: &PairKey, ticket: u64| {
            let pair = self.pairs.get(key.0);
            pair.is_some_and(|pair| matches!(pair.phase, Phase::Queued { ticket: own } if own == ticket))
        };
        assert!(self.queue.waiting.iter().all(|(ticket, key)| is_queued(key, *ticket)), "who has a ticket waits");
        let queued: usize = self.listeners.all().map(|(_, listener)| listener.queued).sum();
        assert_eq!(queued, self.queue.len(), "who waits has a ticket");
    }
}
