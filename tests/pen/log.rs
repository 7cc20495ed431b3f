//! The request log: what is in it, when, and what becomes of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::pen::{Pen, program};
use crate::support::process::Process;
use crate::support::report::{is_root, not_tested_here};
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, echo};
use crate::support::wait;

fn client(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, number)
}

/// Sends a chunk and waits for its echo, so that it was one chunk for pen, too.
#[track_caller]
fn send(mut stream: impl Read + Write, chunk: &[u8]) {
    stream.write_all(chunk).unwrap();
    stream.read_exact(&mut vec![0; chunk.len()]).unwrap();
}

/// The texts of a log's lines, once there are so many: without client, time and server, which must be these.
#[track_caller]
fn texts(pen: &Pen, count: usize, client: &str) -> Vec<String> {
    wait::until_true("the lines are in the file", || pen.directory().read("pen.log").lines().count() >= count);
    let log = pen.directory().read("pen.log");
    assert!(log.ends_with('\n'), "{log:?}");
    let texts = log.lines().map(|line| {
        let fields: Vec<&str> = line.splitn(4, ' ').collect();
        assert_eq!((fields.len(), fields[0], fields[2]), (4, client, "127.0.0.1"), "{line:?}");
        assert!(fields[1].parse::<u64>().is_ok(), "{line:?}");
        String::from(fields[3])
    });
    texts.collect()
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

// B17: in pen 0.34.1 lines stay in pen until there are 4 KiB of them.
#[test]
fn b17_a_line_is_in_the_file_at_once_with_client_time_server_and_text() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-l", "pen.log"], &[server.address()]);
    let start = unix_time();
    let stream = pen.connect_from(client(5));
    send(&stream, b"GET /index.html?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    wait::until_true("the line is in the file", || pen.directory().read("pen.log").ends_with('\n'));
    let log = pen.directory().read("pen.log");
    let time: u64 = log.split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(log, format!("127.0.1.5 {time} 127.0.0.1 GET /index.html?x=1 HTTP/1.1\n"));
    assert!((start..=unix_time()).contains(&time), "{time}");
}

#[test]
fn each_chunk_has_its_first_line_cut_at_a_hundred_bytes() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-l", "pen.log"], &[server.address()]);
    let stream = pen.connect();
    let long = "x".repeat(250);
    let table: [(&str, &str); 8] = [
        ("EHLO here\r\n", "EHLO here"),
        ("MAIL FROM:<a@b>\nRCPT TO:<c@d>\n", "MAIL FROM:<a@b>"),
        ("no end of line", "no end of line"),
        ("two  blanks\ttab", "two  blanks.tab"),
        ("\r\n\r\nGET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0"),
        ("\r\nno request", ""),
        (&long, &long[..100]),
        (" ", " "),
    ];
    for (chunk, _) in table {
        send(&stream, chunk.as_bytes());
    }
    assert_eq!(texts(&pen, table.len(), "127.0.0.1"), table.map(|(_, text)| text));
}

// B17: pen 0.34.1 writes control bytes as they are, so that a client can write to the terminal of who reads the log.
#[test]
fn b17_a_byte_that_is_not_printable_is_a_dot() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-l", "pen.log"], &[server.address()]);
    let stream = pen.connect();
    for byte in (0..=255_u8).filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        send(&stream, &[b'<', byte, b'>']);
    }
    for (byte, text) in (0..=255_u8).filter(|byte| !matches!(byte, b'\r' | b'\n')).zip(texts(&pen, 254, "127.0.0.1")) {
        let shown = if (0x20..=0x7e).contains(&byte) { char::from(byte) } else { '.' };
        assert_eq!(text, format!("<{shown}>"), "{byte:#04x}");
    }
}

// B17: pen 0.34.1 logs the first request of a chunk and none that follows it.
#[test]
fn b17_each_pipelined_request_has_its_line() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-l", "pen.log"], &[server.address()]);
    let stream = pen.connect();
    let requests = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\
                    POST /2 HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET /no HTTP/1.1\r\n\
                    GET /3 HTTP/1.1\r\n\r\n";
    send(&stream, requests.as_bytes());
    send(&stream, b"GET /4 HTTP/1.1\r\n\r\n");
    let expected = ["GET /1 HTTP/1.1", "POST /2 HTTP/1.1", "GET /3 HTTP/1.1", "GET /4 HTTP/1.1"];
    assert_eq!(texts(&pen, 4, "127.0.0.1"), expected);
}

// B17: pen 0.34.1 leaves the field empty, and all columns shift.
#[test]
fn b17_a_client_by_a_unix_socket_is_a_dash() {
    let (server, directory) = (Server::start(echo), Scratch::new());
    let path = directory.file("listener");
    let mut command = Command::new(program());
    command.current_dir(directory.path()).args(["-f", "-l", "pen.log"]).arg(&path).arg(server.address().to_string());
    let _pen = Process::start(command, &directory, "pen");
    let stream = wait::until("pen listens", || UnixStream::connect(&path).ok());
    send(&stream, b"hello\n");
    wait::until_true("the line is in the file", || directory.read("pen.log").ends_with('\n'));
    let log = directory.read("pen.log");
    assert!(log.starts_with("- ") && log.ends_with(" 127.0.0.1 hello\n"), "{log:?}");
}

// B17: killed by INT, pen 0.34.1 loses all that it had not written.
#[test]
fn b17_int_and_term_lose_nothing() {
    for signal in ["INT", "TERM"] {
        let server = Server::start(echo);
        let mut pen = Pen::start(&["-l", "pen.log"], &[server.address()]);
        let stream = pen.connect();
        for number in 0..100 {
            send(&stream, format!("line {number}").as_bytes());
        }
        assert_eq!(pen.process().stop(signal).status.code(), Some(0));
        let expected: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        assert_eq!(texts(&pen, 100, "127.0.0.1"), expected, "{signal}");
    }
}

// B12: a connection of pen 0.34.1 remembers its client's place in the table, which may be another's by now.
#[test]
fn b12_a_forgotten_clients_lines_carry_its_own_address() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-c", "1", "-l", "pen.log"], &[server.address()]);
    let first = pen.connect_from(client(1));
    send(&first, b"before");
    for other in 2..5 {
        send(&pen.connect_from(client(other)), b"another");
    }
    send(&first, b"after");
    wait::until_true("all is there", || pen.directory().read("pen.log").lines().count() == 5);
    let log = pen.directory().read("pen.log");
    let clients: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(clients, ["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.1"]);
}

#[test]
fn hup_reopens_the_log_by_its_name() {
    let server = Server::start(echo);
    let mut pen = Pen::start(&["-l", "pen.log"], &[server.address()]);
    let stream = pen.connect();
    send(&stream, b"one");
    let log = pen.directory().file("pen.log");
    let old = pen.directory().file("pen.log.1");
    fs::rename(&log, &old).unwrap();
    send(&stream, b"two");
    pen.process().signal("HUP");
    wait::until_true("there is a new file", || log.exists());
    send(&stream, b"three");
    assert_eq!(texts(&pen, 1, "127.0.0.1"), ["three"]);
    let old = fs::read_to_string(old).unwrap();
    assert!(old.lines().count() == 2 && old.ends_with(" two\n"), "{old:?}");
}

// B9: pen 0.34.1 ends at HUP if the log cannot be opened.
#[test]
fn b09_a_log_that_cannot_be_reopened_is_reported_and_lines_go_on_into_the_old_one() {
    let server = Server::start(echo);
    let mut pen = Pen::start(&["-l", "pen.log"], &[server.address()]);
    let stream = pen.connect();
    let (log, old) = (pen.directory().file("pen.log"), pen.directory().file("pen.log.1"));
    fs::rename(&log, &old).unwrap();
    fs::create_dir(&log).unwrap();
    pen.process().signal("HUP");
    pen.process().wait_for_stderr("cannot open the log pen.log: is a directory");
    send(&stream, b"still here");
    wait::until_true("the line is in the old file", || fs::read_to_string(&old).unwrap().ends_with(" still here\n"));
    fs::remove_dir(&log).unwrap();
    pen.process().signal("HUP");
    wait::until_true("there is a new file", || log.exists());
    send(&stream, b"again");
    assert_eq!(texts(&pen, 1, "127.0.0.1"), ["again"]);
}

#[test]
fn penlogd_gets_a_datagram_for_each_line() {
    let server = Server::start(echo);
    let penlogd = UdpSocket::bind("127.0.0.1:0").unwrap();
    penlogd.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let address = penlogd.local_addr().unwrap().to_string();
    let pen = Pen::start_with_control(&["-l", &address], &[server.address()]);
    let receive = || {
        let mut datagram = [0; 2048];
        let count = penlogd.recv(&mut datagram).expect("a datagram comes");
        String::from_utf8(datagram[..count].to_vec()).expect("dots for all that is not ASCII")
    };
    let stream = pen.connect_from(client(9));
    send(&stream, b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    assert_eq!(receive(), "+ 127.0.1.9 127.0.0.1 GET /a HTTP/1.1\n");
    assert_eq!(receive(), "+ 127.0.1.9 127.0.0.1 GET /b HTTP/1.1\n");
    send(&stream, b"\x1b[31m\xff");
    assert_eq!(receive(), "+ 127.0.1.9 127.0.0.1 .[31m.\n");
    send(&stream, &[b'y'; 5_000]);
    assert_eq!(receive(), format!("+ 127.0.1.9 127.0.0.1 {}\n", "y".repeat(100)));

    // B17: `no log` of pen 0.34.1 does not stop it.
    assert_eq!(pen.obey("log"), format!("{address}\n"));
    pen.obey("no log");
    assert_eq!(pen.obey("log"), "");
    send(&stream, b"not logged");
    assert_eq!(pen.obey(&format!("log {address}")), format!("{address}\n"));
    send(&stream, b"logged");
    assert_eq!(receive(), "+ 127.0.1.9 127.0.0.1 logged\n");
}

#[test]
fn nobody_at_the_other_end_of_a_network_log_does_not_matter() {
    let server = Server::start(echo);
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    let pen = Pen::start(&["-l", &address], &[server.address()]);
    let stream = pen.connect();
    for _ in 0..50 {
        send(&stream, b"hello");
    }
    let said = pen.stderr();
    assert_eq!(said.lines().count(), 1, "it is said once: {said}");
}

// B17, on a disk that is full: lines are lost, clients are not.
#[test]
fn a_full_disk_loses_lines_says_so_once_and_holds_nobody_up() {
    if !is_root() {
        return not_tested_here("a_full_disk_loses_lines", "only root can make a small file system");
    }
    let server = Server::start(echo);
    // In a mount namespace of its own; one half is taken by a file that can be removed.
    let script =
        r#"mkdir "$0" && mount -t tmpfs -o size=64k none "$0" && head -c 32768 /dev/zero >"$0/filler" && exec "$@""#;
    let by = ["unshare", "--mount", "sh", "-c", script, "{dir}/small"];
    let pen = Pen::start_under(&by, Ipv4Addr::LOCALHOST.into(), &["-l", "{dir}/small/pen.log"], &[server.address()]);
    let small = format!("/proc/{}/root{}/small", pen.pid(), pen.directory().path().display());
    let stream: TcpStream = pen.connect();
    let text = |number: usize| format!("line {number} {}", "z".repeat(60));
    let full = (0..2_000).find(|number| {
        send(&stream, text(*number).as_bytes());
        pen.stderr().contains("cannot write the log")
    });
    let full = full.expect("64 KiB are full at some time");
    for number in full + 1..full + 50 {
        send(&stream, text(number).as_bytes());
    }
    let said = pen.stderr();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("no space left on device"), "{said}");
    fs::remove_file(format!("{small}/filler")).unwrap();
    send(&stream, b"there is room again");
    wait::until_true("pen says that it can write", || pen.stderr().contains("the log is written again"));
    send(&stream, b"the last line");
    let read = || fs::read_to_string(format!("{small}/pen.log")).unwrap();
    wait::until_true("the last line is there", || read().ends_with(" the last line\n"));
    let log = read();
    let texts = ["z".repeat(60), String::from("there is room again"), String::from("the last line")];
    let is_whole = |line: &&str| {
        line.matches("127.0.0.1 ").count() == 2 && texts.iter().any(|text| line.ends_with(&format!(" {text}")))
    };
    let whole = log.lines().filter(is_whole).count();
    let lost: usize = pen.stderr().trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    // The first of the lost ones may be there in part, on a line of its own.
    assert!(log.lines().count() - whole <= 1, "{log}");
    assert_eq!(whole + lost, full + 50 + 2, "all lines are there or counted");
}

#[test]
fn the_log_can_be_moved_and_one_that_cannot_be_opened_changes_nothing() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&["-l", "pen.log"], &[server.address()]);
    let stream = pen.connect();
    send(&stream, b"one");
    let other = pen.directory().file("other.log");
    assert_eq!(pen.obey(&format!("log {}", other.display())), format!("{}\n", other.display()));
    send(&stream, b"two");
    let refused = pen.penctl(&["log", "/no/such/place"]);
    let line = "penctl: cannot open the log /no/such/place: no such file or directory\n";
    assert_eq!((refused.status.code(), refused.stderr.as_str()), (Some(1), line));
    send(&stream, b"three");
    assert_eq!(texts(&pen, 1, "127.0.0.1"), ["one"]);
    wait::until_true("both are there", || fs::read_to_string(&other).unwrap().ends_with(" three\n"));
    assert_eq!(fs::read_to_string(&other).unwrap().lines().count(), 2);
}
