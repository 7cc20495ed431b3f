//! How little pen is: its file, its memory, its descriptors. The margins are generous: another compiler or C library
//! must not fail this, something that grows with what it should not grow with must.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::pen::{Pen, optimised_program};
use crate::support::proc;
use crate::support::servers::{Server, echo};

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
    // Whatever is made once is made.
    ping(&pen.connect());
    let before = proc::resident(pen.pid());
    let clients: Vec<TcpStream> = (0..IDLE).map(|_| pen.connect()).collect();
    clients.iter().for_each(ping);
    let grown = proc::resident(pen.pid()).saturating_sub(before);
    // In KiB: a kilobyte each; a buffer for each would be 64.
    assert!(grown < IDLE as u64, "{grown} KiB for {IDLE} idle connections");
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
    let resident = proc::resident(pen.pid());
    // Most of this is the C library.
    assert!(resident < 6 * 1024, "{resident} KiB at rest");
    if optimised.parent().is_some_and(|parent| parent.ends_with("release")) {
        let size = std::fs::metadata(&optimised).unwrap().len();
        assert!(size < 1_500_000, "the program has {size} bytes");
    }
}
