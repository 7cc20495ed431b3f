//! What commands can change, kept so that a file of them can be undone.

use crate::balance::{Acls, Balancer, Common, Listener, ListenerKey, Listeners, Servers, Settings};

/// What commands can change, to have it back.
#[derive(Debug)]
pub struct Snapshot {
    common: Common,
    listeners: Vec<(ListenerKey, Settings, Servers, Acls)>,
}

impl Snapshot {
    /// All as it is.
    pub fn of(listeners: &Listeners) -> Snapshot {
        let kept = |(at, listener): (_, &Listener)| {
            let Balancer { settings, servers, acls, .. } = &listener.balancer;
            (at, settings.clone(), servers.clone(), acls.clone())
        };
        Snapshot { common: listeners.common.clone(), listeners: listeners.iter().map(kept).collect() }
    }

    /// Makes all what it was. Nobody may have come or gone since.
    pub fn restore(self, listeners: &mut Listeners) {
        listeners.common = self.common;
        // Also those that were removed again at once. What was removed before stays for its pairs.
        let now: Vec<ListenerKey> = listeners.all().map(|(at, _)| at).collect();
        for new in now.into_iter().filter(|at| self.listeners.iter().all(|(old, ..)| old != at)) {
            listeners.remove(new);
            listeners.let_go(new);
        }
        for (at, settings, servers, acls) in self.listeners {
            listeners.bring_back(at);
            let balancer = &mut listeners[at].balancer;
            (balancer.settings, balancer.servers, balancer.acls) = (settings, servers, acls);
        }
    }
}
