//! Names that are looked up before pen starts: servers, listening addresses, the log's host.
//!
//! A name that does not exist is a mistake; a name service that does not answer is not, where pen
//! can do without the address for a while.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::balance::{ListenerKey, MAIN, ServerId};
use crate::base::addr::Endpoint;
use crate::base::error::{Error, reason};
use crate::base::operand::{Host, ListenSpec};
use crate::base::time::Moment;
use crate::control::command::{LogSpec, LogTo};
use crate::net::{Event, LogTarget, Net, NoAddress, Signal};

use super::plan::Plan;

/// How long the start waits for the name service.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks up all names of a plan at once. Those that pen cannot do without are asked for first, so
/// that a server's name which takes its time does not hold them up; they are replaced by the first
/// of their addresses. Returns a warning for each server of which nothing was heard; it stays
/// without an address, and so is not used until it has one.
pub fn resolve(net: &mut impl Net, plan: &mut Plan) -> Result<Vec<String>, Error> {
    let unknown = unresolved(plan);
    let needed = needed(plan);
    let hosts = needed.iter().map(|(_, host)| &**host).filter_map(name_of);
    let names: Vec<&str> = hosts.chain(unknown.iter().map(|(_, name)| name.as_str())).collect();
    let mut answers = look_up(net, &names)?.into_iter();
    for (what, host) in needed {
        let Some(name) = name_of(host) else { continue };
        *host = match answers.next().unwrap_or(Err(NoAddress::NoAnswer)) {
            Ok(addresses) => Host::Addr(addresses[0]),
            Err(NoAddress::NoSuchName) => return Err(Error::config(format!("{what} '{name}': no such host"))),
            Err(NoAddress::NoAnswer) => {
                return Err(Error::system(format!("{what} '{name}': the name service does not answer")));
            }
        };
    }
    settle(plan, &unknown, answers)
}

/// The hosts that must have an address before pen runs, and what each is for.
fn needed(plan: &mut Plan) -> Vec<(&'static str, &mut Host)> {
    let listen = plan.listen.iter_mut().map(|(_, there)| ("listening address", &mut there.spec.host));
    let mut hosts: Vec<_> = listen.collect();
    hosts.extend(plan.control.as_mut().map(|at| ("control address", &mut at.spec.host)));
    hosts.extend(plan.status.as_mut().map(|at| ("status address", &mut at.spec.host)));
    if let Some(LogSpec { to: LogTo::Network { host, .. }, .. }) = &mut plan.log {
        hosts.push(("log host", host));
    }
    hosts
}

fn name_of(host: &Host) -> Option<&str> {
    match host {
        Host::Name(name) => Some(name),
        Host::Addr(_) | Host::Unix(_) => None,
    }
}

/// The servers whose names are to be looked up.
fn unresolved(plan: &Plan) -> Vec<((ListenerKey, ServerId), String)> {
    let all = plan.listeners.iter();
    let servers = all.flat_map(|(at, one)| one.balancer.servers.all().map(move |(id, server)| ((at, id), server)));
    let without = servers.filter(|(_, server)| server.is_unresolved());
    without.filter_map(|(id, server)| Some((id, String::from(name_of(&server.host)?)))).collect()
}

/// Gives the servers their addresses.
fn settle(
    plan: &mut Plan,
    unknown: &[((ListenerKey, ServerId), String)],
    answers: impl Iterator<Item = Result<Vec<IpAddr>, NoAddress>>,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    for (((at, id), name), answer) in unknown.iter().zip(answers) {
        let listener = &mut plan.listeners[*at];
        match answer {
            Ok(addresses) => listener.balancer.servers.resolved(*id, addresses),
            Err(NoAddress::NoSuchName) => return Err(Error::config(format!("server '{name}': no such host"))),
            Err(NoAddress::NoAnswer) => {
                let whose = if *at == MAIN { String::new() } else { format!(" of {}", listener.name) };
                warnings.push(format!("server {id}{whose} is down until the name service answers for {name}"));
            }
        }
    }
    Ok(warnings)
}

/// The address and port, or the path, to listen on, whose name was looked up.
pub fn endpoint(spec: &ListenSpec) -> Endpoint {
    match &spec.host {
        Host::Addr(ip) => Endpoint::inet(SocketAddr::new(*ip, spec.port)),
        Host::Unix(path) => Endpoint::Unix(path.clone()),
        Host::Name(_) => unreachable!("names are replaced before anything is opened"),
    }
}

/// Where the log goes, whose name was looked up.
pub fn log_target(log: &LogSpec) -> LogTarget {
    let (host, port) = match &log.to {
        LogTo::File(path) => return LogTarget::File(path.clone()),
        LogTo::Network { host, port } => (host.clone(), *port),
    };
    match endpoint(&ListenSpec { host, port }) {
        Endpoint::Inet(addr) => LogTarget::Udp(addr),
        Endpoint::Unix(path) => LogTarget::File(path),
    }
}

/// The answers for all of `names`, in their order, after [`PATIENCE`] at the latest.
fn look_up(net: &mut impl Net, names: &[&str]) -> Result<Vec<Result<Vec<IpAddr>, NoAddress>>, Error> {
    let mut answers: Vec<Option<Result<Vec<IpAddr>, NoAddress>>> = vec![None; names.len()];
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let begin = wait(net, &mut answers, Some(Duration::ZERO))?;
    for (request, name) in names.iter().enumerate() {
        net.resolve(FIRST_REQUEST + request, name);
    }
    let end = begin + PATIENCE;
    let mut now = begin;
    while answers.iter().any(Option::is_none) && now < end {
        now = wait(net, &mut answers, Some(end.since(now)))?;
    }
    Ok(answers.into_iter().map(|answer| answer.unwrap_or(Err(NoAddress::NoAnswer))).collect())
}

/// Requests of the start have numbers that the loop does not use: an answer that comes too late
/// means nothing to it, and it asks again by itself.
pub const FIRST_REQUEST: usize = usize::MAX / 2;

fn wait(
    net: &mut impl Net,
    answers: &mut [Option<Result<Vec<IpAddr>, NoAddress>>],
    timeout: Option<Duration>,
) -> Result<Moment, Error> {
    let mut events = Vec::new();
    let now = net.wait(&mut events, timeout).map_err(|error: io::Error| Error::system(reason(&error)))?;
    for event in events {
        match event {
            Event::Resolved { request, answer } => {
                if let Some(place) = request.checked_sub(FIRST_REQUEST).and_then(|at| answers.get_mut(at)) {
                    // An empty list is as good as no such name.
                    *place = Some(
                        answer.and_then(|found| if found.is_empty() { Err(NoAddress::NoSuchName) } else { Ok(found) }),
                    );
                }
            }
            Event::Signal(Signal::Terminate | Signal::Quit) => {
                return Err(Error::system("ended by a signal while starting"));
            }
            Event::Signal(Signal::Hangup | Signal::Statistics | Signal::Upgrade) => {}
            Event::Ready { .. } | Event::Successor(_) => {}
        }
    }
    Ok(now.moment)
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeNet;
    use super::*;
    use crate::balance::{Common, Listeners, Server, Settings};
    use crate::base::operand::{ServerSpec, Services};
    use crate::control::command::ListenAt;

    fn spec(text: &str) -> ListenSpec {
        ListenSpec::parse(text, &Services::default()).unwrap()
    }

    fn plan(servers: &[&str]) -> Plan {
        let mut listeners = Listeners::new(Common::default(), Settings::default());
        for (index, text) in (0..).zip(servers) {
            let server = Server::new(&ServerSpec::parse(text, &Services::default()).unwrap(), 80);
            listeners.main_mut().balancer.servers.set(ServerId::Regular(index), server).unwrap();
        }
        let listen = vec![(MAIN, ListenAt { spec: spec("80"), text: String::from("80") })];
        Plan {
            listeners,
            origin: Default::default(),
            listen,
            control: None,
            status: None,
            token: None,
            log: None,
            is_dummy: false,
            replies: String::new(),
        }
    }

    fn net() -> FakeNet {
        let addresses = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap()).to_vec();
        FakeNet {
            names: vec![
                ("known", Some(Ok(addresses))),
                ("empty", Some(Ok(Vec::new()))),
                ("nosuch", Some(Err(NoAddress::NoSuchName))),
                ("away", Some(Err(NoAddress::NoAnswer))),
                ("silent", None),
            ],
            ..FakeNet::default()
        }
    }

    #[test]
    fn servers_get_all_addresses_of_their_names() {
        let mut plan = plan(&["known:81", "127.0.0.1", "known:82"]);
        assert_eq!(resolve(&mut net(), &mut plan), Ok(Vec::new()));
        let texts = |index: usize| -> Vec<String> {
            let server = plan.listeners.main().balancer.servers.regular(index).unwrap();
            server.endpoints.iter().map(Endpoint::to_string).collect()
        };
        assert_eq!(texts(0), ["192.0.2.1:81", "192.0.2.2:81"]);
        assert_eq!(texts(2), ["192.0.2.1:82", "192.0.2.2:82"]);
    }

    #[test]
    fn silence_costs_one_server_and_five_seconds() {
        let mut plan = plan(&["silent", "known", "away"]);
        let mut net = net();
        let warning = |id, name| format!("server {id} is down until the name service answers for {name}");
        assert_eq!(resolve(&mut net, &mut plan), Ok(vec![warning(0, "silent"), warning(2, "away")]));
        assert_eq!(net.now.moment, Moment::default() + PATIENCE);
        assert!(plan.listeners.main().balancer.servers.regular(0).unwrap().is_unresolved());
        assert!(!plan.listeners.main().balancer.servers.regular(1).unwrap().is_unresolved());
    }

    #[test]
    fn a_name_that_does_not_exist_is_the_configurations_fault() {
        for name in ["nosuch", "empty"] {
            let error = resolve(&mut net(), &mut plan(&["known", name])).unwrap_err();
            assert_eq!((error.to_string(), error.exit_status()), (format!("server '{name}': no such host"), 78));
        }
    }

    #[test]
    fn to_listen_one_address_is_enough_but_needed() {
        let listen = |text: &str| {
            let mut plan = plan(&[]);
            plan.listen[0].1.spec = spec(text);
            resolve(&mut net(), &mut plan).map(|_| endpoint(&plan.listen[0].1.spec))
        };
        assert_eq!(listen("known:80").unwrap().to_string(), "192.0.2.1:80");
        assert_eq!(listen("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert_eq!(listen("/run/x").unwrap().to_string(), "/run/x");
        let table = [
            ("nosuch:80", "listening address 'nosuch': no such host", 78),
            ("away:80", "listening address 'away': the name service does not answer", 1),
            ("silent:80", "listening address 'silent': the name service does not answer", 1),
        ];
        for (text, message, status) in table {
            let error = listen(text).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.exit_status()), (message, status));
        }
    }

    #[test]
    fn what_pen_cannot_do_without_is_asked_for_first_and_all_at_once() {
        let mut plan = plan(&["silent", "known"]);
        plan.listen[0].1.spec = spec("known:80");
        plan.control = Some(ListenAt { spec: spec("known:81"), text: String::from("known:81") });
        let log = LogTo::Network { host: Host::Name(String::from("known")), port: 82 };
        plan.log = Some(LogSpec { to: log, text: String::from("known:82") });
        let mut net = net();
        assert_eq!(resolve(&mut net, &mut plan).map(|warnings| warnings.len()), Ok(1));
        assert_eq!(net.now.moment, Moment::default() + PATIENCE, "one wait for all");
        assert_eq!(net.asked, ["known", "known", "known", "silent", "known"]);
        assert_eq!(endpoint(&plan.control.unwrap().spec).to_string(), "192.0.2.1:81");
    }

    #[test]
    fn a_signal_ends_the_start() {
        let mut net = FakeNet { signal: Some(Signal::Terminate), ..net() };
        let error = resolve(&mut net, &mut plan(&["silent"])).unwrap_err();
        assert_eq!(error.to_string(), "ended by a signal while starting");
    }
}
