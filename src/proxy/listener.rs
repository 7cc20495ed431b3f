//! Clients come: from the queues of the listening sockets into the slab, and to a search for a
//! server.
//!
//! Sockets have turns: each time there is room for one more client, the next socket where somebody
//! waits is asked. So a crowd at one cannot keep those away who come to another.

use std::io;
use std::time::Duration;

use slab::Slab;

use super::pair::{End, Pair, PairKey, Phase, Side, Wants};
use super::transfers::Tie;
use super::{FIRST_LISTENING, LISTENING_MAX, Proxy, token};
use crate::balance::settings::Protocol;
use crate::balance::{ListenerKey, Search};
use crate::base::addr::Endpoint;
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::time::Moment;
use crate::net::{Net, Stream, Token};

/// How long to leave the sockets alone when something is lacking to accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How long nothing must have been lacking before it is said again that clients wait.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// The listening sockets, and whether clients may wait there.
#[derive(Debug)]
pub struct Listening<N: Net> {
    sockets: Slab<Arriving<N>>,
    /// The socket that was asked last.
    last: usize,
    /// What is lacking to accept is lacking for all.
    paused_until: Option<Moment>,
    /// When something was lacking last.
    lacked: Option<Moment>,
}

/// A listening socket.
#[derive(Debug)]
pub struct Arriving<N: Net> {
    /// The socket.
    pub socket: N::Listener,
    /// Whose clients arrive there.
    pub listener: ListenerKey,
    /// The address as it was written, with the port that was found if any was to be.
    pub written: String,
    /// What arrives there.
    pub transport: Transport,
    /// An edge came, and no `WouldBlock` since.
    pub(super) is_ready: bool,
}

/// What arrives at a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Clients, who are accepted.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    /// What a listener of this protocol needs.
    pub fn of(protocol: Protocol) -> Transport {
        match protocol {
            Protocol::Udp => Transport::Udp,
            Protocol::Tcp | Protocol::Ftp | Protocol::Http => Transport::Tcp,
        }
    }
}

impl<N: Net> Arriving<N> {
    /// A socket that was just opened: nobody can tell yet whether somebody waits.
    pub fn new(listener: ListenerKey, socket: N::Listener, written: String) -> Arriving<N> {
        Arriving { socket, listener, written, transport: Transport::Tcp, is_ready: true }
    }

    /// True if datagrams may be there.
    pub(super) fn has_datagrams(&self) -> bool {
        self.is_ready && self.transport == Transport::Udp
    }

    /// The same, where this is what arrives.
    pub fn carrying(self, transport: Transport) -> Arriving<N> {
        Arriving { transport, ..self }
    }
}

impl<N: Net> Listening<N> {
    /// These sockets, each watched as [`listening_token`] of its place here.
    pub fn new(sockets: Vec<Arriving<N>>) -> Listening<N> {
        let sockets = sockets.into_iter().enumerate().collect();
        Listening { sockets, last: 0, paused_until: None, lacked: None }
    }

    /// Somebody came.
    pub fn edge(&mut self, token: Token) {
        if let Some(arriving) = self.sockets.get_mut(token.0 - FIRST_LISTENING) {
            arriving.is_ready = true;
        }
    }

    /// Somebody may wait at each of them.
    pub fn look_everywhere(&mut self) {
        self.sockets.iter_mut().for_each(|(_, arriving)| arriving.is_ready = true);
    }

    /// When accepting goes on after something was lacking.
    pub fn paused_until(&self) -> Option<Moment> {
        self.paused_until
    }

    /// Accepting goes on: something was given back.
    pub fn resume(&mut self) {
        self.paused_until = None;
    }

    /// True if clients of this listener are accepted.
    pub(super) fn accepts_at(&self, at: ListenerKey) -> bool {
        self.sockets().any(|arriving| arriving.listener == at && arriving.transport == Transport::Tcp)
    }

    /// True if there is one at this place, and datagrams arrive there.
    pub(super) fn has_datagrams(&self, place: usize) -> bool {
        self.sockets.get(place).is_some_and(|arriving| arriving.transport == Transport::Udp)
    }

    /// One that is at this place where datagrams arrive.
    pub(super) fn datagrams(&mut self, place: usize) -> Option<&mut Arriving<N>> {
        self.sockets.get_mut(place).filter(|arriving| arriving.transport == Transport::Udp)
    }

    /// One more than the greatest place.
    pub(super) fn places(&self) -> usize {
        self.sockets.capacity()
    }

    /// The sockets, while they are open.
    pub fn sockets(&self) -> impl Iterator<Item = &Arriving<N>> {
        self.sockets.iter().map(|(_, arriving)| arriving)
    }

    /// The token of the next socket, if there may be one more.
    pub fn vacant(&self) -> Option<Token> {
        let place = self.sockets.vacant_key();
        (place < LISTENING_MAX).then(|| listening_token(place))
    }

    /// Takes a socket that is watched as [`Listening::vacant`] said.
    pub fn open(&mut self, arriving: Arriving<N>) {
        self.sockets.insert(arriving);
    }

    /// Who arrives at this address of one listener is another one's client from now on.
    pub fn pass_on(&mut self, written: &str, transport: Transport, from: ListenerKey, to: ListenerKey) {
        let sockets = self.sockets.iter_mut().map(|(_, arriving)| arriving);
        let mut sockets = sockets.filter(|arriving| arriving.transport == transport);
        if let Some(arriving) = sockets.find(|arriving| arriving.listener == from && arriving.written == written) {
            arriving.listener = to;
        }
    }

    /// Lets nobody in any more at sockets which `closes` is true for; they are the caller's to close.
    pub fn close(&mut self, closes: impl Fn(&Arriving<N>) -> bool) -> Vec<Arriving<N>> {
        let leaving = self.sockets.iter().filter(|(_, arriving)| closes(arriving)).map(|(place, _)| place);
        let places: Vec<usize> = leaving.collect();
        if places.len() == self.sockets.len() {
            self.paused_until = None;
        }
        places.into_iter().map(|place| self.sockets.remove(place)).collect()
    }
}

/// The token of a listening socket.
pub fn listening_token(place: usize) -> Token {
    Token(FIRST_LISTENING + place)
}

impl<N: Net> Proxy<N> {
    /// True if a client may be waiting and there is room for one.
    pub(super) fn may_accept(&self) -> bool {
        self.has_room() && self.listening.sockets.iter().any(|(_, arriving)| self.may_ask(arriving))
    }

    fn has_room(&self) -> bool {
        self.listening.paused_until.is_none()
            && self.pairs.len() - self.leaving - self.transfers.count() < self.listeners.common.conn_max
    }

    fn may_ask(&self, arriving: &Arriving<N>) -> bool {
        arriving.is_ready && arriving.transport == Transport::Tcp && self.listeners[arriving.listener].may_begin()
    }

    /// Accepts as many clients as there is room for, and as one turn takes.
    pub(super) fn accept(&mut self) {
        if self.listening.paused_until.is_some_and(|until| until <= self.now.moment) {
            self.listening.resume();
        }
        for _ in 0..self.listeners.common.multi_accept {
            let places = self.listening.sockets.capacity();
            let first = self.listening.last + 1;
            let mut has_asked = false;
            for place in (first..first + places).map(|place| place % places) {
                if !self.has_room() {
                    return;
                }
                if self.listening.sockets.get(place).is_some_and(|arriving| self.may_ask(arriving)) {
                    self.listening.last = place;
                    self.accept_at(place);
                    has_asked = true;
                }
            }
            if !has_asked {
                return;
            }
        }
    }

    fn accept_at(&mut self, place: usize) {
        if !self.has_slot() {
            return self.pause_accepting(&io::ErrorKind::OutOfMemory.into());
        }
        let arriving = &mut self.listening.sockets[place];
        match self.net.accept(&mut arriving.socket) {
            Ok((stream, from)) => {
                let listener = arriving.listener;
                self.open(listener, stream, from);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => arriving.is_ready = false,
                _ if self.net.is_lack(&error) => self.pause_accepting(&error),
                // This client is gone already (accept(2)); the next may be there.
                _ => {}
            },
        }
    }

    /// Something is lacking to accept: clients wait in the kernel's queues.
    fn pause_accepting(&mut self, error: &io::Error) {
        if self.close_idlers() {
            // What they gave back may be all that was lacking.
            return;
        }
        self.listening.paused_until = Some(self.now.moment + ACCEPT_PAUSE);
        // As long as it lasts it is tried once a second, or when something was given back.
        let before = self.listening.lacked.replace(self.now.moment);
        if before.is_none_or(|before| self.now.moment.since(before) >= SILENCE) {
            let text = format!("cannot accept: {}; clients wait", reason(error));
            self.say(Severity::Warning, &text);
        }
    }

    /// A client is here.
    fn open(&mut self, at: ListenerKey, mut stream: N::Stream, from: Endpoint) {
        let listener = &mut self.listeners[at];
        listener.pairs += 1;
        let cap = listener.balancer.settings.socket_buffers;
        if cap > 0 {
            stream.cap_sending(cap);
        }
        let key = PairKey(self.pairs.insert(Pair {
            client: End::client(stream),
            listener: at,
            to: None,
            client_id: None,
            search: Search::begin(from.client(), from.port().unwrap_or(0)),
            phase: Phase::Arriving { wants: Wants::Header, until: self.now.moment },
            timer: None,
            moved: [self.now.moment; 2],
            is_queued: false,
            tie: Tie::None,
            inspection: None,
        }));
        let watched = self.net.watch(&mut self.pairs[key.0].client.stream, token(key, Side::Client));
        match watched {
            Ok(()) => {
                self.watch_connection(key, Side::Client);
                self.arrive(key, from);
            }
            Err(error) => {
                let text = format!("connection {}: cannot watch the client: {}", key.0, reason(&error));
                self.say(Severity::Warning, &text);
                self.remove(key);
            }
        }
    }
}
