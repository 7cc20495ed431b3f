//! From servers to clients.

use std::io::{self, ErrorKind, Read};

use super::super::Proxy;
use super::ending::End;
use super::number_of;
use crate::control::event::OfServer;
use crate::net::Net;
use crate::trace::Direction;

/// Answers that one association brings in one turn before others have theirs.
const BUDGET: usize = 64;

impl<N: Net> Proxy<N> {
    /// Goes on with those that had more than their share.
    pub(in crate::proxy) fn run_associations(&mut self) {
        for _ in 0..self.udp.runnable.len() {
            let Some(key) = self.udp.runnable.pop_front() else { return };
            let Some(one) = self.udp.all.get_mut(key) else { continue };
            if std::mem::take(&mut one.is_queued) {
                self.read_answers(key);
            }
        }
    }

    /// An edge on a server's socket: takes what the server has said, as far as the budget goes.
    pub(in crate::proxy) fn read_answers(&mut self, key: usize) {
        for _ in 0..BUDGET {
            let Some(one) = self.udp.all.get_mut(key) else { return };
            match one.stream.read(&mut self.scratch) {
                Ok(length) => self.pass_down(key, length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The next datagram brings an edge.
                Err(error) if self.net.is_lack(&error) => return,
                Err(error) => return self.association_failed(key, error),
            }
        }
        if self.udp.all.contains(key) {
            self.udp.queue(key);
        }
    }

    /// The server has said what stands at the beginning of the scratch buffer.
    fn pass_down(&mut self, key: usize, length: usize) {
        let one = &mut self.udp.all[key];
        one.note_response(self.now.moment);
        one.moved[1] += length as u64;
        let (at, server, client, place, way) = (one.listener, one.server.id, one.client_id, one.place, one.way);
        let silent = std::mem::take(&mut one.silent);
        let is_complete = one.is_complete(&self.listeners[at].balancer.settings);
        self.udp.let_go_held(key);
        self.udp.order.touch(key);
        let balancer = &mut self.listeners[at].balancer;
        balancer.account(server, client, 0, length as u64);
        if balancer.answered(server) {
            self.tell_server(at, server, OfServer::Back);
        }
        // What this one has answered, those should have answered, too.
        for id in silent {
            self.server_failed(at, id, &io::Error::new(ErrorKind::TimedOut, "no answer"));
        }
        if self.watch.is_dumping() {
            self.watch.datagram(&mut self.net, Direction::Down, number_of(key), &self.scratch[..length]);
        }
        if self.udp.outbox_place != place || self.udp.outbox.is_full() {
            self.send_answers();
            self.udp.outbox_place = place;
        }
        self.udp.outbox.push(way, &self.scratch[..length]);
        if is_complete {
            self.end_association(key, End::Complete);
        }
    }

    /// Sends what clients are to get. What the kernel does not take is dropped, as on any way.
    pub(in crate::proxy) fn send_answers(&mut self) {
        if self.udp.outbox.is_empty() {
            return;
        }
        let mut first = 0;
        while first < self.udp.outbox.len() {
            let Some(arriving) = self.listening.datagrams(self.udp.outbox_place) else { break };
            let at = arriving.listener;
            match self.net.answer(&mut arriving.socket, &self.udp.outbox, first) {
                Ok(count) => first += count.max(1),
                Err(error) => first += self.drop_answers(at, first, &error),
            }
        }
        self.udp.outbox.clear();
    }

    /// Counts what cannot be sent from number `first` on; how many.
    fn drop_answers(&mut self, at: crate::balance::ListenerKey, first: usize, error: &io::Error) -> usize {
        let dropped = &mut self.listeners[at].dropped;
        match error.kind() {
            ErrorKind::Interrupted => return 0,
            // There is no room for the others either.
            ErrorKind::WouldBlock => {
                let rest = self.udp.outbox.len() - first;
                dropped.full += rest as u64;
                return rest;
            }
            ErrorKind::InvalidInput => dropped.too_long += 1,
            // No way to the client, or a rule against it: nothing that pen could do.
            _ => dropped.lacking += 1,
        }
        1
    }
}
