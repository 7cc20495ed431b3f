//! Routers that say "no route to host".

use std::time::{Duration, Instant};

use crate::alone::is_alone;
use crate::packets::Fault;
use crate::support::pen::Pen;
use crate::support::servers::{Server, echo};
use crate::transfer::{LONG, Part, assert_echoes, sending};

#[test]
fn a_server_without_a_way_to_it_is_passed_over_before_the_time_out() {
    if !is_alone("unreachable::a_server_without_a_way_to_it_is_passed_over_before_the_time_out", &["nft"]) {
        return;
    }
    let (lost, alive) = (Server::start(echo), Server::start(echo));
    let pen = Pen::start(&["-r", "-t", "15"], &[lost.address(), alive.address()]);
    let fault = Fault::Unreachable.begin(&[lost.address().port()]);
    let begun = Instant::now();
    assert_echoes(&pen.connect());
    // The kernel may send its request once more, after a second, before it believes the first answer.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(fault.heal() > 0, "no packet was hit");
    assert_eq!((lost.served(), alive.served()), (0, 1));
    assert!(pen.stderr().contains("blacklisted"), "{}", pen.stderr());
}

#[test]
fn a_way_that_is_lost_for_a_while_cuts_nothing() {
    if !is_alone("unreachable::a_way_that_is_lost_for_a_while_cuts_nothing", &["nft"]) {
        return;
    }
    let (server, other) = (sending(LONG), Server::start(echo));
    let pen = Pen::start(&["-r"], &[server.address(), other.address()]);
    let (client, bystander) = (pen.connect(), pen.connect());
    let reading = Part::receive(&client);
    reading.wait_for_stop();
    let fault = Fault::Unreachable.begin(&[server.address().port()]);
    reading.go_on();
    fault.wait_for_hit();
    for _ in 0..50 {
        assert_echoes(&bystander);
    }
    fault.heal();
    assert_eq!(reading.finish().unwrap(), LONG);
}
