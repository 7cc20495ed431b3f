//! Datagrams: `-U`, `protocol udp`, and what goes with them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::support::datagrams::{Nobody, Responder, ask, ask_within, client, client_from, receive};
use crate::support::pen::{Pen, run};
use crate::support::proc::descriptors;
use crate::support::process::send;
use crate::support::wait;

/// Options for one exchange of a question and an answer, as DNS and RADIUS have it.
const EXCHANGE: [&str; 5] = ["-U", "-O", "udp_requests 1", "-O", "udp_responses 1"];

/// Options for messages that nobody answers, as syslog has them.
const MESSAGES: [&str; 6] = ["-U", "-r", "-O", "udp_requests 1", "-O", "udp_responses 0"];

fn options<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, more].concat()
}

/// How many associations the first listener has.
fn associations(pen: &Pen) -> usize {
    let reply = pen.obey("listeners");
    let words: Vec<&str> = reply.lines().next().unwrap().split(' ').collect();
    let place = words.iter().position(|word| *word == "conn").unwrap();
    words[place + 1].parse().unwrap()
}

/// How many datagrams it has dropped.
fn dropped(pen: &Pen) -> u64 {
    let reply = pen.obey("listeners");
    reply.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn each_client_gets_the_answers_to_its_own_questions() {
    let server = Responder::start(|bytes| vec![bytes.to_vec(), b"and".to_vec(), bytes.to_vec()]);
    let pen = Pen::start(&["-U"], &[server.address()]);
    let clients: Vec<UdpSocket> = (0..20).map(|_| client(pen.address())).collect();
    for round in 0..3 {
        for (number, client) in clients.iter().enumerate() {
            client.send(format!("{round} {number}").as_bytes()).unwrap();
        }
        for (number, client) in clients.iter().enumerate() {
            let expected = format!("{round} {number}").into_bytes();
            assert_eq!(
                [receive(client), receive(client), receive(client)],
                [expected.clone(), b"and".to_vec(), expected]
            );
        }
    }
    assert_eq!(server.peers(), 20, "one socket for each client");
}

#[test]
fn b18_datagrams_of_every_length_pass_whole() {
    let server = Responder::start(|bytes| vec![bytes.to_vec()]);
    let pen = Pen::start(&["-U"], &[server.address()]);
    let client = client(pen.address());
    // The longest that IPv4 has: 20 bytes of 65,535 are its header's, 8 are UDP's.
    for length in [1, 0, 0, 1472, 1473, 32_768, 32_769, 65_507, 0, 5] {
        let bytes: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
        client.send(&bytes).unwrap();
        assert_eq!(receive(&client), bytes, "{length} bytes");
    }
}

#[test]
fn b18_answers_leave_from_the_address_that_was_asked() {
    let server = Responder::named("one");
    for (ip, asked) in [("0.0.0.0", "127.0.0.5"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("::", "127.0.0.5")] {
        let pen = Pen::start_at(ip.parse().unwrap(), &["-U"], &[server.address()]);
        let to = SocketAddr::new(asked.parse().unwrap(), pen.address().port());
        // It hears nothing that comes from elsewhere.
        let client = client(to);
        for question in ["a", "b"] {
            assert_eq!(ask(&client, question), format!("one:{question}"), "{asked} of {ip}");
        }
    }
}

#[test]
fn ipv6_and_ipv4_meet() {
    let six = Responder::start_at((Ipv6Addr::LOCALHOST, 0).into(), |bytes| vec![bytes.to_vec()]);
    let four = Responder::start(|bytes| vec![bytes.to_vec()]);
    for server in [six.address(), four.address()] {
        for ip in [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)] {
            let pen = Pen::start_at(ip, &["-U"], &[server.to_string()]);
            assert_eq!(ask(&client(pen.address()), "question"), "question", "{ip} to {server}");
        }
    }
}

#[test]
fn a_server_whose_source_is_not_there_is_passed_over_and_not_blamed() {
    let servers = [Responder::named("0"), Responder::named("1")];
    let mut pen = Pen::start_with_control(&["-U", "-r"], &servers.each_ref().map(Responder::address));
    pen.obey("server 0 source 192.0.2.77");
    for _ in 0..3 {
        assert_eq!(ask(&client(pen.address()), "x"), "1:x");
    }
    let why = "its source 192.0.2.77 is not an address of this machine";
    pen.process().wait_for_stderr(why);
    assert_eq!(pen.stderr().matches(why).count(), 1, "{}", pen.stderr());
    assert!(!pen.obey("servers").contains("blacklist"), "{}", pen.obey("servers"));
}

#[test]
fn clients_are_tracked_by_address_and_with_r_each_socket_has_its_turn() {
    let servers = [Responder::named("0"), Responder::named("1")];
    let addresses = servers.each_ref().map(Responder::address);
    for (flags, expected) in [(&["-U"][..], ["0", "0", "0", "1", "1"]), (&["-U", "-r"], ["0", "1", "0", "1", "0"])] {
        let pen = Pen::start(flags, &addresses);
        let sources = [1, 1, 1, 2, 2].map(|last| Ipv4Addr::new(127, 0, 3, last));
        let found = sources.map(|from| ask(&client_from(from, pen.address()), "x").replace(":x", ""));
        assert_eq!(found, expected, "{flags:?}");
    }
}

#[test]
fn b18_of_two_servers_one_is_dead_and_no_question_is_lost() {
    let (dead, alive) = (Nobody::new(), Responder::named("alive"));
    for flags in [&["-U", "-r"][..], &options(&EXCHANGE, &["-r"])] {
        let pen = Pen::start(flags, &[dead.address(), alive.address()]);
        for number in 0..50 {
            assert_eq!(ask(&client(pen.address()), &number.to_string()), format!("alive:{number}"));
        }
        let said = format!("server 0 ({}) failed: connection refused; blacklisted for 30 s\n", dead.address());
        assert_eq!(pen.stderr().matches("failed").count(), 1, "{flags:?}");
        assert!(pen.stderr().contains(&said), "{flags:?}: {}", pen.stderr());
    }
}

#[test]
fn a_flow_moves_when_its_server_goes_and_comes_to_it_again() {
    let first = Responder::named("0");
    let (address, second) = (first.address(), Responder::named("1"));
    let pen = Pen::start(&["-U", "-b", "1", "-r"], &[address, second.address()]);
    let long = client(pen.address());
    assert_eq!(ask(&long, "x"), "0:x");
    drop(first);
    // What was sent to the dead one is lost, as UDP has it, and then the flow is elsewhere.
    wait::until_true("the other one answers", || {
        ask_within(&long, "y", Duration::from_millis(200)).as_deref() == Some("1:y")
    });
    let _again = Responder::start_at(address, |_| vec![b"again".to_vec()]);
    wait::until_true("it is back", || ask(&client(pen.address()), "z") == "again");
}

#[test]
fn a_server_that_is_silent_loses_its_questions_to_one_that_answers() {
    let (silent, alive) = (Responder::silent(), Responder::named("alive"));
    let pen = Pen::start(&options(&EXCHANGE, &["-r", "-t", "1"]), &[silent.address(), alive.address()]);
    assert_eq!(ask(&client(pen.address()), "one"), "alive:one");
    assert_eq!(silent.received(), [b"one"], "it was asked first");
    let said = format!("server 0 ({}) failed: no answer; blacklisted for 30 s\n", silent.address());
    assert!(pen.stderr().contains(&said), "{}", pen.stderr());
    for number in 0..100 {
        assert_eq!(ask(&client(pen.address()), &number.to_string()), format!("alive:{number}"));
    }
    assert_eq!(silent.received().len(), 1, "it is left out from then on");
}

#[test]
fn questions_that_nobody_answers_are_nobody_s_fault() {
    let answers = |bytes: &[u8]| if bytes == b"junk" { Vec::new() } else { vec![bytes.to_vec()] };
    let servers = [Responder::start(answers), Responder::start(answers)];
    let addresses = servers.each_ref().map(Responder::address);
    let flags = [&EXCHANGE[..], &Pen::control_options(), &["-t", "1"]].concat();
    let pen = Pen::start(&flags, &addresses);
    let rude = client(pen.address());
    rude.send(b"junk").unwrap();
    wait::until_true("all servers had it", || servers.iter().all(|server| server.received() == [b"junk"]));
    wait::until_true("it is given up", || associations(&pen) == 0);
    assert_eq!(ask(&client(pen.address()), "good"), "good");
    assert_eq!(pen.stderr(), "");
    assert_eq!(dropped(&pen), 1);
}

#[test]
fn messages_of_one_client_are_shared_out_and_give_their_sockets_back() {
    let servers = [Responder::silent(), Responder::silent(), Responder::silent()];
    let addresses = servers.each_ref().map(Responder::address);
    let flags = [&MESSAGES[..], &Pen::control_options(), &["-x", "20"]].concat();
    let pen = Pen::start(&flags, &addresses);
    let at_rest = descriptors(pen.pid());
    let sender = client(pen.address());
    let count = |servers: &[Responder; 3]| servers.each_ref().map(|server| server.received().len());
    for number in 0..300 {
        sender.send(format!("<13>message {number}").as_bytes()).unwrap();
        if number % 30 == 29 {
            wait::until_true("they arrive", || count(&servers).iter().sum::<usize>() == number + 1);
            assert!(descriptors(pen.pid()) <= at_rest + 20);
        }
    }
    assert_eq!(count(&servers), [100, 100, 100]);
    wait::until_true("all sockets are given back", || descriptors(pen.pid()) == at_rest);
    assert_eq!((associations(&pen), dropped(&pen)), (0, 0));
}

#[test]
fn messages_to_a_dead_server_go_to_the_next() {
    let (dead, alive) = (Nobody::new(), Responder::silent());
    let pen = Pen::start(&MESSAGES, &[dead.address(), alive.address()]);
    let sender = client(pen.address());
    for number in 0..20 {
        sender.send(number.to_string().as_bytes()).unwrap();
        wait::until_true("it arrives", || alive.received().len() == number + 1);
    }
}

#[test]
fn the_client_that_was_silent_longest_makes_room_for_a_new_one() {
    let server = Responder::named("s");
    let pen = Pen::start_with_control(&["-U", "-x", "10"], &[server.address()]);
    let long = client(pen.address());
    assert_eq!(ask(&long, "0"), "s:0");
    let at_most = descriptors(pen.pid()) + 9;
    for number in 0..100 {
        assert_eq!(ask(&client(pen.address()), "x"), "s:x");
        assert_eq!(ask(&long, &number.to_string()), format!("s:{number}"));
        assert!(descriptors(pen.pid()) <= at_most);
    }
    assert_eq!(server.peers_of(|bytes| bytes != b"x"), 1, "the one that is used stays where it is");
    assert_eq!(associations(&pen), 10);
}

#[test]
fn an_association_ends_when_it_was_silent_or_when_it_is_closed() {
    let server = Responder::named("s");
    let pen = Pen::start_with_control(&["-U", "-O", "udp_timeout 1"], &[server.address()]);
    let one = client(pen.address());
    assert_eq!(ask(&one, "x"), "s:x");
    let about = pen.obey("connection 1000000");
    assert!(about.starts_with("Connection 1000000:\nstate = 2\ndownfd = -1, upfd = "), "{about}");
    wait::until_true("it ends", || associations(&pen) == 0);
    assert!(pen.obey("servers").contains(" conn 0 "));
    pen.obey("udp_timeout 0");
    assert_eq!(ask(&one, "x"), "s:x");
    assert_eq!(pen.obey("close 1000000"), "Forcibly closing connection 1000000\n");
    assert_eq!(associations(&pen), 0);
    assert_eq!(pen.penctl(&["close 1000000"]).stderr, "penctl: Connection 1000000 is not in use\n");
    assert_eq!(server.peers(), 2);
}

#[test]
fn the_log_and_the_dumps_have_every_datagram() {
    let server = Responder::named("s");
    let pen = Pen::start(&["-U", "-dd", "-l", "{dir}/log"], &[server.address()]);
    let one = client(pen.address());
    assert_eq!(ask(&one, "first question\nmore"), "s:first question\nmore");
    assert_eq!(ask(&one, "second"), "s:second");
    let log = fs::read_to_string(pen.directory().file("log")).unwrap();
    let texts: Vec<String> =
        log.lines().map(|line| line.splitn(4, ' ').collect::<Vec<_>>()).map(|words| words[3].into()).collect();
    assert_eq!(texts, ["first question", "second"], "{log}");
    let said = pen.stderr();
    for part in [
        "copy_up(1000000)\n19: first question\nmore\n",
        "copy_down(1000000)\n21: s:first question\nmore\n",
        "connection 1000000: datagrams of 127.0.0.1:",
        "connection 1000000: to server 0 (127.0.0.1:",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn lists_and_limits_hold_for_datagrams() {
    let (server, abuse) = (Responder::named("s"), Responder::named("abuse"));
    let abuse_at = abuse.address().to_string();
    let own = ["-U", "-B", &abuse_at, "-O", "acl 1 deny 127.0.0.7", "-O", "client_acl 1", "-O", "client_max 2"];
    let pen = Pen::start_with_control(&own, &[server.address()]);
    let from = |last| client_from(Ipv4Addr::new(127, 0, 0, last), pen.address());
    assert_eq!(ask(&from(7), "x"), "abuse:x");
    let (one, two, three) = (from(8), from(8), from(8));
    assert_eq!((ask(&one, "1"), ask(&two, "2")), (String::from("s:1"), String::from("s:2")));
    three.send(b"3").unwrap();
    wait::until_true("it is refused", || dropped(&pen) == 1);
    assert_eq!(ask(&one, "4"), "s:4");
    pen.obey("close 1000001");
    assert_eq!(ask(&three, "5"), "s:5");
}

#[test]
fn one_port_has_both_tcp_and_udp_and_write_keeps_them_apart() {
    use crate::support::servers::{Server, greet};
    let (tcp, udp) = (Server::start(greet("tcp")), Responder::named("udp"));
    let pen = Pen::start_with_control(&[], &[tcp.address()]);
    let address = pen.address();
    let file = pen.directory().file("dns.cfg");
    let lines = format!(
        "listener dns {address}\nprotocol udp\nudp_requests 1\nudp_responses 1\nudp_timeout 7\n\
         server 0 address {} port {}\n",
        udp.address().ip(),
        udp.address().port()
    );
    fs::write(&file, lines).unwrap();
    pen.obey(&format!("include {}", file.display()));
    assert_eq!(ask(&client(address), "x"), "udp:x");
    assert_eq!(crate::support::client::read_to_end(&pen.connect()).0, b"tcp");
    pen.obey("write all.cfg");
    let written = fs::read_to_string(pen.directory().file("all.cfg")).unwrap();
    for line in ["protocol udp\n", "udp_requests 1\n", "udp_responses 1\n", "udp_timeout 7\n"] {
        assert!(written.contains(line), "{line}: {written}");
    }
    let check = run(&["-n", "-F", &pen.directory().file("all.cfg").display().to_string()]);
    assert!(check.status.success(), "{check:?}");
    let refused = pen.penctl(&["on dns protocol tcp"]);
    assert!(refused.stderr.contains("address already in use"), "{refused:?}");
    assert_eq!(pen.obey("on dns protocol"), "udp\n");
    assert_eq!(ask(&client(address), "x"), "udp:x");
}

#[test]
fn a_listener_changes_its_protocol_where_it_is() {
    use crate::support::servers::{Server, greet};
    let (tcp, udp) = (Server::start(greet("tcp")), Responder::named("udp"));
    let pen = Pen::start_with_control(&[], &[tcp.address()]);
    let (ip, port) = (udp.address().ip(), udp.address().port());
    assert_eq!(pen.obey("protocol udp"), "udp\n");
    pen.obey(&format!("server 0 address {ip} port {port}"));
    assert_eq!(ask(&client(pen.address()), "x"), "udp:x");
    assert!(std::net::TcpStream::connect(pen.address()).is_err(), "the other one is closed");
    assert_eq!(pen.obey("protocol tcp"), "tcp\n");
    pen.obey(&format!("server 0 address {} port {}", tcp.address().ip(), tcp.address().port()));
    assert_eq!(crate::support::client::read_to_end(&pen.connect()).0, b"tcp");
    // Where it cannot be, all stays as it is.
    let _other = UdpSocket::bind(pen.address()).unwrap();
    let refused = pen.penctl(&["protocol udp"]);
    assert!(refused.stderr.contains("address already in use"), "{refused:?}");
    assert_eq!(pen.obey("protocol"), "tcp\n");
    assert_eq!(crate::support::client::read_to_end(&pen.connect()).0, b"tcp");
    let refused = run(&["-U", "-f", "/tmp/no-such-dir/x", "127.0.0.1:9"]);
    assert!(refused.stderr.contains("cannot listen on /tmp/no-such-dir/x: a Unix socket has no UDP"), "{refused:?}");
}

#[test]
fn in_a_drain_those_who_are_there_go_on_and_nobody_new_comes() {
    let server = Responder::named("s");
    let mut pen = Pen::start_with_control(&["-U", "-O", "udp_timeout 3"], &[server.address()]);
    let (one, late) = (client(pen.address()), client(pen.address()));
    assert_eq!(ask(&one, "x"), "s:x");
    send(pen.pid(), "QUIT");
    wait::until_true("it drains", || pen.stderr().contains("nobody is let in any more; 1 connections have 300 s"));
    assert_eq!(ask(&one, "y"), "s:y");
    assert_eq!(ask_within(&late, "z", Duration::from_millis(300)), None);
    assert!(pen.process().wait().status.success(), "it ends when the last one was silent for so long");
    assert_eq!(server.received(), [b"x", b"y"]);
}

#[test]
fn ten_thousand_clients_and_a_long_flow_among_them() {
    let server = Responder::start(|bytes| vec![bytes.to_vec()]);
    let pen = Pen::start_with_control(&["-U", "-x", "12000"], &[server.address()]);
    let long = client(pen.address());
    assert_eq!(ask(&long, "handshake"), "handshake");
    for number in 0..10_000_u32 {
        let from = Ipv4Addr::from(0x7f10_0001 + number);
        let question = number.to_string();
        assert_eq!(ask(&client_from(from, pen.address()), &question), question);
        if number % 100 == 0 {
            assert_eq!(ask(&long, &question), question);
        }
    }
    assert_eq!((associations(&pen), dropped(&pen)), (10_001, 0));
    assert_eq!(server.peers(), 10_001);
}

#[test]
fn of_ten_thousand_questions_none_is_lost_when_one_of_two_servers_is_known_to_be_dead() {
    let (dead, alive) = (Nobody::new(), Responder::start(|bytes| vec![bytes.to_vec()]));
    let pen = Pen::start(&options(&EXCHANGE, &["-r"]), &[dead.address(), alive.address()]);
    assert_eq!(ask(&client(pen.address()), "x"), "x");
    assert_eq!(ask(&client(pen.address()), "x"), "x");
    let at_rest = descriptors(pen.pid());
    // Fifty at once, as a resolver has them.
    let clients: Vec<UdpSocket> = (0..50).map(|_| client(pen.address())).collect();
    for round in 0..200 {
        for client in &clients {
            client.send(&[round]).unwrap();
        }
        for client in &clients {
            assert_eq!(receive(client), [round]);
        }
    }
    wait::until_true("all sockets are given back", || descriptors(pen.pid()) <= at_rest);
}
