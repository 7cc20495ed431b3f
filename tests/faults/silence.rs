//! A server that answers the handshake's first packet and then nothing, as an overloaded firewall does.

use std::io::{Read, Write};
use std::time::Duration;

use crate::alone::is_alone;
use crate::packets::Fault;
use crate::support::client::{End, read_to_end};
use crate::support::pen::Pen;
use crate::support::proc::cpu;
use crate::support::servers::{Server, echo};
use crate::transfer::assert_echoes;

#[test]
fn what_was_sent_into_the_silence_arrives_when_it_ends() {
    if !is_alone("silence::what_was_sent_into_the_silence_arrives_when_it_ends", &["nft"]) {
        return;
    }
    let (silent, other) = (Server::start(echo), Server::start(echo));
    let pen = Pen::start(&["-r"], &[silent.address(), other.address()]);
    let fault = Fault::Silence.begin(&[silent.address().port()]);
    let mut client = pen.connect();
    client.write_all(b"hello").unwrap();
    let bystander = pen.connect();
    let before = cpu(pen.pid());
    for _ in 0..50 {
        assert_echoes(&bystander);
    }
    assert!(cpu(pen.pid()) - before < Duration::from_millis(500), "it spins");
    assert!(fault.heal() > 0, "no packet was hit");
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn a_silence_longer_than_the_limit_ends_with_a_reset() {
    if !is_alone("silence::a_silence_longer_than_the_limit_ends_with_a_reset", &["nft"]) {
        return;
    }
    let server = Server::start(echo);
    let pen = Pen::start(&["-O", "idle_timeout 1"], &[server.address()]);
    let fault = Fault::Silence.begin(&[server.address().port()]);
    let mut client = pen.connect();
    client.write_all(b"never delivered").unwrap();
    assert_eq!(read_to_end(&client), (Vec::new(), End::Reset));
    assert!(fault.heal() > 0, "no packet was hit");
}
