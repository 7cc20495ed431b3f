//! Several listeners in one process, each with servers and settings of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::client::{End, ask, connect, connect_from, read_to_end};
use crate::support::pen::{Pen, is_another, run};
use crate::support::process::send;
use crate::support::report::not_tested_here;
use crate::support::servers::{Server, echo, greet};
use crate::support::wait;

/// Where a listener of this pen listens, with the port that was found.
fn addresses(pen: &Pen, listener: &str) -> Vec<SocketAddr> {
    let reply = pen.obey(&format!("on {listener} listen"));
    reply.split_whitespace().map(|word| word.parse().unwrap_or_else(|_| panic!("{reply}"))).collect()
}

/// A command for a server, as words of an option.
fn server(number: usize, at: SocketAddr) -> String {
    format!("server {number} address {} port {}", at.ip(), at.port())
}

#[track_caller]
fn assert_served(at: SocketAddr, by: &str) {
    assert_eq!(read_to_end(&connect(at)), (by.as_bytes().to_vec(), End::Finished));
}

/// True where listeners can be tested.
fn has_listeners(test: &str) -> bool {
    if is_another() {
        not_tested_here(test, "pen 0.34.1 has one listener");
    }
    !is_another()
}

#[test]
fn each_listener_has_servers_clients_and_settings_of_its_own() {
    if !has_listeners("each_listener_has_servers_clients_and_settings_of_its_own") {
        return;
    }
    let servers = ["main", "one", "two"].map(|name| Server::start(greet(name)));
    let [own, one, two] = servers.each_ref().map(Server::address);
    let (first, second) = (server(0, one), server(1, two));
    let options = ["-O", "listener other 127.0.0.1:0", "-O", &first, "-O", &second, "-O", "roundrobin"];
    let pen = Pen::start_with_control(&options, &[own]);
    let other = addresses(&pen, "other")[0];
    for by in ["one", "two", "one", "two"] {
        assert_served(other, by);
        assert_served(pen.address(), "main");
    }
    assert_eq!(pen.obey("mode"), "no hash no roundrobin no stubborn no weight no prio\n");
    assert_eq!(pen.obey("on other mode"), "no hash roundrobin no stubborn no weight no prio\n");
    assert_eq!(pen.obey("servers").lines().count(), 1);
    assert_eq!(pen.obey("on other servers").lines().count(), 2);
    read_to_end(&connect_from([127, 0, 0, 9].into(), other));
    assert!(!pen.obey("recent").contains("127.0.0.9 "));
    assert!(pen.obey("on other recent").contains("127.0.0.9 connects 1 sx 3 rx 0\n"));
    // An access list that refuses everybody at one, and nobody at the other.
    pen.obey("on other acl 3 deny 127.0.0.0/8");
    pen.obey("on other client_acl 3");
    assert_served(other, "");
    assert_served(pen.address(), "main");
    let told = format!(
        "main conn 0 pending 0 servers 1 addr {}\nother conn 0 pending 0 servers 2 addr {other}\n",
        pen.address()
    );
    wait::until_true("those who are sent away have gone", || pen.obey("listeners") == told);
}

#[test]
fn a_listener_comes_and_goes_while_pen_runs_and_its_connections_end_by_themselves() {
    if !has_listeners("a_listener_comes_and_goes_while_pen_runs_and_its_connections_end_by_themselves") {
        return;
    }
    let (own, late) = (Server::start(greet("main")), Server::start(echo));
    let pen = Pen::start_with_control(&[], &[own.address()]);
    let refused = pen.penctl(&["listener", "late", &pen.address().to_string()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(pen.obey("listeners").lines().count(), 1, "one that cannot listen is not there");
    let at: SocketAddr = pen.obey("listener late 127.0.0.1:0").trim().parse().expect("the reply is the address");
    assert_eq!(at, addresses(&pen, "late")[0]);
    pen.obey(&format!("on late {}", server(0, late.address())));
    let client = connect(at);
    let echoes = |mut client: &TcpStream| {
        client.write_all(b"hello").unwrap();
        let mut echoed = [0; 5];
        client.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, b"hello");
    };
    echoes(&client);
    assert!(pen.obey("connection 0").ends_with("listener = late\n"), "{}", pen.obey("connection 0"));
    pen.obey("no listener late");
    assert!(TcpStream::connect(at).is_err(), "nobody is let in any more");
    echoes(&client);
    // The name and the address are free for another one meanwhile.
    assert_eq!(pen.obey(&format!("listener late {at}")), format!("{at}\n"));
    assert_eq!(pen.obey("on late servers"), "");
    echoes(&client);
    assert_eq!(ask(&client, b"bye"), "bye");
    wait::until_true("it has gone", || pen.obey("connection 0").contains("\nstate = 0\n"));
    assert_served(pen.address(), "main");
}

#[test]
fn a_listener_with_addresses_of_both_families_keeps_those_that_stay() {
    if !has_listeners("a_listener_with_addresses_of_both_families_keeps_those_that_stay") {
        return;
    }
    let own = Server::start(greet("main"));
    let pen = Pen::start_with_control(
        &["-O", "listener both 127.0.0.1:0 [::1]:0", "-O", &server(0, own.address())],
        &[own.address()],
    );
    let both = addresses(&pen, "both");
    assert!(both[0].is_ipv4() && both[1].is_ipv6(), "{both:?}");
    both.iter().for_each(|at| assert_served(*at, "main"));
    pen.obey(&format!("on both listen {} 127.0.0.2:0", both[1]));
    let now = addresses(&pen, "both");
    assert_eq!(now[0], both[1]);
    now.iter().for_each(|at| assert_served(*at, "main"));
    assert!(TcpStream::connect(both[0]).is_err());
    let refused = pen.penctl(&["on", "both", "listen", "127.0.0.3:0", &pen.address().to_string()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(addresses(&pen, "both"), now, "all or none");
}

#[test]
fn a_listener_that_takes_the_place_of_another_has_its_socket_and_a_mistake_gives_it_back() {
    if !has_listeners("a_listener_that_takes_the_place_of_another_has_its_socket_and_a_mistake_gives_it_back") {
        return;
    }
    let (own, one, two) = (Server::start(greet("main")), Server::start(greet("one")), Server::start(greet("two")));
    let options = ["-O", "listener before 127.0.0.1:0", "-O", &server(0, one.address())];
    let pen = Pen::start_with_control(&options, &[own.address()]);
    let at = addresses(&pen, "before")[0];
    let renamed = format!("no listener before\nlistener after {at}\n{}\n", server(0, two.address()));
    pen.directory().write("bad", &format!("{renamed}listener third {}\n", pen.address()));
    pen.directory().write("good", &renamed);
    let refused = pen.penctl(&["include", "bad"]);
    assert!(refused.stdout.contains("bad:4: ") || refused.stderr.contains("bad:4: "), "{refused:?}");
    assert_eq!(addresses(&pen, "before"), [at]);
    assert_served(at, "one");
    pen.obey("include good");
    assert_eq!(addresses(&pen, "after"), [at]);
    assert_served(at, "two");
    assert_eq!(pen.obey("listeners").lines().count(), 2);
    // What is written starts a pen that is the same.
    pen.obey("write saved");
    let saved = pen.directory().read("saved");
    assert!(saved.contains(&format!("listener after {at}\n")), "{saved}");
}

#[test]
fn a_drain_closes_all_listeners_and_waits_for_their_connections() {
    if !has_listeners("a_drain_closes_all_listeners_and_waits_for_their_connections") {
        return;
    }
    let server_of_both = Server::start(echo);
    let at = server_of_both.address();
    let mut pen = Pen::start_with_control(&["-O", "listener other 127.0.0.1:0", "-O", &server(0, at)], &[at]);
    let other = addresses(&pen, "other")[0];
    let clients = [pen.address(), other].map(|at| {
        let mut client = connect(at);
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        client
    });
    send(pen.pid(), "QUIT");
    wait::until_true("it drains", || pen.stderr().contains("2 connections have"));
    assert!(TcpStream::connect(pen.address()).is_err() && TcpStream::connect(other).is_err());
    let refused = pen.penctl(&["listener", "more", "127.0.0.1:0"]);
    assert!(refused.stderr.contains("pen drains") || refused.stdout.contains("pen drains"), "{refused:?}");
    clients.iter().for_each(|client| assert_eq!(ask(client, b"yz"), "yz"));
    assert_eq!(pen.process().wait().status.code(), Some(0));
}

#[test]
fn a_mistake_about_listeners_ends_the_start() {
    if !has_listeners("a_mistake_about_listeners_ends_the_start") {
        return;
    }
    let table: [(&[&str], &str); 3] = [
        (
            &["-O", "listener a 80", "-O", "conn_max 3"],
            "option -O: conn_max: it is for all of pen, and not for listener a",
        ),
        (&["-O", "on a servers", "80"], "option -O: there is no listener 'a'"),
        (&["-O", "listener a", "80"], "option -O: there is no listener 'a' yet: 'listener a ADDRESS' adds it"),
    ];
    for (words, why) in table {
        let ended = run(words);
        assert_eq!((ended.status.code(), ended.stderr.trim()), (Some(78), format!("pen: {why}").as_str()), "{words:?}");
    }
}
