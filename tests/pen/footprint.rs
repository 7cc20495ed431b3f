//! How little pen is: its file, its memory, its descriptors. Another compiler or C library must not fail this; something that
//! grows with what it should not grow with must, and so must the file, which is to be noticed before it is larger.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::pen::{Pen, free_port, optimised_program};
use crate::support::proc;
use crate::support::process::Process;
use crate::support::scratch::Scratch;
use crate::support::servers::{Server, echo};
use crate::support::wait;

/// Idle connections of the test.
const IDLE: usize = 400;

#[test]
fn idle_connections_cost_little_memory_and_nothing_is_buffered_for_them() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-r", "-x", "1000", "-O", "pending_max 1000"], &[server.address()]);
    let ping = |mut client: &TcpStream| {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    };
    // Whatever is made once is made. Code is mapped as it is needed, and is no connection's.
    ping(&pen.connect());
    let before = proc::resident_own(pen.pid());
    let clients: Vec<TcpStream> = (0..IDLE).map(|_| pen.connect()).collect();
    clients.iter().for_each(ping);
    let grown = proc::resident_own(pen.pid()).saturating_sub(before);
    // In KiB: a kilobyte each; a buffer for each would be 64.
    assert!(grown < IDLE as u64, "{grown} KiB for {IDLE} idle connections");
    drop(clients);
    let is_back = || proc::resident_own(pen.pid()) < before + grown * 3 / 4;
    wait::until_true("much of it is given back when they have left", is_back);
}

#[test]
fn a_client_is_served_soon_after_the_start() {
    let server = Server::start(echo);
    let (program, directory) = (optimised_program(), Scratch::new());
    // Thirty milliseconds, says the target, on a machine that has nothing else to do; this one may have.
    let most = Duration::from_millis(150);
    let mut times = Vec::new();
    while times.len() < 20 && times.iter().all(|time| *time > most) {
        let at = free_port(Ipv4Addr::LOCALHOST.into());
        let mut command = Command::new(&program);
        command.args(["-f", &at.to_string(), &server.address().to_string()]);
        let began = Instant::now();
        let _process = Process::start(command, &directory, "pen");
        let mut client = loop {
            match TcpStream::connect(at) {
                Ok(client) => break client,
                Err(error) => assert!(began.elapsed() < wait::PATIENCE, "pen does not listen: {error}"),
            }
        };
        client.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        times.push(began.elapsed());
    }
    assert!(times.iter().any(|time| *time <= most), "{times:?}");
}

#[test]
fn at_rest_pen_does_not_wake_up() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-O", "idle_timeout 3600"], &[server.address()]);
    let mut kept = pen.connect();
    kept.write_all(b"x").unwrap();
    kept.read_exact(&mut [0]).unwrap();
    drop(pen.connect());
    // Each wake-up is a switch to pen. What the last client and its connect leave behind is over when two looks, with the
    // clock's time between them, see the same number.
    let mut seen = (0, Instant::now());
    wait::until_true("pen sleeps for two seconds", || {
        let switches = proc::switches(pen.pid());
        if switches != seen.0 {
            seen = (switches, Instant::now());
        }
        seen.1.elapsed() > Duration::from_secs(2)
    });
}

#[test]
fn at_rest_pen_is_small() {
    let server = Server::start(echo);
    let optimised = optimised_program();
    let by = ["sh", "-c", r#"shift; exec "$0" "$@""#, &optimised.display().to_string()];
    let pen = Pen::start_under(&by, [127, 0, 0, 1].into(), &["-r"], &[server.address()]);
    let descriptors = proc::descriptors(pen.pid());
    assert!(descriptors <= 12, "{descriptors} descriptors");
    assert_eq!(proc::threads(pen.pid()), 1);
    let own = proc::resident_own(pen.pid());
    assert!(own < 1024, "{own} KiB of its own at rest");
    if optimised.parent().is_some_and(|parent| parent.ends_with("release")) {
        assert!(own < 400, "{own} KiB of its own at rest");
        // Two megabytes, says the target. It is three until what only the start needed is let go, most of it code.
        let is_small = || proc::resident(pen.pid()) < 2_000_000 / 1024;
        wait::until_true("less than 2 MB are resident at rest", is_small);
        let mut client = pen.connect();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        drop(client);
        wait::until_true("less than 2 MB are resident when the first client has left", is_small);
        let size = std::fs::metadata(&optimised).unwrap().len();
        assert!(size < 1_240_000, "the program has {size} bytes");
    }
}
