//! Connections that are opened ahead: which server gets the next one, and the places they hold.
//!
//! An idler holds a place like any other connection, so that a limit is never exceeded; but a
//! client never goes without for its sake, as the idler's place is the client's to take.

use super::{Balancer, Duty, Emptied, Server, ServerId, servers};
use crate::base::time::Moment;

impl Balancer {
    /// The regular server that gets the next idler, with a place claimed: the one with the fewest
    /// for its weight, among those with the best priority if that counts. `may` tells for an index
    /// whether it may have one now. `None` if no server may.
    pub fn next_idler(&mut self, moment: Moment, may: impl Fn(usize) -> bool) -> Option<ServerId> {
        let is_open = |server: &Server| {
            server.duty == Duty::Enabled
                && !server.is_unresolved()
                && !server.is_blacklisted(moment)
                && (server.max == 0 || server.connections < server.max)
        };
        let open = || self.servers.iter().filter_map(|(id, server)| Some((id.index()?, server)));
        // Whose address a transparent connection is to come from is not known yet.
        let fits = |index: usize| may(index) && !self.is_transparent(servers::regular(index));
        let open = || open().filter(|(index, server)| fits(*index) && is_open(server));
        let best = self.settings.modes.prio.then(|| open().map(|(_, server)| server.prio).min()).flatten();
        let among = open().filter(|(_, server)| best.is_none_or(|prio| server.prio == prio));
        let weight = |server: &Server| u64::from(server.weight.max(1));
        let (index, _) = among.min_by(|(_, one), (_, other)| {
            let ahead = |this: &Server, that: &Server| (u64::from(this.idlers) + 1) * weight(that);
            ahead(one, other).cmp(&ahead(other, one))
        })?;
        let id = servers::regular(index);
        let mut server = self.servers.server_mut(id)?;
        server.connections += 1;
        server.idlers += 1;
        self.claimed += 1;
        Some(id)
    }

    /// An idler is connected, and can be used. True if the server had failed before.
    pub fn idler_connected(&mut self, id: ServerId) -> bool {
        self.idlers_ready += 1;
        self.servers.server_mut(id).is_some_and(|mut server| std::mem::take(&mut server.failing))
    }

    /// A client has taken over a connected idler, and has claimed a place of its own.
    pub fn idler_used(&mut self, id: ServerId) {
        self.idler_gone(id, true);
    }

    /// An idler is no more; its place is given back. `was_ready` if it was connected.
    pub fn idler_gone(&mut self, id: ServerId, was_ready: bool) -> Emptied {
        self.idlers_ready -= usize::from(was_ready);
        if let Some(mut server) = self.servers.server_mut(id) {
            server.idlers = server.idlers.checked_sub(1).expect("an idler goes once");
        }
        self.release(id)
    }

    /// Whether a client that has just claimed a place has gone over the limit at the expense of an
    /// idler, which is to go.
    pub fn is_crowded(&self, id: ServerId) -> bool {
        let server = self.servers.server(id);
        server.is_some_and(|server| server.max > 0 && server.connections > server.max && server.idlers > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Settings;
    use crate::base::addr::ClientAddr;
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Now;

    const NOW: Moment = Moment::from_nanos(1_000_000_000_000);

    fn balancer(servers: &[&str]) -> Balancer {
        let mut balancer = Balancer::new(Settings::default());
        for (index, text) in (0..).zip(servers) {
            let spec = ServerSpec::parse(text, &Services::default()).unwrap();
            balancer.servers.set(ServerId::Regular(index), Server::new(&spec, 80)).unwrap();
        }
        balancer
    }

    fn next(balancer: &mut Balancer) -> Option<u32> {
        match balancer.next_idler(NOW, |_| true)? {
            ServerId::Regular(index) => Some(index),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn idlers_are_spread_by_weight_over_servers_that_may_have_clients() {
        let mut balancer = balancer(&["192.0.2.0", "192.0.2.1:80:0:0:3", "192.0.2.2", "192.0.2.3:80:2", "host4"]);
        balancer.servers.server_mut(ServerId::Regular(2)).unwrap().duty = Duty::Draining;
        let got: Vec<_> = (0..10).filter_map(|_| next(&mut balancer)).collect();
        let count = |index: u32| got.iter().filter(|one| **one == index).count();
        assert_eq!([0, 1, 2, 3, 4].map(count), [2, 6, 0, 2, 0], "{got:?}");
        let only = balancer.next_idler(NOW, |index| index == 3);
        assert_eq!(only, None, "its two places are taken");
        balancer.check();
    }

    #[test]
    fn with_priorities_only_the_best_that_is_there_gets_any() {
        let mut balancer = balancer(&["192.0.2.0:80:0:0:0:2", "192.0.2.1:80:0:0:0:1", "192.0.2.2:80:0:0:0:1"]);
        balancer.settings.modes.prio = true;
        assert_eq!([(); 4].map(|()| next(&mut balancer)), [1, 2, 1, 2].map(Some));
        for index in [1, 2] {
            let mut server = balancer.servers.server_mut(ServerId::Regular(index)).unwrap();
            server.blacklisted_until = Some(NOW + std::time::Duration::from_secs(1));
        }
        assert_eq!(next(&mut balancer), Some(0));
    }

    #[test]
    fn a_client_has_the_place_of_an_idler_and_the_limit_holds() {
        let mut balancer = balancer(&["192.0.2.0:80:2"]);
        let now = Now { moment: NOW, unix: 0 };
        assert_eq!([(); 3].map(|()| next(&mut balancer)), [Some(0), Some(0), None]);
        let id = ServerId::Regular(0);
        for _ in 0..2 {
            let mut search = balancer.admit(ClientAddr::Unix, 0, now).search;
            assert_eq!(balancer.next_server(&mut search, now), Some(id));
            assert!(balancer.is_crowded(id));
            balancer.idler_connected(id);
            balancer.idler_used(id);
            assert!(!balancer.is_crowded(id));
            balancer.check();
        }
        let mut search = balancer.admit(ClientAddr::Unix, 0, now).search;
        assert_eq!(balancer.next_server(&mut search, now), None, "two clients are there, and no idler");
    }
}
