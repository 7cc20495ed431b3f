//! Active checks: a server goes down and comes back without any client's having to find out.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use crate::support::client::read_to_end;
use crate::support::datagrams::{Responder, ask, client};
use crate::support::pen::Pen;
use crate::support::servers::{After, Refusing, Server, greet};
use crate::support::wait;

/// Options for checks that are quick to find out.
const QUICK: [&str; 6] = ["-O", "check_interval 1", "-O", "check_fall 2", "-O", "check_rise 1"];

/// A web server whose pages have this status; it counts requests of checks, and tells clients its name.
fn web(name: &str, status: &Arc<AtomicU16>, checks: &Arc<AtomicUsize>) -> Server {
    let (name, status, checks) = (name.to_string(), Arc::clone(status), Arc::clone(checks));
    Server::start(move |mut stream: &TcpStream| {
        let lines = BufReader::new(stream).lines();
        let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        if head.contains(&String::from("User-Agent: pen")) {
            assert_eq!(head[..2], ["GET /up HTTP/1.1", "Host: check.test"], "{head:?}");
            checks.fetch_add(1, Ordering::SeqCst);
        }
        let status = status.load(Ordering::SeqCst);
        let _ = write!(stream, "HTTP/1.1 {status} So\r\nConnection: close\r\n\r\n{name}");
        let _ = stream.shutdown(Shutdown::Write);
        After::Close
    })
}

/// Which server a client gets.
#[track_caller]
fn fetch(pen: &Pen) -> String {
    let mut stream = pen.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let page = String::from_utf8(read_to_end(&stream).0).unwrap();
    page.rsplit("\r\n").next().unwrap().to_string()
}

#[test]
fn a_server_with_a_bad_status_gets_no_clients_until_it_is_good_again() {
    let status = [Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(200))];
    let checks = Arc::new(AtomicUsize::new(0));
    let servers = [web("0", &status[0], &checks), web("1", &status[1], &checks)];
    let flags = [&QUICK[..], &["-r", "-O", "check http /up check.test"]].concat();
    let pen = Pen::start_with_control(&flags, &servers.each_ref().map(Server::address));
    wait::until_true("both are checked", || checks.load(Ordering::SeqCst) >= 2);
    assert_eq!([fetch(&pen), fetch(&pen)], ["0", "1"]);
    status[1].store(503, Ordering::SeqCst);
    let down =
        format!("server 1 ({}) is down: it answers with status 503 (check http /up check.test)", servers[1].address());
    wait::until_true("it is found out", || pen.stderr().contains(&down));
    assert_eq!([fetch(&pen), fetch(&pen), fetch(&pen)], ["0", "0", "0"]);
    assert!(pen.obey("servers").lines().nth(1).unwrap().ends_with(" state down"));
    status[1].store(204, Ordering::SeqCst);
    wait::until_true("it is back", || pen.stderr().contains("is up again (check http /up check.test)"));
    let both = [fetch(&pen), fetch(&pen)];
    assert!(both.contains(&String::from("1")), "{both:?}");
    assert_eq!(pen.stderr().lines().count(), 2, "nothing else is said: {}", pen.stderr());
}

#[test]
fn a_server_that_is_not_there_is_down_before_a_client_comes_and_up_when_it_is_there() {
    let (dead, alive) = (Refusing::new(), Server::start(greet("alive")));
    let flags = [&QUICK[..], &["-O", "check tcp"]].concat();
    let pen = Pen::start_with_control(&flags, &[dead.address(), alive.address()]);
    wait::until_true("it is found out", || pen.stderr().contains("is down: connection refused (check tcp)"));
    assert_eq!(read_to_end(&pen.connect()).0, b"alive");
    let _again = Server::start_at(dead.address(), greet("again"));
    wait::until_true("it is back", || pen.stderr().contains("is up again (check tcp)"));
    assert!(pen.obey("servers").lines().next().unwrap().ends_with("rx 0"), "{}", pen.obey("servers"));
}

#[test]
fn a_server_may_have_a_check_of_its_own_or_none_and_write_keeps_them() {
    let servers = [Server::start(greet("one")), Server::start(greet("two"))];
    let flags = [&QUICK[..], &["-O", "check expect one"]].concat();
    let pen = Pen::start_with_control(&flags, &servers.each_ref().map(Server::address));
    wait::until_true("the second is down", || pen.stderr().contains("server 1 ("));
    assert!(pen.stderr().contains("is down: it ended the connection without an answer (check expect one)"));
    pen.obey("server 1 check \"expect two\"");
    wait::until_true("it is up", || pen.stderr().contains("is up again (check expect two)"));
    pen.obey("server 1 check \"send x\\s\\x00 expect nothing port 81\"");
    wait::until_true("it is down", || pen.stderr().matches("is down").count() == 2);
    pen.obey("write all.cfg");
    let written = std::fs::read_to_string(pen.directory().file("all.cfg")).unwrap();
    for line in [
        "check expect one\n",
        "check_fall 2\n",
        "check_interval 1\n",
        "check_rise 1\n",
        " check default enable\n",
        " check \"send x\\s\\x00 expect nothing port 81\" enable\n",
    ] {
        assert!(written.contains(line), "{line}: {written}");
    }
    pen.obey("server 1 check none");
    wait::until_true("it is not checked any more", || pen.stderr().contains("is taken for up"));
    pen.obey("no check");
    let count = servers[0].served();
    assert_eq!(read_to_end(&pen.connect()).0, b"one");
    assert_eq!(pen.obey("check"), "none\n");
    assert!(servers[0].served() <= count + 2);
}

#[test]
fn mistakes_in_checks_name_their_culprit() {
    let pen = Pen::start_with_control(&[], &["127.0.0.1:9"]);
    let kinds = "tcp, http, smtp, ftp, pop3, imap, ldap, dns, redis, mysql, send, expect or none";
    for (line, message) in [
        ("check gopher", format!("check: 'gopher' is not {kinds}")),
        ("check dns", String::from("check: a name to ask for is missing")),
        ("check http up", String::from("check: 'up' is not a path, which begins with a slash")),
        ("check http / - 99", String::from("check: 99 is not within 100 to 999")),
        ("check tcp port 0", String::from("check: '0': port 0 is not within 1 to 65535")),
        ("check tcp 81", String::from("check: unexpected word '81'")),
        ("check send x", String::from("check: expect is missing")),
        ("check expect \\q", String::from("check: '\\q' is not bytes, with \\r \\n \\t \\s \\\\ and \\xHH")),
        ("server 0 check \"tcp x\"", String::from("server: unexpected word 'x'")),
        ("check_interval 0", String::from("check_interval: 0 is not within 1 to 86400")),
    ] {
        assert_eq!(pen.penctl(&[line]).stderr, format!("penctl: {message}\n"), "{line}");
    }
}

#[test]
fn a_pool_of_datagrams_is_checked_by_dns_or_by_another_port() {
    // The answer to any question: the same with the bit of a response.
    let answer = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[2] |= 0x80;
        vec![bytes]
    };
    let servers = [Responder::start(answer), Responder::silent()];
    let flags = [&["-U", "-r", "-t", "1"][..], &QUICK, &["-O", "check dns www.test"]].concat();
    let pen = Pen::start_with_control(&flags, &servers.each_ref().map(Responder::address));
    wait::until_true("the silent one is down", || pen.stderr().contains("is down: no answer in time"));
    assert!(pen.stderr().contains("server 1 ("), "{}", pen.stderr());
    assert_eq!(servers[0].received()[0][12..], *b"\x03www\x04test\x00\x00\x01\x00\x01");
    for _ in 0..4 {
        assert!(ask(&client(pen.address()), "abcd").starts_with("ab"));
    }
    let door = Server::start(greet("here"));
    pen.obey(&format!("check tcp port {}", door.address().port()));
    wait::until_true("the other is up by that", || pen.stderr().contains("is up again (check tcp port "));
}

#[test]
fn a_server_that_wants_to_be_told_whom_connections_are_from_is_told_so_by_checks() {
    let server = Server::start(|stream: &TcpStream| {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let is_told = lines.next().is_some_and(|line| line == "PROXY UNKNOWN") && lines.next().is_some();
        let mut stream = stream;
        let _ = stream.write_all(if is_told { b"good\n" } else { b"bad\n" });
        let _ = stream.shutdown(Shutdown::Write);
        After::Close
    });
    let flags = [&QUICK[..], &["-d", "-O", "proxy_protocol v1", "-O", "check send x\\n expect good"]].concat();
    let pen = Pen::start(&flags, &[server.address()]);
    wait::until_true("it has passed", || pen.stderr().contains("has passed check send x\\n expect good"));
    assert!(!pen.stderr().contains("has failed"), "{}", pen.stderr());
}

#[test]
fn a_server_that_wants_to_be_told_whom_datagrams_are_from_is_told_so_by_checks() {
    // It answers nothing without a header, in which pen speaks for itself.
    let server = Responder::start(|bytes| {
        let question = bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
        question.map(|question| [&question[..2], &[0x81], &question[3..]].concat()).into_iter().collect()
    });
    let flags =
        [&["-U", "-d", "-t", "1"][..], &QUICK, &["-O", "proxy_protocol v2", "-O", "check dns www.test"]].concat();
    let pen = Pen::start(&flags, &[server.address()]);
    wait::until_true("it has passed", || pen.stderr().contains("has passed check dns www.test"));
    assert!(!pen.stderr().contains("has failed"), "{}", pen.stderr());
}

#[test]
fn without_checks_nothing_is_asked_and_nothing_wakes_pen() {
    let server = Server::start(greet("x"));
    let pen = Pen::start_with_control(&["-O", "check_interval 1"], &[server.address()]);
    assert_eq!(pen.obey("check"), "none\n");
    assert_eq!(server.served(), 0);
}
