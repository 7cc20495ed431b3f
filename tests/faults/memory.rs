//! No memory: the limit of pen's address space is reached while peers take nothing.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::support::pattern::Pattern;
use crate::support::pen::Pen;
use crate::support::proc::{address_space, cpu, limit_address_space, limit_descriptors};
use crate::support::report::not_tested_here;
use crate::support::servers::{After, Server, echo};
use crate::support::wait;
use crate::transfer::{LONG, Part, assert_echoes};

/// More rings than pen is left memory for.
const UNREAD: usize = 60;

/// More than the rings that come back when some of them have been read.
const MORE: usize = 10;

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

/// Asks for them.
fn ask_for_all(mut stream: &TcpStream) {
    stream.write_all(b"d").expect("the connection is open");
}

#[test]
fn downloads_that_nobody_reads_take_all_memory_and_everybody_else_goes_on() {
    let server = Server::start(serve);
    let mut pen = Pen::start(&[], &[server.address()]);
    let clients: Vec<TcpStream> = (0..UNREAD + MORE + 2).map(|_| pen.connect()).collect();
    wait::until_true("all are connected", || server.served() == clients.len());
    let (unread, others) = clients.split_at(UNREAD);
    let (more, rest) = others.split_at(MORE);
    let (whole, bystander) = (&rest[0], &rest[1]);
    let before = address_space(pen.pid());
    // Without descriptors there are no pipes, which would take the place of rings.
    let lowest = (0..).find(|fd| !Path::new(&format!("/proc/{}/fd/{fd}", pen.pid())).exists()).unwrap();
    if !limit_address_space(pen.pid(), &format!("{}:", before + LEFT))
        || !limit_descriptors(pen.pid(), &format!("{lowest}:"))
    {
        let name = "downloads_that_nobody_reads_take_all_memory_and_everybody_else_goes_on";
        return not_tested_here(name, "there is no prlimit, or it is not allowed");
    }
    unread.iter().for_each(ask_for_all);
    pen.process().wait_for_stderr("no memory for buffers");
    assert_echoes(bystander);
    // One more is carried whole, though there is no ring for it.
    ask_for_all(whole);
    assert_eq!(Part::receive(whole).finish().unwrap(), LONG);
    assert_echoes(bystander);
    let used = cpu(pen.pid());
    wait::within(Duration::from_secs(1), || None::<()>);
    let used = cpu(pen.pid()) - used;
    assert!(used <= Duration::from_millis(50), "{used:?} within a second in which nothing can be done");
    assert!(address_space(pen.pid()) <= before + LEFT);
    // Some of those who waited: with a ring, and without.
    for unread in [&unread[0], &unread[UNREAD / 2], &unread[UNREAD - 1]] {
        assert_eq!(Part::receive(unread).finish().unwrap(), LONG);
    }
    // Relief: more who take nothing have rings, beyond those that came back.
    assert!(limit_address_space(pen.pid(), "unlimited:"));
    more.iter().for_each(ask_for_all);
    pen.process().wait_for_stderr("there is memory for buffers again; ");
    let told = pen.process().stderr().matches("no memory for buffers").count();
    assert_eq!(told, 1, "it is said once");
}
