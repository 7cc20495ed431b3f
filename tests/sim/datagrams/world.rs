//! What goes on beyond pen's sockets: datagrams travel, get lost, come in another order, and are answered or not.
//!
//! A question says who asks and which it is: listener, client, number, each a byte, and then as many bytes as it is to
//! be long. An answer is the question with the server and the number of the answer before it.
//!
//! Where pen trusts proxies, all questions come by them: several clients have one in common, and each datagram a header
//! that says whose it is; now and then one has none.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pen::base::addr::Endpoint;
use pen::base::proxy_version::ProxyVersion;
use pen::inspect::proxy_protocol::{Decoded, Route, Transport, decode, encode};
use pen::net::{Event, Inbox, Outbox, Ready, Signal, Token, Way};
use pen::proxy::listener::listening_token;

use super::super::choices::Choices;
use super::{Manner, Plan};

/// When it begins.
pub const START: u64 = 1_000_000_000;

/// Datagrams that a queue in the kernel has room for.
const QUEUE_MAX: usize = 100;

/// Lines of a trace that are kept.
const TRACE_MAX: usize = 5_000;

/// Something that will happen.
#[derive(Clone, Debug)]
enum Action {
    /// A client asks, by its number and that of the question.
    Ask(usize, usize),
    /// A datagram arrives at a listener.
    Arrive(usize, Way, Vec<u8>),
    /// A datagram arrives at the server to which a socket leads.
    Reach(usize, Vec<u8>),
    /// An answer arrives at a socket.
    Answer(usize, Vec<u8>),
    /// An error arrives there.
    Fail(usize),
    /// An edge that is owed after a `WouldBlock`: of a listener, or of a socket.
    Owed(Option<usize>, usize),
    /// A signal comes in.
    Send(Signal),
}

/// A queue of a socket, and what is told of it.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Way, Vec<u8>)>,
    error: bool,
    is_armed: bool,
    has_edge: bool,
}

impl Queue {
    fn stir(&mut self) {
        if self.is_armed && (self.error || !self.waiting.is_empty()) {
            self.is_armed = false;
            self.has_edge = true;
        }
    }
}

/// A socket of pen's that leads to a server.
#[derive(Debug)]
struct Socket {
    server: usize,
    queue: Queue,
    token: Option<Token>,
    is_open: bool,
}

/// Everything beyond the seam.
#[derive(Debug)]
pub struct World {
    pub plan: Plan,
    pub now: u64,
    pub choices: Choices,
    pub signals: Vec<Signal>,
    /// Listeners that pen has open.
    pub listening: usize,
    /// By client and question.
    pub answers: Vec<Vec<u64>>,
    queues: Vec<Queue>,
    sockets: Vec<Socket>,
    waits: u64,
    actions: u64,
    schedule: BTreeMap<(u64, u64), Action>,
    order: u64,
    trace: Option<VecDeque<String>>,
}

/// Where a server is.
pub fn address(server: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(server).unwrap() + 1], 53))
}

/// Where a client is if a proxy tells of it, and what it asked there.
fn told(client: usize) -> Route {
    let last = u8::try_from(client).unwrap();
    let at = |ip, port| Endpoint::inet(SocketAddr::from((ip, port)));
    Route { from: at([172, 16, 0, last / 2], 2000 + u16::from(last)), to: at([203, 0, 113, 9], 5353) }
}

/// The way of a client, each of which asks an address of its own.
fn way(client: usize) -> Way {
    let last = u8::try_from(client).unwrap();
    Way {
        // Some have an address in common.
        client: SocketAddr::from(([10, 0, 0, last / 2], 1000 + u16::from(last))),
        local: Some(IpAddr::from([198, 51, 100, last])),
    }
}

impl World {
    pub fn new(plan: Plan, choices: Choices, traced: bool) -> World {
        let mut world = World {
            now: START,
            choices,
            signals: Vec::new(),
            listening: 0,
            answers: plan.clients.iter().map(|client| vec![0; client.asks.len()]).collect(),
            queues: (0..plan.listeners).map(|_| Queue { is_armed: true, ..Queue::default() }).collect(),
            sockets: Vec::new(),
            waits: 0,
            actions: 0,
            schedule: BTreeMap::new(),
            order: 0,
            trace: traced.then(VecDeque::new),
            plan,
        };
        for (client, plan) in world.plan.clients.clone().into_iter().enumerate() {
            for (ask, (at, _)) in plan.asks.into_iter().enumerate() {
                world.after(at, Action::Ask(client, ask));
            }
        }
        for (at, signal) in world.plan.signals.clone() {
            world.after(at, Action::Send(signal));
        }
        world
    }

    fn after(&mut self, time: Duration, action: Action) {
        self.order += 1;
        self.schedule.insert((self.now + u64::try_from(time.as_nanos()).unwrap(), self.order), action);
    }

    /// A datagram sets out: it arrives after a while, or not.
    fn travel(&mut self, action: Action) {
        let (low, high) = self.plan.latency;
        let time = self.choices.micros(low.min(high), high);
        if self.choices.one_in(self.plan.loss) {
            return self.note(|| format!("lost: {action:?}"));
        }
        self.after(time, action);
    }

    pub fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE_MAX {
                trace.pop_front();
            }
            let text: String = text().chars().take(200).collect();
            trace.push_back(format!("{:>12.6} {text}", now as f64 / 1e9));
        }
    }

    pub fn trace(&self) -> String {
        self.trace.iter().flatten().map(|line| format!("{line}\n")).collect()
    }

    /// Sockets that pen has open.
    pub fn open(&self) -> usize {
        self.sockets.iter().filter(|socket| socket.is_open).count()
    }

    /// Sockets that there were in all.
    pub fn opened(&self) -> usize {
        self.sockets.len()
    }

    /// True if nothing is on its way, and all clients have asked.
    pub fn is_over(&self) -> bool {
        self.schedule.is_empty() && self.queues.iter().all(|queue| queue.waiting.is_empty())
    }

    /// Turns are for something.
    pub fn assert_turns(&self) {
        let asks: u64 = self.plan.clients.iter().map(|client| client.asks.len() as u64).sum();
        let limit = 200 + 3 * self.actions + 40 * asks;
        assert!(self.waits < limit, "{} turns for {} events", self.waits, self.actions);
    }

    /// What is still on its way arrives without pen.
    pub fn finish(&mut self) {
        while !self.schedule.is_empty() {
            self.step();
        }
    }

    fn step(&mut self) {
        let ((moment, _), action) = self.schedule.pop_first().expect("something is to happen");
        self.now = self.now.max(moment);
        self.actions += 1;
        self.note(|| format!("{action:?}"));
        match action {
            Action::Ask(client, ask) => {
                let plan = &self.plan.clients[client];
                let mut bytes = vec![0; plan.asks[ask].1];
                let head = [plan.listener, client, ask].map(|number| u8::try_from(number).unwrap());
                bytes[..3].copy_from_slice(&head);
                let (listener, way) = (plan.listener, self.way_of(client));
                let header = self.header_of(client);
                self.travel(Action::Arrive(listener, way, [header, bytes].concat()));
            }
            Action::Arrive(listener, way, bytes) => {
                let queue = &mut self.queues[listener];
                if self.listening > 0 && queue.waiting.len() < QUEUE_MAX {
                    queue.waiting.push_back((way, bytes));
                    queue.is_armed |= true;
                    queue.stir();
                }
            }
            Action::Reach(socket, bytes) => self.reach(socket, &bytes),
            Action::Answer(socket, bytes) => {
                let socket = &mut self.sockets[socket];
                // To a socket that is closed nothing comes any more.
                if socket.is_open && socket.queue.waiting.len() < QUEUE_MAX {
                    socket.queue.waiting.push_back((way(0), bytes));
                    socket.queue.is_armed |= true;
                    socket.queue.stir();
                }
            }
            Action::Fail(socket) => {
                let socket = &mut self.sockets[socket];
                socket.queue.error = socket.is_open;
                socket.queue.is_armed |= true;
                socket.queue.stir();
            }
            Action::Owed(None, listener) => self.queues[listener].stir(),
            Action::Owed(Some(_), socket) => self.sockets[socket].queue.stir(),
            Action::Send(signal) => self.signals.push(signal),
        }
    }

    fn has_proxies(&self) -> bool {
        self.plan.settings.proxy_accept.is_some()
    }

    /// By which way pen hears of a client, and answers: the client's own, or that of a proxy that three have in common.
    fn way_of(&self, client: usize) -> Way {
        if self.has_proxies() { way(client / 3) } else { way(client) }
    }

    /// What a proxy says of a client before its question; nothing if it is one that is out of its mind.
    fn header_of(&mut self, client: usize) -> Vec<u8> {
        if !self.has_proxies() || self.choices.one_in(self.plan.odd.saturating_mul(4)) {
            return Vec::new();
        }
        encode(ProxyVersion::V2, Transport::Datagram, &told(client))
    }

    /// What a server is told before a question, which is taken away.
    fn told_of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.plan.settings.proxy_protocol.is_none() {
            return bytes;
        }
        let Decoded::Header(length, Some(route)) = decode(bytes, Transport::Datagram) else {
            panic!("each datagram has a header")
        };
        let client = usize::from(bytes[length + 1]);
        let own = || {
            let Way { client, local } = way(client);
            Route { from: Endpoint::inet(client), to: Endpoint::inet(SocketAddr::new(local.unwrap(), 53)) }
        };
        assert_eq!(route, if self.has_proxies() { told(client) } else { own() }, "it is the client's");
        &bytes[length..]
    }

    /// A server has a question.
    fn reach(&mut self, socket: usize, bytes: &[u8]) {
        let bytes = self.told_of(bytes);
        let server = self.sockets[socket].server;
        let (of, _, manner) = self.plan.servers[server];
        assert_eq!(of, usize::from(bytes[0]), "a server has questions of its own listener's clients only");
        let manner = self.manner(manner);
        match manner {
            Manner::Silent | Manner::Flaky => {}
            Manner::Absent | Manner::Unreachable => self.travel(Action::Fail(socket)),
            Manner::Sound => {
                for number in 0..self.plan.settings.udp_responses.unwrap_or(1) {
                    let head = [u8::try_from(server).unwrap(), u8::try_from(number).unwrap()];
                    self.travel(Action::Answer(socket, [&head, bytes].concat()));
                }
            }
        }
    }

    fn manner(&mut self, manner: Manner) -> Manner {
        match manner {
            Manner::Flaky => *self.choices.pick(&[Manner::Sound, Manner::Absent, Manner::Silent]),
            plain => plain,
        }
    }

    /// Whether something is lacking for a call.
    pub fn lacks(&mut self) -> bool {
        self.open() >= self.plan.descriptors || self.choices.one_in(self.plan.lack)
    }

    /// Whether memory is.
    pub fn lacks_memory(&mut self) -> bool {
        self.choices.one_in(self.plan.lack)
    }

    /// A call fails for no reason, now and then; after that an edge is owed if it would have blocked.
    fn oddity(&mut self, socket: Option<usize>, number: usize) -> io::Result<()> {
        if !self.choices.one_in(self.plan.odd) {
            return Ok(());
        }
        if self.choices.one_in(2) {
            return Err(ErrorKind::Interrupted.into());
        }
        let time = self.choices.micros(1, 2_000);
        match socket {
            None => self.queues[number].is_armed = true,
            Some(_) => self.sockets[number].queue.is_armed = true,
        }
        self.after(time, Action::Owed(socket, number));
        Err(ErrorKind::WouldBlock.into())
    }

    pub fn receive(&mut self, listener: usize, inbox: &mut Inbox) -> io::Result<()> {
        inbox.clear();
        self.oddity(None, listener)?;
        let queue = &mut self.queues[listener];
        if queue.waiting.is_empty() {
            queue.is_armed = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = self.choices.part(queue.waiting.len().min(pen::net::BATCH_MAX));
        let taken: Vec<(Way, Vec<u8>)> = self.queues[listener].waiting.drain(..most).collect();
        for (slot, (_, bytes)) in inbox.slots().zip(&taken) {
            slot[..bytes.len()].copy_from_slice(bytes);
        }
        taken.iter().for_each(|(way, bytes)| inbox.push(*way, bytes.len()));
        self.note(|| format!("pen receives {most}"));
        Ok(())
    }

    /// Answers arrive at once: from here on nothing is pen's.
    pub fn answer(&mut self, by: usize, outbox: &Outbox, first: usize) -> io::Result<usize> {
        if self.choices.one_in(self.plan.odd) {
            let kinds = [ErrorKind::Interrupted, ErrorKind::WouldBlock, ErrorKind::InvalidInput];
            return Err((*self.choices.pick(&kinds)).into());
        }
        let most = self.choices.part(outbox.from(first).len());
        for (to, bytes) in outbox.from(first).take(most) {
            let (server, listener, client, ask) =
                (usize::from(bytes[0]), usize::from(bytes[2]), usize::from(bytes[3]), usize::from(bytes[4]));
            assert_eq!(to, self.way_of(client), "an answer goes to the client that asked, from where it asked");
            assert_eq!((self.plan.clients[client].listener, by), (listener, listener), "by the socket that was asked");
            assert_eq!(self.plan.servers[server].0, listener, "and is one of its listener's servers");
            assert_eq!(bytes.len(), self.plan.clients[client].asks[ask].1 + 2, "whole");
            self.answers[client][ask] += 1;
        }
        self.note(|| format!("pen answers {most}"));
        Ok(most)
    }

    pub fn connect(&mut self, to: SocketAddr) -> io::Result<usize> {
        let server = (0..self.plan.servers.len()).find(|server| address(*server) == to).expect("it is a server");
        if self.lacks() {
            return Err(io::Error::from_raw_os_error(24));
        }
        let (_, max, manner) = self.plan.servers[server];
        let open = self.sockets.iter().filter(|socket| socket.is_open && socket.server == server).count();
        assert!(max == 0 || open < max as usize, "the limit of server {server} holds");
        if manner == Manner::Unreachable && self.choices.one_in(2) {
            return Err(ErrorKind::NetworkUnreachable.into());
        }
        self.sockets.push(Socket { server, queue: Queue::default(), token: None, is_open: true });
        self.note(|| format!("pen opens a socket to server {server}"));
        Ok(self.sockets.len() - 1)
    }

    pub fn watch(&mut self, socket: usize, token: Token) -> io::Result<()> {
        if self.choices.one_in(self.plan.lack) {
            return Err(io::Error::from_raw_os_error(12));
        }
        let is_taken = |other: &Socket| other.is_open && other.token == Some(token);
        assert!(!self.sockets.iter().any(is_taken), "{token:?} is watched twice");
        let socket = &mut self.sockets[socket];
        assert_eq!(socket.token, None, "a socket is watched once");
        (socket.token, socket.queue.is_armed) = (Some(token), true);
        socket.queue.stir();
        Ok(())
    }

    pub fn close(&mut self, socket: usize) {
        self.note(|| format!("pen closes socket {socket}"));
        let socket = &mut self.sockets[socket];
        (socket.is_open, socket.queue.has_edge) = (false, false);
    }

    pub fn read(&mut self, number: usize, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(self.sockets[number].token.is_some(), "a socket is watched before it is used");
        self.oddity(Some(number), number)?;
        let socket = &mut self.sockets[number];
        if std::mem::take(&mut socket.queue.error) {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let Some((_, bytes)) = socket.queue.waiting.pop_front() else {
            socket.queue.is_armed = true;
            return Err(ErrorKind::WouldBlock.into());
        };
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    pub fn write(&mut self, number: usize, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.sockets[number].token.is_some(), "a socket is watched before it is used");
        if self.choices.one_in(self.plan.odd) {
            let kinds = [ErrorKind::Interrupted, ErrorKind::WouldBlock, ErrorKind::InvalidInput];
            return Err((*self.choices.pick(&kinds)).into());
        }
        let socket = &mut self.sockets[number];
        if std::mem::take(&mut socket.queue.error) {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        let server = socket.server;
        self.note(|| format!("pen sends {:?} to server {server}", &bytes[..3]));
        self.travel(Action::Reach(number, bytes.to_vec()));
        Ok(bytes.len())
    }

    pub fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.waits += 1;
        let deadline = timeout.map(|time| self.now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)));
        loop {
            self.collect(events);
            if !events.is_empty() {
                return Ok(());
            }
            let next = self.schedule.first_key_value().map(|(key, _)| key.0);
            match (next, deadline) {
                (Some(next), deadline) if deadline.is_none_or(|deadline| next <= deadline) => self.step(),
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    return Ok(());
                }
                (_, None) => return Err(io::Error::other("nothing will ever happen again")),
            }
        }
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        let readable = Ready { readable: true, ..Ready::default() };
        for (number, queue) in self.queues.iter_mut().enumerate() {
            if std::mem::take(&mut queue.has_edge) {
                events.push(Event::Ready { token: listening_token(number), ready: readable });
            }
        }
        for number in 0..self.sockets.len() {
            let is_spurious = self.sockets[number].is_open && self.choices.one_in(8 * self.plan.odd);
            let socket = &mut self.sockets[number];
            if (std::mem::take(&mut socket.queue.has_edge) || is_spurious && !events.is_empty())
                && let Some(token) = socket.token
            {
                events.push(Event::Ready { token, ready: readable });
            }
        }
        self.choices.shuffle(events);
        events.extend(self.signals.drain(..).map(Event::Signal));
    }
}
