//! The control port: commands to a running pen, and what can come to that port besides.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::client::{End, connect, read_to_end};
use crate::support::pen::Pen;
use crate::support::process::{Ended, Process};
use crate::support::report::is_root;
use crate::support::scratch::Scratch;
use crate::support::servers::{Blackhole, Server, echo, greet, hold};
use crate::support::wait;

/// A pen whose control port is the Unix socket `ctl` in its directory.
#[track_caller]
fn start(options: &[&str], servers: &[impl ToString]) -> Pen {
    start_at("{dir}/ctl", options, servers)
}

/// A pen with a control port.
#[track_caller]
fn start_at(control: &str, options: &[&str], servers: &[impl ToString]) -> Pen {
    // As root pen opens a control port only if it is told to stay root.
    let user: &[&str] = if is_root() { &["-u", "root"] } else { &[] };
    Pen::start(&[&["-C", control], user, options].concat(), servers)
}

/// A connection to the control port.
#[track_caller]
fn open(pen: &Pen) -> UnixStream {
    let stream = UnixStream::connect(pen.directory().file("ctl")).expect("the control port is open");
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a socket takes a time-out");
    stream
}

/// The reply to what is sent, and whether it ended with a reset.
#[track_caller]
fn talk(pen: &Pen, sent: &[u8]) -> (String, End) {
    let mut stream = open(pen);
    // A peer that is cut off may not have read everything.
    let _ = stream.write_all(sent);
    let mut reply = Vec::new();
    let end = match stream.read_to_end(&mut reply) {
        Ok(_) => End::Finished,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => End::Reset,
        Err(error) => panic!("no reply to {:?}: {error}", String::from_utf8_lossy(sent)),
    };
    (String::from_utf8_lossy(&reply).into_owned(), end)
}

/// The reply to a command.
#[track_caller]
fn control(pen: &Pen, command: &str) -> String {
    let (reply, end) = talk(pen, format!("{command}\n").as_bytes());
    assert_eq!(end, End::Finished, "{command}: {reply}");
    reply
}

/// A client is served: `name` is what its server says.
#[track_caller]
fn assert_served(pen: &Pen, name: &str) {
    assert_eq!(String::from_utf8_lossy(&read_to_end(&pen.connect()).0), name);
}

/// Sends a word to an echo server behind pen and gets it back.
#[track_caller]
fn assert_echoes(mut stream: &TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello");
}

#[test]
fn commands_are_answered() {
    let server = Server::start(greet("one"));
    let mut pen = start(&[], &[server.address()]);
    let pid = pen.process().pid();
    assert_eq!(control(&pen, "pid"), format!("{pid}\n"));
    assert_eq!(control(&pen, "listen"), format!("{}\n", pen.address()));
    assert_eq!(control(&pen, "control"), format!("{}\n", pen.directory().file("ctl").display()));
    assert_eq!(control(&pen, "blacklist 7"), "7\n");
    assert_eq!(control(&pen, "blacklist"), "7\n");
    assert_eq!(control(&pen, "mode"), "no hash no roundrobin no stubborn no weight no prio\n");
    for (command, reply) in
        [("pending_max", "100\n"), ("tcp_fastclose", "off\n"), ("http", "http\n"), ("no http", "tcp\n")]
    {
        assert_eq!(control(&pen, command), reply, "{command}");
    }
    // Of what is then in force, as the manual says.
    let none = "check ftp_address http_trust proxy_accept proxy_protocol queue udp_responses";
    let nothing = "capture client_rate fault keepalive log route status_listen web_stats";
    for (commands, reply) in [(none, "none\n"), ("ftp_ports", "any\n"), ("ftp", "tcp\n"), (nothing, "")] {
        for command in commands.split(' ') {
            assert_eq!(control(&pen, &format!("no {command}")), reply, "no {command}");
        }
    }
    for command in ["conn_max 10", "clients_max 10"] {
        assert_eq!(control(&pen, command), "10\n", "{command}");
    }
    assert_served(&pen, "one");
    let port = server.address().port();
    let line = format!("0 addr 127.0.0.1 port {port} conn 0 max 0 hard 0 weight 0 prio 0 sx 0 rx 3\n");
    wait::until_true("the connection is over and counted", || control(&pen, "servers") == line);
    assert_eq!(control(&pen, "recent"), "127.0.0.1 connects 1 sx 3 rx 0\n");
    assert_eq!(control(&pen, "frob"), "error: unknown command 'frob'\n");
}

#[test]
fn a_line_may_come_in_any_number_of_pieces_and_end_in_several_ways() {
    let pen = start(&[], &[] as &[&str]);
    let mut stream = open(&pen);
    for piece in ["bla", "ckl", "ist 9", "\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        // The reply to another command shows that pen has had time for this piece.
        control(&pen, "pid");
    }
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "9\n");
    for sent in ["blacklist\n", "blacklist\r\n", "blacklist\0", "\tblacklist  \n", "blacklist\ntimeout\n"] {
        assert_eq!(talk(&pen, sent.as_bytes()), (String::from("9\n"), End::Finished), "{sent:?}");
    }
    let mut stream = open(&pen);
    stream.write_all(b"blacklist").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "9\n");
    assert_eq!(talk(&pen, b"\nblacklist\n"), (String::new(), End::Finished));
}

// B3: pen 0.34.1 stands still as long as somebody is connected to the control port and says nothing.
#[test]
fn b3_nobody_at_the_control_port_holds_anybody_up() {
    let server = Server::start(echo);
    let pen = start(&[], &[server.address()]);
    let stream = pen.connect();
    let silent: Vec<UnixStream> = (0..40).map(|_| open(&pen)).collect();
    assert_echoes(&stream);
    // More than sixteen have come: the oldest made room, and so there is room for a command.
    assert_eq!(control(&pen, "blacklist"), "30\n");
    let mut half: Vec<UnixStream> = (0..10).map(|_| open(&pen)).collect();
    for half in &mut half {
        half.write_all(b"server 0 max").unwrap();
    }
    // One that does not read its reply, which is larger than any buffer.
    let many: Vec<String> = (1..20_000).map(|n| format!("server {n} address 127.0.0.1 port 1\n")).collect();
    pen.directory().write("many", &many.concat());
    assert_eq!(control(&pen, "include many"), "");
    let mut deaf = open(&pen);
    deaf.write_all(b"servers\n").unwrap();
    let mut garbled = open(&pen);
    let _ = garbled.write_all(&[0xff; 100_000]);
    assert_echoes(&stream);
    assert_echoes(&pen.connect());
    assert_eq!(control(&pen, "blacklist"), "30\n");
    drop((silent, half, deaf));
}

#[test]
fn who_does_not_finish_a_line_in_ten_seconds_is_cut_off_and_not_obeyed() {
    let pen = start(&[], &[] as &[&str]);
    let begun = Instant::now();
    let (silent, mut half) = (open(&pen), open(&pen));
    half.write_all(b"blacklist 9").unwrap();
    for mut stream in [silent, half] {
        let end = stream.read(&mut [0]);
        let is_over = matches!(&end, Ok(0)) || end.as_ref().is_err_and(|why| why.kind() == ErrorKind::ConnectionReset);
        assert!(is_over, "{end:?}");
    }
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(control(&pen, "blacklist"), "30\n");
}

// B4: each of these ends pen 0.34.1 or takes all memory there is.
#[test]
fn b4_no_command_ends_pen() {
    let server = Server::start(greet("one"));
    let mut pen = start(&[], &[server.address()]);
    let itself = pen.directory().file("itself").display().to_string();
    pen.directory().write("itself", &format!("blacklist 77\ninclude {itself}\n"));
    let include = format!("include {itself}");
    let long = format!("server 0 {}", "max 3 ".repeat(20_000));
    let table = [
        ("no acl", "no acl: the number or name of a list is missing"),
        ("source", "source: an address is missing"),
        ("ssl_ocsp_response", "'ssl_ocsp_response' is not in this pen"),
        ("ssl_client_renegotiation_interval", "'ssl_client_renegotiation_interval' is not in this pen"),
        ("server 2147483647 address 127.0.0.1", "server: 2147483647 is not within 0 to 65534"),
        ("server 999999999 port 1", "server: 999999999 is not within 0 to 65534"),
        ("conn_max -1", "conn_max: -1 is not within 1 to 1000000"),
        ("conn_max 2000000000", "conn_max: 2000000000 is not within 1 to 1000000"),
        ("clients_max 2000000000", "clients_max: 2000000000 is not within 1 to 16777216"),
        (&include, &format!("{itself}:2: {itself} includes itself")),
        ("server 0 acl 10", "server: '10' is not an access list, 0 to 9 or a name"),
        ("listen BAD", "listen: 'BAD': 'BAD' is not a port or TCP service"),
        ("listen 192.0.2.1:1", "cannot listen on 192.0.2.1:1: cannot assign requested address"),
        ("listen nosuch.invalid:1", "no such host 'nosuch.invalid'"),
        ("log /nosuch/log", "cannot open the log /nosuch/log: no such file or directory"),
        ("timeout 0", "timeout: 0 is not within 1 to 2147483647"),
        ("write /nosuch/file", "cannot write /nosuch/file: no such file or directory"),
        ("write", "no file, and pen was started without -F"),
        ("%n%n%s", "unknown command '%n%n%s'"),
        (&long, "the line is longer than 4096 bytes"),
    ];
    for (line, message) in table {
        let reply = control(&pen, line);
        // A machine without a name service cannot tell that a name does not exist.
        let no_service = reply == "error: the name service does not answer for 'nosuch.invalid'\n";
        assert!(no_service || reply == format!("error: {message}\n"), "{line}: {reply}");
    }
    assert_eq!(control(&pen, "blacklist"), "30\n", "a file that is refused changes nothing");
    for garbage in [&[0; 50_000][..], &[0xff; 50_000], b"\x1b[2J\n", "é\u{202e}\n".as_bytes()] {
        talk(&pen, garbage);
    }
    assert_served(&pen, "one");
    assert!(!pen.process().has_ended());
}

#[test]
fn the_listener_moves_and_connections_go_on() {
    let server = Server::start(echo);
    let pen = start(&[], &[server.address()]);
    let before = pen.connect();
    assert_echoes(&before);
    let moved = control(&pen, "listen localhost:0");
    let moved: SocketAddr = moved.trim_end().parse().expect("the reply is an address with its port");
    assert_ne!(moved.port(), 0);
    assert_eq!(control(&pen, "listen"), format!("{moved}\n"));
    assert_echoes(&connect(moved));
    assert_echoes(&before);
    assert!(TcpStream::connect(pen.address()).is_err(), "nobody listens at the old address");
    // One that cannot be had: the present one stays.
    let taken = format!("listen {}", server.address());
    let refusal = format!("error: cannot listen on {}: address already in use\n", server.address());
    assert_eq!(control(&pen, &taken), refusal);
    assert_eq!(control(&pen, "listen"), format!("{moved}\n"));
    assert_eq!(control(&pen, &format!("listen {moved}")), format!("{moved}\n"), "it is there already");
    assert_echoes(&connect(moved));
}

#[test]
fn the_log_moves_and_stops() {
    let server = Server::start(echo);
    let pen = start(&["-l", "first"], &[server.address()]);
    let say = |text: &str| {
        let mut stream = pen.connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(&stream);
    };
    say("one\n");
    assert_eq!(control(&pen, "log"), "first\n");
    assert_eq!(control(&pen, "log second"), "second\n");
    say("two\n");
    assert!(control(&pen, "log /nosuch/third").starts_with("error: "));
    assert_eq!(control(&pen, "log"), "second\n");
    say("three\n");
    assert_eq!(control(&pen, "no log"), "");
    assert_eq!(control(&pen, "log"), "");
    say("four\n");
    let texts = |name| -> Vec<String> {
        let text = pen.directory().read(name);
        text.lines().filter_map(|line| line.rsplit(' ').next().map(String::from)).collect()
    };
    wait::until_true("the records are in the logs", || texts("second").len() >= 2);
    assert_eq!((texts("first"), texts("second")), (vec![String::from("one")], vec!["two".into(), "three".into()]));
}

#[test]
fn connections_are_described_and_closed() {
    let server = Server::start(echo);
    let pen = start(&["-x", "100"], &[server.address()]);
    assert!(control(&pen, "connection 0").contains("state = 0\ndownfd = -1, upfd = -1\n"));
    let stream = pen.connect();
    assert_echoes(&stream);
    let text = control(&pen, "connection 0");
    assert!(text.starts_with("Connection 0:\nstate = 2\ndownfd = "), "{text}");
    assert!(text.ends_with("\nclient = 0, server = 0\npend = 0\n"), "{text}");
    assert_eq!(control(&pen, "close 1"), "error: Connection 1 is not in use\n");
    assert_eq!(control(&pen, "close 100"), "error: Connection 100 out of range\n");
    assert_eq!(control(&pen, "close 0"), "Forcibly closing connection 0\n");
    assert_eq!(read_to_end(&stream), (Vec::new(), End::Finished), "a quiet connection ends in order");
    assert!(control(&pen, "servers").contains(" conn 0 "));
}

// B26: with pen 0.34.1 a limit above the number of connections never comes, and half-closed ones stay.
#[test]
fn b26_a_limit_of_silence_holds_for_the_connections_that_there_are() {
    let server = Server::start(hold);
    let pen = start(&["-x", "2"], &[server.address()]);
    let (stream, half) = (pen.connect(), pen.connect());
    half.shutdown(Shutdown::Write).unwrap();
    wait::until_true("both are connected", || server.open() == 2);
    assert_eq!(control(&pen, "idle_timeout 3"), "Idle timeout: 3 seconds\n");
    assert_eq!(read_to_end(&stream).0, b"");
    assert_eq!(read_to_end(&half).0, b"");
    wait::until_true("the places are free again", || control(&pen, "servers").contains(" conn 0 "));
}

#[test]
fn more_room_lets_waiting_clients_in_at_once() {
    let server = Server::start(echo);
    let pen = start(&["-x", "1"], &[server.address()]);
    let first = pen.connect();
    assert_echoes(&first);
    let second = pen.connect();
    (&second).write_all(b"hello").unwrap();
    assert!(control(&pen, "connection 1").starts_with("error: "));
    assert_eq!(server.served(), 1, "there is no room for the second");
    assert_eq!(control(&pen, "conn_max 2"), "2\n");
    let mut echoed = [0; 5];
    (&second).read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello");
}

#[test]
fn servers_come_and_change_while_pen_runs() {
    let (one, two) = (Server::start(greet("one")), Server::start(greet("two")));
    let pen = start(&["-r"], &[one.address()]);
    // The name is looked up by another process; until then there is no such server.
    control(&pen, &format!("server 1 address localhost port {}", two.address().port()));
    control(&pen, "server 0 blacklist 1000");
    wait::until_true("the name has an address", || control(&pen, "servers").contains("\n1 addr 127.0.0.1 "));
    assert_served(&pen, "two");
    control(&pen, "server 0 blacklist 0");
    control(&pen, "server 1 max 9 blacklist 1000");
    assert_served(&pen, "one");
    assert!(control(&pen, "servers").contains(" max 9 "));
    let id = format!("server 0 address {} port {}", two.address().ip(), two.address().port());
    control(&pen, &id);
    assert_served(&pen, "two");
}

#[test]
fn a_file_is_obeyed_whole_or_not_at_all() {
    let server = Server::start(greet("one"));
    let pen = start(&[], &[] as &[&str]);
    let port = server.address().port();
    pen.directory().write("bad", "roundrobin\nserver 0 address 127.0.0.1\nserver 4 max 3\n");
    pen.directory().write("inner", &format!("server 0 address 127.0.0.1 port {port}\nblacklist\n"));
    pen.directory().write("good", "# servers\ninclude inner\nroundrobin\nmode\n");
    assert_eq!(control(&pen, "include bad"), "error: bad:3: server 4 has no address yet\n");
    assert_eq!(control(&pen, "servers"), "");
    assert_eq!(control(&pen, "include good"), "30\nno hash roundrobin no stubborn no weight no prio\n");
    assert_served(&pen, "one");
    assert_eq!(control(&pen, "include nosuch"), "error: cannot read nosuch: no such file or directory\n");
}

#[test]
fn a_file_of_which_one_line_fails_when_it_is_tried_changes_nothing() {
    let server = Server::start(greet("one"));
    let pen = start(&["-l", "{dir}/log"], &[server.address()]);
    let listen = control(&pen, "listen");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (busy, free) = (taken.local_addr().unwrap(), "127.0.0.1:0");
    let log = control(&pen, "log");
    // Each begins with lines that would succeed by themselves.
    let sound = format!("roundrobin\nblacklist 7\nclients_max 9\nserver 0 max 3\nlog other.log\nlisten {free}\n");
    let table = [
        (format!("listen {busy}"), format!("cannot listen on {busy}: address already in use")),
        (String::from("log nosuch/log"), String::from("cannot open the log nosuch/log: no such file or directory")),
        (String::from("listen nosuch.invalid:80"), String::from("no such host 'nosuch.invalid'")),
        (String::from("close 7"), String::from("Connection 7 is not in use")),
        (String::from("dummy"), String::from("dummy: only at the start")),
        (String::from("clients_max 7\nclose 3"), String::from("Connection 3 is not in use")),
    ];
    for (line, why) in &table {
        let number = 7 + line.matches('\n').count();
        pen.directory().write("some", &format!("{sound}{line}\nhash\n"));
        let reply = control(&pen, "include some");
        // Without a name service nobody can say that there is no such host.
        let other = format!("error: some:{number}: the name service does not answer for 'nosuch.invalid'\n");
        assert!(reply == format!("error: some:{number}: {why}\n") || reply == other, "{reply}");
        assert_eq!(control(&pen, "mode"), "no hash no roundrobin no stubborn no weight no prio\n", "{line}");
        assert_eq!(control(&pen, "blacklist"), "30\n", "{line}");
        assert_eq!(control(&pen, "clients_max"), "2048\n", "{line}");
        assert_eq!((control(&pen, "listen"), control(&pen, "log")), (listen.clone(), log.clone()), "{line}");
        assert!(control(&pen, "servers").contains(" max 0 "), "{line}");
        assert_served(&pen, "one");
    }
    // The sound lines by themselves.
    pen.directory().write("some", &sound);
    let reply = control(&pen, "include some");
    assert!(reply.starts_with("7\n9\nother.log\n127.0.0.1:"), "{reply}");
    assert_eq!((control(&pen, "clients_max"), control(&pen, "log")), ("9\n".into(), "other.log\n".into()));
    assert_ne!(control(&pen, "listen"), listen);
}

#[test]
fn a_peer_that_the_list_refuses_is_reset_and_unix_sockets_are_not_refused() {
    let options = ["-O", "acl 1 permit 127.0.0.9", "-O", "control_acl 1"];
    let mut pen = start_at("127.0.0.1:0", &options, &[] as &[&str]);
    let own = pen.address();
    let port = pen.process().listens_on().into_iter().find(|at| *at != own).expect("the control port is open");
    // The reset may come at any moment, and so to any of these calls.
    let refused = TcpStream::connect(port).and_then(|mut stream| {
        stream.write_all(b"pid\n")?;
        stream.read_to_end(&mut Vec::new())
    });
    assert!(refused.is_err(), "{refused:?}");
    pen.process().wait_for_stderr("control: 127.0.0.1:");
    let permitted = crate::support::client::connect_from("127.0.0.9".parse().unwrap(), port);
    assert_eq!(crate::support::client::ask(&permitted, b"control_acl\n"), "1\n");
    let pen = start(&options, &[] as &[&str]);
    assert_eq!(control(&pen, "control_acl"), "1\n");
}

#[test]
fn exit_needs_its_option() {
    let pen = start(&[], &[] as &[&str]);
    assert_eq!(control(&pen, "exit"), "error: Exit is not enabled; restart with -X flag\n");
    assert_eq!(control(&pen, "blacklist"), "30\n");
    let mut pen = start(&["-X"], &[] as &[&str]);
    assert_eq!(control(&pen, "exit"), "");
    assert!(pen.process().wait().status.success());
}

#[test]
fn dumps_are_switched_while_a_connection_is_open() {
    let server = Server::start(echo);
    let pen = start(&[], &[server.address()]);
    let stream = pen.connect();
    assert_echoes(&stream);
    assert_eq!(control(&pen, "debug 2"), "2\n");
    assert_echoes(&stream);
    wait::until_true("the dump is there", || pen.stderr().contains("copy_up(0)\n5: hello\n"));
    control(&pen, "no ascii");
    assert_echoes(&stream);
    wait::until_true("the columns are there", || pen.stderr().contains("00000000  68 65 6c 6c 6f "));
    assert_eq!(control(&pen, "debug 0"), "0\n");
}

// B25: pen 0.34.1 shows garbage in place of each client.
#[test]
fn b25_usr1_shows_servers_clients_and_connections() {
    let server = Server::start(echo);
    let mut pen = start(&[], &[server.address()]);
    let stream = pen.connect();
    assert_echoes(&stream);
    pen.process().signal("USR1");
    pen.process().wait_for_stderr("Connection 0 status:");
    let port = server.address().port();
    wait::until_true("all is said", || pen.stderr().ends_with("client 0, server 0\n\n"));
    let said = pen.stderr();
    let blocks = [
        String::from(", 1 servers, 0 current\n"),
        format!(
            "Server 0 status:\naddress 127.0.0.1\n0\nport {port}\n1 connections (0 soft, 0 hard)\n5 sent, 5 received\n\n"
        ),
        String::from("Max number of clients: 2048\n"),
        String::from("Active clients:\n"),
        String::from("Client 0 status:\naddress 127.0.0.1\nage "),
        String::from(" seconds\nlast server 0\n1 connects\n5 sent, 5 received\n\n"),
        String::from("Max number of connections: 500\n"),
        String::from("Active connections:\n"),
        String::from("\npending data 0 down, 0 up\nclient 0, server 0\n\n"),
    ];
    let mut rest = said.as_str();
    for block in &blocks {
        let Some(place) = rest.find(block) else { panic!("no {block:?} where it should be in {said}") };
        rest = &rest[place + block.len()..];
    }
    assert_echoes(&stream);
}

/// Runs penctl.
#[track_caller]
fn penctl(words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penctl"));
    command.args(words);
    Process::run(command)
}

// B27: penctl 0.34.1 always ends with 0.
#[test]
fn b27_the_exit_status_of_penctl_tells_what_became_of_a_command() {
    let pen = start(&[], &[] as &[&str]);
    let socket = pen.directory().file("ctl").display().to_string();
    let table: [(&[&str], i32, &str, &str); 6] = [
        (&[&socket, "blacklist", "5"], 0, "5\n", ""),
        (&[&socket, "roundrobin"], 0, "", ""),
        (&[&socket, "close 3"], 1, "", "penctl: Connection 3 is not in use\n"),
        (&[&socket, "blacklist", "x"], 64, "", "penctl: blacklist: 'x' is not a number\n"),
        (&["127.0.0.1", "pid"], 64, "", "penctl: '127.0.0.1': no port\n"),
        (&["/nosuch/ctl", "pid"], 69, "", "penctl: cannot connect to /nosuch/ctl: no such file or directory\n"),
    ];
    for (words, status, out, err) in table {
        let ended = penctl(words);
        assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(status), out, err));
    }
}

#[test]
fn the_log_names_the_server_that_a_connection_has_and_not_what_it_is_now() {
    let echoes = Server::start(echo);
    let pen = start(&["-l", "pen.log"], &[echoes.address()]);
    let client = pen.connect();
    assert_echoes(&client);
    for address in ["127.0.0.9", "no-such-name.invalid"] {
        assert_eq!(control(&pen, &format!("server 0 address {address}")), "");
        assert_echoes(&client);
    }
    let log = pen.directory().read("pen.log");
    assert_eq!(log.lines().count(), 3, "{log}");
    assert!(log.lines().all(|line| line.split(' ').nth(2) == Some("127.0.0.1")), "{log}");
}

#[test]
fn a_server_that_moved_is_not_to_blame_for_where_it_was() {
    let silent = Blackhole::new();
    let new = Server::start(greet("new"));
    let pen = start(&["-t", "1"], &[silent.address()]);
    let client = pen.connect();
    wait::until_true("the connect is under way", || control(&pen, "connection 0").contains("state = 1"));
    assert_eq!(control(&pen, &format!("server 0 address 127.0.0.1 port {}", new.address().port())), "");
    assert_eq!(read_to_end(&client), (b"new".to_vec(), End::Finished));
    assert_eq!(pen.stderr(), "");
    assert_served(&pen, "new");
}

#[test]
fn a_unix_server_that_does_not_accept_is_passed_over_when_its_time_is_up() {
    let directory = Scratch::new();
    let path = directory.file("full");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let mut fillers = Vec::new();
    loop {
        let filler = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        match filler.connect(&SockAddr::unix(&path).unwrap()) {
            Ok(()) => fillers.push(filler),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let good = Server::start(greet("good"));
    let pen = start(&["-t", "1"], &[path.display().to_string(), good.address().to_string()]);
    assert_served(&pen, "good");
    pen.stderr().find("blacklisted").expect("it is told that the server has failed");
}
