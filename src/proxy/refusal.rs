//! Clients that are sent away for what is no fault of a server: what the operator hears of them.
//!
//! Those who send many are not to fill the log, so at most one line is said every ten seconds.

use std::io;
use std::time::Duration;

use super::Proxy;
use super::arrival::client_of;
use super::pair::{PairKey, Place};
use crate::balance::{ListenerKey, Over, ServerId};
use crate::base::addr::{Endpoint, Source};
use crate::base::diag::Severity;
use crate::base::error::reason;
use crate::base::time::Moment;
use crate::control::event::{OfProcess, What};
use crate::net::Net;

/// How long nothing more is said after a line.
const SILENCE: Duration = Duration::from_secs(10);

/// What was said of clients that were refused.
#[derive(Debug, Default)]
pub struct Refusing {
    silent_until: Option<Moment>,
    /// Refusals of which nothing was said.
    unsaid: u64,
    /// Servers of whose source it was said that it is not there.
    without_source: Vec<(ListenerKey, ServerId, Option<Source>)>,
}

impl<N: Net> Proxy<N> {
    /// Says that a client has reached a limit, unless that was said a moment ago.
    pub(super) fn tell_over(&mut self, at: ListenerKey, from: &Endpoint, over: Over) {
        let settings = &self.listeners[at].balancer.settings;
        let what = match over {
            Over::Connections => format!("it has {} connections already", settings.client_max),
            Over::Rate => match settings.client_rate {
                Some(rate) => format!("more than {} connections in {} s", rate.count, rate.seconds),
                None => String::from("too many connections"),
            },
        };
        self.tell_refused(at, "client", from, &what);
    }

    /// Says that servers cannot see the clients' own addresses, if that is why a connect failed.
    pub(super) fn tell_foreign(&mut self, key: PairKey, source: Option<Source>, error: &io::Error) {
        let is_foreign = source.is_some_and(|source| source.is_foreign);
        if is_foreign && error.kind() == io::ErrorKind::PermissionDenied {
            let (at, from) = (self.pairs[key.0].listener, client_of(&self.pairs[key.0]));
            let why = "transparent needs the capability CAP_NET_RAW or CAP_NET_ADMIN";
            self.tell_refused(at, "client", &from, why);
        }
    }

    /// Says that a server's source is not there, if that is why it failed, and once while it is so. True then: it
    /// is passed over, and not to blame.
    pub(super) fn lacks_source(&mut self, at: ListenerKey, id: ServerId, error: &io::Error) -> bool {
        if error.kind() != io::ErrorKind::AddrNotAvailable || self.net.is_lack(error) {
            return false;
        }
        let known = (at, id, self.listeners[at].balancer.own_source(id));
        if !self.refusing.without_source.contains(&known) {
            self.has_source(at, id);
            self.refusing.without_source.push(known);
            let text = format!("{}: {}", self.listeners[at].name_of(id), reason(error));
            self.say(Severity::Warning, &text);
        }
        true
    }

    /// The source of a server is there, or it has none.
    pub(super) fn has_source(&mut self, at: ListenerKey, id: ServerId) {
        self.refusing.without_source.retain(|(of, which, _)| (*of, *which) != (at, id));
    }

    /// Says what may be wrong if a server did not answer to a client's own address.
    pub(super) fn tell_unanswered(&mut self, key: PairKey, id: ServerId, error: &io::Error) {
        let pair = &self.pairs[key.0];
        let at = pair.listener;
        let balancer = &self.listeners[at].balancer;
        let source = pair.to.as_ref().and_then(|to| balancer.source_for(id, to, pair.search.from()));
        if source.is_some_and(|source| source.is_foreign) && error.kind() == io::ErrorKind::TimedOut {
            let from = client_of(pair);
            let why = "no answer to its address; do such answers come back to pen? pen -n tells the rules";
            self.tell_refused(at, "client", &from, why);
        }
    }

    /// Says what was lacking here for so long that a client cannot be served.
    pub(super) fn tell_lack(&mut self, key: PairKey, place: Place, error: &io::Error) {
        let pair = &self.pairs[key.0];
        let at = pair.listener;
        let balancer = &self.listeners[at].balancer;
        let endpoints = balancer.servers.server(place.id).map(|server| &server.endpoints);
        let to = endpoints.and_then(|endpoints| endpoints.get(usize::from(place.address)));
        let source = to.and_then(|to| balancer.source_for(place.id, to, pair.search.from()));
        let by = source.map_or_else(String::new, |source| format!(" from {}", source.ip));
        let server = self.listeners[at].name_of(place.id);
        let why = format!("cannot connect to {server}{by}: {}", reason(error));
        let from = client_of(pair);
        self.tell_refused(at, "client", &from, &why);
    }

    /// Says that somebody is refused, unless that was said of somebody a moment ago.
    pub(super) fn tell_refused(&mut self, at: ListenerKey, who: &str, from: &Endpoint, why: &str) {
        if self.refusing.silent_until.is_some_and(|until| self.now.moment < until) {
            self.refusing.unsaid += 1;
            return;
        }
        self.refusing.silent_until = Some(self.now.moment + SILENCE);
        let unsaid = std::mem::take(&mut self.refusing.unsaid);
        let refused = OfProcess::ClientRefused { who, from, why, more: unsaid };
        self.happened(Some(at), &What::Process(refused));
    }
}
