//! The configuration as commands: what `write` puts into a file, and what reload compares.
//!
//! Reading the lines back gives the same settings, access lists and servers. What is not there is
//! what belongs to the process and not to its work: the options that no command can set.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;

use super::checks::{shown as shown_check, shown_own};
use super::numbers::{shown_auth, shown_fast_close, shown_ports, shown_queue, shown_rate};
use super::origins::{shown, shown_source_of_server, shown_transparency, shown_version_of_server};
use super::watching::shown_capture;
use crate::balance::listeners::MAIN_NAME;
use crate::balance::settings::{CaptureSpec, Common, DumpForm};
use crate::balance::trusted::Trusted;
use crate::balance::{Balancer, Duty, Listener, Listeners, MAIN, Server, ServerId};
use crate::base::keepalive::Keepalive;
use crate::base::operand::Host;

/// Lines that belong together and say all there is to say of one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The name of the listener that they are for.
    pub listener: Rc<str>,
    /// What they say something of: `blacklist`, `acl 3`, `server 0`.
    pub of: String,
    /// The commands.
    pub lines: Vec<String>,
    /// The command that takes the thing away, for one that may be there or not.
    pub removal: Option<String>,
}

/// What the block that begins a listener says something of.
const LISTENER: &str = "listener";

/// What the block of routes says something of; its lines name the listener themselves.
const ROUTE: &str = "route";

impl Block {
    /// True for the block that begins a listener.
    pub fn is_listener(&self) -> bool {
        self.of == LISTENER
    }

    /// True if its lines mean the same wherever they stand.
    pub fn is_said_by_itself(&self) -> bool {
        &*self.listener == MAIN_NAME || self.is_listener() || self.of == ROUTE
    }
}

/// A word of the configuration that no line can have, because there is a quote in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unspeakable(pub String);

impl Display for Unspeakable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no command can have the word '{}'", self.0.escape_debug())
    }
}

impl std::error::Error for Unspeakable {}

/// All that commands can set, in an order in which it can be read back: what is the process's first,
/// then one listener after another.
pub fn written(listeners: &Listeners) -> Result<Vec<Block>, Unspeakable> {
    let mut blocks = Vec::new();
    // One that listens nowhere and is no pool cannot be begun; the first needs no beginning.
    let is_there = |at, listener: &Listener| at == MAIN || !listener.at.is_empty() || listener.is_pool;
    for (at, listener) in listeners.iter().filter(|(at, listener)| is_there(*at, listener)) {
        let own = Writer { listener: Rc::from(listener.name.as_str()), balancer: &listener.balancer };
        blocks.extend(own.listening(listener)?);
        for list in own.balancer.acls.indexes() {
            blocks.push(own.access_list(list)?);
        }
        if at == MAIN {
            blocks.extend(own.common(&listeners.common)?);
        }
        blocks.extend(own.settings());
        blocks.extend(own.checks());
        blocks.extend(own.datagrams());
        blocks.push(own.queue());
        for (id, server) in own.balancer.servers.all().filter(|(_, server)| server.duty != Duty::Leaving) {
            blocks.push(own.server(id, server)?);
        }
    }
    // Those who are sent there must be there.
    for (_, listener) in listeners.iter().filter(|(at, listener)| is_there(*at, listener)) {
        let routes = &listener.balancer.settings.routes;
        let on = format!("on {} ", listener.name);
        let all = routes.iter().map(|route| format!("{on}route {route}"));
        let lines = std::iter::once(format!("{on}no route")).chain(all).collect();
        blocks.push(Block {
            listener: Rc::from(listener.name.as_str()),
            of: String::from(ROUTE),
            lines,
            removal: None,
        });
    }
    Ok(blocks)
}

/// The same as a file that pen can start from.
pub fn as_file(blocks: &[Block]) -> String {
    let lines = blocks.iter().flat_map(|block| &block.lines);
    lines.map(|line| format!("{line}\n")).collect()
}

/// What is written of one listener.
struct Writer<'a> {
    listener: Rc<str>,
    balancer: &'a Balancer,
}

impl Writer<'_> {
    fn one(&self, of: &str, line: String) -> Block {
        Block { listener: Rc::clone(&self.listener), of: String::from(of), lines: vec![line], removal: None }
    }

    fn says(&self, of: &str, value: &dyn Display) -> Block {
        self.one(of, format!("{of} {value}"))
    }

    /// What is on or off.
    fn is(&self, of: &str, on: bool) -> Block {
        self.one(of, if on { String::from(of) } else { format!("no {of}") })
    }

    fn address(&self, of: &str, ip: Option<IpAddr>) -> Block {
        ip.map_or_else(|| self.is(of, false), |ip| self.says(of, &ip))
    }

    fn file(&self, of: &str, path: Option<&Path>) -> Result<Block, Unspeakable> {
        match path {
            Some(path) => Ok(self.says(of, &path_word(path)?)),
            None => Ok(self.is(of, false)),
        }
    }

    /// Where it listens, which also begins what is said of it.
    fn listening(&self, listener: &Listener) -> Result<Option<Block>, Unspeakable> {
        let addresses = listener.at.iter().map(|at| word(at)).collect::<Result<Vec<_>, _>>()?.join(" ");
        if &*self.listener == MAIN_NAME {
            return Ok((!addresses.is_empty()).then(|| self.says("listen", &addresses)));
        }
        let removal = Some(format!("no listener {}", self.listener));
        let line = match listener.is_pool {
            true => format!("pool {}", self.listener),
            false => format!("listener {} {addresses}", self.listener),
        };
        let of = String::from(LISTENER);
        Ok(Some(Block { listener: Rc::clone(&self.listener), of, lines: vec![line], removal }))
    }

    fn access_list(&self, list: usize) -> Result<Block, Unspeakable> {
        let acls = &self.balancer.acls;
        let name = acls.name(list);
        let clear = format!("no acl {name}");
        let lines = match acls.file(list) {
            Some(path) => vec![format!("acl {name} file {}", path_word(path)?)],
            None => {
                let entries = acls.entries(list).iter().map(|entry| format!("acl {name} {entry}"));
                std::iter::once(clear.clone()).chain(entries).collect()
            }
        };
        Ok(Block { listener: Rc::clone(&self.listener), of: format!("acl {name}"), lines, removal: Some(clear) })
    }

    /// What all listeners have in common.
    fn common(&self, common: &Common) -> Result<Vec<Block>, Unspeakable> {
        let form = match common.dump_form {
            DumpForm::Columns => "no ascii",
            DumpForm::Ascii => "ascii",
            DumpForm::Auto => "ascii auto",
        };
        let ports = common.shares_ports.then(|| self.one("reuseport", String::from("reuseport")));
        let mut blocks = vec![
            self.one("ascii", String::from(form)),
            self.capture(common.capture.as_ref())?,
            self.says("coalesce", &common.coalesce.as_micros()),
            self.says("conn_max", &common.conn_max),
            self.says("control_acl", &self.balancer.acls.name(common.control_acl)),
            self.file("control_token", common.control_token.as_deref())?,
            self.says("debug", &common.debug),
            self.says("drain", &common.drain.as_secs()),
            self.one("keepalive", probes(common.keepalive)),
            self.file("log", common.log.as_deref().map(Path::new))?,
            self.says("secrets", &if common.shows_secrets { "show" } else { "hide" }),
            self.says("status_acl", &self.balancer.acls.name(common.status_acl)),
            self.file("status_listen", common.status_at.as_deref().map(Path::new))?,
            self.file("web_stats", common.web_stats.as_deref())?,
        ];
        blocks.extend(ports);
        Ok(blocks)
    }

    fn checks(&self) -> Vec<Block> {
        let settings = &self.balancer.settings;
        let check = match &settings.check {
            None => self.is("check", false),
            check => self.says("check", &shown_check(check.as_ref())),
        };
        vec![
            check,
            self.says("check_fall", &settings.check_fall),
            self.says("check_interval", &settings.check_interval.as_secs()),
            self.says("check_rise", &settings.check_rise),
        ]
    }

    fn queue(&self) -> Block {
        match self.balancer.settings.queue {
            None => self.is("queue", false),
            queue => self.says("queue", &shown_queue(queue)),
        }
    }

    fn datagrams(&self) -> Vec<Block> {
        let settings = &self.balancer.settings;
        let responses = match settings.udp_responses {
            None => self.is("udp_responses", false),
            Some(count) => self.says("udp_responses", &count),
        };
        vec![
            self.says("udp_requests", &settings.udp_requests),
            responses,
            self.says("udp_timeout", &settings.udp_timeout.as_secs()),
        ]
    }

    fn capture(&self, spec: Option<&CaptureSpec>) -> Result<Block, Unspeakable> {
        let Some(spec) = spec else { return Ok(self.is("capture", false)) };
        let (shown, path) = (shown_capture(spec), spec.path.display().to_string());
        let limits = shown.strip_prefix(&path).unwrap_or_default();
        Ok(self.one("capture", format!("capture {}{limits}", path_word(&spec.path)?)))
    }

    fn settings(&self) -> Vec<Block> {
        let settings = &self.balancer.settings;
        let modes = &settings.modes;
        let rate = match settings.client_rate {
            None => self.is("client_rate", false),
            rate => self.says("client_rate", &shown_rate(rate)),
        };
        let proxy_protocol = match settings.proxy_protocol {
            None => self.is("proxy_protocol", false),
            Some(version) => self.says("proxy_protocol", &version.name()),
        };
        let source = self.address("source", settings.source);
        let ftp_address = self.address("ftp_address", settings.ftp.address);
        let ftp_ports = match shown_ports(settings.ftp.ports) {
            None => self.is("ftp_ports", false),
            Some(ports) => self.says("ftp_ports", &ports),
        };
        vec![
            self.says("blacklist", &settings.blacklist.as_secs()),
            self.says("client_acl", &self.balancer.acls.name(settings.client_acl)),
            self.says("client_ipv6", &settings.client_ipv6),
            self.says("client_max", &settings.client_max),
            rate,
            self.says("clients_max", &settings.clients_max),
            match settings.fault {
                None => self.is("fault", false),
                Some(fault) => self.says("fault", &fault),
            },
            ftp_address,
            self.says("ftp_auth", &shown_auth(settings.ftp.auth)),
            ftp_ports,
            self.says("half_closed_timeout", &settings.half_closed_timeout.as_secs()),
            self.is("hash", modes.hash),
            self.trusted("http_trust", settings.http_trust),
            self.says("idle_timeout", &settings.idle_timeout.as_secs()),
            self.says("idlers", &settings.idlers),
            self.is("least", modes.least),
            self.is("p2c", modes.p2c),
            self.says("pending_max", &settings.pending_max),
            self.is("prio", modes.prio),
            self.says("protocol", &settings.protocol.name()),
            self.trusted("proxy_accept", settings.proxy_accept),
            proxy_protocol,
            self.is("roundrobin", modes.roundrobin),
            self.says("route_timeout", &settings.route_timeout.as_secs()),
            self.says("slow_start", &settings.slow_start.as_secs()),
            self.says("socket_buffers", &(settings.socket_buffers / 1024)),
            source,
            self.is("stubborn", modes.stubborn),
            self.says("stuck_timeout", &settings.stuck_timeout.as_secs()),
            self.says("tcp_fastclose", &shown_fast_close(settings.fast_close)),
            self.says("timeout", &settings.connect_timeout.as_secs()),
            self.says("tracking", &settings.tracking.as_secs()),
            self.is("transparent", settings.transparent),
            self.is("weight", modes.weight),
        ]
    }

    fn trusted(&self, of: &str, trusted: Option<Trusted>) -> Block {
        match trusted {
            None => self.is(of, false),
            Some(trusted) => self.says(of, &shown(&self.balancer.acls, trusted)),
        }
    }

    fn server(&self, id: ServerId, server: &Server) -> Result<Block, Unspeakable> {
        let line = server_line(self.balancer, id, server)?;
        let removal = Some(format!("no server {id}"));
        Ok(Block { listener: Rc::clone(&self.listener), of: format!("server {id}"), lines: vec![line], removal })
    }
}

fn probes(how: Option<Keepalive>) -> String {
    let Some(Keepalive { idle, interval, count }) = how else { return String::from("no keepalive") };
    let numbers = [idle.map(u32::from), interval.map(u32::from), count.map(u32::from)];
    let given = numbers.iter().map_while(|number| *number);
    given.fold(String::from("keepalive"), |line, number| format!("{line} {number}"))
}

fn server_line(balancer: &Balancer, id: ServerId, server: &Server) -> Result<String, Unspeakable> {
    let Server { host, port, max, hard, weight, prio, .. } = server;
    let host = match host {
        Host::Addr(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
        Host::Unix(path) => path_word(path)?,
    };
    // Without a port it is not used, and there is no word for none.
    let port = if *port == 0 { String::new() } else { format!(" port {port}") };
    let acl = server.acl.map_or(String::from("none"), |list| balancer.acls.name(list).to_string());
    let name = server.name.as_deref().unwrap_or("none");
    let check = word(&shown_own(&server.check))?;
    let duty = match server.duty {
        Duty::Enabled => "enable",
        Duty::Draining => "drain",
        Duty::Disabled | Duty::Leaving => "disable",
    };
    let told = shown_version_of_server(server.proxy_protocol);
    let (source, transparent) = (shown_source_of_server(server.source), shown_transparency(server.transparent));
    Ok(format!(
        "server {id} address {host}{port} max {max} hard {hard} weight {weight} prio {prio} acl {acl} proxy_protocol {told} source {source} transparent {transparent} name {name} check {check} {duty}"
    ))
}

/// A path as a word; one that begins with neither slash nor letter could mean something else.
fn path_word(path: &Path) -> Result<String, Unspeakable> {
    word(&path.to_string_lossy())
}

/// A text as one word of a line: in quotes where it has to be. Quotes within a word without blanks are like any letter.
fn word(text: &str) -> Result<String, Unspeakable> {
    let is_plain = !text.contains([' ', '\t']) && !text.starts_with(['"', '#']) && !text.is_empty();
    let fits_quotes = !text.contains('"') && !text.is_empty();
    match text {
        _ if text.contains(['\n', '\r', '\0']) => Err(Unspeakable(String::from(text))),
        _ if is_plain && !(fits_quotes && text.contains('#')) => Ok(String::from(text)),
        _ if fits_quotes => Ok(format!("\"{text}\"")),
        _ => Err(Unspeakable(String::from(text))),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::balance::acl::{Entry, ListName, Subnet};
    use crate::balance::routes::{Hosts, Route, What};
    use crate::balance::settings::{FastClose, Fault, FtpSettings, Modes, Protocol, Queueing, Rate, Settings};
    use crate::base::diag::WORDS;
    use crate::base::features::DECODERS;
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::proxy_version::ProxyVersion;
    use crate::base::time::{Moment, Now};
    use crate::check::{Check, Kind};
    use crate::control::config::read_file;
    use crate::control::execute::{Around, Effect, apply};
    use crate::select::testing::Random;

    const NOW: Now = Now { moment: Moment::from_nanos(7_000_000_000), unix: 1_700_000_000 };

    fn one_of<T: Clone>(random: &mut Random, choices: &[T]) -> T {
        choices[random.below(choices.len() as u64) as usize].clone()
    }

    fn random_check(random: &mut Random) -> Option<Check> {
        let text = |text: &str| -> Box<str> { text.into() };
        let bytes =
            |random: &mut Random| -> Box<[u8]> { (0..1 + random.below(9)).map(|_| random.below(256) as u8).collect() };
        let kind = match random.below(9) {
            0 => return None,
            1 => Kind::Tcp,
            2 => Kind::Http { path: text("/"), host: None, status: None },
            3 => Kind::Http { path: text("/a?b=c"), host: Some(text("h.test")), status: None },
            4 => Kind::Http { path: text("/up"), host: None, status: Some(204) },
            5 => Kind::Dns(text("www.test")),
            6 => Kind::Mysql(text("pen")),
            7 => Kind::Talk { send: None, expect: bytes(random) },
            _ => Kind::Talk { send: Some(bytes(random)), expect: bytes(random) },
        };
        Some(Check { kind, port: random.one_in(2).then_some(8080) })
    }

    fn seconds(random: &mut Random, least: u64) -> Duration {
        Duration::from_secs(least + one_of(random, &[0, 1, 7, 3_600, 2_147_483_000]))
    }

    fn random_settings(random: &mut Random) -> Settings {
        let mut coin = || random.one_in(2);
        let modes = Modes {
            hash: coin(),
            roundrobin: coin(),
            stubborn: coin(),
            weight: coin(),
            prio: coin(),
            least: coin(),
            p2c: coin(),
        };
        let protocol = one_of(random, &[Protocol::Tcp, Protocol::Ftp, Protocol::Http, Protocol::Udp]);
        let v1 = if protocol == Protocol::Udp { ProxyVersion::V2 } else { ProxyVersion::V1 };
        Settings {
            modes,
            blacklist: seconds(random, 0),
            slow_start: seconds(random, 0),
            connect_timeout: seconds(random, 1),
            tracking: seconds(random, 0),
            idle_timeout: seconds(random, 0),
            idlers: random.below(4) as usize,
            half_closed_timeout: seconds(random, 0),
            stuck_timeout: seconds(random, 0),
            fast_close: one_of(random, &[FastClose::Off, FastClose::Up, FastClose::Down, FastClose::Both]),
            protocol,
            queue: random.one_in(2).then(|| Queueing {
                places: 1 + random.below(99) as u32,
                time: Duration::from_secs(1 + random.below(99)),
            }),
            check: random_check(random),
            check_interval: Duration::from_secs(1 + random.below(86_400)),
            check_rise: 1 + random.below(5) as u32,
            check_fall: 1 + random.below(5) as u32,
            udp_timeout: seconds(random, 0),
            udp_requests: random.below(5) as u32,
            udp_responses: one_of(random, &[None, Some(0), Some(1)]),
            ftp: FtpSettings {
                ports: one_of(random, &[None, Some((1024, 65_535)), Some((50_000, 50_000))]),
                address: one_of(random, &[None, Some([192, 0, 2, 1].into()), Some("2001:db8::1".parse().unwrap())]),
                auth: random.one_in(2),
            },
            socket_buffers: random.below(3) as u32 * 65_536,
            pending_max: 1 + random.below(1_000) as usize,
            clients_max: 1 + random.below(5_000) as usize,
            client_max: random.below(50) as u32,
            client_rate: one_of(
                random,
                &[None, Some(Rate { count: 3, seconds: 1 }), Some(Rate { count: 1, seconds: 60 })],
            ),
            client_ipv6: random.below(129) as u8,
            http_trust: one_of(random, &[None, Some(net("10.0.0.0/8")), Some(net("::1")), Some(Trusted::List(3))]),
            proxy_accept: one_of(random, &[None, Some(net("192.0.2.7")), Some(Trusted::List(0))]),
            routes: routes(random),
            route_timeout: seconds(random, 1),
            transparent: random.one_in(2),
            proxy_protocol: one_of(random, &[None, Some(v1), Some(ProxyVersion::V2)]),
            source: one_of(random, &[None, Some([127, 0, 0, 9].into()), Some("2001:db8::1".parse().unwrap())]),
            fault: random_fault(random).filter(|_| protocol != Protocol::Udp),
            // Set with the access lists, of which there must be as many.
            client_acl: 0,
        }
    }

    fn random_fault(random: &mut Random) -> Option<Fault> {
        let number = 1 + random.below(60_000);
        let all = [
            None,
            Some(Fault::Delay(Duration::from_millis(number))),
            Some(Fault::Reset(0)),
            Some(Fault::Reset(number)),
            Some(Fault::Throttle(number as u32)),
            Some(Fault::Truncate(number)),
            Some(Fault::Blackhole),
        ];
        one_of(random, &all)
    }

    fn random_capture(random: &mut Random) -> Option<CaptureSpec> {
        let path = one_of(random, &[None, Some("/run/x.pcapng"), Some("my capture #1")])?.into();
        let (size, seconds) = (random.one_in(2).then_some(4096), random.one_in(2).then_some(60));
        let rotate = (size.is_some() || seconds.is_some()).then_some(3);
        Some(CaptureSpec { path, size, seconds, rotate })
    }

    fn routes(random: &mut Random) -> Vec<Route> {
        let all = [
            What::Sni(Hosts::parse("*.example.org").unwrap()),
            What::Alpn("h2".into()),
            What::Host(Hosts::parse("a.example").unwrap()),
            What::Tls,
        ];
        all.into_iter().filter(|_| random.one_in(2)).map(|what| Route { what, to: "tls".into() }).collect()
    }

    fn net(text: &str) -> Trusted {
        Trusted::Net(Subnet::parse(text, None).unwrap())
    }

    fn random_common(random: &mut Random) -> Common {
        let number = |random: &mut Random| Some(1 + random.below(120) as u16);
        let keepalive = match random.below(5) {
            0 => None,
            1 => Some(Keepalive::default()),
            2 => Some(Keepalive { idle: number(random), ..Keepalive::default() }),
            3 => Some(Keepalive { idle: number(random), interval: number(random), count: None }),
            _ => Some(Keepalive { idle: number(random), interval: number(random), count: Some(3) }),
        };
        let file = |random: &mut Random| {
            one_of(random, &[None, Some("/var/log/pen"), Some("pen.log"), Some("my file #1"), Some("/tmp/a:b c")])
        };
        Common {
            coalesce: Duration::from_micros(random.below(1_001)),
            drain: seconds(random, 0),
            keepalive,
            conn_max: 1 + random.below(1_000_000) as usize,
            debug: random.below(if DECODERS.is_there() { 10 } else { u64::from(WORDS) }) as u32,
            dump_form: one_of(random, &[DumpForm::Columns, DumpForm::Ascii, DumpForm::Auto]),
            log: file(random).map(String::from),
            web_stats: file(random).map(Into::into),
            control_token: file(random).map(Into::into),
            status_at: one_of(random, &[None, Some("127.0.0.1:81"), Some("::1:81"), Some("/run/my status")])
                .map(String::from),
            shares_ports: random.one_in(2),
            shows_secrets: random.one_in(2),
            capture: random_capture(random),
            // Set with the access lists, of which there must be as many.
            control_acl: 0,
            status_acl: 0,
            // Options, which no command can set.
            multi_accept: Common::default().multi_accept,
            backlog: Common::default().backlog,
            pid_file: None,
            may_exit: false,
            is_never_transparent: false,
        }
    }

    fn random_acls(random: &mut Random, balancer: &mut Balancer) {
        let entries = ["permit 10.0.0.0/8", "deny 192.0.2.1", "permit 2001:db8::/32", "deny 10.0.0.0 255.0.255.0"];
        let entry = |random: &mut Random| {
            let words: Vec<&str> = one_of(random, &entries).split(' ').collect();
            Entry::parse(&words).unwrap()
        };
        for name in ["office", "bad-guys", "x"] {
            if random.one_in(2) {
                balancer.acls.find_or_name(&ListName::Name(name.into())).unwrap();
            }
        }
        for list in balancer.acls.indexes() {
            if random.one_in(6) {
                let entries = [entry(random), entry(random)];
                balancer.acls.load(list, Path::new(one_of(random, &["/etc/list", "a list"])), &entries).unwrap();
            } else {
                (0..random.below(4)).for_each(|_| balancer.acls.add(list, entry(random)).unwrap());
            }
        }
        balancer.settings.client_acl = random.below(balancer.acls.indexes().len() as u64) as usize;
    }

    fn random_pen(random: &mut Random) -> Listeners {
        let mut pen = Listeners::new(random_common(random), random_settings(random));
        pen.main_mut().at =
            one_of(random, &[vec!["[::1]:80"], vec!["80", "/run/a b"]]).into_iter().map(String::from).collect();
        random_servers(random, &mut pen.main_mut().balancer);
        for (name, at) in
            [("tls", vec!["443", "[::1]:443"]), ("b.c-d", vec!["/run/c d"]), ("pool", vec![]), ("nowhere", vec![])]
        {
            if random.one_in(2) {
                let key = pen.add(name).unwrap();
                pen[key].is_pool = name == "pool";
                pen[key].at = at.into_iter().map(String::from).collect();
                pen[key].balancer.settings = random_settings(random);
                random_servers(random, &mut pen[key].balancer);
            }
        }
        let mut list = || random.below(pen.main().balancer.acls.indexes().len() as u64) as usize;
        (pen.common.control_acl, pen.common.status_acl) = (list(), list());
        pen
    }

    fn random_servers(random: &mut Random, balancer: &mut Balancer) {
        random_acls(random, balancer);
        let mut ids: Vec<ServerId> = (0..12).filter(|_| random.one_in(2)).map(ServerId::Regular).collect();
        ids.extend([ServerId::Emergency, ServerId::Abuse].into_iter().filter(|_| random.one_in(2)));
        for (count, id) in ids.into_iter().enumerate() {
            let hosts = ["127.0.0.1", "[::1]", "host1", "/run/x.sock", "/run/my sock"];
            // Unix sockets carry no datagrams.
            let count_of_hosts = if balancer.settings.protocol == Protocol::Udp { 3 } else { hosts.len() };
            let host = one_of(random, &hosts[..count_of_hosts]);
            let spec =
                ServerSpec::parse(&format!("{host}:{}", 1 + random.below(65_535)), &Services::default()).unwrap();
            let mut server = Server::new(&spec, 0);
            (server.max, server.hard) = (random.below(9) as u32, random.below(9) as u32);
            (server.weight, server.prio) = (random.below(9) as u32, random.below(9) as i32 - 4);
            server.acl = random.one_in(2).then(|| random.below(balancer.acls.indexes().len() as u64) as usize);
            server.source = one_of(random, &[None, Some(None), Some(Some([127, 0, 0, 3].into()))]);
            server.transparent = one_of(random, &[None, Some(true), Some(false)]);
            server.proxy_protocol = one_of(random, &[None, Some(None), Some(Some(ProxyVersion::V2))]);
            server.name = random.one_in(2).then(|| format!("web-{count}.eu").into());
            server.duty = one_of(random, &[Duty::Enabled, Duty::Draining, Duty::Disabled]);
            if matches!(server.host, Host::Unix(_)) {
                server.port = 0;
            }
            balancer.servers.set(id, server).unwrap();
        }
    }

    /// The entries of the first list with this file.
    fn entries_of(pen: &Listeners, path: &Path) -> Option<Vec<Entry>> {
        pen.iter().find_map(|(_, listener)| {
            let acls = &listener.balancer.acls;
            let list = acls.indexes().find(|list| acls.file(*list) == Some(path))?;
            Some(acls.entries(list).to_vec())
        })
    }

    /// A pen that starts from these lines; the files of access lists hold what they held before.
    fn read_back(before: &Listeners, text: &str) -> Listeners {
        let mut pen = Listeners::new(Common::default(), Settings::default());
        let list_of = |path: &Path| {
            let entries = entries_of(before, path)?;
            Some(entries.iter().map(|entry| format!("{entry}\n")).collect::<String>())
        };
        let lines = read_file(Path::new("written"), MAIN_NAME, &Services::default(), &mut |path| match path.to_str() {
            Some("written") => Ok(String::from(text)),
            _ => list_of(path).ok_or_else(|| io::ErrorKind::NotFound.into()),
        });
        let around = Around { pid: 1, control: "" };
        let outcome = apply(&mut pen, lines.unwrap_or_else(|error| panic!("{error}\n{text}")), NOW, &around);
        for (_, _, effect) in outcome.unwrap_or_else(|error| panic!("{error}\n{text}")).effects {
            match effect {
                // What the loop notes once it is done.
                Effect::SetLog(log) => pen.common.log = log.map(|log| log.text),
                Effect::Token(path) => pen.common.control_token = path,
                Effect::StatusListen(there) => pen.common.status_at = there.map(|there| there.text),
                Effect::SetCapture(spec) => pen.common.capture = spec,
                Effect::Listen(at, there) => pen[at].at = there.into_iter().map(|at| at.text).collect(),
                _ => {}
            }
        }
        pen
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_configuration() {
        for seed in 0..400 {
            let mut random = Random::new(seed);
            let mut before = random_pen(&mut random);
            // Two lists of one file have the same entries, or the file would be two.
            let keys: Vec<_> = before.iter().map(|(at, _)| at).collect();
            for at in keys {
                for list in before[at].balancer.acls.indexes() {
                    let Some(path) = before[at].balancer.acls.file(list).map(Path::to_path_buf) else { continue };
                    let entries = entries_of(&before, &path).unwrap();
                    before[at].balancer.acls.load(list, &path, &entries).unwrap();
                }
            }
            let blocks = written(&before).unwrap();
            let text = as_file(&blocks);
            let after = read_back(&before, &text);
            assert_eq!(written(&after).as_ref(), Ok(&blocks), "seed {seed}");
            assert_eq!(after.common, before.common, "seed {seed}\n{text}");
            // One that listens nowhere and is no pool is not written.
            let all: Vec<_> =
                before.iter().filter(|(_, listener)| !listener.at.is_empty() || listener.is_pool).collect();
            assert_eq!(after.iter().count(), all.len(), "seed {seed}\n{text}");
            for (_, before) in all {
                let after = &after[after.find(&before.name).unwrap()];
                assert_eq!((&after.at, after.is_pool), (&before.at, before.is_pool));
                assert_same(&after.balancer, &before.balancer, &format!("seed {seed}\n{text}"));
            }
        }
    }

    fn assert_same(after: &Balancer, before: &Balancer, place: &str) {
        assert_eq!(after.settings, before.settings, "{place}");
        assert_eq!(after.servers.all().collect::<Vec<_>>(), before.servers.all().collect::<Vec<_>>(), "{place}");
        for list in before.acls.indexes() {
            let name = before.acls.name(list);
            let same = after.acls.find(&name).unwrap();
            assert_eq!(after.acls.entries(same), before.acls.entries(list), "{name}, {place}");
        }
    }

    #[test]
    fn each_thing_has_one_block_and_what_may_be_missing_a_removal() {
        let mut random = Random::new(5);
        for _ in 0..50 {
            let blocks = written(&random_pen(&mut random)).unwrap();
            for (index, block) in blocks.iter().enumerate() {
                assert!(
                    blocks[..index].iter().all(|other| (&other.of, &other.listener) != (&block.of, &block.listener))
                );
                let is_one_of_many = block.of.starts_with("server ") || block.of.starts_with("acl ");
                let may_be_missing = is_one_of_many || block.is_listener();
                assert_eq!(block.removal.is_some(), may_be_missing, "{block:?}");
            }
        }
    }

    #[test]
    fn every_command_that_sets_something_is_written() {
        // Ports that are not shared need no word.
        let common = Common { shares_ports: true, ..Common::default() };
        let mut pen = Listeners::new(common, Settings::default());
        pen.main_mut().at.push(String::from("80"));
        let blocks = written(&pen).unwrap();
        // What is asked or done, and has no state, or is the same for every pen.
        let others = [
            "abort_on_error",
            "block",
            "close",
            "connection",
            "control",
            "delayed_forward",
            "dummy",
            "epoll",
            "events",
            "exit",
            "ftp",
            "http",
            "include",
            "kqueue",
            "listener",
            "listeners",
            "mode",
            "on",
            "pid",
            "poll",
            "pool",
            "recent",
            "select",
            "server",
            "servers",
            "socket",
            "reload",
            "status",
            "tcp_nodelay",
            "trace",
            "write",
        ];
        for row in super::super::table::COMMANDS.iter().filter(|row| row.exists() && !row.name.starts_with("no ")) {
            let is_written =
                blocks.iter().any(|block| block.of == row.name || block.of.starts_with("acl ") && row.name == "acl");
            assert_ne!(is_written, others.contains(&row.name), "{}", row.name);
        }
    }

    #[test]
    fn a_word_that_no_line_can_have_is_named() {
        let of = |log: &str| {
            let common = Common { log: Some(String::from(log)), ..Common::default() };
            written(&Listeners::new(common, Settings::default()))
        };
        for log in ["a \"b", "\"a", "\"", "\"a\"", "a\nb", ""] {
            let error = of(log).unwrap_err().to_string();
            assert_eq!(error, format!("no command can have the word '{}'", log.escape_debug()));
        }
        for (log, word) in [("a\"b", "a\"b"), ("a\"#", "a\"#"), ("a#b", "\"a#b\""), ("a b", "\"a b\""), ("#", "\"#\"")]
        {
            let blocks = of(log).unwrap();
            assert!(blocks.iter().any(|block| block.lines == [format!("log {word}")]), "{log}: {blocks:?}");
        }
    }
}
