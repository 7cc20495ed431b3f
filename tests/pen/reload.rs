//! The configuration changes while traffic flows: by commands, by files that are read again, and by nonsense.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::client::read_to_end;
use crate::support::datagrams::{Responder, ask, client};
use crate::support::pattern::again;
use crate::support::pen::Pen;
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, echo, greet};
use crate::support::wait;

#[track_caller]
fn control(pen: &Pen, line: &str) -> String {
    let mut stream = UnixStream::connect(pen.directory().file("control")).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// Who serves a new connection.
#[track_caller]
fn served_by(pen: &Pen) -> String {
    String::from_utf8_lossy(&read_to_end(&pen.connect()).0).into_owned()
}

#[track_caller]
fn assert_echoes(mut stream: &TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello");
}

fn port(server: &Server) -> u16 {
    server.address().port()
}

#[test]
fn a_reload_does_not_pass_over_dummy() {
    let scratch = Scratch::new();
    let file = scratch.write("pen.conf", "dummy\n");
    let name = file.display().to_string();
    let mut dummy = Pen::start_with_control(&["-F", &name], &[] as &[&str]);
    assert_eq!(control(&dummy, "reload"), "nothing has changed\n");
    scratch.write("pen.conf", "dummy\ntimeout 7\n");
    assert_eq!(control(&dummy, "reload"), "- timeout 5\n+ timeout 7\n");
    scratch.write("pen.conf", "timeout 8\n");
    let why = "dummy is not there any more: to have servers pen must be started anew";
    assert_eq!(control(&dummy, "reload"), format!("error: {why}\n"));
    dummy.process().signal("HUP");
    wait::until_true("it is said twice", || dummy.stderr().matches(why).count() == 2);
    assert_eq!(control(&dummy, "timeout"), "7\n");
    let pen = Pen::start_with_control(&["-F", &name], &[] as &[&str]);
    scratch.write("pen.conf", "timeout 9\n\ndummy\n");
    let why = format!("error: {name}:3: dummy: only at the start; pen must be started anew for it\n");
    assert_eq!((control(&pen, "reload"), control(&pen, "timeout")), (why, String::from("8\n")));
}

#[test]
fn servers_come_drain_and_go_by_name_while_traffic_flows() {
    let (one, two) = (Server::start(greet("one")), Server::start(echo));
    let pen = Pen::start_with_control(&["-r", "-d"], &[one.address()]);
    assert_eq!(control(&pen, &format!("server web2 address 127.0.0.1 port {}", port(&two))), "");
    assert_eq!(control(&pen, "server 0 disable"), "");
    let stream = pen.connect();
    assert_echoes(&stream);
    assert!(control(&pen, "servers").contains(" name web2\n"));
    assert_eq!(control(&pen, "server web2 drain"), "1 connection left\n");
    control(&pen, "server 0 enable");
    for _ in 0..4 {
        assert_eq!(served_by(&pen), "one");
    }
    assert_echoes(&stream);
    assert!(control(&pen, "servers").contains(" name web2 state draining\n"));
    drop(stream);
    wait::until_true("the log says that it has drained", || pen.stderr().contains("has drained: nobody is connected"));
    control(&pen, "server web2 enable");
    control(&pen, "server 0 disable");
    let stream = pen.connect();
    assert_echoes(&stream);
    assert_eq!(control(&pen, "no server web2"), "1 connection left\n");
    assert_eq!(control(&pen, "no server web2"), "error: there is no server 'web2'\n");
    control(&pen, "server 0 enable");
    assert_eq!(served_by(&pen), "one");
    assert_echoes(&stream);
    assert!(control(&pen, "servers").contains("state leaving"));
    drop(stream);
    wait::until_true("it has gone from the list", || control(&pen, "servers").lines().count() == 1);
}

#[test]
fn a_client_has_no_more_connections_than_it_may_have() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&[], &[server.address()]);
    let before = pen.connect();
    assert_echoes(&before);
    assert_eq!(control(&pen, "client_max 2"), "2\n");
    let second = pen.connect();
    assert_echoes(&second);
    assert_eq!(served_by(&pen), "", "the third is sent away");
    let other = pen.connect_from([127, 0, 0, 2]);
    assert_echoes(&other);
    drop(before);
    // The third one may be counted for a moment longer.
    wait::until_true("there is room again", || {
        let mut stream = pen.connect();
        stream.write_all(b"x").is_ok() && again(|| stream.read(&mut [0])).is_ok_and(|count| count == 1)
    });
    wait::until_true("the log says so", || pen.stderr().contains("is refused: it has 2 connections already"));
    control(&pen, "client_max 0");
    control(&pen, "client_rate 3 per 3600");
    let begun = (0..10).filter(|_| {
        let mut stream = pen.connect_from([127, 0, 0, 3]);
        stream.write_all(b"x").is_ok() && again(|| stream.read(&mut [0])).is_ok_and(|count| count == 1)
    });
    assert_eq!(begun.count(), 3);
}

/// One side has ended. Whether the other is ended with it, or can still send.
#[track_caller]
fn has_ended_both(mut ended: &TcpStream, mut other: &TcpStream) -> bool {
    ended.shutdown(Shutdown::Write).unwrap();
    assert_eq!(again(|| other.read(&mut [0; 9])).unwrap(), 0, "the other side is told");
    // A byte that is sent after both have ended reaches nobody.
    if other.write_all(b"late").is_err() {
        return true;
    }
    match again(|| ended.read(&mut [0; 9])) {
        Ok(0) | Err(_) => true,
        Ok(count) => {
            assert_eq!(count, 4);
            false
        }
    }
}

#[test]
fn both_sides_end_at_once_where_tcp_fastclose_says_so() {
    for (when, by_server, by_client) in
        [("off", false, false), ("up", true, false), ("down", false, true), ("both", true, true)]
    {
        let option = format!("tcp_fastclose {when}");
        let options = [&Pen::control_options()[..], &["-O", &option]].concat();
        let (pen, client, server) = Pen::start_with_both_ends(&options);
        assert_eq!(control(&pen, "tcp_fastclose"), format!("{when}\n"));
        assert_eq!(has_ended_both(&server, &client), by_server, "{when}, the server ends");
        let (_pen, client, server) = Pen::start_with_both_ends(&options);
        assert_eq!(has_ended_both(&client, &server), by_client, "{when}, the client ends");
    }
}

#[test]
fn a_reload_applies_what_has_changed_and_nothing_else() {
    let (one, two) = (Server::start(greet("one")), Server::start(greet("two")));
    let scratch = Scratch::new();
    let file = scratch.file("pen.cfg").display().to_string();
    let line = |index: u32, server: &Server| format!("server {index} address 127.0.0.1 port {}\n", port(server));
    let first = format!("blacklist 7\n{}{}", line(0, &one), line(1, &two));
    fs::write(&file, &first).unwrap();
    let mut pen = Pen::start_with_control(&["-r", "-F", &file, "-b", "3"], &[] as &[&str]);
    assert_eq!(control(&pen, "reload"), "nothing has changed\n");
    control(&pen, "timeout 9");
    control(&pen, "server 0 disable");
    assert_eq!(control(&pen, "reload"), "nothing has changed\n");
    assert_eq!(served_by(&pen), "two", "what somebody said meanwhile holds");
    fs::write(&file, format!("blacklist 8\n{}", line(0, &one))).unwrap();
    let reply = control(&pen, "reload");
    let gone = format!("- server 1 address 127.0.0.1 port {} ", port(&two));
    assert!(reply.contains("- blacklist 7\n+ blacklist 8\n") && reply.contains(&gone), "{reply}");
    assert_eq!((control(&pen, "blacklist"), control(&pen, "timeout")), (String::from("8\n"), String::from("9\n")));
    assert_eq!(control(&pen, "servers").lines().count(), 1);
    // A mistake is named, and nothing changes.
    fs::write(&file, "blacklist 9\n\nserver 0 port frob\n").unwrap();
    let message = format!("{file}:3: server: 'frob': 'frob' is not a port or TCP service\n");
    assert_eq!(control(&pen, "reload"), format!("error: {message}"));
    // So is one that is found only when it is tried.
    for (line, why) in [
        ("log /nosuch/x", "cannot open the log /nosuch/x: no such file or directory"),
        ("capture /nosuch/y size 9999", "cannot open the capture /nosuch/y: no such file or directory"),
        ("listener web 192.0.2.1:99", "cannot listen on 192.0.2.1:99: cannot assign requested address"),
        ("on main status_listen 192.0.2.1:99", "cannot listen on 192.0.2.1:99: cannot assign requested address"),
    ] {
        fs::write(&file, format!("blacklist 9\n\n{line}\n")).unwrap();
        assert_eq!(control(&pen, "reload"), format!("error: {file}:3: {why}\n"), "{line}");
    }
    fs::write(&file, "blacklist 9\n\nserver 0 port frob\n").unwrap();
    // It may have been said before. Until it is said again the file is being read, and must stay.
    let times = |pen: &Pen| pen.stderr().matches(&message).count();
    let before = times(&pen);
    pen.process().signal("HUP");
    wait::until_true("the mistake is said", || times(&pen) > before);
    assert_eq!(control(&pen, "blacklist"), "8\n");
    fs::write(&file, &first).unwrap();
    pen.process().signal("HUP");
    wait::until_true("the difference is said", || pen.stderr().contains("reload: + blacklist 7\n"));
    wait::until_true("it holds", || control(&pen, "blacklist") == "7\n");
    assert_eq!(served_by(&pen), "two");
}

#[test]
fn a_reload_changes_how_datagrams_are_carried() {
    let (tcp, udp) = (Server::start(greet("tcp")), Responder::named("udp"));
    let scratch = Scratch::new();
    let file = scratch.file("pen.cfg").display().to_string();
    let to_udp = format!("server 0 address 127.0.0.1 port {}\n", udp.address().port());
    let to_tcp = format!("server 0 address 127.0.0.1 port {}\n", port(&tcp));
    fs::write(&file, format!("protocol udp\nudp_timeout 60\n{to_udp}")).unwrap();
    let pen = Pen::start_with_control(&["-F", &file], &[] as &[&str]);
    let reload = |text: &str| {
        fs::write(&file, text).unwrap();
        control(&pen, "reload")
    };
    let waits_for = |count: usize| {
        let start = format!("main conn {count} ");
        wait::until_true(&start, || control(&pen, "listeners").starts_with(&start));
    };
    let one = client(pen.address());
    assert_eq!(ask(&one, "x"), "udp:x");
    // Other limits hold for those who are there, and what is the same leaves them alone.
    assert_eq!(reload(&format!("protocol udp\nudp_timeout 0\n{to_udp}")), "- udp_timeout 60\n+ udp_timeout 0\n");
    assert_eq!((ask(&one, "x"), udp.peers()), (String::from("udp:x"), 1));
    waits_for(1);
    let reply = reload(&format!("protocol udp\nudp_timeout 1\n{to_udp}"));
    assert_eq!(reply, "- udp_timeout 0\n+ udp_timeout 1\n");
    waits_for(0);
    // One question and one answer: each has a socket, which is given back at once.
    let reply = reload(&format!("protocol udp\nudp_timeout 0\nudp_requests 1\nudp_responses 1\n{to_udp}"));
    let changes = ["udp_timeout 0", "udp_requests 1", "udp_responses 1"].map(|line| format!("+ {line}\n"));
    assert!(changes.iter().all(|line| reply.contains(line)) && reply.lines().count() == 6, "{reply}");
    for _ in 0..2 {
        assert_eq!(ask(&one, "x"), "udp:x");
        waits_for(0);
    }
    // A line that has gone is as if it had never been.
    let now = || ["udp_timeout", "udp_requests", "udp_responses"].map(|name| control(&pen, name));
    assert_eq!(now(), ["0\n", "1\n", "1\n"]);
    reload(&format!("protocol udp\n{to_udp}"));
    assert_eq!(now(), ["180\n", "0\n", "none\n"]);
    // Another protocol is another socket, and each has its own header.
    assert_eq!(ask(&one, "x"), "udp:x");
    let reply = reload(&format!("proxy_protocol v1\n{to_tcp}"));
    assert!(reply.contains("- protocol udp\n+ protocol tcp\n"), "{reply}");
    assert_eq!((served_by(&pen), control(&pen, "protocol")), (String::from("tcp"), String::from("tcp\n")));
    waits_for(0);
    let reply = reload(&format!("proxy_protocol v2\nprotocol udp\n{to_udp}"));
    assert!(reply.contains("+ protocol udp\n") && reply.contains("- proxy_protocol v1\n"), "{reply}");
    assert!(ask(&one, "x").starts_with("udp:\r\n\r\n\0\r\nQUIT\n"));
    // A mistake is named, and nothing changes.
    let reply = reload(&format!("proxy_protocol v1\nprotocol udp\nudp_timeout 5\n{to_udp}"));
    assert_eq!(reply, format!("error: {file}:2: proxy_protocol v1 has no datagrams: for protocol udp it is v2\n"));
    assert_eq!((control(&pen, "udp_timeout"), control(&pen, "proxy_protocol")), ("180\n".into(), "v2\n".into()));
    assert!(ask(&one, "y").ends_with('y'));
}

// Clients all the time, some of them short and some that stay, while the file changes back and forth.
#[test]
fn a_reload_under_load_drops_nothing() {
    let servers = [Server::start(echo), Server::start(echo)];
    let scratch = Scratch::new();
    let file = scratch.file("pen.cfg").display().to_string();
    let text = |round: usize| {
        let lines: Vec<String> = (0..=round % 2)
            .map(|index| format!("server {index} address 127.0.0.1 port {}\n", port(&servers[index])))
            .collect();
        format!("{}blacklist {}\nacl 1 permit 127.0.0.{}\ntimeout 60\n", lines.concat(), round % 5, round % 250)
    };
    fs::write(&file, text(0)).unwrap();
    let mut pen = Pen::start_with_control(&["-r", "-F", &file, "-x", "2000"], &[] as &[&str]);
    let stays: Vec<_> = (0..50).map(|_| pen.connect()).collect();
    stays.iter().for_each(assert_echoes);
    let address = pen.address();
    let (ends, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (ends, done) = (Arc::clone(&ends), Arc::clone(&done));
            thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    assert_echoes(&crate::support::client::connect(address));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 1..=30 {
        fs::write(&file, text(round)).unwrap();
        let before = done.load(Ordering::Relaxed);
        if round % 3 == 0 {
            pen.process().signal("HUP");
            wait::until_true("it holds", || control(&pen, "blacklist") == format!("{}\n", round % 5));
        } else {
            let reply = control(&pen, "reload");
            assert!(reply.contains(&format!("+ blacklist {}\n", round % 5)), "{reply}");
        }
        wait::until_true("clients are served meanwhile", || {
            done.load(Ordering::Relaxed) > before + 5 || clients.iter().any(thread::JoinHandle::is_finished)
        });
    }
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no client was let down");
    }
    stays.iter().for_each(assert_echoes);
    assert!(!pen.process().has_ended());
}

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// A line that is a command, nearly one, or nothing of the sort.
fn random_line(random: &mut Random) -> Vec<u8> {
    const VALUES: &[&str] = &[
        "0",
        "1",
        "9",
        "10",
        "-1",
        "65534",
        "65535",
        "4294967296",
        "127.0.0.1",
        "127.0.0.1:9",
        "::1",
        "[::1]:80",
        "/nosuch/x",
        "permit",
        "deny",
        "10.0.0.0/8",
        "10.0.0.0/33",
        "address",
        "port",
        "max",
        "hard",
        "weight",
        "prio",
        "acl",
        "name",
        "blacklist",
        "enable",
        "disable",
        "drain",
        "web1",
        "emergency",
        "abuse",
        "office",
        "file",
        "per",
        "up",
        "both",
        "off",
        "auto",
        "none",
        "main",
        "no",
        "\"two words\"",
        "\"",
        "#",
        "%n%s",
        "\u{e9}\u{202e}",
        "localhost",
    ];
    let commands: Vec<&str> = pen::control::command::COMMANDS.iter().map(|row| row.name).collect();
    if random.below(20) == 0 {
        return (0..random.below(300)).map(|_| random.below(256) as u8).filter(|byte| *byte != b'\n').collect();
    }
    let mut line = String::from(commands[random.below(commands.len())]);
    for _ in 0..random.below(7) {
        line.push(' ');
        line.push_str(VALUES[random.below(VALUES.len())]);
    }
    line.into_bytes()
}

#[test]
fn ten_thousand_random_lines_leave_pen_serving() {
    let server = Server::start(greet("one"));
    let mut pen = Pen::start_with_control(&[], &[server.address()]);
    let path = pen.directory().file("control");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for count in 0..10_000 {
        let line = random_line(&mut random);
        let mut stream = UnixStream::connect(&path)
            .unwrap_or_else(|error| panic!("line {count}: {error}; {}", String::from_utf8_lossy(&line)));
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        let _ = stream.write_all(&[&line[..], b"\n"].concat());
        let mut reply = BufReader::new(stream);
        let mut first = Vec::new();
        let _ = reply.read_until(b'\n', &mut first);
        // What goes on until the peer goes is not waited for.
        if !first.starts_with(b"time=") {
            let _ = reply.read_to_end(&mut Vec::new());
        }
    }
    assert!(!pen.process().has_ended());
    // Whatever was said, what pen needs can be said again.
    let address = pen.address();
    for line in [
        "no client_rate",
        "client_max 0",
        "client_acl 0",
        "no acl 0",
        "no acl 1",
        "no hash",
        "no prio",
        "no weight",
        "no least",
        "no p2c",
        "no stubborn",
        "no source",
        "conn_max 500",
        "pending_max 100",
        "timeout 5",
        "tcp_fastclose off",
        "debug 0",
        "no log",
        "server 0 blacklist 0 enable max 0 acl none",
    ] {
        let reply = control(&pen, line);
        assert!(!reply.starts_with("error"), "{line}: {reply}");
    }
    control(&pen, &format!("server 0 address 127.0.0.1 port {}", port(&server)));
    assert!(!control(&pen, &format!("listen {address}")).starts_with("error"));
    control(&pen, "roundrobin");
    for index in 1..20 {
        control(&pen, &format!("no server {index}"));
    }
    wait::until_true("a client is served", || served_by(&pen) == "one");
}
