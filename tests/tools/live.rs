//! penlog and penlogd: what they send, what they make of it, and how they live as daemons.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::process::{self, Process};
use crate::support::scratch::Scratch;
use crate::support::{report, wait};
use crate::{PENLOG, PENLOGD, command};

/// A penlogd in the foreground on a port of its own.
struct Daemon {
    process: Process,
    port: u16,
}

/// The UDP ports that are bound on this machine, as the kernel lists them.
fn is_bound(port: u16) -> bool {
    let needle = format!(":{port:04X} ");
    ["/proc/net/udp", "/proc/net/udp6"].iter().any(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .any(|line| line.split_whitespace().nth(1).is_some_and(|local| format!("{local} ").ends_with(&needle)))
    })
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Daemon {
    fn start(directory: &Scratch, options: &[&str]) -> Daemon {
        // Between the choice of a port and the bind another program may take it: then with another one.
        for _ in 0..10 {
            let port = free_port();
            let number = port.to_string();
            let words = [&["-f"], options, &[number.as_str()]].concat();
            let mut process = Process::start(command(PENLOGD, directory, &words), directory, "penlogd");
            if wait::until("penlogd listens, or ends", || match process.has_ended() {
                true => Some(false),
                false => is_bound(port).then_some(true),
            }) {
                return Daemon { process, port };
            }
        }
        panic!("ten ports were all taken");
    }

    fn send(&self, from: &str, datagrams: &[&str]) {
        let socket = UdpSocket::bind((from.parse::<IpAddr>().unwrap(), 0)).unwrap();
        for datagram in datagrams {
            socket.send_to(datagram.as_bytes(), ("127.0.0.1", self.port)).unwrap();
        }
    }
}

fn web(request: &str) -> String {
    format!("127.0.0.1 - - [09/Jan/2002:00:27:50 +0000] \"{request}\" 200 5\n")
}

fn named(client: &str, request: &str) -> String {
    web(request).replacen("127.0.0.1", client, 1)
}

fn pen(client: &str, request: &str) -> String {
    format!("+ {client} 127.0.1.1 {request}\n")
}

#[test]
fn each_request_of_pen_is_credited_to_one_line() {
    let a = "GET /a HTTP/1.0";
    let long = format!("GET /{} HTTP/1.0", "x".repeat(3000));
    let cut = &long[..100];
    // Who sends what, in this order: pen, or the server 127.0.1.1.
    type Sent<'a> = Vec<(&'a str, String)>;
    let table: [(&str, Sent, String); 9] = [
        ("a match", vec![("pen", pen("9.9.9.9", a)), ("127.0.1.1", web(a))], named("9.9.9.9", a)),
        ("another server", vec![("pen", pen("9.9.9.9", a)), ("127.0.1.2", web(a))], web(a)),
        ("the server is quicker", vec![("127.0.1.1", web(a)), ("pen", pen("9.9.9.9", a))], named("9.9.9.9", a)),
        (
            "in order, and used up",
            vec![
                ("pen", pen("9.9.9.9", a)),
                ("pen", pen("::1", a)),
                ("127.0.1.1", web(a)),
                ("127.0.1.1", web(a)),
                ("127.0.1.1", web(a)),
            ],
            named("9.9.9.9", a) + &named("::1", a) + &web(a),
        ),
        ("a long request", vec![("pen", pen("9.9.9.9", cut)), ("127.0.1.1", web(&long))], named("9.9.9.9", &long)),
        ("no request", vec![("127.0.1.1", "no quotes\n".into())], "no quotes\n".into()),
        ("an empty one", vec![("127.0.1.1", web(""))], web("")),
        ("no newline", vec![("127.0.1.1", web(a).trim_end().into())], web(a)),
        (
            "nonsense of all kinds",
            [
                "+",
                "+ ",
                "+ x",
                "+ 9.9.9.9 host GET",
                "+ 9.9.9.9 ::1 ",
                "",
                "\n",
                "\0\u{1}",
                "+ 9.9.9.9 nosuch.invalid x",
            ]
            .iter()
            .map(|text| ("pen", (*text).to_string()))
            .chain([("127.0.1.1", web(a))])
            .collect(),
            format!("\n\0\u{1}\n{}", web(a)),
        ),
    ];
    for (what, datagrams, expected) in table {
        let directory = Scratch::new();
        let mut daemon = Daemon::start(&directory, &["-l", "log"]);
        for (from, datagram) in &datagrams {
            daemon.send(if *from == "pen" { "127.0.0.1" } else { from }, &[datagram]);
        }
        // Datagrams on loopback are in the daemon's queue when the call returns; it takes them before it ends.
        let ended = daemon.process.stop("TERM");
        assert_eq!(ended.status.code(), Some(0), "{what}: {ended:?}");
        assert_eq!(directory.read("log"), expected, "{what}");
    }
}

#[test]
fn lines_are_written_soon_and_what_is_strange_is_told() {
    let directory = Scratch::new();
    let mut daemon = Daemon::start(&directory, &["-b", "-d"]);
    daemon.send("127.0.0.1", &[&pen("9.9.9.9", "GET /a"), "+ rubbish\n"]);
    daemon.send("127.0.1.1", &[&web("GET /a"), "no request\n"]);
    let expected = named("9.9.9.9", "GET /a") + "no request\n";
    wait::until_true("the lines are on standard output", || daemon.process.stdout() == expected);
    let ended = daemon.process.stop("TERM");
    for text in [
        "not what pen sends: + rubbish",
        "no request in the line: no request",
        "1 datagrams were not what pen sends, and are left out",
        "1 lines had no request, and are in the log as they came",
    ] {
        assert!(ended.stderr.contains(text), "{text:?} is not in {}", ended.stderr);
    }
}

#[test]
fn only_the_last_requests_are_remembered() {
    for (most, first, third) in
        [("1", "127.0.0.1", "127.0.0.1"), ("2", "127.0.0.1", "9.9.9.3"), ("4", "9.9.9.1", "9.9.9.3")]
    {
        let directory = Scratch::new();
        let mut daemon = Daemon::start(&directory, &["-l", "log", "-n", most]);
        let requests: Vec<String> = (1..5).map(|at| pen(&format!("9.9.9.{at}"), &format!("GET /{at}"))).collect();
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        daemon.send("127.0.0.1", &requests[..3]);
        // What has been told within the last second is remembered in any case.
        daemon.send("127.0.1.1", &[&web("GET /2")]);
        wait::until_true("a line is written", || directory.read("log") == named("9.9.9.2", "GET /2"));
        let told = Instant::now();
        wait::until_true("a second is over", || told.elapsed() > Duration::from_secs(1));
        daemon.send("127.0.0.1", &requests[3..]);
        daemon.send("127.0.1.1", &[&web("GET /1"), &web("GET /3"), &web("GET /4")]);
        daemon.process.stop("TERM");
        let expected = [("9.9.9.2", 2), (first, 1), (third, 3), ("9.9.9.4", 4)];
        let expected = expected.map(|(client, page)| named(client, &format!("GET /{page}"))).concat();
        assert_eq!(directory.read("log"), expected, "-n {most}");
    }
}

#[test]
fn datagrams_that_nobody_took_in_time_are_counted() {
    let directory = Scratch::new();
    let mut daemon = Daemon::start(&directory, &["-l", "log"]);
    daemon.process.signal("STOP");
    let line = web(&format!("GET /{}", "x".repeat(30_000)));
    let sent = 2_000;
    daemon.send("127.0.1.1", &vec![line.as_str(); sent]);
    daemon.process.signal("CONT");
    let length = || fs::metadata(directory.file("log")).map_or(0, |found| found.len());
    wait::until_true("something is in the log", || length() > 0);
    // The next datagram that gets through tells of the loss.
    wait::until_true("the queue is empty", || {
        daemon.send("127.0.1.1", &["last\n"]);
        fs::read(directory.file("log")).unwrap().ends_with(b"last\n")
    });
    let ended = daemon.process.stop("TERM");
    let text = String::from_utf8(fs::read(directory.file("log")).unwrap()).unwrap();
    let received = text.lines().filter(|line| *line != "last").count();
    assert!(received < sent, "a queue of 60 megabytes?");
    let told = format!("{} datagrams came too fast and are lost", sent - received);
    assert!(ended.stderr.contains(&told), "{told:?} is not in {}", ended.stderr);
}

#[test]
fn it_goes_to_the_background_reopens_its_log_and_removes_its_pid_file() {
    let directory = Scratch::new();
    let port = free_port();
    let number = port.to_string();
    let words = ["-l", "log", "-p", "pid", number.as_str()];
    let ended = Process::run(command(PENLOGD, &directory, &words));
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    let pid: u32 = directory.read("pid").parse().expect("the number and nothing else");
    assert!(is_bound(port), "it listens when it has come back");
    let send = |line: &str| {
        let socket = UdpSocket::bind("127.0.1.1:0").unwrap();
        socket.send_to(line.as_bytes(), ("127.0.0.1", port)).unwrap();
    };
    send("one\n");
    wait::until_true("the line is written", || directory.read("log") == "one\n");
    fs::rename(directory.file("log"), directory.file("log.1")).unwrap();
    send("two\n");
    process::send(pid, "HUP");
    wait::until_true("there is a new log", || directory.file("log").exists());
    send("three\n");
    process::send(pid, "TERM");
    wait::until_true("it ends", || !process::is_alive(pid));
    assert!(!directory.file("pid").exists(), "the pid file is gone");
    assert_eq!(directory.read("log.1") + &directory.read("log"), "one\ntwo\nthree\n");
    assert!(directory.read("log").ends_with("three\n"));
}

#[test]
fn it_gives_up_its_privileges() {
    if !report::is_root() {
        report::not_tested_here("penlogd -j -u", "chroot needs root");
        return;
    }
    let directory = Scratch::new();
    let inside = directory.path().join("inside");
    fs::create_dir(&inside).unwrap();
    std::os::unix::fs::chown(&inside, Some(65_534), None).unwrap();
    let mut daemon = Daemon::start(&directory, &["-j", "inside", "-u", "nobody", "-l", "/log"]);
    daemon.send("127.0.1.1", &["line\n"]);
    wait::until_true("the line is in the jail", || directory.read("inside/log") == "line\n");
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process.pid())).unwrap();
    assert!(status.contains("\nUid:\t65534\t65534\t65534\t65534\n"), "{status}");
    let root = fs::read_link(format!("/proc/{}/root", daemon.process.pid())).unwrap();
    assert_eq!(root, inside);
    daemon.process.stop("TERM");
}

#[test]
fn lines_go_through_penlog_whole() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = server.local_addr().unwrap();
    let port = address.port().to_string();
    let long = "y".repeat(65_506);
    let joined = address.to_string();
    let table: [(&[&str], &str); 4] = [
        (&["127.0.0.1", &port, "127.0.1.7"], "127.0.1.7"),
        (&["localhost", &port], "127.0.0.1"),
        (&[&joined], "127.0.0.1"),
        (&[&joined, "127.0.1.8"], "127.0.1.8"),
    ];
    for (words, from) in table {
        let directory = Scratch::new();
        let mut child =
            command(PENLOG, &directory, words).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().expect("it is piped");
        let mut buffer = vec![0; 70_000];
        // One by one, so that the queue never overflows.
        for line in ["one\n", "a\0b\n", &format!("{long}\n"), &format!("{long}y\n"), "no newline"] {
            pipe.write_all(line.as_bytes()).unwrap();
            if line == "no newline" {
                break;
            }
            let (length, sender) = server.recv_from(&mut buffer).unwrap();
            let expected = if line.len() > 65_507 { format!("{long}\n") } else { line.to_string() };
            assert!(buffer[..length] == *expected.as_bytes(), "{} bytes became {length}", line.len());
            assert_eq!(sender.ip(), from.parse::<IpAddr>().unwrap());
        }
        drop(pipe);
        let (length, _) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"no newline\n");
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said, "penlog: 1 of 5 lines were cut: a datagram has 65507 bytes\n");
        assert!(output.status.success());
    }
}

#[test]
fn penlog_counts_what_nobody_took() {
    let port = free_port().to_string();
    let directory = Scratch::new();
    let line = directory.write("lines", "one\ntwo\nthree\n");
    let script = format!("\"$0\" 127.0.0.1 {port} <{}", line.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(PENLOG);
    let ended = Process::run(command);
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.contains(" of 3 lines were not taken by the other end\n"), "{ended:?}");
}

#[test]
fn mistakes_are_one_line_and_nothing_else() {
    let directory = Scratch::new();
    let table: [(&str, &[&str], i32, &str); 16] = [
        (PENLOG, &[], 64, "penlog: no server and port; try 'penlog --help'"),
        (PENLOG, &["host"], 64, "penlog: no port; try 'penlog --help'"),
        (PENLOG, &["127.0.0.1", "x"], 64, "penlog: 'x' is not a port; try 'penlog --help'"),
        (PENLOG, &["127.0.0.1", "0"], 64, "penlog: '0' is not a port; try 'penlog --help'"),
        (PENLOG, &["127.0.0.1", "9", "own"], 64, "penlog: 'own' is not an address; try 'penlog --help'"),
        (
            PENLOG,
            &["127.0.0.1", "9", "192.0.2.1"],
            1,
            "penlog: cannot send from 192.0.2.1: cannot assign requested address",
        ),
        (PENLOGD, &[], 64, "penlogd: no port; try 'penlogd --help'"),
        (PENLOGD, &["abc"], 64, "penlogd: 'abc' is not a port or address:port; try 'penlogd --help'"),
        (PENLOGD, &["0"], 64, "penlogd: '0' is not a port or address:port; try 'penlogd --help'"),
        (PENLOGD, &["-z"], 64, "penlogd: invalid option '-z'; try 'penlogd --help'"),
        (PENLOGD, &["-n", "0", "9"], 64, "penlogd: -n: 0 is not within 1 to 10000000"),
        (PENLOGD, &["-n", "-5", "9"], 64, "penlogd: -n: '-5' is not a number"),
        (PENLOGD, &["1", "2"], 64, "penlogd: more than one port; try 'penlogd --help'"),
        (
            PENLOGD,
            &["-f", "-l", "/nosuch/x", "PORT"],
            1,
            "penlogd: cannot open the log /nosuch/x: no such file or directory",
        ),
        (PENLOGD, &["-f", "-u", "nosuchuser", "PORT"], 78, "penlogd: there is no user 'nosuchuser'"),
        (PENLOGD, &["-l", "/nosuch/x", "PORT"], 1, "penlogd: cannot open the log /nosuch/x: no such file or directory"),
    ];
    for (program, words, status, message) in table {
        let port = free_port().to_string();
        let words: Vec<&str> = words.iter().map(|word| if *word == "PORT" { port.as_str() } else { word }).collect();
        let ended = Process::run(command(program, &directory, &words));
        assert_eq!(ended.status.code(), Some(status), "{words:?}: {ended:?}");
        assert_eq!((ended.stdout.as_str(), ended.stderr), ("", format!("{message}\n")), "{words:?}");
    }
    // TEST-NET-1 (RFC 5737) is nobody's, so it is no address of this machine.
    let ended = Process::run(command(PENLOGD, &directory, &["-f", "192.0.2.1:10000"]));
    assert_eq!(ended.stderr, "penlogd: cannot listen on UDP port 192.0.2.1:10000: cannot assign requested address\n");
    let taken = UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = Process::run(command(PENLOGD, &directory, &["-f", &port]));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.stderr, format!("penlogd: cannot listen on UDP port {port}: address already in use\n"));
}
