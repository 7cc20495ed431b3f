//! The table of servers: what is configured, and how each is doing.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::counts::{Counts, Lately, Traffic};
pub use super::duty::Duty;
use super::health::{Health, OwnCheck};
pub use super::server_id::ServerId;
use super::stands::{Changing, Stand};
use crate::base::addr::Endpoint;
use crate::base::operand::{Host, ServerSpec};
use crate::base::proxy_version::ProxyVersion;
use crate::base::time::Moment;
use crate::select::FULL_SHARE;

/// How many regular servers there may be; their indexes are 0 to 65,534.
pub const SERVERS_MAX: usize = 65_535;

/// A server: what somebody configured, and how it is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// What an operator calls it; see [`is_name`].
    pub name: Option<Box<str>>,
    /// Whom it may serve.
    pub duty: Duty,
    /// The host as it was written.
    pub host: Host,
    /// Its port; stands for nothing with a Unix socket.
    pub port: u16,
    /// Where to connect, to be tried in this order; empty until the name is resolved.
    pub endpoints: Vec<Endpoint>,
    /// How many places there are; 0 for no limit.
    pub max: u32,
    /// How many places there are for a client that comes back to this server, where that is more.
    pub hard: u32,
    /// Weight; 0 is "not set" and counts as 1.
    pub weight: u32,
    /// Priority, the lowest first.
    pub prio: i32,
    /// The access list that a client must pass, 0 to 9; `None` for none.
    pub acl: Option<usize>,
    /// How it is told whom a connection is from; `None` for as the listener has it.
    pub proxy_protocol: Option<Option<ProxyVersion>>,
    /// The local address for connections to it; `None` for as the listener has it.
    pub source: Option<Option<IpAddr>>,
    /// Whether it sees the clients' own addresses; `None` for as the listener has it.
    pub transparent: Option<bool>,
    /// Places in use, from the moment that a connect begins.
    pub connections: u32,
    /// Those of them that idlers hold.
    pub idlers: u32,
    /// How it is checked.
    pub check: OwnCheck,
    /// What checks have found.
    pub health: Health,
    /// Until when the server is left out.
    pub blacklisted_until: Option<Moment>,
    /// When an operator took it back.
    pub returned_at: Option<Moment>,
    /// Whether the latest connect to it that ended has failed.
    pub failing: bool,
    /// When it last failed, in seconds since 1970-01-01 00:00:00 UTC; 0 for never.
    pub failed_at: u64,
    /// Bytes sent to the server.
    pub sent: u64,
    /// Bytes received from the server.
    pub received: u64,
    /// What else was counted.
    pub counts: Counts,
    /// What went on lately.
    pub lately: Lately,
}

impl Server {
    /// A server as an operand describes it. A numeric address or a path can be used at once; a
    /// name must be resolved first.
    pub fn new(spec: &ServerSpec, default_port: u16) -> Server {
        let mut server = Server {
            name: None,
            duty: Duty::Enabled,
            host: spec.host.clone(),
            port: spec.port.unwrap_or(default_port),
            endpoints: Vec::new(),
            max: spec.max,
            hard: spec.hard,
            weight: spec.weight,
            prio: spec.prio,
            acl: None,
            proxy_protocol: None,
            source: None,
            transparent: None,
            connections: 0,
            idlers: 0,
            check: OwnCheck::default(),
            health: Health::default(),
            blacklisted_until: None,
            returned_at: None,
            failing: false,
            failed_at: 0,
            sent: 0,
            received: 0,
            counts: Counts::default(),
            lately: Lately::default(),
        };
        server.set_host(spec.host.clone());
        server
    }

    /// Where it is, as an operator says it: `192.0.2.1:80`, `[2001:db8::1]:80`, `www.example.org:80`, a path.
    pub fn place(&self) -> String {
        match &self.host {
            Host::Unix(path) => path.display().to_string(),
            Host::Addr(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
            host => format!("{host}:{}", self.port),
        }
    }

    /// Changes the host, for later connections. A name must then be resolved.
    pub fn set_host(&mut self, host: Host) {
        self.endpoints = match &host {
            Host::Addr(ip) => vec![Endpoint::inet(SocketAddr::new(*ip, self.port))],
            Host::Unix(path) => vec![Endpoint::Unix(path.clone())],
            Host::Name(_) => Vec::new(),
        };
        self.host = host;
    }

    /// Changes the port, for later connections.
    pub fn set_port(&mut self, port: u16) {
        self.port = port;
        for endpoint in &mut self.endpoints {
            if let Endpoint::Inet(addr) = endpoint {
                addr.set_port(port);
            }
        }
    }

    /// Takes the addresses of its name, to be tried in this order.
    pub fn set_addresses(&mut self, addresses: &[IpAddr]) {
        self.endpoints = addresses.iter().map(|ip| Endpoint::inet(SocketAddr::new(*ip, self.port))).collect();
    }

    /// Whether it is not known where to connect: the host is a name of which no address is known,
    /// or a command has given no port yet.
    pub fn is_unresolved(&self) -> bool {
        self.endpoints.is_empty() || self.port == 0 && !matches!(self.host, Host::Unix(_))
    }

    /// Whether it is left out at this moment because it failed or because somebody said so.
    pub fn is_blacklisted(&self, moment: Moment) -> bool {
        self.blacklisted_until.is_some_and(|until| moment < until)
    }

    /// How much of its full share it is to get, 1 to [`FULL_SHARE`]: that grows evenly for `warm_up`
    /// after it has come back from a blacklisting or from an operator.
    pub fn share(&self, moment: Moment, warm_up: Duration) -> u32 {
        let back = self.blacklisted_until.filter(|until| *until <= moment).max(self.returned_at);
        let Some(age) = back.map(|back| moment.since(back)).filter(|age| *age < warm_up) else { return FULL_SHARE };
        let share = age.as_millis() * u128::from(FULL_SHARE) / warm_up.as_millis().max(1);
        u32::try_from(share).map_or(FULL_SHARE, |share| share.clamp(1, FULL_SHARE))
    }

    /// Changes whom it may serve, from `moment` on. One that may serve again warms up.
    pub fn set_duty(&mut self, duty: Duty, moment: Moment) {
        if duty == Duty::Enabled && !self.duty.serves(false) {
            self.returned_at = Some(moment);
        }
        self.duty = duty;
    }

    /// Leaves it out until then, or takes it back now.
    pub fn blacklist(&mut self, until: Option<Moment>, moment: Moment) {
        if until.is_none() && self.is_blacklisted(moment) {
            self.returned_at = Some(moment);
        }
        self.blacklisted_until = until;
    }

    /// Whether there is a place for one more connection; a client that comes back may use the
    /// places up to the hard limit.
    pub fn has_place(&self, comes_back: bool) -> bool {
        let limit = if comes_back { self.max.max(self.hard) } else { self.max };
        self.max == 0 || self.clients() < limit
    }

    /// What was carried since the start.
    pub fn traffic(&self) -> Traffic {
        Traffic { begun: self.counts.connects, up: self.sent, down: self.received }
    }

    /// Places in use by clients. Those of idlers are theirs to take.
    pub fn clients(&self) -> u32 {
        self.connections - self.idlers
    }
}

/// The longest name of a server or an access list.
pub const NAME_MAX: usize = 63;

/// Whether a word can be a name: it begins with a letter, goes on with letters, digits, dots,
/// underscores and dashes, and means nothing else.
pub fn is_name(word: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_other = matches!(word, "emergency" | "abuse" | "none");
    word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.len() <= NAME_MAX
        && word.bytes().all(rest)
        && !is_other
}

/// There is no such place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyServers;

impl fmt::Display for TooManyServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are at most {SERVERS_MAX} servers, 0 to {}", SERVERS_MAX - 1)
    }
}

impl std::error::Error for TooManyServers {}

/// The regular servers by index, with holes, and the two special ones.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    regular: Vec<Option<Server>>,
    /// What selectors read of each of them.
    stands: Vec<Stand>,
    emergency: Option<Server>,
    abuse: Option<Server>,
}

impl Servers {
    /// The server of this name.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        match id {
            ServerId::Regular(index) => self.regular(index as usize),
            ServerId::Emergency => self.emergency.as_ref(),
            ServerId::Abuse => self.abuse.as_ref(),
        }
    }

    /// The server of this name, to be changed.
    pub fn server_mut(&mut self, id: ServerId) -> Option<Changing<'_>> {
        match id {
            ServerId::Regular(index) => {
                let index = index as usize;
                let server = self.regular.get_mut(index)?.as_mut()?;
                Some(Changing::new(server, Some(&mut self.stands[index])))
            }
            ServerId::Emergency => Some(Changing::new(self.emergency.as_mut()?, None)),
            ServerId::Abuse => Some(Changing::new(self.abuse.as_mut()?, None)),
        }
    }

    /// Counts bytes that were carried to a server and from it. No selector reads them, so nothing has to follow.
    pub fn account(&mut self, id: ServerId, up: u64, down: u64) {
        let server = match id {
            ServerId::Regular(index) => self.regular.get_mut(index as usize).and_then(Option::as_mut),
            ServerId::Emergency => self.emergency.as_mut(),
            ServerId::Abuse => self.abuse.as_mut(),
        };
        let Some(server) = server else { return };
        server.sent = server.sent.saturating_add(up);
        server.received = server.received.saturating_add(down);
    }

    /// The regular server of this index.
    pub fn regular(&self, index: usize) -> Option<&Server> {
        self.regular.get(index)?.as_ref()
    }

    /// What selectors read of each regular server, by index.
    pub fn stands(&self) -> &[Stand] {
        &self.stands
    }

    /// The regular server that an operator calls so.
    pub fn find(&self, name: &str) -> Option<ServerId> {
        self.iter().find(|(_, server)| server.name.as_deref() == Some(name)).map(|(id, _)| id)
    }

    /// The first number that no regular server has; `None` if the table is full.
    pub fn vacant(&self) -> Option<ServerId> {
        let hole = self.regular.iter().position(Option::is_none).unwrap_or(self.regular.len());
        (hole < SERVERS_MAX).then(|| regular(hole))
    }

    /// Takes a server out of the table, which nobody may be connected to.
    pub fn remove(&mut self, id: ServerId) {
        let place = match id {
            ServerId::Regular(index) => self.regular.get_mut(index as usize),
            ServerId::Emergency => Some(&mut self.emergency),
            ServerId::Abuse => Some(&mut self.abuse),
        };
        let gone = place.and_then(Option::take);
        assert!(gone.is_none_or(|server| server.connections == 0), "a server with places in use stays in the table");
        let used = self.regular.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.regular.truncate(used);
        self.follow(id);
    }

    /// Puts a server into its place. The table grows as far as needed, with holes. If there is a
    /// server already, its places in use and its byte counts go over to the new one, because its
    /// connections go on.
    pub fn set(&mut self, id: ServerId, mut server: Server) -> Result<(), TooManyServers> {
        if let Some(old) = self.server(id) {
            server.connections = old.connections;
            server.idlers = old.idlers;
            server.sent = old.sent;
            server.received = old.received;
            (server.counts, server.lately) = (old.counts, old.lately);
        }
        match id {
            ServerId::Emergency => self.emergency = Some(server),
            ServerId::Abuse => self.abuse = Some(server),
            ServerId::Regular(index) => {
                let index = index as usize;
                if index >= SERVERS_MAX {
                    return Err(TooManyServers);
                }
                if self.regular.len() <= index {
                    self.regular.resize_with(index + 1, || None);
                }
                self.regular[index] = Some(server);
                self.follow(id);
            }
        }
        Ok(())
    }

    /// Another server is in this place now, or none.
    fn follow(&mut self, id: ServerId) {
        self.stands.resize(self.regular.len(), Stand::default());
        if let Some(index) = id.index().filter(|index| *index < self.regular.len()) {
            self.stands[index] = self.regular[index].as_ref().map(Stand::of).unwrap_or_default();
        }
    }

    /// So many intervals of the history are over: what went on lately.
    pub fn note_lately(&mut self, intervals: usize) {
        let special = [self.emergency.as_mut(), self.abuse.as_mut()];
        for server in self.regular.iter_mut().flatten().chain(special.into_iter().flatten()) {
            server.lately.note(server.traffic(), intervals);
        }
    }

    /// Fills in where to connect, once the name of a server is resolved.
    pub fn resolved(&mut self, id: ServerId, addresses: Vec<IpAddr>) {
        if let Some(mut server) = self.server_mut(id) {
            server.set_addresses(&addresses);
        }
    }

    /// One more than the largest index of a regular server; holes count.
    pub fn len(&self) -> usize {
        self.regular.len()
    }

    /// Whether there is no regular server.
    pub fn is_empty(&self) -> bool {
        self.regular.is_empty()
    }

    /// The regular servers in the order of their indexes, holes left out.
    pub fn iter(&self) -> impl Iterator<Item = (ServerId, &Server)> {
        self.regular.iter().enumerate().filter_map(|(index, server)| Some((regular(index), server.as_ref()?)))
    }

    /// All servers: the regular ones, then emergency and abuse.
    pub fn all(&self) -> impl Iterator<Item = (ServerId, &Server)> {
        let emergency = self.emergency.as_ref().map(|server| (ServerId::Emergency, server));
        let abuse = self.abuse.as_ref().map(|server| (ServerId::Abuse, server));
        self.iter().chain(emergency).chain(abuse)
    }
}

/// The name of the regular server of an index, which is below [`SERVERS_MAX`].
pub(super) fn regular(index: usize) -> ServerId {
    ServerId::Regular(u32::try_from(index).expect("indexes of servers are below 65,535"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::operand::Services;

    fn server(text: &str) -> Server {
        Server::new(&ServerSpec::parse(text, &Services::default()).unwrap(), 80)
    }

    fn endpoints(server: &Server) -> Vec<String> {
        server.endpoints.iter().map(Endpoint::to_string).collect()
    }

    #[test]
    fn only_a_name_must_be_resolved() {
        let table: [(&str, &[&str]); 5] = [
            ("192.0.2.1", &["192.0.2.1:80"]),
            ("[2001:db8::1]:81", &["[2001:db8::1]:81"]),
            ("[::ffff:192.0.2.1]:81", &["192.0.2.1:81"]),
            ("/run/app:80", &["/run/app"]),
            ("host1:81", &[]),
        ];
        for (text, at) in table {
            assert_eq!(endpoints(&server(text)), at, "{text}");
        }
    }

    #[test]
    fn addresses_of_a_name_get_its_port_and_keep_their_order() {
        let mut servers = Servers::default();
        servers.set(ServerId::Regular(0), server("host1:81")).unwrap();
        let addresses = ["192.0.2.9", "2001:db8::9", "::ffff:192.0.2.3"].map(|text| text.parse().unwrap());
        servers.resolved(ServerId::Regular(0), addresses.to_vec());
        servers.resolved(ServerId::Regular(7), addresses.to_vec());
        let mut host1 = servers.server_mut(ServerId::Regular(0)).unwrap();
        assert_eq!(endpoints(&host1), ["192.0.2.9:81", "[2001:db8::9]:81", "192.0.2.3:81"]);
        host1.set_port(82);
        assert_eq!(endpoints(&host1), ["192.0.2.9:82", "[2001:db8::9]:82", "192.0.2.3:82"]);
        host1.set_host(Host::Name(String::from("host2")));
        assert!(host1.is_unresolved());
    }

    #[test]
    fn the_table_grows_with_holes_up_to_its_limit() {
        let mut servers = Servers::default();
        assert!(servers.is_empty());
        servers.set(ServerId::Regular(2), server("192.0.2.2")).unwrap();
        servers.set(ServerId::Emergency, server("192.0.2.3")).unwrap();
        assert_eq!(servers.len(), 3);
        assert!(servers.server(ServerId::Regular(0)).is_none());
        assert!(servers.iter().map(|(id, _)| id).eq([ServerId::Regular(2)]));
        assert!(servers.all().map(|(id, _)| id).eq([ServerId::Regular(2), ServerId::Emergency]));
        servers.set(ServerId::Regular(65_534), server("192.0.2.4")).unwrap();
        for index in [65_535, 2_147_483_647, u32::MAX] {
            let error = servers.set(ServerId::Regular(index), server("192.0.2.5")).unwrap_err();
            assert_eq!(error.to_string(), "there are at most 65535 servers, 0 to 65534");
        }
        assert_eq!(servers.len(), 65_535);
    }

    #[test]
    fn names_are_words_that_mean_nothing_else() {
        let long = "a".repeat(NAME_MAX);
        for good in ["web1", "w", "web.eu-1_b", "Emergency", &long] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1web", "-w", "web 1", "wéb", "emergency", "abuse", "none", "a:b", &format!("{long}a")] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_server_is_found_by_its_name_and_its_place_is_used_again() {
        let mut servers = Servers::default();
        assert_eq!(servers.vacant(), Some(ServerId::Regular(0)));
        for index in 0..3 {
            servers.set(ServerId::Regular(index), server("192.0.2.1")).unwrap();
        }
        servers.server_mut(ServerId::Regular(1)).unwrap().name = Some("web".into());
        assert_eq!((servers.find("web"), servers.find("frob")), (Some(ServerId::Regular(1)), None));
        servers.remove(ServerId::Regular(1));
        assert_eq!((servers.find("web"), servers.vacant(), servers.len()), (None, Some(ServerId::Regular(1)), 3));
        servers.remove(ServerId::Regular(2));
        assert_eq!((servers.vacant(), servers.len()), (Some(ServerId::Regular(1)), 1));
        servers.remove(ServerId::Regular(7));
        servers.remove(ServerId::Emergency);
        servers.remove(ServerId::Regular(0));
        assert!(servers.is_empty());
    }

    #[test]
    fn a_server_that_comes_back_warms_up() {
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        let warm_up = Duration::from_secs(100);
        let mut server = server("192.0.2.1");
        assert_eq!(server.share(at(0), warm_up), FULL_SHARE);
        server.blacklisted_until = Some(at(30));
        let table = [(30, 1), (31, 10), (80, 500), (129, 990), (130, 1_000), (9_999, 1_000)];
        for (seconds, share) in table {
            assert_eq!(server.share(at(seconds), warm_up), share, "after {seconds} s");
            assert_eq!(server.share(at(seconds), Duration::ZERO), FULL_SHARE);
        }
        server.set_duty(Duty::Disabled, at(500));
        server.set_duty(Duty::Enabled, at(600));
        assert_eq!(server.share(at(610), warm_up), 100);
        server.set_duty(Duty::Enabled, at(650));
        assert_eq!(server.share(at(650), warm_up), 500, "it was there already");
        server.blacklist(Some(at(900)), at(800));
        server.blacklist(None, at(810));
        assert_eq!(server.share(at(820), warm_up), 100);
    }

    #[test]
    fn a_server_put_in_anothers_place_inherits_its_connections() {
        let mut servers = Servers::default();
        servers.set(ServerId::Regular(0), server("192.0.2.1")).unwrap();
        servers.server_mut(ServerId::Regular(0)).unwrap().connections = 3;
        servers.set(ServerId::Regular(0), server("192.0.2.2")).unwrap();
        assert_eq!(servers.regular(0).unwrap().connections, 3);
        assert_eq!(endpoints(servers.regular(0).unwrap()), ["192.0.2.2:80"]);
    }

    #[test]
    fn selectors_see_every_change() {
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        let mut servers = Servers::default();
        let see = |servers: &Servers| {
            let stands: Vec<Stand> =
                (0..servers.len()).map(|index| servers.regular(index).map(Stand::of).unwrap_or_default()).collect();
            assert_eq!(servers.stands(), stands);
            stands.iter().map(|stand| (stand.clients, stand.weight, stand.prio)).collect::<Vec<_>>()
        };
        servers.set(ServerId::Regular(2), server("192.0.2.1:80:0:0:7:-3")).unwrap();
        servers.set(ServerId::Regular(0), server("192.0.2.1")).unwrap();
        assert_eq!(see(&servers), [(0, 0, 0), (0, 0, 0), (0, 7, -3)]);
        let mut first = servers.server_mut(ServerId::Regular(0)).unwrap();
        (first.connections, first.idlers, first.weight, first.prio) = (5, 2, 4, 9);
        drop(first);
        servers.server_mut(ServerId::Regular(2)).unwrap().blacklist(Some(at(9)), at(1));
        assert_eq!(see(&servers), [(3, 4, 9), (0, 0, 0), (0, 7, -3)]);
        servers.set(ServerId::Regular(0), server("192.0.2.2:80:0:0:1")).unwrap();
        assert_eq!(see(&servers)[0], (3, 1, 0), "its connections go on");
        servers.remove(ServerId::Regular(2));
        assert_eq!(see(&servers), [(3, 1, 0)]);
        servers.set(ServerId::Regular(1), server("192.0.2.2")).unwrap();
        let mut second = servers.server_mut(ServerId::Regular(1)).unwrap();
        second.returned_at = Some(at(10));
        assert!(!Stand::of(&second).is_shut(at(0)));
        assert!(Stand::of(&second).may_warm_up(at(14), Duration::from_secs(5)));
        assert!(!Stand::of(&second).may_warm_up(at(15), Duration::from_secs(5)));
    }

    #[test]
    fn selectors_see_who_serves_nobody() {
        let at = |seconds| Moment::default() + Duration::from_secs(seconds);
        let is_shut = |change: fn(&mut Server), moment| {
            let mut server = server("192.0.2.1:80:3:5");
            change(&mut server);
            Stand::of(&server).is_shut(moment)
        };
        assert!(!is_shut(|_| {}, at(0)));
        assert!(
            is_shut(|server| server.duty = Duty::Disabled, at(9))
                && is_shut(|server| server.duty = Duty::Leaving, at(9))
        );
        assert!(!is_shut(|server| server.duty = Duty::Draining, at(9)), "some come back");
        assert!(!is_shut(|server| server.connections = 4, at(9)), "some come back");
        assert!(is_shut(|server| server.connections = 5, at(9)));
        assert!(!is_shut(|server| (server.connections, server.idlers) = (5, 1), at(9)));
        assert!(is_shut(|server| server.health.is_down = true, at(9)));
        assert!(is_shut(|server| server.set_host(Host::Name(String::from("host1"))), at(9)));
        let blacklist = |server: &mut Server| {
            server.blacklisted_until = Some(Moment::default() + Duration::from_secs(7));
        };
        assert!(is_shut(blacklist, at(6)) && !is_shut(blacklist, at(7)));
        assert!(Stand::default().is_shut(at(9)), "there is none");
    }

    #[test]
    fn places_are_limited_softly_and_hard() {
        // max, hard, in use, a place for anybody, a place for who comes back
        let table = [
            (0, 0, 1_000, true, true),
            (0, 5, 1_000, true, true),
            (2, 0, 1, true, true),
            (2, 0, 2, false, false),
            (2, 3, 2, false, true),
            (2, 3, 3, false, false),
            (3, 2, 2, true, true),
            (3, 2, 3, false, false),
        ];
        for (max, hard, connections, anybody, comes_back) in table {
            let server = Server { max, hard, connections, ..server("192.0.2.1") };
            assert_eq!(
                (server.has_place(false), server.has_place(true)),
                (anybody, comes_back),
                "{max} {hard} {connections}"
            );
        }
    }
}
