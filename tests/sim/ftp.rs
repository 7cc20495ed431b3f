//! FTP: programs that talk in lines on control connections, and the data connections that come of it.
//!
//! A client makes one transfer after another; for each it and the server have a program of the usual sort at the far end
//! of a data connection: one sends a known sequence, the other one reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pen::base::addr::Endpoint;
use pen::net::{Event, Ready, Token};

use super::choices::Choices;
use super::peer::Step::{Close, End, Send};
use super::peer::{Peer, Reader, Sight};
use super::plan::{Lack, Reach};
use super::wire::PEER;
use super::world::{Action, Far, Stage, World};

/// The addresses of pen, as clients and servers see it.
const FOR_CLIENTS: [u8; 4] = [192, 0, 2, 1];
const FOR_SERVERS: [u8; 4] = [192, 0, 2, 2];

/// Which end of a transfer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    Client,
    Server,
}

/// One end of one transfer of one client.
pub type DataEnd = (usize, usize, Side);

/// One transfer.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub is_passive: bool,
    pub is_upload: bool,
    pub bytes: u64,
    /// Whoever is to connect to pen does.
    pub comes: bool,
    /// A stranger comes first.
    pub stranger: bool,
    /// How long the server waits for its data connection.
    pub patience: Duration,
    /// The client goes on as soon as the reply is there, whatever the data.
    pub hurries: bool,
    pub reader: Reader,
}

impl Transfer {
    /// Anything; without faults whoever is expected comes.
    pub fn random(choices: &mut Choices, with_faults: bool) -> Transfer {
        let bytes = *choices.pick(&[0, 1, 500, 20_000, 150_000]);
        Transfer {
            is_passive: choices.one_in(2),
            is_upload: choices.one_in(2),
            bytes: choices.below(bytes + 1),
            comes: !with_faults || !choices.one_in(6),
            stranger: choices.one_in(5),
            patience: Duration::from_secs(3),
            hurries: choices.one_in(3),
            reader: if choices.one_in(3) { Reader::Slow(2_000, Duration::from_millis(5)) } else { Reader::Eager },
        }
    }
}

/// A port of pen's where somebody is to come.
#[derive(Debug)]
struct Port {
    at: SocketAddr,
    token: Token,
    waiting: VecDeque<(usize, Endpoint)>,
    is_open: bool,
    is_armed: bool,
    has_edge: bool,
}

/// All that there is of FTP in a world.
#[derive(Debug, Default)]
pub struct Ftp {
    /// The transfers of each client.
    pub transfers: Vec<Vec<Transfer>>,
    ports: Vec<Port>,
    last_port: u16,
    /// Where clients and servers wait for pen.
    homes: BTreeMap<SocketAddr, DataEnd>,
    /// Those who do not wait any more.
    given_up: BTreeSet<DataEnd>,
    /// The line of each end that has one.
    pub lines: BTreeMap<DataEnd, usize>,
    /// The reply that ended each transfer.
    pub outcomes: BTreeMap<(usize, usize), u16>,
}

impl Ftp {
    /// The transfers of each client, of which none has begun.
    pub fn new(transfers: Vec<Vec<Transfer>>) -> Ftp {
        Ftp { transfers, ..Ftp::default() }
    }
}

/// How far a control program is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Waits for a command, or for the greeting.
    Idle,
    /// It was asked where the data is.
    Asked,
    /// A transfer is under way.
    Moving,
    /// The reply is there, and the data is still on its way.
    Finishing,
    /// Everything is said.
    Bye,
}

/// A program that talks in lines.
#[derive(Debug)]
pub struct Talker {
    side: Side,
    client: usize,
    heard: Vec<u8>,
    says: VecDeque<u8>,
    at: usize,
    /// Transfers that a server was asked for.
    begun: usize,
    state: State,
    /// Where the server is to connect, in active mode.
    to: Option<SocketAddr>,
    gives_up: Option<u64>,
    pub has_ended: bool,
}

impl Talker {
    fn new(side: Side, client: usize) -> Talker {
        let mut says = VecDeque::new();
        if side == Side::Server {
            says.extend(b"220-hello\r\n220 world\r\n");
        }
        Talker {
            side,
            client,
            heard: Vec::new(),
            says,
            at: 0,
            begun: 0,
            state: State::Idle,
            to: None,
            gives_up: None,
            has_ended: false,
        }
    }

    fn say(&mut self, line: &str) {
        self.says.extend(line.as_bytes());
        self.says.extend(b"\r\n");
    }
}

/// The address of a server for its data.
fn server_ip() -> IpAddr {
    super::plan::address(0, 0).ip()
}

fn six_numbers(address: SocketAddr) -> String {
    let port = address.port();
    format!("{},{},{}", address.ip().to_string().replace('.', ","), port >> 8, port & 255)
}

/// The address in a line.
fn told(line: &str) -> SocketAddr {
    let words = line.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let numbers: Vec<u8> = words.filter_map(|word| word.parse().ok()).collect();
    let [.., a, b, c, d, high, low] = numbers[..] else { panic!("{line}") };
    SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([high, low]))
}

impl World {
    fn ftp(&mut self) -> &mut Ftp {
        self.ftp.as_mut().expect("this is a world with FTP")
    }

    /// A control program begins at the far end of a line.
    pub fn begin_talk(&mut self, id: usize, side: Side, client: usize) {
        self.lines[id].talker = Some(Talker::new(side, client));
        self.tick_after(id, 0);
    }

    /// pen's address on a line of a control connection.
    pub fn local_of(&self, id: usize) -> io::Result<Endpoint> {
        let ip = if self.lines[id].far == Far::Client { FOR_CLIENTS } else { FOR_SERVERS };
        Ok(Endpoint::inet(SocketAddr::new(ip.into(), 80)))
    }

    /// pen opens a port.
    pub fn open_port(&mut self, at: &Endpoint, token: Token) -> io::Result<usize> {
        if let Some(lack) = self.lacking() {
            return Err(if lack == Lack::Ports { ErrorKind::AddrInUse.into() } else { lack.error() });
        }
        let Endpoint::Inet(at) = at else { panic!("data comes by TCP") };
        let ftp = self.ftp();
        ftp.last_port += 1;
        let number = if at.port() == 0 { 40_000 + ftp.last_port } else { at.port() };
        let at = SocketAddr::new(at.ip(), number);
        if ftp.ports.iter().any(|port| port.is_open && port.at == at) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let is_same = |port: &Port| port.is_open && port.token == token;
        assert!(!ftp.ports.iter().any(is_same), "{token:?} is watched twice");
        let (waiting, is_armed) = (VecDeque::new(), true);
        ftp.ports.push(Port { at, token, waiting, is_open: true, is_armed, has_edge: false });
        let port = ftp.ports.len() - 1;
        self.count_open();
        self.progress += 1;
        self.note(|_| format!("pen opens the data port {at}"));
        Ok(port)
    }

    pub fn address_of_port(&self, port: usize) -> Endpoint {
        Endpoint::inet(self.ftp.as_ref().expect("this is a world with FTP").ports[port].at)
    }

    /// pen closes a port: who waits there is reset.
    pub fn close_port(&mut self, port: usize) {
        self.open -= 1;
        self.progress += 1;
        let port = &mut self.ftp().ports[port];
        port.is_open = false;
        let (at, waiting) = (port.at, std::mem::take(&mut port.waiting));
        self.note(|_| format!("pen closes the data port {at}"));
        for (id, _) in waiting {
            self.after(Duration::ZERO, Action::Reset(id, PEER));
        }
    }

    pub fn accept_data(&mut self, port: usize) -> io::Result<(usize, Endpoint)> {
        self.calls.accept += 1;
        self.interruption()?;
        if let Some(lack) = self.lacking().filter(|lack| *lack != Lack::Ports) {
            return Err(lack.error());
        }
        let Some((id, from)) = self.ftp().ports[port].waiting.pop_front() else {
            self.ftp().ports[port].is_armed = true;
            return Err(ErrorKind::WouldBlock.into());
        };
        self.progress += 1;
        self.count_open();
        (self.lines[id].is_open, self.lines[id].was_used) = (true, true);
        Ok((id, from))
    }

    /// Edges of ports.
    pub fn collect_ports(&mut self, events: &mut Vec<Event>) {
        for port in self.ftp.iter_mut().flat_map(|ftp| &mut ftp.ports) {
            if std::mem::take(&mut port.has_edge) && port.is_open {
                let ready = Ready { readable: true, ..Ready::default() };
                events.push(Event::Ready { token: port.token, ready });
            }
        }
    }

    pub fn has_port_edges(&self) -> bool {
        self.ftp.iter().flat_map(|ftp| &ftp.ports).any(|port| port.has_edge && port.is_open)
    }

    /// Somebody connects to a port of pen's; `None` if it is not open.
    fn dial(&mut self, to: SocketAddr, from: IpAddr, end: Option<DataEnd>) -> Option<usize> {
        let port = self.ftp().ports.iter().position(|port| port.is_open && port.at == to)?;
        let id = self.add_line(Far::Data, Stage::Up, None);
        self.lines[id].is_open = false;
        match end {
            Some(end) => self.begin_data(id, end),
            // A stranger waits to be sent away.
            None => self.lines[id].peer = Some(Peer::new(&[End, Close], Reader::Eager, (7, 7), self.now)),
        }
        self.tick_after(id, 0);
        let port = &mut self.ftp().ports[port];
        port.waiting.push_back((id, Endpoint::inet(SocketAddr::new(from, 3_000))));
        if std::mem::take(&mut port.is_armed) {
            port.has_edge = true;
        }
        self.note(|_| format!("{from} comes to the data port {to} on line {id}: {end:?}"));
        Some(id)
    }

    /// pen connects to where somebody waits for data, if that is where it connects to.
    pub fn connect_data(&mut self, to: &Endpoint) -> Option<io::Result<usize>> {
        let Endpoint::Inet(at) = to else { return None };
        let end = *self.ftp.as_ref()?.homes.get(at)?;
        if let Some(lack) = self.lacking() {
            return Some(Err(lack.error()));
        }
        self.progress += 1;
        if self.ftp().given_up.contains(&end) {
            return Some(Err(ErrorKind::ConnectionRefused.into()));
        }
        let id = self.add_line(Far::Data, Stage::Connecting, None);
        self.lines[id].transfer = Some(end);
        self.count_open();
        let time = self.choices.micros(10, 30_000);
        self.after(time, Action::Settle(id, Reach::Sound));
        self.note(|_| format!("pen connects to {at} for {end:?}, line {id}"));
        Some(Ok(id))
    }

    /// The program at the far end of a data connection begins.
    pub fn begin_data(&mut self, id: usize, end: DataEnd) {
        let (client, number, side) = end;
        let plan = self.ftp().transfers[client][number].clone();
        self.ftp().lines.insert(end, id);
        self.lines[id].transfer = Some(end);
        let sends = plan.is_upload == (side == Side::Client);
        let steps = if sends { [Send(plan.bytes), Close] } else { [End, Close] };
        let key = 100 + 20 * client as u64 + number as u64;
        self.lines[id].peer = Some(Peer::new(&steps, plan.reader, (key, key), self.now));
        self.tick_after(id, 0);
    }

    /// A data connection came to its end for one side, which may go on with something else.
    pub fn data_ended(&mut self, end: DataEnd) {
        let of = |talker: &Talker| talker.client == end.0 && talker.side == end.2;
        let control = self.lines.iter().position(|line| line.talker.as_ref().is_some_and(of));
        control.into_iter().for_each(|id| self.tick_after(id, 0));
    }

    /// What the program of one end is, if it ever began.
    pub fn data_peer(&self, end: DataEnd) -> Option<&Peer> {
        let id = self.ftp.as_ref()?.lines.get(&end)?;
        self.lines[*id].peer.as_ref()
    }

    /// Somebody in between cuts the last data connection of a client.
    pub fn cut_data(&mut self, client: usize) {
        let of_client = |line: &super::world::Line| line.transfer.is_some_and(|end| end.0 == client);
        let Some(id) = self.lines.iter().rposition(of_client) else { return };
        if self.lines[id].stage != Stage::Up {
            return;
        }
        self.note(|_| format!("the data connection on line {id} is cut"));
        self.lines[id].was_reset = true;
        self.reset(id, super::wire::PROXY);
        self.reset(id, PEER);
    }

    /// Lets a control program do what it can do now.
    pub fn talk(&mut self, id: usize) {
        let Some(mut talker) = self.lines[id].talker.take() else { return };
        if !talker.has_ended {
            let mut buffer = [0; 512];
            let mut is_over = false;
            while !is_over {
                match self.lines[id].wire.read(PEER, &mut buffer) {
                    Ok(0) => is_over = true,
                    Ok(count) => talker.heard.extend(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => is_over = true,
                }
            }
            while let Some(end) = talker.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = talker.heard.drain(..=end).collect();
                let line = String::from_utf8(line).expect("it is text");
                self.note(|_| format!("line {id}: {:?} of client {} hears {line:?}", talker.side, talker.client));
                match talker.side {
                    Side::Client => self.client_hears(&mut talker, line.trim_end()),
                    Side::Server => self.server_hears(&mut talker, line.trim_end()),
                }
            }
            self.look_at_data(&mut talker, id);
            let (says, _) = talker.says.as_slices();
            if let Ok(count) = self.lines[id].wire.write(PEER, says) {
                talker.says.drain(..count);
            }
            if !talker.says.is_empty() && !self.lines[id].wire.halves[PEER].is_reset {
                self.tick_after(id, 200_000);
            }
            if is_over || (talker.state == State::Bye && talker.side == Side::Server && talker.says.is_empty()) {
                let unsent = self.lines[id].wire.halves[PEER].unsent();
                self.lines[id].wire.close(PEER, unsent);
                talker.has_ended = true;
            }
        }
        self.lines[id].talker = Some(talker);
        self.follow_up(id);
    }

    fn client_hears(&mut self, talker: &mut Talker, line: &str) {
        let Some(code) = line.get(..3).and_then(|code| code.parse::<u16>().ok()) else { return };
        if line.as_bytes().get(3) != Some(&b' ') {
            return;
        }
        let (client, number) = (talker.client, talker.at);
        match (talker.state, code) {
            (State::Idle, 220) => self.next_transfer(talker),
            (State::Asked, 227) => {
                let to = told(line);
                assert_eq!(to.ip(), IpAddr::from(FOR_CLIENTS), "clients are told of pen");
                let Endpoint::Inet(own) = self.plan.clients[client].from.clone() else { panic!("by TCP") };
                let plan = self.ftp().transfers[client][number].clone();
                if plan.stranger {
                    self.dial(to, [10, 9, 9, 9].into(), None);
                }
                if plan.comes {
                    self.dial(to, own.ip(), Some((client, number, Side::Client)));
                }
                self.begin_move(talker);
            }
            (State::Asked, 200) => self.begin_move(talker),
            (State::Moving, 100..200) => {}
            (State::Asked | State::Moving, 200..) => {
                self.ftp().outcomes.insert((client, number), code);
                talker.state = State::Finishing;
            }
            (State::Bye, _) => {}
            (state, code) => panic!("{code} in {state:?}: {line}"),
        }
    }

    fn begin_move(&mut self, talker: &mut Talker) {
        let plan = &self.ftp().transfers[talker.client][talker.at];
        talker.state = State::Moving;
        let what = if plan.is_upload { "STOR" } else { "RETR" };
        talker.say(&format!("{what} {}", talker.at));
    }

    fn next_transfer(&mut self, talker: &mut Talker) {
        let Some(plan) = self.ftp().transfers[talker.client].get(talker.at).cloned() else {
            talker.state = State::Bye;
            return talker.say("QUIT");
        };
        talker.state = State::Asked;
        if plan.is_passive {
            return talker.say("PASV");
        }
        let Endpoint::Inet(own) = self.plan.clients[talker.client].from.clone() else { panic!("by TCP") };
        let home = self.home(own.ip(), (talker.client, talker.at, Side::Client));
        talker.say(&format!("PORT {}", six_numbers(home)));
    }

    /// Somebody waits for data.
    fn home(&mut self, ip: IpAddr, end: DataEnd) -> SocketAddr {
        let ftp = self.ftp();
        let number = u16::try_from(2_000 + ftp.homes.len()).unwrap();
        let home = SocketAddr::new(ip, number);
        ftp.homes.insert(home, end);
        home
    }

    fn server_hears(&mut self, talker: &mut Talker, line: &str) {
        let word = line.split(' ').next().unwrap_or_default();
        if matches!(word, "PASV" | "PORT" | "NOOP") {
            // Each transfer begins with one of these; the last stands for a command that pen refuses.
            talker.at = talker.begun;
            talker.begun += 1;
        }
        let end = (talker.client, talker.at, Side::Server);
        match word {
            "PASV" => {
                let home = self.home(server_ip(), end);
                talker.to = None;
                talker.say(&format!("227 Entering Passive Mode ({})", six_numbers(home)));
            }
            "PORT" => {
                let to = told(line);
                assert_eq!(to.ip(), IpAddr::from(FOR_SERVERS), "servers are told of pen");
                talker.to = Some(to);
                talker.say("200 ok");
            }
            "RETR" | "STOR" => {
                talker.say("150 here it comes");
                talker.state = State::Moving;
                let plan = self.ftp().transfers[end.0][end.1].clone();
                talker.gives_up = Some(self.now + u64::try_from(plan.patience.as_nanos()).unwrap());
                if let Some(to) = talker.to.take() {
                    if plan.stranger {
                        self.dial(to, [10, 9, 9, 9].into(), None);
                    }
                    if plan.comes {
                        self.dial(to, server_ip(), Some(end));
                    }
                }
            }
            "NOOP" => talker.say("200 noop"),
            "QUIT" => {
                talker.say("221 bye");
                talker.state = State::Bye;
            }
            other => panic!("a server does not know {other:?}"),
        }
    }

    /// Goes on once the data connection has ended, or nobody came for it.
    fn look_at_data(&mut self, talker: &mut Talker, id: usize) {
        let end = (talker.client, talker.at, talker.side);
        let peer = self.data_peer(end);
        let (has_begun, has_ended) = (peer.is_some(), peer.is_some_and(|peer| peer.has_ended));
        let is_whole = peer.is_some_and(|peer| peer.said_all.is_some() || peer.sight == Some(Sight::Fin));
        match (talker.side, talker.state) {
            (Side::Server, State::Moving) if has_ended => {
                talker.say(if is_whole { "226 done" } else { "426 cut" });
                talker.state = State::Idle;
            }
            (Side::Server, State::Moving) if !has_begun => match talker.gives_up {
                Some(until) if until <= self.now => {
                    // Who comes later is not let in any more.
                    self.ftp().given_up.insert(end);
                    talker.say("425 nobody came");
                    talker.state = State::Idle;
                }
                until => self.tick_after(id, until.map_or(0, |until| until - self.now)),
            },
            (Side::Client, State::Finishing) => {
                let hurries = self.ftp().transfers[end.0][end.1].hurries;
                if has_ended || !has_begun || hurries {
                    talker.at += 1;
                    self.next_transfer(talker);
                }
            }
            (Side::Client | Side::Server, _) => {}
        }
    }
}

/// What must be true of all transfers of a world that has come to its end.
pub fn judge(world: &World) {
    let ftp = world.ftp.as_ref().expect("this is a world with FTP");
    assert!(ftp.ports.iter().all(|port| !port.is_open), "no data port is left open");
    for (client, transfers) in ftp.transfers.iter().enumerate() {
        for (number, plan) in transfers.iter().enumerate() {
            judge_transfer(world, ftp, (client, number), plan);
        }
    }
}

fn judge_transfer(world: &World, ftp: &Ftp, (client, number): (usize, usize), plan: &Transfer) {
    let of = |side| world.data_peer((client, number, side));
    let (giver, taker) = if plan.is_upload { (Side::Client, Side::Server) } else { (Side::Server, Side::Client) };
    let name = format!("transfer {number} of client {client}");
    if let Some(taker) = of(taker)
        && world.plan.ends_at.is_none()
    {
        assert!(taker.received <= of(giver).map_or(0, |giver| giver.sent), "{name} is what was sent");
        if taker.sight == Some(Sight::Fin) {
            let said = of(giver).and_then(|giver| giver.said_all);
            assert_eq!(said, Some(taker.received), "{name}: a cut transfer was taken for complete");
        }
    }
    if ftp.is_sound(world) {
        let got = of(taker).map(|taker| (taker.received, taker.sight));
        assert_eq!(got, Some((plan.bytes, Some(Sight::Fin))), "{name} is whole");
        assert_eq!(ftp.outcomes.get(&(client, number)), Some(&226), "{name} ends well");
    }
}

impl Ftp {
    /// True if nothing was amiss in a world, so that every transfer must be whole.
    fn is_sound(&self, world: &World) -> bool {
        !world.plan.has_faults && self.transfers.iter().flatten().all(|transfer| transfer.comes)
    }
}
