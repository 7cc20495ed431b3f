//! No memory: the limit of pen's address space is reached while peers take nothing.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::pattern::Pattern;
use crate::support::pen::Pen;
use crate::support::proc::{address_space, cpu, limit_address_space};
use crate::support::report::not_tested_here;
use crate::support::servers::{After, Server, echo};
use crate::support::wait;
use crate::transfer::{LONG, Part, assert_echoes};

/// More rings than pen is left memory for.
const UNREAD: usize = 60;

/// Bytes that pen may grow by: a mebibyte that it keeps for small things, and twenty rings.
const LEFT: u64 = 1024 * 1024 + 20 * 65_536;

/// Sends [`LONG`] bytes to those who ask for them, as `sending` does; for others it is an echo.
fn serve(mut stream: &TcpStream) -> After {
    let mut first = [0];
    if stream.peek(&mut first).is_err() || first != [b'd'] {
        return echo(stream);
    }
    if Pattern::new(11).write(stream, LONG, |_| {}).is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
        let _ = io::copy(&mut stream, &mut io::sink());
    }
    After::Close
}

/// A client that asks for them.
fn ask_for_all(pen: &Pen) -> TcpStream {
    let mut stream = pen.connect();
    stream.write_all(b"d").expect("the connection is open");
    stream
}

#[test]
fn downloads_that_nobody_reads_take_all_memory_and_everybody_else_goes_on() {
    let server = Server::start(serve);
    let mut pen = Pen::start(&[], &[server.address()]);
    let before = address_space(pen.pid());
    if !limit_address_space(pen.pid(), &format!("{}:", before + LEFT)) {
        let name = "downloads_that_nobody_reads_take_all_memory_and_everybody_else_goes_on";
        return not_tested_here(name, "there is no prlimit, or it is not allowed");
    }
    let pairs: Vec<(TcpStream, TcpStream)> = (0..UNREAD).map(|_| (ask_for_all(&pen), pen.connect())).collect();
    pen.process().wait_for_stderr("no memory for buffers");
    pairs.iter().for_each(|(_, bystander)| assert_echoes(bystander));
    // One more is carried whole, though there is no ring for it.
    let (whole, bystander) = (ask_for_all(&pen), pen.connect());
    assert_eq!(Part::receive(&whole).finish().unwrap(), LONG);
    assert_echoes(&bystander);
    let used = cpu(pen.pid());
    wait::within(Duration::from_secs(1), || None::<()>);
    let used = cpu(pen.pid()) - used;
    assert!(used <= Duration::from_millis(50), "{used:?} within a second in which nothing can be done");
    assert!(address_space(pen.pid()) <= before + LEFT);
    // Some of those who waited: with a ring, and without.
    for (unread, _) in [&pairs[0], &pairs[UNREAD / 2], &pairs[UNREAD - 1]] {
        assert_eq!(Part::receive(unread).finish().unwrap(), LONG);
    }
    // Relief: more who take nothing have rings, beyond those that came back.
    assert!(limit_address_space(pen.pid(), "unlimited:"));
    let more: Vec<TcpStream> = (0..10).map(|_| ask_for_all(&pen)).collect();
    pen.process().wait_for_stderr("there is memory for buffers again; ");
    drop(more);
    let told = pen.process().stderr().matches("no memory for buffers").count();
    assert_eq!(told, 1, "it is said once");
}
