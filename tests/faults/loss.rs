//! One packet of ten is lost.

use crate::alone::is_alone;
use crate::packets::Fault;
use crate::support::pen::Pen;
use crate::transfer::{Part, receiving, sending};

#[test]
fn transfers_over_a_bad_line_are_identical() {
    if !is_alone("loss::transfers_over_a_bad_line_are_identical", &["nft"]) {
        return;
    }
    const TOTAL: usize = 400_000;
    let (down, (up, outcome)) = (sending(TOTAL), receiving());
    // One for each server: who is accepted first cannot be told here.
    let (left, right) = (Pen::start(&[], &[down.address()]), Pen::start(&[], &[up.address()]));
    // Of what goes to pen and to the servers; what comes from pen to the client is acknowledged by such packets.
    let ports = [left.address(), right.address(), down.address(), up.address()].map(|address| address.port());
    let fault = Fault::Loss(10).begin(&ports);
    let parts: Vec<(Part, Part)> = (0..4)
        .map(|_| (left.connect(), right.connect()))
        .map(|(reader, writer)| (Part::receive(&reader), Part::send(&writer, TOTAL)))
        .collect();
    for (reading, writing) in parts {
        assert_eq!(reading.finish().unwrap(), TOTAL);
        assert_eq!(writing.finish().unwrap(), TOTAL);
        let arrived = outcome.recv_timeout(crate::support::wait::PATIENCE).expect("the server sees the end");
        assert_eq!(arrived.unwrap(), TOTAL);
    }
    assert!(fault.heal() > 10, "hardly a packet was lost");
}
