//! The demonstration: pen in front of three small web servers, all in one process and one loop.
//! And the command `dummy`: pen in front of one that says the same to everybody.
//!
//! The servers use the same seam as the proxy. Each can be sent away for a while, so that there
//! is a fail-over to watch.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use slab::Slab;

use super::exchange::{self, Exchange, Progress};
use super::options::{Id, Options, Step};
use super::plan;
use super::start::World;
use crate::base::addr::Endpoint;
use crate::base::error::{Error, reason};
use crate::base::time::{Moment, Now};
use crate::net::{ListenOptions, Net, Ready, Token};
use crate::proxy::{FOREIGN, Foreign};
use crate::sys::folder::read_text;
use crate::sys::process::Readiness;

/// How many servers there are; their listeners have the first of the foreign tokens.
const SERVERS: usize = 3;
/// The first token of an exchange.
const FIRST_EXCHANGE: usize = FOREIGN + SERVERS;
/// How long a server that was sent away stays away.
const AWAY: Duration = Duration::from_secs(15);
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before another attempt to listen or to accept.
const PAUSE: Duration = Duration::from_secs(1);
/// Where pen listens, if it is free.
const PORT: u16 = 8080;
/// How many ports are tried beyond that.
const PORTS: u16 = 100;

/// The servers of the demonstration.
#[derive(Debug)]
pub struct Demo<N: Net> {
    servers: Vec<Server<N>>,
    exchanges: Slab<Serving<N::Stream>>,
    /// Which exchange is to be ended at what time, whether it still is there or not.
    ends: VecDeque<(Moment, usize, u64)>,
    opened: u64,
}

#[derive(Debug)]
struct Server<N: Net> {
    /// `None` while it is away.
    listener: Option<N::Listener>,
    at: Endpoint,
    page: Page,
    requests: u64,
    /// When to listen or accept again.
    again: Option<Moment>,
}

/// What a server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Page {
    /// Who it is and how often it was asked.
    Counting,
    /// The words that the command `dummy` always had, penctl(1).
    Dummy,
}

#[derive(Debug)]
struct Serving<S> {
    exchange: Exchange<S>,
    server: usize,
    /// Tells it from a later one in the same slot.
    serial: u64,
}

impl<N: Net> Demo<N> {
    /// Starts the servers of the demonstration, each on a free port of 127.0.0.1.
    pub fn open(net: &mut N) -> io::Result<Demo<N>> {
        Demo::with(net, &[Page::Counting; SERVERS])
    }

    /// Starts the server of the command `dummy` in the same way.
    pub fn dummy(net: &mut N) -> io::Result<Demo<N>> {
        Demo::with(net, &[Page::Dummy])
    }

    fn with(net: &mut N, pages: &[Page]) -> io::Result<Demo<N>> {
        let mut servers = Vec::new();
        for (index, &page) in pages.iter().enumerate() {
            let any = Endpoint::Inet(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            let listener = listen(net, &any, index)?;
            let at = net.local(&listener)?;
            servers.push(Server { listener: Some(listener), at, page, requests: 0, again: None });
        }
        Ok(Demo { servers, exchanges: Slab::new(), ends: VecDeque::new(), opened: 0 })
    }

    /// Where each of them listens.
    pub fn addresses(&self) -> impl Iterator<Item = &Endpoint> {
        self.servers.iter().map(|server| &server.at)
    }

    fn accept(&mut self, net: &mut N, index: usize, now: Now) {
        loop {
            let Some(listener) = &mut self.servers[index].listener else { return };
            match net.accept(listener) {
                Ok((stream, _)) => self.serve(net, stream, index, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    self.servers[index].again = Some(now.moment + PAUSE);
                    return;
                }
            }
        }
    }

    fn serve(&mut self, net: &mut N, stream: N::Stream, server: usize, now: Now) {
        let mut exchange = Exchange::new(stream);
        let entry = self.exchanges.vacant_entry();
        let (key, serial) = (entry.key(), self.opened);
        // Without being watched it would never go on, so it is dropped, as if nobody had come.
        if net.watch(exchange.stream(), Token(FIRST_EXCHANGE + key)).is_err() {
            return;
        }
        entry.insert(Serving { exchange, server, serial });
        self.opened += 1;
        self.ends.push_back((now.moment + PATIENCE, key, serial));
        self.step(key, now);
    }

    fn step(&mut self, key: usize, now: Now) {
        let Some(serving) = self.exchanges.get_mut(key) else { return };
        let index = serving.server;
        let server = &mut self.servers[index];
        let progress = serving.exchange.step(|head| server.answer(index, head, now));
        if progress == Progress::Over {
            self.exchanges.remove(key);
        }
    }

    fn expire(&mut self, now: Now) {
        while let Some((due, key, serial)) = self.ends.front().copied() {
            if due > now.moment {
                return;
            }
            self.ends.pop_front();
            if self.exchanges.get(key).is_some_and(|serving| serving.serial == serial) {
                self.exchanges.remove(key);
            }
        }
    }
}

impl<N: Net> Foreign<N> for Demo<N> {
    fn event(&mut self, net: &mut N, token: Token, _: Ready, now: Now) {
        match token.0 {
            number if number >= FIRST_EXCHANGE => self.step(number - FIRST_EXCHANGE, now),
            number => self.accept(net, number - FOREIGN, now),
        }
    }

    fn next_due(&self) -> Option<Moment> {
        let again = self.servers.iter().filter_map(|server| server.again);
        again.chain(self.ends.front().map(|end| end.0)).min()
    }

    fn tick(&mut self, net: &mut N, now: Now) {
        self.expire(now);
        for index in 0..self.servers.len() {
            let server = &mut self.servers[index];
            if server.again.is_none_or(|again| again > now.moment) {
                continue;
            }
            server.again = None;
            if server.listener.is_none() {
                match listen(net, &server.at, index) {
                    Ok(listener) => server.listener = Some(listener),
                    Err(_) => server.again = Some(now.moment + PAUSE),
                }
            }
            self.accept(net, index, now);
        }
    }
}

impl<N: Net> Server<N> {
    fn answer(&mut self, index: usize, head: &[u8], now: Now) -> Vec<u8> {
        if self.page == Page::Dummy {
            return exchange::ok("text/html", "Ulric was here.");
        }
        self.requests += 1;
        let text = if exchange::path(head) == "/die" {
            self.listener = None;
            self.again = Some(now.moment + AWAY);
            format!("Server {index} goes away for {} seconds.\n", AWAY.as_secs())
        } else {
            format!("Hello from server {index}, at {}: this is its request {}.\n", self.at, self.requests)
        };
        exchange::ok("text/plain", &text)
    }
}

fn listen<N: Net>(net: &mut N, at: &Endpoint, index: usize) -> io::Result<N::Listener> {
    net.listen(
        at,
        ListenOptions { backlog: 100, private: false, shared: false, datagrams: false, foreign: false },
        Token(FOREIGN + index),
    )
}

/// Runs the demonstration until Ctrl-C; the exit status. Options that make sense are obeyed.
pub fn run(options: &Options) -> Result<u8, Error> {
    if !options.operands.is_empty() {
        return Err(Error::usage(format!(
            "--demo has its own servers and takes no operands, not '{}'",
            options.operands[0]
        )));
    }
    let cannot = |what: &str, error: &io::Error| Error::system(format!("cannot {what}: {}", reason(error)));
    let mut world = World::open(options)?;
    let demo = Demo::open(&mut world.net).map_err(|error| cannot("start a server", &error))?;
    let port = free_port(&mut world.net).map_err(|error| cannot("find a port to listen on", &error))?;
    let mut options = options.clone();
    options.operands.push(format!("127.0.0.1:{port}"));
    options.operands.extend(demo.addresses().map(Endpoint::to_string));
    // In turn, and with a short blacklist, there is more to see; what was asked for comes after.
    let ours = [Step::Set(Id::RoundRobin, 0), Step::Set(Id::Blacklist, 5), Step::Set(Id::Debug, 0)];
    options.steps.splice(0..0, ours);
    let now = world.net.now();
    let plan = plan::check(&options, &world.services, now, &mut |path| read_text(path, true))?;
    let mut out = io::stdout();
    let said = out.write_all(advice(port, &options.operands).as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| cannot("write", &error))?;
    world.run(plan, &options, Readiness::foreground(), Some(demo))
}

/// The first port from [`PORT`] on that can be listened on.
fn free_port(net: &mut impl Net) -> io::Result<u16> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for port in PORT..PORT + PORTS {
        let at = Endpoint::Inet(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        result = listen(net, &at, SERVERS).map(|_| port);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn advice(port: u16, operands: &[String]) -> String {
    let servers = operands.get(1..).unwrap_or_default();
    let last = servers.last().map_or("", String::as_str);
    format!(
        "This is\n\n  pen -f -r -b 5 -d {}\n\n\
         with three small web servers. In another window, try\n\n\
         \x20 curl http://127.0.0.1:{port}/        several times: the servers take turns\n\
         \x20 curl http://{last}/die    that server goes away for {} seconds:\n\
         \x20                                     go on with the first, and see what is said here\n\n\
         Ctrl-C ends it. -dd shows every byte.\n\n",
        operands.join(" "),
        AWAY.as_secs(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::fake::{FakeNet, Peer};
    use super::*;

    const READY: Ready = Ready { readable: true, writable: true, read_closed: false, urgent: false, failed: false };

    fn event(demo: &mut Demo<FakeNet>, net: &mut FakeNet, token: usize) {
        let now = net.now;
        demo.event(net, Token(token), READY, now);
    }

    fn tick(demo: &mut Demo<FakeNet>, net: &mut FakeNet) {
        let now = net.now;
        demo.tick(net, now);
    }

    /// Sends a request to a server and returns what is answered.
    fn ask(demo: &mut Demo<FakeNet>, net: &mut FakeNet, index: usize, path: &str) -> String {
        let key = demo.exchanges.vacant_key();
        net.clients.push(Peer::sending(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()));
        event(demo, net, FOREIGN + index);
        let answer = match demo.exchanges.get_mut(key) {
            Some(serving) => serving.exchange.stream().got.clone(),
            None => return String::from("refused"),
        };
        demo.exchanges[key].exchange.stream().gone = true;
        event(demo, net, FIRST_EXCHANGE + key);
        assert!(!demo.exchanges.contains(key), "the connection is over");
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn each_server_says_who_it_is_and_counts() {
        let mut net = FakeNet::default();
        let mut demo = Demo::open(&mut net).unwrap();
        let at: Vec<String> = demo.addresses().map(Endpoint::to_string).collect();
        for (index, number) in [(0, 1), (1, 1), (2, 1), (1, 2)] {
            let body = format!("Hello from server {index}, at {}: this is its request {number}.\n", at[index]);
            assert!(ask(&mut demo, &mut net, index, "/").ends_with(&body));
        }
    }

    #[test]
    fn a_server_that_was_sent_away_comes_back_where_it_was() {
        let mut net = FakeNet::default();
        let mut demo = Demo::open(&mut net).unwrap();
        let listening = net.listening.clone();
        assert!(ask(&mut demo, &mut net, 1, "/die").ends_with("Server 1 goes away for 15 seconds.\n"));
        assert_eq!(net.open_listeners(), 2);
        let due = demo.servers[1].again.unwrap();
        assert_eq!(due.since(net.now.moment), AWAY);
        net.now.moment = due;
        // Somebody else has the port: it goes on trying.
        net.refuse_to_listen = true;
        tick(&mut demo, &mut net);
        assert_eq!(net.open_listeners(), 2);
        net.refuse_to_listen = false;
        net.now.moment = demo.next_due().unwrap().max(net.now.moment + PAUSE);
        tick(&mut demo, &mut net);
        assert_eq!(net.open_listeners(), 3);
        assert_eq!(net.listening.last(), Some(&listening[1]), "the same address and token");
        assert!(ask(&mut demo, &mut net, 1, "/").contains("its request 2"));
    }

    #[test]
    fn a_client_that_says_nothing_is_dropped_after_a_while() {
        let mut net = FakeNet::default();
        let mut demo = Demo::open(&mut net).unwrap();
        net.clients.push(Peer::sending(b"GET"));
        event(&mut demo, &mut net, FOREIGN);
        assert_eq!(demo.exchanges.len(), 1);
        let due = demo.next_due().unwrap();
        assert_eq!(due.since(net.now.moment), PATIENCE);
        net.now.moment = due;
        tick(&mut demo, &mut net);
        assert_eq!((demo.exchanges.len(), demo.next_due()), (0, None));
    }

    #[test]
    fn the_first_free_port_is_taken() {
        let mut net = FakeNet { refuse_ports: vec![8080, 8081], ..FakeNet::default() };
        assert_eq!(free_port(&mut net).unwrap(), 8082);
        net.refuse_to_listen = true;
        assert_eq!(free_port(&mut net).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
