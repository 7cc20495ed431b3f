//! QUIT: nobody is let in any more, and those who are there may finish.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::client::{End, ask, read_to_end};
use crate::support::pen::Pen;
use crate::support::process;
use crate::support::servers::{After, Server, echo};
use crate::support::wait;

#[track_caller]
fn assert_echoes(mut stream: &TcpStream) {
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
}

/// Tells pen to drain, and waits until it has closed its listener.
#[track_caller]
fn drain(pen: &mut Pen) {
    pen.process().signal("QUIT");
    wait::until_true("the listener is closed", || pen.process().listens_on().is_empty());
}

#[test]
fn who_is_there_may_finish_and_the_port_is_free_for_others() {
    let server = Server::start(echo);
    let mut pen = Pen::start_with_control(&["-p", "pen.pid"], &[server.address()]);
    let clients = [pen.connect(), pen.connect()];
    clients.iter().for_each(assert_echoes);
    drain(&mut pen);
    let address: SocketAddr = pen.address();
    assert!(TcpStream::connect(address).is_err(), "somebody is let in");
    let another = TcpListener::bind(address).expect("the port is free");
    clients.iter().for_each(assert_echoes);
    // The control port and the other signals go on.
    assert_eq!(pen.obey("pid"), format!("{}\n", pen.pid()));
    assert_eq!(pen.obey("listen"), "");
    let refused = pen.penctl(&["listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    pen.process().signal("USR1");
    pen.process().wait_for_stderr("Active connections:");
    let [first, second] = clients;
    assert_eq!(ask(&first, b"to the end"), "to the end");
    assert_echoes(&second);
    assert!(!pen.process().has_ended(), "one is left");
    drop(second);
    let ended = pen.process().wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("nobody is let in any more; 2 connections have 300 s to finish\n"), "{ended:?}");
    assert!(!pen.directory().file("pen.pid").exists(), "the pid file is left");
    drop(another);
}

#[test]
fn when_the_time_is_over_the_rest_is_closed_as_by_term() {
    // One has all it was sent; the other does not read, and much is on the way to it.
    let server = Server::start(|mut stream| {
        let mut byte = [0];
        let _ = stream.read_exact(&mut byte);
        let _ = stream.write_all(&vec![byte[0]; if byte[0] == b'f' { 20_000_000 } else { 1 }]);
        After::Keep
    });
    let mut pen = Pen::start_with_control(&["-O", "drain 3600"], &[server.address()]);
    let (mut quiet, mut flooded) = (pen.connect(), pen.connect());
    quiet.write_all(b"q").unwrap();
    quiet.read_exact(&mut [0]).unwrap();
    flooded.write_all(b"f").unwrap();
    wait::until_true("bytes are held", || !pen.obey("connection 1").ends_with("pend = 0\n"));
    let start = Instant::now();
    drain(&mut pen);
    // A new time holds for a drain that goes on.
    assert_eq!(pen.obey("drain 1"), "1\n");
    assert_eq!(read_to_end(&quiet), (Vec::new(), End::Finished));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert_eq!(read_to_end(&flooded).1, End::Reset);
    let ended = pen.process().wait();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.contains("2 connections have not finished in time, and are closed\n"), "{ended:?}");
}

#[test]
fn a_second_signal_is_immediate() {
    for second in ["QUIT", "TERM", "INT"] {
        let server = Server::start(echo);
        let mut pen = Pen::start(&["-O", "drain 0"], &[server.address()]);
        let client = pen.connect();
        assert_echoes(&client);
        drain(&mut pen);
        assert_echoes(&client);
        assert_eq!(pen.process().stop(second).status.code(), Some(0), "{second}");
        assert_eq!(read_to_end(&client), (Vec::new(), End::Finished), "{second}");
    }
}

#[test]
fn with_nobody_there_it_ends_at_once() {
    let mut pen = Pen::start(&["-O", "drain 0"], &[] as &[&str]);
    assert_eq!(pen.process().stop("QUIT").status.code(), Some(0));
}

#[test]
fn who_waits_in_the_kernels_queue_is_served_first() {
    let server = Server::start(echo);
    let mut pen = Pen::start(&["-m", "3"], &[server.address()]);
    process::send(pen.pid(), "STOP");
    let clients: Vec<TcpStream> = (0..40).map(|_| pen.connect()).collect();
    pen.process().signal("QUIT");
    process::send(pen.pid(), "CONT");
    for client in &clients {
        assert_eq!(ask(client, b"served"), "served");
    }
    drop(clients);
    assert_eq!(pen.process().wait().status.code(), Some(0));
}
