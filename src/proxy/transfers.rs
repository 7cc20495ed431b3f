//! Data connections of FTP: the ports where they arrive, and the pairs that they become.
//!
//! A port belongs to a control connection and waits for one peer: the client, whose bytes are then
//! carried on to the server, or the server. Others who come are turned away, and it is closed once
//! its peer came, when its time is over, when it is replaced, and with its control connection. The
//! pair that comes of it is like any other, and ends with its control connection, too.

mod opening;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use slab::Slab;

use super::ending::CloseReason;
use super::pair::{End, Pair, PairKey, Phase, Place, Side};
use super::{Proxy, token};
use crate::balance::Search;
use crate::base::addr::{ClientAddr, Endpoint, Source};
use crate::base::beside::Beside;
use crate::base::error::reason;
use crate::base::time::Moment;
use crate::control::event::OfConnection;
use crate::net::Net;
pub(super) use opening::Opening;

/// How long a port waits for its peer.
pub const PORT_TIME: Duration = Duration::from_secs(60);

/// How many data connections one control connection may have at once. One is what the protocol
/// knows of; others may not have come to their end yet.
const OF_ONE_MAX: usize = 8;

/// How long what is left of data connections may be silent once their control connection has ended.
pub const ORPHAN_TIME: Duration = Duration::from_secs(30);

/// How long to wait when something is lacking to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many are accepted at one port in a turn, those who are sent away included.
const ACCEPTS_MAX: usize = 16;

/// Whose data connection a pair is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tie {
    /// It is none.
    None,
    /// A control connection's that is there.
    Control,
    /// It is left over from one that ended well.
    Orphan,
}

/// A port where somebody is to come.
#[derive(Debug)]
struct Port<L> {
    socket: L,
    control: PairKey,
    /// Who is to come, and from where.
    side: Side,
    from: IpAddr,
    /// Where their bytes are carried on to, and from which address.
    to: SocketAddr,
    by: Option<Source>,
    due: Moment,
    /// An edge came, and no `WouldBlock` since.
    is_ready: bool,
}

/// A data connection.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    /// Its control connection, as long as that is there.
    control: Option<PairKey>,
    /// Who came to the port; the other is connected to.
    side: Side,
    /// From which address.
    by: Option<Source>,
}

/// All ports, and which pairs belong to which.
#[derive(Debug)]
pub struct Transfers<N: Net> {
    ports: Slab<Port<N::Listener>>,
    /// Ports by when their time is over; those that were closed may still be in it.
    queue: VecDeque<(Moment, usize)>,
    /// How many ports have an edge.
    ready: usize,
    /// The data connections that are there.
    pairs: Beside<Transfer>,
    /// Those of each control connection.
    of: BTreeSet<(PairKey, PairKey)>,
    /// The port of each control connection.
    open: Beside<usize>,
    /// The last port of the range that was tried.
    last: u16,
    paused_until: Option<Moment>,
}

impl<N: Net> Default for Transfers<N> {
    fn default() -> Transfers<N> {
        Transfers {
            ports: Slab::new(),
            queue: VecDeque::new(),
            ready: 0,
            pairs: Beside::default(),
            of: BTreeSet::new(),
            open: Beside::default(),
            last: 0,
            paused_until: None,
        }
    }
}

impl<N: Net> Transfers<N> {
    /// True if no port is open and no data connection there.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.pairs.is_empty()
    }

    /// Data connections that are there.
    pub fn count(&self) -> usize {
        self.pairs.len()
    }

    /// Ports that are open.
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Somebody came.
    pub fn edge(&mut self, number: usize) {
        if let Some(port) = self.ports.get_mut(number)
            && !std::mem::replace(&mut port.is_ready, true)
        {
            self.ready += 1;
        }
    }

    fn close_port(&mut self, number: usize) {
        let port = self.ports.remove(number);
        self.ready -= usize::from(port.is_ready);
        self.open.remove(port.control.0);
    }

    fn of(&self, control: PairKey) -> impl Iterator<Item = PairKey> {
        self.of.range((control, PairKey(0))..=(control, PairKey(usize::MAX))).map(|(_, pair)| *pair)
    }

    /// When to look at the ports though nobody comes.
    pub fn next_due(&mut self, now: Moment) -> Option<Moment> {
        while let Some(&(due, number)) = self.queue.front() {
            if self.ports.get(number).is_some_and(|port| port.due == due) {
                let again = if self.ready > 0 { Some(self.paused_until.unwrap_or(now)) } else { None };
                return again.into_iter().chain([due]).min();
            }
            self.queue.pop_front();
        }
        None
    }
}

impl<N: Net> Proxy<N> {
    /// Takes those in who came to the ports, and closes ports whose time is over.
    pub(super) fn tend_transfers(&mut self) {
        let now = self.now.moment;
        if self.transfers.paused_until.is_some_and(|until| until <= now) {
            self.transfers.paused_until = None;
        }
        if self.transfers.ready > 0 && self.transfers.paused_until.is_none() {
            let ready = self.transfers.ports.iter().filter(|(_, port)| port.is_ready);
            for number in ready.map(|(number, _)| number).collect::<Vec<_>>() {
                self.accept_transfer(number);
            }
        }
        while let Some(&(due, number)) = self.transfers.queue.front()
            && due <= now
        {
            self.transfers.queue.pop_front();
            if let Some(port) = self.transfers.ports.get(number)
                && port.due == due
            {
                let control = port.control;
                self.transfers.close_port(number);
                self.tell_transfer(control, "nobody came to its data port in time");
            }
        }
    }

    fn tell_transfer(&mut self, key: PairKey, what: &str) {
        if self.tells_events()
            && let Some(pair) = self.pairs.get(key.0)
        {
            self.tell_connection(pair.listener, key.0, OfConnection::DataConnection { what });
        }
    }

    /// Accepts at a port until its peer has come or nobody waits there. Who is expected may stand behind others, and
    /// the port may be replaced in the next turn.
    fn accept_transfer(&mut self, number: usize) {
        for _ in 0..ACCEPTS_MAX {
            if !self.accept_comer(number) {
                return;
            }
        }
    }

    /// Accepts one who came to a port. True if somebody else may wait there.
    fn accept_comer(&mut self, number: usize) -> bool {
        if !self.has_slot() {
            self.transfers.paused_until = Some(self.now.moment + ACCEPT_PAUSE);
            return false;
        }
        let Some(port) = self.transfers.ports.get_mut(number) else { return false };
        let (stream, from) = match self.net.accept(&mut port.socket) {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                port.is_ready = false;
                self.transfers.ready -= 1;
                return false;
            }
            Err(error) if self.net.is_lack(&error) => {
                if !self.close_idlers() {
                    self.transfers.paused_until = Some(self.now.moment + ACCEPT_PAUSE);
                }
                return false;
            }
            // Interrupted, or of somebody who has gone.
            Err(_) => return true,
        };
        let control = port.control;
        if from.client() != ClientAddr::Inet(port.from) {
            // It sees a reset or an end, and somebody else may still come.
            drop(stream);
            self.tell_transfer(control, &format!("{from} has no business at its data port"));
            return true;
        }
        let (side, to, by) = (port.side, port.to, port.by);
        self.transfers.close_port(number);
        self.open_transfer(control, Transfer { control: Some(control), side, by }, to, stream, &from);
        false
    }

    /// Somebody came to a port of a control connection: begins to connect to the other end.
    fn open_transfer(
        &mut self,
        control: PairKey,
        transfer: Transfer,
        to: SocketAddr,
        stream: N::Stream,
        from: &Endpoint,
    ) {
        let Some(owner) = self.pairs.get(control.0) else { return };
        let Some(Place { id, .. }) = owner.place() else { return };
        let (at, client_id) = (owner.listener, owner.client_id);
        let search = Search::ended(owner.search.from(), owner.search.port());
        let until = self.now.moment + self.settings_of(control).connect_timeout;
        let listener = &mut self.listeners[at];
        listener.pairs += 1;
        listener.pending += 1;
        listener.balancer.claim(id);
        let place = Place { id, address: 0 };
        let key = PairKey(self.pairs.insert(Pair {
            client: End::client(stream),
            listener: at,
            to: Some(Endpoint::inet(to)),
            client_id,
            search,
            phase: Phase::Searching { place: Some(place), until },
            timer: None,
            moved: [self.now.moment; 2],
            is_queued: false,
            tie: Tie::Control,
            inspection: None,
        }));
        self.lacking += 1;
        self.transfers.pairs.insert(key.0, transfer);
        self.transfers.of.insert((control, key));
        self.tell_transfer(key, &format!("accepted {from} as a data connection of connection {}", control.0));
        match self.net.watch(&mut self.pairs[key.0].client.stream, token(key, Side::Client)) {
            Ok(()) => self.retry(key),
            Err(_) => self.close(key, CloseReason::Unreachable),
        }
    }

    /// Begins to connect to the other end of a data connection.
    pub(super) fn begin_transfer(&mut self, key: PairKey, place: Place, until: Moment) {
        let Some(to) = self.pairs[key.0].to.clone() else { return self.close(key, CloseReason::Unreachable) };
        let by = self.transfers.pairs.of(key.0).and_then(|transfer| transfer.by);
        match self.net.connect(&to, by) {
            Ok(stream) => self.await_connect(key, place, stream, until),
            Err(error) if self.net.is_lack(&error) && error.kind() != io::ErrorKind::WouldBlock => {
                self.wait_for_resources(key, place, until, &error);
            }
            Err(error) => self.transfer_failed(key, &error),
        }
    }

    /// The other end of a data connection cannot be reached.
    pub(super) fn transfer_failed(&mut self, key: PairKey, error: &io::Error) {
        if let Some(to) = &self.pairs[key.0].to {
            let text = format!("{to} failed: {}", reason(error));
            self.tell_transfer(key, &text);
        }
        self.close(key, CloseReason::Unreachable);
    }

    /// Both ends of a data connection stand. If it was the server who came, the ends are the other
    /// way round. False if that cannot be.
    pub(super) fn set_ends_right(&mut self, key: PairKey) -> bool {
        if self.transfers.pairs.of(key.0).is_none_or(|transfer| transfer.side == Side::Client) {
            return true;
        }
        let pair = &mut self.pairs[key.0];
        let Phase::Connecting { server, .. } = &mut pair.phase else { return false };
        std::mem::swap(&mut pair.client, server);
        let watched = self.net.rewatch(&mut pair.client.stream, token(key, Side::Client));
        watched.and_then(|()| self.net.rewatch(&mut server.stream, token(key, Side::Server))).is_ok()
    }

    /// A pair is gone: nothing is tied to it any more. If it was a control connection that ended
    /// well, its data connections may come to their end, too: all was said of them, but not all of
    /// it may have arrived.
    pub(super) fn untie(&mut self, key: PairKey, has_ended_well: bool) {
        self.note_transfer(key);
        if let Some(transfer) = self.transfers.pairs.remove(key.0) {
            transfer.control.map(|control| self.transfers.of.remove(&(control, key)));
        }
        if let Some(number) = self.transfers.open.of(key.0).copied() {
            self.transfers.close_port(number);
        }
        for pair in self.transfers.of(key).collect::<Vec<_>>() {
            if has_ended_well {
                if let Some(transfer) = self.transfers.pairs.of_mut(pair.0) {
                    transfer.control = None;
                }
                self.transfers.of.remove(&(key, pair));
                self.pairs[pair.0].tie = Tie::Orphan;
                self.watch_limits(pair);
            } else {
                self.close(pair, CloseReason::ControlGone);
            }
        }
    }

    /// When something last moved on the data connections of a control connection.
    pub(super) fn transfers_active(&self, control: PairKey) -> Option<Moment> {
        self.transfers.of(control).map(|pair| self.pairs[pair.0].last_active()).max()
    }

    /// A data connection is about to go: that it was there kept its control connection from being idle.
    fn note_transfer(&mut self, key: PairKey) {
        let active = self.pairs[key.0].last_active();
        if let Some(control) = self.transfers.pairs.of(key.0).and_then(|transfer| transfer.control)
            && let Some(control) = self.pairs.get_mut(control.0)
        {
            control.moved[0] = control.moved[0].max(active);
        }
    }

    /// What must hold between turns.
    pub(super) fn check_transfers(&self) {
        let transfers = &self.transfers;
        // One that is only let go by itself has no control connection any more.
        let staying = |pair: &Pair<N::Stream>| !pair.is_leaving();
        let with = |tie| self.pairs.iter().filter(|(_, pair)| pair.tie == tie && staying(pair)).count();
        let (tied, orphans) = (with(Tie::Control), with(Tie::Orphan));
        assert_eq!((tied + orphans, tied), (transfers.pairs.len(), transfers.of.len()), "data connections are known");
        assert_eq!(transfers.open.len(), transfers.ports.len(), "a port is of one control connection");
        let ready = transfers.ports.iter().filter(|(_, port)| port.is_ready).count();
        assert_eq!(transfers.ready, ready, "ports with an edge");
        for (number, port) in &transfers.ports {
            assert_eq!(transfers.open.of(port.control.0), Some(&number));
            assert!(self.pairs.contains(port.control.0), "the control connection of a port is there");
        }
        for (pair, transfer) in transfers.pairs.iter() {
            let is_known =
                |control: PairKey| self.pairs.contains(control.0) && transfers.of.contains(&(control, PairKey(pair)));
            assert!(transfer.control.is_none_or(is_known), "the control connection of a transfer is there");
        }
    }
}
