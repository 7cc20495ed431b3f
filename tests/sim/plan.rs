//! What one simulation consists of: settings, servers, clients, faults; drawn from choices, or
//! written down by a test.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pen::balance::settings::CaptureSpec;
use pen::balance::settings::Protocol;
use pen::balance::settings::Queueing;
use pen::balance::{Common, Settings};
use pen::base::addr::Endpoint;
use pen::check::{Check, Kind};
use pen::inspect::ftp::UNANSWERED_MAX as LINES_MAX;
use pen::net::Signal;

use super::choices::Choices;
use super::dialogue::Dialogue;
use super::ftp::Transfer;
use super::peer::{Lead, Step};
use super::successor::Fortune;
use super::world::Action;

/// Sizes of buffers in the kernels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buffers {
    /// All as large as one read.
    Plain,
    /// Some bytes, or some thousand where more is to be moved.
    Tiny,
    /// Any.
    Mixed,
    /// More than pen moves for one pair in a turn.
    Huge,
}

/// How often the network is odd: once in so many times; 0 is never.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    /// A read or write moves less than it could.
    pub short: u64,
    /// A call would block though it need not.
    pub would_block: u64,
    /// An edge tells more than there is.
    pub spurious: u64,
    /// An edge comes in two pieces.
    pub split: u64,
    /// An edge comes in a later turn than others.
    pub late_edge: u64,
    /// A call is interrupted by a signal.
    pub interrupted: u64,
    /// Other programs have the processor for a while before a call of pen's: what happens meanwhile
    /// is there in the same turn, though no edge has told of it yet.
    pub preempted: u64,
    /// A server leaves a connection on which nobody has said anything within some seconds.
    pub leaves: u64,
    /// There is no memory to watch a socket.
    pub unwatchable: u64,
    /// There is no memory for a ring or for more pairs.
    pub memory: u64,
    /// The disk is full.
    pub disk: u64,
    /// Nanoseconds that a turn takes at most.
    pub work: u64,
    /// Microseconds that bytes travel, from and to.
    pub latency: (u64, u64),
    /// pen wakes up late, to several edges and timers at once.
    pub lazy: u64,
    pub buffers: Buffers,
    /// As TCP on Linux: every arrival is told, the end and urgent data with it, and a read takes all.
    pub tells_all: bool,
}

impl Odds {
    /// A network that is plain in every way.
    pub fn plain() -> Odds {
        Odds {
            short: 0,
            would_block: 0,
            spurious: 0,
            split: 0,
            late_edge: 0,
            interrupted: 0,
            preempted: 0,
            leaves: 0,
            unwatchable: 0,
            memory: 0,
            disk: 0,
            work: 0,
            latency: (100, 100),
            lazy: 0,
            buffers: Buffers::Plain,
            tells_all: false,
        }
    }

    pub fn random(choices: &mut Choices, with_faults: bool) -> Odds {
        let buffers = *choices.pick(&[Buffers::Mixed, Buffers::Mixed, Buffers::Tiny, Buffers::Huge]);
        let mut odds = |list: &[u64]| *choices.pick(list);
        let mut odds = Odds {
            short: odds(&[2, 4, 20, 1_000]),
            would_block: odds(&[0, 3, 10, 50]),
            spurious: odds(&[0, 2, 10]),
            split: odds(&[0, 2, 10]),
            late_edge: odds(&[0, 2, 10]),
            interrupted: odds(&[0, 10, 50]),
            preempted: 0,
            leaves: odds(&[0, 1, 3]),
            unwatchable: odds(&[0, 0, 0, 6]),
            memory: odds(&[0, 0, 2, 6]),
            disk: odds(&[0, 0, 3]),
            work: odds(&[0, 1_000, 50_000]),
            latency: (odds(&[0, 1, 1_000]), odds(&[1_000, 10_000, 40_000])),
            lazy: odds(&[0, 2, 8]),
            buffers,
            tells_all: choices.one_in(2),
        };
        if !with_faults {
            (odds.leaves, odds.unwatchable, odds.memory, odds.disk) = (0, 0, 0, 0);
        }
        odds
    }

    /// Sizes of buffers in the kernel, and of what travels at once.
    pub fn sizes(&self, is_small: bool) -> (&'static [usize], &'static [usize]) {
        match (self.buffers, is_small) {
            (Buffers::Plain, _) => (&[65_536], &[65_536]),
            (Buffers::Tiny, true) => (&[1, 3, 100], &[1, 7, 50]),
            (Buffers::Tiny, false) => (&[2_000, 5_000], &[2_000, 4_000]),
            (Buffers::Mixed, _) => (&[4_096, 65_536, 600_000], &[1_448, 16_384, 65_536, 300_000]),
            (Buffers::Huge, _) => (&[1_000_000], &[100_000, 1_000_000]),
        }
    }
}

/// Something that this machine lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lack {
    /// `EMFILE`.
    Descriptors,
    /// `ENOMEM`.
    Memory,
    /// `EADDRNOTAVAIL` for connects; nothing for other calls.
    Ports,
    /// No memory for rings or slots; calls are not concerned.
    Buffers,
}

impl Lack {
    /// The error of a call.
    pub fn error(self) -> io::Error {
        match self {
            Lack::Descriptors => io::Error::from_raw_os_error(24),
            Lack::Memory | Lack::Buffers => io::Error::from_raw_os_error(12),
            Lack::Ports => ErrorKind::AddrNotAvailable.into(),
        }
    }

    /// True for the errors above.
    pub fn is_lack(error: &io::Error) -> bool {
        (error.kind() == ErrorKind::AddrNotAvailable && error.get_ref().is_none())
            || matches!(error.raw_os_error(), Some(12 | 24))
    }
}

/// A time in which something is lacking.
#[derive(Clone, Copy, Debug)]
pub struct LackWindow {
    pub from: Duration,
    pub until: Duration,
    pub lack: Lack,
}

/// What becomes of a connect to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It succeeds soon.
    Sound,
    /// It succeeds after this time.
    Late(Duration),
    /// It is refused.
    Refuses,
    /// It is refused after this time.
    RefusesAfter(Duration),
    /// It is refused within the call.
    RefusesAtOnce,
    /// There is no way there.
    Unreachable,
    /// The address from which to connect there is not this machine's.
    NoSource,
    /// Nobody ever answers.
    Lost,
    /// One of the above each time.
    Flaky,
}

impl Reach {
    /// What becomes of one attempt.
    pub fn resolve(self, choices: &mut Choices) -> Reach {
        let time = choices.millis(10, 3_000);
        match self {
            Reach::Flaky => {
                use Reach::{Late, Lost, Refuses, RefusesAfter, RefusesAtOnce, Sound, Unreachable};
                *choices.pick(&[Sound, Refuses, Late(time), RefusesAtOnce, RefusesAfter(time), Unreachable, Lost])
            }
            plain => plain,
        }
    }
}

/// A server.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    /// Whose server it is.
    pub listener: usize,
    /// By address.
    pub reach: Vec<Reach>,
    /// Its name has no address at the start: so many questions stay without an answer, and each
    /// takes this time.
    pub named: Option<(u64, Duration)>,
    pub max: u32,
    pub hard: u32,
    pub weight: u32,
    pub prio: i32,
}

impl ServerPlan {
    /// A server without limits.
    pub fn new(reach: &[Reach]) -> ServerPlan {
        ServerPlan { listener: 0, reach: reach.to_vec(), named: None, max: 0, hard: 0, weight: 0, prio: 0 }
    }

    /// True if a client that is offered this server gets it.
    pub fn is_sound(&self, connect_timeout: Duration) -> bool {
        let is_sound = |reach: &Reach| match reach {
            Reach::Sound => true,
            Reach::Late(time) => *time + Duration::from_millis(200) < connect_timeout,
            Reach::RefusesAfter(_) => false,
            Reach::Refuses | Reach::RefusesAtOnce | Reach::Unreachable | Reach::NoSource => false,
            Reach::Lost | Reach::Flaky => false,
        };
        self.named.is_none() && self.reach.iter().any(is_sound)
    }
}

/// A client.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// When it comes, and to which listener.
    pub at: Duration,
    pub listener: usize,
    pub from: Endpoint,
    pub dialogue: Dialogue,
}

impl ClientPlan {
    /// Where somebody may wait for what was sent before, up and down: there a line ends.
    pub fn lines(&self) -> (Vec<u64>, Vec<u64>) {
        let Dialogue { client, server, is_echo, .. } = &self.dialogue;
        let up: Vec<u64> = line_ends(client).chain(waits(server)).collect();
        let down = if *is_echo { up.clone() } else { line_ends(server).chain(waits(client)).collect() };
        (up, down)
    }

    /// The sequences that are sent by the client and by its server.
    pub fn keys(&self, client: usize) -> (u64, u64) {
        let up = 2 * client as u64 + 1;
        (up, if self.dialogue.is_echo { up } else { up + 1 })
    }
}

/// One simulation.
#[derive(Clone, Debug)]
pub struct Plan {
    pub common: Common,
    /// Of each listener.
    pub settings: Settings,
    /// How many listeners there are.
    pub listeners: usize,
    pub servers: Vec<ServerPlan>,
    pub clients: Vec<ClientPlan>,
    pub odds: Odds,
    pub lacks: Vec<LackWindow>,
    /// Descriptors that pen may have at once, its listeners included.
    pub descriptors: usize,
    /// Bytes of memory that pen can have at once.
    pub memory: usize,
    /// Pipes that may be lent at once; 0 if this world has none.
    pub pipes: usize,
    /// Size of the buffers between pen and a client, on the way to the client.
    pub client_buffer: Option<usize>,
    /// Faults and other events.
    pub events: Vec<(Duration, Action)>,
    pub has_log: bool,
    /// What passes is captured into files.
    pub capture: Option<CaptureSpec>,
    /// When the wall clock steps, and by how many seconds.
    pub steps: Vec<(Duration, i64)>,
    /// When pen is stopped, after a wait and before it can look at the clock, and for how long. In order.
    pub stops: Vec<(Duration, Duration)>,
    /// What becomes of successors.
    pub fortune: Fortune,
    /// The transfers of each client, if FTP is spoken in place of the dialogues.
    pub ftp: Option<Vec<Vec<Transfer>>>,
    /// Not everything need come to a good end.
    pub has_faults: bool,
    /// When pen is told to end, if not after everybody else.
    pub ends_at: Option<Duration>,
    /// pen cuts transfers off because it is asked to.
    pub has_cuts: bool,
    /// What clients, and their servers, say and expect before all else.
    pub leads: [Lead; 2],
    /// The listener whose servers serve all clients, if that is not theirs.
    pub routed_to: Option<usize>,
}

/// Where a script has sent something and goes on with something else than the end.
fn line_ends(script: &[Step]) -> impl Iterator<Item = u64> {
    let mut sent = 0;
    script.iter().enumerate().filter_map(move |(at, step)| {
        sent += match step {
            Step::Send(count) => *count,
            Step::Urge => 1,
            _ => return None,
        };
        (!matches!(script.get(at + 1), None | Some(Step::Fin | Step::Close | Step::Abort))).then_some(sent)
    })
}

/// What a script waits for.
fn waits(script: &[Step]) -> impl Iterator<Item = u64> {
    script.iter().filter_map(|step| if let Step::Heard(count) = step { Some(*count) } else { None })
}

/// One of a server's addresses, with the port.
pub fn address(server: usize, address: usize) -> SocketAddr {
    format!("192.0.2.{}:8000", 10 * server + address + 1).parse().unwrap()
}

/// The same as an endpoint.
pub fn endpoint(server: usize, at: usize) -> Endpoint {
    Endpoint::inet(address(server, at))
}

impl Plan {
    /// Sound servers, a plain network and these dialogues, all begun at once.
    pub fn plain(servers: usize, dialogues: &[Dialogue]) -> Plan {
        let client = |(number, dialogue): (usize, &Dialogue)| ClientPlan {
            at: Duration::ZERO,
            listener: 0,
            from: Endpoint::inet(format!("10.1.0.{}:{}", number % 250 + 1, 1024 + number).parse().unwrap()),
            dialogue: dialogue.clone(),
        };
        Plan {
            common: Common::default(),
            settings: Settings::default(),
            listeners: 1,
            servers: vec![ServerPlan::new(&[Reach::Sound]); servers],
            clients: dialogues.iter().enumerate().map(client).collect(),
            odds: Odds::plain(),
            lacks: Vec::new(),
            descriptors: usize::MAX,
            pipes: 0,
            memory: usize::MAX,
            client_buffer: None,
            events: Vec::new(),
            has_log: false,
            capture: None,
            steps: Vec::new(),
            stops: Vec::new(),
            fortune: Fortune::TakesOver(Duration::from_millis(10)),
            ftp: None,
            has_faults: false,
            ends_at: None,
            has_cuts: false,
            leads: Default::default(),
            routed_to: None,
        }
    }

    /// Anything. Without faults everybody is polite and everything works, however oddly.
    pub fn random(choices: &mut Choices, with_faults: bool) -> Plan {
        let odds = Odds::random(choices, with_faults);
        let is_small = odds.buffers == Buffers::Tiny && choices.one_in(2);
        let count = choices.between(1, 10);
        let dialogues: Vec<Dialogue> = (0..count)
            .map(|_| {
                let is_rude = with_faults && choices.one_in(3);
                Dialogue::random(choices, is_small, is_rude)
            })
            .collect();
        let servers = usize::try_from(choices.between(1, 4)).unwrap();
        let mut plan = Plan { odds, ..Plan::plain(servers, &dialogues) };
        plan.settings.connect_timeout = choices.millis(1_000, 3_000);
        plan.settings.blacklist = *choices.pick(&[Duration::from_secs(30), Duration::ZERO, Duration::from_millis(500)]);
        plan.draw_settings(choices);
        plan.pipes = *choices.pick(&[0, 1, 100, 100]);
        for client in &mut plan.clients {
            client.at = choices.micros(0, 2_000_000);
            let port = 1024 + choices.below(50_000);
            client.from = match choices.below(8) {
                0 => Endpoint::Unix(PathBuf::new()),
                1 => Endpoint::inet(format!("[2001:db8::{}]:{port}", 1 + choices.below(3)).parse().unwrap()),
                _ => Endpoint::inet(format!("10.1.0.{}:{port}", 1 + choices.below(4)).parse().unwrap()),
            };
        }
        if choices.one_in(3) {
            plan.listeners = usize::try_from(choices.between(2, 3)).unwrap();
            let mut draw = || usize::try_from(choices.below(plan.listeners as u64)).unwrap();
            plan.servers.iter_mut().for_each(|server| server.listener = draw());
            plan.clients.iter_mut().for_each(|client| client.listener = draw());
        }
        for _ in 0..choices.below(60) {
            plan.events.push((choices.micros(0, 5_000_000), Action::Stray));
        }
        if with_faults {
            plan.draw_faults(choices);
        }
        plan.draw_checks(choices);
        plan.draw_queue(choices);
        plan.draw_capture(choices);
        plan.odds.preempted = *choices.pick(&[0, 2, 10]);
        plan
    }

    fn draw_settings(&mut self, choices: &mut Choices) {
        let (common, settings) = (&mut self.common, &mut self.settings);
        common.conn_max = *choices.pick(&[500, 3, 1]);
        settings.pending_max = *choices.pick(&[100, 2, 1]);
        common.multi_accept = *choices.pick(&[100, 1]);
        settings.idlers = *choices.pick(&[0, 0, 1, 5]);
        common.debug = *choices.pick(&[0, 0, 1, 2]);
        settings.modes.hash = choices.one_in(4);
        settings.modes.roundrobin = choices.one_in(4);
        settings.modes.weight = choices.one_in(6);
        settings.modes.prio = choices.one_in(6);
        self.has_log = choices.one_in(3);
        // Bytes without a meaning pass an inspector unchanged, if there are few lines among them.
        if choices.one_in(3) && self.clients.iter().all(|client| client.dialogue.up < LINES_MAX as u64 * 256 / 2) {
            settings.protocol = Protocol::Ftp;
        }
        // Long enough for whoever does something.
        for limit in [&mut settings.idle_timeout, &mut settings.half_closed_timeout, &mut settings.stuck_timeout] {
            if choices.one_in(4) {
                *limit = Duration::from_secs(100);
            }
        }
        common.drain = *choices.pick(&[Duration::ZERO, Duration::from_secs(100)]);
        if choices.one_in(4) {
            self.events.push((choices.micros(0, 3_000_000), Action::Send(Signal::Hangup)));
            self.events.push((choices.micros(0, 3_000_000), Action::Send(Signal::Statistics)));
        }
        // Well before the time-out: the network takes its time too.
        let late_max = u64::try_from(settings.connect_timeout.as_millis()).unwrap() - 250;
        for server in &mut self.servers {
            if choices.one_in(3) {
                server.reach = vec![Reach::Late(choices.millis(1, late_max))];
            }
        }
    }

    /// Clients may wait for a place.
    fn draw_queue(&mut self, choices: &mut Choices) {
        if choices.one_in(3) {
            let places = u32::try_from(choices.between(1, 6)).unwrap();
            self.settings.queue = Some(Queueing { places, time: choices.millis(100, 4_000) });
        }
    }

    /// Last of all, so that what was drawn before has its meaning whatever comes of this.
    fn draw_checks(&mut self, choices: &mut Choices) {
        // A check takes no place at a server.
        if choices.one_in(4) && self.servers.iter().all(|server| server.max == 0) {
            self.settings.check = Some(Check { kind: Kind::Tcp, port: None });
            self.settings.check_interval = Duration::from_secs(choices.between(1, 3));
            self.settings.check_rise = u32::try_from(choices.between(1, 2)).unwrap();
            self.settings.check_fall = u32::try_from(choices.between(1, 3)).unwrap();
        }
    }

    /// What passes may be captured.
    fn draw_capture(&mut self, choices: &mut Choices) {
        if !choices.one_in(4) {
            return;
        }
        let mut limit = |most: u64| choices.one_in(2).then(|| choices.between(1, most));
        let (size, seconds, rotate) = (limit(200_000), limit(4), limit(3));
        let small = |number: u64| u32::try_from(number).unwrap();
        let (seconds, rotate) = (seconds.map(small), rotate.map(small));
        self.capture = Some(CaptureSpec { path: PathBuf::from("pen.pcapng"), size, seconds, rotate });
        if self.descriptors < usize::MAX {
            self.descriptors += 1;
        }
    }

    fn draw_faults(&mut self, choices: &mut Choices) {
        use Reach::{Flaky, Late, Lost, NoSource, Refuses, RefusesAfter, RefusesAtOnce, Sound, Unreachable};
        self.settings.modes.stubborn = choices.one_in(10);
        for server in &mut self.servers {
            for _ in 0..choices.below(3) {
                let late = Late(choices.millis(500, 5_000));
                let refuses = RefusesAfter(choices.millis(1, 3_000));
                let never = [Refuses, Lost, RefusesAtOnce, Unreachable, NoSource, refuses];
                let reach = *choices.pick(&[&never[..], &[Sound, Flaky, late]].concat());
                match choices.below(3) {
                    0 => server.reach = vec![reach],
                    1 => server.reach.push(reach),
                    _ => server.reach.insert(0, reach),
                }
            }
            if choices.one_in(6) {
                server.max = u32::try_from(choices.between(1, 3)).unwrap();
                server.hard = u32::try_from(choices.below(5)).unwrap();
            }
            if choices.one_in(8) {
                server.named = Some((choices.below(2), choices.millis(0, 3_000)));
            }
            server.weight = u32::try_from(choices.below(4)).unwrap();
            server.prio = i32::try_from(choices.below(3)).unwrap() - 1;
        }
        if choices.one_in(3) {
            for client in 0..self.clients.len() {
                if choices.one_in(3) {
                    let at = self.clients[client].at + choices.micros(0, 300_000);
                    self.events.push((at, Action::Cut(client, choices.one_in(2))));
                }
            }
        }
        if choices.one_in(3) {
            for _ in 0..=choices.below(3) {
                let from = choices.millis(0, 3_000);
                let until = from + choices.millis(1, 230);
                let lack = *choices.pick(&[Lack::Descriptors, Lack::Memory, Lack::Ports, Lack::Buffers]);
                self.lacks.push(LackWindow { from, until, lack });
            }
        }
        if choices.one_in(8) {
            self.descriptors = self.listeners - 1 + usize::try_from(choices.between(3, 9)).unwrap();
            // Pipes are for what is left over of them.
            self.pipes = 0;
        }
        if choices.one_in(8) {
            self.events.push((choices.millis(0, 3_000), Action::Send(Signal::Quit)));
        }
        if choices.one_in(8) {
            self.ends_at = Some(choices.millis(0, 3_000));
        }
        if choices.one_in(4) {
            // So large that nothing that goes by the clock could be right, and all times have as many digits.
            for _ in 0..=choices.below(3) {
                let step = i64::try_from(choices.below(1_300_000_000)).unwrap();
                let step = if choices.one_in(2) { -step } else { step };
                self.steps.push((choices.millis(0, 3_000), step));
            }
        }
        if choices.one_in(5) {
            self.fortune = Fortune::random(choices);
            for _ in 0..=choices.below(2) {
                self.events.push((choices.millis(0, 3_000), Action::Send(Signal::Upgrade)));
            }
        }
    }

    /// True if every client that comes to this listener and stays must get a server.
    pub fn serves_everybody_at(&self, listener: usize) -> bool {
        let timeout = self.settings.connect_timeout;
        !self.settings.modes.stubborn
            && self.descriptors == usize::MAX
            && self.ends_at.is_none()
            && self
                .servers
                .iter()
                .any(|server| server.listener == listener && server.max == 0 && server.is_sound(timeout))
    }
}
