//! A machine that answers with resets.

use std::io::ErrorKind;

use crate::alone::is_alone;
use crate::packets::Fault;
use crate::support::pen::Pen;
use crate::support::servers::{Server, echo};
use crate::transfer::{LONG, Part, assert_echoes, receiving, sending};

#[test]
fn a_connect_that_is_reset_goes_to_the_next_server() {
    if !is_alone("reset::a_connect_that_is_reset_goes_to_the_next_server", &["nft"]) {
        return;
    }
    let (bad, alive) = (Server::start(echo), Server::start(echo));
    let pen = Pen::start(&["-r"], &[bad.address(), alive.address()]);
    let fault = Fault::Reset.begin(&[bad.address().port()]);
    for _ in 0..3 {
        assert_echoes(&pen.connect());
    }
    assert_eq!(fault.heal(), 1, "it is tried once, and then left out");
    assert_eq!(alive.served(), 3);
    assert_eq!(pen.stderr().matches("blacklisted").count(), 1, "{}", pen.stderr());
}

// B15: pen 0.34.1 makes an orderly end of it, and the client takes what it has for the whole.
#[test]
fn b15_a_transfer_that_is_cut_by_a_reset_never_looks_complete() {
    if !is_alone("reset::b15_a_transfer_that_is_cut_by_a_reset_never_looks_complete", &["nft"]) {
        return;
    }
    let (down, (up, _outcome), other) = (sending(LONG), receiving(), Server::start(echo));
    let pen = Pen::start(&["-r"], &[down.address(), up.address(), other.address()]);
    let (reader, writer, bystander) = (pen.connect(), pen.connect(), pen.connect());
    let (reading, writing) = (Part::receive(&reader), Part::send(&writer, LONG));
    reading.wait_for_stop();
    writing.wait_for_stop();
    let fault = Fault::Reset.begin(&[down.address().port(), up.address().port()]);
    reading.go_on();
    writing.go_on();
    assert_eq!(reading.finish().unwrap_err().kind(), ErrorKind::ConnectionReset);
    let error = writing.finish().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_echoes(&bystander);
    fault.heal();
    // What happens to connections that stand is no reason to leave a server out.
    assert!(!pen.stderr().contains("blacklisted"), "{}", pen.stderr());
}
