//! Sockets that somebody else has opened for pen, as systemd does.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use crate::support::client::{ask, bounded, connect, read_to_end};
use crate::support::pen::program;
use crate::support::process::{self, Process};
use crate::support::report::is_root;
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, greet, hold};
use crate::support::wait;

/// Starts pen with a socket as descriptor 3, and with the variables that say so.
#[track_caller]
fn activated(socket: impl Into<OwnedFd>, name: &str, words: &[&str], scratch: &Scratch) -> Process {
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" -f \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program()).args(words).env("LISTEN_FDNAMES", name);
    Process::start_with(command, Stdio::from(socket.into()), scratch, "pen")
}

/// A listening socket, and a copy that stays with whoever supervises pen.
fn socket() -> (TcpListener, TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap().to_string();
    (socket.try_clone().unwrap(), socket, at)
}

/// Upgrades, and returns the number of the process that serves from then on.
#[track_caller]
fn upgrade(pen: &mut Process, scratch: &Scratch) -> u32 {
    let number = || scratch.read("pid").parse::<u32>().ok();
    let before = wait::until("there is a pid file", number);
    pen.signal("USR2");
    let ended = pen.wait();
    assert!(ended.status.success(), "{ended:?}");
    let after = wait::until("there is a pid file", number);
    assert_ne!(before, after);
    after
}

#[test]
fn a_socket_that_was_passed_is_used_also_as_another_user() {
    let scratch = Scratch::new();
    let (kept, passed, at) = socket();
    // Somebody came before pen was there.
    let early = connect(kept.local_addr().unwrap());
    let server = Server::start(greet("hello"));
    let address = server.address().to_string();
    let user: &[&str] = if is_root() { &["-u", "nobody"] } else { &[] };
    let _pen = activated(passed, "pen.socket", &[user, &[&at, &address]].concat(), &scratch);
    assert_eq!(read_to_end(&early).0, b"hello");
    assert_eq!(read_to_end(&connect(kept.local_addr().unwrap())).0, b"hello");
}

#[test]
fn a_socket_is_found_by_its_address_or_by_the_listeners_name_also_after_an_upgrade() {
    // One address is not this machine's: nothing can be opened there.
    for (name, written) in [("pen.socket", None), ("main", Some("192.0.2.1:80"))] {
        let scratch = Scratch::new();
        let (kept, passed, at) = socket();
        let server = Server::start(greet("hello"));
        let pid = scratch.file("pid").display().to_string();
        let words = ["-p", &pid, written.unwrap_or(&at), &server.address().to_string()];
        let mut pen = activated(passed, name, &words, &scratch);
        let address = kept.local_addr().unwrap();
        assert_eq!(read_to_end(&connect(address)).0, b"hello");
        let successor = upgrade(&mut pen, &scratch);
        assert_eq!(read_to_end(&connect(address)).0, b"hello");
        // What was said to the first process is said to nobody else.
        let variables = fs::read(format!("/proc/{successor}/environ")).unwrap();
        assert!(!String::from_utf8_lossy(&variables).contains("LISTEN_"), "{name}");
        process::send(successor, "TERM");
        wait::until_true("it has ended", || !process::is_alive(successor));
    }
}

#[test]
fn who_waits_at_a_socket_that_pen_has_left_costs_pen_nothing() {
    let scratch = Scratch::new();
    let (kept, passed, at) = socket();
    let server = Server::start(hold);
    let mut pen = activated(passed, "", &["-d", &at, &server.address().to_string()], &scratch);
    let held = connect(kept.local_addr().unwrap());
    wait::until_true("it is served", || server.open() == 1);
    pen.signal("QUIT");
    wait::until_true("pen listens no more", || {
        !fs::read_dir(format!("/proc/{}/fd", pen.pid())).unwrap().flatten().any(|entry| entry.file_name() == "3")
    });
    let _late = connect(kept.local_addr().unwrap());
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pen.pid())).unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum()
    };
    let before = ticks();
    let nothing = wait::within(std::time::Duration::from_millis(500), || (ticks() > before + 10).then_some(()));
    assert!(nothing.is_none(), "pen is busy with somebody whom it cannot let in");
    drop(held);
    pen.stop("TERM");
}

#[test]
fn datagrams_and_unix_sockets_can_be_passed_too() {
    let scratch = Scratch::new();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let words = ["-U", &format!("0.0.0.0:{port}"), &server.local_addr().unwrap().to_string()];
    let _pen = activated(socket, "dns", &words, &scratch);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    // The answer comes from the address that was asked, of all those of the socket.
    client.connect(("127.0.0.9", port)).unwrap();
    client.send(b"question").unwrap();
    let mut buffer = [0; 100];
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"question");
    server.send_to(b"answer", from).unwrap();
    let count = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"answer");

    let path = scratch.file("socket");
    let server = Server::start(greet("hello"));
    let words = [path.display().to_string(), server.address().to_string()];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let other = Scratch::new();
    let mut pen = activated(UnixListener::bind(&path).unwrap(), "", &words, &other);
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut &stream, &mut text).unwrap();
    assert_eq!(text, "hello");
    pen.stop("TERM");
    assert!(path.exists(), "the file belongs to whoever has made it");
}

#[test]
fn commands_arrive_at_a_socket_that_was_passed() {
    let scratch = Scratch::new();
    let path = scratch.file("control").display().to_string();
    let user: &[&str] = if is_root() { &["-u", "root"] } else { &[] };
    let words = [user, &["-C", &path, "127.0.0.1:0", "127.0.0.1:1"]].concat();
    let _pen = activated(UnixListener::bind(&path).unwrap(), "", &words, &scratch);
    let mut command = Command::new(env!("CARGO_BIN_EXE_penctl"));
    command.args([&path, "listeners"]);
    let ended = Process::run(command);
    assert!(ended.status.success() && ended.stdout.contains("127.0.0.1:"), "{ended:?}");
}

#[test]
fn viewers_arrive_at_a_socket_that_was_passed_also_after_an_upgrade() {
    // One address is not this machine's: nothing can be opened there.
    for (name, written) in [("", None), ("status", Some("192.0.2.1:80"))] {
        let scratch = Scratch::new();
        let (kept, passed, at) = socket();
        let server = Server::start(greet("hello"));
        let pid = scratch.file("pid").display().to_string();
        let words = ["-p", &pid, "-S", written.unwrap_or(&at), "127.0.0.2:0", &server.address().to_string()];
        let mut pen = activated(passed, name, &words, &scratch);
        let health = || ask(&connect(kept.local_addr().unwrap()), b"GET /health HTTP/1.0\r\n\r\n");
        assert!(health().starts_with("HTTP/1.1 200 "), "{}", health());
        let successor = upgrade(&mut pen, &scratch);
        assert!(health().starts_with("HTTP/1.1 200 "), "{}", health());
        process::send(successor, "TERM");
        wait::until_true("it has ended", || !process::is_alive(successor));
    }
}

#[test]
fn a_socket_that_cannot_be_used_is_named() {
    let unwanted = |socket: OwnedFd, words: &[&str]| {
        let scratch = Scratch::new();
        let ended = activated(socket, "web", words, &scratch).wait();
        assert_eq!(ended.status.code(), Some(78), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        ended.stderr
    };
    let (_kept, passed, at) = socket();
    assert_eq!(
        unwanted(passed.into(), &["127.0.0.2:0", "127.0.0.1:1"]),
        format!(
            "pen: socket 'web' for connections at {at}, passed by LISTEN_FDS: pen listens neither there nor by that name\n"
        )
    );
    let (_kept, passed, at) = socket();
    assert_eq!(
        unwanted(passed.into(), &["-U", &at, "127.0.0.1:1"]),
        format!("pen: socket 'web' for connections at {at}, passed by LISTEN_FDS: pen takes datagrams there\n")
    );
    let (kept, _passed, at) = socket();
    let connected = bounded(connect(kept.local_addr().unwrap()));
    for (other, why) in [
        (OwnedFd::from(connected), "it is not a listening socket"),
        (fs::File::open("/dev/null").unwrap().into(), "socket operation on non-socket"),
    ] {
        let said = unwanted(other, &[&at, "127.0.0.1:1"]);
        assert_eq!(said, format!("pen: descriptor 3 'web', passed by LISTEN_FDS: {why}\n"));
    }
}
