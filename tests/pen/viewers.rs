//! The status port: what is served by HTTP, and what can come to that port besides.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::support::client::{End, connect, connect_from, read_to_end};
use crate::support::metrics::Metrics;
use crate::support::pen::{Pen, run};
use crate::support::report::is_root;
use crate::support::servers::{Server, echo, greet};
use crate::support::wait;
use crate::support::web::{Connection, get};

/// Where the status port is: the system has chosen.
#[track_caller]
fn status_of(pen: &mut Pen) -> SocketAddr {
    let clients = pen.address();
    let others: Vec<SocketAddr> = pen.process().listens_on().into_iter().filter(|at| *at != clients).collect();
    assert!(others.len() == 1 && others[0].ip().is_loopback(), "a port alone is one of this machine: {others:?}");
    others[0]
}

/// A pen with a status port, and where that is.
#[track_caller]
fn start(options: &[&str], servers: &[impl ToString]) -> (Pen, SocketAddr) {
    let mut pen = Pen::start(&[&["-S", "0"], options].concat(), servers);
    let at = status_of(&mut pen);
    (pen, at)
}

/// Sends a word to an echo server behind pen and gets it back.
#[track_caller]
fn assert_echoes(mut stream: &TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello");
}

fn json(at: SocketAddr) -> Value {
    let answer = get(at, "/status.json");
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

#[test]
fn each_path_is_served() {
    let server = Server::start(greet("one"));
    let (pen, at) = start(&[], &[server.address()]);
    let table = [
        ("/", "text/html; charset=utf-8", "<!DOCTYPE html>"),
        ("/status.json", "application/json", "{\"version\":"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP pen_build_info "),
        ("/health", "text/plain; charset=utf-8", "ok\n"),
    ];
    for (path, media_type, begin) in table {
        let answer = get(at, path);
        assert_eq!((answer.code, answer.field("Content-Type")), (200, media_type), "{path}");
        assert!(answer.body.starts_with(begin), "{path}: {}", answer.body);
        assert_eq!(answer.field("Cache-Control"), "no-store");
        assert_eq!(answer.field("X-Content-Type-Options"), "nosniff");
        assert!(answer.field("Date").ends_with(" GMT"), "{}", answer.head);
        let mut connection = Connection::open(at);
        connection.send(format!("HEAD {path} HTTP/1.0\r\n\r\n").as_bytes());
        let head = connection.answer(true);
        assert_eq!((head.code, head.field("Connection")), (200, "close"));
        assert!(head.field("Content-Length").parse::<usize>().unwrap() > 2);
        connection.expect_end();
    }
    assert_eq!(json(at)["pid"], pen.pid());
}

#[test]
fn metrics_grow_from_one_look_to_the_next() {
    let server = Server::start(greet("hello"));
    let (pen, at) = start(&["-r"], &[server.address()]);
    let before = Metrics::read(&get(at, "/metrics").body);
    assert_eq!(read_to_end(&pen.connect()).0, b"hello");
    let done = "pen_connections_closed_total{reason=\"done\"}";
    wait::until_true("the connection is over", || Metrics::read(&get(at, "/metrics").body).value(done) > 0.0);
    let after = Metrics::read(&get(at, "/metrics").body);
    after.assert_grown_from(&before);
    assert_eq!(after.value("pen_server_bytes_total{listener=\"main\",server=\"0\",direction=\"down\"}"), 5.0);
    assert_eq!(after.value("pen_viewers"), 1.0);
}

#[test]
fn what_cannot_be_served_has_an_answer_that_says_so() {
    let (_pen, at) = start(&[], &["127.0.0.1:9"]);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9000));
    let table = [
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, true),
        ("GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 404, true),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd", 405, false),
        ("DELETE /status.json HTTP/1.1\r\nHost: a\r\n\r\n", 405, true),
        ("POST /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 404, false),
        ("GET / HTTP/1.1\r\n\r\n", 400, false),
        ("nonsense\r\n\r\n", 400, false),
        ("\u{16}\u{3}\u{1}\u{2}", 400, false),
        (&long, 431, false),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, false),
    ];
    for (request, code, keeps) in table {
        let mut connection = Connection::open(at);
        connection.send(request.as_bytes());
        let answer = connection.answer(false);
        assert_eq!((answer.code, answer.field("Connection") == "keep-alive"), (code, keeps), "{request}");
        assert!(answer.body.starts_with(&code.to_string()), "{}", answer.body);
        if code == 405 {
            assert_eq!(answer.field("Allow"), "GET, HEAD");
        }
        if keeps {
            connection.send(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert_eq!(connection.answer(false).code, 200);
        }
        connection.expect_end();
    }
}

#[test]
fn one_connection_serves_many_requests_also_at_once_and_after_the_client_has_ended() {
    let (_pen, at) = start(&[], &["127.0.0.1:9"]);
    let mut connection = Connection::open(at);
    let paths = ["/health", "/status.json", "/nothing", "/metrics"];
    let request = |path: &&str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let all: String = paths.iter().cycle().take(200).map(request).collect();
    connection.send(all.as_bytes());
    connection.socket().shutdown(Shutdown::Write).unwrap();
    for path in paths.iter().cycle().take(200) {
        let answer = connection.answer(false);
        assert_eq!(answer.code, if *path == "/nothing" { 404 } else { 200 });
        assert_eq!(answer.field("Connection"), "keep-alive");
    }
    connection.expect_end();
    // A byte at a time.
    let mut connection = Connection::open(at);
    connection.socket().set_nodelay(true).unwrap();
    for _ in 0..2 {
        request(&"/health").bytes().for_each(|byte| connection.send(&[byte]));
        assert_eq!(connection.answer(false).body, "ok\n");
    }
}

#[test]
fn somebody_who_takes_nothing_holds_up_nobody() {
    let server = Server::start(echo);
    let (pen, at) = start(&[], &[server.address()]);
    let lazy = Connection::open(at);
    lazy.socket().set_nonblocking(true).unwrap();
    // Until pen reads no more: the answers fill what there is of buffers.
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    wait::until_true("pen reads no more", || lazy.socket().write(&request).is_err());
    for _ in 0..20 {
        assert_echoes(&pen.connect());
        assert_eq!(get(at, "/health").code, 200);
    }
    assert_eq!(json(at)["viewers"], 2);
}

#[test]
fn of_many_the_oldest_make_room() {
    let server = Server::start(echo);
    let (pen, at) = start(&[], &[server.address()]);
    let mut crowd: Vec<Connection> = (0..100).map(|_| Connection::open(at)).collect();
    assert_eq!(json(at)["viewers"], 16);
    assert_echoes(&pen.connect());
    let mut last = crowd.pop().unwrap();
    last.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(last.answer(false).code, 200);
    crowd[0].expect_end();
    drop(crowd);
    wait::until_true("they are gone", || json(at)["viewers"] == 2);
}

#[test]
fn any_bytes_leave_pen_serving() {
    let server = Server::start(echo);
    let (pen, at) = start(&[], &[server.address()]);
    let words: [&[u8]; 12] = [
        b"GET ",
        b"/",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"Host: a\r\n",
        b"\0",
        b"\xff",
        b"Content-Length: 5\r\n",
        b":",
        b" ",
        b"HEAD",
    ];
    let mut state: u64 = 88_172_645_463_325_252;
    for _ in 0..2_000 {
        let stream = connect(at);
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // pen may have ended it by now.
            let _ = (&stream).write_all(words[(state % 12) as usize]);
        }
    }
    assert_echoes(&pen.connect());
    assert_eq!(get(at, "/health").code, 200);
}

#[test]
fn health_is_bad_without_a_server_and_in_a_drain() {
    let server = Server::start(echo);
    let mut pen = Pen::start_with_control(&["-S", "0"], &[server.address()]);
    let at = status_of(&mut pen);
    assert_eq!((get(at, "/health").code, get(at, "/health").body), (200, String::from("ok\n")));
    pen.obey("server 0 disable");
    let answer = get(at, "/health");
    assert_eq!((answer.code, &*answer.body), (503, "listener main has no server that can be used\n"));
    pen.obey("server 0 enable");
    let client = pen.connect();
    assert_echoes(&client);
    pen.process().signal("QUIT");
    wait::until_true("pen drains", || get(at, "/health").code == 503);
    assert_eq!(get(at, "/health").body, "pen drains, and lets nobody in any more\n");
    assert_eq!(json(at)["standing"], "draining");
    assert_echoes(&client);
    drop(client);
    assert_eq!(pen.process().wait().status.code(), Some(0));
}

#[test]
fn an_access_list_says_who_may_look() {
    let options = ["-S", "0", "-O", "acl 1 permit 127.0.0.2", "-O", "status_acl 1"];
    let mut pen = Pen::start(&options, &["127.0.0.1:9"]);
    let at = status_of(&mut pen);
    let refused = TcpStream::connect(at).unwrap();
    assert_eq!(read_to_end(&refused), (Vec::new(), End::Reset));
    let stream = connect_from([127, 0, 0, 2].into(), at);
    (&stream).write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
    assert!(read_to_end(&stream).0.ends_with(b"\r\n\r\nok\n"));
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let (_pen, at) = start(&[], &["127.0.0.1:9"]);
    let ended = run(&["-f", "-S", &at.port().to_string(), "127.0.0.1:0", "127.0.0.1:9"]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr, format!("pen: cannot listen on {at}: address already in use\n"));
    for (word, why) in [("x", "'x' is not a port"), ("127.0.0.1:99999", "99999"), ("", "port")] {
        let ended = run(&["-f", "-S", word, "127.0.0.1:0", "127.0.0.1:9"]);
        assert_eq!(ended.status.code(), Some(64), "{ended:?}");
        assert!(ended.stderr.starts_with("pen: status address ") && ended.stderr.contains(why), "{ended:?}");
    }
}

#[test]
fn a_command_opens_moves_and_closes_it_and_write_knows() {
    let mut pen = Pen::start_with_control(&["--control-dir", "{dir}"], &["127.0.0.1:9"]);
    assert_eq!(pen.obey("status_listen"), "");
    let first = pen.obey("status_listen 127.0.0.1:0");
    let at: SocketAddr = first.trim_end().parse().unwrap();
    assert_eq!((get(at, "/health").code, pen.obey("status_listen")), (200, first.clone()));
    // A connection that is there stays.
    let mut connection = Connection::open(at);
    connection.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.answer(false).code, 200);
    let second = pen.obey("status_listen ::1:0");
    assert_eq!(get(second.trim_end().parse().unwrap(), "/health").code, 200);
    assert!(TcpStream::connect(at).is_err(), "it has moved");
    connection.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.answer(false).code, 200);
    let taken = pen.penctl(&["status_listen", &pen.address().to_string()]);
    let why = format!("cannot listen on {}: address already in use\n", pen.address());
    assert!(!taken.status.success() && taken.stderr.ends_with(&why), "{taken:?}");
    assert_eq!(pen.obey("status_listen"), second, "it stays where it was");
    pen.obey("write pen.cfg");
    let line = format!("status_listen {second}");
    assert!(pen.directory().read("pen.cfg").contains(&line), "{line}");
    assert_eq!(pen.obey("no status_listen"), "");
    assert_eq!(pen.process().listens_on(), [pen.address()]);
    assert!(pen.directory().read("pen.cfg").contains("status_acl 0\n"));
}

#[test]
fn a_file_opens_it_and_a_reload_moves_it() {
    let user: &[&str] = if is_root() { &["-u", "root"] } else { &[] };
    let script = r#"printf 'status_listen 127.0.0.1:0\n' >{dir}/pen.cfg; exec "$0" "$@""#;
    let options = [user, &["-F", "{dir}/pen.cfg", "-C", "{dir}/control"]].concat();
    let mut pen = Pen::start_under(&["sh", "-c", script], [127, 0, 0, 1].into(), &options, &["127.0.0.1:9"]);
    let at = status_of(&mut pen);
    assert_eq!(get(at, "/health").code, 200);
    assert_eq!(pen.obey("reload"), "nothing has changed\n");
    assert_eq!(status_of(&mut pen), at);
    let clients = pen.address();
    std::fs::write(pen.directory().file("pen.cfg"), format!("blacklist 7\nstatus_listen {clients}\n")).unwrap();
    let refused = pen.penctl(&["reload"]);
    assert!(refused.stderr.contains("address already in use") && pen.obey("blacklist") == "30\n", "{refused:?}");
    assert_eq!(get(at, "/health").code, 200, "nothing changes");
    std::fs::write(pen.directory().file("pen.cfg"), "status_listen 127.0.0.2:0\n").unwrap();
    assert_eq!(pen.obey("reload"), "- status_listen 127.0.0.1:0\n+ status_listen 127.0.0.2:0\n");
    let moved = status_of(&mut pen);
    assert_eq!((moved.ip(), get(moved, "/health").code), ([127, 0, 0, 2].into(), 200));
    std::fs::write(pen.directory().file("pen.cfg"), "").unwrap();
    assert_eq!(pen.obey("reload"), "- status_listen 127.0.0.2:0\n+ no status_listen\n");
    assert_eq!(pen.process().listens_on(), [clients]);
}
