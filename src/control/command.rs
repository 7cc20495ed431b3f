//! The control language: its commands, and how a line becomes one.
//!
//! [`COMMANDS`] is the one table, in `table`. Nothing here knows a running pen: what a command does
//! to one is said in `execute`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use super::checks::KINDS as CHECK_KINDS;
pub use super::origins::{RouteChange, Trust, Trustee};
pub use super::parse::{parse, parse_for};
pub use super::read::{SERVER_DUTIES, SERVER_KEYS};
use super::subscription::Subscription;
pub use super::table::{COMMANDS, Row};
pub use super::watching::Watching;
use crate::balance::acl::{Entry, ListName};
use crate::balance::clients::CLIENTS_MAX;
use crate::balance::settings::{DumpForm, FastClose, Protocol, Queueing, Rate};
use crate::balance::{Duty, OwnCheck, ServerId};
use crate::base::keepalive::Keepalive;
use crate::base::operand::{Host, ListenSpec};
use crate::base::proxy_version::ProxyVersion;
use crate::check::Check;

/// The most pairs there may be; beyond it a typing error is likelier than a machine.
pub const CONN_MAX: u32 = 1_000_000;
/// The number of the first association: those of connections are below it.
pub const ASSOCIATIONS_FROM: usize = CONN_MAX as usize;
/// The most connections that are opened ahead.
pub const IDLERS_MAX: u32 = 10_000;
/// The most that the kernel can be asked to keep for a socket, in KiB.
pub const SOCKET_BUFFERS_MAX: u32 = 65_536;
/// The longest that more may come before a wait, in microseconds.
const COALESCE_MAX: u32 = 1_000;
/// The longest time in seconds, 68 years: what the original takes.
pub const SECONDS_MAX: u32 = i32::MAX as u32;
/// The highest debug level; those above 3 are as 3.
pub const DEBUG_MAX: u32 = 9;

/// One command, complete and within all ranges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Appends an entry to an access list.
    Acl {
        /// The list.
        list: ListName,
        /// The entry.
        entry: Entry,
    },
    /// Makes an access list what a file has.
    AclFile {
        /// The list.
        list: ListName,
        /// The file.
        path: PathBuf,
    },
    /// The same once the file is read.
    AclLoaded {
        /// The list.
        list: ListName,
        /// The file.
        path: PathBuf,
        /// What it has.
        entries: Vec<Entry>,
    },
    /// Empties an access list.
    ClearAcl(ListName),
    /// Tells the access list of clients, or sets it.
    ClientAcl(Option<ListName>),
    /// Tells how many connections a client may begin within a time, or sets it.
    ClientRate(Option<Option<Rate>>),
    /// Tells how servers are checked, or sets it.
    Check(Option<Option<Check>>),
    /// Closes a connection.
    Close(usize),
    /// Describes a connection.
    Connection(usize),
    /// Tells the address of the control port.
    Control,
    /// Tells the access list of the control port, or sets it.
    ControlAcl(Option<ListName>),
    /// Wants users of the control port by TCP to know the word in a file, or none.
    ControlToken(Option<PathBuf>),
    /// Sets how dumps show bytes.
    Dump(DumpForm),
    /// Has pen answer each request itself.
    Dummy,
    /// Lets other processes listen at the same addresses.
    SharePorts,
    /// Ends pen.
    Exit,
    /// Tells whether connections end with one of their sides, or sets it.
    FastClose(Option<FastClose>),
    /// Changes how FTP is carried, or tells.
    Ftp(FtpChange),
    /// Executes a file of commands.
    Include(PathBuf),
    /// Sets how peers are probed.
    Keepalive(Option<Keepalive>),
    /// Tells where a listener listens, if there is no address, or moves it.
    Listen(Vec<ListenAt>),
    /// Goes on with a listener, and adds or moves it if there are addresses.
    Listener {
        /// Its name.
        name: String,
        /// Where it is to listen.
        there: Vec<ListenAt>,
        /// It is a pool: it may be nowhere.
        is_pool: bool,
    },
    /// Lists the listeners.
    Listeners,
    /// Tells where the request log goes, or moves it.
    Log(Option<LogSpec>),
    /// Ends the request log.
    NoLog,
    /// Removes a listener.
    NoListener(String),
    /// Executes a command for a listener.
    On {
        /// Its name.
        listener: String,
        /// The command.
        command: Box<Command>,
    },
    /// Tells which modes are on.
    Modes,
    /// Asks for what pen does anyway, or has no need of.
    NoEffect,
    /// Tells a number, or sets it.
    Number(Number, Option<u32>),
    /// Tells the process id.
    Pid,
    /// Tells what bytes are taken for, or sets it.
    Protocol(Option<Protocol>),
    /// Tells how servers are told whom a connection is from, or sets it.
    ProxyProtocol(Option<Option<ProxyVersion>>),
    /// Tells whether clients wait when all servers are full, or sets it.
    Queue(Option<Option<Queueing>>),
    /// Lists the clients that connected within that time.
    Recent(Duration),
    /// Reads again what pen was started with.
    Reload,
    /// Removes a server.
    RemoveServer(ServerRef),
    /// Changes or adds a server.
    Server {
        /// Which.
        at: ServerRef,
        /// What changes.
        changes: Box<ServerChanges>,
    },
    /// Lists the servers.
    Servers,
    /// Tells whose socket has a descriptor.
    Socket(i32),
    /// Sets the local address of connections to servers.
    Source(Option<IpAddr>),
    /// Tells how many answers a datagram has, or sets it.
    UdpResponses(Option<Option<u32>>),
    /// Tells how pen is doing.
    Status(StatusForm),
    /// Tells the access list of the status port, or sets it.
    StatusAcl(Option<ListName>),
    /// Tells where the status port is, or moves it.
    StatusListen(Option<ListenAt>),
    /// Closes the status port.
    NoStatusListen,
    /// Tells what happens from now on, as it happens.
    Subscribe(Subscription),
    /// Turns a mode on or off.
    Switch(Mode, bool),
    /// Tells which clients go to other listeners by what they say first, adds some, or takes them away.
    Route(RouteChange),
    /// Lets servers see the clients' own addresses, or not.
    Transparent(bool),
    /// Tells who is trusted in something, or sets it.
    Trust(Trust, Option<Option<Trustee>>),
    /// Watches connections, or lets them go wrong.
    Watching(Watching),
    /// Tells where the status page goes, or sets it.
    WebStats(Option<Option<PathBuf>>),
    /// Writes the configuration, by default to the file of the start.
    Write(Option<PathBuf>),
}

/// What a command calls a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerRef {
    /// Its number, or what it is for.
    Id(ServerId),
    /// Its name.
    Name(Box<str>),
}

/// The settings that are plain numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Number {
    /// Seconds that a server which failed is left out.
    Blacklist,
    /// Checks in a row that take a server down.
    CheckFall,
    /// Seconds from one check of a server to the next.
    CheckInterval,
    /// Checks in a row that bring a server back.
    CheckRise,
    /// Bits of an IPv6 address that tell clients apart.
    ClientIpv6,
    /// Connections that one client may have at once.
    ClientMax,
    /// Clients that are remembered.
    ClientsMax,
    /// Microseconds that more may come before a wait.
    Coalesce,
    /// Pairs at once.
    ConnMax,
    /// The debug level.
    Debug,
    /// Seconds that pairs have to finish after QUIT.
    Drain,
    /// Seconds that a pair may be half-closed and silent.
    HalfClosedTimeout,
    /// Seconds that a pair may be silent.
    IdleTimeout,
    /// Connections to servers that are kept open ahead.
    Idlers,
    /// Connects under way at once.
    PendingMax,
    /// Seconds that a client has to say where it wants to go.
    RouteTimeout,
    /// Seconds that a server which has come back warms up.
    SlowStart,
    /// KiB that the kernel may keep for a socket.
    SocketBuffers,
    /// Seconds that bytes may wait for somebody who takes none.
    StuckTimeout,
    /// Seconds that a connect may take.
    Timeout,
    /// Seconds that a client is remembered.
    Tracking,
    /// Datagrams of a client that make an association.
    UdpRequests,
    /// Seconds that an association may be silent.
    UdpTimeout,
}

impl Number {
    /// Whether it limits how long connections may be silent.
    pub fn is_limit(self) -> bool {
        matches!(self, Number::HalfClosedTimeout | Number::IdleTimeout | Number::StuckTimeout | Number::UdpTimeout)
    }

    /// The lowest and the highest value.
    pub fn range(self) -> (u32, u32) {
        match self {
            Number::Blacklist | Number::Drain | Number::SlowStart | Number::Tracking => (0, SECONDS_MAX),
            Number::HalfClosedTimeout | Number::IdleTimeout | Number::StuckTimeout | Number::UdpTimeout => {
                (0, SECONDS_MAX)
            }
            // A connect that may take no time at all never succeeds.
            Number::Timeout | Number::RouteTimeout => (1, SECONDS_MAX),
            Number::CheckFall | Number::CheckRise => (1, 100),
            Number::CheckInterval => (1, 86_400),
            Number::ClientIpv6 => (0, 128),
            Number::ClientMax | Number::UdpRequests => (0, CONN_MAX),
            Number::ClientsMax => (1, CLIENTS_MAX as u32),
            Number::Coalesce => (0, COALESCE_MAX),
            Number::ConnMax | Number::PendingMax => (1, CONN_MAX),
            Number::Debug => (0, DEBUG_MAX),
            Number::Idlers => (0, IDLERS_MAX),
            Number::SocketBuffers => (0, SOCKET_BUFFERS_MAX),
        }
    }
}

/// How it is told how pen is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusForm {
    /// As the HTML page of the original.
    Page,
    /// As what USR1 says.
    Text,
    /// As JSON.
    Json,
    /// As metrics.
    Prometheus,
}

/// The modes of choosing a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// By a hash of the client's address.
    Hash,
    /// By priority.
    Prio,
    /// In turn, and without remembering clients.
    RoundRobin,
    /// The first choice only.
    Stubborn,
    /// By weight.
    Weight,
    /// By connections alone.
    Least,
    /// The better of two at random.
    TwoChoices,
}

/// A setting of FTP; `None` asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FtpChange {
    /// The ports where data connections may arrive.
    Ports(Option<Option<(u16, u16)>>),
    /// The address that clients are told for them.
    Address(Option<Option<IpAddr>>),
    /// Whether what is said may be encrypted.
    Auth(Option<bool>),
}

/// A listening address, and how it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenAt {
    /// Where to listen.
    pub spec: ListenSpec,
    /// The words of the operator, for `listen` to repeat.
    pub text: String,
}

/// A request log, and how it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSpec {
    /// Where the lines go.
    pub to: LogTo,
    /// The words of the operator, for `log` to repeat.
    pub text: String,
}

/// Where the lines of a request log go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTo {
    /// Into a file.
    File(PathBuf),
    /// To a penlogd, in UDP datagrams.
    Network {
        /// Its host.
        host: Host,
        /// Its port.
        port: u16,
    },
}

/// What a `server` line changes; the rest stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerChanges {
    /// Its host.
    pub address: Option<Host>,
    /// Its port.
    pub port: Option<u16>,
    /// Its soft limit, 0 for none.
    pub max: Option<u32>,
    /// Its hard limit.
    pub hard: Option<u32>,
    /// Its weight.
    pub weight: Option<u32>,
    /// Its priority.
    pub prio: Option<i32>,
    /// The access list of its clients; `Some(None)` for none.
    pub acl: Option<Option<ListName>>,
    /// How it is told whom a connection is from; `Some(None)` for as its listener has it.
    pub proxy_protocol: Option<Option<Option<ProxyVersion>>>,
    /// The local address of connections to it; `Some(None)` for as its listener has it.
    pub source: Option<Option<Option<IpAddr>>>,
    /// Whether it sees the clients' own addresses; `Some(None)` for as its listener has it.
    pub transparent: Option<Option<bool>>,
    /// Its name; `Some(None)` for none.
    pub name: Option<Option<Box<str>>>,
    /// How it is checked.
    pub check: Option<OwnCheck>,
    /// Whom it may serve.
    pub duty: Option<Duty>,
    /// How long from now it is left out; zero lets it in again.
    pub blacklist: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::routes::{Route, What};
    use crate::base::operand::{OperandError, Services};
    use crate::control::LINE_MAX;

    fn services() -> Services {
        Services::parse("pop3 110/tcp\nwww 80/tcp\n")
    }

    fn good(line: &str) -> Command {
        parse(line, &services()).unwrap_or_else(|error| panic!("{line}: {error}")).expect(line)
    }

    fn bad(line: &str) -> String {
        match parse(line, &services()) {
            Ok(command) => panic!("{line}: {command:?}"),
            Err(error) => error.to_string(),
        }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn addr(text: &str) -> Host {
        Host::Addr(text.parse().unwrap())
    }

    fn listen(host: Host, port: u16, text: &str) -> Command {
        Command::Listen(vec![ListenAt { spec: ListenSpec { host, port }, text: String::from(text) }])
    }

    fn log(to: LogTo, text: &str) -> Command {
        Command::Log(Some(LogSpec { to, text: String::from(text) }))
    }

    #[test]
    fn blank_lines_and_comments_are_no_commands() {
        for line in ["", " ", "\t", "#", "# hello", "  #hello"] {
            assert_eq!(parse(line, &services()), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn commands_without_arguments_are_understood_and_take_no_further_word() {
        let table = [
            ("no ascii", Command::Dump(DumpForm::Columns)),
            ("control", Command::Control),
            ("epoll", Command::NoEffect),
            ("abort_on_error", Command::NoEffect),
            ("no abort_on_error", Command::NoEffect),
            ("block", Command::NoEffect),
            ("no block", Command::NoEffect),
            ("delayed_forward", Command::NoEffect),
            ("no delayed_forward", Command::NoEffect),
            ("tcp_nodelay", Command::NoEffect),
            ("no tcp_nodelay", Command::NoEffect),
            ("no dummy", Command::NoEffect),
            ("no client_rate", Command::ClientRate(Some(None))),
            ("no control_token", Command::ControlToken(None)),
            ("least", Command::Switch(Mode::Least, true)),
            ("no least", Command::Switch(Mode::Least, false)),
            ("p2c", Command::Switch(Mode::TwoChoices, true)),
            ("no p2c", Command::Switch(Mode::TwoChoices, false)),
            ("reload", Command::Reload),
            ("no web_stats", Command::WebStats(Some(None))),
            ("dummy", Command::Dummy),
            ("exit", Command::Exit),
            ("hash", Command::Switch(Mode::Hash, true)),
            ("no hash", Command::Switch(Mode::Hash, false)),
            ("ftp", Command::Protocol(Some(Protocol::Ftp))),
            ("no ftp_ports", Command::Ftp(FtpChange::Ports(Some(None)))),
            ("no ftp_address", Command::Ftp(FtpChange::Address(Some(None)))),
            ("no ftp", Command::Protocol(Some(Protocol::Tcp))),
            ("http", Command::Protocol(Some(Protocol::Http))),
            ("no http", Command::Protocol(Some(Protocol::Tcp))),
            ("no keepalive", Command::Keepalive(None)),
            ("kqueue", Command::NoEffect),
            ("no log", Command::NoLog),
            ("listeners", Command::Listeners),
            ("mode", Command::Modes),
            ("pid", Command::Pid),
            ("poll", Command::NoEffect),
            ("prio", Command::Switch(Mode::Prio, true)),
            ("no prio", Command::Switch(Mode::Prio, false)),
            ("roundrobin", Command::Switch(Mode::RoundRobin, true)),
            ("no roundrobin", Command::Switch(Mode::RoundRobin, false)),
            ("select", Command::NoEffect),
            ("servers", Command::Servers),
            ("no source", Command::Source(None)),
            ("transparent", Command::Transparent(true)),
            ("no transparent", Command::Transparent(false)),
            ("stubborn", Command::Switch(Mode::Stubborn, true)),
            ("no stubborn", Command::Switch(Mode::Stubborn, false)),
            ("weight", Command::Switch(Mode::Weight, true)),
            ("no weight", Command::Switch(Mode::Weight, false)),
        ];
        for (line, command) in table {
            assert_eq!(good(line), command, "{line}");
            assert_eq!(good(&format!("\t{line} \t# why")), command, "{line}");
            assert_eq!(bad(&format!("{line} frob")), format!("{line}: unexpected word 'frob'"));
        }
    }

    #[test]
    fn numbers_are_queries_without_a_value_and_keep_to_their_ranges() {
        let table = [
            ("blacklist", Number::Blacklist, 0, 2_147_483_647),
            ("check_fall", Number::CheckFall, 1, 100),
            ("check_interval", Number::CheckInterval, 1, 86_400),
            ("check_rise", Number::CheckRise, 1, 100),
            ("client_ipv6", Number::ClientIpv6, 0, 128),
            ("client_max", Number::ClientMax, 0, 1_000_000),
            ("clients_max", Number::ClientsMax, 1, 16_777_216),
            ("conn_max", Number::ConnMax, 1, 1_000_000),
            ("debug", Number::Debug, 0, 9),
            ("coalesce", Number::Coalesce, 0, 1_000),
            ("drain", Number::Drain, 0, 2_147_483_647),
            ("half_closed_timeout", Number::HalfClosedTimeout, 0, 2_147_483_647),
            ("idle_timeout", Number::IdleTimeout, 0, 2_147_483_647),
            ("idlers", Number::Idlers, 0, 10_000),
            ("pending_max", Number::PendingMax, 1, 1_000_000),
            ("route_timeout", Number::RouteTimeout, 1, 2_147_483_647),
            ("slow_start", Number::SlowStart, 0, 2_147_483_647),
            ("socket_buffers", Number::SocketBuffers, 0, 65_536),
            ("stuck_timeout", Number::StuckTimeout, 0, 2_147_483_647),
            ("timeout", Number::Timeout, 1, 2_147_483_647),
            ("tracking", Number::Tracking, 0, 2_147_483_647),
            ("udp_requests", Number::UdpRequests, 0, 1_000_000),
            ("udp_timeout", Number::UdpTimeout, 0, 2_147_483_647),
        ];
        for (name, number, low, high) in table {
            assert_eq!(good(name), Command::Number(number, None));
            for value in [low, high] {
                assert_eq!(good(&format!("{name} {value}")), Command::Number(number, Some(value)));
            }
            for value in [i64::from(low) - 1, i64::from(high) + 1, -5, i64::MAX] {
                let message = format!("{name}: {value} is not within {low} to {high}");
                assert_eq!(bad(&format!("{name} {value}")), message);
            }
            assert_eq!(bad(&format!("{name} abc")), format!("{name}: 'abc' is not a number"));
            assert_eq!(bad(&format!("{name} 3x")), format!("{name}: '3x' is not a number"));
            assert_eq!(bad(&format!("{name} {low} 2")), format!("{name}: unexpected word '2'"));
        }
    }

    #[test]
    fn commands_with_arguments_are_understood() {
        let list = |word: &str| crate::balance::acl::parse_list(word).unwrap();
        let acl =
            |at: u8, words: &[&str]| Command::Acl { list: ListName::Number(at), entry: Entry::parse(words).unwrap() };
        let office = Entry::parse(&["permit", "10.0.0.0/8"]).unwrap();
        let path = PathBuf::from;
        let rate = |count, seconds| Command::ClientRate(Some(Some(Rate { count, seconds })));
        let server = |index| ServerRef::Id(ServerId::Regular(index));
        let keepalive = |idle, interval, count| Command::Keepalive(Some(Keepalive { idle, interval, count }));
        let network = |host, port| LogTo::Network { host, port };
        let status =
            |text: &str| ListenAt { spec: ListenSpec::parse(text, &services()).unwrap(), text: String::from(text) };
        let table = [
            ("status", Command::Status(StatusForm::Page)),
            ("status_listen", Command::StatusListen(None)),
            ("status_listen 8080", Command::StatusListen(Some(status("127.0.0.1:8080")))),
            ("status_listen ::1:8080", Command::StatusListen(Some(status("::1:8080")))),
            ("status_listen /run/pen/status", Command::StatusListen(Some(status("/run/pen/status")))),
            ("no status_listen", Command::NoStatusListen),
            ("status_acl", Command::StatusAcl(None)),
            ("status_acl 3", Command::StatusAcl(Some(list("3")))),
            ("status text", Command::Status(StatusForm::Text)),
            ("status json", Command::Status(StatusForm::Json)),
            ("status prometheus", Command::Status(StatusForm::Prometheus)),
            ("acl 1 permit 192.0.2.1", acl(1, &["permit", "192.0.2.1"])),
            ("acl 0 deny 10.0.0.0 255.0.0.0", acl(0, &["deny", "10.0.0.0", "255.0.0.0"])),
            ("acl 9 deny 10.0.0.0/8", acl(9, &["deny", "10.0.0.0/8"])),
            ("acl 2 permit ::1", acl(2, &["permit", "::1"])),
            ("acl 2 permit 2001:db8::/32", acl(2, &["permit", "2001:db8::/32"])),
            ("acl office permit 10.0.0.0/8", Command::Acl { list: list("office"), entry: office }),
            ("acl 3 file /etc/office", Command::AclFile { list: list("3"), path: path("/etc/office") }),
            ("acl office file office", Command::AclFile { list: list("office"), path: path("office") }),
            ("no acl 4", Command::ClearAcl(list("4"))),
            ("no acl office", Command::ClearAcl(list("office"))),
            ("client_acl", Command::ClientAcl(None)),
            ("client_acl 3", Command::ClientAcl(Some(list("3")))),
            ("client_acl office", Command::ClientAcl(Some(list("office")))),
            ("control_acl", Command::ControlAcl(None)),
            ("control_acl 9", Command::ControlAcl(Some(list("9")))),
            ("control_token /etc/token", Command::ControlToken(Some(path("/etc/token")))),
            ("proxy_protocol", Command::ProxyProtocol(None)),
            ("proxy_protocol v1", Command::ProxyProtocol(Some(Some(ProxyVersion::V1)))),
            ("proxy_protocol v2", Command::ProxyProtocol(Some(Some(ProxyVersion::V2)))),
            ("no proxy_protocol", Command::ProxyProtocol(Some(None))),
            ("http_trust", Command::Trust(Trust::Http, None)),
            ("http_trust 10.0.0.0/8", Command::Trust(Trust::Http, Some(Some(Trustee::Net(office.net))))),
            ("no http_trust", Command::Trust(Trust::Http, Some(None))),
            ("route", Command::Route(RouteChange::Tell)),
            ("no route", Command::Route(RouteChange::Clear)),
            ("no route tls", Command::Route(RouteChange::Remove(What::Tls))),
            (
                "route alpn h2 web",
                Command::Route(RouteChange::Set(Route { what: What::Alpn("h2".into()), to: "web".into() })),
            ),
            ("proxy_accept", Command::Trust(Trust::Proxy, None)),
            ("proxy_accept 3", Command::Trust(Trust::Proxy, Some(Some(Trustee::List(list("3")))))),
            ("proxy_accept office", Command::Trust(Trust::Proxy, Some(Some(Trustee::List(list("office")))))),
            ("no proxy_accept", Command::Trust(Trust::Proxy, Some(None))),
            ("client_rate", Command::ClientRate(None)),
            ("client_rate 5", rate(5, 1)),
            ("client_rate 1000000 per 86400", rate(1_000_000, 86_400)),
            ("no server 3", Command::RemoveServer(server(3))),
            ("no server web1", Command::RemoveServer(ServerRef::Name("web1".into()))),
            ("no server emergency", Command::RemoveServer(ServerRef::Id(ServerId::Emergency))),
            ("socket 7", Command::Socket(7)),
            ("ftp_ports", Command::Ftp(FtpChange::Ports(None))),
            ("ftp_ports 50000-50999", Command::Ftp(FtpChange::Ports(Some(Some((50_000, 50_999)))))),
            ("ftp_ports 2121", Command::Ftp(FtpChange::Ports(Some(Some((2_121, 2_121)))))),
            ("ftp_address", Command::Ftp(FtpChange::Address(None))),
            ("ftp_address 192.0.2.1", Command::Ftp(FtpChange::Address(Some(Some([192, 0, 2, 1].into()))))),
            ("ftp_auth", Command::Ftp(FtpChange::Auth(None))),
            ("ftp_auth off", Command::Ftp(FtpChange::Auth(Some(false)))),
            ("ftp_auth on", Command::Ftp(FtpChange::Auth(Some(true)))),
            ("protocol", Command::Protocol(None)),
            ("protocol tcp", Command::Protocol(Some(Protocol::Tcp))),
            ("protocol ftp", Command::Protocol(Some(Protocol::Ftp))),
            ("protocol udp", Command::Protocol(Some(Protocol::Udp))),
            ("udp_responses", Command::UdpResponses(None)),
            ("udp_responses 1", Command::UdpResponses(Some(Some(1)))),
            ("no udp_responses", Command::UdpResponses(Some(None))),
            ("tcp_fastclose", Command::FastClose(None)),
            ("tcp_fastclose up", Command::FastClose(Some(FastClose::Up))),
            ("tcp_fastclose down", Command::FastClose(Some(FastClose::Down))),
            ("tcp_fastclose both", Command::FastClose(Some(FastClose::Both))),
            ("tcp_fastclose off", Command::FastClose(Some(FastClose::Off))),
            ("web_stats", Command::WebStats(None)),
            ("web_stats /run/pen.html", Command::WebStats(Some(Some(path("/run/pen.html"))))),
            ("write", Command::Write(None)),
            ("write /etc/pen.cfg", Command::Write(Some(path("/etc/pen.cfg")))),
            ("ascii", Command::Dump(DumpForm::Ascii)),
            ("ascii auto", Command::Dump(DumpForm::Auto)),
            ("close 17", Command::Close(17)),
            ("connection 0", Command::Connection(0)),
            ("keepalive", keepalive(None, None, None)),
            ("keepalive 60", keepalive(Some(60), None, None)),
            ("keepalive 32767 1 127", keepalive(Some(32_767), Some(1), Some(127))),
            ("include /etc/pen.cfg", Command::Include(PathBuf::from("/etc/pen.cfg"))),
            ("listen", Command::Listen(Vec::new())),
            ("listen 80", listen(addr("0.0.0.0"), 80, "80")),
            ("listen lbhost:pop3", listen(Host::Name(String::from("lbhost")), 110, "lbhost:pop3")),
            ("listen [::1]:80", listen(addr("::1"), 80, "[::1]:80")),
            ("listen 127.0.0.1:0", listen(addr("127.0.0.1"), 0, "127.0.0.1:0")),
            ("listen /run/pen", listen(Host::Unix(PathBuf::from("/run/pen")), 0, "/run/pen")),
            ("log", Command::Log(None)),
            ("log pen.log", log(LogTo::File(PathBuf::from("pen.log")), "pen.log")),
            ("log /var/log/a:b", log(LogTo::File(PathBuf::from("/var/log/a:b")), "/var/log/a:b")),
            ("log host1:10000", log(network(Host::Name(String::from("host1")), 10000), "host1:10000")),
            ("log ::1:10000", log(network(addr("::1"), 10000), "::1:10000")),
            ("recent", Command::Recent(seconds(300))),
            ("recent 0", Command::Recent(seconds(0))),
            ("recent 5", Command::Recent(seconds(5))),
            ("source 192.0.2.1", Command::Source(Some("192.0.2.1".parse().unwrap()))),
            ("source ::1", Command::Source(Some("::1".parse().unwrap()))),
        ];
        for (line, command) in table {
            assert_eq!(good(line), command, "{line}");
        }
    }

    #[test]
    fn bad_arguments_are_refused_by_a_message_that_names_the_word() {
        let table = [
            ("acl", "acl: the number or name of a list is missing"),
            ("acl 1", "acl: permit or deny is missing"),
            ("acl 1x permit 1.2.3.4", "acl: '1x' is not an access list, 0 to 9 or a name"),
            ("acl 10 permit 1.2.3.4", "acl: '10' is not an access list, 0 to 9 or a name"),
            ("acl -1 permit 1.2.3.4", "acl: '-1' is not an access list, 0 to 9 or a name"),
            ("acl 1 allow 1.2.3.4", "acl: 'allow' is neither permit nor deny"),
            ("acl 1 permit", "acl: no address after permit or deny"),
            ("acl 1 permit host1", "acl: 'host1' is not an address"),
            ("acl 1 permit 1.2.3.4/33", "acl: '33' is not the length of a prefix"),
            ("acl 1 permit ::1/129", "acl: '129' is not the length of a prefix"),
            ("acl 1 permit 1.2.3.4 8", "acl: '8' is not an IPv4 mask"),
            ("acl 1 permit ::1 ffff::", "acl: 'ffff::' is one word too many"),
            ("acl 1 permit 1.2.3.4 255.0.0.0 x", "acl: 'x' is one word too many"),
            ("no acl", "no acl: the number or name of a list is missing"),
            ("acl 1 file", "acl: the name of a file is missing"),
            ("acl 1 file a b", "acl: unexpected word 'b'"),
            ("client_acl 10", "client_acl: '10' is not an access list, 0 to 9 or a name"),
            ("client_acl 1 2", "client_acl: unexpected word '2'"),
            ("client_acl none", "client_acl: 'none' is not an access list, 0 to 9 or a name"),
            ("control_acl -1", "control_acl: '-1' is not an access list, 0 to 9 or a name"),
            ("control_token", "control_token: the name of a file is missing"),
            ("control_token a b", "control_token: unexpected word 'b'"),
            ("client_rate 0", "client_rate: 0 is not within 1 to 1000000"),
            ("client_rate 1000001", "client_rate: 1000001 is not within 1 to 1000000"),
            ("client_rate x", "client_rate: 'x' is not a number"),
            ("client_rate 5 in", "client_rate: 'in' is not per"),
            ("client_rate 5 per", "client_rate: a number of seconds is missing"),
            ("client_rate 5 per 0", "client_rate: 0 is not within 1 to 86400"),
            ("client_rate 5 per 86401", "client_rate: 86401 is not within 1 to 86400"),
            ("client_rate 5 per 1 2", "client_rate: unexpected word '2'"),
            ("no server", "no server: the number or name of a server is missing"),
            ("no server 65535", "no server: 65535 is not within 0 to 65534"),
            ("no server 1 2", "no server: unexpected word '2'"),
            ("socket", "socket: the number of a descriptor is missing"),
            ("socket x", "socket: 'x' is not a number"),
            ("socket -1", "socket: -1 is not within 0 to 2147483647"),
            ("socket 1 2", "socket: unexpected word '2'"),
            ("ftp_ports 50999-50000", "ftp_ports: '50999-50000' is not a range of ports from 1024 to 65535"),
            ("ftp_ports 1000-2000", "ftp_ports: '1000-2000' is not a range of ports from 1024 to 65535"),
            ("ftp_ports x", "ftp_ports: 'x' is not a range of ports from 1024 to 65535"),
            ("ftp_address here", "ftp_address: 'here' is not an IP address"),
            ("ftp_address ::", "ftp_address: '::' is not an address that clients can connect to"),
            ("ftp_address 224.0.0.1", "ftp_address: '224.0.0.1' is not an address that clients can connect to"),
            ("ftp_auth maybe", "ftp_auth: 'maybe' is not on or off"),
            ("protocol gopher", "protocol: 'gopher' is not tcp, ftp, http or udp"),
            ("tcp_fastclose on", "tcp_fastclose: 'on' is not up, down, both or off"),
            ("tcp_fastclose up down", "tcp_fastclose: unexpected word 'down'"),
            ("web_stats a b", "web_stats: unexpected word 'b'"),
            ("write a b", "write: unexpected word 'b'"),
            ("no acl 10", "no acl: '10' is not an access list, 0 to 9 or a name"),
            ("no acl 1 2", "no acl: unexpected word '2'"),
            ("ascii on", "ascii: 'on' is not auto"),
            ("ascii auto x", "ascii: unexpected word 'x'"),
            ("close", "close: the number of a connection is missing"),
            ("close all", "close: 'all' is not a number"),
            ("close -1", "close: -1 is not within 0 to 1999999"),
            ("close 1 2", "close: unexpected word '2'"),
            ("connection", "connection: the number of a connection is missing"),
            ("connection 2000000", "connection: 2000000 is not within 0 to 1999999"),
            ("include", "include: the name of a file is missing"),
            ("include a b", "include: unexpected word 'b'"),
            ("keepalive 0", "keepalive: 0 is not within 1 to 32767"),
            ("keepalive 1 32768", "keepalive: 32768 is not within 1 to 32767"),
            ("keepalive 1 1 128", "keepalive: 128 is not within 1 to 127"),
            ("keepalive 1 1 1 1", "keepalive: unexpected word '1'"),
            ("keepalive on", "keepalive: 'on' is not a number"),
            ("listen 65536", "listen: '65536': port 65536 is not within 1 to 65535"),
            ("listen 0", "listen: '0': port 0 is not within 1 to 65535"),
            ("listen nosuch", "listen: 'nosuch': 'nosuch' is not a port or TCP service"),
            ("listen *:80", "listen: '*:80': '*' is not a host name"),
            ("listen 80 x:y", "listen: 'x:y': 'y' is not a port or TCP service"),
            ("log a b", "log: unexpected word 'b'"),
            ("log host1:0", "log: 'host1:0': port 0 is not within 1 to 65535"),
            ("log host1:", "log: 'host1:': no port"),
            ("proxy_protocol v3", "proxy_protocol: 'v3' is not v1 or v2"),
            ("server 0 proxy_protocol on", "server: 'on' is not v1, v2, off or default"),
            ("http_trust 10.0.0.0/33", "http_trust: '33' is not the length of a prefix"),
            ("route sni a/b web", "route: 'a/b' is not a host, or *. and one"),
            ("route gopher web", "route: 'gopher' is not sni, alpn, tls, host, http or ssh"),
            ("route tls", "route: the name of a listener is missing"),
            ("route tls 5x", "route: '5x' is no name: a letter, then letters, digits, '-', '_' or '.', 32 at most"),
            ("proxy_accept 10.0.0", "proxy_accept: '10.0.0' is not an address"),
            ("proxy_accept 1 2", "proxy_accept: unexpected word '2'"),
            ("recent x", "recent: 'x' is not a number"),
            ("recent -1", "recent: -1 is not within 0 to 2147483647"),
            ("source", "source: an address is missing"),
            ("source host1", "source: 'host1' is not an IP address"),
            ("source ::1 x", "source: unexpected word 'x'"),
        ];
        for (line, message) in table {
            assert_eq!(bad(line), message, "{line}");
        }
    }

    #[test]
    fn a_server_line_takes_several_keys() {
        let at = |index| ServerRef::Id(ServerId::Regular(index));
        let server = |index, changes| Command::Server { at: at(index), changes: Box::new(changes) };
        let none = ServerChanges::default;
        let all = ServerChanges {
            address: Some(addr("127.0.0.1")),
            port: Some(110),
            max: Some(3),
            hard: Some(4),
            weight: Some(5),
            prio: Some(-6),
            acl: Some(Some(ListName::Number(7))),
            proxy_protocol: Some(Some(Some(ProxyVersion::V2))),
            source: Some(Some(Some([192, 0, 2, 9].into()))),
            transparent: Some(Some(true)),
            name: Some(Some("web1".into())),
            check: None,
            duty: Some(Duty::Disabled),
            blacklist: Some(seconds(8)),
        };
        let duty = |duty| ServerChanges { duty: Some(duty), ..none() };
        let nothing = ServerChanges { acl: Some(None), name: Some(None), ..none() };
        let told = |version| ServerChanges { proxy_protocol: Some(version), ..none() };
        let name = Host::Name(String::from("host1"));
        let table = [
            ("server 0 port 80", server(0, ServerChanges { port: Some(80), ..none() })),
            ("server 65534 max 4294967295", server(65_534, ServerChanges { max: Some(u32::MAX), ..none() })),
            ("server 1 address host1", server(1, ServerChanges { address: Some(name), ..none() })),
            ("server 1 address [::1]", server(1, ServerChanges { address: Some(addr("::1")), ..none() })),
            ("server 1 blacklist 0", server(1, ServerChanges { blacklist: Some(seconds(0)), ..none() })),
            (
                "server 2 address 127.0.0.1 port pop3 max 3 hard 4 weight 5 prio -6 acl 7 blacklist 8 proxy_protocol v2 source 192.0.2.9 transparent on name web1 disable",
                server(2, all),
            ),
            ("server 0 enable", server(0, duty(Duty::Enabled))),
            ("server 0 drain", server(0, duty(Duty::Draining))),
            ("server 0 disable", server(0, duty(Duty::Disabled))),
            ("server 0 acl none name none", server(0, nothing)),
            ("server 0 proxy_protocol off", server(0, told(Some(None)))),
            ("server 0 proxy_protocol default", server(0, told(None))),
            (
                "server web1 drain",
                Command::Server { at: ServerRef::Name("web1".into()), changes: Box::new(duty(Duty::Draining)) },
            ),
            (
                "server emergency enable",
                Command::Server { at: ServerRef::Id(ServerId::Emergency), changes: Box::new(duty(Duty::Enabled)) },
            ),
        ];
        for (line, command) in table {
            assert_eq!(good(line), command, "{line}");
        }
    }

    #[test]
    fn a_bad_server_line_names_what_is_wrong() {
        let table = [
            ("server", "server: the number or name of a server is missing"),
            ("server 0x port 1", "server: '0x' is not a number"),
            ("server wéb port 1", "server: 'w\\u{e9}b' is not a name"),
            ("server 0 name 7up", "server: '7up' is not a name"),
            ("server 0 name emergency", "server: 'emergency' is not a name"),
            ("server 0 drain disable", "server: 'disable' is given twice"),
            ("server 0 acl 1x", "server: '1x' is not an access list, 0 to 9 or a name"),
            ("server 0", "server: a key is missing"),
            ("server -1 port 1", "server: -1 is not within 0 to 65534"),
            ("server 65535 port 1", "server: 65535 is not within 0 to 65534"),
            ("server 999999999999 port 1", "server: 999999999999 is not within 0 to 65534"),
            ("server 0 foo 1", "server: unknown key 'foo'"),
            ("server 0 port", "server: 'port' has no value"),
            ("server 0 max 3 hard", "server: 'hard' has no value"),
            ("server 0 max 3 max 4", "server: 'max' is given twice"),
            ("server 0 port 0", "server: '0': port 0 is not within 1 to 65535"),
            ("server 0 port 80x", "server: '80x': '80x' is not a port or TCP service"),
            ("server 0 address a..b", "server: 'a..b': 'a..b' is not a host name"),
            ("server 0 max -1", "server: -1 is not within 0 to 4294967295"),
            ("server 0 hard x", "server: 'x' is not a number"),
            ("server 0 weight 1.5", "server: '1.5' is not a number"),
            ("server 0 prio x", "server: 'x' is not a number"),
            ("server 0 prio 2147483648", "server: 2147483648 is not within -2147483648 to 2147483647"),
            ("server 0 acl 10", "server: '10' is not an access list, 0 to 9 or a name"),
            ("server 0 blacklist -1", "server: -1 is not within 0 to 2147483647"),
        ];
        for (line, message) in table {
            assert_eq!(bad(line), message, "{line}");
        }
    }

    #[test]
    fn what_is_no_command_here_is_refused_by_name() {
        let long = format!("mode{}", " ".repeat(LINE_MAX));
        let table = [
            ("frob", "unknown command 'frob'"),
            ("frob with words", "unknown command 'frob'"),
            ("SERVERS", "unknown command 'SERVERS'"),
            ("servers\u{a0}", "unknown command 'servers\\u{a0}'"),
            ("%n%s", "unknown command '%n%s'"),
            ("no", "a command after 'no' is missing"),
            ("no frob", "unknown command 'no frob'"),
            ("no servers", "unknown command 'no servers'"),
            ("no no log", "unknown command 'no no'"),
            ("ssl_ciphers ALL", "'ssl_ciphers' is not in this pen"),
            ("no ssl_option", "'ssl_option' is not in this pen"),
            ("mode\u{1b}", "the line has a control character"),
            ("mode\0", "the line has a control character"),
            ("mode\n", "the line has a control character"),
            ("log \"a", "'\"a' begins with a quote and does not end with one"),
            ("log \"a\"b", "'\"a\"b' begins with a quote and does not end with one"),
            ("on main log \"a b", "'\"a' begins with a quote and does not end with one"),
            (&long, "the line is longer than 4096 bytes"),
        ];
        for (line, message) in table {
            assert_eq!(bad(line), message, "{line:?}");
        }
        for row in COMMANDS.iter().filter(|row| !row.exists()) {
            assert_eq!(bad(row.name), format!("'{}' is not in this pen", row.name));
        }
    }

    #[test]
    fn only_an_unknown_service_may_be_known_elsewhere() {
        for (line, lacks) in [("listen frob", true), ("server 0 port frob", true), ("listen 0", false), ("frob", false)]
        {
            assert_eq!(parse(line, &services()).unwrap_err().lacks_service(), lacks, "{line}");
        }
        assert!(matches!(LogSpec::parse("h:frob", &services()), Err(OperandError::UnknownPort(_))));
    }

    #[test]
    fn the_table_has_each_name_once_and_a_sentence_for_each() {
        for (index, row) in COMMANDS.iter().enumerate() {
            assert!(COMMANDS[..index].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(row.what.ends_with('.') && row.what.starts_with(char::is_uppercase), "{}", row.name);
        }
    }

    #[test]
    fn no_line_whatever_makes_the_parser_panic() {
        // Words of the language in random order, among them bad ones, are harder to take than noise.
        let names = COMMANDS.iter().flat_map(|row| row.name.split(' '));
        let others = [
            "permit",
            "deny",
            "address",
            "max",
            "acl",
            "blacklist",
            "1",
            "-1",
            "65536",
            "::1/9",
            "a:b:c",
            "é",
            "#",
            "\0",
        ];
        let words: Vec<&str> = names.chain(others).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            let mut line = String::new();
            for _ in 0..state % 7 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                line.push_str(words[(state >> 33) as usize % words.len()]);
                line.push(' ');
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^= state >> 31;
            if let Err(error) = parse(&line, &services()) {
                assert!(!error.to_string().chars().any(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn a_listener_has_a_name_and_addresses_and_commands_of_its_own() {
        let at =
            |text: &str, port| ListenAt { spec: ListenSpec { host: addr("0.0.0.0"), port }, text: String::from(text) };
        let listener =
            |name: &str, there: Vec<ListenAt>| Command::Listener { name: String::from(name), there, is_pool: false };
        let on = |name: &str, command| Command::On { listener: String::from(name), command: Box::new(command) };
        let table = [
            ("listener", listener("main", vec![])),
            ("listener main", listener("main", vec![])),
            ("listener tls", listener("tls", vec![])),
            ("listener tls-2_b.c 443 www", listener("tls-2_b.c", vec![at("443", 443), at("www", 80)])),
            ("listen 443 www", Command::Listen(vec![at("443", 443), at("www", 80)])),
            ("no listener tls", Command::NoListener(String::from("tls"))),
            ("on tls servers", on("tls", Command::Servers)),
            ("on tls no source", on("tls", Command::Source(None))),
            ("on tls blacklist 3", on("tls", Command::Number(Number::Blacklist, Some(3)))),
            ("on main pid", on("main", Command::Pid)),
        ];
        for (line, command) in table {
            assert_eq!(good(line), command, "{line}");
        }
        let table = [
            ("listener 443", "listener: '443' is no name: a letter, then letters, digits, '-', '_' or '.', 32 at most"),
            ("listener tls x:y", "listener: 'x:y': 'y' is not a port or TCP service"),
            ("no listener", "no listener: the name of a listener is missing"),
            ("no listener tls 443", "no listener: unexpected word '443'"),
            ("on", "on: the name of a listener is missing"),
            ("on tls", "on: a command is missing"),
            ("on tls frob", "unknown command 'frob'"),
            ("on tls blacklist x", "blacklist: 'x' is not a number"),
            ("on tls on tls servers", "on: what is for no listener in particular cannot be within 'on'"),
            ("on tls listeners", "on: what is for no listener in particular cannot be within 'on'"),
            ("on tls no listener a", "on: what is for no listener in particular cannot be within 'on'"),
            ("on main listener a 80", "on: what is for no listener in particular cannot be within 'on'"),
            ("on tls pid", "pid: it is for all of pen, and not for listener tls"),
            ("on tls no log", "no log: it is for all of pen, and not for listener tls"),
        ];
        for (line, message) in table {
            assert_eq!(bad(line), message, "{line}");
        }
        let long = "x".repeat(33);
        assert!(bad(&format!("listener {long}")).contains("is no name"));
        assert!(bad("listener tls\u{e4} 80").contains("is no name"));
        assert!(parse_for("tls", "conn_max 3", &services()).is_err());
        for line in ["listener", "listeners", "no listener a", "on main pid"] {
            assert!(parse_for("tls", line, &services()).is_ok(), "{line}");
        }
    }
}
