//! All lookups: asks for them, takes what comes back, asks again in time.
//!
//! It sends nothing itself: [`Resolver::actions`] is what is to be sent, and the caller brings what
//! arrives, and the time. Whatever happens, every address that was asked for gets its outcome, within
//! the time-out times the number of attempts for each of its questions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use slab::Slab;

use super::flight::{Flight, Place};
use super::lookup::{Lookup, Outcome, Step};
use super::message::Reply;
use super::pace::Pace;
use super::servers::Servers;
use super::settings::Policy;
use crate::base::time::Moment;

/// How many connections there may be at once; more have to wait.
const STREAMS_MAX: usize = 64;

/// What is to be done on the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a message to the server of this lane.
    Send {
        /// The lane, counted over all servers.
        lane: usize,
        /// The message.
        message: Vec<u8>,
    },
    /// Give a lane another port before it is used again.
    Renew {
        /// The lane.
        lane: usize,
    },
    /// Connect to a server, and send a message there, with its length before it.
    Connect {
        /// What the connection is called from now on.
        stream: usize,
        /// The number of the server.
        server: usize,
        /// The message.
        message: Vec<u8>,
    },
    /// Close a connection, if it is still there.
    Disconnect {
        /// The connection.
        stream: usize,
    },
}

/// How the open question of a lookup travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Not now.
    None,
    Datagram(Place),
    /// Over TCP, as soon as there may be one more connection.
    Queued,
    Stream(u16),
}

/// One lookup that is under way.
#[derive(Debug)]
struct UnderWay {
    /// What the caller calls it.
    key: usize,
    lookup: Lookup,
    /// The server to begin with, how many attempts there were, how many servers have refused.
    first: usize,
    attempts: usize,
    refusals: usize,
    server: usize,
    way: Way,
    /// When the question was last sent.
    sent: Moment,
    ends: Moment,
    patience: Duration,
    /// The next thing to happen if no answer comes; what else is in the queue of times is stale.
    due: Moment,
    was_repeated: bool,
}

/// All lookups. `R` is the source of random numbers, which nobody outside must be able to guess.
#[derive(Debug)]
pub struct Resolver<R> {
    policy: Policy,
    random: R,
    servers: Servers,
    pace: Pace,
    flight: Flight,
    waiting: VecDeque<(usize, IpAddr)>,
    under_way: Slab<UnderWay>,
    due: BinaryHeap<Reverse<(Moment, usize)>>,
    streams: usize,
    streams_waiting: VecDeque<usize>,
    started: usize,
    actions: Vec<Action>,
    outcomes: Vec<(usize, Outcome)>,
}

impl<R: FnMut() -> u32> Resolver<R> {
    /// Nothing is asked yet.
    pub fn new(policy: Policy, random: R) -> Resolver<R> {
        Resolver {
            policy,
            random,
            servers: Servers::new(policy.servers, policy.timeout, policy.tries),
            pace: Pace::new(policy.at_once),
            flight: Flight::new(policy.servers),
            waiting: VecDeque::new(),
            under_way: Slab::new(),
            due: BinaryHeap::new(),
            streams: 0,
            streams_waiting: VecDeque::new(),
            started: 0,
            actions: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Asks for the name of an address; its outcome comes with `key`.
    pub fn ask(&mut self, key: usize, address: IpAddr) {
        self.waiting.push_back((key, address));
    }

    /// How many addresses have no outcome yet.
    pub fn open(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    /// What is to be done on the network, in this order.
    pub fn actions(&mut self) -> Vec<Action> {
        mem::take(&mut self.actions)
    }

    /// What became of addresses since this was last asked.
    pub fn outcomes(&mut self) -> Vec<(usize, Outcome)> {
        mem::take(&mut self.outcomes)
    }

    /// When something is to be done if nothing arrives; it may turn out that it need not be.
    pub fn next_due(&self) -> Option<Moment> {
        self.due.peek().map(|Reverse((moment, _))| *moment)
    }

    /// Asks again where an answer is late, and begins what may be begun. What has arrived until
    /// `now` has to be taken first.
    pub fn turn(&mut self, now: Moment) {
        while let Some(&Reverse((moment, at))) = self.due.peek() {
            if moment > now {
                break;
            }
            self.due.pop();
            if self.under_way.get(at).is_some_and(|under_way| under_way.due == moment) {
                self.late(at, now);
            }
        }
        while self.under_way.len() < self.pace.allowed() {
            let Some((key, address)) = self.waiting.pop_front() else { return };
            self.begin(key, address, now);
        }
    }

    /// A message has come from the server of this lane.
    pub fn received(&mut self, lane: usize, bytes: &[u8], now: Moment) {
        let Some(id) = id_of(bytes) else { return };
        let place = Place { lane, id };
        let Some(at) = self.flight.question_at(place) else { return };
        let under_way = &self.under_way[at];
        let Some((reply, ttl)) = under_way.lookup.question().read_answer(id, bytes) else { return };
        self.servers.answered(under_way.server, now.since(under_way.sent));
        self.pace.answered(under_way.was_repeated);
        self.replied(at, reply, ttl, now);
    }

    /// A whole message has come over a connection.
    pub fn stream_received(&mut self, stream: usize, bytes: &[u8], now: Moment) {
        let Some(Way::Stream(id)) = self.under_way.get(stream).map(|under_way| under_way.way) else { return };
        let Some((reply, ttl)) = self.under_way[stream].lookup.question().read_answer(id, bytes) else {
            return self.stream_failed(stream, now);
        };
        self.servers.connected(self.under_way[stream].server, true);
        // There is no third way for what does not fit here either.
        let reply = if reply == Reply::Truncated { Reply::Refused } else { reply };
        self.replied(stream, reply, ttl, now);
    }

    /// A connection could not be made, or has ended without an answer.
    pub fn stream_failed(&mut self, stream: usize, now: Moment) {
        if self.under_way.get(stream).is_some_and(|under_way| matches!(under_way.way, Way::Stream(_))) {
            self.servers.connected(self.under_way[stream].server, false);
            self.refused(stream, now);
        }
    }

    /// The system says that the server of this lane cannot be reached.
    pub fn unreachable(&mut self, lane: usize, now: Moment) {
        let server = Flight::server_of(lane);
        if !self.servers.unreachable(server, now) {
            return;
        }
        let is_there = |under_way: &UnderWay| under_way.server == server && matches!(under_way.way, Way::Datagram(_));
        let stranded: Vec<usize> =
            self.under_way.iter().filter(|(_, under_way)| is_there(under_way)).map(|(at, _)| at).collect();
        for at in stranded {
            self.attempt(at, now);
        }
    }

    fn begin(&mut self, key: usize, address: IpAddr, now: Moment) {
        let first = if self.policy.rotate { self.started % self.servers.len().max(1) } else { 0 };
        self.started += 1;
        let at = self.under_way.insert(UnderWay {
            key,
            lookup: Lookup::new(address, self.policy.verify),
            first,
            attempts: 0,
            refusals: 0,
            server: 0,
            way: Way::None,
            sent: now,
            ends: now,
            patience: Duration::ZERO,
            due: now,
            was_repeated: false,
        });
        self.attempt(at, now);
    }

    /// Asks the open question at the next server in turn that is not dead.
    fn attempt(&mut self, at: usize, now: Moment) {
        self.withdraw(at, now);
        let most = self.servers.len() * self.policy.tries as usize;
        let under_way = &mut self.under_way[at];
        while under_way.attempts < most {
            let server = (under_way.first + under_way.attempts) % self.servers.len();
            under_way.attempts += 1;
            if !self.servers.may_ask(server, now) {
                continue;
            }
            let (place, is_new) = self.flight.depart(at, server, &mut self.random);
            if is_new {
                self.actions.push(Action::Renew { lane: place.lane });
            }
            self.actions
                .push(Action::Send { lane: place.lane, message: under_way.lookup.question().message(place.id) });
            under_way.server = server;
            under_way.way = Way::Datagram(place);
            under_way.sent = now;
            under_way.ends = now + self.policy.timeout;
            under_way.patience = self.servers.patience(server);
            under_way.was_repeated = false;
            under_way.due = under_way.ends.min(now + under_way.patience);
            self.due.push(Reverse((under_way.due, at)));
            return;
        }
        self.finish(at, Outcome::Unanswered, now);
    }

    /// Nothing has come in time: the question is repeated, or the attempt is over.
    fn late(&mut self, at: usize, now: Moment) {
        let under_way = &mut self.under_way[at];
        match under_way.way {
            Way::Datagram(place) if now < under_way.ends => {
                // The same id on the same lane: more than one at a time would make it easier to guess.
                let message = under_way.lookup.question().message(place.id);
                self.actions.push(Action::Send { lane: place.lane, message });
                under_way.was_repeated = true;
                under_way.sent = now;
                under_way.patience *= 2;
                under_way.due = under_way.ends.min(now + under_way.patience);
                self.due.push(Reverse((under_way.due, at)));
            }
            Way::Datagram(_) => {
                self.servers.silent(under_way.server, now);
                self.attempt(at, now);
            }
            Way::Stream(_) => self.stream_failed(at, now),
            Way::None | Way::Queued => {}
        }
    }

    fn replied(&mut self, at: usize, reply: Reply, ttl: u32, now: Moment) {
        match reply {
            Reply::Truncated => self.queue_stream(at, now),
            Reply::Refused => self.refused(at, now),
            reply => match self.under_way[at].lookup.answered(reply, ttl) {
                Step::Done(outcome) => self.finish(at, outcome, now),
                Step::Ask => {
                    let under_way = &mut self.under_way[at];
                    (under_way.attempts, under_way.refusals) = (0, 0);
                    self.attempt(at, now);
                }
            },
        }
    }

    /// This server will not tell. When all have said so, asking again does not help.
    fn refused(&mut self, at: usize, now: Moment) {
        self.under_way[at].refusals += 1;
        if self.under_way[at].refusals >= self.servers.len() {
            self.finish(at, Outcome::Unanswered, now);
        } else {
            self.attempt(at, now);
        }
    }

    fn queue_stream(&mut self, at: usize, now: Moment) {
        if !self.servers.may_connect(self.under_way[at].server) {
            return self.refused(at, now);
        }
        self.withdraw(at, now);
        self.under_way[at].way = Way::Queued;
        self.streams_waiting.push_back(at);
        self.connect(now);
    }

    /// Makes connections for those that wait, as many as there may be.
    fn connect(&mut self, now: Moment) {
        while self.streams < STREAMS_MAX {
            let Some(at) = self.streams_waiting.pop_front() else { return };
            let [low, high, ..] = (self.random)().to_le_bytes();
            let id = u16::from_le_bytes([low, high]);
            let under_way = &mut self.under_way[at];
            under_way.way = Way::Stream(id);
            under_way.ends = now + self.policy.timeout;
            under_way.due = under_way.ends;
            self.streams += 1;
            let message = under_way.lookup.question().message(id);
            self.actions.push(Action::Connect { stream: at, server: under_way.server, message });
            self.due.push(Reverse((under_way.due, at)));
        }
    }

    /// The open question is out no more.
    fn withdraw(&mut self, at: usize, now: Moment) {
        match mem::replace(&mut self.under_way[at].way, Way::None) {
            Way::Datagram(place) => self.flight.arrive(place),
            Way::Stream(_) => {
                self.actions.push(Action::Disconnect { stream: at });
                self.streams -= 1;
                self.connect(now);
            }
            Way::None | Way::Queued => {}
        }
    }

    fn finish(&mut self, at: usize, outcome: Outcome, now: Moment) {
        self.withdraw(at, now);
        let under_way = self.under_way.remove(at);
        self.outcomes.push((under_way.key, outcome));
    }
}

fn id_of(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|id| u16::from_be_bytes(*id))
}
