//! `proxy_protocol` and `proxy_accept` where datagrams are carried: each has a header of its own.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::support::datagrams::{Nobody, Responder, ask, client, client_from, receive};
use crate::support::pen::{Pen, run};
use crate::support::wait;

/// A header of version 2, for datagrams, as the specification has it.
fn header(from: &str, to: &str) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let mut addresses = Vec::new();
    for end in [from, to] {
        match end.ip() {
            IpAddr::V4(ip) => addresses.extend(ip.octets()),
            IpAddr::V6(ip) => addresses.extend(ip.octets()),
        }
    }
    [from, to].iter().for_each(|end| addresses.extend(end.port().to_be_bytes()));
    let family = if from.is_ipv4() { 0x12 } else { 0x22 };
    let length = u8::try_from(addresses.len()).unwrap();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family, 0, length][..], &addresses].concat()
}

/// The header for what a client of pen sends to an address of pen's.
fn header_of(client: &UdpSocket) -> Vec<u8> {
    header(&client.local_addr().unwrap().to_string(), &client.peer_addr().unwrap().to_string())
}

/// What the server got, which sends back all it gets.
#[track_caller]
fn seen(client: &UdpSocket, sent: &[u8]) -> Vec<u8> {
    client.send(sent).unwrap();
    receive(client)
}

fn mirror() -> Responder {
    Responder::start(|bytes| vec![bytes.to_vec()])
}

#[test]
fn servers_are_told_whom_each_datagram_is_from() {
    let (one, two) = (mirror(), mirror());
    let options = ["-U", "-r", "-O", "proxy_protocol v2"];
    let pen = Pen::start_with_control(&options, &[one.address(), two.address()]);
    pen.obey("server 1 proxy_protocol off");
    let (first, second) = (client_from([127, 0, 0, 7], pen.address()), client_from([127, 0, 0, 8], pen.address()));
    for question in [&b"hello"[..], b"", b"again"] {
        assert_eq!(seen(&first, question), [&header_of(&first), question].concat());
        assert_eq!(seen(&second, question), question);
    }
    // As long as it may be with its header, and not longer: that one is dropped.
    let longest = vec![7; 65_507 - 28];
    assert_eq!(seen(&first, &longest).len(), 65_507);
    first.send(&vec![7; 65_507 - 27]).unwrap();
    wait::until_true("it is counted", || pen.obey("listeners").ends_with(" udp dropped 1\n"));
    pen.obey("no proxy_protocol");
    assert_eq!(seen(&first, b"hello"), b"hello");
}

#[test]
fn the_address_that_was_asked_is_told_also_by_ipv6_and_where_pen_listens_everywhere() {
    let server = mirror();
    for (ip, asked) in [("::1", "::1"), ("0.0.0.0", "127.0.0.5"), ("::", "::1"), ("::", "127.0.0.5")] {
        let pen = Pen::start_at(ip.parse().unwrap(), &["-U", "-O", "proxy_protocol v2"], &[server.address()]);
        let client = client(SocketAddr::new(asked.parse().unwrap(), pen.address().port()));
        assert_eq!(seen(&client, b"x"), [&header_of(&client), &b"x"[..]].concat(), "{asked} of {ip}");
    }
}

#[test]
fn the_next_server_is_told_in_its_own_way() {
    let (dead, alive) = (Nobody::new(), mirror());
    let options = ["-U", "-r", "-O", "proxy_protocol v2"];
    let pen = Pen::start_with_control(&options, &[dead.address(), alive.address()]);
    pen.obey("server 1 proxy_protocol off");
    assert_eq!(ask(&client(pen.address()), "question"), "question", "what the first one did not take");
}

#[test]
fn a_proxy_is_believed_for_each_datagram_and_nobody_else() {
    let server = mirror();
    let options = [
        "-U",
        "-d",
        "-l",
        "{dir}/log",
        "-O",
        "proxy_accept 127.0.0.7",
        "-O",
        "proxy_protocol v2",
        "-O",
        "udp_timeout 0",
    ];
    let pen = Pen::start_with_control(&options, &[server.address()]);
    // Two clients by one socket of the proxy, by turns.
    let proxy = client_from([127, 0, 0, 7], pen.address());
    let heads = ["192.0.2.9", "192.0.2.8"].map(|from| header(&format!("{from}:5000"), "198.51.100.2:53"));
    for question in ["one", "two"] {
        for head in &heads {
            let all = [&head[..], question.as_bytes()].concat();
            assert_eq!(seen(&proxy, &all), all);
        }
    }
    assert_eq!(server.peers(), 2, "each has an association");
    let six = [&header("[2001:db8::1]:5000", "[2001:db8::2]:53")[..], b"x"].concat();
    assert_eq!(seen(&proxy, &six), six);
    let log = fs::read_to_string(pen.directory().file("log")).unwrap();
    let first = log.lines().next().unwrap();
    assert!(first.starts_with("192.0.2.9 ") && first.ends_with(" one"), "{log}");
    assert!(pen.obey("recent").contains("192.0.2.8 connects 1 "), "it is the one that is remembered");
    // The proxy speaks for itself.
    let own = [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..], b"x"].concat();
    assert_eq!(seen(&proxy, &own), [&header_of(&proxy)[..], b"x"].concat());
    // From somebody else these are bytes like others.
    let other = client_from([127, 0, 0, 8], pen.address());
    let forged = [&heads[0][..], b"x"].concat();
    assert_eq!(seen(&other, &forged), [&header_of(&other)[..], &forged].concat());
    // Who is refused is the client, not its proxy.
    pen.obey("acl 1 deny 192.0.2.7");
    pen.obey("client_acl 1");
    let before = server.received().len();
    proxy.send(&[&header("192.0.2.7:1", "198.51.100.2:53")[..], b"x"].concat()).unwrap();
    assert_eq!(seen(&proxy, &six), six);
    assert_eq!(server.received().len(), before + 1);
}

#[test]
fn what_a_proxy_sends_without_a_good_header_is_dropped_counted_and_said() {
    let server = mirror();
    let pen = Pen::start_with_control(&["-U", "-O", "proxy_accept 127.0.0.0/8"], &[server.address()]);
    let proxy = client_from([127, 0, 0, 7], pen.address());
    let good = header("192.0.2.9:5000", "198.51.100.2:53");
    let of_connections = [&good[..13], &[0x11], &good[14..]].concat();
    for bad in [&b"question"[..], b"", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nx", &good[..20], &of_connections] {
        proxy.send(bad).unwrap();
    }
    assert_eq!(seen(&proxy, &[&good[..], b"x"].concat()), b"x");
    assert_eq!(server.received(), [b"x"]);
    assert!(pen.obey("listeners").ends_with(" udp dropped 5\n"), "{}", pen.obey("listeners"));
    let said = pen.stderr();
    assert!(said.contains("127.0.0.7") && said.contains("it does not begin with a header"), "{said}");
    assert_eq!(said.lines().count(), 1, "once in a while: {said}");
}

#[test]
fn version_1_has_no_datagrams_and_is_refused() {
    const WHY: &str = "proxy_protocol v1 has no datagrams: for protocol udp it is v2\n";
    for words in [
        &["-U", "-O", "proxy_protocol v1"][..],
        &["-O", "proxy_protocol v1", "-U"],
        &["-O", "proxy_protocol v1", "-O", "protocol udp"],
    ] {
        let refused = run(&[words, &["127.0.0.1:0", "127.0.0.1:9"]].concat());
        assert!(!refused.status.success() && refused.stderr.ends_with(WHY), "{words:?}: {refused:?}");
    }
    let server = mirror();
    let pen = Pen::start_with_control(&["-U", "-O", "proxy_protocol v2"], &[server.address()]);
    assert_eq!(pen.penctl(&["proxy_protocol v1"]).stderr, format!("penctl: {WHY}"));
    assert_eq!(pen.penctl(&["server 0 proxy_protocol v1"]).stderr, format!("penctl: server 0: {WHY}"));
    let one = client(pen.address());
    assert_eq!(seen(&one, b"x"), [&header_of(&one)[..], b"x"].concat(), "all is as it was");
}
