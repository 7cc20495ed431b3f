//! What must be known of a client before a server is looked for: who it is, if a proxy before pen
//! says so.
//!
//! Bytes are looked at where they are, in the kernel, and only a header is taken away: all that
//! comes behind it is the server's.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use super::Proxy;
use super::ending::CloseReason;
use super::inspection::Inspection;
use super::pair::{Pair, PairKey, Phase};
use super::timers::TimerKind;
use crate::balance::Search;
use crate::base::addr::{ClientAddr, Endpoint};
use crate::control::event::OfConnection;
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
            return self.admit(key, &from);
        }
        let until = self.now.moment + balancer.settings.connect_timeout;
        self.enter(key, Phase::Arriving { until });
        if self.tells_events() {
            let at = self.pairs[key.0].listener;
            self.tell_connection(at, key.0, OfConnection::Proxy { from: &from });
        }
        // Most have sent it by now, but no edge has told so yet.
        self.pairs[key.0].client.readable = true;
        self.look_for_header(key);
    }

    /// Takes the header of a client that must have one, if it has come.
    pub(super) fn look_for_header(&mut self, key: PairKey) {
        let Phase::Arriving { until } = self.pairs[key.0].phase else { return };
        let decoded = match self.look(key) {
            Seen::Bytes(0) => Decoded::Partial,
            Seen::Bytes(count) => decode(&self.scratch[..count], Transport::Stream),
            Seen::End => Decoded::Bad("it ends before its header"),
            Seen::Gone => return self.close(key, CloseReason::ClientGone),
        };
        match decoded {
            Decoded::Partial if until <= self.now.moment => self.refuse_proxy(key, "its header does not come in time"),
            Decoded::Partial => {
                let left = until.since(self.now.moment);
                self.arm(key, TimerKind::Arrival, left.min(LOOK_EVERY));
            }
            Decoded::Header(length, route) => self.take_header(key, length, route),
            Decoded::Bad(why) => self.refuse_proxy(key, why),
        }
    }

    /// Looks at what a client has sent, and leaves it where it is.
    fn look(&mut self, key: PairKey) -> Seen {
        let client = &mut self.pairs[key.0].client;
        while client.readable {
            match client.stream.peek(&mut self.scratch[..HEADER_MAX]) {
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
        self.admit(key, &from);
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

/// The client of a pair with its port.
pub(super) fn client_of<S: Stream>(pair: &Pair<S>) -> Endpoint {
    match pair.search.from() {
        ClientAddr::Inet(ip) => Endpoint::Inet(SocketAddr::new(ip, pair.search.port())),
        ClientAddr::Unix => Endpoint::Unix(std::path::PathBuf::new()),
    }
}
