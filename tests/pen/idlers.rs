//! Connections to servers that are opened ahead.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::{End, read_line, read_to_end};
use crate::support::pen::Pen;
use crate::support::servers::{After, Server, echo};
use crate::support::wait;

/// Waits until pen tells of so many idlers that are there, and so many that are to be.
#[track_caller]
fn wait_for_idlers(pen: &Pen, is: usize, want: usize) {
    wait::until_true(&format!("there are {is}/{want} idlers"), || {
        pen.obey("idlers") == format!("Idlers: {is}/{want}\n")
    });
}

#[track_caller]
fn assert_echoes(mut client: &TcpStream) {
    client.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn a_client_gets_a_connection_that_was_there_before_it_and_another_is_opened() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&["-O", "idlers 3"], &[server.address()]);
    wait_for_idlers(&pen, 3, 3);
    let before = server.peers();
    assert_eq!(before.len(), 3);
    let client = pen.connect();
    assert_echoes(&client);
    wait_for_idlers(&pen, 3, 3);
    assert_eq!(server.peers().len(), 4, "one for the client, and three that wait");
    // The one that it has is one of the first three: only that ends with it.
    drop(client);
    wait::until_true("the client's connection ends", || server.open() == 3);
    assert_eq!(pen.obey("idlers 1"), "Idlers: 3/1\n");
    wait_for_idlers(&pen, 1, 1);
    assert_eq!(pen.obey("idlers 0"), "Idlers: 1/0\n");
    wait::until_true("all of them end", || server.open() == 0);
    assert_eq!(server.peers().len(), 4);
}

#[test]
fn what_a_server_says_first_waits_for_the_client() {
    let server = Server::start(|mut stream| {
        let _ = stream.write_all(b"220 ready\n");
        echo(stream)
    });
    let pen = Pen::start_with_control(&["-O", "idlers 2"], &[server.address()]);
    wait_for_idlers(&pen, 2, 2);
    for _ in 0..5 {
        let client = pen.connect();
        assert_eq!(read_line(&client), "220 ready");
        assert_echoes(&client);
        wait_for_idlers(&pen, 2, 2);
    }
    assert_eq!(server.served(), 7);
}

#[test]
fn an_idler_that_its_server_ends_is_never_a_clients() {
    // A server that waits a tenth of a second for a request.
    let server = Server::start(|mut stream| {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
        let mut bytes = [0; 5];
        if stream.read_exact(&mut bytes).is_ok() {
            let _ = stream.write_all(&bytes);
        }
        After::Close
    });
    let pen = Pen::start_with_control(&["-O", "idlers 2"], &[server.address()]);
    wait_for_idlers(&pen, 2, 2);
    wait_for_idlers(&pen, 0, 2);
    let mut client = pen.connect();
    client.write_all(b"hello").unwrap();
    assert_eq!(read_to_end(&client), (b"hello".to_vec(), End::Finished));
}

#[test]
fn idlers_of_a_server_that_went_come_back_with_it() {
    let server = Server::start(echo);
    let address = server.address();
    let pen = Pen::start_with_control(&["-b", "1", "-O", "idlers 2"], &[address]);
    wait_for_idlers(&pen, 2, 2);
    drop(server);
    wait_for_idlers(&pen, 0, 2);
    wait::until_true("its refusal is told", || pen.stderr().contains("failed: "));
    let _server = Server::start_at(address, echo);
    wait_for_idlers(&pen, 2, 2);
    assert_echoes(&pen.connect());
}

#[test]
fn places_of_a_server_are_its_clients_before_they_are_idlers() {
    let server = Server::start(echo);
    let one = format!("{}:2", server.address());
    let pen = Pen::start_with_control(&["-O", "idlers 5"], &[one]);
    wait_for_idlers(&pen, 2, 5);
    let clients = [pen.connect(), pen.connect()];
    clients.iter().for_each(assert_echoes);
    wait_for_idlers(&pen, 0, 5);
    assert_eq!(read_to_end(&pen.connect()), (Vec::new(), End::Finished), "the third has no place");
    assert_eq!(server.served(), 2);
    drop(clients);
    wait_for_idlers(&pen, 2, 5);
}

#[test]
fn a_server_that_an_operator_takes_away_has_no_idlers_left() {
    let (one, other) = (Server::start(echo), Server::start(echo));
    let pen = Pen::start_with_control(&["-r", "-O", "idlers 4"], &[one.address(), other.address()]);
    wait_for_idlers(&pen, 4, 4);
    assert_eq!((one.open(), other.open()), (2, 2));
    pen.obey("server 0 blacklist 1000");
    wait::until_true("they are the other's", || (one.open(), other.open()) == (0, 4));
    pen.obey(&format!("server 1 port {}", one.address().port()));
    wait::until_true("they follow to the new port", || (one.open(), other.open()) == (4, 0));
}
