//! Who hears of what happens: the operator at stderr or syslog, those who have subscribed, and
//! those who look later.
//!
//! Events of single connections are made only where somebody hears of them, which costs everybody
//! else one compare.

use super::Proxy;
use super::feed::Feed;
use crate::balance::ListenerKey;
use crate::base::diag::Severity;
use crate::control::event::{OfConnection, OfProcess, OfServer, What};
use crate::control::line::Line;
use crate::control::recent::{Happened, Recent};
use crate::control::subscription::{Subscription, Topic};
use crate::net::Net;

impl<N: Net> Proxy<N> {
    /// True if somebody hears of events of connections.
    #[inline]
    pub(super) fn tells_events(&self) -> bool {
        self.tells_all
    }

    /// Finds out whether somebody hears of events of connections: the debug level has changed, or who
    /// is at the control port.
    pub(super) fn note_listeners(&mut self) {
        let wants = |topic: &Topic| match topic {
            Topic::Events(_) => true,
            Topic::Trace(_) => false,
        };
        self.tells_all = self.listeners.common.debug > 0 || self.control.topics().any(wants);
    }

    /// Tells what happens to a connection; the caller has asked [`Proxy::tells_events`].
    pub(super) fn tell_connection(&mut self, at: ListenerKey, number: usize, what: OfConnection<'_>) {
        self.happened(Some(at), &What::Connection(number, what));
    }

    /// Tells what happens to a server.
    pub(super) fn tell_server(&mut self, at: ListenerKey, id: crate::balance::ServerId, what: OfServer<'_>) {
        self.happened(Some(at), &What::Server(id, what));
    }

    /// Tells what happens to the process.
    pub(super) fn tell_process(&mut self, what: OfProcess<'_>) {
        self.happened(None, &What::Process(what));
    }

    /// Says something that an operator should know.
    pub(super) fn say(&mut self, severity: Severity, text: &str) {
        self.tell_process(OfProcess::Said { severity, text });
    }

    /// Tells what has happened, at this listener if it is about one.
    pub(super) fn happened(&mut self, at: Option<ListenerKey>, what: &What<'_>) {
        let listener = at.filter(|at| self.listeners.contains(*at)).map(|at| &self.listeners[at]);
        let severity = what.severity();
        let is_notable = severity < Severity::Debug;
        if is_notable || self.listeners.common.debug > 0 {
            let text = what.sentence(listener);
            self.net.say(severity, &text);
            if is_notable {
                let listener = listener.map(|listener| listener.name.clone());
                self.recent.add(Happened { unix: self.now.unix, severity, name: what.name(), listener, text });
            }
        }
        if self.control.has_feeds() {
            let line = what.line(self.now.unix, listener);
            let (class, name) = (what.class(), listener.map(|listener| listener.name.as_str()));
            let wants = |topic: &Topic| match topic {
                Topic::Events(interest) => interest.wants(class, name),
                Topic::Trace(_) => false,
            };
            self.control.offer(wants, line.as_bytes(), self.now);
        }
    }

    /// The events of late.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// The feed of somebody who subscribes. It begins with a line that says whose events these are.
    pub(super) fn new_feed(&self, subscription: Subscription) -> Feed {
        let mut first = Line::begin(self.now.unix, "subscribed");
        first.put("pen", &env!("CARGO_PKG_VERSION"));
        first.put("pid", &self.control.pid);
        Feed::new(subscription, &first.end(), self.now)
    }
}
