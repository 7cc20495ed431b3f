//! Servers whose names have no address yet.
//!
//! A name is asked for until there is an answer; until then its server is down. Each question has
//! a number of its own, so that an answer to an old one is not taken for a new one.

use std::net::IpAddr;
use std::time::Duration;

use super::Proxy;
use crate::balance::{ListenerKey, Listeners, Server, ServerId};
use crate::base::operand::Host;
use crate::base::time::Moment;
use crate::control::event::OfServer;
use crate::net::{Net, NoAddress};

/// How long to wait before asking again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// The names that are looked up.
#[derive(Debug, Default)]
pub struct Names {
    open: Vec<Question>,
    last_request: usize,
}

#[derive(Debug)]
struct Question {
    listener: ListenerKey,
    id: ServerId,
    name: String,
    state: Asked,
    /// The operator knows that there is no address.
    has_told: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// By this request.
    Now(usize),
    /// Not before this moment.
    Later(Moment),
}

impl Names {
    /// The questions to begin with: servers without an address are asked for in the first turn.
    pub fn new(listeners: &Listeners) -> Names {
        let all = listeners.all();
        let servers = all.flat_map(|(at, listener)| listener.balancer.servers.all().map(move |server| (at, server)));
        let unknown = servers.filter(|(_, (_, server))| server.endpoints.is_empty());
        let open = unknown.filter_map(|(listener, (id, server))| match &server.host {
            Host::Name(name) => Some(Question {
                listener,
                id,
                name: name.clone(),
                state: Asked::Later(Moment::default()),
                // The start has told.
                has_told: true,
            }),
            Host::Addr(_) | Host::Unix(_) => None,
        });
        Names { open: open.collect(), last_request: 0 }
    }

    /// A number that no other question has.
    pub(super) fn new_request(&mut self) -> usize {
        self.last_request += 1;
        self.last_request
    }

    /// Asks no more for servers of a listener.
    pub(super) fn forget(&mut self, listener: ListenerKey) {
        self.open.retain(|question| question.listener != listener);
    }

    /// When to ask again.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let due = self.open.iter().filter_map(|question| match question.state {
            Asked::Later(moment) => Some(moment),
            Asked::Now(_) => None,
        });
        due.min()
    }
}

impl<N: Net> Proxy<N> {
    /// Looks up the name that a server has now, in place of one that it had before.
    pub(super) fn look_up_server(&mut self, listener: ListenerKey, id: ServerId) {
        self.names.open.retain(|question| (question.listener, question.id) != (listener, id));
        let Some(server) = self.server(listener, id) else { return };
        let Host::Name(name) = &server.host else { return };
        let question =
            Question { listener, id, name: name.clone(), state: Asked::Later(self.now.moment), has_told: false };
        self.names.open.push(question);
    }

    fn server(&self, listener: ListenerKey, id: ServerId) -> Option<&Server> {
        if self.listeners.contains(listener) { self.listeners[listener].balancer.servers.server(id) } else { None }
    }

    /// Asks for what is due.
    pub(super) fn ask_names(&mut self) {
        for index in 0..self.names.open.len() {
            let is_due = matches!(self.names.open[index].state, Asked::Later(due) if due <= self.now.moment);
            if is_due {
                let request = self.names.new_request();
                let question = &mut self.names.open[index];
                question.state = Asked::Now(request);
                self.net.resolve(request, &question.name);
            }
        }
    }

    /// An answer came.
    #[cold]
    pub(super) fn resolved(&mut self, request: usize, answer: Result<Vec<IpAddr>, NoAddress>) {
        let first =
            answer.as_ref().map_err(|why| *why).and_then(|found| found.first().copied().ok_or(NoAddress::NoSuchName));
        if self.session_resolved(request, first) {
            return;
        }
        let open = &mut self.names.open;
        let Some(place) = open.iter().position(|question| question.state == Asked::Now(request)) else { return };
        let Question { listener, id, .. } = open[place];
        let is_current = match self.server(listener, id).map(|server| &server.host) {
            Some(Host::Name(name)) => *name == self.names.open[place].name,
            Some(Host::Addr(_) | Host::Unix(_)) | None => false,
        };
        let open = &mut self.names.open;
        if !is_current {
            open.remove(place);
            return;
        }
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                let question = open.remove(place);
                self.listeners[listener].balancer.servers.resolved(id, addresses);
                self.idlers.follow();
                self.checks.follow();
                if question.has_told {
                    self.tell_server(listener, id, OfServer::Resolved);
                }
            }
            Ok(_) | Err(_) => {
                let question = &mut open[place];
                question.state = Asked::Later(self.now.moment + ASK_AGAIN);
                // One whose name was given anew still has the addresses of before.
                let servers = &self.listeners[listener].balancer.servers;
                let is_down = servers.server(id).is_some_and(|server| server.endpoints.is_empty());
                if is_down && !std::mem::replace(&mut question.has_told, true) {
                    self.tell_server(listener, id, OfServer::Unresolved);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::balance::{Common, MAIN, Settings};
    use crate::base::addr::{Endpoint, Source};
    use crate::base::diag::Severity;
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Now;
    use crate::net::{Event, ListenOptions, LogTarget, Token};
    use crate::proxy::fake::Nothing;
    use crate::proxy::listener::Arriving;
    use crate::proxy::trust::Trust;
    use crate::proxy::{Nobody, Rights, Start};

    /// A world with nothing in it but names.
    #[derive(Debug, Default)]
    struct World {
        now: u64,
        /// Events of the next turn.
        events: Vec<Event>,
        asked: Vec<(usize, String)>,
        said: Vec<String>,
    }

    impl Net for World {
        type Listener = ();
        type Stream = Nothing;
        type Log = Nothing;

        fn listen(&mut self, _: &Endpoint, _: ListenOptions, _: Token) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn local(&self, (): &()) -> io::Result<Endpoint> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn accept(&mut self, (): &mut ()) -> io::Result<(Nothing, Endpoint)> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn connect(&mut self, _: &Endpoint, _: Option<Source>) -> io::Result<Nothing> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn is_lack(&self, _: &io::Error) -> bool {
            false
        }

        fn watch(&mut self, stream: &mut Nothing, _: Token) -> io::Result<()> {
            match *stream {}
        }

        /// Time goes on only here, and as far as it was asked to.
        fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<Now> {
            events.append(&mut self.events);
            if events.is_empty() {
                self.now += timeout.map_or(0, |timeout| timeout.as_nanos() as u64);
            }
            Ok(Now { moment: Moment::from_nanos(self.now), unix: 0 })
        }

        fn resolve(&mut self, request: usize, name: &str) {
            self.asked.push((request, String::from(name)));
        }

        fn open_log(&mut self, _: &LogTarget) -> io::Result<Nothing> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn read_commands(&mut self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn say(&mut self, _: Severity, text: &str) {
            self.said.push(String::from(text));
        }

        fn dump(&mut self, _: &[u8]) {}
    }

    /// A proxy with these servers, whose listener has been looked at.
    fn proxy(servers: &[&str]) -> Proxy<World> {
        let mut listeners = Listeners::new(Common::default(), Settings::default());
        for (index, text) in (0..).zip(servers) {
            let server = Server::new(&ServerSpec::parse(text, &Services::default()).unwrap(), 80);
            listeners.main_mut().balancer.servers.set(ServerId::Regular(index), server).unwrap();
        }
        let start = Start {
            listening: vec![Arriving::new(MAIN, (), String::new())],
            control: None,
            control_at: String::new(),
            rights: Rights::default(),
            log: None,
            capture: None,
            pid: 1,
            services: Services::default(),
        };
        let mut proxy = Proxy::new(World::default(), listeners, start);
        turn(&mut proxy);
        proxy
    }

    fn turn(proxy: &mut Proxy<World>) {
        proxy.turn(&mut Nobody).unwrap();
    }

    /// The questions since the last time.
    fn asked(proxy: &mut Proxy<World>) -> Vec<(usize, String)> {
        std::mem::take(&mut proxy.net().asked)
    }

    fn answer(proxy: &mut Proxy<World>, request: usize, answer: Result<&str, NoAddress>) {
        let answer = answer.map(|ip| vec![ip.parse().unwrap()]);
        proxy.net().events.push(Event::Resolved { request, answer });
        turn(proxy);
    }

    fn obey(proxy: &mut Proxy<World>, line: &str) {
        let mut work = proxy.obey(line.as_bytes(), Trust::Full);
        proxy.work(&mut work, None);
    }

    fn endpoints(proxy: &Proxy<World>, index: usize) -> Vec<String> {
        proxy
            .listeners
            .main()
            .balancer
            .servers
            .regular(index)
            .unwrap()
            .endpoints
            .iter()
            .map(Endpoint::to_string)
            .collect()
    }

    #[test]
    fn the_loop_asks_at_once_for_what_the_start_did_not_find() {
        let mut proxy = proxy(&["host0", "192.0.2.1", "host2:81"]);
        let questions = asked(&mut proxy);
        assert_eq!(questions, [(1, String::from("host0")), (2, String::from("host2"))]);
        answer(&mut proxy, 2, Ok("192.0.2.7"));
        answer(&mut proxy, 1, Ok("::1"));
        assert_eq!(endpoints(&proxy, 0), ["[::1]:80"]);
        assert_eq!(endpoints(&proxy, 2), ["192.0.2.7:81"]);
        let said = ["server 2 (host2:81) has an address now", "server 0 (host0:80) has an address now"];
        assert_eq!(proxy.net().said, said);
        assert_eq!(proxy.names.next_due(), None);
    }

    #[test]
    fn a_name_without_an_address_is_asked_for_again_every_30_s_and_told_once() {
        let mut proxy = proxy(&[]);
        obey(&mut proxy, "server 0 address host0 port 80");
        turn(&mut proxy);
        for (seconds, why) in [(0, NoAddress::NoAnswer), (30, NoAddress::NoSuchName), (60, NoAddress::NoAnswer)] {
            assert_eq!(proxy.net().now, seconds * 1_000_000_000);
            let questions = asked(&mut proxy);
            assert_eq!(questions.len(), 1, "at {seconds} s");
            answer(&mut proxy, questions[0].0, Err(why));
            turn(&mut proxy);
        }
        let said = ["server 0 (host0:80) was added", "server 0 (host0:80) has no address; asking again every 30 s"];
        assert_eq!(proxy.net().said, said);
        let request = asked(&mut proxy)[0].0;
        answer(&mut proxy, request, Ok("192.0.2.7"));
        assert_eq!(endpoints(&proxy, 0), ["192.0.2.7:80"]);
    }

    #[test]
    fn an_answer_to_an_old_question_counts_for_nothing() {
        let mut proxy = proxy(&["host0"]);
        let old = asked(&mut proxy)[0].0;
        obey(&mut proxy, "server 0 address other");
        turn(&mut proxy);
        let new = asked(&mut proxy)[0].0;
        answer(&mut proxy, old, Ok("192.0.2.1"));
        assert!(endpoints(&proxy, 0).is_empty());
        answer(&mut proxy, new, Ok("192.0.2.2"));
        answer(&mut proxy, old, Ok("192.0.2.1"));
        assert_eq!(endpoints(&proxy, 0), ["192.0.2.2:80"]);
        // A number in place of the name: the question is void.
        obey(&mut proxy, "server 0 address third");
        turn(&mut proxy);
        let void = asked(&mut proxy)[0].0;
        obey(&mut proxy, "server 0 address 192.0.2.9");
        answer(&mut proxy, void, Ok("192.0.2.3"));
        assert_eq!(endpoints(&proxy, 0), ["192.0.2.9:80"]);
        answer(&mut proxy, 4711, Ok("192.0.2.4"));
        assert_eq!(endpoints(&proxy, 0), ["192.0.2.9:80"]);
    }
}
