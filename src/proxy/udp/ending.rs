//! How associations end: one way out, and every ending has a name.

use std::fmt;

use super::super::Proxy;
use super::super::ending::CloseReason;
use super::super::pair::Place;
use super::association::Look;
use super::number_of;
use crate::balance::{Duty, ListenerKey};
use crate::control::event::OfConnection;
use crate::net::Net;

/// Why an association was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// All has been said that is expected.
    Complete,
    /// Silent for longer than allowed.
    Idle,
    /// Another client came, and this one was used least recently.
    LeastUsed,
    /// The server has gone, and nothing is left that another one could answer.
    Failed,
    /// No server has an answer.
    Unanswered,
    /// Nobody is left who could serve the client.
    NoServer,
    /// Something is lacking here.
    Lacking,
    /// The socket where the client came in is closed.
    Orphaned,
    /// The operator said so.
    Operator,
    /// pen ends.
    Shutdown,
}

impl End {
    /// What that is among the endings of pairs, which are counted.
    fn close_reason(self) -> CloseReason {
        match self {
            End::Complete => CloseReason::Done,
            End::Idle => CloseReason::Idle,
            End::LeastUsed | End::Lacking => CloseReason::NoResources,
            End::Failed => CloseReason::Broken,
            End::Unanswered | End::NoServer => CloseReason::NoServer,
            End::Orphaned | End::Operator => CloseReason::Operator,
            End::Shutdown => CloseReason::Shutdown,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Complete => "done",
            End::Idle => "idle",
            End::LeastUsed => "used least recently, and another client came",
            End::Failed => "the server has gone",
            End::Unanswered => "no answer",
            End::NoServer => "no server",
            End::Lacking => "out of local resources",
            End::Orphaned => "the listening address is closed",
            End::Operator => "by the operator",
            End::Shutdown => "pen ends",
        })
    }
}

impl<N: Net> Proxy<N> {
    /// Ends an association: gives back all it holds, and tells why.
    pub(in crate::proxy) fn end_association(&mut self, key: usize, why: End) {
        self.udp.let_go_held(key);
        let udp = &mut self.udp;
        let one = udp.all.remove(key);
        udp.order.remove(key);
        if let Some(due) = one.due {
            udp.due.remove(&(due, key));
        }
        let caller = one.caller();
        if udp.by_client.get(&caller) == Some(&key) {
            udp.by_client.remove(&caller);
        }
        if udp.all.is_empty() {
            // At rest a pen holds nothing that it can have again.
            udp.order.shrink();
            udp.inbox = None;
        }
        if self.tells_events() {
            let ([up, down], server, why) = (one.moved, Some(one.server.id), why.to_string());
            let closed = OfConnection::Closed { server, why: &why, up, down };
            self.tell_connection(one.listener, number_of(key), closed);
        }
        self.closed[why.close_reason().place()] += 1;
        self.release_place(one.listener, one.server);
        let listener = &mut self.listeners[one.listener];
        listener.pairs -= 1;
        listener.associations -= 1;
        if let Some(client) = one.client_id {
            listener.balancer.left(client);
        }
        self.listeners.let_go(one.listener);
        drop(one.stream);
        self.has_given_back = true;
        self.listening.resume();
    }

    /// Gives a place at a server back.
    pub(super) fn release_place(&mut self, at: ListenerKey, place: Place) {
        let listener = &mut self.listeners[at];
        let server = listener.balancer.servers.server(place.id);
        let is_told = server.is_some_and(|server| server.duty != Duty::Enabled);
        let name = if is_told { listener.name_of(place.id) } else { String::new() };
        let emptied = listener.balancer.release(place.id);
        self.tell_emptied(at, place.id, &name, emptied);
    }

    /// Makes room: ends the association that was used least recently, unless it is `keep`. True if one
    /// has ended.
    pub(super) fn end_least_used(&mut self, keep: Option<usize>) -> bool {
        match self.udp.order.oldest() {
            Some(key) if Some(key) != keep => {
                self.end_association(key, End::LeastUsed);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Sees to it that an association is looked at in time.
    pub(super) fn look_later(&mut self, key: usize) {
        let one = &mut self.udp.all[key];
        let next = one.next_look(&self.listeners[one.listener].balancer.settings).map(|(due, _)| due);
        // One that comes too early does no harm, and finds out when the next is due.
        if next.is_some_and(|next| one.due.is_none_or(|due| due > next)) {
            if let Some(due) = std::mem::replace(&mut one.due, next) {
                self.udp.due.remove(&(due, key));
            }
            self.udp.due.extend(next.map(|next| (next, key)));
        }
    }

    /// Looks at those whose time has come.
    pub(in crate::proxy) fn expire_associations(&mut self) {
        let now = self.seen_until;
        while let Some((due, key)) = self.udp.due.first().copied().filter(|(due, _)| *due <= now) {
            self.udp.due.remove(&(due, key));
            let one = &mut self.udp.all[key];
            one.due = None;
            match one.next_look(&self.listeners[one.listener].balancer.settings) {
                Some((due, Look::Unanswered)) if due <= now => self.association_unanswered(key),
                Some((due, Look::Complete)) if due <= now => self.end_association(key, End::Complete),
                Some((due, Look::Idle)) if due <= now => self.end_association(key, End::Idle),
                Some(_) | None => self.look_later(key),
            }
        }
    }

    /// Other limits hold for all of them.
    pub(in crate::proxy) fn look_at_associations(&mut self) {
        self.keys_of_associations().into_iter().for_each(|key| self.look_later(key));
    }

    /// Ends those whose socket is closed: their answers have no way out.
    pub(in crate::proxy) fn end_orphans(&mut self) {
        self.send_answers();
        for key in self.keys_of_associations() {
            if !self.listening.has_datagrams(self.udp.all[key].place) {
                self.end_association(key, End::Orphaned);
            }
        }
    }

    /// Ends all: pen ends.
    pub(in crate::proxy) fn end_associations(&mut self) {
        self.keys_of_associations().into_iter().for_each(|key| self.end_association(key, End::Shutdown));
    }

    fn keys_of_associations(&self) -> Vec<usize> {
        self.udp.all.iter().map(|(key, _)| key).collect()
    }
}
