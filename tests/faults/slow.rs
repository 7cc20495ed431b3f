//! Clients and servers that read or write slowly.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::support::pattern::Pattern;
use crate::support::pen::Pen;
use crate::support::proc::{cpu, resident};
use crate::support::servers::{Server, echo};
use crate::support::wait;
use crate::transfer::{Part, assert_echoes, sending};

/// Lets a time pass: what is slow here is slow by it.
fn pause(milliseconds: u64) {
    wait::within(Duration::from_millis(milliseconds), || None::<()>);
}

#[test]
fn slow_readers_hold_up_nobody_and_cost_neither_processor_nor_memory() {
    const TOTAL: usize = 20_000_000;
    const READERS: usize = 20;
    let (bulk, other) = (sending(TOTAL), Server::start(echo));
    let pen = Pen::start(&["-r"], &[bulk.address(), other.address()]);
    let mut readers: Vec<(TcpStream, TcpStream)> = (0..READERS).map(|_| (pen.connect(), pen.connect())).collect();
    for (reader, _) in &readers {
        SockRef::from(reader).set_recv_buffer_size(4_096).unwrap();
    }
    wait::until_true("all are connected", || bulk.served() == READERS && other.served() == READERS);
    let before = cpu(pen.pid());
    let mut piece = [0; 100];
    for _ in 0..20 {
        for (reader, bystander) in &mut readers {
            reader.read_exact(&mut piece).unwrap();
            assert_echoes(bystander);
        }
        pause(50);
    }
    let used = cpu(pen.pid()) - before;
    assert!(used < Duration::from_millis(900), "{used:?} for a few kilobytes within a second");
    // At most a ring for each.
    assert!(resident(pen.pid()) < 8_000, "{} KiB", resident(pen.pid()));
    let (reader, _) = readers.remove(0);
    let mut rest = 20 * piece.len();
    // What comes now must be what follows.
    let mut buffer = [0; 10_000];
    let pattern = Pattern::new(11);
    while rest < 300_000 {
        let count = (&reader).read(&mut buffer).unwrap();
        assert!(count > 0 && buffer[..count] == *pattern.at(rest, count), "at {rest}");
        rest += count;
    }
}

#[test]
fn a_writer_that_sends_byte_by_byte_and_one_that_never_does_are_both_waited_for() {
    let server = Server::start(echo);
    let pen = Pen::start(&["-r"], &[server.address()]);
    let (mut slow, silent, quick) = (pen.connect(), pen.connect(), pen.connect());
    for number in 0..50_u8 {
        slow.write_all(&[number]).unwrap();
        let mut byte = [0];
        slow.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [number]);
        assert_echoes(&quick);
        pause(5);
    }
    assert_echoes(&silent);
}

#[test]
fn a_reader_that_is_slow_at_the_end_still_gets_the_end() {
    const TOTAL: usize = 2_000_000;
    let server = sending(TOTAL);
    let pen = Pen::start(&[], &[server.address()]);
    let client = pen.connect();
    // The server has sent everything and its end long before the client looks.
    wait::until_true("the connection is made", || server.served() == 1);
    pause(300);
    assert_eq!(Part::receive(&client).finish().unwrap(), TOTAL);
}
