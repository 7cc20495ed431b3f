//! Who has subscribed is told of what happens, and holds up nobody.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::support::client::read_to_end;
use crate::support::pen::Pen;
use crate::support::process::Process;
use crate::support::scratch::Scratch;
use crate::support::servers::{Refusing, Server, echo, greet};
use crate::support::wait;

/// Somebody who is told of what happens.
struct Subscriber(BufReader<UnixStream>);

impl Subscriber {
    /// Subscribes, and sees that it is so.
    #[track_caller]
    fn new(pen: &Pen, command: &str) -> Subscriber {
        let mut stream = UnixStream::connect(pen.directory().file("control")).expect("the control port is open");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a socket takes a time-out");
        stream.write_all(format!("{command}\n").as_bytes()).expect("the control port reads");
        let mut subscriber = Subscriber(BufReader::new(stream));
        let first = subscriber.line();
        assert!(first.starts_with("subscribed pen=") && first.ends_with(&format!(" pid={}", pen.pid())), "{first}");
        subscriber
    }

    /// The next event without its time; empty at the end.
    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("pen tells of something, or ends");
        if line.is_empty() {
            return line;
        }
        let (time, event) = line.trim_end().split_once(" event=").unwrap_or_else(|| panic!("no event: {line}"));
        assert_eq!(
            (time.len(), &time[..7], &time[24..]),
            ("time=2026-11-26T05:35:00Z".len(), "time=20", "Z"),
            "{line}"
        );
        String::from(event)
    }
}

#[test]
fn what_happens_to_a_connection_is_told_as_it_happens() {
    let (dead, server) = (Refusing::new(), Server::start(greet("one")));
    let pen = Pen::start_with_control(&["-r"], &[dead.address(), server.address()]);
    let mut events = Subscriber::new(&pen, "events");
    let client = pen.connect();
    let from = client.local_addr().unwrap();
    assert_eq!(read_to_end(&client).0, b"one");
    drop(client);
    let (dead, alive) = (dead.address(), server.address());
    let refused = "why=\"connection refused\"";
    let expected = [
        format!("accepted listener=main connection=0 from={from}"),
        format!("failed-over listener=main connection=0 server=0 address={dead} {refused}"),
        format!("server-failed listener=main server=0 address={dead} {refused} blacklisted=30"),
        format!("connected listener=main connection=0 server=1 address={alive}"),
        format!("closed listener=main connection=0 server=1 address={alive} why=done up=0 down=3"),
    ];
    for line in expected {
        assert_eq!(events.line(), line);
    }
    assert!(!pen.stderr().contains("accepted"), "what nobody asked for is not said at stderr");
}

#[test]
fn what_an_operator_does_to_servers_is_told() {
    let (one, two) = (Server::start(echo), Server::start(echo));
    let pen = Pen::start_with_control(&["-r"], &[one.address()]);
    let mut events = Subscriber::new(&pen, "events servers");
    let port = two.address().port();
    pen.obey(&format!("server web2 address 127.0.0.1 port {port}"));
    let named = format!("listener=main server=1 name=web2 address=127.0.0.1:{port}");
    assert_eq!(events.line(), format!("server-added {named}"));
    pen.obey("server 0 disable");
    assert_eq!(events.line(), format!("server-disabled listener=main server=0 address={}", one.address()));
    let mut client = pen.connect();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    pen.obey("server web2 drain");
    assert_eq!(events.line(), format!("server-draining {named}"));
    drop(client);
    assert_eq!(events.line(), format!("server-drained {named}"));
    pen.obey("server 0 enable");
    assert_eq!(events.line(), format!("server-enabled listener=main server=0 address={}", one.address()));
    pen.obey("no server web2");
    assert_eq!(events.line(), "server-removed listener=main server=1");
}

#[test]
fn what_checks_find_is_told() {
    let dead = Refusing::new();
    let pen = Pen::start_with_control(&["-O", "check_interval 1"], &[dead.address()]);
    let mut events = Subscriber::new(&pen, "events servers");
    let named = format!("listener=main server=0 address={}", dead.address());
    pen.obey("check_fall 1");
    pen.obey("check tcp");
    assert_eq!(events.line(), format!("server-down {named} why=\"connection refused\" check=tcp"));
    assert_eq!(events.line(), format!("check-failed {named} why=\"connection refused\" check=tcp"));
    pen.obey("no check");
    let unchecked = format!("server-unchecked {named}");
    while events.line() != unchecked {}
    assert!(pen.stderr().contains(" is down: connection refused (check tcp)"), "{}", pen.stderr());
    assert!(!pen.stderr().contains("has failed check"), "what nobody asked for is not said at stderr");
}

#[test]
fn a_server_that_comes_back_is_told_once() {
    let dead = Refusing::new();
    let address = dead.address();
    let pen = Pen::start_with_control(&["-r", "-b", "0"], &[address]);
    let mut events = Subscriber::new(&pen, "events servers");
    read_to_end(&pen.connect());
    let named = format!("listener=main server=0 address={address}");
    assert_eq!(events.line(), format!("server-failed {named} why=\"connection refused\" blacklisted=0"));
    drop(dead);
    let _server = Server::start_at(address, greet("one"));
    for _ in 0..3 {
        assert_eq!(read_to_end(&pen.connect()).0, b"one");
    }
    pen.obey("server 0 disable");
    assert_eq!(events.line(), format!("server-back {named}"));
    assert_eq!(events.line(), format!("server-disabled {named}"));
    assert!(pen.stderr().contains(&format!("server 0 ({address}) is back\n")));
}

#[test]
fn what_happens_to_the_process_is_told() {
    let server = Server::start(greet("one"));
    let files = Scratch::new();
    let config = files.write("pen.cfg", "blacklist 5\n");
    let pen = Pen::start_with_control(&["-F", config.to_str().unwrap()], &[server.address()]);
    let mut events = Subscriber::new(&pen, "events process");
    files.write("pen.cfg", "blacklist 6\n");
    pen.obey("reload");
    assert_eq!(events.line(), "command from=unix command=reload");
    assert_eq!(events.line(), "reloaded changes=2");
    files.write("pen.cfg", "frob\n");
    let refused = pen.penctl(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(events.line(), "command from=unix command=reload");
    let why = format!("{}:1: unknown command 'frob'", config.display());
    assert_eq!(events.line(), format!("reload-failed why=\"{why}\""));
    assert!(pen.stderr().contains(&format!("reload: {why}\n")), "{}", pen.stderr());
}

#[test]
fn a_subscription_has_the_listener_and_the_length_that_were_asked_for() {
    let server = Server::start(greet("one"));
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let port = server.address().port();
    pen.obey("listener web 127.0.0.1:0");
    pen.obey(&format!("on web server 0 address 127.0.0.1 port {port}"));
    let web = pen.obey("on web listen").trim().parse().expect("an address");
    let mut events = Subscriber::new(&pen, "events connections listener web lines 2");
    read_to_end(&pen.connect());
    read_to_end(&crate::support::client::connect(web));
    assert!(events.line().starts_with("accepted listener=web connection="));
    assert!(events.line().starts_with("connected listener=web connection="));
    assert_eq!(events.line(), "", "two lines were asked for");
    let mut short = Subscriber::new(&pen, "events connections seconds 1");
    assert_eq!(short.line(), "", "one second was asked for");
    for topic in ["events", "trace"] {
        let refused = pen.penctl(&[topic, "listener", "wab", "seconds", "1"]);
        assert_eq!((refused.status.code(), refused.stderr.as_str()), (Some(1), "penctl: there is no listener 'wab'\n"));
    }
}

#[test]
fn a_subscriber_who_does_not_read_holds_up_nobody_and_is_told_what_is_lost() {
    const CLIENTS: u64 = 4_000;
    let server = Server::start(greet("one"));
    let pen = Pen::start_with_control(&["-r"], &[server.address()]);
    let mut events = Subscriber::new(&pen, "events connections");
    for _ in 0..CLIENTS {
        assert_eq!(read_to_end(&pen.connect()).0, b"one");
    }
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut told = 0;
    while told < 3 * CLIENTS {
        let line = events.line();
        assert!(!line.is_empty(), "the stream goes on");
        let (event, rest) = line.split_once(' ').unwrap();
        let count = if event == "lost" { rest.strip_prefix("records=").unwrap().parse().unwrap() } else { 1 };
        told += count;
        *seen.entry(String::from(event)).or_default() += count;
    }
    assert_eq!(told, 3 * CLIENTS, "each event is told or counted as lost: {seen:?}");
    assert!(seen["lost"] > 0 && seen["accepted"] > 0, "{seen:?}");
    // From here on nothing is lost any more.
    read_to_end(&pen.connect());
    assert!(events.line().starts_with("accepted "));
}

#[test]
fn subscribers_leave_room_for_others_and_stay() {
    let server = Server::start(greet("one"));
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let mut all: Vec<Subscriber> = (0..8).map(|_| Subscriber::new(&pen, "events connections")).collect();
    let refused = pen.penctl(&["events"]);
    assert_eq!(
        (refused.status.code(), refused.stderr.as_str()),
        (Some(1), "penctl: 8 others are told of events already\n")
    );
    let idle: Vec<UnixStream> =
        (0..20).map(|_| UnixStream::connect(pen.directory().file("control")).unwrap()).collect();
    assert_eq!(pen.obey("pid"), format!("{}\n", pen.pid()));
    drop(idle);
    read_to_end(&pen.connect());
    for subscriber in &mut all {
        assert!(subscriber.line().starts_with("accepted "));
    }
    all.pop();
    wait::until_true("there is room again", || {
        let ended = pen.penctl(&["events", "seconds", "1"]);
        ended.status.success() && ended.stdout.contains(" event=subscribed ")
    });
}

#[test]
fn subscribers_are_told_of_the_end() {
    let server = Server::start(echo);
    let mut pen = Pen::start_with_control(&[], &[server.address()]);
    let mut client = pen.connect();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let mut events = Subscriber::new(&pen, "events");
    pen.stop();
    assert!(events.line().ends_with(" why=\"pen ends\" up=1 down=1"));
    assert_eq!(events.line(), "");
}

#[test]
fn penctl_prints_events_as_they_come() {
    let server = Server::start(greet("one"));
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let directory = Scratch::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_penctl"));
    command.arg(pen.directory().file("control")).args(["events", "connections", "lines", "3"]);
    let mut penctl = Process::start(command, &directory, "penctl");
    wait::until_true("it has subscribed", || penctl.stdout().contains(" event=subscribed "));
    read_to_end(&pen.connect());
    let ended = penctl.wait();
    assert!(ended.status.success(), "{ended:?}");
    let events: Vec<&str> = ended.stdout.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(events, ["event=subscribed", "event=accepted", "event=connected", "event=closed"]);
}

#[test]
fn penctl_tells_when_less_came_than_was_asked_for() {
    let server = Server::start(greet("one"));
    let table = [
        ("events connections lines 9", "KILL", ": 3 of 9 lines have come"),
        ("events", "TERM", ""),
        ("trace dump lines 9", "TERM", ": 4 of 9 lines have come"),
        ("trace seconds 600", "KILL", ": 0 of 600 seconds are over"),
    ];
    for (line, signal, why) in table {
        let mut pen = Pen::start_with_control(&[], &[server.address()]);
        let directory = Scratch::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_penctl"));
        command.arg(pen.directory().file("control")).args(line.split(' '));
        let mut penctl = Process::start(command, &directory, "penctl");
        wait::until_true("it has subscribed", || penctl.stdout().contains(" event=subscribed "));
        // Accepted or how much was said, connected, perhaps the bytes, and closed.
        read_to_end(&pen.connect());
        wait::until_true("all is told", || penctl.stdout().contains("closed"));
        pen.process().signal(signal);
        let ended = penctl.wait();
        let at = pen.directory().file("control").display().to_string();
        let expected = format!("penctl: the connection to {at} has ended{why}\n");
        assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(69), expected.as_str()), "{line}: {ended:?}");
    }
}
