//! From the search for a server to a connection that stands.
//!
//! The client's bytes stay unread in the kernel until then, so that whoever serves it in the end
//! gets all of them.

use std::io;
use std::time::Duration;

use super::ending::CloseReason;
use super::flow::{Flow, Pace};
use super::pair::{End, PairKey, Phase, Place, Side};
use super::timers::TimerKind;
use super::transfers::Tie;
use super::{Proxy, token};
use crate::balance::{Failure, ListenerKey, ServerId, Settings};
use crate::base::addr::{Endpoint, Source};
use crate::base::error::reason;
use crate::base::time::Moment;
use crate::control::event::{OfConnection, OfServer};
use crate::net::{Net, Ready, Stream};

/// How long to wait before trying again when something is lacking here.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What became of one attempt to begin a connect.
enum Attempt {
    /// It is under way, or will be tried again by a timer.
    Begun,
    /// No address of the server could be tried.
    Failed,
}

/// Begins a connection to a server, as its listener has it, from this address.
pub(super) fn begin_connection<N: Net>(
    net: &mut N,
    to: &Endpoint,
    from: Option<Source>,
    settings: &Settings,
) -> io::Result<N::Stream> {
    let mut stream = net.connect(to, from)?;
    if settings.socket_buffers > 0 {
        stream.cap_receiving(settings.socket_buffers);
    }
    Ok(stream)
}

impl<N: Net> Proxy<N> {
    /// Offers the client the next server, until a connect is under way or there is none left.
    pub(super) fn connect(&mut self, key: PairKey) {
        if self.pairs[key.0].tie != Tie::None {
            return self.close(key, CloseReason::Unreachable);
        }
        // Who waits has the places that have just become free.
        self.serve_queue();
        loop {
            let pair = &mut self.pairs[key.0];
            let balancer = &mut self.listeners[pair.listener].balancer;
            let before = balancer.settings.queue.map(|_| pair.search.clone());
            let Some(id) = balancer.next_server(&mut pair.search, self.now) else {
                if before.is_some_and(|search| self.enqueue(key, search)) {
                    return;
                }
                return self.close(key, CloseReason::NoServer);
            };
            let until = self.now.moment + balancer.settings.connect_timeout;
            let place = Place { id, address: 0 };
            self.enter(key, Phase::Searching { place: Some(place), until });
            if self.use_idler(key, id) {
                return;
            }
            if let Attempt::Begun = self.begin(key, place, until) {
                return;
            }
            self.enter(key, Phase::Searching { place: None, until });
        }
    }

    /// Begins to connect to a server, trying its addresses from the one in `place` on.
    fn begin(&mut self, key: PairKey, place: Place, until: Moment) -> Attempt {
        if self.pairs[key.0].tie != Tie::None {
            self.begin_transfer(key, place, until);
            return Attempt::Begun;
        }
        let id = place.id;
        let at = self.pairs[key.0].listener;
        let mut last_error = None;
        for address in place.address.. {
            let balancer = &self.listeners[at].balancer;
            let server = balancer.servers.server(id);
            let Some(endpoint) = server.and_then(|server| server.endpoints.get(usize::from(address))) else { break };
            let place = Place { id, address };
            let source = balancer.source_for(id, endpoint, self.pairs[key.0].search.from());
            match begin_connection(&mut self.net, endpoint, source, &balancer.settings) {
                Ok(stream) => {
                    self.pairs[key.0].to = Some(endpoint.clone());
                    self.has_source(at, id);
                    self.await_connect(key, place, stream, until);
                    return Attempt::Begun;
                }
                // A Unix socket whose queue stays full: its server does not answer in time.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && until <= self.now.moment => {
                    last_error = Some(error);
                }
                Err(error) if self.net.is_lack(&error) => {
                    self.tell_foreign(key, source, &error);
                    self.wait_for_resources(key, place, until, &error);
                    return Attempt::Begun;
                }
                Err(error) => {
                    if self.watch.is_capturing() {
                        let to = endpoint.clone();
                        self.watch_attempt(&to, None, &error);
                    }
                    last_error = Some(error);
                }
            }
        }
        // A server that has no address any more was not tried, and is not to blame.
        if let Some(error) = last_error {
            self.server_failed(at, id, &error);
        }
        Attempt::Failed
    }

    pub(super) fn await_connect(&mut self, key: PairKey, place: Place, stream: N::Stream, until: Moment) {
        let mut server = End::server(stream);
        match self.net.watch(&mut server.stream, token(key, Side::Server)) {
            Ok(()) => {
                self.enter(key, Phase::Connecting { server, place });
                let patience = self.settings_of(key).connect_timeout;
                self.arm(key, TimerKind::Connect, patience);
            }
            Err(error) => self.wait_for_resources(key, place, until, &error),
        }
    }

    /// Keeps the place and tries again soon, up to a limit: the server is not to blame.
    pub(super) fn wait_for_resources(&mut self, key: PairKey, place: Place, until: Moment, error: &io::Error) {
        if until <= self.now.moment {
            // The end of a data connection without a byte is an empty file.
            let is_transfer = self.pairs[key.0].tie != Tie::None;
            if is_transfer {
                return self.close(key, CloseReason::Unreachable);
            }
            self.tell_lack(key, place, error);
            return self.close(key, CloseReason::NoResources);
        }
        self.enter(key, Phase::Searching { place: Some(place), until });
        self.arm(key, TimerKind::Retry, RETRY_PAUSE);
        self.close_idlers();
        if self.tells_events() {
            let (at, why) = (self.pairs[key.0].listener, reason(error));
            self.tell_connection(at, key.0, OfConnection::Waits { why: &why });
        }
    }

    /// An edge came on a socket that is connecting.
    pub(super) fn finish_connect(&mut self, key: PairKey, ready: Ready) {
        let Phase::Connecting { server, .. } = &mut self.pairs[key.0].phase else { return };
        server.stream.edge(ready);
        server.readable |= ready.readable || ready.read_closed;
        match server.stream.connected(ready) {
            Ok(false) => {}
            Ok(true) => self.connected(key, true),
            // A connect that fails is refused; what was reset stood before (tcp(7)), and may even
            // have brought bytes. It is no different from a reset that comes a moment later. After
            // the peer's end a reset shows as a broken pipe.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                server.broke();
                self.connected(key, true);
            }
            Err(error) => self.fail_over(key, &error),
        }
    }

    /// A pair is connected, just now if that `is_new`.
    pub(super) fn connected(&mut self, key: PairKey, is_new: bool) {
        let is_transfer = self.pairs[key.0].tie != Tie::None;
        if is_transfer && !self.set_ends_right(key) {
            return self.close(key, CloseReason::Unreachable);
        }
        let inspection = self.inspection_of(key);
        let pair = &mut self.pairs[key.0];
        pair.inspection = inspection;
        let unset = Phase::Searching { place: None, until: self.now.moment };
        let Phase::Connecting { server, place } = std::mem::replace(&mut pair.phase, unset) else {
            unreachable!("only called for a pair that is connecting")
        };
        pair.phase = Phase::Relaying { server, place, up: Flow::Open(Pace::Easy), down: Flow::Open(Pace::Easy) };
        pair.moved = [self.now.moment; 2];
        self.begin_fault(key);
        if is_new {
            self.watch_connection(key, Side::Server);
        }
        let pair = &mut self.pairs[key.0];
        let listener = &mut self.listeners[pair.listener];
        listener.pending -= 1;
        let at = pair.listener;
        let is_back = !is_transfer && listener.balancer.connected(place.id, pair.client_id, self.now);
        if is_back {
            self.tell_server(at, place.id, OfServer::Back);
        }
        if self.tells_events() {
            let to = self.pairs[key.0].to.clone().filter(|_| is_transfer);
            let connected = OfConnection::Connected { server: place.id };
            let what = to.as_ref().map_or(connected, |to| OfConnection::Transfer { to });
            self.tell_connection(at, key.0, what);
        }
        self.watch_limits(key);
        self.relay(key);
    }

    /// The connect failed: the next address of the same server, or the next server.
    fn fail_over(&mut self, key: PairKey, error: &io::Error) {
        self.watch_failed_connect(key, error);
        let pair = &self.pairs[key.0];
        let Phase::Connecting { place, .. } = pair.phase else { return };
        if pair.tie != Tie::None {
            return self.transfer_failed(key, error);
        }
        let at = pair.listener;
        if self.tells_events() {
            let failed = OfConnection::FailedOver { server: place.id, why: &reason(error) };
            self.tell_connection(at, key.0, failed);
        }
        let balancer = &self.listeners[at].balancer;
        let until = self.now.moment + balancer.settings.connect_timeout;
        let server = balancer.servers.server(place.id);
        let tried = server.and_then(|server| server.endpoints.get(usize::from(place.address)));
        // If the server has moved meanwhile, its new addresses are not to blame for the old one.
        let address = if tried == self.pairs[key.0].to.as_ref() { place.address + 1 } else { 0 };
        let next = Place { id: place.id, address };
        if server.is_some_and(|server| usize::from(next.address) < server.endpoints.len()) {
            self.enter(key, Phase::Searching { place: Some(next), until });
            if let Attempt::Begun = self.begin(key, next, until) {
                return;
            }
        } else if address > 0 {
            self.tell_unanswered(key, place.id, error);
            self.server_failed(at, place.id, error);
        }
        self.enter(key, Phase::Searching { place: None, until });
        self.connect(key);
    }

    /// The time for a connect is over: it has failed, or its connection has lasted so long.
    pub(super) fn connect_timed_out(&mut self, key: PairKey) {
        if matches!(self.pairs[key.0].phase, Phase::Relaying { .. }) {
            return self.limit_reached(key);
        }
        self.fail_over(key, &io::Error::from(io::ErrorKind::TimedOut));
    }

    /// Tries again to get what was lacking here.
    pub(super) fn retry(&mut self, key: PairKey) {
        if matches!(self.pairs[key.0].phase, Phase::Queued { .. }) {
            return self.queue_time_is_over(key);
        }
        let Phase::Searching { place: Some(place), until } = self.pairs[key.0].phase else { return };
        if let Attempt::Failed = self.begin(key, place, until) {
            self.enter(key, Phase::Searching { place: None, until });
            self.connect(key);
        }
    }

    /// Those who wait for something that a pair has just given back have it before anybody else
    /// is accepted, who would otherwise take it away from them for ever.
    pub(super) fn serve_lacking(&mut self) {
        if !std::mem::take(&mut self.has_given_back) || self.lacking == 0 {
            return;
        }
        let lacking = self.pairs.iter().filter(|(_, pair)| pair.is_lacking()).map(|(key, _)| PairKey(key));
        for key in lacking.collect::<Vec<_>>() {
            self.retry(key);
        }
    }

    pub(super) fn server_failed(&mut self, at: ListenerKey, id: ServerId, error: &io::Error) {
        if self.lacks_source(at, id, error) {
            return;
        }
        let listener = &mut self.listeners[at];
        if let Some(mut server) = listener.balancer.servers.server_mut(id) {
            server.counts.fail(Failure::of(error));
        }
        if !listener.balancer.failed(id, self.now) {
            return;
        }
        let blacklisted = listener.balancer.settings.blacklist.as_secs();
        self.tell_server(at, id, OfServer::Failed { why: &reason(error), blacklisted });
    }
}
