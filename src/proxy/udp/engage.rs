//! How an association comes to have a server, and another one if that is not there.
//!
//! A server that is not there is known by an error from afar (icmp(7)). One that merely says nothing
//! may have nothing to say, and then nobody is to blame, or anybody could have all servers left out
//! by questions that have no answer. So its request goes to the next one, and only if that has an
//! answer the silent one is taken for failed.

use std::io;

use super::super::Proxy;
use super::super::pair::Place;
use super::association::Association;
use super::ending::End;
use super::told::Told;
use super::{number_of, token_of};
use crate::balance::{ListenerKey, Search};
use crate::base::addr::{Endpoint, Source};
use crate::base::error::reason;
use crate::control::event::OfConnection;
use crate::net::{Net, Way};

/// Slots that the table grows by at least.
const GROWTH_MIN: usize = 64;

/// Bytes that go with a slot: its places in maps and queues.
const BESIDE_SLOT: usize = 256;

/// Why there is no server.
enum Without {
    /// Nobody may or can serve this client.
    Server,
    /// Something is lacking here.
    Means(String),
}

/// A socket that leads to a server at which a place is held.
type Engaged<S> = (S, Place, Endpoint);

impl<N: Net> Proxy<N> {
    /// A client comes: finds it a server. What it has sent is dropped if there is none.
    pub(super) fn open_association(&mut self, place: usize, way: Way, told: Option<Told>) -> Option<usize> {
        let at = self.listening.datagrams(place)?.listener;
        if self.draining_since.is_some() {
            self.listeners[at].dropped.no_server += 1;
            return None;
        }
        if self.udp.len() >= self.listeners.common.conn_max {
            self.end_least_used(None);
        }
        if !self.has_slot_for_association() {
            self.listeners[at].dropped.lacking += 1;
            self.tell_lacking("out of memory");
            return None;
        }
        let client = told.map_or(way.client, |told| told.from);
        let from = Endpoint::inet(client);
        let balancer = &mut self.listeners[at].balancer;
        let mut admission = balancer.admit(from.client(), client.port(), self.now);
        if let Some(over) = admission.over {
            self.tell_over(at, &from, over);
        }
        // Nobody takes the listener away meanwhile.
        self.listeners[at].pairs += 1;
        self.listeners[at].associations += 1;
        let engaged = self.engage(at, &mut admission.search, None, None);
        let (stream, server, to) = match engaged {
            Ok(engaged) => engaged,
            Err(without) => {
                self.forgo_client(at, &without, admission.client);
                return None;
            }
        };
        let one = Association {
            stream,
            way,
            told,
            entry: None,
            place,
            listener: at,
            server,
            to,
            client_id: admission.client,
            search: admission.search,
            held: None,
            silent: Vec::new(),
            requests: 0,
            responses: 0,
            waits_since: None,
            active: self.now.moment,
            is_heard: false,
            due: None,
            is_queued: false,
            moved: [0; 2],
        };
        let key = self.udp.all.insert(one);
        self.udp.order.add(key);
        self.udp.by_client.insert((place, way, told), key);
        self.tell_begun(key, &from, admission.refused);
        self.watch_server(key).then_some(key)
    }

    fn tell_begun(&mut self, key: usize, from: &Endpoint, is_refused: bool) {
        if !self.tells_events() {
            return;
        }
        let at = self.udp.all[key].listener;
        self.tell_connection(at, number_of(key), OfConnection::Began { from, refused: is_refused });
    }

    fn forgo_client(&mut self, at: ListenerKey, without: &Without, client: Option<crate::balance::ClientId>) {
        let listener = &mut self.listeners[at];
        listener.pairs -= 1;
        listener.associations -= 1;
        if let Some(client) = client {
            listener.balancer.left(client);
        }
        match without {
            Without::Server => {
                listener.dropped.no_server += 1;
                listener.balancer.unserved += 1;
            }
            Without::Means(why) => {
                listener.dropped.lacking += 1;
                self.tell_lacking(why);
            }
        }
    }

    /// Offers the client one server after the other, first the one at `from`, where it has a place that
    /// stays its own. The association `keep` is not closed for it.
    fn engage(
        &mut self,
        at: ListenerKey,
        search: &mut Search,
        mut from: Option<Place>,
        keep: Option<usize>,
    ) -> Result<Engaged<N::Stream>, Without> {
        loop {
            let is_claimed = from.is_none();
            let balancer = &mut self.listeners[at].balancer;
            let mut next = || balancer.next_server(search, self.now).map(|id| Place { id, address: 0 });
            let Some(place) = from.take().or_else(&mut next) else { return Err(Without::Server) };
            let give_back = |proxy: &mut Self| {
                if is_claimed {
                    proxy.release_place(at, place);
                }
            };
            let mut last_error = None;
            for address in place.address.. {
                let balancer = &self.listeners[at].balancer;
                let server = balancer.servers.server(place.id);
                let endpoint = server.and_then(|server| server.endpoints.get(usize::from(address)));
                let Some(to) = endpoint.cloned() else { break };
                let source = balancer.source_for(place.id, &to, search.from());
                match self.connect_datagrams(&to, source, keep) {
                    Ok(stream) => {
                        self.has_source(at, place.id);
                        return Ok((stream, Place { address, ..place }, to));
                    }
                    Err(error) if self.net.is_lack(&error) => {
                        give_back(self);
                        return Err(Without::Means(reason(&error)));
                    }
                    Err(error) => last_error = Some(error),
                }
            }
            if let Some(error) = last_error {
                self.server_failed(at, place.id, &error);
            }
            give_back(self);
        }
    }

    /// Opens a socket; if something is lacking, once more without the association that was used least
    /// recently.
    fn connect_datagrams(
        &mut self,
        to: &Endpoint,
        source: Option<Source>,
        keep: Option<usize>,
    ) -> io::Result<N::Stream> {
        let opened = self.net.connect_datagrams(to, source);
        match opened {
            Err(error) if self.net.is_lack(&error) && (self.close_idlers() || self.end_least_used(keep)) => {
                self.net.connect_datagrams(to, source)
            }
            opened => opened,
        }
    }

    /// Watches the socket of a server that was just chosen; false if the association has gone for that.
    fn watch_server(&mut self, key: usize) -> bool {
        let one = &mut self.udp.all[key];
        if let Err(error) = self.net.watch(&mut one.stream, token_of(key)) {
            self.listeners[one.listener].dropped.lacking += 1;
            self.end_association(key, End::Lacking);
            self.tell_lacking(&reason(&error));
            return false;
        }
        let listener = &mut self.listeners[one.listener];
        listener.balancer.sent_to(one.server.id, one.client_id, self.now);
        let (at, server) = (one.listener, one.server.id);
        if self.tells_events() {
            self.tell_connection(at, number_of(key), OfConnection::SentTo { server });
        }
        true
    }

    /// The server is not there: the next one gets what there is no answer to.
    pub(super) fn association_failed(&mut self, key: usize, error: io::Error) {
        if self.tells_events() {
            let one = &self.udp.all[key];
            let failed = OfConnection::FailedOver { server: one.server.id, why: &reason(&error) };
            self.tell_connection(one.listener, number_of(key), failed);
        }
        self.fail_over_association(key, Some(error));
    }

    /// A request has no answer: the next server gets it.
    pub(super) fn association_unanswered(&mut self, key: usize) {
        if self.udp.all[key].held.is_none() {
            return self.end_association(key, End::Unanswered);
        }
        self.fail_over_association(key, None);
    }

    fn fail_over_association(&mut self, key: usize, error: Option<io::Error>) {
        let mut error = error;
        loop {
            let one = &self.udp.all[key];
            let (at, server) = (one.listener, one.server);
            let next = Place { address: server.address + 1, ..server };
            let known = self.listeners[at].balancer.servers.server(server.id);
            // The other addresses of the same server come first.
            let from = known.filter(|known| usize::from(next.address) < known.endpoints.len()).map(|_| next);
            match &error {
                _ if from.is_some() => {}
                Some(error) => self.server_failed(at, server.id, error),
                None => self.udp.all[key].silent.push(server.id),
            }
            let one = &mut self.udp.all[key];
            let Some(held) = one.held.clone() else { return self.end_association(key, End::Failed) };
            let mut search = one.search.clone();
            let engaged = self.engage(at, &mut search, from, Some(key));
            let one = &mut self.udp.all[key];
            one.search = search;
            let (stream, place, to) = match engaged {
                Ok(engaged) => engaged,
                Err(without) => return self.give_up(key, &without),
            };
            (one.stream, one.server, one.to) = (stream, place, to);
            (one.is_heard, one.waits_since) = (false, Some(self.now.moment));
            if place.id != server.id {
                self.release_place(at, server);
            }
            if !self.watch_server(key) {
                return;
            }
            match self.send_up(key, &held) {
                Ok(()) => return self.look_later(key),
                Err(other) => error = Some(other),
            }
        }
    }

    fn give_up(&mut self, key: usize, without: &Without) {
        let dropped = &mut self.listeners[self.udp.all[key].listener].dropped;
        match without {
            Without::Server => dropped.no_server += 1,
            Without::Means(_) => dropped.lacking += 1,
        }
        self.end_association(key, End::NoServer);
        if let Without::Means(why) = without {
            self.tell_lacking(why);
        }
    }

    fn has_slot_for_association(&mut self) -> bool {
        let (len, capacity) = (self.udp.all.len(), self.udp.all.capacity());
        if len < capacity {
            return true;
        }
        let more = capacity.max(GROWTH_MIN);
        // The old table is there until all is moved to the new one.
        let slot = size_of::<Association<N::Stream>>() + BESIDE_SLOT;
        if !self.net.has_memory((capacity + more) * slot) {
            return false;
        }
        self.udp.all.reserve(more);
        true
    }
}
