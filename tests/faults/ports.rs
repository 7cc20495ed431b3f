//! Few ports to connect from.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::alone::is_alone;
use crate::support::client::bounded;
use crate::support::pen::Pen;
use crate::support::servers::{Server, echo};
use crate::transfer::assert_echoes;

const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// There are eight ports in this namespace, until this is dropped: servers end by connecting to themselves.
struct Few(String);

impl Few {
    fn begin() -> Few {
        let before = fs::read_to_string(RANGE).unwrap();
        fs::write(RANGE, "50000 50007").unwrap();
        Few(before)
    }
}

impl Drop for Few {
    fn drop(&mut self) {
        fs::write(RANGE, &self.0).unwrap();
    }
}

/// Connections through pen at once, from a source address with eight ports to three servers.
fn echoes_with_few_ports(source: &str, servers: &[Server; 3]) {
    let addresses = servers.each_ref().map(Server::address);
    let pen = Pen::start(&["-r", "-O", &format!("source {source}")], &addresses);
    let _few = Few::begin();
    // Clients have ports of their own, since those that somebody was bound to are passed over.
    let connect = |port: u16| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
        socket.connect(&pen.address().into()).unwrap();
        bounded(TcpStream::from(socket))
    };
    let clients: Vec<TcpStream> = (40_001..=40_020).map(connect).collect();
    clients.iter().for_each(|client| assert_echoes(client));
    let served = servers.each_ref().map(Server::open);
    assert_eq!((served.iter().sum::<usize>(), *served.iter().max().unwrap()), (20, 7), "{}", pen.stderr());
}

#[test]
fn a_source_has_all_its_ports_for_each_server() {
    if !is_alone("ports::a_source_has_all_its_ports_for_each_server", &[]) {
        return;
    }
    echoes_with_few_ports("127.0.0.9", &[(); 3].map(|()| Server::start(echo)));
}

#[test]
fn a_source_of_ipv6_has_all_its_ports_for_each_server() {
    if !is_alone("ports::a_source_of_ipv6_has_all_its_ports_for_each_server", &[]) {
        return;
    }
    let address = Command::new("ip").args("address add fd00::9/128 dev lo nodad".split(' ')).status();
    assert!(address.unwrap().success());
    echoes_with_few_ports("fd00::9", &[(); 3].map(|()| Server::start_at((Ipv6Addr::LOCALHOST, 0).into(), echo)));
}
