//! `pen -n`: everything is read, checked and looked up, nothing is opened or changed.

use std::fmt::Write as _;

use super::names;
use super::options::Options;
use super::plan::{self, Plan};
use super::start::{NO_FOREIGN, World};
use crate::balance::Server;
use crate::balance::listeners::MAIN_NAME;
use crate::base::error::Error;
use crate::base::operand::Host;
use crate::control::command::ListenAt;
use crate::sys::capability::check_foreign;
use crate::sys::folder::read_text;

/// Checks what pen would run with, and tells it; the exit status.
pub fn run(options: &Options) -> Result<u8, Error> {
    options.notes.iter().for_each(super::complain);
    let mut world = World::open(options)?;
    let now = world.net.now();
    let mut plan = plan::check(options, &world.services, now, &mut |path| read_text(path, true))?;
    names::resolve(&mut world.net, &mut plan)?.iter().for_each(super::complain);
    plan.listeners.lost_routes().iter().for_each(super::complain);
    if is_transparent(&plan) && check_foreign().is_err() {
        super::complain(&NO_FOREIGN);
    }
    super::print(&report(&plan))
}

/// What pen would do, in a few lines.
fn report(plan: &Plan) -> String {
    let mut text = plan.replies.clone();
    for (_, at) in &plan.listen {
        let _ = writeln!(text, "listens on {}", shown(at));
    }
    if let Some(control) = &plan.control {
        let _ = writeln!(text, "takes commands on {}", shown(control));
    }
    if let Some(status) = &plan.status {
        let _ = writeln!(text, "shows its status on {}", shown(status));
    }
    for (_, listener) in plan.listeners.iter() {
        let whose = if listener.name == MAIN_NAME { String::new() } else { format!(" of {}", listener.name) };
        for (id, server) in listener.balancer.servers.all() {
            let _ = writeln!(text, "server {id}{whose}: {}", shown_server(server));
        }
    }
    if is_transparent(plan) {
        text.push_str(RULES);
    }
    text.push_str("no mistakes found\n");
    text
}

fn is_transparent(plan: &Plan) -> bool {
    plan.listeners.iter().any(|(_, listener)| listener.balancer.is_transparent_anywhere())
}

/// What the system must be told for servers to see the clients' own addresses.
const RULES: &str = "transparent: servers must answer by way of this machine, and it must keep those answers:
  ip rule add fwmark 1 lookup 100
  ip route add local default dev lo table 100
  ip -6 rule add fwmark 1 lookup 100
  ip -6 route add local default dev lo table 100
  nft add table inet pen
  nft add chain inet pen pre '{ type filter hook prerouting priority mangle; }'
  nft add rule inet pen pre socket transparent 1 meta mark set 1 accept
";

/// An address as it was written, and what its name stands for.
fn shown(at: &ListenAt) -> String {
    match &at.spec.host {
        Host::Addr(ip) if !at.text.contains(&ip.to_string()) => format!("{} ({ip})", at.text),
        Host::Addr(_) | Host::Name(_) | Host::Unix(_) => at.text.clone(),
    }
}

fn shown_server(server: &Server) -> String {
    let Server { host, port, .. } = server;
    match host {
        Host::Unix(path) => path.display().to_string(),
        Host::Addr(_) if *port == 0 => format!("{host}, not used before it has a port"),
        Host::Addr(ip) if ip.is_ipv6() => format!("[{ip}]:{port}"),
        Host::Addr(_) => format!("{host}:{port}"),
        Host::Name(_) => {
            let addresses: Vec<String> = server.endpoints.iter().map(|at| at.host().to_string()).collect();
            let known = if addresses.is_empty() { String::from("no address yet") } else { addresses.join(", ") };
            format!("{host}:{port} ({known})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Common, Listeners, MAIN, ServerId, Settings};
    use crate::base::operand::{ListenSpec, ServerSpec, Services};

    #[test]
    fn the_report_says_what_names_stand_for() {
        let services = Services::default();
        let mut listeners = Listeners::new(Common::default(), Settings::default());
        let servers = &mut listeners.main_mut().balancer.servers;
        for (index, text) in (0..).zip(["192.0.2.1:81", "[::1]", "host1", "host2:82", "/run/x"]) {
            let spec = ServerSpec::parse(text, &services).unwrap();
            servers.set(ServerId::Regular(index), Server::new(&spec, 80)).unwrap();
        }
        servers.resolved(ServerId::Regular(2), vec!["192.0.2.7".parse().unwrap(), "::7".parse().unwrap()]);
        let at = |spec: &str, text: &str| ListenAt {
            spec: ListenSpec::parse(spec, &services).unwrap(),
            text: String::from(text),
        };
        let (listen, control) =
            (vec![(MAIN, at("192.0.2.9:80", "lbhost:80"))], Some(at("127.0.0.1:8888", "127.0.0.1:8888")));
        let plan = Plan {
            listeners,
            origin: Default::default(),
            listen,
            control,
            status: Some(at("127.0.0.1:8889", "127.0.0.1:8889")),
            token: None,
            log: None,
            is_dummy: false,
            replies: String::from("30\n"),
        };
        let expected = "30\nlistens on lbhost:80 (192.0.2.9)\ntakes commands on 127.0.0.1:8888\n\
            shows its status on 127.0.0.1:8889\n\
            server 0: 192.0.2.1:81\nserver 1: [::1]:80\nserver 2: host1:80 (192.0.2.7, ::7)\n\
            server 3: host2:82 (no address yet)\nserver 4: /run/x\nno mistakes found\n";
        assert_eq!(report(&plan), expected);
    }
}
