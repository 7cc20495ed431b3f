//! One check: its socket, from the connect to the end.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use super::super::Proxy;
use super::{Running, token_of};
use crate::balance::settings::Protocol;
use crate::balance::{ListenerKey, ServerId};
use crate::base::addr::Endpoint;
use crate::base::error::reason;
use crate::check::{Check, Dialogue};
use crate::inspect::proxy_protocol::encode_own;
use crate::net::{Net, Ready, Stream};

/// Reads for one edge: whoever says more than so many times 64 KiB to a check is not heard to the end.
const READS_MAX: usize = 16;

/// How long a server may take to end the conversation once it is known how it is.
const LEAVE_TIME: Duration = Duration::from_secs(2);

impl<N: Net> Proxy<N> {
    /// Begins a check, by the server's addresses from this one on; false if something is lacking here,
    /// so that it must be tried again soon.
    pub(super) fn begin_check(&mut self, at: ListenerKey, id: ServerId, check: Check, first: usize) -> bool {
        let mut failure = None;
        for address in first.. {
            let balancer = &self.listeners[at].balancer;
            let server = balancer.servers.server(id);
            let Some((server, endpoint)) =
                server.and_then(|server| server.endpoints.get(address).map(|endpoint| (server, endpoint)))
            else {
                break;
            };
            let (to, host) = (with_port(endpoint, check.port), server.host.to_string());
            let source = balancer.own_source(id);
            let opened = match check.is_datagrams() {
                true => self.net.connect_datagrams(&to, source),
                false => self.net.connect(&to, source),
            };
            match opened {
                Ok(stream) => return self.await_check(at, id, check, stream, (address, to, host)),
                Err(error) if self.net.is_lack(&error) => return false,
                Err(error) => failure = Some(reason(&error)),
            }
        }
        if let Some(why) = failure {
            self.note_verdict(at, id, &check, &Err(why));
        }
        true
    }

    fn await_check(
        &mut self,
        at: ListenerKey,
        id: ServerId,
        check: Check,
        mut stream: N::Stream,
        (address, to, host): (usize, Endpoint, String),
    ) -> bool {
        let until = self.now.moment + self.listeners[at].balancer.settings.connect_timeout;
        let slot = self.checks.running.vacant_key();
        if self.net.watch(&mut stream, token_of(slot)).is_err() {
            return false;
        }
        let number = u16::try_from(self.checks.draw() % 0x1_0000).expect("it is below that");
        let dialogue = Dialogue::new(&check, &host, number);
        let is_datagrams = check.is_datagrams();
        let (unsaid, is_connected, is_noted) = (self.own_header(at, id, &check), false, false);
        let one = Running { at, id, check, stream, address, to, dialogue, unsaid, is_connected, is_noted, until };
        let key = self.checks.running.insert(one);
        if is_datagrams {
            // It needs no time to connect.
            let one = &mut self.checks.running[key];
            one.begin();
            self.go_on_with_check(key);
        }
        true
    }

    /// What a server hears first that wants to be told whom a connection is from: from pen itself.
    /// Another port is another service.
    fn own_header(&self, at: ListenerKey, id: ServerId, check: &Check) -> Vec<u8> {
        let balancer = &self.listeners[at].balancer;
        let server = balancer.servers.server(id);
        let version = server.and_then(|server| server.proxy_protocol).unwrap_or(balancer.settings.proxy_protocol);
        // By datagrams it is another service, too, unless the clients come by them.
        let is_same = !check.is_datagrams() || balancer.settings.protocol == Protocol::Udp;
        let is_wanted = check.port.is_none() && is_same;
        version.filter(|_| is_wanted).map(encode_own).unwrap_or_default()
    }

    /// An edge on the socket of a check.
    pub(in crate::proxy) fn check_event(&mut self, key: usize, ready: Ready) {
        let Some(one) = self.checks.running.get_mut(key) else { return };
        if !self.listeners.contains(one.at) {
            // It was removed in this very turn.
            drop(self.checks.running.remove(key));
            return;
        }
        one.stream.edge(ready);
        if !one.is_connected {
            match one.stream.connected(ready) {
                Ok(false) => return,
                Ok(true) => one.begin(),
                Err(error) => return self.fail_check(key, &error),
            }
        }
        self.go_on_with_check(key);
    }

    /// Says what is to be said, and hears what there is.
    fn go_on_with_check(&mut self, key: usize) {
        if let Err(error) = self.say_and_hear(key) {
            return self.fail_check(key, &error);
        }
        self.note_check(key);
        let Some(one) = self.checks.running.get_mut(key) else { return };
        if one.is_noted && one.until > self.now.moment + LEAVE_TIME {
            one.until = self.now.moment + LEAVE_TIME;
            self.checks.next = self.checks.next.min(Some(one.until));
        }
    }

    fn say_and_hear(&mut self, key: usize) -> io::Result<()> {
        let one = &mut self.checks.running[key];
        flush(one)?;
        for _ in 0..READS_MAX {
            let length = match one.stream.read(&mut self.scratch) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if length == 0 && !one.check.is_datagrams() {
                one.dialogue.end();
                // Both have said all: it may be closed at once.
                one.until = self.now.moment;
                return Ok(());
            }
            let more = one.dialogue.hear(&self.scratch[..length]);
            one.unsaid.extend(more);
            flush(one)?;
        }
        // It does not stop.
        one.dialogue.end();
        one.until = self.now.moment;
        Ok(())
    }

    /// Takes note of the verdict once it is known, and closes what is over.
    fn note_check(&mut self, key: usize) {
        let one = &mut self.checks.running[key];
        if let Some(verdict) = one.dialogue.verdict().filter(|_| !one.is_noted).cloned() {
            one.is_noted = true;
            let (at, id, check) = (one.at, one.id, one.check.clone());
            self.note_verdict(at, id, &check, &verdict);
        }
        let one = &mut self.checks.running[key];
        let is_closed = one.until <= self.now.moment || one.check.is_datagrams() && one.is_noted;
        if one.dialogue.is_over() && is_closed {
            self.checks.running.remove(key);
        } else if one.dialogue.is_over() && one.unsaid.is_empty() {
            // The end is said, and the server's is waited for: to close with its bytes unread would
            // be a reset. One that is gone already needs no end.
            let _ = one.stream.shutdown_write();
        }
    }

    /// The connection has failed. After the verdict that is only one more way to end.
    fn fail_check(&mut self, key: usize, error: &io::Error) {
        let one = self.checks.running.remove(key);
        match one.dialogue.verdict().cloned() {
            _ if one.is_noted => {}
            Some(verdict) => self.note_verdict(one.at, one.id, &one.check, &verdict),
            None => self.try_next_address(one, reason(error)),
        }
    }

    /// Ends those whose time is over.
    pub(super) fn end_late_checks(&mut self) {
        let now = self.seen_until;
        let late = self.checks.running.iter().filter(|(_, one)| one.until <= now).map(|(key, _)| key);
        for key in late.collect::<Vec<_>>() {
            let one = self.checks.running.remove(key);
            if !one.is_noted {
                let why = if one.is_connected { "no answer in time" } else { "no connection in time" };
                let why = format!("{why} from {}", one.to);
                self.try_next_address(one, why);
            }
        }
    }

    /// A server fails its check when all of its addresses do.
    fn try_next_address(&mut self, one: Running<N::Stream>, why: String) {
        let server = self.listeners[one.at].balancer.servers.server(one.id);
        let next = one.address + 1;
        if server.is_some_and(|server| next < server.endpoints.len()) {
            let (at, id, check) = (one.at, one.id, one.check);
            drop(one.stream);
            // What is lacking now may be there at the next appointment.
            self.begin_check(at, id, check, next);
            let soonest = self.checks.running.iter().map(|(_, one)| one.until).min();
            self.checks.next = self.checks.next.into_iter().chain(soonest).min();
        } else {
            self.note_verdict(one.at, one.id, &one.check, &Err(why));
        }
    }
}

impl<S> Running<S> {
    /// The connection stands.
    fn begin(&mut self) {
        self.is_connected = true;
        self.unsaid.extend(self.dialogue.begin());
    }
}

/// Writes what is still to be said, as far as that goes.
fn flush<S: Stream>(one: &mut Running<S>) -> io::Result<()> {
    while !one.unsaid.is_empty() {
        match one.stream.write(&one.unsaid) {
            Ok(count) => drop(one.unsaid.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn with_port(endpoint: &Endpoint, port: Option<u16>) -> Endpoint {
    match (endpoint, port) {
        (Endpoint::Inet(addr), Some(port)) => Endpoint::Inet(SocketAddr::new(addr.ip(), port)),
        (endpoint, _) => endpoint.clone(),
    }
}
