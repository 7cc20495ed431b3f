//! The listeners: each has a name, and servers, clients, access lists and settings of its own.
//!
//! The first is `main`: it is always there, and a command that names no listener is for it. One
//! that was removed stays until its last pair has gone, because that still counts in its
//! balancer; it has no name any more.

use std::fmt;
use std::ops::{Index, IndexMut};

use slab::Slab;

use super::settings::{Common, Settings};
use super::{Balancer, ServerId};
use crate::base::addr::ClientAddr;

/// The first listener.
pub const MAIN: ListenerKey = ListenerKey { slot: 0, serial: 0 };

/// Its name.
pub const MAIN_NAME: &str = "main";

/// How many listeners there may be, those that were removed not counted.
pub const LISTENERS_MAX: usize = 256;

/// Names a listener for ever: its slot is used again once no pair refers to it any more, its serial
/// number is not, or only after very many others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerKey {
    slot: u16,
    serial: u16,
}

/// A named place where clients arrive, with all that is decided for them.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name; one that was removed still has it for diagnostics.
    pub name: String,
    /// The addresses that it listens on, as they were written; none once nobody is let in.
    pub at: Vec<String>,
    /// Its servers, clients, access lists and settings.
    pub balancer: Balancer,
    /// How many pairs and associations came in here and have not gone.
    pub pairs: usize,
    /// How many of them are associations.
    pub associations: usize,
    /// How many of them wait for a place at a server.
    pub queued: usize,
    /// How many of them have no connected server yet.
    pub pending: usize,
    /// What became of datagrams that were not passed on.
    pub dropped: Dropped,
    /// Nobody arrives there: other listeners send it their clients.
    pub is_pool: bool,
    is_removed: bool,
    serial: u16,
}

/// Datagrams that were not passed on since the start, for each reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// Nobody may or can serve their client.
    pub no_server: u64,
    /// A buffer in the kernel was full.
    pub full: u64,
    /// Too long for the way they had to go.
    pub too_long: u64,
    /// Descriptors, memory or ports were lacking, or the system forbade it.
    pub lacking: u64,
    /// Of a proxy, without a good header.
    pub bad_header: u64,
}

impl Dropped {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.no_server + self.full + self.too_long + self.lacking + self.bad_header
    }
}

impl Listener {
    fn new(name: &str, settings: Settings, serial: u16) -> Listener {
        let (name, balancer) = (String::from(name), Balancer::new(settings));
        Listener {
            name,
            at: Vec::new(),
            balancer,
            pairs: 0,
            associations: 0,
            queued: 0,
            pending: 0,
            dropped: Dropped::default(),
            is_pool: false,
            is_removed: false,
            serial,
        }
    }

    /// True if one more connect may be under way.
    pub fn may_begin(&self) -> bool {
        self.pending < self.balancer.settings.pending_max
    }

    /// A server as diagnostics name it: `server 0 (192.0.2.1:80)`, and which listener's if that is
    /// not the first. A Unix socket has no port.
    pub fn name_of(&self, id: ServerId) -> String {
        let what = match id {
            ServerId::Regular(_) => format!("server {id}"),
            ServerId::Emergency | ServerId::Abuse => format!("{id} server"),
        };
        let whose = if self.name == MAIN_NAME { String::new() } else { format!(" of {}", self.name) };
        match self.balancer.servers.server(id) {
            Some(server) => format!("{what}{whose} ({})", server.place()),
            None => format!("{what}{whose}"),
        }
    }
}

/// Why there is no further listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenerError {
    /// There is one of that name.
    Exists(String),
    /// There are [`LISTENERS_MAX`].
    TooMany,
}

impl fmt::Display for ListenerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenerError::Exists(name) => write!(f, "there is a listener '{name}' already"),
            ListenerError::TooMany => write!(f, "there are at most {LISTENERS_MAX} listeners"),
        }
    }
}

impl std::error::Error for ListenerError {}

/// All listeners, and what they have in common.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// The settings of the process.
    pub common: Common,
    all: Slab<Listener>,
    last_serial: u16,
}

impl Listeners {
    /// `main`, with these settings.
    pub fn new(common: Common, settings: Settings) -> Listeners {
        let mut all = Slab::new();
        all.insert(Listener::new(MAIN_NAME, settings, MAIN.serial));
        Listeners { common, all, last_serial: MAIN.serial }
    }

    /// Lets what is chosen at random follow from a seed, for the listeners that there are.
    pub fn seed(&mut self, seed: u64) {
        self.all.iter_mut().for_each(|(slot, listener)| listener.balancer.seed(seed ^ slot as u64));
    }

    /// The first one.
    pub fn main(&self) -> &Listener {
        &self[MAIN]
    }

    /// Why pen cannot answer itself in place of servers, if there are any.
    pub fn unfit_for_dummy(&self) -> Option<String> {
        let server = self.main().balancer.servers.all().next();
        server.map(|(_, server)| format!("dummy: it takes no servers, not '{}'", server.host))
    }

    /// The first one, to be changed.
    pub fn main_mut(&mut self) -> &mut Listener {
        &mut self[MAIN]
    }

    /// What all have in common, and what is decided for one.
    pub fn parts(&mut self, at: ListenerKey) -> (&mut Common, &mut Balancer) {
        (&mut self.common, &mut self.all[usize::from(at.slot)].balancer)
    }

    /// The listener of this name, unless it was removed.
    pub fn find(&self, name: &str) -> Option<ListenerKey> {
        self.iter().find(|(_, listener)| listener.name == name).map(|(key, _)| key)
    }

    /// Those that were not removed, `main` first.
    pub fn iter(&self) -> impl Iterator<Item = (ListenerKey, &Listener)> {
        self.all().filter(|(_, listener)| !listener.is_removed)
    }

    /// Those that were removed but still have pairs as well.
    pub fn all(&self) -> impl Iterator<Item = (ListenerKey, &Listener)> {
        self.all.iter().map(|(slot, listener)| (key(slot, listener.serial), listener))
    }

    /// True if this listener is there, be it without a name.
    pub fn contains(&self, at: ListenerKey) -> bool {
        self.all.get(usize::from(at.slot)).is_some_and(|listener| listener.serial == at.serial)
    }

    /// Adds one without servers, with default settings.
    pub fn add(&mut self, name: &str) -> Result<ListenerKey, ListenerError> {
        if self.find(name).is_some() {
            return Err(ListenerError::Exists(String::from(name)));
        }
        // Those that were removed take slots, too.
        if self.iter().count() >= LISTENERS_MAX || self.all.len() >= usize::from(u16::MAX) {
            return Err(ListenerError::TooMany);
        }
        self.last_serial = self.last_serial.wrapping_add(1);
        let slot = self.all.insert(Listener::new(name, Settings::default(), self.last_serial));
        Ok(key(slot, self.last_serial))
    }

    /// Takes its name from a listener.
    pub fn remove(&mut self, at: ListenerKey) {
        assert_ne!(at, MAIN, "the first listener stays");
        self[at].is_removed = true;
    }

    /// Gives a listener that was removed its name back.
    pub fn bring_back(&mut self, at: ListenerKey) {
        self[at].is_removed = false;
    }

    /// True if this listener is there and was removed.
    pub fn is_removed(&self, at: ListenerKey) -> bool {
        self[at].is_removed
    }

    /// Forgets a listener that was removed, has no pairs and listens nowhere any more.
    pub fn let_go(&mut self, at: ListenerKey) {
        let Listener { is_removed, pairs, at: addresses, .. } = &self[at];
        if *is_removed && *pairs == 0 && addresses.is_empty() {
            self.all.remove(usize::from(at.slot));
        }
    }

    /// Whether somebody may look at the status port.
    pub fn status_allows(&self, from: ClientAddr) -> bool {
        self.main().balancer.acls.check(self.common.status_acl, from)
    }

    /// So many intervals of the history are over: what went on lately at each server.
    pub fn note_lately(&mut self, intervals: usize) {
        self.all.iter_mut().for_each(|(_, listener)| listener.balancer.servers.note_lately(intervals));
    }

    /// Whether somebody may use the control port.
    pub fn control_allows(&self, from: ClientAddr) -> bool {
        self.main().balancer.acls.check(self.common.control_acl, from)
    }
}

impl Index<ListenerKey> for Listeners {
    type Output = Listener;

    fn index(&self, at: ListenerKey) -> &Listener {
        &self.all[usize::from(at.slot)]
    }
}

impl IndexMut<ListenerKey> for Listeners {
    fn index_mut(&mut self, at: ListenerKey) -> &mut Listener {
        &mut self.all[usize::from(at.slot)]
    }
}

fn key(slot: usize, serial: u16) -> ListenerKey {
    ListenerKey { slot: u16::try_from(slot).expect("there are fewer listeners than that"), serial }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Server;
    use crate::balance::acl::Entry;
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Now;

    fn listeners() -> Listeners {
        Listeners::new(Common::default(), Settings::default())
    }

    fn names(listeners: &Listeners) -> Vec<&str> {
        listeners.iter().map(|(_, listener)| listener.name.as_str()).collect()
    }

    #[test]
    fn a_server_is_told_with_its_address_and_a_port_if_it_has_one() {
        let mut listeners = listeners();
        let servers = &mut listeners.main_mut().balancer.servers;
        for (number, operand) in (0..).zip(["192.0.2.1:80", "[2001:db8::1]:80", "/run/web.sock"]) {
            let spec = ServerSpec::parse(operand, &Services::default()).unwrap();
            let id = ServerId::Regular(number);
            servers.set(id, Server::new(&spec, 0)).unwrap();
        }
        let told = [0, 1, 2].map(|number| listeners.main().name_of(ServerId::Regular(number)));
        assert_eq!(told, ["server 0 (192.0.2.1:80)", "server 1 ([2001:db8::1]:80)", "server 2 (/run/web.sock)"]);
    }

    #[test]
    fn the_control_port_has_its_own_list() {
        let mut listeners = listeners();
        let client = ClientAddr::Inet("192.0.2.1".parse().unwrap());
        assert!(listeners.control_allows(client));
        listeners.common.control_acl = 1;
        let acls = &mut listeners.main_mut().balancer.acls;
        acls.add(1, Entry::parse(&["permit", "127.0.0.1"]).unwrap()).unwrap();
        assert!(!listeners.control_allows(client));
        assert!(listeners.control_allows(ClientAddr::Unix) && listeners.status_allows(client));
        listeners.common.status_acl = 1;
        assert!(!listeners.status_allows(client));
        assert!(!listeners.main_mut().balancer.admit(client, 1, Now::default()).refused);
    }

    #[test]
    fn a_name_is_one_listener_s_until_that_is_removed() {
        let mut listeners = listeners();
        assert_eq!(listeners.find("main"), Some(MAIN));
        assert_eq!(listeners.add("main"), Err(ListenerError::Exists(String::from("main"))));
        let first = listeners.add("tls").unwrap();
        assert_eq!(listeners.add("tls").unwrap_err().to_string(), "there is a listener 'tls' already");
        listeners[first].pairs = 1;
        listeners.remove(first);
        assert_eq!((listeners.find("tls"), names(&listeners)), (None, vec!["main"]));
        let second = listeners.add("tls").unwrap();
        assert_ne!(first, second);
        assert_eq!((listeners.find("tls"), listeners.all().count()), (Some(second), 3));
    }

    #[test]
    fn one_that_was_removed_stays_until_its_last_pair_has_gone_and_it_listens_nowhere() {
        let mut listeners = listeners();
        let at = listeners.add("tls").unwrap();
        (listeners[at].pairs, listeners[at].at) = (1, vec![String::from("443")]);
        listeners.let_go(at);
        listeners.remove(at);
        for (pairs, addresses, stays) in [(1, 1, true), (0, 1, true), (1, 0, true), (0, 0, false)] {
            listeners[at].pairs = pairs;
            listeners[at].at.truncate(0);
            listeners[at].at.resize(addresses, String::from("443"));
            listeners.let_go(at);
            assert_eq!(listeners.contains(at), stays, "{pairs} {addresses}");
        }
        let next = listeners.add("tls").unwrap();
        assert_eq!(next.slot, at.slot);
        assert!(!listeners.contains(at), "whoever has the old key is not taken for one of the new");
        listeners.remove(next);
        listeners.bring_back(next);
        listeners.let_go(next);
        assert_eq!(listeners.find("tls"), Some(next));
    }

    #[test]
    fn there_are_not_more_listeners_than_there_may_be() {
        let mut listeners = listeners();
        (1..LISTENERS_MAX).for_each(|n| _ = listeners.add(&format!("l{n}")).unwrap());
        assert_eq!(listeners.add("more"), Err(ListenerError::TooMany));
        listeners.remove(listeners.find("l7").unwrap());
        listeners.add("more").unwrap();
    }

    #[test]
    fn diagnostics_name_the_listener_of_a_server_unless_it_is_the_first() {
        let mut listeners = listeners();
        let at = listeners.add("tls").unwrap();
        assert_eq!(listeners.main().name_of(ServerId::Regular(3)), "server 3");
        assert_eq!(listeners[at].name_of(ServerId::Abuse), "abuse server of tls");
    }
}
