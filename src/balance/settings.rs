//! Every knob of a running pen that is not a server, a client or an access list.
//!
//! Plain values with their defaults; what they mean is said in pen(1).

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::routes::Route;
use super::trusted::Trusted;
pub use crate::base::diag::DumpForm;
use crate::base::keepalive::Keepalive;
use crate::base::proxy_version::ProxyVersion;
use crate::check::Check;

/// Which ways of choosing a server are switched on. When several are, the first of priority,
/// weight, least, p2c, hash counts; without any of them servers take turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Modes {
    /// By a hash of the client's address.
    pub hash: bool,
    /// Clients are not remembered: each connection is chosen for anew.
    pub roundrobin: bool,
    /// Only the first choice is tried.
    pub stubborn: bool,
    /// By weight.
    pub weight: bool,
    /// By priority.
    pub prio: bool,
    /// By connections alone.
    pub least: bool,
    /// The better of two at random.
    pub p2c: bool,
}

/// So many within a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u32,
    /// Within how many seconds, at least 1.
    pub seconds: u32,
}

/// What the bytes of a pair are taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// Bytes that mean nothing to pen.
    #[default]
    Tcp,
    /// An FTP control connection.
    Ftp,
    /// HTTP/1, whose requests tell whom they are from.
    Http,
    /// Not bytes but datagrams, by UDP.
    Udp,
}

impl Protocol {
    /// All there are, by the words for them.
    pub const ALL: [(&'static str, Protocol); 4] =
        [("tcp", Protocol::Tcp), ("ftp", Protocol::Ftp), ("http", Protocol::Http), ("udp", Protocol::Udp)];

    /// The word for it.
    pub fn name(self) -> &'static str {
        let named = Protocol::ALL.into_iter().find(|(_, protocol)| *protocol == self);
        named.expect("all are in the table").0
    }
}

/// How FTP is carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FtpSettings {
    /// The lowest and the highest port where data connections may arrive; `None` for any.
    pub ports: Option<(u16, u16)>,
    /// The address that clients are told for them, in place of the one that they know.
    pub address: Option<IpAddr>,
    /// Whether what is said may be encrypted, after which pen sees no data connections.
    pub auth: bool,
}

impl Default for FtpSettings {
    fn default() -> FtpSettings {
        FtpSettings { ports: None, address: None, auth: true }
    }
}

/// Clients may wait for a place at a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queueing {
    /// How many, at least 1.
    pub places: u32,
    /// For how long.
    pub time: Duration,
}

/// Whether a pair ends when one of its sides has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FastClose {
    /// The other side may go on.
    #[default]
    Off,
    /// When the server has ended, both sides are closed.
    Up,
    /// When the client has ended, both sides are closed.
    Down,
    /// When either has.
    Both,
}

/// Where a capture goes, and how much of it there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaptureSpec {
    /// The file, or what the names of its files begin with.
    pub path: PathBuf,
    /// A file has at most so many bytes, but one chunk at least.
    pub size: Option<u64>,
    /// A file is written for so many seconds.
    pub seconds: Option<u32>,
    /// There are so many files in turn: `PATH.1` and so on.
    pub rotate: Option<u32>,
}

/// What goes wrong with a connection because an operator wants it to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// What comes is held for so long before it goes on.
    Delay(Duration),
    /// Both sides are reset once the server has sent so many bytes.
    Reset(u64),
    /// So many bytes a second go each way.
    Throttle(u32),
    /// The client sees the end after so many bytes of the server.
    Truncate(u64),
    /// Nothing goes on.
    Blackhole,
}

impl fmt::Display for Fault {
    /// As the command `fault` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Delay(time) => write!(f, "delay {}", time.as_millis()),
            Fault::Reset(0) => f.write_str("reset"),
            Fault::Reset(after) => write!(f, "reset after {after}"),
            Fault::Throttle(rate) => write!(f, "throttle {rate}"),
            Fault::Truncate(after) => write!(f, "truncate {after}"),
            Fault::Blackhole => f.write_str("blackhole"),
        }
    }
}

/// The settings of a listener and its servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Which selectors are on.
    pub modes: Modes,
    /// How long a server that failed is left out; zero for not at all.
    pub blacklist: Duration,
    /// How long a server that has come back gets less than its share; zero for not at all.
    pub slow_start: Duration,
    /// How long a connect may take.
    pub connect_timeout: Duration,
    /// How long a client is remembered; zero for ever.
    pub tracking: Duration,
    /// How long a pair may be silent; zero for ever.
    pub idle_timeout: Duration,
    /// How long a pair may last in which one direction has ended and in the other nothing moves;
    /// zero for ever.
    pub half_closed_timeout: Duration,
    /// How long bytes may wait for a peer that takes none; zero for ever.
    pub stuck_timeout: Duration,
    /// Whether a pair ends when one of its sides has.
    pub fast_close: FastClose,
    /// How many bytes the kernel may keep that a client has not taken, and as many that a server has
    /// sent and pen has not read; 0 leaves it to the system.
    pub socket_buffers: u32,
    /// How many connects may be under way at once.
    pub pending_max: usize,
    /// How many connections to servers are kept open ahead, in all.
    pub idlers: usize,
    /// How many clients are remembered.
    pub clients_max: usize,
    /// How many connections one client may have at once; 0 for no limit.
    pub client_max: u32,
    /// How many connections one client may begin within a time.
    pub client_rate: Option<Rate>,
    /// How many bits of an IPv6 address tell one client from another, 0 to 128.
    pub client_ipv6: u8,
    /// The access list for clients.
    pub client_acl: usize,
    /// What the bytes of its pairs are taken for.
    pub protocol: Protocol,
    /// How FTP is carried.
    pub ftp: FtpSettings,
    /// How long an association may be silent; zero for ever.
    pub udp_timeout: Duration,
    /// How many datagrams of a client make an association; 0 for any number.
    pub udp_requests: u32,
    /// How many answers each of them has; `None` if that is not known.
    pub udp_responses: Option<u32>,
    /// Whose X-Forwarded-For and the like are kept.
    pub http_trust: Option<Trusted>,
    /// From whom connections begin with a header that says whom they are from.
    pub proxy_accept: Option<Trusted>,
    /// How servers are told whom a connection is from, before all else.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Whether clients wait when all servers are full.
    pub queue: Option<Queueing>,
    /// How servers are checked, if they are.
    pub check: Option<Check>,
    /// From one check of a server to the next; a tenth more or less.
    pub check_interval: Duration,
    /// How many checks in a row a server must pass to come back.
    pub check_rise: u32,
    /// How many it must fail to be left out.
    pub check_fall: u32,
    /// Which clients go to which listener, by what they say first; the first that fits counts.
    pub routes: Vec<Route>,
    /// How long a client may say nothing that tells where it wants to go.
    pub route_timeout: Duration,
    /// The local address for connections to servers.
    pub source: Option<IpAddr>,
    /// What goes wrong with its connections.
    pub fault: Option<Fault>,
    /// Whether servers see the clients' own addresses.
    pub transparent: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            modes: Modes::default(),
            blacklist: Duration::from_secs(30),
            slow_start: Duration::ZERO,
            connect_timeout: Duration::from_secs(5),
            tracking: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            half_closed_timeout: Duration::from_secs(3600),
            stuck_timeout: Duration::from_secs(900),
            fast_close: FastClose::Off,
            socket_buffers: 0,
            pending_max: 100,
            idlers: 0,
            clients_max: 2048,
            client_max: 0,
            client_rate: None,
            client_ipv6: 128,
            client_acl: 0,
            protocol: Protocol::Tcp,
            ftp: FtpSettings::default(),
            queue: None,
            check: None,
            check_interval: Duration::from_secs(10),
            check_rise: 2,
            check_fall: 3,
            udp_timeout: Duration::from_secs(180),
            udp_requests: 0,
            udp_responses: None,
            http_trust: None,
            proxy_accept: None,
            proxy_protocol: None,
            routes: Vec::new(),
            route_timeout: Duration::from_secs(3),
            source: None,
            fault: None,
            transparent: false,
        }
    }
}

/// The settings that all listeners have in common: those of the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Common {
    /// How long more may come before a wait where much comes; zero for never.
    pub coalesce: Duration,
    /// How long pairs have to finish once nobody is let in any more; zero for as long as they
    /// need.
    pub drain: Duration,
    /// Probes of silent peers on both sides; `None` for none.
    pub keepalive: Option<Keepalive>,
    /// How many pairs there may be.
    pub conn_max: usize,
    /// The access list for the control port, one of those of the first listener.
    pub control_acl: usize,
    /// The access list for the status port, one of those of the first listener.
    pub status_acl: usize,
    /// Where viewers come in, as it was written; `None` for nowhere.
    pub status_at: Option<String>,
    /// How much is said: 0 nothing, 1 events, 2 dumps as well, 3 what they say.
    pub debug: u32,
    /// How dumps show bytes.
    pub dump_form: DumpForm,
    /// Whether dumps and captures show secrets.
    pub shows_secrets: bool,
    /// Where packets are captured.
    pub capture: Option<CaptureSpec>,
    /// How many clients are accepted per listening socket and turn.
    pub multi_accept: usize,
    /// Length of a listening socket's queue in the kernel.
    pub backlog: u32,
    /// Whether other pens may listen where this one does.
    pub shares_ports: bool,
    /// The request log as it was named; `None` for no log.
    pub log: Option<String>,
    /// The file of the HTML statistics.
    pub web_stats: Option<PathBuf>,
    /// The file that has the word which users of the control port must know.
    pub control_token: Option<PathBuf>,
    /// The pid file.
    pub pid_file: Option<PathBuf>,
    /// Whether the command `exit` is allowed.
    pub may_exit: bool,
    /// The system does not let servers see the clients' own addresses.
    pub is_never_transparent: bool,
}

impl Default for Common {
    fn default() -> Common {
        Common {
            coalesce: Duration::from_micros(75),
            drain: Duration::from_secs(300),
            keepalive: Some(Keepalive::default()),
            conn_max: 500,
            control_acl: 0,
            status_acl: 0,
            status_at: None,
            debug: 0,
            dump_form: DumpForm::default(),
            shows_secrets: false,
            capture: None,
            multi_accept: 100,
            backlog: 500,
            shares_ports: false,
            log: None,
            web_stats: None,
            control_token: None,
            pid_file: None,
            may_exit: false,
            is_never_transparent: false,
        }
    }
}
