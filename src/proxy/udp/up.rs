//! From clients to servers.

use std::io::{self, ErrorKind, Write};

use super::super::Proxy;
use super::ending::End;
use super::number_of;
use crate::base::diag::Severity;
use crate::net::{Net, Way};
use crate::trace::Direction;

/// Batches that one socket brings in one turn before others have theirs.
const BATCHES: usize = 8;

impl<N: Net> Proxy<N> {
    /// True if a socket may have datagrams.
    pub(in crate::proxy) fn may_receive(&self) -> bool {
        self.listening.sockets().any(|arriving| arriving.has_datagrams())
    }

    /// Takes what clients have sent.
    pub(in crate::proxy) fn receive_datagrams(&mut self) {
        if !self.may_receive() {
            return;
        }
        for place in 0..self.listening.places() {
            for _ in 0..BATCHES {
                if !self.receive_at(place) {
                    break;
                }
            }
        }
    }

    /// Takes one batch; false if there may be no more.
    #[inline(never)]
    fn receive_at(&mut self, place: usize) -> bool {
        let Some(arriving) = self.listening.datagrams(place).filter(|arriving| arriving.is_ready) else { return false };
        let mut inbox = self.udp.inbox.take().unwrap_or_default();
        let received = self.net.receive(&mut arriving.socket, &mut inbox);
        let goes_on = match received {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            // Whatever was wrong, who sends next brings an edge.
            Err(_) => {
                arriving.is_ready = false;
                false
            }
        };
        if goes_on {
            for number in 0..inbox.len() {
                let (way, bytes) = inbox.letter(number);
                self.pass_up(place, way, bytes);
            }
        }
        inbox.clear();
        self.udp.inbox = Some(inbox);
        goes_on
    }

    /// A client has sent a datagram.
    fn pass_up(&mut self, place: usize, way: Way, bytes: &[u8]) {
        let Some((told, bytes)) = self.open_letter(place, &way, bytes) else { return };
        let key = match self.udp.by_client.get(&(place, way, told)) {
            Some(key) if !self.leads_to_one_that_is_down(*key) => *key,
            Some(key) => {
                self.end_association(*key, End::Failed);
                match self.open_association(place, way, told) {
                    Some(key) => key,
                    None => return,
                }
            }
            None => match self.open_association(place, way, told) {
                Some(key) => key,
                None => return,
            },
        };
        self.forward(key, bytes);
    }

    /// True if checks have found the server of an association down.
    fn leads_to_one_that_is_down(&self, key: usize) -> bool {
        let one = &self.udp.all[key];
        let server = self.listeners[one.listener].balancer.servers.server(one.server.id);
        server.is_some_and(|server| server.health.is_down)
    }

    /// Passes a client's datagram on to its server.
    fn forward(&mut self, key: usize, bytes: &[u8]) {
        let one = &mut self.udp.all[key];
        one.note_request(self.now.moment);
        let settings = &self.listeners[one.listener].balancer.settings;
        let (is_full, may_fail_over) = (one.is_full(settings), one.may_fail_over(settings));
        if is_full {
            self.udp.by_client.remove(&one.caller());
        }
        if may_fail_over {
            self.udp.hold(key, bytes);
        } else {
            self.udp.let_go_held(key);
        }
        self.udp.order.touch(key);
        if self.watch.is_dumping() {
            self.watch.datagram(&mut self.net, Direction::Up, number_of(key), bytes);
        }
        if self.reqlog.is_open() {
            let one = &self.udp.all[key];
            self.reqlog.record(one.search.from(), self.now.unix, &one.to, bytes);
        }
        match self.send_up(key, bytes) {
            Ok(()) => self.look_later(key),
            Err(error) => self.association_failed(key, error),
        }
    }

    /// Gives a datagram to the server's socket. What the kernel does not take is dropped, and counted;
    /// an error says that the server is not there.
    pub(super) fn send_up(&mut self, key: usize, bytes: &[u8]) -> io::Result<()> {
        let letter = self.letter_for(key, bytes);
        let one = &mut self.udp.all[key];
        let outcome = loop {
            match one.stream.write(&letter) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        let listener = &mut self.listeners[one.listener];
        match outcome {
            Ok(_) => {
                one.moved[0] += bytes.len() as u64;
                listener.balancer.account(one.server.id, one.client_id, bytes.len() as u64, 0);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => listener.dropped.full += 1,
            Err(error) if error.kind() == ErrorKind::InvalidInput => listener.dropped.too_long += 1,
            Err(error) if self.net.is_lack(&error) => listener.dropped.lacking += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Says once in a while that something is lacking here, so that datagrams are dropped.
    pub(super) fn tell_lacking(&mut self, why: &str) {
        let silence = super::super::listener::SILENCE;
        let before = self.udp.lacked.replace(self.now.moment);
        if before.is_none_or(|before| self.now.moment.since(before) >= silence) {
            self.say(Severity::Warning, &format!("cannot pass datagrams on: {why}; they are dropped"));
        }
    }
}
