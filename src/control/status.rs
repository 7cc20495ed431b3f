//! The texts of reports: replies of the control port, and the statistics that USR1 asks for.
//!
//! Layouts are those of the original, pen 0.34.1, so that scripts which read them go on working.

use std::fmt::Write;
use std::time::Duration;

use super::command::ASSOCIATIONS_FROM;
use crate::balance::clients::Client;
use crate::balance::settings::{Modes, Protocol};
use crate::balance::{Balancer, Duty, Listener, Listeners, MAIN, Server, ServerId};
use crate::base::operand::Host;
use crate::base::time::{Moment, Now};

/// The most lines of a list of clients: with a million of them a report would hold up the loop.
const CLIENTS_SHOWN: usize = 65_536;

/// The most blocks of each sort in the statistics, which are for people.
const BLOCKS_SHOWN: usize = 1_000;

/// The ends of a connection, and what is held back for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionStatus {
    /// Its number.
    pub number: usize,
    /// The listener where it came in, if that is not the first.
    pub listener: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// The descriptor of the client's socket.
    pub down_fd: i32,
    /// The descriptor of the server's socket; -1 while there is none.
    pub up_fd: i32,
    /// Bytes held back for the client.
    pub pending_down: usize,
    /// Bytes held back for the server.
    pub pending_up: usize,
    /// The client's place in the client table, if it is still there.
    pub client: Option<usize>,
    /// The server, once one is chosen.
    pub server: Option<ServerId>,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No server is connected yet.
    Connecting,
    /// A server is connected.
    Connected {
        /// The server has ended its direction.
        server_ended: bool,
        /// The client has ended its direction.
        client_ended: bool,
    },
}

impl State {
    /// The bits of the original.
    fn bits(self) -> u8 {
        match self {
            State::Connecting => 1,
            State::Connected { server_ended, client_ended } => {
                2 | u8::from(server_ended) << 2 | u8::from(client_ended) << 3
            }
        }
    }
}

/// The reply to `mode`.
pub fn modes(modes: &Modes) -> String {
    let word = |on, with, without| if on { with } else { without };
    // Those of which the original knows nothing are told only where they are on.
    let more = |on, with| if on { with } else { "" };
    format!(
        "{} {} {} {} {}{}{}\n",
        word(modes.hash, "hash", "no hash"),
        word(modes.roundrobin, "roundrobin", "no roundrobin"),
        word(modes.stubborn, "stubborn", "no stubborn"),
        word(modes.weight, "weight", "no weight"),
        word(modes.prio, "prio", "no prio"),
        more(modes.least, " least"),
        more(modes.p2c, " p2c"),
    )
}

/// The reply to `servers`: one line for each regular server.
pub fn servers(balancer: &Balancer, moment: Moment) -> String {
    let mut text = String::new();
    for (id, server) in balancer.servers.iter() {
        let name = server.name.as_ref().map_or_else(String::new, |name| format!(" name {name}"));
        let state = match state_of(server, moment) {
            "up" => String::new(),
            state => format!(" state {state}"),
        };
        let Server { connections, max, hard, weight, prio, sent, received, .. } = server;
        let (host, port) = (shown_host(server), shown_port(server));
        writeln!(
            text,
            "{id} addr {host} port {port} conn {connections} max {max} hard {hard} \
             weight {weight} prio {prio} sx {sent} rx {received}{name}{state}"
        )
        .expect(INTO_STRING);
    }
    text
}

/// All that [`state_of`] can say.
pub const STATES: [&str; 7] = ["up", "draining", "down", "blacklisted", "unresolved", "disabled", "leaving"];

/// Whom a server serves, in a word: `up` is everybody.
pub fn state_of(server: &Server, moment: Moment) -> &'static str {
    match server.duty {
        Duty::Disabled => "disabled",
        Duty::Leaving => "leaving",
        Duty::Enabled | Duty::Draining if server.is_unresolved() => "unresolved",
        Duty::Enabled | Duty::Draining if server.health.is_down => "down",
        Duty::Enabled | Duty::Draining if server.is_blacklisted(moment) => "blacklisted",
        Duty::Draining => "draining",
        Duty::Enabled => "up",
    }
}

/// The reply to `socket`.
pub fn socket(descriptor: i32, connection: Option<usize>) -> String {
    let connection = connection.map_or(String::from("-1"), |number| number.to_string());
    format!("Socket {descriptor} belongs to connection {connection}\n")
}

/// The reply to `listeners`: one line for each.
pub fn listeners(listeners: &Listeners) -> String {
    let mut text = String::new();
    for (_, listener) in listeners.iter() {
        let Listener { name, at, balancer, pairs, queued, pending, dropped, .. } = listener;
        let queue = balancer.settings.queue.map_or(String::new(), |_| format!(" queued {queued}"));
        let udp = match balancer.settings.protocol {
            Protocol::Udp => format!(" udp dropped {}", dropped.sum()),
            Protocol::Tcp | Protocol::Ftp | Protocol::Http => String::new(),
        };
        let servers = balancer.servers.iter().count();
        let addresses = if at.is_empty() { String::from("-") } else { at.join(" ") };
        writeln!(text, "{name} conn {pairs} pending {pending} servers {servers} addr {addresses}{udp}{queue}")
            .expect(INTO_STRING);
    }
    text
}

/// The reply to `recent`: one line for each client that came within a time.
pub fn recent(balancer: &Balancer, within: Duration, now: Now) -> String {
    let mut text = String::new();
    let mut clients = balancer.clients.recent(within, now.moment);
    for (_, client) in clients.by_ref().take(CLIENTS_SHOWN) {
        let (address, connects) = (client.address(), client.connects());
        let (sent, received) = (client.sent(), client.received());
        writeln!(text, "{address} connects {connects} sx {sent} rx {received}").expect(INTO_STRING);
    }
    match clients.count() {
        0 => {}
        more => writeln!(text, "# and {more} more").expect(INTO_STRING),
    }
    text
}

/// The reply to `connection`, or why there is none: `number` is not in use and not below
/// `conn_max` either.
pub fn connection(number: usize, status: Option<&ConnectionStatus>, conn_max: usize) -> Result<String, String> {
    let (state, down_fd, up_fd) = match status {
        Some(status) => (status.state.bits(), status.down_fd, status.up_fd),
        None if is_free(number, conn_max) => (0, -1, -1),
        None => return Err(format!("Connection {number} out of range")),
    };
    let client = status.and_then(|status| status.client).map_or(String::from("0"), |slot| slot.to_string());
    let server = status.and_then(|status| status.server).map_or(String::from("0"), |id| id.to_string());
    let pending = status.map_or(0, |status| status.pending_down + status.pending_up);
    let listener = status.and_then(|status| status.listener.as_ref());
    let listener = listener.map_or(String::new(), |name| format!("listener = {name}\n"));
    Ok(format!(
        "Connection {number}:\nstate = {state}\ndownfd = {down_fd}, upfd = {up_fd}\n\
         client = {client}, server = {server}\npend = {pending}\n{listener}"
    ))
}

/// Whether a connection or an association could have this number.
fn is_free(number: usize, conn_max: usize) -> bool {
    number < conn_max || (ASSOCIATIONS_FROM..ASSOCIATIONS_FROM + conn_max).contains(&number)
}

/// The reply to `close`, or why nothing was closed.
pub fn closing(number: usize, in_use: bool, conn_max: usize) -> Result<String, String> {
    match in_use {
        true => Ok(format!("Forcibly closing connection {number}\n")),
        false if is_free(number, conn_max) => Err(format!("Connection {number} is not in use")),
        false => Err(format!("Connection {number} out of range")),
    }
}

/// The statistics as diagnostics to be said one after the other; most have several lines. `time`
/// is the time of day as people read it.
pub fn statistics(
    listeners: &Listeners,
    connections: impl Iterator<Item = ConnectionStatus>,
    now: Now,
    time: &str,
) -> Vec<String> {
    let main = &listeners.main().balancer;
    let mut says = vec![format!("Time {time}, {} servers, {} current", main.servers.len(), main.current())];
    say_listener(&mut says, main, now);
    for (_, listener) in listeners.all().filter(|(at, _)| *at != MAIN) {
        let servers = &listener.balancer.servers;
        let (name, count, current) = (&listener.name, servers.len(), listener.balancer.current());
        says.push(format!("Listener {name} at {}, {count} servers, {current} current", listener.at.join(" ")));
        say_listener(&mut says, &listener.balancer, now);
    }
    says.push(format!("Max number of connections: {}", listeners.common.conn_max));
    says.push(String::from("Active connections:"));
    blocks(&mut says, "connections", connections.map(|status| connection_block(&status)));
    says
}

fn say_listener(says: &mut Vec<String>, balancer: &Balancer, now: Now) {
    blocks(says, "servers", balancer.servers.iter().map(|(id, server)| server_block(id, server)));
    says.push(format!("Max number of clients: {}", balancer.settings.clients_max));
    says.push(String::from("Active clients:"));
    let clients = balancer.clients.iter();
    blocks(says, "clients", clients.map(|(id, client)| client_block(id.slot(), client, now)));
}

fn blocks(says: &mut Vec<String>, what: &str, mut blocks: impl Iterator<Item = String>) {
    says.extend(blocks.by_ref().take(BLOCKS_SHOWN));
    match blocks.count() {
        0 => {}
        more => says.push(format!("And {more} more {what}")),
    }
}

fn server_block(id: ServerId, server: &Server) -> String {
    let Server { failed_at, connections, max, hard, sent, received, .. } = server;
    let (host, port) = (shown_host(server), shown_port(server));
    format!(
        "Server {id} status:\naddress {host}\n{failed_at}\nport {port}\n\
         {connections} connections ({max} soft, {hard} hard)\n{sent} sent, {received} received\n\n"
    )
}

fn client_block(slot: usize, client: &Client, now: Now) -> String {
    let (address, connects) = (client.address(), client.connects());
    let (sent, received) = (client.sent(), client.received());
    let age = now.moment.since(client.seen()).as_secs();
    let server = client.server().map_or(String::from("none"), |index| index.to_string());
    format!(
        "Client {slot} status:\naddress {address}\nage {age} seconds\nlast server {server}\n\
         {connects} connects\n{sent} sent, {received} received\n\n"
    )
}

fn connection_block(status: &ConnectionStatus) -> String {
    let ConnectionStatus { number, down_fd, up_fd, pending_down, pending_up, .. } = status;
    let client = status.client.map_or(String::from("none"), |slot| slot.to_string());
    let server = status.server.map_or(String::from("none"), |id| id.to_string());
    let listener = status.listener.as_ref().map_or(String::new(), |name| format!(", listener {name}"));
    format!(
        "Connection {number} status:\ndownfd = {down_fd}, upfd = {up_fd}\n\
         pending data {pending_down} down, {pending_up} up\nclient {client}, server {server}{listener}\n\n"
    )
}

/// The address that connects go to first; the name while no address is known.
pub(super) fn shown_host(server: &Server) -> String {
    match server.endpoints.first() {
        Some(endpoint) => endpoint.host().to_string(),
        None => server.host.to_string(),
    }
}

/// The port; 1 with a Unix socket, as the original has it.
pub(super) fn shown_port(server: &Server) -> u16 {
    match server.host {
        Host::Unix(_) => 1,
        Host::Addr(_) | Host::Name(_) => server.port,
    }
}

const INTO_STRING: &str = "writing into a string does not fail";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Common, Settings};
    use crate::base::addr::ClientAddr;
    use crate::base::operand::{ServerSpec, Services};
    use crate::base::time::Moment;

    fn at(seconds: u64) -> Now {
        Now { moment: Moment::default() + Duration::from_secs(seconds), unix: 1_700_000_000 + seconds }
    }

    fn client(last: u8) -> ClientAddr {
        ClientAddr::Inet([127, 0, 0, last].into())
    }

    fn balancer() -> Balancer {
        let mut balancer = Balancer::new(Settings::default());
        for (index, text) in (0..).zip(["127.0.0.1:21010:5:7", "host1:21011"]) {
            let spec = ServerSpec::parse(text, &Services::default()).unwrap();
            balancer.servers.set(ServerId::Regular(index), Server::new(&spec, 80)).unwrap();
        }
        balancer
    }

    /// One client has been served, and one connection is open.
    fn busy() -> Balancer {
        let mut balancer = balancer();
        let mut admission = balancer.admit(client(3), 1024, at(100));
        let id = balancer.next_server(&mut admission.search, at(100)).unwrap();
        balancer.connected(id, admission.client, at(100));
        balancer.account(id, admission.client, 5, 9);
        balancer.admit(ClientAddr::Unix, 0, at(250));
        balancer.servers.server_mut(ServerId::Regular(1)).unwrap().failed_at = 1_700_000_017;
        balancer
    }

    /// A pen with this main listener.
    fn pen(main: Balancer) -> Listeners {
        let mut pen = Listeners::new(Common::default(), Settings::default());
        pen.main_mut().balancer = main;
        pen
    }

    const OPEN: ConnectionStatus = ConnectionStatus {
        number: 4,
        listener: None,
        state: State::Connected { server_ended: false, client_ended: false },
        down_fd: 8,
        up_fd: 9,
        pending_down: 10,
        pending_up: 20,
        client: Some(0),
        server: Some(ServerId::Regular(0)),
    };

    #[test]
    fn servers_without_an_address_show_their_name() {
        assert_eq!(
            servers(&busy(), at(1).moment),
            "0 addr 127.0.0.1 port 21010 conn 1 max 5 hard 7 weight 0 prio 0 sx 5 rx 9\n\
             1 addr host1 port 21011 conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 0 state unresolved\n"
        );
        let mut balancer = busy();
        balancer.servers.resolved(ServerId::Regular(1), vec!["::1".parse().unwrap()]);
        assert!(servers(&balancer, at(1).moment).contains("1 addr ::1 port 21011 "));
    }

    #[test]
    fn a_server_shows_its_name_and_a_state_that_is_not_up() {
        let mut balancer = balancer();
        let id = ServerId::Regular(0);
        balancer.servers.server_mut(id).unwrap().name = Some("web1".into());
        let line = |balancer: &Balancer| servers(balancer, at(100).moment).lines().next().unwrap().to_owned();
        assert!(line(&balancer).ends_with(" rx 0 name web1"));
        balancer.failed(id, at(90));
        assert!(line(&balancer).ends_with(" name web1 state blacklisted"));
        for (duty, state) in [(Duty::Disabled, "disabled"), (Duty::Leaving, "leaving")] {
            balancer.servers.server_mut(id).unwrap().duty = duty;
            assert!(line(&balancer).ends_with(&format!(" state {state}")));
        }
        let mut server = balancer.servers.server_mut(id).unwrap();
        (server.duty, server.blacklisted_until) = (Duty::Draining, None);
        drop(server);
        assert!(line(&balancer).ends_with(" state draining"));
        assert_eq!(socket(7, None), "Socket 7 belongs to connection -1\n");
        assert_eq!(socket(7, Some(3)), "Socket 7 belongs to connection 3\n");
    }

    #[test]
    fn recent_clients_are_those_that_came_within_the_time() {
        let balancer = busy();
        let both = "127.0.0.3 connects 1 sx 9 rx 5\n- connects 1 sx 0 rx 0\n";
        for (within, expected) in [(300, both), (200, both), (199, "- connects 1 sx 0 rx 0\n"), (0, "")] {
            assert_eq!(recent(&balancer, Duration::from_secs(within), at(300)), expected, "{within}");
        }
    }

    #[test]
    fn a_list_of_clients_is_bounded_and_says_so() {
        let mut balancer = Balancer::new(Settings { clients_max: 70_000, ..Settings::default() });
        for n in 0..70_000_u32 {
            balancer.admit(ClientAddr::Inet(n.to_be_bytes().into()), 1024, at(1));
        }
        let text = recent(&balancer, Duration::from_secs(300), at(1));
        assert_eq!(text.lines().count(), CLIENTS_SHOWN + 1);
        assert!(text.ends_with("\n# and 4464 more\n"));
        let says = statistics(&pen(balancer), std::iter::empty(), at(1), "now");
        assert!(says.contains(&String::from("And 69000 more clients")));
        assert!(says.len() < 1_100);
    }

    #[test]
    fn a_connection_is_described_as_the_original_does() {
        let ended = |server_ended, client_ended| State::Connected { server_ended, client_ended };
        let searching = ConnectionStatus { state: State::Connecting, up_fd: -1, server: None, client: None, ..OPEN };
        let table = [
            (0, None, "Connection 0:\nstate = 0\ndownfd = -1, upfd = -1\nclient = 0, server = 0\npend = 0\n"),
            (4, Some(OPEN), "Connection 4:\nstate = 2\ndownfd = 8, upfd = 9\nclient = 0, server = 0\npend = 30\n"),
            (
                4,
                Some(searching),
                "Connection 4:\nstate = 1\ndownfd = 8, upfd = -1\nclient = 0, server = 0\npend = 30\n",
            ),
        ];
        for (number, status, text) in table {
            assert_eq!(connection(number, status.as_ref(), 500), Ok(String::from(text)));
        }
        for (state, bits) in [(ended(true, false), 6), (ended(false, true), 10), (ended(true, true), 14)] {
            let text = connection(4, Some(&ConnectionStatus { state, ..OPEN }), 500).unwrap();
            assert!(text.contains(&format!("state = {bits}\n")));
        }
        assert_eq!(connection(500, None, 500), Err(String::from("Connection 500 out of range")));
        assert!(connection(500, Some(&OPEN), 500).is_ok(), "conn_max was lowered while it was open");
    }

    #[test]
    fn only_a_connection_that_is_there_is_closed() {
        assert_eq!(closing(0, true, 500), Ok(String::from("Forcibly closing connection 0\n")));
        assert_eq!(closing(1, false, 500), Err(String::from("Connection 1 is not in use")));
        assert_eq!(closing(9999, false, 500), Err(String::from("Connection 9999 out of range")));
    }

    #[test]
    fn b25_statistics_show_servers_clients_and_connections() {
        let says = statistics(&pen(busy()), [OPEN].into_iter(), at(350), "2026-11-22 17:39:50");
        let expected = [
            "Time 2026-11-22 17:39:50, 2 servers, 0 current",
            "Server 0 status:\naddress 127.0.0.1\n0\nport 21010\n1 connections (5 soft, 7 hard)\n5 sent, 9 received\n\n",
            "Server 1 status:\naddress host1\n1700000017\nport 21011\n0 connections (0 soft, 0 hard)\n0 sent, 0 received\n\n",
            "Max number of clients: 2048",
            "Active clients:",
            "Client 0 status:\naddress 127.0.0.3\nage 250 seconds\nlast server 0\n1 connects\n9 sent, 5 received\n\n",
            "Client 1 status:\naddress -\nage 100 seconds\nlast server none\n1 connects\n0 sent, 0 received\n\n",
            "Max number of connections: 500",
            "Active connections:",
            "Connection 4 status:\ndownfd = 8, upfd = 9\npending data 10 down, 20 up\nclient 0, server 0\n\n",
        ];
        assert_eq!(says, expected);
    }

    #[test]
    fn statistics_show_the_other_listeners_behind_the_first() {
        let mut pen = pen(balancer());
        let at_tls = pen.add("tls").unwrap();
        pen[at_tls].at = vec![String::from("443"), String::from("[::]:443")];
        pen[at_tls].balancer = busy();
        let open = ConnectionStatus { listener: Some(String::from("tls")), ..OPEN };
        let says = statistics(&pen, [open.clone()].into_iter(), at(350), "now");
        let place = says.iter().position(|text| text == "Listener tls at 443 [::]:443, 2 servers, 0 current").unwrap();
        assert!(says[place + 1].contains("\n1 connections (5 soft, 7 hard)\n"), "{}", says[place + 1]);
        assert!(says[1].contains("\n0 connections (5 soft, 7 hard)\n"), "{}", says[1]);
        assert!(says.last().unwrap().ends_with("client 0, server 0, listener tls\n\n"));
        assert!(connection(4, Some(&open), 500).unwrap().ends_with("\npend = 30\nlistener = tls\n"));
    }
}
