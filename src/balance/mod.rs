//! The balancer: which client may come, which server it gets, and what is remembered of both.
//!
//! Only decisions: no I/O, no clock. A place at a server is claimed by [`Balancer::next_server`]
//! and must be given back by [`Balancer::release`], whatever becomes of the connect; so limits
//! hold exactly however many connects are under way.

pub mod acl;
pub mod clients;
pub mod servers;
pub mod settings;

use std::net::IpAddr;

use crate::base::addr::ClientAddr;
use crate::base::time::{Moment, Now};
use crate::select::{Candidates, Kind, Selectors, Stage};

pub use crate::select::Search;
pub use acl::Acls;
pub use clients::{Client, ClientId, Clients};
pub use servers::{Server, ServerId, Servers};
pub use settings::Settings;

/// What became of a client that came.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Its place in the client table; `None` for one that was refused.
    pub client: Option<ClientId>,
    /// Its walk through the servers, for [`Balancer::next_server`].
    pub search: Search,
    /// Whether the access list refused it: only the abuse server may serve it.
    pub refused: bool,
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
        }
    }

    /// A client came. One that the access list refuses leaves no trace in the client table, so
    /// that it cannot drive others out.
    pub fn admit(&mut self, from: ClientAddr, port: u16, now: Now) -> Admission {
        let from = canonical(from);
        if !self.acls.check(self.settings.client_acl, from) {
            let search = Search::new(from, port, None, Stage::Refused);
            return Admission { client: None, search, refused: true };
        }
        let id = self.clients.admit(from, now.moment, self.settings.tracking);
        let tracked = self.clients.client(id).and_then(Client::server);
        Admission { client: Some(id), search: Search::new(from, port, tracked, Stage::First), refused: false }
    }

    /// The next server to try, with a place claimed; `None` if there is none left.
    pub fn next_server(&mut self, search: &mut Search, now: Now) -> Option<ServerId> {
        let id = self.choose(search, now.moment)?;
        let server = self.servers.server_mut(id).expect("only servers of the table are chosen");
        server.connections += 1;
        self.claimed += 1;
        Some(id)
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

    /// The first choice is made whether or not it is available, except that nobody takes a turn
    /// who is not.
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
            () if modes.hash => Kind::Hash { with_port: modes.roundrobin },
            () => Kind::RoundRobin,
        };
        let view = View { servers: &self.servers, acls: &self.acls, search, moment, choice };
        if !modes.roundrobin
            && !modes.hash
            && let Some(index) = self.selectors.pick(Kind::Tracked, search, &view)
        {
            return Some(index);
        }
        let choice = if kind == Kind::RoundRobin { Choice::Available } else { choice };
        self.selectors.pick(kind, search, &View { choice, ..view })
    }

    fn view<'a>(&'a self, search: &'a Search, moment: Moment, choice: Choice) -> View<'a> {
        View { servers: &self.servers, acls: &self.acls, search, moment, choice }
    }

    /// A connect was made. The client is remembered with its server, if that is a regular one.
    pub fn connected(&mut self, id: ServerId, client: Option<ClientId>, now: Now) {
        if let Some(server) = self.servers.server_mut(id) {
            server.failing = false;
        }
        if let (ServerId::Regular(index), Some(client)) = (id, client) {
            self.clients.remember(client, index as usize, now.moment);
        }
    }

    /// A connect failed by the server's fault: it was refused, or took too long. The server is
    /// left out for a while. True if that is news, so that it is said once. The place is still
    /// to be given back.
    pub fn failed(&mut self, id: ServerId, now: Now) -> bool {
        let time = self.settings.blacklist;
        let Some(server) = self.servers.server_mut(id) else { return false };
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
    pub fn release(&mut self, id: ServerId) {
        let server = self.servers.server_mut(id).expect("a server with places in use stays in the table");
        server.connections = server.connections.checked_sub(1).expect("a place is given back once");
        self.claimed -= 1;
    }

    /// Counts bytes that went to the server (`up`) and came from it (`down`).
    pub fn account(&mut self, id: ServerId, client: Option<ClientId>, up: u64, down: u64) {
        if let Some(server) = self.servers.server_mut(id) {
            server.sent = server.sent.saturating_add(up);
            server.received = server.received.saturating_add(down);
        }
        if let Some(client) = client {
            self.clients.account(client, down, up);
        }
    }

    /// Whether somebody may use the control port.
    pub fn control_allows(&self, from: ClientAddr) -> bool {
        self.acls.check(self.settings.control_acl, from)
    }

    /// Panics if places were lost or given back twice. Cheap enough for every turn.
    pub fn check(&self) {
        let in_use: u64 = self.servers.all().map(|(_, server)| u64::from(server.connections)).sum();
        assert_eq!(in_use, self.claimed, "every place in use was claimed, and every other one given back");
        assert!(self.clients.len() <= self.clients.max(), "there are no more clients than there may be");
    }
}

/// What is open to a selector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Every server that there is.
    Any,
    /// Those that could serve the client at this moment.
    Available,
}

/// The servers as one search sees them.
#[derive(Clone, Copy)]
struct View<'a> {
    servers: &'a Servers,
    acls: &'a Acls,
    search: &'a Search,
    moment: Moment,
    choice: Choice,
}

impl View<'_> {
    fn is_available(&self, server: &Server, comes_back: bool) -> bool {
        !server.is_unresolved()
            && !server.is_blacklisted(self.moment)
            && server.has_place(comes_back)
            && server.acl.is_none_or(|list| self.acls.check(list, self.search.from()))
    }

    fn server(&self, index: usize) -> &Server {
        self.servers.regular(index).expect("selectors ask about open candidates only")
    }
}

impl Candidates for View<'_> {
    fn count(&self) -> usize {
        self.servers.len()
    }

    fn is_open(&self, index: usize) -> bool {
        let Some(server) = self.servers.regular(index) else { return false };
        match self.choice {
            Choice::Any => true,
            Choice::Available => {
                !self.search.has_tried(index) && self.is_available(server, self.search.tracked() == Some(index))
            }
        }
    }

    fn connections(&self, index: usize) -> u32 {
        self.server(index).connections
    }

    fn weight(&self, index: usize) -> u32 {
        self.server(index).weight
    }

    fn prio(&self, index: usize) -> i32 {
        self.server(index).prio
    }
}

/// An IPv4-mapped client counts as IPv4, wherever it comes in.
fn canonical(from: ClientAddr) -> ClientAddr {
    match from {
        ClientAddr::Inet(IpAddr::V6(ip)) => ClientAddr::Inet(ip.to_canonical()),
        ClientAddr::Inet(IpAddr::V4(_)) | ClientAddr::Unix => from,
    }
}
