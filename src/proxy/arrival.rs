//! What must be known of a client before a server is looked for: who it is, if a proxy before pen
//! says so, and whose servers it wants, if what it says first decides that.
//!
//! Bytes are looked at where they are, in the kernel, and only a header is taken away: all that
//! comes behind it is the server's.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use super::Proxy;
use super::ending::CloseReason;
use super::inspection::Inspection;
use super::pair::{Pair, PairKey, Phase, Wants};
use super::timers::TimerKind;
use crate::balance::Search;
use crate::balance::routes::What;
use crate::base::addr::{ClientAddr, Endpoint};
use crate::base::time::Moment;
use crate::control::event::OfConnection;
use crate::inspect::first_bytes::{self, LOOK_MAX, Spoken};
use crate::inspect::proxy_protocol::{Decoded, HEADER_MAX, Route, Transport, decode};
use crate::net::{Net, Stream};

/// How often to look again without an edge: what was looked at brings none.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was seen of a client.
enum Seen {
    /// So many bytes of it are in the scratch buffer, and still in the kernel.
    Bytes(usize),
    /// It has ended, and nothing is there.
    End,
    /// It is gone.
    Gone,
}

impl<N: Net> Proxy<N> {
    /// A client has come from this address, which may be a proxy's.
    pub(super) fn arrive(&mut self, key: PairKey, from: Endpoint) {
        let pair = &self.pairs[key.0];
        let balancer = &self.listeners[pair.listener].balancer;
        if !balancer.acls.trusts(balancer.settings.proxy_accept, pair.search.from()) {
            return self.welcome(key, &from);
        }
        let until = self.now.moment + balancer.settings.connect_timeout;
        self.enter(key, Phase::Arriving { wants: Wants::Header, until });
        if self.tells_events() {
            let at = self.pairs[key.0].listener;
            self.tell_connection(at, key.0, OfConnection::Proxy { from: &from });
        }
        // Most have sent it by now, but no edge has told so yet.
        self.pairs[key.0].client.readable = true;
        self.look_again(key);
    }

    /// What is waited for may be there.
    pub(super) fn look_again(&mut self, key: PairKey) {
        match self.pairs[key.0].phase {
            Phase::Arriving { wants: Wants::Header, until } => self.look_for_header(key, until),
            Phase::Arriving { wants: Wants::FirstBytes, until } => self.look_for_way(key, until),
            Phase::Queued { .. } | Phase::Searching { .. } | Phase::Connecting { .. } => {}
            Phase::Relaying { .. } | Phase::Farewell => {}
        }
    }

    /// Takes the header of a client that must have one, if it has come.
    fn look_for_header(&mut self, key: PairKey, until: Moment) {
        let decoded = match self.look(key, HEADER_MAX) {
            Seen::Bytes(0) => Decoded::Partial,
            Seen::Bytes(count) => decode(&self.scratch[..count], Transport::Stream),
            Seen::End => Decoded::Bad("it ends before its header"),
            Seen::Gone => return self.close(key, CloseReason::ClientGone),
        };
        match decoded {
            Decoded::Partial if until <= self.now.moment => self.refuse_proxy(key, "its header does not come in time"),
            Decoded::Partial => self.wait_for_more(key, until),
            Decoded::Header(length, route) => self.take_header(key, length, route),
            Decoded::Bad(why) => self.refuse_proxy(key, why),
        }
    }

    fn wait_for_more(&mut self, key: PairKey, until: Moment) {
        let left = until.since(self.now.moment);
        self.arm(key, TimerKind::Arrival, left.min(LOOK_EVERY));
    }

    /// Sends a client to the servers that it wants, as soon as what it says tells which.
    fn look_for_way(&mut self, key: PairKey, until: Moment) {
        let at = self.pairs[key.0].listener;
        let spoken = match self.look(key, LOOK_MAX) {
            Seen::Bytes(count) => {
                let routes = &self.listeners[at].balancer.settings.routes;
                let wants_host = routes.iter().any(|route| matches!(route.what, What::Host(_)));
                first_bytes::look(&self.scratch[..count], wants_host)
            }
            // It has nothing to say, or waits for the server to speak first.
            Seen::End => Some(Spoken::Other),
            Seen::Gone => return self.close(key, CloseReason::ClientGone),
        };
        let spoken = match spoken {
            None if until > self.now.moment => return self.wait_for_more(key, until),
            None => Spoken::Other,
            Some(spoken) => spoken,
        };
        let routes = &self.listeners[at].balancer.settings.routes;
        let to =
            routes.iter().filter(|route| fits(&route.what, &spoken)).find_map(|route| self.listeners.find(&route.to));
        if let Some(to) = to.filter(|to| *to != at) {
            self.listeners[at].pairs -= 1;
            self.listeners[to].pairs += 1;
            self.pairs[key.0].listener = to;
            self.listeners.let_go(at);
        }
        let from = client_of(&self.pairs[key.0]);
        self.admit(key, &from);
    }

    /// Looks at what a client has sent, and leaves it where it is.
    fn look(&mut self, key: PairKey, most: usize) -> Seen {
        let client = &mut self.pairs[key.0].client;
        while client.readable {
            match client.stream.peek(&mut self.scratch[..most]) {
                Ok(0) => return Seen::End,
                Ok(count) => return Seen::Bytes(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => client.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Seen::Gone,
            }
        }
        Seen::Bytes(0)
    }

    /// Takes so many bytes that were looked at, and believes what they say.
    fn take_header(&mut self, key: PairKey, length: usize, route: Option<Route>) {
        let pair = &mut self.pairs[key.0];
        let mut taken = 0;
        while taken < length {
            match pair.client.stream.read(&mut self.scratch[taken..length]) {
                Ok(0) => return self.close(key, CloseReason::ClientGone),
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // They were there a moment ago.
                Err(_) => return self.close(key, CloseReason::ClientGone),
            }
        }
        let from = match route {
            Some(Route { from, to }) => {
                pair.inspection = Some(Box::new(Inspection::entered(to)));
                from
            }
            // The proxy speaks for itself.
            None => client_of(pair),
        };
        pair.search = Search::begin(from.client(), from.port().unwrap_or(0));
        self.welcome(key, &from);
    }

    /// It is known who the client is. If what it says first decides where it goes, that is waited
    /// for, unless it may not come at all.
    fn welcome(&mut self, key: PairKey, from: &Endpoint) {
        let pair = &self.pairs[key.0];
        let balancer = &self.listeners[pair.listener].balancer;
        let settings = &balancer.settings;
        if settings.routes.is_empty() || !balancer.acls.check(settings.client_acl, pair.search.from()) {
            return self.admit(key, from);
        }
        let until = self.now.moment + settings.route_timeout;
        self.enter(key, Phase::Arriving { wants: Wants::FirstBytes, until });
        self.pairs[key.0].client.readable = true;
        self.look_again(key);
    }

    /// Whoever is trusted to say who a client is must do so.
    fn refuse_proxy(&mut self, key: PairKey, why: &'static str) {
        let pair = &self.pairs[key.0];
        let (at, from) = (pair.listener, client_of(pair));
        self.tell_refused(at, "proxy", &from, why);
        self.close(key, CloseReason::Header(why));
    }

    /// It is known who the client is: finds it a server.
    fn admit(&mut self, key: PairKey, from: &Endpoint) {
        let pair = &mut self.pairs[key.0];
        let at = pair.listener;
        let balancer = &mut self.listeners[at].balancer;
        let admission = balancer.admit(pair.search.from(), pair.search.port(), self.now);
        pair.client_id = admission.client;
        pair.search = admission.search;
        if let Some(over) = admission.over {
            self.tell_over(at, from, over);
        }
        if self.tells_events() {
            self.tell_connection(at, key.0, OfConnection::Accepted { from, refused: admission.refused });
        }
        self.enter(key, Phase::Searching { place: None, until: self.now.moment });
        self.connect(key);
    }
}

/// Whether a client that speaks so is meant.
fn fits(what: &What, spoken: &Spoken) -> bool {
    match (what, spoken) {
        (What::Sni(hosts), Spoken::Tls(hello)) => hello.server_name.as_ref().is_some_and(|name| hosts.have(name)),
        (What::Alpn(protocol), Spoken::Tls(hello)) => {
            hello.protocols.iter().any(|offered| **offered == *protocol.as_bytes())
        }
        (What::Host(hosts), Spoken::Http(Some(host))) => hosts.have(host),
        (What::Tls, Spoken::Tls(_)) | (What::Http, Spoken::Http(_)) | (What::Ssh, Spoken::Ssh) => true,
        _ => false,
    }
}

/// The client of a pair with its port.
pub(super) fn client_of<S: Stream>(pair: &Pair<S>) -> Endpoint {
    match pair.search.from() {
        ClientAddr::Inet(ip) => Endpoint::Inet(SocketAddr::new(ip, pair.search.port())),
        ClientAddr::Unix => Endpoint::Unix(std::path::PathBuf::new()),
    }
}
