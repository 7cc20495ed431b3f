//! Datagrams: clients by UDP, and what they and their servers say to each other.
//!
//! As UDP itself does, pen drops what cannot be passed on at once, and counts it: nobody waits for
//! anybody. What is remembered of a client is an [`association`](association::Association). There
//! are at most as many as there may be connections; if one more client comes, the one that was used
//! least recently goes.

pub mod association;
mod down;
mod ending;
mod engage;
pub mod order;
mod report;
mod told;
mod up;

use std::collections::{BTreeSet, HashMap, VecDeque};

use slab::Slab;

use super::{FIRST_ASSOCIATION, Proxy};
use crate::base::time::Moment;
use crate::control::command::ASSOCIATIONS_FROM;
use crate::net::{Inbox, Net, Outbox, Token, Way};
use association::Association;
use order::Order;
use told::Told;

/// Who calls: the place of the socket where it comes in, the way it came, and whom it is from if a
/// proxy says so.
type Caller = (usize, Way, Option<Told>);

/// The longest request of which a copy is kept: those of DNS and RADIUS are no longer.
const HELD_MAX: usize = 4096;

/// Each of so many is checked in every turn of a build that checks.
const CHECKED_MAX: usize = 256;

/// Bytes of all copies together.
const HELD_IN_ALL: usize = 16 * 1024 * 1024;

/// All associations, and what is on its way.
#[derive(Debug)]
pub struct Udp<S> {
    all: Slab<Association<S>>,
    /// Whose next datagram belongs to which.
    by_client: HashMap<Caller, usize>,
    order: Order,
    /// When to look at which.
    due: BTreeSet<(Moment, usize)>,
    /// Those that ran out of budget.
    runnable: VecDeque<usize>,
    /// Made for the first datagram.
    inbox: Option<Box<Inbox>>,
    outbox: Outbox,
    /// The place of the socket by which what is in the outbox leaves.
    outbox_place: usize,
    /// Bytes of copies.
    held: usize,
    /// When it was last said that something is lacking.
    lacked: Option<Moment>,
}

impl<S> Default for Udp<S> {
    fn default() -> Udp<S> {
        Udp {
            all: Slab::new(),
            by_client: HashMap::new(),
            order: Order::default(),
            due: BTreeSet::new(),
            runnable: VecDeque::new(),
            inbox: None,
            outbox: Outbox::default(),
            outbox_place: 0,
            held: 0,
            lacked: None,
        }
    }
}

impl<S> Udp<S> {
    /// How many associations there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// When to look at one of them.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| *due)
    }

    /// True if one of them has more to do.
    pub(super) fn is_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Keeps a copy of a request, if there is room for it.
    fn hold(&mut self, key: usize, bytes: &[u8]) {
        self.let_go_held(key);
        if bytes.len() <= HELD_MAX && self.held + bytes.len() <= HELD_IN_ALL {
            self.held += bytes.len();
            self.all[key].held = Some(bytes.into());
        }
    }

    fn let_go_held(&mut self, key: usize) {
        if let Some(held) = self.all[key].held.take() {
            self.held -= held.len();
        }
    }

    /// Comes back to one in the next turn though no edge will tell.
    fn queue(&mut self, key: usize) {
        if !std::mem::replace(&mut self.all[key].is_queued, true) {
            self.runnable.push_back(key);
        }
    }
}

impl<N: Net> Proxy<N> {
    /// How many pairs and associations there are.
    pub(super) fn connections(&self) -> usize {
        self.pairs.len() + self.udp.len()
    }

    /// How many associations there are.
    pub fn associations(&self) -> usize {
        self.udp.len()
    }

    /// What must hold of associations between turns.
    pub(super) fn check_associations(&self) {
        let udp = &self.udp;
        let counted: usize = self.listeners.all().map(|(_, listener)| listener.associations).sum();
        assert_eq!(udp.len(), counted, "each is one of a listener");
        assert!(udp.outbox.is_empty(), "nothing waits for the next turn");
        assert!(udp.by_client.len() <= udp.len(), "a client's datagrams belong to one association");
        // To look at each in each turn costs too much where there are thousands.
        if udp.len() > CHECKED_MAX {
            return;
        }
        for (at, listener) in self.listeners.all() {
            assert_eq!(listener.associations, udp.all.iter().filter(|(_, one)| one.listener == at).count());
        }
        assert!(udp.len() <= self.listeners.common.conn_max, "there are no more associations than there may be");
        let held = udp.all.iter().filter_map(|(_, one)| one.held.as_ref()).map(|held| held.len());
        assert_eq!(udp.held, held.sum::<usize>());
        assert_eq!(udp.due.len(), udp.all.iter().filter(|(_, one)| one.due.is_some()).count(), "one look for each");
        for (key, one) in &udp.all {
            assert!(one.due.is_none_or(|due| udp.due.contains(&(due, key))), "it will be looked at");
            assert!(self.listening.has_datagrams(one.place), "answers have a way out");
        }
    }
}

/// The number of an association in reports and dumps.
fn number_of(key: usize) -> usize {
    ASSOCIATIONS_FROM + key
}

/// The token of its socket.
fn token_of(key: usize) -> Token {
    Token(FIRST_ASSOCIATION + key)
}
