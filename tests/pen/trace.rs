//! What the tracer prints: `-d` events, `-d -d` dumps as well, and never at the cost of a pair.

use std::fs;
use std::io::{self, PipeReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::client::{End, ask, connect, read_to_end};
use crate::support::dumps::{self, Dump, Form};
use crate::support::pattern::{Pattern, again};
use crate::support::pen::{Pen, program};
use crate::support::process::{listeners, send};
use crate::support::servers::{Refusing, Server, echo};
use crate::support::wait;

/// Sends a chunk on one end of a pair and takes it at the other.
#[track_caller]
fn carry(mut from: &TcpStream, mut to: &TcpStream, chunk: &[u8]) {
    from.write_all(chunk).unwrap();
    let mut arrived = vec![0; chunk.len()];
    to.read_exact(&mut arrived).unwrap();
    assert_eq!(arrived, chunk);
}

/// What pen printed, without the lines that begin with a time: those are events.
fn without_events(text: &str) -> String {
    let is_event = |line: &&str| line.len() > 20 && line.as_bytes()[4] == b'-' && &line[19..21] == ": ";
    text.split_inclusive('\n').filter(|line| !is_event(line)).collect()
}

/// The dumps so far, and the events.
#[track_caller]
fn parsed(pen: &Pen) -> (Vec<Dump>, Vec<String>) {
    dumps::parse(pen.stderr().as_bytes()).unwrap_or_else(|e| panic!("{e}"))
}

// B32: in pen 0.34.1 dumps come at -d -d -d, in hexadecimal, and among lines of descriptors.
#[test]
fn b32_the_howtos_ftp_session_looks_as_in_the_howto() {
    let (mut pen, client, server) = Pen::start_with_both_ends(&["-d", "-d"]);
    carry(&client, &server, b"PORT 127,0,0,1,12,212\r\n");
    carry(&server, &client, b"200 PORT command successful.\r\n");
    carry(&client, &server, b"RETR loadlin.exe\r\n");
    carry(&server, &client, b"150 Opening BINARY mode data connection for loadlin.exe (32177 bytes).\r\n");
    carry(&server, &client, b"226 Transfer complete.\r\n");
    drop((client, server));
    let said = pen.stop().stderr;
    let session = "copy_up(0)\n23: PORT 127,0,0,1,12,212\r\n\n\
                   copy_down(0)\n30: 200 PORT command successful.\r\n\n\
                   copy_up(0)\n18: RETR loadlin.exe\r\n\n\
                   copy_down(0)\n72: 150 Opening BINARY mode data connection for loadlin.exe (32177 bytes).\r\n\n\
                   copy_down(0)\n24: 226 Transfer complete.\r\n\n";
    assert_eq!(without_events(&said), session);
}

#[test]
fn a_chunk_with_a_byte_that_is_no_text_is_shown_in_columns() {
    let (pen, client, server) = Pen::start_with_both_ends(&["-dd"]);
    // An LDAP bind, and an entry with umlauts.
    carry(&client, &server, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00");
    carry(&server, &client, b"0123456789abcdef\x1b[31m\xc3\xbc");
    carry(&client, &server, b"without a newline");
    let expected = "copy_up(0)\n14: \n\
        00000000  30 0c 02 01 01 60 07 02  01 03 04 00 80 00        |0....`........|\n\n\
        copy_down(0)\n23: \n\
        00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n\
        00000010  1b 5b 33 31 6d c3 bc                              |.[31m..|\n\n\
        copy_up(0)\n17: without a newline\n";
    wait::until_true("all is printed", || pen.stderr().ends_with("newline\n"));
    let said = without_events(&pen.stderr());
    assert_eq!(said.replace("14:\n", "14: \n").replace("23:\n", "23: \n"), expected);
}

#[test]
fn with_a_all_is_text_and_without_ascii_all_is_columns() {
    let chunk = b"\x1bE \x00\xff\r\nx";
    for (options, form) in [(["-d", "-d", "-a"], Form::Text), (["-d", "-d", "-Ono ascii"], Form::Columns)] {
        let (pen, client, server) = Pen::start_with_both_ends(&options);
        carry(&client, &server, chunk);
        carry(&server, &client, b"plain text\n");
        let (dumps, _) = parsed(&pen);
        assert_eq!(dumps.iter().map(|dump| dump.form).collect::<Vec<_>>(), [form; 2], "{options:?}");
        let text = if form == Form::Text { &b".E ..\r\nx"[..] } else { chunk };
        assert_eq!((dumps[0].bytes.as_slice(), dumps[1].text()), (text, String::from("plain text\n")));
    }
}

#[test]
fn level_and_form_change_while_pen_runs() {
    let (pen, client, server) = Pen::start_with_both_ends(&Pen::control_options());
    carry(&client, &server, b"zero");
    assert_eq!(pen.stderr(), "", "nothing is said without -d");
    assert_eq!(pen.obey("debug 2"), "2\n");
    carry(&client, &server, b"two\x01");
    pen.obey("ascii");
    carry(&client, &server, b"dots\x01");
    pen.obey("no ascii");
    carry(&client, &server, b"columns");
    pen.obey("ascii auto");
    carry(&client, &server, b"text");
    pen.obey("debug 1");
    carry(&client, &server, b"one");
    pen.obey("debug 0");
    carry(&client, &server, b"zero");
    assert_eq!(pen.obey("debug"), "0\n");
    let (dumps, _) = parsed(&pen);
    let seen: Vec<(Form, String)> = dumps.iter().map(|dump| (dump.form, dump.text())).collect();
    let expected =
        [(Form::Columns, "two\u{1}"), (Form::Text, "dots."), (Form::Columns, "columns"), (Form::Text, "text")];
    assert_eq!(seen, expected.map(|(form, text)| (form, String::from(text))));
}

#[test]
fn events_tell_in_words_what_happens_to_a_connection() {
    let (dead, server) = (Refusing::new(), Server::start(echo));
    let mut pen = Pen::start(&["-d"], &[dead.address(), server.address()]);
    let client = pen.connect();
    let own = client.local_addr().unwrap();
    assert_eq!(ask(&client, b"hello"), "hello");
    drop(client);
    pen.process().wait_for_stderr("closed, done; 5 bytes up, 5 down");
    let said = pen.stop().stderr;
    let (dumps, events) = dumps::parse(said.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    assert!(dumps.is_empty(), "-d alone prints no dump");
    // In this order, and perhaps with more between.
    let mut rest = events.iter();
    for what in [
        format!("listens on {}", pen.address()),
        format!("server 0 is 127.0.0.1 port {}", dead.address().port()),
        format!("connection 0: accepted {own}"),
        format!("server 0 ({}) failed: connection refused; blacklisted for 30 s", dead.address()),
        format!("connection 0: connected to server 1 ({})", server.address()),
        String::from("connection 0: closed, done; 5 bytes up, 5 down"),
    ] {
        assert!(rest.any(|event| event.contains(&what)), "{what}: not there, or not in this place: {said}");
    }
}

#[test]
fn dumps_carry_the_connections_number_and_all_bytes_in_order() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-dd"], &[server.address()]);
    let pattern = Pattern::new(11);
    let clients: Vec<TcpStream> = (0..3).map(|_| pen.connect()).collect();
    for (number, client) in clients.iter().enumerate() {
        let (length, mut reader) = (50_000 + number, client);
        pattern.write(client, length, |_| {}).unwrap();
        reader.read_exact(&mut vec![0; length]).unwrap();
    }
    let (dumps, _) = parsed(&pen);
    for number in 0..3 {
        for up in [true, false] {
            let of_one = dumps.iter().filter(|dump| (dump.connection, dump.up) == (number, up));
            let bytes: Vec<u8> = of_one.flat_map(|dump| dump.bytes.clone()).collect();
            assert!(bytes == pattern.bytes(50_000 + number as usize), "connection {number}, up: {up}");
        }
    }
}

/// A pen whose standard error is a pipe that the test reads when it wants to.
struct Piped {
    child: std::process::Child,
    address: std::net::SocketAddr,
}

impl Piped {
    #[track_caller]
    fn start(server: &str) -> (Piped, PipeReader, io::PipeWriter) {
        let (reader, writer) = io::pipe().unwrap();
        let shared = writer.try_clone().unwrap();
        let mut command = Command::new(program());
        command.args(["-f", "-d", "-d", "127.0.0.1:0", server]).stdin(Stdio::null()).stderr(writer);
        let child = command.spawn().unwrap();
        let address = wait::until("pen listens", || listeners(child.id()).first().copied());
        (Piped { child, address }, reader, shared)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).unwrap();
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    u32::from_str_radix(flags, 8).unwrap() & 0o4000 != 0
}

#[test]
fn a_reader_of_standard_error_that_stops_holds_up_nobody_and_each_dump_is_whole_or_not_there() {
    const TOTAL: usize = 1_000_000;
    let server = Server::start(echo);
    let (mut pen, mut reader, shared) = Piped::start(&server.address().to_string());
    assert!(!is_nonblocking(&shared));
    let pattern = Arc::new(Pattern::new(12));
    // Nobody reads, and both directions of 200 kB, and then of a megabyte, pass all the same.
    for total in [200_000, TOTAL] {
        let client = connect(pen.address);
        let writing = thread::spawn({
            let (client, pattern) = (client.try_clone().unwrap(), Arc::clone(&pattern));
            move || {
                pattern.write(&client, total, |_| {}).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
            }
        });
        assert_eq!(pattern.check(&client, 65_536).unwrap(), total);
        writing.join().unwrap();
    }
    // The description that pen shares with whoever started it is as it was.
    assert!(!is_nonblocking(&shared));
    drop(shared);
    let printed = Arc::new(Mutex::new(Vec::new()));
    let reading = thread::spawn({
        let printed = Arc::clone(&printed);
        move || {
            let mut piece = [0; 777];
            while let count @ 1.. = again(|| reader.read(&mut piece)).unwrap() {
                printed.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        }
    });
    // Once all that waited is written there is room for new words.
    let last = connect(pen.address);
    wait::until_true("a new dump comes through", || {
        (&last).write_all(b"the last words").unwrap();
        (&last).read_exact(&mut [0; 14]).unwrap();
        memchr::memmem::find(&printed.lock().unwrap(), b"14: the last words\n").is_some()
    });
    send(pen.child.id(), "TERM");
    wait::until_true("pen ends", || pen.child.try_wait().unwrap().is_some());
    reading.join().unwrap();
    let all = printed.lock().unwrap();
    let (dumps, events) = dumps::parse(&all).unwrap_or_else(|e| panic!("{e}"));
    let whole: usize = dumps.iter().filter(|dump| dump.connection == 0).map(|dump| dump.bytes.len()).sum();
    assert!(whole > 100_000, "a mebibyte waits: {whole} bytes of dumps");
    for dump in dumps.iter().filter(|dump| dump.bytes != b"the last words") {
        let known = pattern.bytes(2 * 65_521 + TOTAL);
        let found = memchr::memmem::find(&known, &dump.bytes);
        assert!(found.is_some(), "{} bytes that nobody sent", dump.bytes.len());
    }
    let confession = events.iter().find(|event| event.contains("were lost: nobody read them in time"));
    assert!(confession.is_some(), "more than a mebibyte was printed: {events:?}");
}

#[test]
fn a_reader_of_standard_error_that_is_gone_holds_up_nobody() {
    let server = Server::start(echo);
    let (pen, reader, shared) = Piped::start(&server.address().to_string());
    drop((reader, shared));
    for _ in 0..20 {
        assert_eq!(ask(&connect(pen.address), b"hello"), "hello");
    }
}

#[test]
fn an_end_without_a_byte_prints_no_dump() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut pen = Pen::start(&["-dd"], &[listener.local_addr().unwrap()]);
    let client = pen.connect();
    let (server, _) = listener.accept().unwrap();
    drop(server);
    assert_eq!(read_to_end(&client), (Vec::new(), End::Finished));
    drop(client);
    pen.process().wait_for_stderr("closed, done; 0 bytes up, 0 down");
    assert!(parsed(&pen).0.is_empty());
}
