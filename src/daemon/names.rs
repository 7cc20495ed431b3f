//! Names that are looked up before pen starts: servers, listening addresses, the log's host.
//!
//! A name that does not exist is a mistake; a name service that does not answer is not, where pen
//! can do without the address for a while.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::balance::ServerId;
use crate::base::addr::Endpoint;
use crate::base::error::{Error, reason};
use crate::base::operand::{Host, ListenSpec};
use crate::base::time::Moment;
use crate::net::{Event, Net, NoAddress, Signal};

use super::plan::Plan;

/// How long the start waits for the name service.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks up the name of each server that has one. Returns a warning for each of which nothing was
/// heard; it stays without an address, and so is not used until it has one.
pub fn resolve_servers(net: &mut impl Net, plan: &mut Plan) -> Result<Vec<String>, Error> {
    let servers = &mut plan.balancer.servers;
    let special = [ServerId::Emergency, ServerId::Abuse].into_iter();
    let all: Vec<ServerId> = servers.iter().map(|(id, _)| id).chain(special).collect();
    let mut unknown: Vec<(ServerId, String)> = Vec::new();
    for id in all {
        if let Some(server) = servers.server(id)
            && let Host::Name(name) = &server.host
            && server.is_unresolved()
        {
            unknown.push((id, name.clone()));
        }
    }
    let names: Vec<&str> = unknown.iter().map(|(_, name)| name.as_str()).collect();
    let answers = look_up(net, &names)?;
    let mut warnings = Vec::new();
    for ((id, name), answer) in unknown.iter().zip(answers) {
        match answer {
            Ok(addresses) => servers.resolved(*id, addresses),
            Err(NoAddress::NoSuchName) => return Err(Error::config(format!("server '{name}': no such host"))),
            Err(NoAddress::NoAnswer) => {
                warnings.push(format!("server {id} is down until the name service answers for {name}"));
            }
        }
    }
    Ok(warnings)
}

/// The address and port, or the path, to listen on; of a name with several the first. `what` says
/// what it is for.
pub fn endpoint(net: &mut impl Net, what: &str, spec: &ListenSpec) -> Result<Endpoint, Error> {
    let name = match &spec.host {
        Host::Addr(ip) => return Ok(Endpoint::inet(SocketAddr::new(*ip, spec.port))),
        Host::Unix(path) => return Ok(Endpoint::Unix(path.clone())),
        Host::Name(name) => name,
    };
    match look_up(net, &[name])?.remove(0) {
        Ok(addresses) => Ok(Endpoint::inet(SocketAddr::new(addresses[0], spec.port))),
        Err(NoAddress::NoSuchName) => Err(Error::config(format!("{what} '{name}': no such host"))),
        Err(NoAddress::NoAnswer) => Err(Error::system(format!("{what} '{name}': the name service does not answer"))),
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
            Event::Signal(Signal::Terminate) => return Err(Error::system("ended by a signal while starting")),
            Event::Signal(Signal::Hangup | Signal::Statistics) | Event::Ready { .. } => {}
        }
    }
    Ok(now.moment)
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeNet;
    use super::*;
    use crate::balance::settings::Settings;
    use crate::balance::{Balancer, Server};
    use crate::base::operand::{ServerSpec, Services};
    use crate::control::command::ListenAt;

    fn spec(text: &str) -> ListenSpec {
        ListenSpec::parse(text, &Services::default()).unwrap()
    }

    fn plan(servers: &[&str]) -> Plan {
        let mut balancer = Balancer::new(Settings::default());
        for (index, text) in (0..).zip(servers) {
            let server = Server::new(&ServerSpec::parse(text, &Services::default()).unwrap(), 80);
            balancer.servers.set(ServerId::Regular(index), server).unwrap();
        }
        let listen = ListenAt { spec: spec("80"), text: String::from("80") };
        Plan { balancer, listen, control: None, log: None, is_dummy: false, replies: String::new() }
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
        assert_eq!(resolve_servers(&mut net(), &mut plan), Ok(Vec::new()));
        let texts = |index: usize| -> Vec<String> {
            let server = plan.balancer.servers.regular(index).unwrap();
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
        assert_eq!(resolve_servers(&mut net, &mut plan), Ok(vec![warning(0, "silent"), warning(2, "away")]));
        assert_eq!(net.now.moment, Moment::default() + PATIENCE);
        assert!(plan.balancer.servers.regular(0).unwrap().is_unresolved());
        assert!(!plan.balancer.servers.regular(1).unwrap().is_unresolved());
    }

    #[test]
    fn a_name_that_does_not_exist_is_the_configurations_fault() {
        for name in ["nosuch", "empty"] {
            let error = resolve_servers(&mut net(), &mut plan(&["known", name])).unwrap_err();
            assert_eq!((error.to_string(), error.exit_status()), (format!("server '{name}': no such host"), 78));
        }
    }

    #[test]
    fn to_listen_one_address_is_enough_but_needed() {
        let listen = |text| endpoint(&mut net(), "listening address", &spec(text));
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
    fn a_signal_ends_the_start() {
        let mut net = FakeNet { signal: Some(Signal::Terminate), ..net() };
        let error = resolve_servers(&mut net, &mut plan(&["silent"])).unwrap_err();
        assert_eq!(error.to_string(), "ended by a signal while starting");
    }
}
