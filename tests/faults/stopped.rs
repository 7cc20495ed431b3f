//! Processes that are stopped (SIGSTOP), as an overloaded machine or a debugger does.  What is stopped is a pen of its
//! own, in the place of a server or of a client.

use crate::support::pen::Pen;
use crate::support::process::send;
use crate::support::servers::{Server, echo};
use crate::support::wait;
use crate::transfer::{LONG, Part, assert_echoes, receiving, sending};

#[test]
fn stopped_servers_go_on_where_they_were_and_hold_up_nobody() {
    let (down, (up, outcome), other) = (sending(LONG), receiving(), Server::start(echo));
    let servers = [Pen::start(&[], &[down.address()]), Pen::start(&[], &[up.address()])];
    let pen = Pen::start(&["-r"], &[servers[0].address(), servers[1].address(), other.address()]);
    let (reader, writer, bystander) = (pen.connect(), pen.connect(), pen.connect());
    let (reading, writing) = (Part::receive(&reader), Part::send(&writer, LONG));
    reading.wait_for_stop();
    writing.wait_for_stop();
    servers.iter().for_each(|server| send(server.pid(), "STOP"));
    reading.go_on();
    writing.go_on();
    for _ in 0..100 {
        assert_echoes(&bystander);
    }
    // The kernel still accepts for them; who comes now waits, and is served later.
    let late = pen.connect();
    servers.iter().for_each(|server| send(server.pid(), "CONT"));
    assert_eq!(reading.finish().unwrap(), LONG);
    writing.finish().unwrap();
    assert_eq!(outcome.recv_timeout(wait::PATIENCE).expect("the server sees the end").unwrap(), LONG);
    assert_eq!(Part::receive(&late).finish().unwrap(), LONG);
    assert!(!pen.stderr().contains("blacklisted"), "{}", pen.stderr());
}

#[test]
fn a_stopped_client_goes_on_where_it_was_and_holds_up_nobody() {
    let (down, other) = (sending(LONG), Server::start(echo));
    let pen = Pen::start(&["-r"], &[down.address(), other.address()]);
    let client = Pen::start(&[], &[pen.address()]);
    let reader = client.connect();
    let reading = Part::receive(&reader);
    reading.wait_for_stop();
    let bystander = pen.connect();
    send(client.pid(), "STOP");
    reading.go_on();
    for _ in 0..100 {
        assert_echoes(&bystander);
    }
    send(client.pid(), "CONT");
    assert_eq!(reading.finish().unwrap(), LONG);
}

#[test]
fn pen_itself_goes_on_where_it_was() {
    let server = sending(LONG);
    let pen = Pen::start(&["-t", "1", "-O", "idle_timeout 1"], &[server.address()]);
    let client = pen.connect();
    let reading = Part::receive(&client);
    reading.wait_for_stop();
    send(pen.pid(), "STOP");
    reading.go_on();
    // Longer than every limit: that pen has not looked for so long is nobody's silence but its own.
    wait::within(std::time::Duration::from_millis(1_500), || None::<()>);
    send(pen.pid(), "CONT");
    assert_eq!(reading.finish().unwrap(), LONG);
}
