//! How pen ends, what signals do to it, and what is left of it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{End, ask, read_to_end};
use crate::support::pattern::{Pattern, again};
use crate::support::pen::{Pen, program};
use crate::support::process::{Process, listeners, send};
use crate::support::scratch::Scratch;
use crate::support::servers::{Blackhole, Server, echo, greet};
use crate::support::wait;

/// What both ends of a pair see after `end` has ended it.
#[track_caller]
fn seen_by_both(client: &TcpStream, server: &TcpStream) -> (End, End) {
    (read_to_end(client).1, read_to_end(server).1)
}

/// Sends until nothing more is taken: bytes are on their way, and some of them are in pen.
fn fill(stream: &TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut writer = stream;
    let mut last = Instant::now();
    wait::until_true("all buffers are full", || {
        while let Ok(1..) = again(|| writer.write(&[b'x'; 65_536])) {
            last = Instant::now();
        }
        last.elapsed() > Duration::from_millis(150)
    });
    stream.set_nonblocking(false).unwrap();
}

#[test]
fn what_pen_ends_itself_is_an_end_if_all_was_delivered_and_a_reset_if_not() {
    for how in ["TERM", "INT", "close 0"] {
        let options = if how == "close 0" { Pen::control_options() } else { Vec::new() };
        let end = |pen: &mut Pen| match how {
            "close 0" => assert_eq!(pen.obey(how), "Forcibly closing connection 0\n"),
            signal => assert_eq!(pen.process().stop(signal).status.code(), Some(0)),
        };
        let (mut pen, client, server) = Pen::start_with_both_ends(&options);
        (&client).write_all(b"hello").unwrap();
        (&server).read_exact(&mut [0; 5]).unwrap();
        end(&mut pen);
        assert_eq!(seen_by_both(&client, &server), (End::Finished, End::Finished), "{how}: quiet");

        let (mut pen, client, server) = Pen::start_with_both_ends(&options);
        fill(&server);
        end(&mut pen);
        assert_eq!(seen_by_both(&client, &server), (End::Reset, End::Reset), "{how}: a download is cut");

        let (mut pen, client, server) = Pen::start_with_both_ends(&options);
        fill(&client);
        end(&mut pen);
        assert_eq!(seen_by_both(&client, &server), (End::Reset, End::Reset), "{how}: an upload is cut");

        // The client has asked and ended; an end now would look like an answer that is empty.
        let (mut pen, client, server) = Pen::start_with_both_ends(&options);
        (&client).write_all(b"request").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&server), (b"request".to_vec(), End::Finished));
        end(&mut pen);
        assert_eq!(read_to_end(&client).1, End::Reset, "{how}: the answer is still due");
    }
}

#[test]
fn term_does_not_wait_for_connects_that_are_under_way() {
    let silent = Blackhole::new();
    let mut pen = Pen::start(&["-t", "600"], &[silent.address()]);
    let clients: Vec<TcpStream> = (0..50).map(|_| pen.connect()).collect();
    let start = Instant::now();
    assert_eq!(pen.stop().status.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    for client in &clients {
        read_to_end(client);
    }
}

#[test]
fn signals_disturb_no_transfer() {
    const TOTAL: usize = 100_000_000;
    let (mut pen, client, server) = Pen::start_with_both_ends(&["-l", "pen.log"]);
    let pattern = Arc::new(Pattern::new(21));
    let writing = thread::spawn({
        let (pattern, server) = (Arc::clone(&pattern), server.try_clone().unwrap());
        move || {
            pattern.write(&server, TOTAL, |_| {}).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
        }
    });
    let reading = thread::spawn(move || pattern.check(&client, 65_536).unwrap());
    let mut sent = 0;
    while !reading.is_finished() {
        for signal in ["HUP", "USR1", "PIPE", "CHLD", "WINCH"] {
            pen.process().signal(signal);
            sent += 1;
        }
    }
    writing.join().unwrap();
    assert_eq!(reading.join().unwrap(), TOTAL, "after {sent} signals");
    pen.process().wait_for_stderr("Connection 0 status:");
}

#[test]
fn signals_at_the_same_moment_are_all_obeyed() {
    let mut pen = Pen::start(&["-l", "pen.log"], &[] as &[&str]);
    let (log, old) = (pen.directory().file("pen.log"), pen.directory().file("old"));
    fs::rename(&log, old).unwrap();
    let pid = pen.pid();
    let script = format!("kill -USR1 {pid}; kill -HUP {pid}; kill -TERM {pid}");
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    let ended = pen.process().wait();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.contains("Active connections:"), "{}", ended.stderr);
    assert!(log.exists(), "the log was opened again");
}

#[test]
fn the_pid_file_has_the_number_alone_and_an_old_one_is_replaced() {
    let directory = Scratch::new();
    let path = directory.write("pen.pid", "99999999 and more that is longer than a number").display().to_string();
    let mut pen = Pen::start(&["-p", &path], &[] as &[&str]);
    let pid = pen.pid().to_string();
    wait::until_true("it is written", || directory.read("pen.pid") == pid);
    pen.stop();
    assert!(!directory.file("pen.pid").exists());
}

#[test]
fn a_pid_file_that_is_another_pens_by_now_is_left_alone() {
    let directory = Scratch::new();
    let path = directory.file("pen.pid").display().to_string();
    let mut first = Pen::start(&["-p", &path], &[] as &[&str]);
    let number = first.pid().to_string();
    wait::until_true("the first has written it", || directory.read("pen.pid") == number);
    let mut second = Pen::start(&["-p", &path], &[] as &[&str]);
    let number = second.pid().to_string();
    wait::until_true("the second has written it", || directory.read("pen.pid") == number);
    first.stop();
    assert_eq!(directory.read("pen.pid"), number);
    second.stop();
    assert!(!directory.file("pen.pid").exists());
}

// B31: the socket of a pen that was killed is in the way of nobody.
#[test]
fn b31_the_sockets_of_a_pen_that_was_killed_are_replaced() {
    let (directory, server) = (Scratch::new(), Server::start(greet("served")));
    let path = directory.file("listener");
    let start = || {
        let mut command = Command::new(program());
        command.arg("-f").arg(&path).arg(server.address().to_string());
        let pen = Process::start(command, &directory, "pen");
        let client = wait::until("pen listens", || UnixStream::connect(&path).ok());
        assert_eq!(io::read_to_string(client).unwrap(), "served");
        pen
    };
    start().stop("KILL");
    assert!(path.exists(), "it was removed, or the test shows nothing");
    assert_eq!(start().stop("TERM").status.code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn without_standard_descriptors_pen_serves_and_writes_nothing_into_connections() {
    let server = Server::start(echo);
    // -d: it would say something at each step.
    let by = ["sh", "-c", r#"exec "$0" "$@" <&- >&- 2>&-"#];
    let mut pen = Pen::start_under(&by, Ipv4Addr::LOCALHOST.into(), &["-d", "-d"], &[server.address()]);
    for turn in 0..20 {
        let text = format!("turn {turn}");
        assert_eq!(ask(&pen.connect(), text.as_bytes()), text);
    }
    assert_eq!(pen.stop().status.code(), Some(0));
}

#[test]
fn term_does_not_wait_for_a_reader_of_standard_error_that_has_stopped() {
    let server = Server::start(echo);
    let (reader, writer) = io::pipe().unwrap();
    let mut command = Command::new(program());
    command.args(["-f", "-d", "-d", "127.0.0.1:0", &server.address().to_string()]);
    let mut pen = command.stdin(Stdio::null()).stderr(writer).spawn().unwrap();
    let address = wait::until("pen listens", || listeners(pen.id()).first().copied());
    let text = "x".repeat(500_000);
    let client = crate::support::client::connect(address);
    let writing = thread::spawn({
        let (text, mut client) = (text.clone(), client.try_clone().unwrap());
        move || {
            client.write_all(text.as_bytes()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        }
    });
    assert_eq!(read_to_end(&client).0.len(), text.len());
    writing.join().unwrap();
    send(pen.id(), "TERM");
    let ended = wait::within(Duration::from_secs(10), || pen.try_wait().unwrap());
    let _ = pen.kill();
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "it waits for its reader");
    drop(reader);
}
