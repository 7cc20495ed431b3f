//! The table of commands: what each is called, what it does, and how its words are read.
//!
//! The parser, penctl, the completions and the test of the manual read the same rows.

use super::checks;
use super::command::{Command, FtpChange, Mode, Number, Trust};
use super::ftp;
use super::origins;
use super::read;
use super::scope::{Scope, scope_of};
use super::subscription;
use super::tracing;
use super::watching::{self, Watching};
use super::words::{Problem, Words, unsigned};
use crate::balance::settings::{DumpForm, Protocol};

/// A command of the table.
#[derive(Debug)]
pub struct Row {
    /// Its first word, or its first two: `no hash`.
    pub name: &'static str,
    /// What follows, as a manual shows it.
    pub arguments: &'static str,
    /// What it does, a sentence.
    pub what: &'static str,
    reading: Reading,
}

type Read = fn(&mut Words<'_>) -> Result<Command, Problem>;

/// How the words after the name are read.
#[derive(Debug)]
enum Reading {
    /// By a function.
    By(Read),
    /// As a number within its range, or nothing.
    Number(Number),
    /// There are none.
    Is(Command),
    /// The command is another pen's.
    Absent,
}

impl Row {
    /// False for a command of the original that is refused by its name.
    pub fn exists(&self) -> bool {
        !matches!(self.reading, Reading::Absent)
    }

    /// For whom it is.
    pub fn scope(&self) -> Scope {
        scope_of(self.name)
    }

    pub(super) fn read(&self, words: &mut Words<'_>) -> Result<Command, Problem> {
        let command = match &self.reading {
            Reading::By(read) => read(words)?,
            Reading::Number(number) => {
                let (low, high) = number.range();
                let value = words.next().map(|word| unsigned(word, low, high)).transpose()?;
                Command::Number(*number, value)
            }
            Reading::Is(command) => command.clone(),
            Reading::Absent => return Err(Problem::Absent(self.name)),
        };
        words.end()?;
        Ok(command)
    }
}

/// All commands in the order of the manual, which describes each; behind them those of the
/// original that are not in this pen.
pub static COMMANDS: &[Row] = &[
    is("abort_on_error", "Does nothing: where pen finds itself wrong, it aborts.", Command::NoEffect),
    is("no abort_on_error", "Does nothing, as abort_on_error.", Command::NoEffect),
    by(
        "acl",
        "LIST permit|deny ADDRESS[/LENGTH] [MASK] | LIST file PATH",
        "Appends an entry to an access list, or makes it what a file has.",
        read::acl,
    ),
    by("no acl", "LIST", "Empties an access list, which then permits everybody.", read::no_acl),
    by("ascii", "[auto]", "Shows bytes in dumps as text; with auto, in columns unless all are text.", read::ascii),
    is("no ascii", "Shows bytes in dumps in columns.", Command::Dump(DumpForm::Columns)),
    number("blacklist", "[SECONDS]", "Leaves a server that failed out that long; 0 for not at all.", Number::Blacklist),
    is("block", "Does nothing: pen never waits for a socket.", Command::NoEffect),
    is("no block", "Does nothing, as block.", Command::NoEffect),
    by(
        "capture",
        "[FILE [size BYTES] [seconds N] [rotate N]]",
        "Writes what passes to a file, as packets for Wireshark.",
        |words| watching::capture(words).map(Command::Watching),
    ),
    is("no capture", "Ends the capture.", Command::Watching(Watching::NoCapture)),
    by(
        "check",
        "[none | KIND ... [port PORT]]",
        "Checks servers: tcp, http, smtp, ftp, pop3, imap, ldap, dns, redis, mysql, send, expect.",
        checks::command,
    ),
    is("no check", "Checks no servers.", Command::Check(Some(None))),
    number("check_fall", "[N]", "Takes a server down after N checks that it failed.", Number::CheckFall),
    number("check_interval", "[SECONDS]", "Checks each server that often.", Number::CheckInterval),
    number("check_rise", "[N]", "Takes it back after N checks that it passed.", Number::CheckRise),
    by("client_acl", "[LIST]", "Checks clients against an access list.", read::client_acl),
    number("client_ipv6", "[LENGTH]", "Tells IPv6 clients apart by so many bits of their address.", Number::ClientIpv6),
    number(
        "client_max",
        "[N]",
        "Lets one client have at most N connections at once; 0 for any number.",
        Number::ClientMax,
    ),
    by(
        "client_rate",
        "[N [per SECONDS]]",
        "Lets one client begin at most N connections in a second, or in SECONDS.",
        read::client_rate,
    ),
    is("no client_rate", "Lets clients begin as many connections as they want.", Command::ClientRate(Some(None))),
    number("clients_max", "[N]", "Remembers at most N clients.", Number::ClientsMax),
    by("close", "N", "Closes connection N.", read::close),
    number("coalesce", "[MICROSECONDS]", "Lets more come for so long where much comes; 0 for never.", Number::Coalesce),
    number("conn_max", "[N]", "Serves at most N connections at once.", Number::ConnMax),
    by("connection", "N", "Describes connection N.", read::connection),
    is("control", "Tells where the control port is.", Command::Control),
    by("control_acl", "[LIST]", "Checks users of the control port against an access list.", read::control_acl),
    by(
        "control_token",
        "FILE",
        "Wants users of the control port by TCP to know the word in a file.",
        read::control_token,
    ),
    is("no control_token", "Wants no word of them.", Command::ControlToken(None)),
    number(
        "debug",
        "[LEVEL]",
        "Says events at level 1, dumps bytes at level 2, and says what they mean at level 3.",
        Number::Debug,
    ),
    is("delayed_forward", "Does nothing: what pen has is sent on at once.", Command::NoEffect),
    is("no delayed_forward", "Does nothing, as delayed_forward.", Command::NoEffect),
    number("drain", "[SECONDS]", "Gives connections that long to finish after QUIT; 0 for ever.", Number::Drain),
    is("epoll", "Does nothing: pen takes the best event engine by itself.", Command::NoEffect),
    is("dummy", "At the start: answers each request itself, in place of servers.", Command::Dummy),
    is("no dummy", "Does nothing: servers are the default.", Command::NoEffect),
    by(
        "events",
        "[connections|servers|process ...] [listener NAME] [lines N] [seconds N]",
        "Tells what happens from now on, a line for each event.",
        subscription::events,
    ),
    is("exit", "Ends pen, if it was started with -X.", Command::Exit),
    is("ftp", "Carries FTP with its data connections: protocol ftp.", Command::Protocol(Some(Protocol::Ftp))),
    is("no ftp", "Carries bytes that mean nothing: protocol tcp.", Command::Protocol(Some(Protocol::Tcp))),
    by("ftp_address", "[ADDRESS]", "Tells FTP clients this address for data connections.", ftp::address),
    is("no ftp_address", "Tells them the one that they know.", Command::Ftp(FtpChange::Address(Some(None)))),
    by("ftp_auth", "[on|off]", "Lets FTP clients encrypt what they say, or refuses that.", ftp::auth),
    by("ftp_ports", "[LOW-HIGH]", "Awaits data connections of FTP at these ports alone.", ftp::ports),
    is("no ftp_ports", "Awaits them at any port.", Command::Ftp(FtpChange::Ports(Some(None)))),
    number(
        "half_closed_timeout",
        "[SECONDS]",
        "Resets connections with one end that were silent so long; 0 for none.",
        Number::HalfClosedTimeout,
    ),
    switch("hash", "Chooses the server by a hash of the client's address.", Mode::Hash, true),
    switch("no hash", "Does not choose the server by a hash.", Mode::Hash, false),
    is(
        "http",
        "Tells servers in every request whom it is from: protocol http.",
        Command::Protocol(Some(Protocol::Http)),
    ),
    is("no http", "Does not: protocol tcp.", Command::Protocol(Some(Protocol::Tcp))),
    by("http_trust", "[ADDRESS[/LENGTH]|LIST]", "Keeps the X-Forwarded- fields of these clients.", |words| {
        origins::trust(Trust::Http, words)
    }),
    is("no http_trust", "Keeps those of nobody.", Command::Trust(Trust::Http, Some(None))),
    number(
        "idle_timeout",
        "[SECONDS]",
        "Closes connections that were silent so long; 0 for none.",
        Number::IdleTimeout,
    ),
    number("idlers", "[N]", "Keeps N connections to servers open ahead; 0 for none.", Number::Idlers),
    by(
        "fault",
        "[[connection N] delay MS | reset [after BYTES] | throttle RATE | truncate BYTES | blackhole]",
        "Lets something go wrong with connections, on purpose.",
        |words| watching::fault(words).map(Command::Watching),
    ),
    by("no fault", "[connection N]", "Lets nothing go wrong with them any more.", |words| {
        watching::no_fault(words).map(Command::Watching)
    }),
    by("include", "FILE", "Executes the commands in a file, all or none.", read::include),
    by("keepalive", "[IDLE [INTERVAL [COUNT]]]", "Probes peers that are silent.", read::keepalive),
    is("no keepalive", "Does not probe peers.", Command::Keepalive(None)),
    is("kqueue", "Does nothing, as epoll.", Command::NoEffect),
    switch("least", "Chooses the server with the fewest connections.", Mode::Least, true),
    switch("no least", "Does not choose the server by its connections alone.", Mode::Least, false),
    by("listen", "[ADDRESS ...]", "Listens for clients there instead.", read::listen),
    by("listener", "[NAME [ADDRESS ...]]", "Goes on with a listener, which is added or moved.", read::listener),
    by("no listener", "NAME", "Removes a listener; its connections go on to their ends.", read::no_listener),
    is("listeners", "Lists the listeners.", Command::Listeners),
    by("log", "[FILE|HOST:PORT]", "Writes the request log there.", read::log),
    is("no log", "Ends the request log.", Command::NoLog),
    is("mode", "Tells which modes are on.", Command::Modes),
    by("on", "NAME COMMAND ...", "Executes a command for a listener.", read::on),
    switch("p2c", "Chooses the better of two servers at random.", Mode::TwoChoices, true),
    switch("no p2c", "Does not choose among two servers at random.", Mode::TwoChoices, false),
    number("pending_max", "[N]", "Begins at most N connects at once.", Number::PendingMax),
    is("pid", "Tells the process id of pen.", Command::Pid),
    is("poll", "Does nothing, as epoll.", Command::NoEffect),
    switch("prio", "Chooses the server with the lowest priority number.", Mode::Prio, true),
    switch("no prio", "Does not choose the server by its priority.", Mode::Prio, false),
    by("pool", "NAME", "Goes on with a listener without an address, or adds it.", read::pool),
    by("protocol", "[tcp|ftp|http|udp]", "Takes what clients and servers say for this protocol.", read::protocol),
    by("proxy_accept", "[ADDRESS[/LENGTH]|LIST]", "Wants a PROXY header of these clients, and believes it.", |words| {
        origins::trust(Trust::Proxy, words)
    }),
    is("no proxy_accept", "Wants one of nobody.", Command::Trust(Trust::Proxy, Some(None))),
    by("proxy_protocol", "[v1|v2]", "Tells servers in a PROXY header whom a connection is from.", read::proxy_protocol),
    is("no proxy_protocol", "Tells them not.", Command::ProxyProtocol(Some(None))),
    by(
        "queue",
        "[N [SECONDS]]",
        "Lets N clients wait when all servers are full, 30 seconds or that long.",
        read::queue,
    ),
    is("no queue", "Lets nobody wait.", Command::Queue(Some(None))),
    by(
        "route",
        "[sni|host NAME|*.NAME | alpn PROTOCOL | tls|http|ssh LISTENER]",
        "Sends these clients to the servers of another listener.",
        origins::route,
    ),
    by("no route", "[sni|host NAME | alpn PROTOCOL | tls|http|ssh]", "Sends them nowhere else.", origins::no_route),
    number("route_timeout", "[SECONDS]", "Waits so long for what a client says first.", Number::RouteTimeout),
    by("recent", "[SECONDS]", "Lists the clients that connected within that time, or within 300.", read::recent),
    is("reload", "Reads again what pen was started with, and applies what has changed.", Command::Reload),
    is("reuseport", "Lets other pens listen at the same addresses; for what is opened later.", Command::SharePorts),
    switch("roundrobin", "Takes servers in turn for each connection.", Mode::RoundRobin, true),
    switch("no roundrobin", "Sends clients to the server that they had before.", Mode::RoundRobin, false),
    by("secrets", "[show|hide]", "Shows passwords and the like in dumps and captures, or not.", |words| {
        watching::secrets(words).map(Command::Watching)
    }),
    is("select", "Does nothing, as epoll.", Command::NoEffect),
    by("server", "N|NAME KEY VALUE ... | enable | disable | drain", "Changes or adds a server.", read::server),
    by("no server", "N|NAME", "Removes a server.", read::no_server),
    is("servers", "Lists the servers.", Command::Servers),
    number(
        "slow_start",
        "[SECONDS]",
        "Lets a server that has come back warm up for so long; 0 for not.",
        Number::SlowStart,
    ),
    by("socket", "N", "Tells whose socket has descriptor N.", read::socket),
    number(
        "socket_buffers",
        "[KIB]",
        "Lets the kernel keep so much towards a client and from a server; 0 as it likes.",
        Number::SocketBuffers,
    ),
    by("source", "ADDRESS", "Connects to servers from this local address.", read::source),
    is("no source", "Leaves the local address to the system.", Command::Source(None)),
    by(
        "status",
        "[text|json|prometheus]",
        "Tells how pen is doing: as an HTML page, or in another form.",
        read::status,
    ),
    by("status_acl", "[LIST]", "Checks those who look at the status port against an access list.", read::status_acl),
    by("status_listen", "[[ADDRESS:]PORT]", "Shows by HTTP there how pen is doing.", read::status_listen),
    is("no status_listen", "Shows it nowhere.", Command::NoStatusListen),
    switch("stubborn", "Closes a client whose server is not available.", Mode::Stubborn, true),
    switch("no stubborn", "Tries other servers for such a client.", Mode::Stubborn, false),
    number(
        "stuck_timeout",
        "[SECONDS]",
        "Resets connections whose bytes nobody takes for so long; 0 for none.",
        Number::StuckTimeout,
    ),
    by(
        "tcp_fastclose",
        "[up|down|both|off]",
        "Ends connections when the server, the client or either has ended.",
        read::tcp_fastclose,
    ),
    is("tcp_nodelay", "Does nothing: pen always sends small segments at once.", Command::NoEffect),
    is("no tcp_nodelay", "Does nothing, as tcp_nodelay.", Command::NoEffect),
    number("timeout", "[SECONDS]", "Gives a connect that long.", Number::Timeout),
    by(
        "trace",
        "[client ADDRESS] [server N|NAME] [connection N] [protocol P] [listener NAME] [dump] [lines N] [seconds N]",
        "Tells in words what passes from now on.",
        tracing::trace,
    ),
    number("tracking", "[SECONDS]", "Remembers clients that long; 0 for ever.", Number::Tracking),
    number(
        "udp_requests",
        "[N]",
        "Begins anew with a client of UDP after N datagrams; 0 for never.",
        Number::UdpRequests,
    ),
    by("udp_responses", "[N]", "Expects N answers to each datagram.", read::udp_responses),
    is("no udp_responses", "Expects any number of answers.", Command::UdpResponses(Some(None))),
    number(
        "udp_timeout",
        "[SECONDS]",
        "Forgets where a client of UDP was silent so long; 0 for never.",
        Number::UdpTimeout,
    ),
    by("web_stats", "[FILE]", "Writes the status page to a file when it is asked for.", read::web_stats),
    is("no web_stats", "Writes it nowhere.", Command::WebStats(Some(None))),
    is("transparent", "Lets servers see the clients' own addresses.", Command::Transparent(true)),
    is("no transparent", "Lets them see pen's.", Command::Transparent(false)),
    switch("weight", "Chooses the server with the fewest connections for its weight.", Mode::Weight, true),
    switch("no weight", "Does not choose the server by its weight.", Mode::Weight, false),
    by("write", "[FILE]", "Writes the configuration to a file from which pen can start.", read::write),
    absent("dsr_if"),
    absent("dsr_ip"),
    absent("peek"),
    absent("ssl_ciphers"),
    absent("ssl_client_renegotiation_interval"),
    absent("ssl_ocsp_response"),
    absent("ssl_option"),
    absent("ssl_sni_path"),
    absent("tarpit_acl"),
];

const fn row(name: &'static str, arguments: &'static str, what: &'static str, reading: Reading) -> Row {
    Row { name, arguments, what, reading }
}

const fn by(name: &'static str, arguments: &'static str, what: &'static str, read: Read) -> Row {
    row(name, arguments, what, Reading::By(read))
}

const fn is(name: &'static str, what: &'static str, command: Command) -> Row {
    row(name, "", what, Reading::Is(command))
}

const fn switch(name: &'static str, what: &'static str, mode: Mode, on: bool) -> Row {
    row(name, "", what, Reading::Is(Command::Switch(mode, on)))
}

const fn number(name: &'static str, arguments: &'static str, what: &'static str, number: Number) -> Row {
    row(name, arguments, what, Reading::Number(number))
}

const fn absent(name: &'static str) -> Row {
    row(name, "", "Not in this pen.", Reading::Absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::operand::Services;
    use crate::control::command::parse;

    /// What may stand behind the name of a command, and what may not, with what is said of it.
    struct Case(&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

    /// For every command whose words are read by a function of its own.
    const CASES: &[Case] = &[
        Case(
            "acl",
            &["1 permit ::1/64", "office deny 10.0.0.0 255.0.0.0", "2 file /etc/list"],
            &[
                ("", "the number or name of a list is missing"),
                ("1 allow ::1", "'allow' is neither permit nor deny"),
                ("1 file a b", "unexpected word 'b'"),
            ],
        ),
        Case(
            "no acl",
            &["1", "office"],
            &[("", "the number or name of a list is missing"), ("1 2", "unexpected word '2'")],
        ),
        Case("ascii", &["", "auto"], &[("on", "'on' is not auto"), ("auto x", "unexpected word 'x'")]),
        Case(
            "fault",
            &["", "delay 100", "connection 3 blackhole"],
            &[("x", "'x' is not delay, reset, throttle, truncate or blackhole")],
        ),
        Case(
            "no fault",
            &["", "connection 3"],
            &[("x", "'x' is not connection"), ("connection", "the number of a connection is missing")],
        ),
        Case("no route", &["", "sni *.example.org"], &[("x", "'x' is not sni, alpn, tls, host, http or ssh")]),
        Case(
            "queue",
            &["", "1", "1000000 5"],
            &[("0", "0 is not within 1 to 1000000"), ("1 x", "'x' is not a number"), ("1 2 3", "unexpected word '3'")],
        ),
        Case(
            "trace",
            &["", "client ::1 server 0 dump lines 5"],
            &[
                ("x", "'x' is not client, server, connection, protocol, listener, dump, lines or seconds"),
                ("lines x", "'x' is not a number"),
            ],
        ),
        Case("pool", &["web"], &[("", "the name of a listener is missing"), ("a b", "unexpected word 'b'")]),
        Case("route", &["", "sni *.example.org web"], &[("x", "'x' is not sni, alpn, tls, host, http or ssh")]),
        Case(
            "secrets",
            &["", "show", "hide"],
            &[("on", "'on' is not show or hide"), ("show x", "unexpected word 'x'")],
        ),
        Case(
            "capture",
            &["", "/run/x", "/run/x size 100000 seconds 5 rotate 3"],
            &[
                ("a b", "'b' is not size, seconds or rotate"),
                ("a seconds", "a number is missing"),
                ("a size x", "'x' is not a number"),
            ],
        ),
        Case(
            "check",
            &["", "none", "tcp", "tcp port 81", "dns .", "dns a.example."],
            &[
                ("none x", "unexpected word 'x'"),
                (
                    "gopher",
                    "'gopher' is not tcp, http, smtp, ftp, pop3, imap, ldap, dns, redis, mysql, send, expect or none",
                ),
                ("tcp port 0", "'0': port 0 is not within 1 to 65535"),
                ("tcp port", "a port is missing"),
                ("dns a..b", "'a..b' is not a name: labels of 1 to 63 bytes with dots between"),
                ("dns .a", "'.a' is not a name: labels of 1 to 63 bytes with dots between"),
            ],
        ),
        Case(
            "client_acl",
            &["", "1", "office"],
            &[("10", "'10' is not an access list, 0 to 9 or a name"), ("1 2", "unexpected word '2'")],
        ),
        Case(
            "client_rate",
            &["", "1", "1000000 per 86400"],
            &[
                ("0", "0 is not within 1 to 1000000"),
                ("1 in 2", "'in' is not per"),
                ("1 per", "a number of seconds is missing"),
                ("1 per 2 3", "unexpected word '3'"),
            ],
        ),
        Case(
            "close",
            &["0", "1999999"],
            &[
                ("", "the number of a connection is missing"),
                ("x", "'x' is not a number"),
                ("2000000", "2000000 is not within 0 to 1999999"),
                ("1 2", "unexpected word '2'"),
            ],
        ),
        Case(
            "coalesce",
            &["", "0", "1000"],
            &[("x", "'x' is not a number"), ("1001", "1001 is not within 0 to 1000"), ("1 2", "unexpected word '2'")],
        ),
        Case(
            "connection",
            &["0", "1999999"],
            &[
                ("", "the number of a connection is missing"),
                ("-1", "-1 is not within 0 to 1999999"),
                ("1 2", "unexpected word '2'"),
            ],
        ),
        Case(
            "control_acl",
            &["", "1", "office"],
            &[("-1", "'-1' is not an access list, 0 to 9 or a name"), ("1 2", "unexpected word '2'")],
        ),
        Case(
            "control_token",
            &["/etc/token"],
            &[("", "the name of a file is missing"), ("a b", "unexpected word 'b'")],
        ),
        Case(
            "events",
            &["", "connections servers process", "listener web lines 1 seconds 604800"],
            &[
                ("x", "'x' is not connections, servers, process, listener, lines or seconds"),
                ("listener", "the name of a listener is missing"),
                ("lines", "a number is missing"),
                ("lines 0", "0 is not within 1 to 4294967295"),
                ("lines 1 lines 2", "'lines' is given twice"),
                ("seconds 604801", "604801 is not within 1 to 604800"),
            ],
        ),
        Case(
            "ftp_address",
            &["", "192.0.2.1"],
            &[("here", "'here' is not an IP address"), ("::1 x", "unexpected word 'x'")],
        ),
        Case("ftp_auth", &["", "on", "off"], &[("maybe", "'maybe' is not on or off"), ("on x", "unexpected word 'x'")]),
        Case(
            "ftp_ports",
            &["", "50000-50999"],
            &[
                ("50999-50000", "'50999-50000' is not a range of ports from 1024 to 65535"),
                ("2000-3000 x", "unexpected word 'x'"),
            ],
        ),
        Case(
            "http_trust",
            &["", "10.0.0.0/8", "office"],
            &[("10.0.0.0/33", "'33' is not the length of a prefix"), ("office x", "unexpected word 'x'")],
        ),
        Case("include", &["a"], &[("", "the name of a file is missing"), ("a b", "unexpected word 'b'")]),
        Case(
            "keepalive",
            &["", "1", "32767 32767 127"],
            &[
                ("0", "0 is not within 1 to 32767"),
                ("1 1 128", "128 is not within 1 to 127"),
                ("1 1 1 1", "unexpected word '1'"),
            ],
        ),
        Case(
            "listen",
            &["", "80", "[::1]:pop3 /run/x"],
            &[("0", "'0': port 0 is not within 1 to 65535"), ("80 x:y", "'x:y': 'y' is not a port or TCP service")],
        ),
        Case(
            "listener",
            &["", "web", "web 80 81"],
            &[
                ("443", "'443' is no name: a letter, then letters, digits, '-', '_' or '.', 32 at most"),
                ("web x", "'x': 'x' is not a port or TCP service"),
            ],
        ),
        Case("no listener", &["web"], &[("", "the name of a listener is missing"), ("web x", "unexpected word 'x'")]),
        Case(
            "log",
            &["", "pen.log", "\"a b\"", "host1:10000"],
            &[("host1:0", "'host1:0': port 0 is not within 1 to 65535"), ("a b", "unexpected word 'b'")],
        ),
        Case(
            "on",
            &["web hash", "main pid"],
            &[("", "the name of a listener is missing"), ("web", "a command is missing")],
        ),
        Case(
            "protocol",
            &["", "tcp", "udp"],
            &[("gopher", "'gopher' is not tcp, ftp, http or udp"), ("tcp x", "unexpected word 'x'")],
        ),
        Case(
            "proxy_accept",
            &["", "10.0.0.0/8", "office"],
            &[("10.0.0.0/33", "'33' is not the length of a prefix"), ("office x", "unexpected word 'x'")],
        ),
        Case("proxy_protocol", &["", "v1", "v2"], &[("v3", "'v3' is not v1 or v2"), ("v1 x", "unexpected word 'x'")]),
        Case(
            "recent",
            &["", "0", "2147483647"],
            &[("x", "'x' is not a number"), ("-1", "-1 is not within 0 to 2147483647"), ("1 2", "unexpected word '2'")],
        ),
        Case(
            "server",
            &["0 address 127.0.0.1 port pop3 max 1 hard 2 weight 3 prio -4 acl none name web blacklist 5", "web drain"],
            &[
                ("", "the number or name of a server is missing"),
                ("65535 port 1", "65535 is not within 0 to 65534"),
                ("0", "a key is missing"),
                ("0 foo 1", "unknown key 'foo'"),
                ("0 port", "'port' has no value"),
                ("0 max 1 max 2", "'max' is given twice"),
            ],
        ),
        Case(
            "no server",
            &["0", "web", "emergency"],
            &[("", "the number or name of a server is missing"), ("1 2", "unexpected word '2'")],
        ),
        Case(
            "socket",
            &["0"],
            &[
                ("", "the number of a descriptor is missing"),
                ("x", "'x' is not a number"),
                ("1 2", "unexpected word '2'"),
            ],
        ),
        Case(
            "source",
            &["::1"],
            &[
                ("", "an address is missing"),
                ("host1", "'host1' is not an IP address"),
                ("::1 x", "unexpected word 'x'"),
            ],
        ),
        Case(
            "status",
            &["", "text", "json", "prometheus"],
            &[("xml", "'xml' is not text, json or prometheus"), ("json x", "unexpected word 'x'")],
        ),
        Case(
            "status_acl",
            &["", "1"],
            &[("10", "'10' is not an access list, 0 to 9 or a name"), ("1 2", "unexpected word '2'")],
        ),
        Case(
            "status_listen",
            &["", "80", "[::1]:80"],
            &[("nosuch", "'nosuch': 'nosuch' is not a port or TCP service"), ("80 81", "unexpected word '81'")],
        ),
        Case(
            "tcp_fastclose",
            &["", "up", "down", "both", "off"],
            &[("on", "'on' is not up, down, both or off"), ("up down", "unexpected word 'down'")],
        ),
        Case("udp_responses", &["", "0"], &[("x", "'x' is not a number"), ("1 2", "unexpected word '2'")]),
        Case("web_stats", &["", "/run/x"], &[("a b", "unexpected word 'b'")]),
        Case("write", &["", "/run/x"], &[("a b", "unexpected word 'b'")]),
    ];

    fn refusal(line: &str) -> Option<String> {
        parse(line, &Services::parse("pop3 110/tcp\n")).err().map(|error| error.to_string())
    }

    #[test]
    fn every_command_takes_its_good_forms_and_refuses_bad_ones_by_the_word() {
        for row in COMMANDS {
            let name = row.name;
            let refuses = |words: &str, why: &str| {
                let line = format!("{name} {words}");
                assert_eq!(refusal(line.trim_end()), Some(format!("{name}: {why}")), "{line}");
            };
            let takes = |words: &str| {
                let line = format!("{name} {words}");
                assert_eq!(refusal(line.trim_end()), None, "{line}");
            };
            match &row.reading {
                Reading::Absent => assert_eq!(refusal(name), Some(format!("'{name}' is not in this pen"))),
                Reading::Is(_) => {
                    takes("");
                    refuses("x", "unexpected word 'x'");
                }
                Reading::Number(number) => {
                    let (low, high) = number.range();
                    ["", &low.to_string(), &high.to_string()].into_iter().for_each(takes);
                    refuses("x", "'x' is not a number");
                    for wrong in [i64::from(low) - 1, i64::from(high) + 1] {
                        refuses(&wrong.to_string(), &format!("{wrong} is not within {low} to {high}"));
                    }
                    refuses(&format!("{low} x"), "unexpected word 'x'");
                }
                Reading::By(_) => {
                    let case = CASES.iter().find(|case| case.0 == name);
                    let Case(_, good, bad) = case.unwrap_or_else(|| panic!("CASES has nothing on {name}"));
                    assert!(!good.is_empty() && !bad.is_empty(), "{name}");
                    good.iter().for_each(|words| takes(words));
                    bad.iter().for_each(|(words, why)| refuses(words, why));
                }
            }
        }
    }
}
