//! Which server a client gets.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::client::{End, connect_from, read_to_end};
use crate::support::pattern::again;
use crate::support::pen::{Pen, program};
use crate::support::process::Process;
use crate::support::report::not_tested_here;
use crate::support::scratch::Scratch;
use crate::support::servers::{After, Refusing, Server, greet};
use crate::support::wait;

/// Servers that send their number and close: `0`, `1`, ...
fn numbered(count: usize) -> Vec<Server> {
    (0..count).map(|number| Server::start(greet(&number.to_string()))).collect()
}

/// Servers that send their number and keep the connection.
fn keeping(count: usize) -> Vec<Server> {
    let talk = |number: usize| {
        move |mut stream: &TcpStream| {
            let _ = write!(stream, "{number}");
            After::Keep
        }
    };
    (0..count).map(|number| Server::start(talk(number))).collect()
}

fn addresses(servers: &[Server]) -> Vec<SocketAddr> {
    servers.iter().map(Server::address).collect()
}

/// An address of this machine that stands for a client.
fn client(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, number)
}

/// What a client that connects to pen gets: a server's number, or nothing but an orderly end.
#[track_caller]
fn visit(pen: &Pen, from: u8) -> String {
    let (bytes, end) = read_to_end(&pen.connect_from(client(from)));
    assert_eq!(end, End::Finished);
    String::from_utf8(bytes).unwrap()
}

#[track_caller]
fn visits(pen: &Pen, clients: &[u8]) -> String {
    clients.iter().map(|from| visit(pen, *from)).collect()
}

/// A connection that stays, and the number of its server; an empty one if it was turned away.
#[track_caller]
fn hold(pen: &Pen, from: u8) -> (TcpStream, String) {
    let mut stream = pen.connect_from(client(from));
    let mut byte = [0];
    let count = again(|| stream.read(&mut byte)).expect("a number or the end");
    (stream, String::from_utf8_lossy(&byte[..count]).into_owned())
}

fn tally(answers: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    answers.into_iter().for_each(|answer| *counts.entry(answer).or_default() += 1);
    counts
}

#[test]
fn a_client_goes_back_to_its_server_and_new_ones_take_turns() {
    let servers = numbered(3);
    let pen = Pen::start(&[], &addresses(&servers));
    assert_eq!(visits(&pen, &[1, 1, 2, 1, 3, 2, 3, 4, 5, 4, 1]), "00102120100");
}

#[test]
fn with_round_robin_nobody_goes_back_and_the_first_server_is_first() {
    let servers = numbered(3);
    let pen = Pen::start(&["-r"], &addresses(&servers));
    assert_eq!(visits(&pen, &[1, 1, 1, 1, 2, 1, 1]), "0120120");
}

// B28: in pen 0.34.1 all that a dead server had goes to its neighbour.
#[test]
fn b28_a_dead_servers_share_is_spread_over_the_others() {
    let servers = numbered(3);
    let dead = Refusing::new();
    let mut list = addresses(&servers);
    list[1] = dead.address();
    let pen = Pen::start(&["-r"], &list);
    let counts = tally((0..20).map(|_| visit(&pen, 1)));
    assert_eq!(counts, BTreeMap::from([(String::from("0"), 10), (String::from("2"), 10)]));
}

#[test]
fn a_client_stays_with_the_server_that_took_it_over() {
    let servers = numbered(2);
    let reserved = Refusing::new();
    let pen = Pen::start_with_control(&[], &[reserved.address(), servers[1].address()]);
    assert_eq!(visit(&pen, 1), "1");
    // Its first choice is well again; the client has a home by now.
    let _well = Server::start_at(reserved.address(), greet("0"));
    pen.obey("server 0 blacklist 0");
    assert_eq!(visits(&pen, &[1, 1]), "11");
}

/// Eighty clients: which server each one gets.
fn map(pen: &Pen) -> Vec<String> {
    (1..=80).map(|from| visit(pen, from)).collect()
}

#[test]
fn by_hash_two_pens_agree_and_clients_are_spread() {
    let (first, second) = (numbered(4), numbered(4));
    let one = Pen::start(&["-h"], &addresses(&first));
    let other = Pen::start(&["-h", "-c", "5"], &addresses(&second));
    let map_one = map(&one);
    assert_eq!(map_one, map(&other));
    for (server, count) in tally(map_one) {
        // 20 each on average; the hash is fixed, so this holds always or never.
        assert!((10..=30).contains(&count), "server {server}: {count} of 80 neighbours");
    }
}

#[test]
fn by_hash_a_dead_server_moves_only_its_clients_and_they_return() {
    let mut servers = numbered(4);
    let pen = Pen::start_with_control(&["-h", "-b", "600"], &addresses(&servers));
    let before = map(&pen);
    let address = servers[2].address();
    drop(servers.remove(2));
    let _reserved = Refusing::at(address);
    let without = map(&pen);
    for (before, without) in before.iter().zip(&without) {
        assert!(without != "2" && (before == without || before == "2"), "{before} became {without}");
    }
    let moved = before.iter().zip(&without).filter(|(before, _)| *before == "2").map(|(_, without)| without.clone());
    assert_eq!(tally(moved).len(), 3, "they are spread over all the others");
    let _again = Server::start_at(address, greet("2"));
    pen.obey("server 2 blacklist 0");
    assert_eq!(map(&pen), before, "they return");
}

#[test]
fn by_hash_and_round_robin_the_port_counts_too() {
    let servers = numbered(2);
    let pen = Pen::start(&["-h", "-r"], &addresses(&servers));
    assert_eq!(tally((0..40).map(|_| visit(&pen, 1))).len(), 2, "forty ports of one client, all at one server");
}

#[test]
fn stubborn_closes_the_client_of_a_dead_server_and_serves_the_others() {
    let servers = numbered(1);
    let (dead, emergency) = (Refusing::new(), Server::start(greet("E")));
    let emergency = emergency.address().to_string();
    let options = ["-s", "-h", "-e", &emergency];
    let pen = Pen::start(&options, &[servers[0].address(), dead.address()]);
    let first = map(&pen);
    let counts = tally(first.clone());
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["", "0"], "{counts:?}");
    assert_eq!(map(&pen), first, "also while it is blacklisted");
}

#[test]
fn stubborn_closes_a_tracked_client_whose_server_died() {
    let mut servers = numbered(2);
    let pen = Pen::start(&["-s"], &addresses(&servers));
    assert_eq!(visits(&pen, &[1, 2]), "01");
    drop(servers.remove(0));
    assert_eq!(visits(&pen, &[1, 2, 1, 2]), "11");
}

// B28: in pen 0.34.1 -W without weights serves nobody.
#[test]
fn b28_by_weight_connections_are_shared_as_the_weights_say_and_none_counts_as_one() {
    for (weights, expected) in
        [(["1", "2", "3"], [3, 6, 9]), (["0", "0", "0"], [6, 6, 6]), (["", "4", "1"], [3, 12, 3])]
    {
        let servers = keeping(3);
        let operands: Vec<String> =
            servers.iter().zip(weights).map(|(server, weight)| format!("{}:0:0:{weight}", server.address())).collect();
        let pen = Pen::start(&["-W", "-r"], &operands);
        let held: Vec<(TcpStream, String)> = (0..18).map(|_| hold(&pen, 1)).collect();
        let counts = tally(held.iter().map(|(_, number)| number.clone()));
        let counts: Vec<usize> = counts.into_values().collect();
        assert_eq!(counts, expected, "{weights:?}");
    }
}

#[test]
fn by_priority_the_lowest_number_is_used_as_long_as_it_can_be() {
    let servers = numbered(3);
    let dead = Refusing::new();
    let operand = |address: SocketAddr, prio: i32| format!("{address}:0:0:0:{prio}");
    let list = [
        operand(servers[0].address(), 7),
        operand(dead.address(), -5),
        operand(servers[2].address(), 3),
        operand(servers[1].address(), 3),
    ];
    let pen = Pen::start_with_control(&["-O", "prio", "-r"], &list);
    assert_eq!(visits(&pen, &[1, 2, 3]), "222", "ties go to the lowest number");
    pen.obey("server 2 blacklist 600");
    assert_eq!(visits(&pen, &[1, 2, 3]), "111");
    pen.obey("server 3 blacklist 600");
    assert_eq!(visits(&pen, &[1, 2, 3]), "000");
}

// B10: in pen 0.34.1 a burst passes any limit, and each client that is turned away frees a place that it never had.
#[test]
fn b10_limits_hold_exactly_also_in_bursts() {
    let talk = |number: usize| {
        move |mut stream: &TcpStream| {
            let _ = write!(stream, "{number}");
            let _ = io::copy(&mut stream, &mut io::sink());
            After::Close
        }
    };
    let servers = [0, 1].map(|number| Server::start(talk(number)));
    let operands = [format!("{}:2", servers[0].address()), format!("{}:3", servers[1].address())];
    let pen = Pen::start_with_control(&["-r"], &operands);
    for round in 0..3 {
        // All are there before the first is looked at.
        let burst: Vec<TcpStream> = (0..20).map(|_| pen.connect()).collect();
        let mut answers = Vec::new();
        for mut stream in &burst {
            let mut byte = [0];
            let count = again(|| stream.read(&mut byte)).expect("a number or the end");
            answers.push(String::from_utf8_lossy(&byte[..count]).into_owned());
        }
        let expected = [("", 15), ("0", 2), ("1", 3)].map(|(answer, count)| (String::from(answer), count));
        assert_eq!(tally(answers), BTreeMap::from(expected), "round {round}");
        // One after another: nobody who is turned away makes room.
        for _ in 0..10 {
            assert_eq!(hold(&pen, 9).1, "", "round {round}");
        }
        drop(burst);
        wait::until_true("all places are free again", || pen.obey("servers").matches(" conn 0 ").count() == 2);
    }
}

#[test]
fn the_hard_limit_is_for_clients_that_were_there_before() {
    let servers = keeping(2);
    let operands = [format!("{}:2:4", servers[0].address()), format!("{}", servers[1].address())];
    let pen = Pen::start(&[], &operands);
    let first: Vec<(TcpStream, String)> = (0..6).map(|_| hold(&pen, 1)).collect();
    let numbers: String = first.iter().map(|(_, number)| number.as_str()).collect();
    // Up to the soft limit, then up to the hard one because the client is known there, then elsewhere.
    assert_eq!(numbers, "000011");
    assert_eq!(hold(&pen, 2).1, "1", "a new client has no place above the soft limit");
}

#[test]
fn the_emergency_server_is_used_when_no_other_can_be_and_not_remembered() {
    let emergency = Server::start(greet("E"));
    let reserved = Refusing::new();
    let pen = Pen::start_with_control(&["-e", &emergency.address().to_string()], &[reserved.address()]);
    assert_eq!(visits(&pen, &[1, 1, 2]), "EEE");
    let _server = Server::start_at(reserved.address(), greet("0"));
    pen.obey("server 0 blacklist 0");
    assert_eq!(visits(&pen, &[1, 2]), "00");
}

// B14: in pen 0.34.1 a client that the list refuses is served by the emergency server, and a rule with bits outside
// of its mask never matches.
#[test]
fn b14_a_refused_client_reaches_the_abuse_server_or_nobody() {
    let (servers, emergency, abuse) = (numbered(1), Server::start(greet("E")), Server::start(greet("A")));
    let (emergency, abuse_at) = (emergency.address().to_string(), abuse.address().to_string());
    // 127.0.1.1 and its neighbours up to .3, written with bits that the mask does not count.
    let list = ["-O", "acl 1 deny 127.0.1.2 255.255.255.252", "-O", "acl 2 deny 127.0.1.7", "-O", "client_acl 1"];
    let alone = Pen::start(&[&list[..], &["-e", &emergency]].concat(), &addresses(&servers));
    assert_eq!(visits(&alone, &[1, 2, 3, 4]), "0");
    let with_abuse = Pen::start(&[&list[..], &["-e", &emergency, "-B", &abuse_at]].concat(), &addresses(&servers));
    assert_eq!(visits(&with_abuse, &[1, 2, 3, 4]), "AAA0");
    // With no regular server left, a refused client still does not reach the emergency server.
    let dead = Refusing::new();
    let pen = Pen::start(&[&list[..], &["-e", &emergency]].concat(), &[dead.address()]);
    assert_eq!(visits(&pen, &[4, 1, 2, 4]), "EE");
    drop(abuse);
    assert_eq!(visits(&with_abuse, &[1, 4]), "0", "there is no fail-over from the abuse server");
}

#[test]
fn a_servers_own_list_sends_clients_to_another() {
    let servers = numbered(2);
    let pen = Pen::start_with_control(&["-r"], &addresses(&servers));
    pen.obey("acl 3 permit 127.0.1.1");
    pen.obey("server 0 acl 3");
    assert_eq!(visits(&pen, &[1, 2, 2, 1, 2, 1]), "011010");
}

// B13: in pen 0.34.1 a client that comes back first finds its old server, however long it was away.
#[test]
fn b13_tracking_expires() {
    let servers = numbered(3);
    let pen = Pen::start_with_control(&["-T", "1"], &addresses(&servers));
    assert_eq!(visits(&pen, &[1, 1, 1]), "000");
    wait::until_true("a second is over", || pen.obey("recent 1").is_empty());
    assert_eq!(visits(&pen, &[1, 1]), "11");
}

#[test]
fn the_client_that_has_been_away_longest_is_forgotten() {
    let servers = numbered(3);
    let pen = Pen::start(&["-c", "2"], &addresses(&servers));
    // 3 takes the place of 2, which is new again then and takes that of 3, which takes that of 1.
    assert_eq!(visits(&pen, &[1, 2, 1, 3, 1, 2, 3, 1]), "01020012");
}

// B11: pen 0.34.1 tells IPv6 clients, and IPv4 clients of an IPv6 listener, apart by the first byte of the address.
#[test]
fn b11_clients_of_an_ipv6_listener_are_told_apart() {
    if TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err() {
        return not_tested_here("b11_clients_of_an_ipv6_listener_are_told_apart", "there is no IPv6");
    }
    let servers = numbered(4);
    let pen = Pen::start_at_all(&["-l", "pen.log"], &addresses(&servers));
    let port = pen.address().port();
    let v4 = |from: u8| (IpAddr::V4(client(from)), SocketAddr::from(([127, 0, 0, 1], port)));
    let v6 = (IpAddr::V6(Ipv6Addr::LOCALHOST), SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    let ask = |(from, to): (IpAddr, SocketAddr)| {
        let mut stream = connect_from(from, to);
        stream.write_all(b"x").unwrap();
        String::from_utf8(read_to_end(&stream).0).unwrap()
    };
    let answers: String = [v4(1), v4(2), v6, v4(3), v4(1), v4(2), v6, v4(3)].into_iter().map(ask).collect();
    assert_eq!(answers, "01230123");
    wait::until_true("all is logged", || pen.directory().read("pen.log").lines().count() == 8);
    let log = pen.directory().read("pen.log");
    let clients: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(clients[..4], ["127.0.1.1", "127.0.1.2", "::1", "127.0.1.3"], "without ::ffff:");
}

#[test]
fn the_time_on_the_blacklist_is_exact() {
    let servers = numbered(2);
    let reserved = Refusing::new();
    let pen = Pen::start(&["-r", "-b", "2"], &[reserved.address(), servers[1].address()]);
    let before = Instant::now();
    assert_eq!(visit(&pen, 1), "1");
    let after = Instant::now();
    let _server = Server::start_at(reserved.address(), greet("0"));
    let back = wait::until("it is used again", || {
        let asked = Instant::now();
        (visit(&pen, 1) == "0").then_some(asked)
    });
    // It failed between `before` and `after`, and every answer is a moment old.
    assert!(
        back + Duration::from_millis(5) >= before + Duration::from_secs(2),
        "{:?} too early",
        before + Duration::from_secs(2) - back
    );
    assert!(back < after + Duration::from_millis(2_500), "{:?}", back - after);
    assert!(pen.stderr().contains("blacklisted for 2 s"), "{}", pen.stderr());
}

#[test]
fn the_emergency_server_serves_exactly_as_long_as_all_others_are_left_out() {
    let emergency = Server::start(greet("E"));
    let reserved = [Refusing::new(), Refusing::new()];
    let options = ["-r", "-b", "2", "-e", &emergency.address().to_string()];
    let pen = Pen::start(&options, &reserved.each_ref().map(Refusing::address));
    let before = Instant::now();
    // This one finds both of them down.
    assert_eq!(visit(&pen, 1), "E");
    let after = Instant::now();
    let _servers = [0, 1].map(|number| Server::start_at(reserved[number].address(), greet(&number.to_string())));
    let back = wait::until("the others are used again", || {
        let asked = Instant::now();
        (visit(&pen, 1) != "E").then_some(asked)
    });
    let early = Duration::from_millis(5);
    assert!(back + early >= before + Duration::from_secs(2), "{:?} after it failed", back - before);
    assert!(back < after + Duration::from_millis(2_500), "{:?} after it failed", back - after);
    let served = emergency.served();
    (0..10).for_each(|_| assert_ne!(visit(&pen, 1), "E"));
    assert_eq!(emergency.served(), served);
}

#[test]
fn clients_by_a_unix_socket_are_one_client() {
    let (servers, directory) = (numbered(3), Scratch::new());
    let path = directory.file("listener");
    let mut command = std::process::Command::new(program());
    command.arg("-f").arg(&path).args(addresses(&servers).iter().map(ToString::to_string));
    let _pen = Process::start(command, &directory, "pen");
    let connect = || std::os::unix::net::UnixStream::connect(&path).ok();
    let answers: Vec<String> =
        (0..4).map(|_| io::read_to_string(wait::until("pen listens", connect)).unwrap()).collect();
    assert_eq!(answers, ["0", "0", "0", "0"]);
}
