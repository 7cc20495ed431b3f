//! The balancer: which client may come, which server it gets, and what is remembered of both.
//!
//! Only decisions: no I/O, no clock. A place at a server is claimed by [`Balancer::next_server`]
//! and must be given back by [`Balancer::release`], whatever becomes of the connect; so limits
//! hold exactly however many connects are under way.

pub mod acl;
pub mod clients;
pub mod counts;
mod duty;
pub mod health;
pub mod idlers;
pub mod legacy;
pub mod limits;
pub mod listeners;
pub mod routes;
mod server_id;
pub mod servers;
pub mod settings;
pub mod sources;
pub mod stands;
pub mod trusted;
mod view;
mod waiting;

use std::net::IpAddr;

use crate::base::addr::ClientAddr;
use crate::base::time::{Moment, Now};
use crate::select::{Kind, Selectors, Stage};

pub use crate::select::Search;
pub use acl::Acls;
pub use clients::{Client, ClientId, Clients};
pub use counts::{Failure, Traffic};
pub use health::{Health, OwnCheck};
pub use limits::{Over, Refusals};
pub use listeners::{Dropped, Listener, ListenerKey, Listeners, MAIN};
pub use servers::{Duty, Server, ServerId, Servers};
pub use settings::{Common, Modes, Settings};
use stands::Stand;
use view::{Choice, View};

/// What became of a client that came.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Its place in the client table; `None` for one that was refused.
    pub client: Option<ClientId>,
    /// Its walk through the servers, for [`Balancer::next_server`].
    pub search: Search,
    /// Whether the access list refused it: only the abuse server may serve it.
    pub refused: bool,
    /// The limit that it has reached: nobody may serve it.
    pub over: Option<Over>,
}

/// What became of a server that a place was given back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Emptied {
    /// It goes on.
    No,
    /// It drains, and that was its last connection.
    Drained,
    /// It was to leave, that was its last connection, and it is no longer in the table.
    Removed,
}

/// All that is decided about clients and servers.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// The settings.
    pub settings: Settings,
    /// The servers.
    pub servers: Servers,
    /// The clients. [`Clients::resize`] makes a change of `settings.clients_max` count.
    pub clients: Clients,
    /// The access lists.
    pub acls: Acls,
    selectors: Selectors,
    /// Places claimed and not yet given back, of all servers.
    claimed: u64,
    /// The regular server that was connected to last.
    current: u32,
    /// How many clients were refused, for each reason.
    pub refusals: Refusals,
    /// Idlers that are connected, of all servers.
    pub idlers_ready: usize,
    /// What was carried; clients that were refused count as begun, too.
    pub traffic: Traffic,
    /// Clients that no server could serve.
    pub unserved: u64,
}

impl Balancer {
    /// A balancer without servers.
    pub fn new(settings: Settings) -> Balancer {
        let clients = Clients::new(settings.clients_max);
        Balancer {
            settings,
            servers: Servers::default(),
            clients,
            acls: Acls::default(),
            selectors: Selectors::default(),
            claimed: 0,
            current: 0,
            refusals: Refusals::default(),
            idlers_ready: 0,
            traffic: Traffic::default(),
            unserved: 0,
        }
    }

    /// Lets what is chosen at random follow from a seed.
    pub fn seed(&mut self, seed: u64) {
        self.selectors.seed(seed);
    }

    /// Counts of clients what there are limits for, and tells them apart as the settings say.
    pub fn follow_settings(&mut self) {
        let Settings { client_max, client_rate, client_ipv6, .. } = self.settings;
        self.clients.count_usage(client_max > 0 || client_rate.is_some());
        self.clients.tell_apart_by(client_ipv6);
    }

    /// A client came. One that the access list refuses leaves no trace in the client table, so
    /// that it cannot drive others out.
    pub fn admit(&mut self, from: ClientAddr, port: u16, now: Now) -> Admission {
        let from = canonical(from);
        self.traffic.begun += 1;
        if !self.acls.check(self.settings.client_acl, from) {
            let search = Search::new(from, port, None, Stage::Refused);
            self.refusals.by_list += 1;
            return Admission { client: None, search, refused: true, over: None };
        }
        let id = self.clients.admit(from, now.moment, self.settings.tracking);
        let over = self.clients.begin(id, &self.settings, now.moment);
        self.refusals.count(over);
        let stage = if over.is_some() { Stage::Ended } else { Stage::First };
        let tracked = self.clients.client(id).and_then(Client::server);
        Admission { client: Some(id), search: Search::new(from, port, tracked, stage), refused: false, over }
    }

    /// A connection of a client that was admitted, refused or not, is over.
    pub fn left(&mut self, client: ClientId) {
        self.clients.end(client);
    }

    /// The next server to try, with a place claimed; `None` if there is none left.
    pub fn next_server(&mut self, search: &mut Search, now: Now) -> Option<ServerId> {
        let id = self.choose(search, now.moment)?;
        let mut server = self.servers.server_mut(id).expect("only servers of the table are chosen");
        server.connections += 1;
        self.claimed += 1;
        Some(id)
    }

    /// Claims one more place at a server where the same client has one already, whatever its limits.
    pub fn claim(&mut self, id: ServerId) {
        let mut server = self.servers.server_mut(id).expect("a server with places in use stays in the table");
        server.connections += 1;
        self.claimed += 1;
    }

    fn choose(&mut self, search: &mut Search, moment: Moment) -> Option<ServerId> {
        let stubborn = self.settings.modes.stubborn;
        match search.stage() {
            Stage::Ended => None,
            Stage::Refused => self.choose_special(ServerId::Abuse, search, moment),
            Stage::First if stubborn => self.choose_stubbornly(search, moment),
            Stage::Walking if stubborn => None,
            Stage::First | Stage::Walking => match self.choose_regular(search, moment, Choice::Available) {
                Some(index) => {
                    search.note_tried(index);
                    search.enter(Stage::Walking);
                    Some(servers::regular(index))
                }
                None => self.choose_special(ServerId::Emergency, search, moment),
            },
        }
    }

    fn choose_special(&self, id: ServerId, search: &mut Search, moment: Moment) -> Option<ServerId> {
        search.enter(Stage::Ended);
        let server = self.servers.server(id)?;
        self.view(search, moment, Choice::Available).is_available(server, false).then_some(id)
    }

    /// The client's own server and the one that its hash points at are the choice whether or not
    /// they are available; turns, weights and priorities are compared among those that are.
    fn choose_stubbornly(&mut self, search: &mut Search, moment: Moment) -> Option<ServerId> {
        let index = self.choose_regular(search, moment, Choice::Any)?;
        search.enter(Stage::Ended);
        let server = self.servers.regular(index)?;
        let view = self.view(search, moment, Choice::Available);
        view.is_available(server, search.tracked() == Some(index)).then(|| servers::regular(index))
    }

    fn choose_regular(&mut self, search: &Search, moment: Moment, choice: Choice) -> Option<usize> {
        let modes = self.settings.modes;
        let kind = match () {
            () if modes.prio => Kind::Prio,
            () if modes.weight => Kind::Weight,
            () if modes.least => Kind::Least,
            () if modes.p2c => Kind::TwoChoices,
            () if modes.hash => Kind::Hash { with_port: modes.roundrobin },
            () => Kind::RoundRobin,
        };
        let (servers, acls, settings) = (&self.servers, &self.acls, &self.settings);
        let view = View { servers, stands: servers.stands(), acls, settings, search, moment, choice };
        if !modes.roundrobin
            && !modes.hash
            && let Some(index) = self.selectors.pick(Kind::Tracked, search, &view)
        {
            return Some(index);
        }
        // Only a hash points at one server in particular; the others compare those who are there.
        let choice = if matches!(kind, Kind::Hash { .. }) { choice } else { Choice::Available };
        self.selectors.pick(kind, search, &View { choice, ..view })
    }

    fn view<'a>(&'a self, search: &'a Search, moment: Moment, choice: Choice) -> View<'a> {
        let (servers, acls, settings) = (&self.servers, &self.acls, &self.settings);
        View { servers, stands: servers.stands(), acls, settings, search, moment, choice }
    }

    /// A connect was made. The client is remembered with its server, if that is a regular one. True if
    /// the server had failed before.
    pub fn connected(&mut self, id: ServerId, client: Option<ClientId>, now: Now) -> bool {
        self.sent_to(id, client, now);
        self.answered(id)
    }

    /// A client's datagrams go to this server from now on, and it is remembered with it if that is a
    /// regular one. Whether the server is there nobody knows yet.
    pub fn sent_to(&mut self, id: ServerId, client: Option<ClientId>, now: Now) {
        if let Some(mut server) = self.servers.server_mut(id) {
            server.counts.connects += 1;
        }
        let ServerId::Regular(index) = id else { return };
        self.current = index;
        if let Some(client) = client {
            self.clients.remember(client, index as usize, now.moment);
        }
    }

    /// The index of the regular server that was connected to last; 0 if there was none.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// A connect failed by the server's fault: it was refused, or took too long. The server is
    /// left out for a while. True if that is news, so that it is said once. The place is still
    /// to be given back.
    pub fn failed(&mut self, id: ServerId, now: Now) -> bool {
        let time = self.settings.blacklist;
        let Some(mut server) = self.servers.server_mut(id) else { return false };
        let was_failing = std::mem::replace(&mut server.failing, true);
        server.failed_at = now.unix;
        if time.is_zero() {
            return !was_failing;
        }
        let was_blacklisted = server.is_blacklisted(now.moment);
        // An operator may have left it out for longer.
        server.blacklisted_until = server.blacklisted_until.max(Some(now.moment + time));
        !was_blacklisted
    }

    /// Gives a place back.
    pub fn release(&mut self, id: ServerId) -> Emptied {
        let mut server = self.servers.server_mut(id).expect("a server with places in use stays in the table");
        server.connections = server.connections.checked_sub(1).expect("a place is given back once");
        let (duty, is_empty) = (server.duty, server.connections == 0);
        drop(server);
        self.claimed -= 1;
        match duty {
            Duty::Draining if is_empty => Emptied::Drained,
            Duty::Leaving if is_empty => {
                self.servers.remove(id);
                Emptied::Removed
            }
            Duty::Enabled | Duty::Draining | Duty::Disabled | Duty::Leaving => Emptied::No,
        }
    }

    /// Takes a server out of the table: at once if nobody is connected to it, and else when the last
    /// connection has ended. How many there are.
    pub fn remove_server(&mut self, id: ServerId) -> u32 {
        let Some(mut server) = self.servers.server_mut(id) else { return 0 };
        let clients = server.clients();
        let is_empty = server.connections == 0;
        server.duty = Duty::Leaving;
        // Another may have the name now.
        server.name = None;
        drop(server);
        if is_empty {
            self.servers.remove(id);
        }
        clients
    }

    /// Counts bytes that went to the server (`up`) and came from it (`down`).
    #[inline]
    pub fn account(&mut self, id: ServerId, client: Option<ClientId>, up: u64, down: u64) {
        self.traffic = self.traffic.and(Traffic { begun: 0, up, down });
        self.servers.account(id, up, down);
        if let Some(client) = client {
            self.clients.account(client, down, up);
        }
    }

    /// Places that were claimed and not yet given back.
    pub fn claimed(&self) -> u64 {
        self.claimed
    }

    /// Panics if places were lost or given back twice. Cheap enough for every turn.
    pub fn check(&self) {
        let in_use: u64 = self.servers.all().map(|(_, server)| u64::from(server.connections)).sum();
        assert_eq!(in_use, self.claimed, "every place in use was claimed, and every other one given back");
        assert!(self.clients.len() <= self.clients.max(), "there are no more clients than there may be");
        let stand = |index| self.servers.regular(index).map(Stand::of).unwrap_or_default();
        let stands = (0..self.servers.len()).map(stand);
        assert!(stands.eq(self.servers.stands().iter().copied()), "selectors see the servers as they are");
    }
}

/// An IPv4-mapped client counts as IPv4, wherever it comes in.
fn canonical(from: ClientAddr) -> ClientAddr {
    match from {
        ClientAddr::Inet(IpAddr::V6(ip)) => ClientAddr::Inet(ip.to_canonical()),
        ClientAddr::Inet(IpAddr::V4(_)) | ClientAddr::Unix => from,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::operand::{Host, ServerSpec, Services};
    use crate::select::Selector;
    use crate::select::hash::Hash;
    use crate::select::testing::{PLAIN, Random, Stand};

    fn at(seconds: u64) -> Now {
        Now { moment: Moment::default() + Duration::from_secs(seconds), unix: 1_000_000 + seconds }
    }

    fn client(n: u32) -> ClientAddr {
        ClientAddr::Inet(IpAddr::from((0x0a00_0000 + n).to_be_bytes()))
    }

    fn server(text: &str) -> Server {
        Server::new(&ServerSpec::parse(text, &Services::default()).unwrap(), 80)
    }

    fn balancer(servers: &[&str]) -> Balancer {
        let mut balancer = Balancer::new(Settings::default());
        for (index, text) in servers.iter().enumerate() {
            balancer.servers.set(ServerId::Regular(index as u32), server(text)).unwrap();
        }
        balancer
    }

    fn several(count: usize) -> Balancer {
        balancer(&vec!["192.0.2.1"; count])
    }

    const R: fn(u32) -> ServerId = ServerId::Regular;

    impl Balancer {
        /// A client comes, and its walk goes on until a server that is not among `dead` takes it.
        /// Its place stays in use. Dead servers refuse, and are blacklisted.
        fn serve(&mut self, from: ClientAddr, now: Now, dead: &[ServerId]) -> Option<ServerId> {
            let Admission { client, mut search, .. } = self.admit(from, 1_024, now);
            loop {
                let id = self.next_server(&mut search, now)?;
                if !dead.contains(&id) {
                    self.connected(id, client, now);
                    self.check();
                    return Some(id);
                }
                self.failed(id, now);
                self.release(id);
            }
        }

        /// The same for a client that leaves at once.
        fn visit(&mut self, from: ClientAddr, now: Now, dead: &[ServerId]) -> Option<ServerId> {
            let id = self.serve(from, now, dead)?;
            self.release(id);
            self.check();
            Some(id)
        }

        /// All that one client is offered.
        fn offers(&mut self, from: ClientAddr, now: Now) -> Vec<ServerId> {
            let mut search = self.admit(from, 1_024, now).search;
            let mut offers = Vec::new();
            while let Some(id) = self.next_server(&mut search, now) {
                offers.push(id);
                self.release(id);
                assert!(offers.len() < 1_000, "the search does not end");
            }
            assert_eq!(self.next_server(&mut search, now), None, "a search that has ended stays so");
            self.check();
            offers
        }
    }

    #[test]
    fn new_clients_take_turns_and_go_back_to_their_server() {
        let mut balancer = several(3);
        for n in 0..6 {
            assert_eq!(balancer.visit(client(n), at(1), &[]), Some(R(n % 3)));
        }
        for n in [5, 3, 4, 0, 0] {
            assert_eq!(balancer.visit(client(n), at(2), &[]), Some(R(n % 3)));
        }
    }

    #[test]
    fn with_roundrobin_the_table_does_not_decide_but_remembers() {
        let mut balancer = several(2);
        balancer.settings.modes.roundrobin = true;
        let picks: Vec<_> = (0..4).map(|_| balancer.visit(client(1), at(1), &[]).unwrap()).collect();
        assert_eq!(picks, [R(0), R(1), R(0), R(1)]);
        let (_, remembered) = balancer.clients.iter().next().unwrap();
        assert_eq!((remembered.connects(), remembered.server()), (4, Some(1)));
    }

    #[test]
    fn b1_a_refused_connect_is_followed_by_the_next_server_for_the_same_client() {
        let mut balancer = several(3);
        assert_eq!(balancer.visit(client(1), at(1), &[R(0)]), Some(R(1)));
        assert!(balancer.servers.regular(0).unwrap().is_blacklisted(at(1).moment));
        assert_eq!(balancer.servers.regular(0).unwrap().failed_at, 1_000_001);
    }

    #[test]
    fn the_clients_of_a_dead_server_are_spread_and_stay_where_they_went() {
        let mut balancer = several(4);
        (0..400).for_each(|n| _ = balancer.visit(client(n), at(1), &[]));
        let mut moved_to = [0; 4];
        let went: Vec<_> = (0..400).map(|n| balancer.visit(client(n), at(2), &[R(1)]).unwrap()).collect();
        for (n, id) in went.iter().enumerate() {
            match (n % 4, *id) {
                (1, ServerId::Regular(index)) => moved_to[index as usize] += 1,
                (had, id) => assert_eq!(id, R(had as u32), "only a dead server's clients move"),
            }
        }
        assert!(
            moved_to[1] == 0 && moved_to.iter().filter(|count| (33..=34).contains(*count)).count() == 3,
            "{moved_to:?}"
        );
        for (n, id) in went.iter().enumerate() {
            assert_eq!(
                balancer.visit(client(n as u32), at(9_000), &[]),
                Some(*id),
                "the server is back, the client stays"
            );
        }
    }

    #[test]
    fn b8_every_server_dead_without_blacklisting_ends_the_search() {
        let all = [R(0), R(1), R(2), ServerId::Emergency];
        for (modes, tried) in [
            (Modes::default(), 4),
            (Modes { roundrobin: true, ..Modes::default() }, 4),
            (Modes { hash: true, ..Modes::default() }, 4),
            (Modes { weight: true, ..Modes::default() }, 4),
            (Modes { prio: true, ..Modes::default() }, 4),
            (Modes { stubborn: true, ..Modes::default() }, 1),
        ] {
            let mut balancer = several(3);
            balancer.servers.set(ServerId::Emergency, server("192.0.2.9")).unwrap();
            balancer.settings.blacklist = Duration::ZERO;
            balancer.settings.modes = modes;
            for n in 0..10 {
                assert_eq!(balancer.visit(client(n), at(1), &all), None);
                let offers = balancer.offers(client(n), at(1));
                assert_eq!(offers.len(), tried, "{modes:?}");
                assert!(offers.iter().enumerate().all(|(at, id)| !offers[..at].contains(id)), "{offers:?}");
            }
        }
    }

    #[test]
    fn b10_limits_hold_in_a_burst() {
        let mut balancer = balancer(&["192.0.2.1:80:2", "192.0.2.2:80:3"]);
        let mut searches: Vec<Search> = (0..20).map(|n| balancer.admit(client(n), 1, at(1)).search).collect();
        // Nothing is connected yet: the places count from the moment that a connect begins.
        let claimed: Vec<_> = searches.iter_mut().filter_map(|search| balancer.next_server(search, at(1))).collect();
        assert_eq!(claimed.iter().filter(|id| **id == R(0)).count(), 2);
        assert_eq!(claimed.iter().filter(|id| **id == R(1)).count(), 3);
        assert_eq!(claimed.len(), 5);
        // Those who were turned away have freed nothing.
        (20..40).for_each(|n| assert_eq!(balancer.serve(client(n), at(1), &[]), None));
        balancer.release(R(0));
        assert_eq!(balancer.serve(client(50), at(1), &[]), Some(R(0)));
        assert_eq!(balancer.serve(client(51), at(1), &[]), None);
        balancer.check();
    }

    #[test]
    fn a_client_that_comes_back_may_use_the_places_up_to_the_hard_limit() {
        let mut balancer = balancer(&["192.0.2.1:80:1:3"]);
        assert_eq!(balancer.serve(client(1), at(1), &[]), Some(R(0)));
        assert_eq!(balancer.serve(client(2), at(1), &[]), None);
        assert_eq!(balancer.serve(client(1), at(1), &[]), Some(R(0)));
        assert_eq!(balancer.serve(client(1), at(1), &[]), Some(R(0)));
        assert_eq!(balancer.serve(client(1), at(1), &[]), None);
    }

    #[test]
    fn b13_an_expired_client_is_chosen_for_anew() {
        let mut balancer = several(2);
        balancer.settings.tracking = Duration::from_secs(10);
        assert_eq!(balancer.visit(client(1), at(100), &[]), Some(R(0)));
        assert_eq!(balancer.visit(client(1), at(109), &[]), Some(R(0)), "each visit counts anew");
        assert_eq!(balancer.visit(client(1), at(118), &[]), Some(R(0)));
        assert_eq!(balancer.visit(client(1), at(128), &[]), Some(R(1)));
        assert_eq!(balancer.visit(client(1), at(137), &[]), Some(R(1)));
    }

    #[test]
    fn b14_a_refused_client_reaches_the_abuse_server_and_no_other() {
        for abuse in [false, true] {
            let mut balancer = several(2);
            balancer.servers.set(ServerId::Emergency, server("192.0.2.8")).unwrap();
            if abuse {
                balancer.servers.set(ServerId::Abuse, server("192.0.2.9")).unwrap();
            }
            balancer.settings.client_acl = 4;
            let deny = acl::Entry::parse(&["deny", "10.0.0.66"]).unwrap();
            balancer.acls.add(4, deny).unwrap();
            let refused = ClientAddr::Inet("::ffff:10.0.0.66".parse().unwrap());
            assert!(balancer.admit(refused, 1, at(1)).refused);
            assert!(balancer.clients.is_empty(), "a refused client leaves no trace");
            let offers: &[ServerId] = if abuse { &[ServerId::Abuse] } else { &[] };
            assert_eq!(balancer.offers(refused, at(1)), offers);
            assert_eq!(balancer.offers(client(1), at(1)).len(), 3, "all but the abuse server");
        }
    }

    #[test]
    fn b28_without_weights_everybody_is_served_by_weight() {
        let mut balancer = several(3);
        balancer.settings.modes.weight = true;
        let picks: Vec<_> = (0..6).map(|n| balancer.serve(client(n), at(1), &[]).unwrap()).collect();
        assert_eq!(picks, [R(0), R(1), R(2), R(0), R(1), R(2)]);
    }

    #[test]
    fn priority_goes_before_weight_and_weight_before_hash() {
        let mut balancer = balancer(&["192.0.2.1:80:0:0:1:2", "192.0.2.2:80:0:0:1:1", "192.0.2.3:80:0:0:9:3"]);
        balancer.settings.modes = Modes { hash: true, weight: true, prio: true, ..Modes::default() };
        assert!((0..4).all(|n| balancer.serve(client(n), at(1), &[]) == Some(R(1))));
        balancer.settings.modes.prio = false;
        assert_eq!(balancer.serve(client(9), at(1), &[]), Some(R(0)));
        assert_eq!(balancer.serve(client(9), at(1), &[]), Some(R(2)));
    }

    #[test]
    fn under_hash_a_client_returns_to_a_server_that_returns() {
        let mut balancer = several(5);
        balancer.settings.modes.hash = true;
        for n in 0..50 {
            let day = 1_000 * u64::from(n);
            let home = balancer.visit(client(n), at(day), &[]).unwrap();
            let refuge = balancer.visit(client(n), at(day + 1), &[home]).unwrap();
            assert_ne!(refuge, home);
            assert_eq!(balancer.visit(client(n), at(day + 30), &[]), Some(refuge), "blacklisted for 30 s");
            assert_eq!(balancer.visit(client(n), at(day + 31), &[]), Some(home));
        }
    }

    #[test]
    fn two_pens_with_the_same_list_agree_whatever_came_before() {
        let (mut http, mut https) = (several(7), several(7));
        http.settings.modes.hash = true;
        https.settings.modes.hash = true;
        (0..1_000).for_each(|n| _ = https.visit(client(n % 13), at(1), &[]));
        for n in 0..1_000 {
            assert_eq!(http.visit(client(n), at(2), &[]), https.visit(client(n), at(3), &[]));
        }
    }

    #[test]
    fn a_stubborn_pen_tries_the_first_choice_only() {
        let mut balancer = several(2);
        balancer.servers.set(ServerId::Emergency, server("192.0.2.9")).unwrap();
        balancer.settings.modes.stubborn = true;
        assert_eq!(balancer.visit(client(1), at(1), &[]), Some(R(0)));
        assert_eq!(balancer.visit(client(1), at(2), &[R(0)]), None, "refused, and nobody else is asked");
        assert_eq!(balancer.visit(client(1), at(3), &[]), None, "blacklisted, and still its server");
        assert_eq!(balancer.visit(client(2), at(3), &[]), Some(R(1)), "turns are taken by those who are there");
        assert_eq!(balancer.visit(client(3), at(3), &[]), Some(R(1)));
        assert_eq!(balancer.visit(client(1), at(32), &[]), Some(R(0)));
        balancer.settings.modes.prio = true;
        balancer.failed(R(0), at(40));
        assert_eq!(balancer.visit(client(4), at(40), &[]), Some(R(1)), "the first priority of those who are there");
        balancer.settings.modes = Modes { stubborn: true, weight: true, ..Modes::default() };
        assert_eq!(balancer.visit(client(5), at(40), &[]), Some(R(1)), "who is down has no connections, and is not it");
        balancer.settings.modes = Modes { stubborn: true, hash: true, ..Modes::default() };
        let served = (0..40).filter(|n| balancer.visit(client(*n), at(40), &[]).is_some()).count();
        assert!((1..40).contains(&served), "{served} of 40: the hash does not move those of the server that is down");
    }

    #[test]
    fn a_search_under_way_ends_when_pen_turns_stubborn() {
        let mut balancer = several(3);
        let mut search = balancer.admit(client(1), 1, at(1)).search;
        assert_eq!(balancer.next_server(&mut search, at(1)), Some(R(0)));
        balancer.settings.modes.stubborn = true;
        assert_eq!(balancer.next_server(&mut search, at(1)), None);
    }

    #[test]
    fn an_ipv4_mapped_client_has_the_server_of_the_ipv4_client() {
        let mut balancer = several(50);
        balancer.settings.modes.hash = true;
        for n in 0..20_u8 {
            let plain = ClientAddr::Inet(IpAddr::from([10, 0, 0, n]));
            let mapped = ClientAddr::Inet(format!("::ffff:10.0.0.{n}").parse().unwrap());
            assert_eq!(balancer.visit(mapped, at(1), &[]), balancer.visit(plain, at(1), &[]));
        }
        assert_eq!(balancer.clients.len(), 20);
    }

    #[test]
    fn the_emergency_server_comes_last_and_is_not_remembered() {
        let mut balancer = several(2);
        balancer.servers.set(ServerId::Emergency, server("192.0.2.9")).unwrap();
        assert_eq!(balancer.offers(client(1), at(1)), [R(0), R(1), ServerId::Emergency]);
        assert_eq!(balancer.visit(client(1), at(1), &[R(0), R(1)]), Some(ServerId::Emergency));
        assert_eq!(balancer.clients.iter().next().unwrap().1.server(), None);
        balancer.failed(ServerId::Emergency, at(2));
        assert_eq!(balancer.offers(client(1), at(2)), [], "it is blacklisted as others are");
        assert_eq!(balancer.visit(client(1), at(31), &[]), Some(R(0)));
    }

    #[test]
    fn a_server_is_left_out_exactly_as_long_as_it_is_blacklisted() {
        let mut balancer = several(1);
        let failed = at(100);
        assert!(balancer.failed(R(0), failed), "news");
        assert!(!balancer.failed(R(0), failed), "no news");
        let nano = Duration::from_nanos(1);
        for (after, offered) in
            [(nano, false), (Duration::from_secs(30) - nano, false), (Duration::from_secs(30), true)]
        {
            let now = Now { moment: failed.moment + after, unix: 5 };
            assert_eq!(!balancer.offers(client(1), now).is_empty(), offered, "after {after:?}");
        }
        assert!(balancer.failed(R(0), at(130)), "news again");
        let long = Some(at(9_999).moment);
        balancer.servers.server_mut(R(0)).unwrap().blacklisted_until = long;
        balancer.failed(R(0), at(131));
        assert_eq!(
            balancer.servers.regular(0).unwrap().blacklisted_until,
            long,
            "what an operator said is not shortened"
        );
    }

    #[test]
    fn without_blacklisting_a_failure_is_news_once_until_a_connect_is_made() {
        let mut balancer = several(1);
        balancer.settings.blacklist = Duration::ZERO;
        let news: Vec<bool> = (0..3).map(|_| balancer.failed(R(0), at(1))).collect();
        assert_eq!(news, [true, false, false]);
        balancer.connected(R(0), None, at(2));
        assert!(balancer.failed(R(0), at(3)));
    }

    #[test]
    fn servers_that_are_unresolved_or_not_for_this_client_are_passed_over() {
        let mut balancer = balancer(&["host1", "192.0.2.2", "192.0.2.3"]);
        balancer.servers.set(R(9), server("192.0.2.10")).unwrap();
        balancer.servers.server_mut(R(1)).unwrap().acl = Some(5);
        balancer.acls.add(5, acl::Entry::parse(&["permit", "10.0.0.1"]).unwrap()).unwrap();
        assert_eq!(balancer.offers(client(1), at(1)), [R(1), R(2), R(9)]);
        assert_eq!(balancer.offers(client(2), at(1)), [R(2), R(9)]);
        balancer.servers.resolved(R(0), vec!["192.0.2.1".parse().unwrap()]);
        assert_eq!(balancer.offers(client(2), at(1)), [R(0), R(2), R(9)]);
        balancer.servers.server_mut(R(0)).unwrap().set_host(Host::Name(String::from("host2")));
        assert_eq!(balancer.offers(client(2), at(1)), [R(2), R(9)]);
    }

    #[test]
    fn b12_bytes_are_counted_for_whom_they_belong_to() {
        let mut balancer = several(1);
        balancer.clients.resize(1).unwrap();
        let first = balancer.admit(client(1), 1, at(1)).client;
        balancer.account(R(0), first, 5, 7);
        let (_, row) = balancer.clients.iter().next().unwrap();
        assert_eq!((row.received(), row.sent()), (5, 7), "from the client, to the client");
        let second = balancer.admit(client(2), 1, at(2)).client;
        balancer.account(R(0), first, 100, 100);
        balancer.connected(R(0), first, at(3));
        let row = balancer.clients.client(second.unwrap()).unwrap();
        assert_eq!((row.received(), row.sent(), row.server()), (0, 0, None));
        let server = balancer.servers.regular(0).unwrap();
        assert_eq!((server.sent, server.received), (105, 107), "to the server, from the server");
    }

    #[test]
    fn a_server_that_drains_serves_those_who_had_it_and_tells_when_the_last_has_gone() {
        let mut balancer = several(2);
        assert_eq!(balancer.serve(client(1), at(1), &[]), Some(R(0)));
        balancer.servers.server_mut(R(0)).unwrap().set_duty(Duty::Draining, at(2).moment);
        assert_eq!(balancer.serve(client(1), at(3), &[]), Some(R(0)), "it is its server");
        for n in 2..9 {
            assert_eq!(balancer.visit(client(n), at(3), &[]), Some(R(1)), "nobody new");
        }
        assert_eq!(balancer.release(R(0)), Emptied::No);
        assert_eq!(balancer.release(R(0)), Emptied::Drained);
        balancer.settings.modes.roundrobin = true;
        for _ in 0..3 {
            assert_eq!(balancer.visit(client(1), at(4), &[]), Some(R(1)), "nobody is sent back");
        }
        balancer.settings.modes = Modes { hash: true, stubborn: true, ..Modes::default() };
        balancer.servers.server_mut(R(0)).unwrap().set_duty(Duty::Disabled, at(5).moment);
        for n in 0..20 {
            assert_eq!(balancer.visit(client(n), at(5), &[]), Some(R(1)), "stubborn or not: it is not in the list");
        }
    }

    #[test]
    fn a_server_that_is_removed_leaves_with_its_last_connection() {
        let mut balancer = several(2);
        balancer.servers.server_mut(R(1)).unwrap().name = Some("b".into());
        assert_eq!(balancer.serve(client(1), at(1), &[]), Some(R(0)));
        assert_eq!(balancer.serve(client(2), at(1), &[]), Some(R(1)));
        assert_eq!(balancer.remove_server(R(1)), 1);
        assert_eq!(balancer.servers.find("b"), None, "its name is free");
        assert_eq!(balancer.visit(client(2), at(2), &[]), Some(R(0)), "even its own clients go elsewhere");
        assert_eq!(balancer.servers.len(), 2);
        assert_eq!(balancer.release(R(1)), Emptied::Removed);
        balancer.check();
        assert_eq!(balancer.servers.len(), 1);
        assert_eq!(balancer.release(R(0)), Emptied::No);
        assert_eq!((balancer.remove_server(R(0)), balancer.remove_server(R(0))), (0, 0));
        assert!(balancer.servers.is_empty());
        assert_eq!(balancer.visit(client(1), at(3), &[]), None);
    }

    #[test]
    fn a_server_that_comes_back_gets_its_share_by_and_by() {
        for modes in [
            Modes { least: true, roundrobin: true, ..Modes::default() },
            Modes { roundrobin: true, ..Modes::default() },
        ] {
            let mut balancer = several(2);
            balancer.settings.slow_start = Duration::from_secs(100);
            balancer.settings.modes = modes;
            balancer.failed(R(1), at(0));
            let mut share = |second| {
                let picks: Vec<_> = (0..1_000).map(|n| balancer.serve(client(n), at(second), &[]).unwrap()).collect();
                picks.iter().for_each(|id| _ = balancer.release(*id));
                picks.iter().filter(|id| **id == R(1)).count()
            };
            let shares = [20, 31, 80, 130].map(&mut share);
            assert!(shares[0] == 0 && shares[1] < 50 && (250..400).contains(&shares[2]), "{shares:?}");
            assert_eq!(shares[3], 500);
        }
    }

    #[test]
    fn a_client_over_its_limits_is_offered_nobody_and_leaves_no_place_behind() {
        let mut balancer = several(1);
        balancer.servers.set(ServerId::Emergency, server("192.0.2.9")).unwrap();
        balancer.servers.set(ServerId::Abuse, server("192.0.2.8")).unwrap();
        balancer.settings.client_max = 2;
        balancer.clients.count_usage(true);
        let mut open: Vec<Admission> = (0..2).map(|_| balancer.admit(client(1), 1, at(1))).collect();
        assert!(open.iter_mut().all(|admission| balancer.next_server(&mut admission.search, at(1)).is_some()));
        let mut third = balancer.admit(client(1), 1, at(1));
        assert_eq!((third.over, third.refused), (Some(Over::Connections), false));
        assert_eq!(balancer.next_server(&mut third.search, at(1)), None);
        assert_eq!(balancer.admit(client(2), 1, at(1)).over, None, "another client");
        balancer.left(third.client.unwrap());
        assert_eq!(balancer.admit(client(1), 1, at(1)).over, Some(Over::Connections), "that was the one refused");
        balancer.left(open[0].client.unwrap());
        balancer.left(open[0].client.unwrap());
        assert_eq!(balancer.admit(client(1), 1, at(1)).over, None);
        assert_eq!((balancer.refusals.connections, balancer.refusals.rate, balancer.refusals.by_list), (2, 0, 0));
    }

    #[test]
    #[should_panic(expected = "a place is given back once")]
    fn giving_a_place_back_twice_is_noticed() {
        let mut balancer = several(1);
        let mut search = balancer.admit(client(1), 1, at(1)).search;
        let id = balancer.next_server(&mut search, at(1)).unwrap();
        balancer.release(id);
        balancer.release(id);
    }

    /// The twin: the rules of selection said once more, over a list of those who could serve.
    struct Twin {
        turn: usize,
    }

    impl Twin {
        /// At most `most` offers, of which all but the last have failed.
        fn offers(
            &mut self,
            balancer: &Balancer,
            from: ClientAddr,
            tracked: Option<usize>,
            now: Now,
            most: usize,
        ) -> Vec<ServerId> {
            let modes = balancer.settings.modes;
            let on_duty = |server: &Server, index: Option<usize>| match server.duty {
                Duty::Enabled => true,
                Duty::Draining => index.is_some() && index == tracked && !modes.roundrobin,
                Duty::Disabled | Duty::Leaving => false,
            };
            let could = |server: &Server, index: Option<usize>| {
                let limit = if index.is_some() && index == tracked { server.max.max(server.hard) } else { server.max };
                let full = server.max > 0 && server.connections >= limit;
                let down = server.blacklisted_until.is_some_and(|until| until > now.moment);
                let may = server.acl.is_none_or(|list| balancer.acls.check(list, from));
                on_duty(server, index) && !server.endpoints.is_empty() && !full && !down && may
            };
            let there: Vec<usize> =
                (0..balancer.servers.len()).filter(|i| balancer.servers.regular(*i).is_some()).collect();
            let here = |i: usize| could(balancer.servers.regular(i).unwrap(), Some(i));
            let known = |i: usize| on_duty(balancer.servers.regular(i).unwrap(), Some(i));
            let mut rest: Vec<usize> =
                there.iter().copied().filter(|i| if modes.stubborn { known(*i) } else { here(*i) }).collect();
            let mut offers = Vec::new();
            while !rest.is_empty() && offers.len() < most {
                let taking_turns = !(modes.prio || modes.weight || modes.hash);
                let hashing = modes.hash && !modes.prio && !modes.weight;
                let follows = !modes.roundrobin && !modes.hash && tracked.is_some_and(|index| rest.contains(&index));
                let best = if follows {
                    tracked.unwrap()
                } else if taking_turns {
                    rest.retain(|i| here(*i));
                    let ahead = |i: usize| if i >= self.turn { i - self.turn } else { i + 1_000_000 };
                    let Some(best) = rest.iter().copied().min_by_key(|i| ahead(*i)) else { break };
                    self.turn = best + 1;
                    best
                } else {
                    rest.retain(|i| hashing || here(*i));
                    if rest.is_empty() {
                        break;
                    }
                    self.best(balancer, &rest, from)
                };
                rest.retain(|index| *index != best);
                if here(best) {
                    offers.push(R(best as u32));
                }
                if modes.stubborn {
                    return offers;
                }
            }
            let emergency = balancer.servers.server(ServerId::Emergency);
            if offers.len() < most && !modes.stubborn && emergency.is_some_and(|server| could(server, None)) {
                offers.push(ServerId::Emergency);
            }
            offers
        }

        fn best(&self, balancer: &Balancer, rest: &[usize], from: ClientAddr) -> usize {
            let modes = balancer.settings.modes;
            let server = |index: &usize| balancer.servers.regular(*index).unwrap();
            if modes.prio {
                return *rest.iter().min_by_key(|index| (server(index).prio, **index)).unwrap();
            }
            if modes.weight {
                let load =
                    |index: &usize| f64::from(server(index).connections) / f64::from(server(index).weight.max(1));
                return *rest.iter().min_by(|a, b| load(a).total_cmp(&load(b)).then(a.cmp(b))).unwrap();
            }
            // The hash has a twin of its own, beside it: here it chooses among what is left.
            let stand = |index| Stand {
                open: rest.contains(&index),
                weight: balancer.servers.regular(index).map_or(0, |server| server.weight),
                ..PLAIN
            };
            let stands: Vec<Stand> = (0..balancer.servers.len()).map(stand).collect();
            Hash::new(from, modes.roundrobin.then_some(1_024)).pick(&stands).unwrap()
        }
    }

    fn random_balancer(random: &mut Random) -> Balancer {
        let mut balancer = several(0);
        balancer.settings.clients_max = 1 + random.below(20) as usize;
        balancer.clients.resize(balancer.settings.clients_max).unwrap();
        balancer.settings.modes = Modes {
            hash: random.one_in(3),
            roundrobin: random.one_in(3),
            stubborn: random.one_in(3),
            weight: random.one_in(3),
            prio: random.one_in(3),
            ..Modes::default()
        };
        balancer.settings.blacklist = Duration::from_secs(random.below(3) * 5);
        balancer.acls.add(2, acl::Entry::parse(&["deny", "10.0.0.0/30"]).unwrap()).unwrap();
        for index in 0..random.below(8) as u32 {
            let host = if random.one_in(8) { "name" } else { "192.0.2.1" };
            let numbers: Vec<String> = [4, 5, 4, 3].iter().map(|end| random.below(*end).to_string()).collect();
            let mut server = server(&format!("{host}:80:{}", numbers.join(":")));
            server.acl = random.one_in(5).then_some(2);
            let duties = [Duty::Enabled, Duty::Enabled, Duty::Enabled, Duty::Draining, Duty::Disabled];
            server.duty = duties[random.below(5) as usize];
            if !random.one_in(6) {
                balancer.servers.set(R(index), server).unwrap();
            }
        }
        if random.one_in(2) {
            balancer.servers.set(ServerId::Emergency, server("192.0.2.9:80:2")).unwrap();
        }
        balancer
    }

    #[test]
    fn every_offer_is_that_of_the_naive_twin() {
        for seed in 0..400 {
            let mut random = Random::new(seed);
            let mut balancer = random_balancer(&mut random);
            let mut twin = Twin { turn: 0 };
            let mut held = Vec::new();
            for step in 0..60 {
                let now = at(step);
                let from = client(random.below(12) as u32);
                let Admission { client, mut search, .. } = balancer.admit(from, 1_024, now);
                let tracked = balancer.clients.client(client.unwrap()).unwrap().server();
                let before = balancer.clone();
                let mut offers = Vec::new();
                let failures = random.below(4) as usize;
                while let Some(id) = balancer.next_server(&mut search, now) {
                    offers.push(id);
                    if offers.len() > failures {
                        balancer.connected(id, client, now);
                        held.push(id);
                        break;
                    }
                    balancer.failed(id, now);
                    balancer.release(id);
                }
                let expected = twin.offers(&before, from, tracked, now, failures + 1);
                assert_eq!(offers, expected, "seed {seed}, step {step}, {from}: {before:?}");
                if random.one_in(3) && !held.is_empty() {
                    balancer.release(held.swap_remove(random.below(held.len() as u64) as usize));
                }
                balancer.check();
            }
        }
    }
}
