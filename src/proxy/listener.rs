//! Clients come: from the listener's queue into the slab, and to a search for a server.

use std::io;
use std::time::Duration;

use super::pair::{End, Pair, PairKey, Phase, Side};
use super::{Proxy, token};
use crate::base::addr::Endpoint;
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::time::Moment;
use crate::net::Net;

/// How long to leave the listener alone when something is lacking to accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The listener, and whether clients may wait there.
#[derive(Debug)]
pub struct Listening<N: Net> {
    /// `None` once nobody is let in any more.
    socket: Option<N::Listener>,
    /// The address as it was written; empty then.
    written: String,
    /// An edge came, and no `WouldBlock` since.
    is_ready: bool,
    paused_until: Option<Moment>,
    /// The operator was told why clients wait.
    has_told: bool,
}

impl<N: Net> Listening<N> {
    /// A listener that was just opened: nobody can tell yet whether somebody waits.
    pub fn new(socket: N::Listener, written: String) -> Listening<N> {
        Listening { socket: Some(socket), written, is_ready: true, paused_until: None, has_told: false }
    }

    /// Somebody came.
    pub fn edge(&mut self) {
        self.is_ready = true;
    }

    /// When accepting goes on after something was lacking.
    pub fn paused_until(&self) -> Option<Moment> {
        self.paused_until
    }

    /// Accepting goes on: something was given back.
    pub fn resume(&mut self) {
        self.paused_until = None;
    }

    /// The address as it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The socket, while it is open.
    pub fn socket(&self) -> Option<&N::Listener> {
        self.socket.as_ref()
    }

    /// Lets nobody in any more; the socket is the caller's to close.
    pub fn close(&mut self) -> Option<N::Listener> {
        self.is_ready = false;
        self.paused_until = None;
        self.written.clear();
        self.socket.take()
    }

    /// Takes another socket in place of this one, which is closed.
    pub fn replace(&mut self, socket: N::Listener, written: String) {
        *self = Listening::new(socket, written);
    }
}

impl<N: Net> Proxy<N> {
    /// True if a client may be waiting and there is room for one.
    pub(super) fn may_accept(&self) -> bool {
        let settings = &self.balancer.settings;
        self.listening.socket.is_some()
            && self.listening.is_ready
            && self.listening.paused_until.is_none()
            && self.pairs.len() - self.leaving < settings.conn_max
            && self.pending < settings.pending_max
    }

    /// Accepts as many clients as there is room for, and as one turn takes.
    pub(super) fn accept(&mut self) {
        if self.listening.paused_until.is_some_and(|until| until <= self.now.moment) {
            self.listening.resume();
        }
        for _ in 0..self.balancer.settings.multi_accept {
            if !self.may_accept() {
                return;
            }
            if !self.has_slot() {
                return self.pause_accepting(&io::ErrorKind::OutOfMemory.into());
            }
            let Some(socket) = &mut self.listening.socket else { return };
            match self.net.accept(socket) {
                Ok((stream, from)) => self.open(stream, from),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        // Nobody waits any more: the next time is news again.
                        self.listening.is_ready = false;
                        self.listening.has_told = false;
                    }
                    _ if self.net.is_lack(&error) => self.pause_accepting(&error),
                    // This client is gone already (accept(2)); the next may be there.
                    _ => {}
                },
            }
        }
    }

    /// Something is lacking to accept: clients wait in the kernel's queue.
    fn pause_accepting(&mut self, error: &io::Error) {
        self.listening.paused_until = Some(self.now.moment + ACCEPT_PAUSE);
        if !std::mem::replace(&mut self.listening.has_told, true) {
            let text = format!("cannot accept: {}; clients wait", reason(error));
            self.say(Severity::Warning, &text);
        }
    }

    /// A client is here: finds it a server.
    fn open(&mut self, stream: N::Stream, from: Endpoint) {
        let admission = self.balancer.admit(from.client(), from.port().unwrap_or(0), self.now);
        if let Some(over) = admission.over {
            self.tell_over(&from, over);
        }
        let slot = self.pairs.vacant_entry();
        let key = PairKey(slot.key());
        slot.insert(Pair {
            client: End::client(stream),
            to: None,
            client_id: admission.client,
            search: admission.search,
            phase: Phase::Searching { place: None, until: self.now.moment },
            timer: None,
            moved: [self.now.moment; 2],
            is_queued: false,
        });
        self.pending += 1;
        if self.tells_events() {
            let refused = if admission.refused { ", which the client list refuses" } else { "" };
            let text = format!("connection {}: accepted {from}{refused}", key.0);
            self.say(Severity::Debug, &text);
        }
        let watched = self.net.watch(&mut self.pairs[key.0].client.stream, token(key, Side::Client));
        match watched {
            Ok(()) => self.connect(key),
            Err(error) => {
                let text = format!("connection {}: cannot watch the client: {}", key.0, reason(&error));
                self.say(Severity::Warning, &text);
                self.remove(key);
            }
        }
    }
}
