//! A pair that is looked into: its bytes go through an inspector, piece by piece.
//!
//! A piece is read only once all that became of those before it has gone to its sink or into a
//! ring, in both directions: so what waits is bounded, and stays in order. Without memory for a
//! ring pieces are small, and so is what becomes of them. What an inspector holds back follows when
//! its source ends. Once it has nothing more to look at, the pair is one like any other.

use std::net::IpAddr;

use super::Proxy;
use super::arrival::client_of;
use super::ending::CloseReason;
use super::flow::{Flow, Receipt, Taking};
use super::pair::{End, Pair, PairKey, Phase};
use super::pool::Pool;
use super::transfers::{Opening, Tie};
use crate::balance::settings::Protocol;
use crate::base::addr::{ClientAddr, Endpoint};
use crate::base::direction::Direction;
use crate::control::event::OfConnection;
use crate::inspect::ftp::{Ftp, Peers};
use crate::inspect::http::Http;
use crate::inspect::http::forwarded::Sender;
use crate::inspect::proxy_protocol::{Route, Transport, encode, encode_own};
use crate::inspect::{Inspector, TURNED_MAX};
use crate::net::{Net, Stream};

/// The largest piece while there is no memory for a ring.
const SMALL: usize = 256;

/// What a pair has that is looked into, or to whose bytes some are added.
#[derive(Debug)]
pub struct Inspection {
    /// Who looks at its bytes, if anybody does.
    pub inspector: Option<Inspector>,
    /// What is to be sent up and down before anything else, each no more than a ring holds.
    pub owed: [Vec<u8>; 2],
    /// What the client connected to, if the proxy before pen has said so.
    pub entry: Option<Endpoint>,
    /// It ends once that was sent, for this reason.
    ends: Option<&'static str>,
    /// The addresses of the client and of the server, each with the one of this machine that they
    /// are connected to.
    addresses: [[Option<IpAddr>; 2]; 2],
    /// The server sees the client's own address: the last of those is not one of this machine.
    is_foreign: bool,
}

impl Inspection {
    fn new() -> Inspection {
        Inspection {
            inspector: None,
            owed: [Vec::new(), Vec::new()],
            entry: None,
            ends: None,
            addresses: [[None; 2]; 2],
            is_foreign: false,
        }
    }

    /// An inspection by somebody who has seen nothing yet.
    pub fn by(inspector: Inspector) -> Inspection {
        Inspection { inspector: Some(inspector), ..Inspection::new() }
    }

    /// What is known of a client before it has a server: what it connected to, as the proxy before
    /// pen says.
    pub fn entered(entry: Endpoint) -> Inspection {
        Inspection { entry: Some(entry), ..Inspection::new() }
    }

    fn owes(&self, direction: Direction) -> bool {
        !self.owed[direction as usize].is_empty()
    }

    /// True if bytes of a peer wait in it.
    pub fn holds(&self) -> bool {
        Direction::BOTH.into_iter().any(|direction| self.owes(direction) || self.holds_back(direction))
    }

    fn owes_any(&self) -> bool {
        Direction::BOTH.into_iter().any(|direction| self.owes(direction))
    }

    fn holds_back(&self, direction: Direction) -> bool {
        self.inspector.as_ref().is_some_and(|inspector| inspector.holds(direction))
    }

    /// Looks at nothing any more; what was held back, up and down, is owed.
    fn step_aside(&mut self) -> [Vec<u8>; 2] {
        let Some(mut inspector) = self.inspector.take() else { return Default::default() };
        let last = Direction::BOTH.map(|direction| inspector.last(direction));
        for (owed, last) in self.owed.iter_mut().zip(&last) {
            owed.extend_from_slice(last);
        }
        last
    }
}

/// How a direction of a pair that is looked into goes on.
pub(super) enum Piece {
    /// So many bytes were looked at.
    Taken(usize),
    /// There is nothing to look at, or no place for what would become of it: an edge will tell.
    Waits,
    /// What comes next goes on unseen.
    Unseen,
}

/// The parts of a direction: its flow, and the ends that it joins.
struct Way<'a, S: Stream> {
    flow: &'a mut Flow<S::Pipe>,
    other: &'a mut Flow<S::Pipe>,
    source: &'a mut End<S>,
    sink: &'a mut End<S>,
}

/// The address of this machine that an end is connected to.
fn local<S: Stream>(end: &End<S>) -> Option<IpAddr> {
    match end.stream.local() {
        Ok(Endpoint::Inet(address)) => Some(address.ip()),
        Ok(Endpoint::Unix(_)) | Err(_) => None,
    }
}

fn way<S: Stream>(pair: &mut Pair<S>, direction: Direction) -> Option<(Way<'_, S>, &mut Inspection)> {
    let Phase::Relaying { server, up, down, .. } = &mut pair.phase else { return None };
    let inspection = pair.inspection.as_deref_mut()?;
    let way = match direction {
        Direction::Up => Way { flow: up, other: down, source: &mut pair.client, sink: server },
        Direction::Down => Way { flow: down, other: up, source: server, sink: &mut pair.client },
    };
    Some((way, inspection))
}

/// Sends what is owed, as far as that goes. True if nothing is owed any more.
fn settle<S: Stream>(pair: &mut Pair<S>, pool: &mut Pool<S::Pipe>) -> bool {
    for direction in Direction::BOTH {
        let Some((way, inspection)) = way(pair, direction) else { return true };
        let owed = &mut inspection.owed[direction as usize];
        way.flow.free(way.sink, pool);
        if way.flow.has_ended() {
            owed.clear();
        } else if way.flow.is_open() && !owed.is_empty() {
            way.flow.send_turned(way.sink, owed, pool);
            *owed = Vec::new();
        }
    }
    pair.inspection.as_ref().is_none_or(|inspection| !inspection.owes_any())
}

impl<N: Net> Proxy<N> {
    /// Who looks into a pair whose connect has just been made, and what its server is told before all
    /// else.
    pub(super) fn inspection_of(&mut self, key: PairKey) -> Option<Box<Inspection>> {
        let pair = &mut self.pairs[key.0];
        let entry = pair.inspection.take().and_then(|inspection| inspection.entry);
        if pair.tie != Tie::None {
            return None;
        }
        let inspection = self.inspector_of(key);
        let header = self.header_for(key, entry);
        match inspection {
            None if header.is_empty() => None,
            None => Some(Box::new(Inspection { owed: [header, Vec::new()], ..Inspection::new() })),
            Some(inspection) => Some(Box::new(Inspection { owed: [header, Vec::new()], ..inspection })),
        }
    }

    fn inspector_of(&self, key: PairKey) -> Option<Inspection> {
        let pair = &self.pairs[key.0];
        let balancer = &self.listeners[pair.listener].balancer;
        match balancer.settings.protocol {
            Protocol::Tcp | Protocol::Udp => None,
            Protocol::Ftp => {
                let (ClientAddr::Inet(client), ClientAddr::Inet(server)) =
                    (pair.search.from(), pair.to.as_ref()?.client())
                else {
                    return None;
                };
                let Phase::Connecting { server: end, .. } = &pair.phase else { return None };
                let ftp = Ftp::new(Peers { client, server }, !balancer.settings.ftp.auth);
                let addresses = [[Some(client), local(&pair.client)], [Some(server), local(end)]];
                let (id, to) = (pair.place()?.id, pair.to.as_ref()?);
                let source = balancer.source_for(id, to, pair.search.from());
                let is_foreign = source.is_some_and(|source| source.is_foreign && local(end) == Some(client));
                Some(Inspection { addresses, is_foreign, ..Inspection::by(Inspector::Ftp(ftp)) })
            }
            Protocol::Http => {
                let client = pair.search.from();
                let is_trusted = balancer.acls.trusts(balancer.settings.http_trust, client);
                Some(Inspection::by(Inspector::Http(Http::new(Sender { client, is_trusted }))))
            }
        }
    }

    /// What the server is told of whom the connection is from; empty if nothing.
    fn header_for(&self, key: PairKey, entry: Option<Endpoint>) -> Vec<u8> {
        let pair = &self.pairs[key.0];
        let balancer = &self.listeners[pair.listener].balancer;
        let server = pair.place().and_then(|place| balancer.servers.server(place.id));
        let version = server.and_then(|server| server.proxy_protocol).unwrap_or(balancer.settings.proxy_protocol);
        let Some(version) = version else { return Vec::new() };
        match entry.map_or_else(|| pair.client.stream.local(), Ok) {
            Ok(to) => encode(version, Transport::Stream, &Route { from: client_of(pair), to }),
            // It is gone already.
            Err(_) => encode_own(version),
        }
    }

    /// Carries one piece in a direction of a pair that has an inspection.
    #[inline(never)]
    pub(super) fn inspect(&mut self, key: PairKey, direction: Direction, most: usize) -> Piece {
        let pair = &mut self.pairs[key.0];
        if !settle(pair, &mut self.pool) {
            return Piece::Waits;
        }
        let Some((way, inspection)) = way(pair, direction) else { return Piece::Waits };
        if inspection.ends.is_some() || !way.flow.is_open() {
            return Piece::Waits;
        }
        let Some(inspector) = &inspection.inspector else {
            pair.inspection = None;
            return Piece::Unseen;
        };
        let Some(appetite) = inspector.appetite(direction) else { return Piece::Unseen };
        if appetite == 0 {
            return Piece::Waits;
        }
        if way.source.readable {
            self.shortage.provide(&mut self.pool, &mut self.net);
        }
        let most = if self.pool.is_ready() { appetite.min(most) } else { appetite.min(SMALL).min(most) };
        let taking = Taking::Inspected {
            is_leaving: way.other.has_ended() && !way.sink.is_broken,
            holds_back: inspection.holds_back(direction),
        };
        let scratch = &mut self.scratch[..most];
        match way.flow.take(way.source, way.sink, taking, scratch) {
            Receipt::Bytes(count) => {
                self.look_at(key, direction, count);
                Piece::Taken(count)
            }
            Receipt::LastWords => {
                let inspector = inspection.inspector.as_mut().expect("it was there a moment ago");
                self.turned.clear();
                inspector.end(direction, &mut self.turned);
                self.send_turned(key, direction);
                Piece::Taken(self.turned.on.len().max(1))
            }
            Receipt::Nothing | Receipt::Ended | Receipt::Sight(_) => Piece::Waits,
        }
    }

    /// Lets the inspector see what was read, and sends what becomes of it.
    fn look_at(&mut self, key: PairKey, direction: Direction, count: usize) {
        let pair = &mut self.pairs[key.0];
        let chunk = &self.scratch[..count];
        if direction == Direction::Up && self.reqlog.is_open() {
            let server = pair.to.as_ref().expect("a pair that relays is connected to a server");
            self.reqlog.record(pair.search.from(), self.now.unix, server, chunk);
        }
        if self.watch.is_on() {
            self.watch.came(&mut self.net, &mut self.control, self.now, (key, direction), chunk);
        }
        let listener = pair.listener;
        let Some((_, inspection)) = way(pair, direction) else { return };
        let Some(inspector) = &mut inspection.inspector else { return };
        let settings = &self.listeners[listener].balancer.settings;
        let mut opening = Opening {
            net: &mut self.net,
            transfers: &mut self.transfers,
            settings: &settings.ftp,
            control: key,
            client: inspection.addresses[0],
            server: inspection.addresses[1],
            is_foreign: inspection.is_foreign,
            now: self.now.moment,
            most: self.listeners.common.conn_max,
        };
        let turned = &mut self.turned;
        turned.clear();
        inspector.inspect(direction, chunk, turned, &mut opening);
        self.send_turned(key, direction);
    }

    /// Sends what became of a piece.
    fn send_turned(&mut self, key: PairKey, direction: Direction) {
        let Some((way, inspection)) = way(&mut self.pairs[key.0], direction) else { return };
        let Some(inspector) = &mut inspection.inspector else { return };
        let turned = &mut self.turned;
        assert!(turned.on.len().max(turned.back.len()) <= TURNED_MAX, "what becomes of a piece fits a ring");
        if self.watch.is_on() {
            self.watch.went(&mut self.net, self.now, (key, direction), &turned.on, turned.has_changed);
            self.watch.went(&mut self.net, self.now, (key, direction.other()), &turned.back, true);
        }
        if !turned.back.is_empty() {
            inspection.owed[direction.other() as usize].extend_from_slice(&turned.back);
        }
        way.flow.send_turned(way.sink, &turned.on, &mut self.pool);
        inspection.ends = turned.ends;
        if inspector.is_done() {
            let last = inspection.step_aside();
            if self.watch.is_on() {
                for (direction, last) in Direction::BOTH.into_iter().zip(&last) {
                    self.watch.went(&mut self.net, self.now, (key, direction), last, false);
                }
            }
            let at = self.pairs[key.0].listener;
            if self.tells_events() {
                self.tell_connection(at, key.0, OfConnection::Unchanged);
            }
        }
    }

    /// Sees to a client that waits because its inspector does: it goes on if it may now. True if it
    /// does.
    #[inline(never)]
    pub(super) fn wake_inspected(&mut self, key: PairKey) -> bool {
        let pair = &mut self.pairs[key.0];
        let (waits, goes_on) = match pair.inspection.as_deref() {
            Some(Inspection { inspector: Some(inspector), ends, .. }) => {
                let waits = inspector.appetite(Direction::Up) == Some(0);
                (waits, !waits && ends.is_none())
            }
            Some(Inspection { inspector: None, .. }) | None => (false, true),
        };
        let owes = pair.inspection.as_ref().is_some_and(|inspection| inspection.owes_any());
        let Phase::Relaying { server, up, down, .. } = &mut pair.phase else { return false };
        if waits && (down.has_ended() || pair.client.is_broken || server.is_broken) {
            // What it waits for will not come.
            up.abandon(&mut self.pool);
        }
        let goes_on = goes_on && !owes;
        goes_on && up.is_open() && pair.client.readable && !pair.client.is_broken
    }

    /// Ends a pair whose inspector has asked for that, once all was sent. True if it is gone.
    #[inline(never)]
    pub(super) fn end_by_inspector(&mut self, key: PairKey) -> bool {
        let pair = &mut self.pairs[key.0];
        let Some(why) = pair.inspection.as_ref().and_then(|inspection| inspection.ends) else { return false };
        let is_settled = settle(pair, &mut self.pool);
        let Phase::Relaying { server, up, down, .. } = &mut pair.phase else { return false };
        if !is_settled || up.is_stuck() || down.is_stuck() {
            return false;
        }
        // What the server has got is not all that there was to be.
        let _ = server.stream.reset_on_drop();
        self.close(key, CloseReason::Protocol(why));
        true
    }
}
