//! The simulated world: virtual time, and what happens at which moment.
//!
//! The network promises as little as the seam allows. What pen's side sees of it is in
//! `sockets`; here is what goes on beyond.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use pen::balance::settings::Protocol;
use pen::base::addr::Endpoint;
use pen::net::{NoAddress, Ready, Signal, Successor, Token};

use super::capture::CaptureFile;
use super::choices::Choices;
use super::ftp::{DataEnd, Ftp, Side, Talker};
use super::peer::Peer;
use super::plan::{Lack, Odds, Plan, Reach};
use super::wire::{PEER, PROXY, Wire};

/// Something that will happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A client arrives.
    Arrive(usize),
    /// A connect comes to its end, in the way that was drawn for it.
    Settle(usize, Reach),
    /// Bytes travel on a line, from one side.
    Carry(usize, usize),
    /// The program at the far end of a line has a look.
    Tick(usize),
    /// A reset arrives at one side of a line.
    Reset(usize, usize),
    /// A client's line, or with `true` that to its server, is cut by somebody in between.
    Cut(usize, bool),
    /// A data connection of a client is cut by somebody in between.
    CutData(usize),
    /// The far end of an idler leaves; with `true` by a reset.
    Leave(usize, bool),
    /// An edge that is owed after a `WouldBlock`.
    Owed(usize),
    /// The same for a listener.
    OwedClient(usize),
    /// An edge for no reason.
    Stray,
    /// A question about a server's name is answered; or it turns out that nobody answers.
    Answer(usize, usize, bool),
    /// A signal comes in.
    Send(Signal),
    /// A successor comes to be ready, or to its end: the one with this number.
    Mature(u64, bool),
}

/// What is at the far end of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Far {
    /// A client.
    Client,
    /// A server, and which of its addresses.
    Server(usize, usize),
    /// A client or a server, for a data connection.
    Data,
}

/// How far the connection of a line has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// pen has begun to connect.
    Connecting,
    /// It is connected.
    Up,
    /// The connect has failed; this error is still to be told.
    Failed(Option<ErrorKind>),
    /// pen closed it before it was connected.
    Abandoned,
}

/// How a socket of pen's is watched.
#[derive(Debug)]
pub struct Watch {
    pub token: Token,
    /// An edge is owed as soon as a read would not block.
    pub read_armed: bool,
    /// The same for writes.
    pub write_armed: bool,
    /// What the next edge will tell.
    pub pending: Ready,
}

/// One connection of pen's.
#[derive(Debug)]
pub struct Line {
    pub wire: Wire,
    pub far: Far,
    pub stage: Stage,
    /// The client for whom it is.
    pub client: Option<usize>,
    /// A connect was really under way.
    pub was_tried: bool,
    /// pen was told that it is connected.
    pub was_used: bool,
    /// Its server left before there was a client for it.
    pub has_left: bool,
    /// The far end, or somebody in between, reset it.
    pub was_reset: bool,
    /// Bytes that pen has looked at: reads bring them without fail.
    pub promised: usize,
    /// pen holds a descriptor of it.
    pub is_open: bool,
    pub watch: Option<Watch>,
    pub peer: Option<Peer>,
    /// The control program at the far end, in place of the other sort.
    pub talker: Option<Talker>,
    /// Which end of a transfer it is.
    pub transfer: Option<DataEnd>,
    /// Nanoseconds that a byte or a FIN travels.
    pub latency: u64,
    /// Bytes that travel at once at most.
    pub grain: usize,
    pub next_tick: Option<u64>,
    pub carry_due: [bool; 2],
}

/// Calls of pen's to the seam, by sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Calls {
    pub wait: u64,
    pub gather: u64,
    pub resolve: u64,
    pub accept: u64,
    pub connect: u64,
    pub watch: u64,
    pub rewatch: u64,
    pub connected: u64,
    pub read: u64,
    pub peek: u64,
    pub write: u64,
    /// Those of them that are the last.
    pub write_last: u64,
    pub shutdown_write: u64,
    pub take_error: u64,
    pub unsent: u64,
    pub reset_on_drop: u64,
    pub no_delay: u64,
    pub settle: u64,
    pub splice: u64,
    pub say: u64,
    pub dump: u64,
    pub memory: u64,
}

/// The queue of a listener.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Lines of clients that pen has not accepted yet.
    pub waiting: VecDeque<usize>,
    pub is_open: bool,
    /// An edge is owed for the next client.
    pub is_armed: bool,
    pub has_edge: bool,
}

impl Queue {
    fn new() -> Queue {
        Queue { waiting: VecDeque::new(), is_open: true, is_armed: true, has_edge: false }
    }
}

/// What becomes of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fate {
    /// Its line, once it has arrived.
    pub line: Option<usize>,
    /// Something befell one of its lines that excuses a cut transfer.
    pub was_hit: bool,
    /// A successor took it from the queue.
    pub is_elsewhere: bool,
}

/// Everything beyond the seam.
#[derive(Debug)]
pub struct World {
    pub plan: Plan,
    pub now: u64,
    pub choices: Choices,
    pub lines: Vec<Line>,
    pub fates: Vec<Fate>,
    pub calls: Calls,
    pub calls_in_turn: u32,
    /// When pen's last wait was over.
    pub turn_began: u64,
    /// For how long more was let come since the last wait.
    pub gathered: Duration,
    /// Calls that moved something on.
    pub progress: u64,
    /// Things that happened.
    pub actions: u64,
    /// Descriptors that pen has open.
    pub open: usize,
    /// Pipes among them, of two each.
    pub open_pipes: usize,
    /// The most that it had at once, and the most connects that were under way.
    pub peaks: (usize, usize),
    /// By listener.
    pub queues: Vec<Queue>,
    /// Lines with an edge to be told.
    pub edges: Vec<usize>,
    pub strays: Vec<(Token, Ready)>,
    pub signals: Vec<Signal>,
    pub answers: Vec<(usize, Result<Vec<IpAddr>, NoAddress>)>,
    /// The client of each pair, by pen's slot.
    pub owners: BTreeMap<usize, usize>,
    /// What pen said that an operator must know.
    pub said: Vec<String>,
    /// The request log.
    pub log: Vec<u8>,
    /// The files of a capture, as they were opened.
    pub captures: Vec<CaptureFile>,
    /// pen was sent a HUP.
    pub has_hung_up: bool,
    /// The number of the successor that is being set up, and how many there were.
    pub successor: Option<u64>,
    pub successors: u64,
    /// News of it that pen has not heard.
    pub news: Vec<Successor>,
    /// A successor has the listener.
    pub is_handed_over: bool,
    /// In a world where FTP is spoken.
    pub ftp: Option<Ftp>,
    schedule: BTreeMap<(u64, u64), Action>,
    order: u64,
    trace: Option<VecDeque<String>>,
}

/// Lines of a trace that are kept.
const TRACE_MAX: usize = 20_000;

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(plan: Plan, choices: Choices, traced: bool) -> World {
        let mut world = World {
            now: 1_000_000_000,
            choices,
            lines: Vec::new(),
            fates: vec![Fate::default(); plan.clients.len()],
            calls: Calls::default(),
            calls_in_turn: 0,
            turn_began: 1_000_000_000,
            gathered: Duration::ZERO,
            progress: 0,
            actions: 0,
            open: 0,
            open_pipes: 0,
            peaks: (0, 0),
            queues: (0..plan.listeners).map(|_| Queue::new()).collect(),
            edges: Vec::new(),
            strays: Vec::new(),
            signals: Vec::new(),
            answers: Vec::new(),
            owners: BTreeMap::new(),
            said: Vec::new(),
            log: Vec::new(),
            captures: Vec::new(),
            successor: None,
            successors: 0,
            has_hung_up: false,
            news: Vec::new(),
            is_handed_over: false,
            ftp: plan.ftp.clone().map(Ftp::new),
            schedule: BTreeMap::new(),
            order: 0,
            trace: traced.then(VecDeque::new),
            plan,
        };
        let arrivals: Vec<_> = world.plan.clients.iter().map(|client| client.at).collect();
        for (client, at) in arrivals.into_iter().enumerate() {
            world.after(at, Action::Arrive(client));
        }
        for (at, action) in world.plan.events.clone() {
            world.after(at, action);
        }
        world
    }

    /// Lets something happen after a time.
    pub fn after(&mut self, time: Duration, action: Action) {
        self.at(self.now + u64::try_from(time.as_nanos()).unwrap(), action);
    }

    pub fn at(&mut self, moment: u64, action: Action) {
        self.order += 1;
        self.schedule.insert((moment, self.order), action);
    }

    /// When the next thing happens.
    pub fn next(&self) -> Option<u64> {
        self.schedule.first_key_value().map(|(key, _)| key.0)
    }

    /// True if nothing is going on any more: no client, no server, nothing on its way. Who was not accepted yet may
    /// have gone, and gets its server all the same.
    pub fn is_over(&self) -> bool {
        self.fates.iter().all(|fate| fate.line.is_some())
            && self.queues.iter().all(|queue| queue.waiting.is_empty())
            && self.lines.iter().all(|line| line.peer.as_ref().is_none_or(|peer| peer.has_ended))
            && self.lines.iter().all(|line| line.talker.as_ref().is_none_or(|talker| talker.has_ended))
    }

    /// Adds a line to the trace, if there is one.
    pub fn note(&mut self, text: impl FnOnce(&World) -> String) {
        if self.trace.is_none() {
            return;
        }
        let line = format!("{:>12.6} {}", self.now as f64 / 1e9, text(self));
        let trace = self.trace.as_mut().unwrap();
        if trace.len() == TRACE_MAX {
            trace.pop_front();
        }
        trace.push_back(line);
    }

    /// The trace, if there is one.
    pub fn trace(&self) -> String {
        self.trace.iter().flatten().map(|line| format!("{line}\n")).collect()
    }

    /// Lets happen what happens next. There must be something.
    pub fn step(&mut self) {
        let ((moment, _), action) = self.schedule.pop_first().expect("something is to happen");
        self.now = self.now.max(moment);
        self.actions += 1;
        match action {
            Action::Arrive(client) => self.arrive(client),
            Action::Settle(line, reach) => self.settle(line, reach),
            Action::Carry(line, from) => self.carry(line, from),
            Action::Tick(line) => self.tick(line),
            Action::Reset(line, side) => self.reset(line, side),
            Action::Cut(client, at_server) => self.cut(client, at_server),
            Action::CutData(client) => self.cut_data(client),
            Action::Leave(line, abort) => self.leave(line, abort),
            Action::Owed(line) => self.stir(line),
            Action::OwedClient(listener) => self.stir_listener(listener),
            Action::Stray => self.stray(),
            Action::Answer(request, server, is_answered) => {
                let ip = |address| super::plan::address(server, address).ip();
                let known = || (0..self.plan.servers[server].reach.len()).map(ip).collect();
                let answer = if is_answered { Ok(known()) } else { Err(NoAddress::NoAnswer) };
                self.answers.push((request, answer));
            }
            Action::Send(signal) => {
                self.has_hung_up |= signal == Signal::Hangup;
                self.signals.push(signal);
            }
            Action::Mature(number, is_ready) => self.mature(number, is_ready),
        }
    }

    fn arrive(&mut self, client: usize) {
        let plan = &self.plan.clients[client];
        let (up, down) = plan.keys(client);
        let mut peer = Peer::new(&plan.dialogue.client, plan.dialogue.client_reader, (up, down), self.now);
        if self.plan.settings.protocol == Protocol::Ftp {
            peer = peer.with_lines(plan.lines());
        }
        peer = peer.with_lead(self.plan.leads[0].clone());
        let line = self.add_line(Far::Client, Stage::Up, Some(client));
        match self.ftp {
            Some(_) => self.begin_talk(line, Side::Client, client),
            None => self.lines[line].peer = Some(peer),
        }
        self.fates[client].line = Some(line);
        self.fates[client].was_hit |= !self.plan.clients[client].dialogue.is_polite;
        let listener = self.plan.clients[client].listener;
        self.queues[listener].waiting.push_back(line);
        self.note(|_| format!("client {client} arrives on line {line}"));
        self.tick_after(line, 0);
        if self.is_handed_over {
            self.serve_elsewhere();
        } else if self.queues[listener].is_open {
            self.stir_listener(listener);
        } else {
            self.turn_away(listener);
        }
    }

    /// A new line, with a network of its own qualities.
    pub fn add_line(&mut self, far: Far, stage: Stage, client: Option<usize>) -> usize {
        let is_small = match &self.ftp {
            Some(ftp) => ftp.transfers.iter().flatten().all(|transfer| transfer.bytes < 600),
            None => self.plan.clients.iter().all(|client| client.dialogue.total() < 4_000),
        };
        let (sizes, grains) = self.plan.odds.sizes(is_small);
        let choices = &mut self.choices;
        let mut size = || *choices.pick(sizes);
        let (mut incoming, mut outgoing) = ([size(), size()], [size(), size()]);
        if let (Far::Client, Some(size)) = (far, self.plan.client_buffer) {
            (incoming[PEER], outgoing[PROXY]) = (size, size);
        }
        let wire = Wire::new(incoming, outgoing);
        self.lines.push(Line {
            wire,
            far,
            stage,
            client,
            was_tried: false,
            was_used: false,
            has_left: false,
            was_reset: false,
            promised: 0,
            is_open: far != Far::Client,
            watch: None,
            peer: None,
            talker: None,
            transfer: None,
            latency: self.choices.between(self.plan.odds.latency.0, self.plan.odds.latency.1) * 1000,
            grain: *self.choices.pick(grains),
            next_tick: None,
            carry_due: [false; 2],
        });
        self.lines.len() - 1
    }

    /// pen has one more descriptor.
    pub fn count_open(&mut self) {
        self.open += 1;
        let connecting = self.lines.iter().filter(|line| line.stage == Stage::Connecting).count();
        self.peaks = (self.peaks.0.max(self.open), self.peaks.1.max(connecting));
    }

    /// The program of a client.
    pub fn client(&self, number: usize) -> &Peer {
        let line = self.fates[number].line.expect("the client has come");
        self.lines[line].peer.as_ref().expect("there is a program at the far end")
    }

    /// The line to the server that serves a client, if any does.
    pub fn server_line(&self, number: usize) -> Option<&Line> {
        let mut used = self.lines.iter().filter(|line| line.client == Some(number) && line.was_used);
        let line = used.next();
        assert!(used.next().is_none(), "client {number} has one server");
        line
    }

    /// True if pen can have so much memory.
    pub fn has_memory(&mut self, bytes: usize) -> bool {
        self.calls.memory += 1;
        let odds = self.odds().memory;
        let lacks = self.window().is_some_and(|lack| matches!(lack, Lack::Memory | Lack::Buffers));
        let is_there = bytes <= self.plan.memory && !lacks && !self.choices.one_in(odds);
        self.note(|_| format!("pen asks for {bytes} bytes of memory: {is_there}"));
        is_there
    }

    /// What is lacking for calls at this moment, if anything.
    pub fn lacking(&self) -> Option<Lack> {
        if self.open >= self.plan.descriptors {
            return Some(Lack::Descriptors);
        }
        self.window().filter(|lack| *lack != Lack::Buffers)
    }

    fn window(&self) -> Option<Lack> {
        let since = Duration::from_nanos(self.now - 1_000_000_000);
        self.plan.lacks.iter().find(|window| window.from <= since && since < window.until).map(|window| window.lack)
    }

    /// The server and the number of the address at an endpoint.
    pub fn find(&self, endpoint: &Endpoint) -> (usize, usize) {
        self.plan
            .servers
            .iter()
            .enumerate()
            .find_map(|(index, server)| {
                let at = (0..server.reach.len()).find(|at| super::plan::endpoint(index, *at) == *endpoint)?;
                Some((index, at))
            })
            .expect("pen connects to addresses of its servers only")
    }

    /// What the wall clock shows, in seconds.
    pub fn unix(&self) -> u64 {
        let since = self.since_start();
        let gone = self.plan.steps.iter().filter(|(at, _)| *at <= since);
        let shown = 5_000_000_000 + i64::try_from(self.now / 1_000_000_000).unwrap();
        // Steps may add up to a time before 1970, where clocks stop.
        u64::try_from(gone.fold(shown, |shown, (_, step)| shown + step)).unwrap_or(0)
    }

    /// How long this world has been there.
    pub fn since_start(&self) -> Duration {
        Duration::from_nanos(self.now - 1_000_000_000)
    }

    pub fn odds(&self) -> Odds {
        self.plan.odds
    }
}
