//! Packets to a server vanish.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::alone::is_alone;
use crate::packets::Fault;
use crate::support::client::{End, read_to_end};
use crate::support::pen::Pen;
use crate::support::servers::{After, Server, echo};
use crate::transfer::{LONG, Part, assert_echoes, receiving, sending};

#[test]
fn a_connect_into_the_void_times_out_and_the_next_server_gets_all_that_was_sent() {
    if !is_alone("blackhole::a_connect_into_the_void_times_out_and_the_next_server_gets_all_that_was_sent", &["nft"]) {
        return;
    }
    let (void, alive) = (Server::start(echo), Server::start(echo));
    let pen = Pen::start(&["-r", "-t", "1"], &[void.address(), alive.address()]);
    let fault = Fault::Blackhole.begin(&[void.address().port()]);
    let begun = Instant::now();
    let mut client = pen.connect();
    client.write_all(b"sent long before there is a server").unwrap();
    let mut answer = [0; 34];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"sent long before there is a server");
    let time = begun.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&time), "{time:?}");
    // The server is left out now, so the next one need not wait.
    let begun = Instant::now();
    assert_echoes(&pen.connect());
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert!(fault.heal() > 0, "no packet was hit");
    assert_eq!((void.served(), alive.served()), (0, 2));
}

#[test]
fn a_server_that_vanishes_for_a_while_costs_no_byte_and_holds_up_nobody_else() {
    if !is_alone("blackhole::a_server_that_vanishes_for_a_while_costs_no_byte_and_holds_up_nobody_else", &["nft"]) {
        return;
    }
    let (down, (up, outcome), other) = (sending(LONG), receiving(), Server::start(echo));
    let pen = Pen::start(&["-r"], &[down.address(), up.address(), other.address()]);
    let (reader, writer, bystander) = (pen.connect(), pen.connect(), pen.connect());
    let (reading, writing) = (Part::receive(&reader), Part::send(&writer, LONG));
    reading.wait_for_stop();
    writing.wait_for_stop();
    let fault = Fault::Blackhole.begin(&[down.address().port(), up.address().port()]);
    reading.go_on();
    writing.go_on();
    fault.wait_for_hit();
    for _ in 0..50 {
        assert_echoes(&bystander);
    }
    fault.heal();
    assert_eq!(reading.finish().unwrap(), LONG);
    writing.finish().unwrap();
    let arrived = outcome.recv_timeout(crate::support::wait::PATIENCE).expect("the server sees the end");
    assert_eq!(arrived.unwrap(), LONG);
}

#[test]
fn an_upload_to_a_server_that_has_vanished_for_good_ends_with_a_reset() {
    if !is_alone("blackhole::an_upload_to_a_server_that_has_vanished_for_good_ends_with_a_reset", &["nft"]) {
        return;
    }
    let server = Server::start(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        After::Close
    });
    let pen = Pen::start(&["-O", "idle_timeout 2"], &[server.address()]);
    let client = pen.connect();
    let writing = Part::send(&client, LONG);
    writing.wait_for_stop();
    let fault = Fault::Blackhole.begin(&[server.address().port()]);
    writing.go_on();
    let error = writing.finish().expect_err("there is nobody to take it all");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    // The writer may have taken the reset; what is left to read is no answer in any case.
    let (bytes, end) = read_to_end(&client);
    assert!(bytes.is_empty() && (end == End::Reset || error.kind() == ErrorKind::ConnectionReset), "{end:?} {error}");
    assert!(fault.heal() > 0, "no packet was hit");
}
