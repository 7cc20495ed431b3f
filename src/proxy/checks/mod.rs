//! Active checks: when each server is asked, and by which socket. What is said is decided by
//! [`Dialogue`].
//!
//! Nothing is done here, not even looked, where no check is configured.

mod running;

use std::time::Duration;

use slab::Slab;

use super::{FIRST_CHECK, Proxy};
use crate::balance::{ListenerKey, ServerId};
use crate::base::addr::Endpoint;
use crate::base::time::Moment;
use crate::check::{Check, Dialogue};
use crate::control::event::OfServer;
use crate::net::{Net, Token};

/// How soon after they are set up the first checks are made, at the latest.
const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// How many checks are under way at once at most; others wait for a moment.
const RUNNING_MAX: usize = 64;

/// How soon to try again when something is lacking here or too many are under way.
const PAUSE: Duration = Duration::from_secs(1);

/// When a server is to be checked.
#[derive(Debug)]
struct Appointment {
    at: ListenerKey,
    id: ServerId,
    due: Moment,
}

/// A check under way.
#[derive(Debug)]
struct Running<S> {
    at: ListenerKey,
    id: ServerId,
    check: Check,
    stream: S,
    /// Which of the server's addresses.
    address: usize,
    to: Endpoint,
    dialogue: Dialogue,
    /// What is still to be said.
    unsaid: Vec<u8>,
    is_connected: bool,
    /// The verdict was noted.
    is_noted: bool,
    /// When its time is over.
    until: Moment,
}

/// All of them.
#[derive(Debug)]
pub struct Checks<S> {
    appointments: Vec<Appointment>,
    running: Slab<Running<S>>,
    /// Settings or servers have changed.
    is_due: bool,
    /// When to look at the next one.
    next: Option<Moment>,
    /// What is drawn next: jitter and numbers of questions.
    random: u64,
}

impl<S> Checks<S> {
    /// None so far. What is random follows from a seed.
    pub fn new(seed: u64) -> Checks<S> {
        // The settings of the start are news.
        Checks { appointments: Vec::new(), running: Slab::new(), is_due: true, next: None, random: seed }
    }

    /// Servers or settings have changed.
    pub fn follow(&mut self) {
        self.is_due = true;
    }

    /// When to look at them without an event.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.next
    }

    /// How many are under way.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// A random number (splitmix64; Steele, Lea and Flood 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A time below this one.
    fn part_of(&mut self, time: Duration) -> Duration {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.draw() % nanos)
    }

    /// True if a server is asked already, and nothing is known yet.
    fn is_running(&self, at: ListenerKey, id: ServerId) -> bool {
        self.running.iter().any(|(_, one)| (one.at, one.id) == (at, id) && !one.is_noted)
    }
}

impl<N: Net> Proxy<N> {
    /// Makes the checks that are due, and ends those whose time is over.
    pub(super) fn tend_checks(&mut self) {
        let now = self.now.moment;
        if std::mem::take(&mut self.checks.is_due) {
            self.arrange_checks();
        } else if self.checks.next.is_none_or(|next| next > now) {
            return;
        }
        self.end_late_checks();
        for place in 0..self.checks.appointments.len() {
            if self.checks.appointments[place].due <= now {
                self.keep_appointment(place);
            }
        }
        let appointed = self.checks.appointments.iter().map(|one| one.due);
        self.checks.next = appointed.chain(self.checks.running.iter().map(|(_, one)| one.until)).min();
    }

    /// Lets every server have its appointment that is to be checked, and nobody else.
    fn arrange_checks(&mut self) {
        let mut wanted: Vec<(ListenerKey, ServerId)> = Vec::new();
        let is_over = self.ending.is_some() || self.upgrade.has_handed_over();
        for (at, listener) in self.listeners.iter().filter(|_| !is_over) {
            let ids = listener.balancer.servers.all().map(|(id, _)| id);
            wanted.extend(ids.filter(|id| listener.balancer.check_of(*id).is_some()).map(|id| (at, id)));
        }
        let old = std::mem::take(&mut self.checks.appointments);
        // What nobody checks any more is not down by checks.
        for one in old.iter().filter(|one| !wanted.contains(&(one.at, one.id))) {
            self.forget_verdict(one.at, one.id);
        }
        let gone: Vec<usize> = self
            .checks
            .running
            .iter()
            .filter(|(_, one)| !wanted.contains(&(one.at, one.id)))
            .map(|(key, _)| key)
            .collect();
        gone.into_iter().for_each(|key| drop(self.checks.running.remove(key)));
        for (at, id) in wanted {
            let known = old.iter().find(|one| (one.at, one.id) == (at, id)).map(|one| one.due);
            let latest = self.now.moment + self.listeners[at].balancer.settings.check_interval * 2;
            let due = known.filter(|due| *due <= latest).unwrap_or_else(|| {
                let within = self.checks.part_of(FIRST_WITHIN);
                self.now.moment + within
            });
            self.checks.appointments.push(Appointment { at, id, due });
        }
    }

    fn forget_verdict(&mut self, at: ListenerKey, id: ServerId) {
        if !self.listeners.contains(at) {
            return;
        }
        let server = self.listeners[at].balancer.servers.server_mut(id);
        let was_down = server.is_some_and(|mut server| std::mem::take(&mut server.health).is_down);
        if was_down {
            self.tell_server(at, id, OfServer::Unchecked);
        }
    }

    fn keep_appointment(&mut self, place: usize) {
        let Appointment { at, id, .. } = self.checks.appointments[place];
        let now = self.now.moment;
        let balancer = &self.listeners[at].balancer;
        let interval = balancer.settings.check_interval;
        let is_begun = if self.checks.is_running(at, id) {
            true
        } else if self.checks.running() >= RUNNING_MAX {
            false
        } else {
            balancer.check_of(id).cloned().is_none_or(|check| self.begin_check(at, id, check, 0))
        };
        // A tenth more or less, so that servers are not all asked at the same moment for ever.
        let jitter = self.checks.part_of(interval / 5);
        let due = if is_begun { now + (interval - interval / 10) + jitter } else { now + PAUSE };
        self.checks.appointments[place].due = due;
    }

    /// A check came to this verdict.
    fn note_verdict(&mut self, at: ListenerKey, id: ServerId, check: &Check, verdict: &Result<(), String>) {
        let listener = &mut self.listeners[at];
        let changes = listener.balancer.checked(id, verdict.is_ok(), self.now);
        if changes {
            self.idlers.follow();
            self.queue.follow();
        }
        if changes || self.tells_events() {
            let why = verdict.as_ref().err().map(String::as_str);
            self.tell_server(at, id, OfServer::Checked { check: &check.words(), why, turns: changes });
        }
    }

    /// Ends all checks.
    pub(super) fn end_checks(&mut self) {
        self.checks.running.clear();
        self.checks.appointments.clear();
        self.checks.next = None;
    }

    /// What must hold of checks between turns.
    pub(super) fn check_checks(&self) {
        let checks = &self.checks;
        assert!(checks.running() <= RUNNING_MAX, "there are not too many");
        for (_, one) in &checks.running {
            let is_next = checks.next.is_some_and(|next| next <= one.until);
            assert!(is_next || checks.is_due, "its time has an end");
        }
    }
}

fn token_of(key: usize) -> Token {
    Token(FIRST_CHECK + key)
}
