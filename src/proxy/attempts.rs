//! How connections begin, as a capture shows it: with a handshake, or with a connect that fails.
//!
//! Of those that fail nothing is kept: they belong to no connection that goes on.

use std::io::{Error, ErrorKind};

use super::Proxy;
use super::capture::addresses;
use super::pair::{self, PairKey, Phase};
use crate::base::addr::Endpoint;
use crate::net::{Net, Stream};
use crate::trace::segments::Side;

impl<N: Net> Proxy<N> {
    /// A connection of a pair was made just now.
    pub(super) fn watch_connection(&mut self, key: PairKey, side: pair::Side) {
        let side = match side {
            pair::Side::Client => Side::Client,
            pair::Side::Server => Side::Server,
        };
        if !self.watch.is_capturing() {
            return;
        }
        let pair = &self.pairs[key.0];
        let addresses = match (side, &pair.phase) {
            (Side::Client, _) => addresses(&pair.client.stream),
            (Side::Server, Phase::Relaying { server, .. }) => addresses(&server.stream),
            (Side::Server, Phase::Arriving { .. } | Phase::Queued { .. } | Phase::Searching { .. }) => None,
            (Side::Server, Phase::Connecting { .. } | Phase::Farewell) => None,
        };
        self.watch.record(&mut self.net, self.now, |capture, at, _| {
            capture.recorder.open(&mut capture.unit, at, key.0, side, addresses.as_ref(), true);
        });
    }

    /// The connect of a pair has failed.
    pub(super) fn watch_failed_connect(&mut self, key: PairKey, error: &Error) {
        if !self.watch.is_capturing() {
            return;
        }
        let pair = &self.pairs[key.0];
        let Phase::Connecting { server, .. } = &pair.phase else { return };
        let Some(to) = pair.to.clone() else { return };
        let from = server.stream.local().ok();
        self.watch_attempt(&to, from, error);
    }

    /// A connect to an address has failed, perhaps before it had an address here.
    pub(super) fn watch_attempt(&mut self, to: &Endpoint, from: Option<Endpoint>, error: &Error) {
        let inet = |at: &Endpoint| if let Endpoint::Inet(addr) = at { Some(*addr) } else { None };
        let (peer, pen) = (inet(to), from.as_ref().and_then(inet));
        let is_refused = error.kind() == ErrorKind::ConnectionRefused;
        self.watch.record(&mut self.net, self.now, |capture, at, _| {
            capture.recorder.attempt(&mut capture.unit, at, peer, pen, is_refused);
        });
    }
}
