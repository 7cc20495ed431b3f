//! How pairs end: one way out, and every ending has a name.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use super::pair::{Pair, PairKey, Phase, Side};
use super::timers::TimerKind;
use super::transfers::Tie;
use super::{Proxy, token};
use crate::balance::settings::Fault;
use crate::balance::{Duty, Emptied, ListenerKey, ServerId};
use crate::control::event::{OfConnection, OfServer};
use crate::net::{Net, Stream};

/// How long a client that was sent away may take to go.
const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// How many clients may take that time at once; further ones are just closed.
pub const LEAVING_MAX: usize = 32;

/// How long the last bytes of a connection that must be reset may take to leave.
pub const LAST_BYTES_TIME: Duration = Duration::from_secs(30);

/// Why a pair was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// Both sides said all they had to say.
    Done,
    /// One side reset its connection or vanished.
    Broken,
    /// Nobody may or can serve this client.
    NoServer,
    /// Something was lacking here for too long.
    NoResources,
    /// The client went before a server was found.
    ClientGone,
    /// The client has no header of the PROXY protocol that could be understood, for this reason.
    Header(&'static str),
    /// One side has ended, and `tcp_fastclose` says that this is the end of both.
    FastClose,
    /// Silent for longer than allowed.
    Idle,
    /// One side has ended, and in the other direction nothing moved for longer than allowed.
    HalfClosed,
    /// Bytes waited for this side for longer than allowed, and it took none.
    Stuck(Side),
    /// What its inspector has found, in these words.
    Protocol(&'static str),
    /// Nobody answers where its bytes are to go: a data connection.
    Unreachable,
    /// The control connection of a data connection has gone.
    ControlGone,
    /// The operator wanted this to go wrong.
    Fault(Fault),
    /// The operator said so.
    Operator,
    /// pen ends.
    Shutdown,
}

/// All of them in a word, as metrics name them.
pub const CLOSE_REASONS: [&str; 16] = [
    "done",
    "broken",
    "no_server",
    "no_resources",
    "client_gone",
    "fast_close",
    "idle",
    "half_closed",
    "stuck_client",
    "stuck_server",
    "operator",
    "shutdown",
    "protocol",
    "unreachable",
    "control_gone",
    "fault",
];

impl CloseReason {
    /// Its place in [`CLOSE_REASONS`].
    pub fn place(self) -> usize {
        match self {
            CloseReason::Done => 0,
            CloseReason::Broken => 1,
            CloseReason::NoServer => 2,
            CloseReason::NoResources => 3,
            CloseReason::ClientGone => 4,
            CloseReason::FastClose => 5,
            CloseReason::Idle => 6,
            CloseReason::HalfClosed => 7,
            CloseReason::Stuck(Side::Client) => 8,
            CloseReason::Stuck(Side::Server) => 9,
            CloseReason::Operator => 10,
            CloseReason::Shutdown => 11,
            CloseReason::Header(_) | CloseReason::Protocol(_) => 12,
            CloseReason::Unreachable => 13,
            CloseReason::ControlGone => 14,
            CloseReason::Fault(_) => 15,
        }
    }

    /// It in words.
    pub fn words(self) -> &'static str {
        match self {
            CloseReason::Done => "done",
            CloseReason::Broken => "broken",
            CloseReason::NoServer => "no server",
            CloseReason::NoResources => "out of local resources",
            CloseReason::ClientGone => "client gone",
            CloseReason::Header(why) => why,
            CloseReason::FastClose => "one side has ended",
            CloseReason::Idle => "idle",
            CloseReason::HalfClosed => "half-closed for too long",
            CloseReason::Stuck(Side::Client) => "stuck, the client takes nothing",
            CloseReason::Stuck(Side::Server) => "stuck, the server takes nothing",
            CloseReason::Protocol(why) => why,
            CloseReason::Unreachable => "its other end cannot be reached",
            CloseReason::ControlGone => "its control connection has ended",
            CloseReason::Fault(_) => "by a fault that was asked for",
            CloseReason::Operator => "by the operator",
            CloseReason::Shutdown => "pen ends",
        }
    }
}

/// What a socket's peer is to see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// The end of a complete transfer.
    Fin,
    /// That something is missing.
    Reset,
}

impl<N: Net> Proxy<N> {
    /// Ends a pair: gives back all it holds, and tells why. A client that gets nothing but the
    /// end stays for a while in its farewell.
    pub(super) fn close(&mut self, key: PairKey, why: CloseReason) {
        if !self.transfers.is_empty() {
            self.untie(key, why == CloseReason::Done);
        }
        let pair = &self.pairs[key.0];
        if self.tells_all {
            let (at, server, (up, down)) = (pair.listener, pair.place().map(|place| place.id), pair.sent());
            self.tell_connection(at, key.0, OfConnection::Closed { server, why: why.words(), up, down });
        }
        self.closed[why.place()] += 1;
        let pair = &mut self.pairs[key.0];
        if why == CloseReason::NoServer {
            self.listeners[pair.listener].balancer.unserved += 1;
        }
        let manner = match why {
            CloseReason::NoServer | CloseReason::NoResources | CloseReason::Protocol(_) => None,
            CloseReason::Fault(Fault::Truncate(_)) => None,
            // A connect that is under way may stand by now, and its server take the end for an empty transfer.
            CloseReason::ClientGone if pair.is_broken() => Some(Manner::Reset),
            CloseReason::Done | CloseReason::ClientGone | CloseReason::Header(_) => Some(Manner::Fin),
            CloseReason::Broken | CloseReason::HalfClosed | CloseReason::Stuck(_) => Some(Manner::Reset),
            CloseReason::Unreachable | CloseReason::ControlGone | CloseReason::Fault(_) => Some(Manner::Reset),
            CloseReason::Idle | CloseReason::FastClose | CloseReason::Operator | CloseReason::Shutdown => {
                // The end of a data connection is the end of a file.
                let is_cut = pair.tie != Tie::None || pair.is_cut_short(self.now.moment);
                Some(if is_cut { Manner::Reset } else { Manner::Fin })
            }
        };
        if self.watch.is_on() {
            self.watch_close(key, why, manner == Some(Manner::Reset));
        }
        match (manner, why) {
            (None, _) => return self.say_farewell(key),
            // There is nothing that their peers do not know.
            (Some(Manner::Fin), CloseReason::Done | CloseReason::ClientGone | CloseReason::Header(_)) => {}
            (Some(manner), _) => mark(&mut self.pairs[key.0], manner),
        }
        let before = self.remove(key);
        if let (CloseReason::Done, Phase::Relaying { server, .. }) = (why, before) {
            self.net.retire(server.stream, token(key, Side::Server));
        }
    }

    /// Closes every pair: pen ends.
    pub(super) fn close_all(&mut self) {
        let keys: Vec<PairKey> = self.pairs.iter().map(|(key, _)| PairKey(key)).collect();
        for key in keys {
            // Data connections go with their control connection.
            if self.pairs.contains(key.0) {
                self.close(key, CloseReason::Shutdown);
            }
        }
        self.flush_log();
        self.flush_capture();
    }

    /// Takes a pair out of the slab and gives back what it holds; how far it had come, with the server's
    /// socket.
    pub(super) fn remove(&mut self, key: PairKey) -> Phase<N::Stream> {
        if self.watch.is_on() {
            self.unwatch(key);
        }
        self.faults.forget(key);
        let before = self.enter(key, Phase::Farewell);
        self.leaving -= 1;
        let pair = self.pairs.remove(key.0);
        let listener = &mut self.listeners[pair.listener];
        listener.pairs -= 1;
        if let Some(client) = pair.client_id
            && pair.tie == Tie::None
        {
            listener.balancer.left(client);
        }
        self.listeners.let_go(pair.listener);
        if self.pairs.is_empty() {
            // At rest a pen holds nothing that it can have again.
            self.pool.drop_spare();
            self.give_back_slots();
            self.net.rest();
        }
        self.has_given_back = true;
        self.listening.resume();
        before
    }

    /// Puts a pair into a phase. What it held in the one before is given back, except the place
    /// if the new one has it too. Returns what is left of that.
    pub(super) fn enter(&mut self, key: PairKey, phase: Phase<N::Stream>) -> Phase<N::Stream> {
        self.errands.come();
        let pair = &mut self.pairs[key.0];
        let place = pair.place();
        let listener = &mut self.listeners[pair.listener];
        listener.pending -= usize::from(pair.is_pending());
        self.leaving -= usize::from(pair.is_leaving());
        self.lacking -= usize::from(pair.is_lacking());
        let mut before = std::mem::replace(&mut pair.phase, phase);
        listener.pending += usize::from(pair.is_pending());
        self.leaving += usize::from(pair.is_leaving());
        self.lacking += usize::from(pair.is_lacking());
        pair.timer = None;
        if let Phase::Queued { ticket } = before {
            listener.queued -= 1;
            self.queue.leave(ticket);
        }
        listener.queued += usize::from(matches!(pair.phase, Phase::Queued { .. }));
        if let Phase::Relaying { up, down, .. } = &mut before {
            up.abandon(&mut self.pool);
            down.abandon(&mut self.pool);
        }
        if let Some(place) = place
            && pair.place().is_none_or(|now| now.id != place.id)
        {
            // Only a server that loses its last connection for good is spoken of: a name costs an allocation.
            let at = self.pairs[key.0].listener;
            let server = listener.balancer.servers.server(place.id);
            let is_told = server.is_some_and(|server| server.duty != Duty::Enabled);
            let name = if is_told { listener.name_of(place.id) } else { String::new() };
            let emptied = listener.balancer.release(place.id);
            self.tell_emptied(at, place.id, &name, emptied);
            self.queue.follow();
        }
        before
    }

    /// Tells what an operator waits for: that a server has nobody left.
    pub(super) fn tell_emptied(&mut self, at: ListenerKey, id: ServerId, called: &str, emptied: Emptied) {
        match emptied {
            Emptied::No => {}
            Emptied::Drained => self.tell_server(at, id, OfServer::Drained),
            Emptied::Removed => self.tell_server(at, id, OfServer::Gone { called }),
        }
    }

    /// Sends a FIN and lets the client go by itself: closing with its bytes unread would reset
    /// the connection.
    fn say_farewell(&mut self, key: PairKey) {
        self.enter(key, Phase::Farewell);
        self.pairs[key.0].inspection = None;
        self.faults.forget(key);
        let told = self.pairs[key.0].client.stream.shutdown_write();
        if told.is_err() || self.leaving > LEAVING_MAX {
            drop(self.remove(key));
            return;
        }
        self.arm(key, TimerKind::Farewell, FAREWELL_TIME);
        self.see_off(key);
    }

    /// Discards what a leaving client sends, until it has gone.
    pub(super) fn see_off(&mut self, key: PairKey) {
        let client = &mut self.pairs[key.0].client;
        while client.readable && !client.is_broken {
            match client.stream.read(&mut self.scratch) {
                Ok(0) => client.broke(),
                // One read a turn is plenty for somebody who is not served.
                Ok(_) => return self.queue(key),
                Err(error) if error.kind() == ErrorKind::WouldBlock => client.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => client.broke(),
            }
        }
        if client.is_broken {
            self.remove(key);
        }
    }

    /// The time of a leaving client is over, or the last bytes of a broken pair may have left.
    pub(super) fn farewell_is_over(&mut self, key: PairKey) {
        let pair = &self.pairs[key.0];
        match pair.phase {
            Phase::Farewell => drop(self.remove(key)),
            Phase::Relaying { .. } if self.now.moment.since(pair.last_active()) >= LAST_BYTES_TIME => {
                self.close(key, CloseReason::Broken);
            }
            Phase::Relaying { .. } => self.relay(key),
            Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } | Phase::Connecting { .. } => {}
        }
    }
}

/// Makes dropping the ends of a pair look as it must to their peers.
fn mark<S: Stream>(pair: &mut Pair<S>, manner: Manner) {
    let server = match &mut pair.phase {
        Phase::Relaying { server, .. } | Phase::Connecting { server, .. } => Some(server),
        Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. } | Phase::Farewell => None,
    };
    for end in [Some(&mut pair.client), server].into_iter().flatten() {
        // Where this fails the kernel ends the connection in its own way.
        let _ = match manner {
            Manner::Fin => end.stream.shutdown_write(),
            Manner::Reset => end.stream.reset_on_drop(),
        };
    }
}
